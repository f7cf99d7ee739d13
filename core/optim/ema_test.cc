// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/ema.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

template <typename T>
Tensor Uniform(const Shape& shape, uint64_t seed) {
  TestRandom random(seed);
  std::vector<T> values(shape.num_elements());
  for (T& x : values) x = static_cast<T>(random.Uniform(-2, 2));
  return *Tensor::FromValues<T>(shape, values);
}

template <typename T>
class EmaTypedTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(EmaTypedTest, Types);

TYPED_TEST(EmaTypedTest, IsTheFormulaForAllSizes) {
  using T = TypeParam;
  for (const int64_t n : TestSizes()) {
    SCOPED_TRACE(n);
    const Tensor x = Uniform<T>({n}, 1);
    const Tensor y = Uniform<T>({n}, 2);
    const std::vector<T> before = y.ToVector<T>();
    SEPTET_ASSERT_OK(UpdateEma({x}, {0.3}, {y}));
    const std::vector<T> online = x.ToVector<T>();
    const std::vector<T> after = y.ToVector<T>();
    for (size_t i = 0; i < after.size(); ++i) {
      const long double want = 0.3L * online[i] + 0.7L * before[i];
      // Two products and a sum of at most 2, and the two rounded factors.
      EXPECT_NEAR(after[i], static_cast<double>(want),
                  4 * std::numeric_limits<T>::epsilon());
    }
  }
}

TYPED_TEST(EmaTypedTest, ConvergesGeometrically) {
  using T = TypeParam;
  const Tensor x = *Tensor::Full({5}, 1, kDTypeOf<T>);
  const Tensor y = *Tensor::Full({5}, 0, kDTypeOf<T>);
  for (int k = 0; k < 100; ++k) SEPTET_ASSERT_OK(UpdateEma({x}, {0.1}, {y}));
  for (const double value : y.ToVector<double>()) {
    EXPECT_NEAR(value, 1 - std::pow(0.9, 100),
                100 * std::numeric_limits<T>::epsilon());
  }
}

TYPED_TEST(EmaTypedTest, EndsOfTheRangeAreExact) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  const Tensor x = *Tensor::FromValues<T>({3}, {T(1), inf, T(2)});
  const Tensor y = *Tensor::FromValues<T>({3}, {T(7), T(8), -inf});
  SEPTET_ASSERT_OK(UpdateEma({x}, {0.0}, {y}));
  EXPECT_EQ(y.ToVector<T>(), (std::vector<T>{7, 8, -inf}));
  SEPTET_ASSERT_OK(UpdateEma({x}, {1.0}, {y}));
  EXPECT_EQ(y.ToVector<T>(), (std::vector<T>{1, inf, 2}));
}

std::vector<Tensor> Updated() {
  const std::vector<Tensor> online = {
      Uniform<float>({40001}, 1), Uniform<double>({0}, 2),
      Uniform<double>({7, 4099}, 3), Uniform<float>({}, 4)};
  const std::vector<Tensor> target = {
      Uniform<float>({40001}, 5), Uniform<double>({0}, 6),
      Uniform<double>({7, 4099}, 7), Uniform<float>({}, 8)};
  SEPTET_EXPECT_OK(UpdateEma(online, {0.005}, target));
  return target;
}

void ExpectSameBits(const std::vector<Tensor>& a,
                    const std::vector<Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].ToVector<double>(), b[i].ToVector<double>()) << i;
  }
}

TEST(EmaTest, BitsDependNeitherOnThreadsNorOnInstructionSet) {
  const std::vector<Tensor> expected = Updated();
  for (const int threads : {2, 5}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    ExpectSameBits(Updated(), expected);
  }
  ForEachTarget([&] { ExpectSameBits(Updated(), expected); });
}

TEST(EmaTest, RefusesWhatItCannotUpdate) {
  const Tensor x = *Tensor::Zeros({2, 3}, DType::kF32);
  const Tensor f64 = *Tensor::Zeros({2, 3}, DType::kF64);
  const Tensor other = *Tensor::Zeros({3}, DType::kF32);
  const Tensor integer = *Tensor::Zeros({2, 3}, DType::kI64);
  const Tensor transposed = *x.Permute({1, 0});
  for (const double tau : {-0.1, 1.1, std::nan("")}) {
    EXPECT_THAT(UpdateEma({x}, {tau}, {x}),
                StatusIs(kInvalid, HasSubstr("expected 0 <= tau <= 1")));
  }
  EXPECT_THAT(UpdateEma({x, x}, {}, {x}),
              StatusIs(kInvalid, HasSubstr("2 online tensors given for 1")));
  EXPECT_THAT(
      UpdateEma({x, f64}, {}, {x, x}),
      StatusIs(kInvalid, HasSubstr("online 1 is f64 [2, 3], expected f32 "
                                   "[2, 3]")));
  EXPECT_THAT(UpdateEma({other}, {}, {x}),
              StatusIs(kInvalid,
                       HasSubstr("online 0 is f32 [3], expected f32 [2, 3]")));
  EXPECT_THAT(
      UpdateEma({integer}, {}, {integer}),
      StatusIs(kInvalid, HasSubstr("target 0 is i64 [2, 3], expected")));
  EXPECT_THAT(UpdateEma({transposed}, {}, {transposed}),
              StatusIs(kInvalid, HasSubstr("target 0 (f32 [3, 2]) is not "
                                           "contiguous")));
  EXPECT_THAT(UpdateEma({x}, {}, {Tensor()}),
              StatusIs(kInvalid, HasSubstr("target 0 has no elements")));

  const float mapped[6] = {};
  const Tensor read_only = *Tensor::FromExternal(mapped, {2, 3}, DType::kF32,
                                                 /*read_only=*/true, nullptr);
  EXPECT_THAT(UpdateEma({x}, {}, {read_only}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("target 0 (f32 [2, 3]) is read-only")));
}

}  // namespace
}  // namespace septet
