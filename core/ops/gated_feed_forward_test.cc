// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/gated_feed_forward.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

struct Case {
  Shape x;
  int64_t f, e;
  DType dtype = DType::kF64;

  std::vector<Tensor> Inputs() const {
    const int64_t d = x.dim(x.rank() - 1);
    return {RandomTensor(x, dtype, 1), RandomTensor(Shape({d, f}), dtype, 2),
            RandomTensor(Shape({d, f}), dtype, 3),
            RandomTensor(Shape({f, e}), dtype, 4)};
  }
  Tensor Cotangent() const {
    return RandomTensor(x.WithDim(x.rank() - 1, e), dtype, 5);
  }
};

// y, dx, dw1, dwg, dw2.
std::vector<Tensor> RunAll(const Case& c,
                           ActivationKind kind = ActivationKind::kSwish) {
  Tape tape;
  std::vector<Var> in;
  for (const Tensor& x : c.Inputs()) in.push_back(tape.Watch(x));
  const Var y = GatedFeedForward(kind, in[0], in[1], in[2], in[3]);
  SEPTET_EXPECT_OK(y);
  std::vector<Tensor> result = {y.tensor()};
  const auto grads = tape.GradVars({y}, {Var(c.Cotangent())}, in, false);
  SEPTET_EXPECT_OK(grads);
  for (const Var& grad : *grads) result.push_back(grad.tensor());
  return result;
}

TEST(GatedFeedForwardTest, SwiGluByDefinition) {
  const Case c{Shape({2, 3}), 4, 2};
  const std::vector<Tensor> in = c.Inputs();
  std::vector<double> want;
  for (int64_t r = 0; r < 2; ++r) {
    for (int64_t j = 0; j < 2; ++j) {
      double y = 0;
      for (int64_t k = 0; k < 4; ++k) {
        double a = 0, g = 0;
        for (int64_t i = 0; i < 3; ++i) {
          a +=
              in[0].data<double>()[r * 3 + i] * in[1].data<double>()[i * 4 + k];
          g +=
              in[0].data<double>()[r * 3 + i] * in[2].data<double>()[i * 4 + k];
        }
        y += a / (1 + std::exp(-a)) * g * in[3].data<double>()[k * 2 + j];
      }
      want.push_back(y);
    }
  }
  ExpectNear(RunAll(c)[0], Tensor::FromValues<double>({2, 2}, want).value(),
             1e-15);
}

// One row, one block and a part of one, several parts, long blocks (weights
// beyond the cache), and ranks.
TEST(GatedFeedForwardTest, KernelMatchesComposite) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    for (const Case& c : {Case{Shape({7}), 5, 3},
                          {Shape({1, 1}), 1, 1},
                          {Shape({2, 3, 17}), 33, 17},
                          {Shape({5, 229, 16}), 170, 16},
                          {Shape({1100, 20}), 1500, 22},
                          {Shape({0, 4}), 3, 2}}) {
      Case typed = c;
      typed.dtype = dtype;
      DispatchTrace trace;
      const std::vector<Tensor> fused = RunAll(typed);
      EXPECT_THAT(trace.lines(), Contains(HasSubstr("gated_feed_forward cpu")));
      EXPECT_THAT(trace.lines(),
                  Contains(HasSubstr("gated_feed_forward_grad cpu")));
      ScopedReference reference;
      const std::vector<Tensor> composite = RunAll(typed);
      // Sums of some thousand terms of either sign, each about 1.
      const double eps = dtype == DType::kF64 ? 2.2e-16 : 1.2e-7;
      for (size_t i = 0; i < fused.size(); ++i) {
        SCOPED_TRACE(i);
        ExpectNear(fused[i], composite[i], 2000 * eps);
      }
    }
  }
}

TEST(GatedFeedForwardTest, DerivativesOfBothModesAndOrders) {
  const Case c{Shape({3, 4}), 5, 2};
  for (const ActivationKind kind :
       {ActivationKind::kSwish, ActivationKind::kGelu}) {
    SEPTET_EXPECT_OK(CheckGradients(
        [kind](absl::Span<const Var> in) {
          return GatedFeedForward(kind, in[0], in[1], in[2], in[3]);
        },
        c.Inputs()));
  }
}

TEST(GatedFeedForwardTest, DerivativesBySomeOfTheInputs) {
  const Case c{Shape({9, 6}), 8, 5};
  const std::vector<Tensor> all = RunAll(c);
  const std::vector<Tensor> x = c.Inputs();
  for (size_t only = 0; only < 4; ++only) {
    Tape tape;
    std::vector<Var> in(x.begin(), x.end());
    in[only] = tape.Watch(x[only]);
    const Var y =
        GatedFeedForward(ActivationKind::kSwish, in[0], in[1], in[2], in[3]);
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const std::vector<Var> grads,
        tape.GradVars({y}, {Var(c.Cotangent())}, {in[only]}, false));
    EXPECT_EQ(grads[0].tensor().ToVector<double>(),
              all[only + 1].ToVector<double>());
  }
}

TEST(GatedFeedForwardTest, BitsDoNotDependOnThreads) {
  const Case c{Shape({3, 500, 40}), 96, 24, DType::kF32};
  const std::vector<Tensor> want = RunAll(c);
  for (const int threads : {2, 3, 5}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    const std::vector<Tensor> got = RunAll(c);
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(got[i].ToVector<float>(), want[i].ToVector<float>());
    }
  }
}

TEST(GatedFeedForwardTest, Errors) {
  const auto error = [](const Shape& x, const Shape& w1, const Shape& wg,
                        const Shape& w2, const char* message) {
    const auto make = [](const Shape& shape) {
      return RandomTensor(shape, DType::kF32, 1);
    };
    EXPECT_THAT(
        GatedFeedForward(ActivationKind::kSwish, make(x), make(w1), make(wg),
                         make(w2)),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  error({2, 3}, {4, 5}, {4, 5}, {5, 3},
        "w1 is f32 [4, 5], expected axis 0 to "
        "be 3");
  error({2, 3}, {3, 5}, {4, 5}, {5, 3},
        "wg is f32 [4, 5], expected axis 0 to "
        "be 3");
  error({2, 3}, {3, 5}, {3, 4}, {5, 3},
        "wg is f32 [3, 4], expected axis 1 to "
        "be 5");
  error({2, 3}, {3, 5}, {3, 5}, {4, 3},
        "w2 is f32 [4, 3], expected axis 0 to "
        "be 5");
  error({2, 3}, {3}, {3, 5}, {5, 3}, "w1 is f32 [3], expected rank 2");
  error({2, 3}, {3, 5}, {3, 5}, {5, 0}, "expected extents of at least 1");
  const Tensor x = RandomTensor({2, 3}, DType::kF64, 1);
  const Tensor w = RandomTensor({3, 3}, DType::kF32, 1);
  EXPECT_THAT(
      GatedFeedForward(ActivationKind::kSwish, x, w, w, w),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dtypes differ")));
}

// Views of one element have any extents.
TEST(GatedFeedForwardTest, ExtentsWhoseProductsOverflow) {
  const auto view = [](const Shape& shape) -> Var {
    Tensor one = Tensor::Zeros({1}, DType::kF32).value();
    return one.BroadcastTo(shape).value();
  };
  constexpr int64_t kHuge = int64_t{1} << 62;
  const auto error = [&](const Shape& x, int64_t f, int64_t e) {
    const int64_t d = x.dim(x.rank() - 1);
    const Var w = view({d, f});
    return GatedFeedForward(ActivationKind::kSwish, view(x), w, w, view({f, e}))
        .status();
  };
  const char kTooMany[] = "has more elements than fit into 63 bits";
  EXPECT_THAT(
      error({kHuge, 1}, 8, 1),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(kTooMany)));
  EXPECT_THAT(
      error({4, 1}, kHuge, 1),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(kTooMany)));
  EXPECT_THAT(
      error({0, int64_t{1} << 40, 1}, 1, int64_t{1} << 40),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(kTooMany)));
  EXPECT_THAT(error({1, 1}, kHuge, 1),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("more bytes than an address space has")));
}

}  // namespace
}  // namespace septet
