// SPDX-License-Identifier: Apache-2.0
// The activation functions, by name.
//
//   std::optional<ActivationKind> kind = ActivationFromName("gelu_tanh");
//   ActivationName(ActivationKind::kSwish);   // "swish"
#ifndef SEPTET_CORE_OPS_ACTIVATION_KIND_H_
#define SEPTET_CORE_OPS_ACTIVATION_KIND_H_

#include <optional>

#include "absl/strings/string_view.h"

namespace septet {

// phi(x), and where it matters its derivative at 0 (always the left branch):
//   relu        max(x, 0), 0 at 0
//   leaky_relu  x > 0 ? x : 0.01 x, 0.01 at 0
//   gelu        x P(N(0, 1) <= x) = 0.5 x erfc(-x / sqrt 2)
//   gelu_tanh   0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as in GPT-2
//   swish       x sigmoid(x)
//   selu        l x for x > 0, else l a (exp(x) - 1), l = 1.0507009873554805,
//               a = 1.6732632423543772; l a at 0
//   elu         x for x > 0, else exp(x) - 1; 1 at 0
//   softplus    log(1 + exp(x))
//   sigmoid     1 / (1 + exp(-x))
//   tanh
//   gaussian    exp(-x^2 / 2)
//   sin
//   identity    x
enum class ActivationKind {
  kRelu,
  kLeakyRelu,
  kGelu,
  kGeluTanh,
  kSwish,
  kSelu,
  kElu,
  kSoftplus,
  kSigmoid,
  kTanh,
  kGaussian,
  kSin,
  kIdentity
};

constexpr ActivationKind kAllActivationKinds[] = {
    ActivationKind::kRelu,     ActivationKind::kLeakyRelu,
    ActivationKind::kGelu,     ActivationKind::kGeluTanh,
    ActivationKind::kSwish,    ActivationKind::kSelu,
    ActivationKind::kElu,      ActivationKind::kSoftplus,
    ActivationKind::kSigmoid,  ActivationKind::kTanh,
    ActivationKind::kGaussian, ActivationKind::kSin,
    ActivationKind::kIdentity};

// The name above: "relu", "leaky_relu", ...
absl::string_view ActivationName(ActivationKind kind);

// The kind of that name, or nullopt. Exact: no other spelling, no blanks.
std::optional<ActivationKind> ActivationFromName(absl::string_view name);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ACTIVATION_KIND_H_
