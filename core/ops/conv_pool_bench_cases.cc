// SPDX-License-Identifier: Apache-2.0
// Convolution, maximum and ReLU as one op, as a classifier of small images
// calls it, against the composite: the convolution's products, forward, and
// with the gradient. That of a first layer is not taken by the images.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/ops/conv.h"
#include "septet/core/ops/conv_pool.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// A kernel of 3 x 3 that keeps the size, and windows of 2 x 2.
struct Problem {
  int64_t images, extent, c_in, c_out;
  bool backward;
  bool by_images;  // the gradient, too
};

struct State {
  Problem problem;
  Tape tape;
  Tensor x, w, bias, cotangent;
  std::vector<Tensor> results;  // the output, or the gradients

  static absl::StatusOr<std::shared_ptr<State>> Create(const Problem& p) {
    auto state = std::make_shared<State>();
    state->problem = p;
    const auto values = [](const Shape& shape, double size, uint32_t seed) {
      return Tensor::FromValues<float>(
          shape, BenchValues<float>(shape.num_elements(), -size, size, seed));
    };
    SEPTET_ASSIGN_OR_RETURN(
        state->x, values({p.images, p.extent, p.extent, p.c_in}, 1, 1));
    SEPTET_ASSIGN_OR_RETURN(state->w, values({3, 3, p.c_in, p.c_out}, 0.2, 2));
    SEPTET_ASSIGN_OR_RETURN(state->bias, values({p.c_out}, 0.2, 3));
    SEPTET_ASSIGN_OR_RETURN(
        state->cotangent,
        values({p.images, p.extent / 2, p.extent / 2, p.c_out}, 1, 4));
    return state;
  }

  absl::Status Run() {
    const Conv2dOptions same = Conv2dOptions::Uniform(1, 1);
    if (!problem.backward) {
      const Var y = Conv2dMaxPoolRelu(x, w, bias, same);
      SEPTET_RETURN_IF_ERROR(y.status());
      results = {y.tensor()};
      return absl::OkStatus();
    }
    tape.Reset();
    std::vector<Var> wrt = {tape.Watch(w), tape.Watch(bias)};
    if (problem.by_images) wrt.push_back(tape.Watch(x));
    const Var y = Conv2dMaxPoolRelu(problem.by_images ? wrt[2] : Var(x), wrt[0],
                                    wrt[1], same);
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Var> grads,
        tape.GradVars({y}, {Var(cotangent)}, wrt, /*create_graph=*/false));
    results.clear();
    for (const Var& grad : grads) results.push_back(grad.tensor());
    return absl::OkStatus();
  }
};

absl::StatusOr<BenchKernel> Prepare(const Problem& problem) {
  // A few images by the composite.
  Problem few = problem;
  few.images = 3;
  SEPTET_ASSIGN_OR_RETURN(const std::shared_ptr<State> checked,
                          State::Create(few));
  SEPTET_RETURN_IF_ERROR(checked->Run());
  const std::vector<Tensor> fused = checked->results;
  {
    const ScopedReference reference;
    SEPTET_RETURN_IF_ERROR(checked->Run());
  }
  for (size_t i = 0; i < fused.size(); ++i) {
    const std::vector<float> got = fused[i].ToVector<float>();
    const std::vector<float> want = checked->results[i].ToVector<float>();
    // Sums over thousands of pixels, of either sign.
    SEPTET_RETURN_IF_ERROR(
        CheckClose<float>(absl::StrCat("result ", i), got, want, {1e-3, 1e-4}));
  }
  SEPTET_ASSIGN_OR_RETURN(const std::shared_ptr<State> state,
                          State::Create(problem));
  SEPTET_RETURN_IF_ERROR(state->Run());
  return BenchKernel([state] { SEPTET_CHECK(state->Run().ok()); });
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const bool backward : {false, true}) {
    for (const Problem& problem : {Problem{128, 28, 1, 32, backward, false},
                                   Problem{128, 14, 32, 64, backward, true}}) {
      BenchCase c;
      c.name =
          absl::StrCat("conv2d_max_pool_relu/f32/", problem.images, "x",
                       problem.extent, "x", problem.extent, "x", problem.c_in,
                       "->", problem.c_out, backward ? "/gradient" : "");
      // The products once forward, and once for each gradient.
      const int products = backward ? (problem.by_images ? 3 : 2) : 1;
      c.limit = BenchLimit::F32Flops(
          products * 2.0 * 9 *
          static_cast<double>(problem.images * problem.extent * problem.extent *
                              problem.c_in * problem.c_out));
      // Nine products a pixel are few beside finding its maximum.
      c.at_least = problem.c_in > 1 ? 0.8 : 0.3;
      c.prepare = [problem] { return Prepare(problem); };
      RegisterBenchCase(std::move(c));
    }
  }
  return true;
}();

}  // namespace
}  // namespace septet
