// SPDX-License-Identifier: Apache-2.0
// Gated feed-forward networks as a model calls them, against the composite:
// their products and the exponentials of swish, forward, and with the gradient
// by all inputs.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/gated_feed_forward.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct Problem {
  int64_t rows;
  int64_t dim;
  int64_t hidden;
  bool backward;
};

struct State {
  Problem problem;
  Tape tape;
  std::vector<Tensor> inputs;  // x, w1, wg, w2
  Tensor cotangent;
  std::vector<Tensor> results;  // the output, or the gradients

  absl::Status Run() {
    constexpr ActivationKind kKind = ActivationKind::kSwish;
    if (!problem.backward) {
      const Var y =
          GatedFeedForward(kKind, inputs[0], inputs[1], inputs[2], inputs[3]);
      SEPTET_RETURN_IF_ERROR(y.status());
      results = {y.tensor()};
      return absl::OkStatus();
    }
    tape.Reset();
    std::vector<Var> in;
    for (const Tensor& input : inputs) in.push_back(tape.Watch(input));
    const Var y = GatedFeedForward(kKind, in[0], in[1], in[2], in[3]);
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Var> grads,
        tape.GradVars({y}, {Var(cotangent)}, in, /*create_graph=*/false));
    results.clear();
    for (const Var& grad : grads) results.push_back(grad.tensor());
    return absl::OkStatus();
  }
};

absl::StatusOr<Tensor> Values(const Shape& shape, double size, uint32_t seed) {
  const std::vector<float> values =
      BenchValues<float>(shape.num_elements(), -size, size, seed);
  return Tensor::FromValues<float>(shape, values);
}

absl::StatusOr<BenchKernel> Prepare(const Problem& problem) {
  auto state = std::make_shared<State>();
  state->problem = problem;
  const int64_t d = problem.dim;
  const int64_t f = problem.hidden;
  const Shape shapes[] = {Shape({problem.rows, d}), Shape({d, f}),
                          Shape({d, f}), Shape({f, d})};
  for (int i = 0; i < 4; ++i) {
    // Weights that keep the size of their inputs, about.
    SEPTET_ASSIGN_OR_RETURN(
        Tensor values,
        Values(shapes[i], i == 0 ? 1 : 0.2, static_cast<uint32_t>(i + 1)));
    state->inputs.push_back(std::move(values));
  }
  SEPTET_ASSIGN_OR_RETURN(state->cotangent, Values(shapes[0], 1, 9));
  SEPTET_RETURN_IF_ERROR(state->Run());
  const std::vector<Tensor> fused = state->results;
  {
    ScopedReference reference;
    SEPTET_RETURN_IF_ERROR(state->Run());
  }
  for (size_t i = 0; i < fused.size(); ++i) {
    const std::vector<float> got = fused[i].ToVector<float>();
    const std::vector<float> want = state->results[i].ToVector<float>();
    // Sums of as many terms as there are rows, of either sign.
    SEPTET_RETURN_IF_ERROR(
        CheckClose<float>(absl::StrCat("result ", i), got, want, {2e-3, 2e-4}));
  }
  return BenchKernel([state] { (void)state->Run(); });
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const bool backward : {false, true}) {
    for (const Problem& problem :
         {Problem{2048, 64, 160, backward}, Problem{4096, 256, 672, backward},
          Problem{1, 64, 160, backward}}) {
      BenchCase c;
      c.name = absl::StrCat("gated_feed_forward/f32/", problem.rows, "x",
                            problem.dim, "x", problem.hidden,
                            backward ? "/gradient" : "");
      const auto hidden = static_cast<double>(problem.rows * problem.hidden);
      // Three products, thrice with the gradient.
      c.limit = BenchLimit::F32Flops((backward ? 18 : 6) * hidden *
                                     static_cast<double>(problem.dim));
      c.limit.Call<float>(BenchFunction::kExp, (backward ? 2 : 1) * hidden);
      if (problem.rows > 1) c.at_least = backward ? 0.7 : 0.75;
      c.prepare = [problem] { return Prepare(problem); };
      RegisterBenchCase(std::move(c));
    }
  }
  return true;
}();

}  // namespace
}  // namespace septet
