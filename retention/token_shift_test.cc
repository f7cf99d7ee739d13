// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/token_shift.h"

#include <cstddef>
#include <cstdint>
#include <string>
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
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/token_shift_kernels.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// The mixtures, then dx and dmix of a weighted sum of all but the first where
// there are three.
std::vector<Tensor> Evaluate(const Tensor& x, const Tensor& mix,
                             const Tensor& before) {
  Tape tape;
  const std::vector<Var> in = {tape.Watch(x), tape.Watch(mix)};
  const std::vector<Var> y = TokenShift(in[0], in[1], before);
  std::vector<Tensor> results;
  Var sum;
  for (size_t m = 0; m < y.size(); ++m) {
    SEPTET_EXPECT_OK(y[m]);
    if (!y[m].ok()) return {};
    results.push_back(y[m].tensor());
    if (y.size() == 3 && m == 0) continue;
    const Tensor weights =
        RandomTensor(x.shape(), x.dtype(), 20 + static_cast<uint32_t>(m));
    const Var term = Sum(Mul(y[m], weights));
    sum = sum.defined() ? Add(sum, term) : term;
  }
  auto grads = tape.Grad(sum, in);
  SEPTET_EXPECT_OK(grads.status());
  if (!grads.ok()) return {};
  results.insert(results.end(), grads->begin(), grads->end());
  return results;
}

TEST(TokenShiftTest, Golden) {
  const Tensor x =
      *Tensor::FromValues<double>({1, 3, 2}, {1, 2, 4, 8, -1, 0.5});
  const Tensor mix = *Tensor::FromValues<double>({2, 2}, {0.25, 1, 0, 0.5});
  const Tensor before = *Tensor::FromValues<double>({1, 2}, {-2, 6});
  DispatchTrace trace;
  std::vector<Var> y = TokenShift(x, mix);
  ASSERT_EQ(y.size(), 2);
  SEPTET_ASSERT_OK(y[0]);
  EXPECT_THAT(trace.lines(), Contains("token_shift cpu/f64 highway"));
  EXPECT_EQ(y[0].tensor().ToVector<double>(),
            (std::vector<double>{0.25, 2, 1.75, 8, 2.75, 0.5}));
  EXPECT_EQ(y[1].tensor().ToVector<double>(),
            (std::vector<double>{0, 1, 1, 5, 4, 4.25}));
  y = TokenShift(x, mix, before);
  EXPECT_EQ(y[0].tensor().ToVector<double>(),
            (std::vector<double>{-1.25, 2, 1.75, 8, 2.75, 0.5}));
  EXPECT_EQ(y[1].tensor().ToVector<double>(),
            (std::vector<double>{-2, 4, 1, 5, 4, 4.25}));
}

TEST(TokenShiftTest, Gradients) {
  const Tensor before = RandomTensor({2, 3}, DType::kF64, 3);
  for (const Tensor& previous : {Tensor(), before}) {
    for (const int64_t mixtures : {1, 2, 3}) {
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) {
            return Concat(TokenShift(in[0], in[1], previous), 0);
          },
          {RandomTensor({2, 4, 3}, DType::kF64, 1),
           RandomTensor({mixtures, 3}, DType::kF64, 2)}));
    }
  }
}

TEST(TokenShiftTest, KernelMatchesComposite) {
  for (const Shape& shape :
       {Shape({1, 1, 1}), Shape({2, 3, 17}), Shape({3, 65, 5}),
        Shape({2, 0, 3}), Shape({1, 7, 33})}) {
    for (const int64_t mixtures : {1, 2, 3}) {
      for (const DType dtype : {DType::kF64, DType::kF32}) {
        for (const bool with_before : {false, true}) {
          SCOPED_TRACE(shape.ToString() + std::to_string(mixtures));
          const Tensor x = RandomTensor(shape, dtype, 1);
          const Tensor mix =
              RandomTensor(Shape({mixtures, shape.dim(2)}), dtype, 2);
          const Tensor before =
              with_before
                  ? RandomTensor(Shape({shape.dim(0), shape.dim(2)}), dtype, 3)
                  : Tensor();
          const std::vector<Tensor> got = Evaluate(x, mix, before);
          ScopedReference reference;
          const std::vector<Tensor> want = Evaluate(x, mix, before);
          ASSERT_EQ(got.size(), mixtures + 2);
          ASSERT_EQ(want.size(), got.size());
          for (size_t i = 0; i < got.size(); ++i) {
            ExpectNear(got[i], want[i], dtype == DType::kF64 ? 1e-13 : 1e-5);
          }
        }
      }
    }
  }
}

TEST(TokenShiftTest, PartsGiveTheWhole) {
  const Tensor x = RandomTensor({2, 9, 5}, DType::kF32, 1);
  const Tensor mix = RandomTensor({3, 5}, DType::kF32, 2);
  const std::vector<Var> whole = TokenShift(x, mix);
  const std::vector<Var> a = TokenShift(*x.Slice(1, 0, 4), mix);
  const std::vector<Var> b = TokenShift(
      *x.Slice(1, 4, 9), mix, Reshape(Slice(x, 1, 3, 4), {2, 5}).tensor());
  for (size_t m = 0; m < 3; ++m) {
    const Var joined = Concat({a[m], b[m]}, 1);
    SEPTET_ASSERT_OK(joined);
    EXPECT_EQ(joined.tensor().ToVector<float>(),
              whole[m].tensor().ToVector<float>());
  }
}

TEST(TokenShiftTest, ThreadsDoNotChangeBits) {
  const Tensor x = RandomTensor({3, 700, 130}, DType::kF32, 1);
  const Tensor mix = RandomTensor({3, 130}, DType::kF32, 2);
  const std::vector<Tensor> one = Evaluate(x, mix, {});
  for (const int threads : {2, 5}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    const std::vector<Tensor> many = Evaluate(x, mix, {});
    ASSERT_EQ(many.size(), one.size());
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(many[i].ToVector<float>(), one[i].ToVector<float>()) << i;
    }
  }
}

TEST(TokenShiftTest, Errors) {
  const auto random = [](std::vector<int64_t> dims, DType dtype = DType::kF64) {
    return RandomTensor(Shape(dims), dtype, 9);
  };
  const auto expect = [&](const std::vector<Var>& results, size_t count,
                          const std::string& text) {
    ASSERT_EQ(results.size(), count);
    for (const Var& y : results) {
      EXPECT_EQ(y.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(y.status().message()), HasSubstr(text));
    }
  };
  const Tensor x = random({2, 3, 4});
  expect(TokenShift({}, random({2, 4})), 2,
         "token_shift: input 0 is not given");
  expect(TokenShift(random({2, 3}), random({2, 3})), 2, "expected rank 3");
  expect(TokenShift(x, {}), 1, "mix is not given");
  expect(TokenShift(x, random({2, 3})), 2,
         "expected axis 1 to be 4 (the channels of x)");
  expect(TokenShift(x, random({4, 4})), 1, "expected 1 to 3 rows");
  expect(TokenShift(x, random({0, 4})), 1, "expected 1 to 3 rows");
  expect(TokenShift(x, random({1, 4}, DType::kF32)), 1, "dtypes differ");
  expect(TokenShift(x, random({1, 4}), random({2, 3})), 1,
         "before is f64 [2, 3], expected [2, 4]");
  expect(TokenShift(x, random({1, 4}), random({2, 4}, DType::kF32)), 1,
         "before is f32 [2, 4]");
}

// Every vector target against the formula, beside guards.
template <typename T>
void CheckKernels(int64_t channels, int mixtures, bool with_before,
                  StoreMode mode) {
  constexpr int64_t kSequences = 2, kRows = 7, kAll = kSequences * kRows;
  TestRandom random(static_cast<uint64_t>(channels));
  GuardedArray<T> x(kAll * channels), mix(mixtures * channels),
      before(kSequences * channels), dx(kAll * channels),
      dmix(mixtures * channels);
  for (GuardedArray<T>* a : {&x, &mix, &before, &dmix}) {
    a->FillUniform(&random, -1, 1);
  }
  const std::vector<T> dmix_before = dmix.ToVector();
  std::vector<GuardedArray<T>> y, dy;
  for (int m = 0; m < mixtures; ++m) {
    y.emplace_back(kAll * channels, m);
    dy.emplace_back(kAll * channels, m + 1);
    dy.back().FillUniform(&random, -1, 1);
  }
  // Streams go to whole lines alone: where a tensor's rows are such.
  const Tensor lines =
      *Tensor::Full(Shape({kAll * channels + 1}), 7, kDTypeOf<T>);
  T* const to_dx = mode == StoreMode::kStreaming
                       ? lines.template mutable_data<T>()
                       : dx.data();
  TokenShiftProblem<T> p;
  p.sequences = kSequences;
  p.rows = kRows;
  p.channels = channels;
  p.mixtures = mixtures;
  p.x = x.data();
  p.mix = mix.data();
  if (with_before) p.before = before.data();
  T* to[kMaxTokenShifts] = {};
  const T* from[kMaxTokenShifts] = {};
  for (int m = 0; m < mixtures; ++m) {
    to[m] = y[static_cast<size_t>(m)].data();
    // The last of three is not given.
    if (m < 2) from[m] = dy[static_cast<size_t>(m)].data();
  }
  TokenShiftForward(p, 0, 2, to, mode);
  TokenShiftForward(p, 2, kAll, to, mode);
  TokenShiftBackward(p, 0, 2, from, to_dx, dmix.data(), mode);
  TokenShiftBackward(p, 2, kAll, from, to_dx, dmix.data(), mode);
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
  for (int64_t c = 0; c < channels; ++c) {
    std::vector<double> sums(static_cast<size_t>(mixtures));
    for (int64_t r = 0; r < kAll; ++r) {
      const auto old = [&]() -> double {
        if (r % kRows != 0) return x[(r - 1) * channels + c];
        return with_before ? before[r / kRows * channels + c] : T{0};
      }();
      double want_dx = 0;
      for (int m = 0; m < mixtures; ++m) {
        const auto i = static_cast<size_t>(m);
        const double a = mix[m * channels + c];
        const double now = x[r * channels + c];
        ASSERT_NEAR(y[i][r * channels + c], a * now + (1 - a) * old, tolerance);
        if (m == 2) continue;
        sums[i] += dy[i][r * channels + c] * (now - old);
        want_dx += a * dy[i][r * channels + c];
        if ((r + 1) % kRows != 0) {
          want_dx += (1 - a) * dy[i][(r + 1) * channels + c];
        }
      }
      ASSERT_NEAR(to_dx[r * channels + c], want_dx, tolerance);
    }
    for (int m = 0; m < mixtures; ++m) {
      const auto i = static_cast<size_t>(m * channels + c);
      ASSERT_NEAR(dmix[m * channels + c],
                  double{dmix_before[i]} + sums[static_cast<size_t>(m)],
                  2 * tolerance);
    }
  }
  EXPECT_EQ(lines.template data<T>()[kAll * channels], 7);
  EXPECT_TRUE(dx.GuardsAreIntact() && dmix.GuardsAreIntact());
  for (const GuardedArray<T>& a : y) EXPECT_TRUE(a.GuardsAreIntact());
}

TEST(TokenShiftTest, EveryTarget) {
  ForEachTarget([] {
    for (const int64_t channels : {1, 2, 3, 7, 8, 9, 16, 17, 33, 64, 65}) {
      for (const int mixtures : {1, 2, 3}) {
        for (const StoreMode mode :
             {StoreMode::kCached, StoreMode::kStreaming}) {
          CheckKernels<float>(channels, mixtures, channels % 2 == 0, mode);
          CheckKernels<double>(channels, mixtures, channels % 2 == 1, mode);
        }
      }
    }
  });
}

}  // namespace
}  // namespace septet
