// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/normalize.h"

#include <cmath>
#include <cstdint>
#include <memory>
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
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor GradOf(const Tensor& x, const Tensor& dy,
              const NormalizeL2Options& options) {
  Tape tape;
  const Var v = tape.Watch(x);
  return tape.GradVars({NormalizeL2(v, options)}, {dy}, {v}, false)
      .value()[0]
      .tensor();
}

TEST(NormalizeL2Test, KernelFormulaAndGradients) {
  for (const L2Mode mode : {L2Mode::kSumEps, L2Mode::kMaxEps}) {
    // Small and so large that it stands in for the norm of some rows.
    for (const double eps : {1e-10, 1.5}) {
      for (const int64_t n : {1, 3, 16, 17, 65}) {
        const NormalizeL2Options options{mode, eps};
        const Tensor x = RandomTensor({4, n}, DType::kF64, 1, 0.2, 1);
        const Tensor dy = RandomTensor({4, n}, DType::kF64, 2);
        std::vector<double> want = x.ToVector<double>();
        for (int64_t r = 0; r < 4; ++r) {
          double s = 0;
          for (int64_t i = 0; i < n; ++i)
            s += want[r * n + i] * want[r * n + i];
          const double norm = mode == L2Mode::kSumEps
                                  ? std::sqrt(s + eps)
                                  : std::fmax(std::sqrt(s), eps);
          for (int64_t i = 0; i < n; ++i) want[r * n + i] /= norm;
        }
        const Tensor y = Tensor::FromValues<double>({4, n}, want).value();
        DispatchTrace trace;
        ExpectNear(NormalizeL2(x, options).tensor(), y, 1e-14);
        EXPECT_THAT(trace.lines(), Contains("normalize_l2 cpu/f64 highway"));
        ExpectNear(NormalizeL2(x.To(DType::kF32), options).tensor(), y, 1e-6);
        const Tensor dx = GradOf(x, dy, options);
        if (n <= 3) {
          SEPTET_EXPECT_OK(CheckGradients(
              [&](absl::Span<const Var> in) {
                return NormalizeL2(in[0], options);
              },
              {x}, {1e-5, 1e-5}));
        }
        ScopedReference reference;
        ExpectNear(NormalizeL2(x, options).tensor(), y, 1e-14);
        ExpectNear(GradOf(x, dy, options), dx, 1e-13);
      }
    }
  }
}

TEST(NormalizeL2Test, RowsOfZerosStayFinite) {
  const Tensor x = Tensor::Zeros({1, 2}, DType::kF64).value();
  const Tensor dy = Tensor::FromValues<double>({1, 2}, {2, -4}).value();
  for (const bool reference : {false, true}) {
    std::unique_ptr<ScopedReference> scope;
    if (reference) scope = std::make_unique<ScopedReference>();
    const NormalizeL2Options sum{L2Mode::kSumEps, 0.25};
    const NormalizeL2Options max{L2Mode::kMaxEps, 0.5};
    for (const NormalizeL2Options& options : {sum, max}) {
      EXPECT_THAT(NormalizeL2(x, options).tensor().ToVector<double>(),
                  ElementsAre(0, 0));
      EXPECT_THAT(GradOf(x, dy, options).ToVector<double>(),
                  ElementsAre(4, -8));
    }
  }
}

TEST(NormalizeL2Test, BitsDoNotDependOnThreads) {
  const Tensor x = RandomTensor({700, 257}, DType::kF32, 1);
  const auto run = [&] {
    std::vector<float> bits = NormalizeL2(x).tensor().ToVector<float>();
    for (const float g : GradOf(x, x, {}).ToVector<float>()) bits.push_back(g);
    return bits;
  };
  const std::vector<float> serial = run();
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(run(), serial);
}

TEST(NormalizeL2Test, EmptyAndErrors) {
  EXPECT_EQ(NormalizeL2(Tensor::Zeros({0, 3}, DType::kF32)).shape(),
            Shape({0, 3}));
  EXPECT_EQ(NormalizeL2(Tensor::Zeros({3, 0}, DType::kF32)).shape(),
            Shape({3, 0}));
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  for (const double eps : {0.0, -1.0, 1e-60, std::nan("")}) {
    EXPECT_THAT(NormalizeL2(x, {L2Mode::kMaxEps, eps}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("normalize_l2: eps is ")));
  }
  EXPECT_THAT(NormalizeL2(Tensor::Scalar(1, DType::kF32)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("normalize_l2: x is f32 [], expected rank 1 "
                                 "to 8")));
  EXPECT_THAT(NormalizeL2(Tensor::Zeros({1}, DType::kI32)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("x is i32 [1], expected f32 or f64")));
}

}  // namespace
}  // namespace septet
