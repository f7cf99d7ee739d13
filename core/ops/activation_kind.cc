// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/activation_kind.h"

#include <optional>

#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"

namespace septet {

absl::string_view ActivationName(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kRelu:
      return "relu";
    case ActivationKind::kLeakyRelu:
      return "leaky_relu";
    case ActivationKind::kGelu:
      return "gelu";
    case ActivationKind::kGeluTanh:
      return "gelu_tanh";
    case ActivationKind::kSwish:
      return "swish";
    case ActivationKind::kSelu:
      return "selu";
    case ActivationKind::kElu:
      return "elu";
    case ActivationKind::kSoftplus:
      return "softplus";
    case ActivationKind::kSigmoid:
      return "sigmoid";
    case ActivationKind::kTanh:
      return "tanh";
    case ActivationKind::kGaussian:
      return "gaussian";
    case ActivationKind::kSin:
      return "sin";
    case ActivationKind::kIdentity:
      return "identity";
  }
  SEPTET_CHECK(false) << "activation kind " << static_cast<int>(kind);
  return "";
}

std::optional<ActivationKind> ActivationFromName(absl::string_view name) {
  for (ActivationKind kind : kAllActivationKinds) {
    if (ActivationName(kind) == name) return kind;
  }
  return std::nullopt;
}

}  // namespace septet
