// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/eigs.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/eigh.h"
#include "septet/core/blas/linalg_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;
using Operator = std::function<absl::StatusOr<Tensor>(const Tensor&)>;

// x -> x A^T of a matrix, in double, rounded to x's dtype.
Operator OfMatrix(const TestMatrix& a) {
  return [a](const Tensor& x) -> absl::StatusOr<Tensor> {
    return Product(TestMatrix(x), Transposed(a)).ToTensor(x.dtype());
  };
}
Operator OfDiagonal(const std::vector<double>& d) {
  return [d](const Tensor& x) -> absl::StatusOr<Tensor> {
    TestMatrix y(x);
    for (int64_t i = 0; i < y.rows; ++i) {
      for (int64_t j = 0; j < y.cols; ++j) y(i, j) *= d[j];
    }
    return y.ToTensor(x.dtype());
  };
}

TEST(EigsTest, AgreesWithTheDenseSolver) {
  for (const int64_t n : {1, 2, 5, 40, 150}) {
    const TestMatrix a = RandomSymmetric(n, 1);
    SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult dense, Eigh(a.ToTensor()));
    const std::vector<double> w = dense.values.ToVector<double>();
    for (const EigsWhich which : {EigsWhich::kLargest, EigsWhich::kSmallest,
                                  EigsWhich::kLargestMagnitude}) {
      std::vector<double> want = w;
      if (which == EigsWhich::kLargest) {
        std::reverse(want.begin(), want.end());
      } else if (which == EigsWhich::kLargestMagnitude) {
        std::sort(want.begin(), want.end(),
                  [](double p, double q) { return std::abs(p) > std::abs(q); });
      }
      for (const int64_t k : {int64_t{1}, std::min<int64_t>(n, 6), n}) {
        if (n == 150 && k == n) continue;
        SCOPED_TRACE(testing::Message() << n << ", k " << k);
        EigsOptions options;
        options.k = k;
        options.which = which;
        options.block = 3;
        SEPTET_ASSERT_OK_AND_ASSIGN(const EigsResult e,
                                    Eigs(n, OfMatrix(a), options));
        EXPECT_EQ(e.values.shape(), Shape({k}));
        EXPECT_EQ(e.vectors.shape(), Shape({n, k}));
        const double largest =
            std::max(std::abs(w.front()), std::abs(w.back()));
        const TestMatrix v(e.vectors);
        ExpectOrthonormalColumns(v, 1e-12);
        const TestMatrix av = Product(a, v);
        for (int64_t j = 0; j < k; ++j) {
          const double value = e.values.ToVector<double>()[j];
          EXPECT_NEAR(value, want[j], 1e-8 * largest);
          EXPECT_TRUE(HasPositiveLargestEntry(v, j));
          double squares = 0;
          for (int64_t i = 0; i < n; ++i) {
            squares += std::pow(av(i, j) - value * v(i, j), 2);
          }
          EXPECT_LE(std::sqrt(squares), 1.01e-8 * largest + 1e-14);
          EXPECT_NEAR(e.residuals.ToVector<double>()[j], std::sqrt(squares),
                      1e-12 * largest + 1e-14);
        }
      }
    }
  }
}

TEST(EigsTest, RestartsUntilCloseValuesAreApart) {
  // Second differences on 300 points: the smallest values are 1e-4 and close,
  // which takes many bases of 30 vectors.
  const int64_t n = 300;
  TestMatrix a(n, n);
  for (int64_t i = 0; i < n; ++i) {
    a(i, i) = 2;
    if (i > 0) a(i, i - 1) = a(i - 1, i) = -1;
  }
  EigsOptions options;
  options.k = 3;
  options.block = 4;
  options.max_basis = 30;
  options.tolerance = 1e-7;
  SEPTET_ASSERT_OK_AND_ASSIGN(const EigsResult e,
                              Eigs(n, OfMatrix(a), options));
  for (int64_t j = 0; j < 3; ++j) {
    EXPECT_NEAR(e.values.ToVector<double>()[j],
                2 + 2 * std::cos(M_PI * (j + 1) / (n + 1)), 1e-8);
  }
  EXPECT_GT(e.calls, 10);
}

TEST(EigsTest, RepeatedValuesAreFoundAsOftenAsTheyOccur) {
  std::vector<double> d(60, 0.0);
  for (int64_t i = 0; i < 60; ++i) d[i] = i < 5 ? 3.0 : 1.0 / (1 + i);
  EigsOptions options;
  options.k = 7;
  SEPTET_ASSERT_OK_AND_ASSIGN(const EigsResult e,
                              Eigs(60, OfDiagonal(d), options));
  const std::vector<double> w = e.values.ToVector<double>();
  for (int64_t j = 0; j < 5; ++j) EXPECT_NEAR(w[j], 3, 1e-12);
  EXPECT_NEAR(w[5], 1.0 / 6, 1e-8);
  EXPECT_NEAR(w[6], 1.0 / 7, 1e-8);
  // The space of the first five is that of the first five axes.
  const TestMatrix v(e.vectors);
  for (int64_t j = 0; j < 5; ++j) {
    for (int64_t i = 5; i < 60; ++i) EXPECT_NEAR(v(i, j), 0, 1e-8);
  }
}

TEST(EigsTest, ProjectionsIdentitiesAndZero) {
  std::vector<double> d(50, 0.0);
  d[3] = d[17] = 1;
  EigsOptions options;
  options.k = 4;
  SEPTET_ASSERT_OK_AND_ASSIGN(const EigsResult projection,
                              Eigs(50, OfDiagonal(d), options));
  EXPECT_THAT(
      projection.values.ToVector<double>(),
      ::testing::Pointwise(::testing::DoubleNear(1e-12), {1.0, 1.0, 0.0, 0.0}));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const EigsResult zero,
      Eigs(50, OfDiagonal(std::vector<double>(50, 0.0)), options));
  EXPECT_THAT(zero.values.ToVector<double>(), ::testing::Each(0.0));
  ExpectOrthonormalColumns(TestMatrix(zero.vectors), 1e-12);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const EigsResult identity,
      Eigs(50, OfDiagonal(std::vector<double>(50, 1.0)), options));
  EXPECT_THAT(identity.values.ToVector<double>(),
              ::testing::Each(::testing::DoubleNear(1.0, 1e-12)));
}

TEST(EigsTest, SinglePrecisionOperator) {
  const TestMatrix a = RandomSymmetric(80, 4);
  EigsOptions options;
  options.k = 5;
  options.dtype = DType::kF32;
  options.tolerance = 1e-5;
  const auto apply = [&](const Tensor& x) -> absl::StatusOr<Tensor> {
    EXPECT_EQ(x.dtype(), DType::kF32);
    EXPECT_LE(x.dim(0), 8);
    return OfMatrix(a)(x);
  };
  SEPTET_ASSERT_OK_AND_ASSIGN(const EigsResult e, Eigs(80, apply, options));
  EXPECT_EQ(e.values.dtype(), DType::kF32);
  EXPECT_EQ(e.vectors.dtype(), DType::kF32);
  SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult dense, Eigh(a.ToTensor()));
  for (int64_t j = 0; j < 5; ++j) {
    EXPECT_NEAR(e.values.ToVector<double>()[j],
                dense.values.ToVector<double>()[79 - j], 1e-4);
  }
}

TEST(EigsTest, SeedsDecideTheBitsAndThreadsDoNot) {
  const TestMatrix a = RandomSymmetric(90, 6);
  EigsOptions options;
  options.k = 4;
  std::vector<double> first;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    SEPTET_ASSERT_OK_AND_ASSIGN(const EigsResult e,
                                Eigs(90, OfMatrix(a), options));
    const std::vector<double> bits = e.vectors.ToVector<double>();
    if (threads == 1) first = bits;
    EXPECT_EQ(bits, first);
  }
  options.seed = 1;
  SEPTET_ASSERT_OK_AND_ASSIGN(const EigsResult other,
                              Eigs(90, OfMatrix(a), options));
  ExpectMatrixNear(
      TestMatrix(other.vectors),
      TestMatrix(Tensor::FromValues<double>({90, 4}, first).value()), 1e-6);
  EXPECT_NE(other.vectors.ToVector<double>(), first);
}

TEST(EigsTest, ScalesWhoseSquaresLeaveTheRange) {
  for (const double scale : {1e-250, 1e-200, 1e200, 1e250}) {
    EigsOptions options;
    options.k = 2;
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const EigsResult e, Eigs(
                                60,
                                [&](const Tensor& x) -> absl::StatusOr<Tensor> {
                                  Tensor y = x.Clone().value();
                                  double* p = y.mutable_data<double>();
                                  for (int64_t i = 0; i < y.num_elements();
                                       ++i) {
                                    p[i] *= scale * static_cast<double>(i % 60);
                                  }
                                  return y;
                                },
                                options));
    EXPECT_NEAR(e.values.ToVector<double>()[0] / scale, 59, 1e-9);
    EXPECT_NEAR(e.values.ToVector<double>()[1] / scale, 58, 1e-9);
  }
}

TEST(EigsTest, SaysHowManyConverged) {
  EigsOptions options;
  options.k = 3;
  options.max_calls = 2;
  options.block = 2;
  EXPECT_THAT(
      Eigs(100, OfMatrix(RandomSymmetric(100, 1)), options),
      StatusIs(absl::StatusCode::kDeadlineExceeded,
               AllOf(HasSubstr("eigs: 0 of 3 pairs converged within 2 calls of "
                               "the operator; residuals "),
                     HasSubstr(", expected at most "))));
  // What rounding does not allow.
  options = {};
  options.tolerance = 1e-30;
  options.max_calls = 50;
  EXPECT_THAT(Eigs(10, OfMatrix(RandomSymmetric(10, 1)), options),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       HasSubstr("0 of 1 pairs converged")));
}

TEST(EigsTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const Operator good = OfMatrix(RandomSymmetric(12, 1));
  const auto with = [&](const std::function<void(EigsOptions&)>& change) {
    EigsOptions options;
    change(options);
    return Eigs(12, good, options).status();
  };
  EXPECT_THAT(Eigs(0, good), invalid("eigs: n is 0, expected >= 1"));
  EXPECT_THAT(Eigs(int64_t{1} << 31, good),
              invalid("eigs: n is 2147483648, expected at most 2^31 - 1"));
  EigsOptions huge;
  huge.k = 32760;
  EXPECT_THAT(Eigs(100000, good, huge),
              invalid("eigs: k is 32760 and block 8, expected k and two blocks "
                      "to be at most 32766"));
  // 2^31 vectors' worth of memory is asked for before anything is computed.
  huge.k = 30000;
  EXPECT_THAT(Eigs((int64_t{1} << 31) - 1, good, huge),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("eigs: the bases of 32766 vectors")));
  EXPECT_THAT(with([](auto& o) { o.k = 0; }),
              invalid("eigs: k is 0, expected 1 <= k <= 12"));
  EXPECT_THAT(with([](auto& o) { o.k = 13; }), invalid("k is 13"));
  EXPECT_THAT(with([](auto& o) { o.tolerance = 0; }),
              invalid("tolerance is 0, expected a number in (0, 1)"));
  EXPECT_THAT(with([](auto& o) { o.max_calls = 0; }),
              invalid("max_calls is 0"));
  EXPECT_THAT(with([](auto& o) { o.block = 0; }), invalid("block is 0"));
  EXPECT_THAT(with([](auto& o) {
                o.block = 2;
                o.max_basis = 4;
              }),
              invalid("max_basis is 4, expected 0 or at least 5"));
  EXPECT_THAT(with([](auto& o) { o.dtype = DType::kI32; }),
              invalid("dtype is i32, expected f32 or f64"));
  EXPECT_THAT(
      Eigs(12,
           [](const Tensor&) -> absl::StatusOr<Tensor> {
             return absl::NotFoundError("no network");
           }),
      StatusIs(absl::StatusCode::kNotFound, "eigs: operator: no network"));
  EXPECT_THAT(Eigs(12,
                   [](const Tensor&) -> absl::StatusOr<Tensor> {
                     return Tensor::Zeros({1, 12}, DType::kF64);
                   }),
              invalid("eigs: the operator returned f64 [1, 12], expected f64 "
                      "[8, 12]"));
  EXPECT_THAT(
      Eigs(12,
           [&](const Tensor& x) -> absl::StatusOr<Tensor> {
             Tensor y = x.Clone().value();
             y.mutable_data<double>()[14] = std::nan("");
             return y;
           }),
      invalid("eigs: the operator's result[1, 2] is nan, expected finite"));
  TestMatrix skew = RandomSymmetric(12, 1);
  skew(0, 11) += 1;
  EXPECT_THAT(
      Eigs(12, OfMatrix(skew)),
      invalid("eigs: the operator is not symmetric: v^T A w and w^T A v "
              "differ by "));
}

}  // namespace
}  // namespace septet
