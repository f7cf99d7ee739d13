// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/gated_activation.h"

#include <cmath>
#include <cstdint>
#include <limits>
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
#include "septet/core/ops/gated_activation_kernels.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(GatedActivationTest, SwiGluByDefinition) {
  const Tensor x = RandomTensor({3, 37}, DType::kF64, 1, -6, 6);
  const Tensor gate = RandomTensor({3, 37}, DType::kF64, 2, -2, 2);
  const Var y = GatedActivation(ActivationKind::kSwish, x, gate);
  SEPTET_ASSERT_OK(y);
  std::vector<double> want;
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    const double v = x.data<double>()[i];
    want.push_back(v / (1 + std::exp(-v)) * gate.data<double>()[i]);
  }
  ExpectNear(y.tensor(), Tensor::FromValues<double>({3, 37}, want).value(),
             1e-15);
}

// Values and gradients of the kernel and of Mul(Activation(x), gate).
TEST(GatedActivationTest, KernelMatchesFormula) {
  for (const ActivationKind kind : kAllActivationKinds) {
    for (const int64_t n : TestSizes()) {
      for (const DType dtype : {DType::kF64, DType::kF32}) {
        const Tensor x = RandomTensor(Shape({n}), dtype, 1, -6, 6);
        const Tensor gate = RandomTensor(Shape({n}), dtype, 2, -2, 2);
        const Tensor dy = RandomTensor(Shape({n}), dtype, 3, -1, 1);
        const auto run = [&] {
          Tape tape;
          const std::vector<Var> in = {tape.Watch(x), tape.Watch(gate)};
          const Var y = GatedActivation(kind, in[0], in[1]);
          std::vector<Tensor> result = {y.tensor()};
          const auto grads = tape.GradVars({y}, {Var(dy)}, in, false);
          SEPTET_EXPECT_OK(grads);
          for (const Var& grad : *grads) result.push_back(grad.tensor());
          return result;
        };
        DispatchTrace trace;
        const std::vector<Tensor> fused = run();
        EXPECT_THAT(trace.lines(), Contains(HasSubstr("highway")));
        ScopedReference reference;
        const std::vector<Tensor> formula = run();
        for (size_t i = 0; i < fused.size(); ++i) {
          SCOPED_TRACE(ActivationName(kind));
          ExpectNear(fused[i], formula[i], dtype == DType::kF64 ? 4e-15 : 2e-6);
        }
      }
    }
  }
}

TEST(GatedActivationTest, Gradients) {
  for (const ActivationKind kind : kAllActivationKinds) {
    // Away from 0, where some have a kink.
    const Tensor x =
        Tensor::FromValues<double>({2, 3}, {-2.5, -0.7, -0.1, 0.2, 0.9, 3.1})
            .value();
    SEPTET_EXPECT_OK(CheckGradients(
        [kind](absl::Span<const Var> in) {
          return GatedActivation(kind, in[0], in[1]);
        },
        {x, RandomTensor({2, 3}, DType::kF64, 2, -2, 2)}))
        << ActivationName(kind);
  }
}

// Every target, misaligned arrays, both ways to store, outputs over inputs.
template <typename T>
void CheckKernels(StoreMode mode) {
  constexpr ActivationKind kKind = ActivationKind::kSwish;
  const double eps = std::numeric_limits<T>::epsilon();
  ForEachTarget([&] {
    for (const int64_t n : TestSizes()) {
      // Vectors have 16 bytes or more: one of the places begins a line.
      for (const int64_t quarter : {0, 1, 2, 3}) {
        const int64_t misalign = quarter * 16 / int64_t{sizeof(T)};
        TestRandom random(7);
        GuardedArray<T> x(n, 1), gate(n, 0), dy(n, 1);
        GuardedArray<T> y(n, misalign), dx(n, misalign), dgate(n, misalign);
        for (int64_t i = 0; i < n; ++i) {
          x.data()[i] = static_cast<T>(random.Uniform(-20, 20));
          gate.data()[i] = static_cast<T>(random.Uniform(-2, 2));
          dy.data()[i] = static_cast<T>(random.Uniform(-1, 1));
        }
        GatedActivationForward(kKind, n, x.data(), gate.data(), y.data(), mode);
        GatedActivationBackward(kKind, n, x.data(), gate.data(), dy.data(),
                                dx.data(), dgate.data(), mode);
        for (int64_t i = 0; i < n; ++i) {
          const double v = x.data()[i];
          const double sigmoid = 1 / (1 + std::exp(-v));
          const double g = gate.data()[i];
          const double c = dy.data()[i];
          const double slope = sigmoid + v * sigmoid * (1 - sigmoid);
          EXPECT_NEAR(y.data()[i], v * sigmoid * g, 80 * eps);
          EXPECT_NEAR(dgate.data()[i], v * sigmoid * c, 80 * eps);
          EXPECT_NEAR(dx.data()[i], c * g * slope, 80 * eps);
        }
        ASSERT_TRUE(y.GuardsAreIntact() && dx.GuardsAreIntact() &&
                    dgate.GuardsAreIntact());
        GuardedArray<T> again_dx(n, 3), again_dgate(n, 2), value(n, 1);
        GatedActivationBackwardAndValue(kKind, n, x.data(), gate.data(),
                                        dy.data(), again_dx.data(),
                                        again_dgate.data(), value.data());
        EXPECT_EQ(again_dx.ToVector(), dx.ToVector());
        EXPECT_EQ(again_dgate.ToVector(), dgate.ToVector());
        for (int64_t i = 0; i < n; ++i) {
          EXPECT_NEAR(value[i], y[i], 80 * eps);
        }
        ASSERT_TRUE(value.GuardsAreIntact());
        // In place: dx over dy, dgate over gate.
        GatedActivationBackward(kKind, n, x.data(), gate.data(), dy.data(),
                                dy.data(), gate.data(), mode);
        EXPECT_EQ(dy.ToVector(), dx.ToVector());
        EXPECT_EQ(gate.ToVector(), dgate.ToVector());
      }
    }
  });
}

TEST(GatedActivationTest, KernelsF32) {
  CheckKernels<float>(StoreMode::kCached);
  CheckKernels<float>(StoreMode::kStreaming);
}
TEST(GatedActivationTest, KernelsF64) {
  CheckKernels<double>(StoreMode::kCached);
  CheckKernels<double>(StoreMode::kStreaming);
}

TEST(GatedActivationTest, BitsDoNotDependOnThreads) {
  const Tensor x = RandomTensor({300, 701}, DType::kF32, 1, -6, 6);
  const Tensor gate = RandomTensor({300, 701}, DType::kF32, 2, -2, 2);
  const auto run = [&] {
    return GatedActivation(ActivationKind::kGelu, x, gate)
        .tensor()
        .ToVector<float>();
  };
  const std::vector<float> want = run();
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(run(), want);
}

TEST(GatedActivationTest, Errors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  const auto error = [&](const Var& a, const Var& b) {
    return GatedActivation(ActivationKind::kSwish, a, b).status();
  };
  EXPECT_THAT(error(x, RandomTensor({3, 2}, DType::kF32, 2)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("gate is f32 [3, 2], expected the shape of "
                                 "x, [2, 3]")));
  EXPECT_THAT(error(x, RandomTensor({2, 3}, DType::kF64, 2)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("dtypes differ: x is f32 [2, 3], gate is f64 "
                                 "[2, 3]")));
  EXPECT_THAT(error(Tensor::Zeros({2}, DType::kI64).value(), x),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("x is i64 [2], expected f32 or f64")));
  EXPECT_THAT(error(x, Var()), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("gate is not given")));
}

}  // namespace
}  // namespace septet
