// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/gated_head_norm.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/gated_head_norm_kernels.h"

namespace septet {
namespace {

using ::testing::Eq;

constexpr HeadNorm kNorms[] = {HeadNorm::kRms, HeadNorm::kRmsAffine,
                               HeadNorm::kLayer, HeadNorm::kNone};

struct Case {
  HeadNorm norm;
  bool gated;
  std::vector<Tensor> inputs;  // o and, where there are, gate and weight

  Var Call(absl::Span<const Var> in) const {
    const Var gate = gated ? in[1] : Var();
    const Var weight = norm == HeadNorm::kRmsAffine ? in[gated ? 2 : 1] : Var();
    return GatedHeadNorm(in[0], gate, norm, 1e-3, weight);
  }
};

std::vector<Case> Cases(int64_t batch, int64_t heads, int64_t width,
                        DType dtype) {
  std::vector<Case> cases;
  for (const HeadNorm norm : kNorms) {
    for (const bool gated : {true, false}) {
      Case c{norm, gated, {}};
      c.inputs.push_back(RandomTensor({batch, 2, heads, width}, dtype, 1));
      if (gated) {
        c.inputs.push_back(
            RandomTensor({batch, 2, heads * width}, dtype, 2, -3, 3));
      }
      if (norm == HeadNorm::kRmsAffine) {
        c.inputs.push_back(RandomTensor({width}, dtype, 3, 0.5, 1.5));
      }
      cases.push_back(c);
    }
  }
  return cases;
}

TEST(GatedHeadNormTest, Gradients) {
  for (const Case& c : Cases(1, 2, 3, DType::kF64)) {
    SCOPED_TRACE(static_cast<int>(c.norm));
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) { return c.Call(in); }, c.inputs));
  }
}

TEST(GatedHeadNormTest, EveryTargetMatchesTheComposite) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    for (const int64_t width : {1, 5, 16, 33, 64, 216}) {
      for (const Case& c : Cases(3, 2, width, dtype)) {
        SCOPED_TRACE(testing::Message() << "norm " << static_cast<int>(c.norm)
                                        << ", width " << width);
        const auto run = [&](bool reference) {
          Tape tape;
          std::vector<Var> in;
          for (const Tensor& x : c.inputs) in.push_back(tape.Watch(x));
          std::vector<Tensor> results;
          const auto evaluate = [&] {
            const Var y = c.Call(in);
            const Var loss = Sum(Mul(y, RandomTensor(y.shape(), dtype, 9)));
            results = *tape.Grad(loss, in);
            results.push_back(y.tensor());
          };
          if (reference) {
            ScopedReference scope;
            evaluate();
          } else {
            evaluate();
          }
          return results;
        };
        const std::vector<Tensor> want = run(true);
        ForEachTarget([&] {
          const std::vector<Tensor> got = run(false);
          for (size_t i = 0; i < want.size(); ++i) {
            ExpectNear(got[i], want[i], dtype == DType::kF64 ? 1e-12 : 5e-6);
          }
        });
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

// The weight's gradient is a sum over more than one part of the rows.
TEST(GatedHeadNormTest, SameBitsForAnyNumberOfThreads) {
  const Tensor o = RandomTensor({1300, 3, 8}, DType::kF32, 1);
  const Tensor gate = RandomTensor({1300, 24}, DType::kF32, 2);
  const Tensor weight = RandomTensor({8}, DType::kF32, 3);
  std::vector<std::vector<Tensor>> results;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    Tape tape;
    const std::vector<Var> in = {tape.Watch(o), tape.Watch(gate),
                                 tape.Watch(weight)};
    const Var y =
        GatedHeadNorm(in[0], in[1], HeadNorm::kRmsAffine, 1e-6, in[2]);
    SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                tape.Grad(Sum(Square(y)), in));
    grads.push_back(y.tensor());
    results.push_back(grads);
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_EQ(results[0][i].ToVector<float>(), results[1][i].ToVector<float>());
  }
}

// Far out the gate is open or shut, and its slope 1 or 0.
TEST(GatedHeadNormTest, LargeGates) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    Tape tape;
    const double far = dtype == DType::kF64 ? 1e300 : 1e30;
    const Tensor gate =
        *Tensor::FromValues<double>(Shape({1, 2}), {far, -far})->To(dtype);
    const Var g = tape.Watch(gate);
    const Var o = *Tensor::Full(Shape({1, 1, 2}), 1, dtype);
    const Var y = GatedHeadNorm(o, g, HeadNorm::kNone, 0);
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                                tape.Grad(Sum(y), {g}));
    EXPECT_EQ(y.tensor().ToVector<double>(),
              (std::vector<double>{gate.ToVector<double>()[0], 0}));
    EXPECT_EQ(grads[0].ToVector<double>(), (std::vector<double>{1, 0}));
  }
}

TEST(GatedHeadNormTest, NoRows) {
  const Var y =
      GatedHeadNorm(*Tensor::Zeros({0, 2, 3}, DType::kF32),
                    *Tensor::Zeros({0, 6}, DType::kF32), HeadNorm::kRms, 1e-6);
  SEPTET_ASSERT_OK(y.status());
  EXPECT_EQ(y.shape(), Shape({0, 6}));
}

TEST(GatedHeadNormTest, Errors) {
  const Var o = RandomTensor({3, 2, 4}, DType::kF32, 1);
  const Var gate = RandomTensor({3, 8}, DType::kF32, 2);
  const Var weight = RandomTensor({4}, DType::kF32, 3);
  const auto expect = [](const Var& y, const std::string& message) {
    EXPECT_THAT(y.status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                     Eq("gated_head_norm: " + message)));
  };
  expect(GatedHeadNorm(gate, o, HeadNorm::kRms, 1e-6),
         "gate is f32 [3, 2, 4], expected [24], the heads of o side by side");
  expect(GatedHeadNorm(weight, Var(), HeadNorm::kRms, 1e-6),
         "o is f32 [4], expected rank 2 to 8");
  expect(GatedHeadNorm(o, *gate.tensor().To(DType::kF64), HeadNorm::kRms, 1e-6),
         "dtypes differ: o is f32 [3, 2, 4], gate is f64 [3, 8]");
  expect(GatedHeadNorm(o, gate, HeadNorm::kRms, 1e-6, weight),
         "weight is given, expected none but for kRmsAffine");
  expect(GatedHeadNorm(o, gate, HeadNorm::kRmsAffine, 1e-6),
         "weight is not given, expected one for kRmsAffine");
  expect(GatedHeadNorm(o, gate, HeadNorm::kRmsAffine, 1e-6,
                       RandomTensor({5}, DType::kF32, 1)),
         "weight is f32 [5], expected axis 0 to be 4 (the width of a head of "
         "o)");
  expect(GatedHeadNorm(o, gate, HeadNorm::kRms, -1),
         "eps is -1, expected a finite number >= 0");
  expect(GatedHeadNorm(*Tensor::Zeros({3, 0, 4}, DType::kF32), Var(),
                       HeadNorm::kRms, 0),
         "o is f32 [3, 0, 4], expected axis 1 to be >= 1");
}

}  // namespace
}  // namespace septet
