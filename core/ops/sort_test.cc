// SPDX-License-Identifier: Apache-2.0
// Running sums, sorting and top-k against plain loops, their gradients, and
// their errors.
#include "septet/core/ops/sort.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
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
#include "septet/core/ops/cumsum.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<Shape>& TestShapes() {
  static const auto* shapes = new std::vector<Shape>{
      {1}, {2}, {7}, {65}, {3, 5}, {2, 3, 70}, {4, 1, 3}, {2, 0, 3}, {0}};
  return *shapes;
}

// Calls fn(offset of the first element, stride, length) for each line of
// `shape` along an axis.
template <typename Fn>
void ForEachLine(const Shape& shape, int axis, const Fn& fn) {
  int64_t inner = 1, outer = 1;
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t j = 0; j < inner; ++j) {
      fn(o * shape[axis] * inner + j, inner, shape[axis]);
    }
  }
}

TEST(CumSumTest, MatchesALoopAndGradients) {
  for (const Shape& shape : TestShapes()) {
    for (int axis = 0; axis < shape.rank(); ++axis) {
      for (const bool exclusive : {false, true}) {
        for (const bool reverse : {false, true}) {
          SCOPED_TRACE(shape.ToString());
          const Tensor x = RandomTensor(shape, DType::kF64, 1);
          std::vector<double> want = x.ToVector<double>();
          ForEachLine(shape, axis, [&](int64_t at, int64_t stride, int64_t n) {
            double sum = 0;
            for (int64_t t = 0; t < n; ++t) {
              double& v = want[at + (reverse ? n - 1 - t : t) * stride];
              const double term = v;
              v = exclusive ? sum : sum + term;
              sum += term;
            }
          });
          const CumSumOptions options = {exclusive, reverse};
          DispatchTrace trace;
          const Var y = CumSum(x, axis, options);
          SEPTET_ASSERT_OK(y);
          EXPECT_THAT(trace.lines(), Contains("cumsum cpu/f64 loop"));
          EXPECT_EQ(y.tensor().ToVector<double>(), want);
          // f32: the sum in double, rounded.
          const Tensor x32 = x.To(DType::kF32).value();
          EXPECT_EQ(CumSum(x32, axis - shape.rank(), options)
                        .tensor()
                        .ToVector<float>(),
                    CumSum(x32.To(DType::kF64), axis, options)
                        .tensor()
                        .ToVector<float>());
          if (shape.num_elements() > 50) continue;
          SEPTET_EXPECT_OK(CheckGradients(
              [&](absl::Span<const Var> in) {
                return CumSum(in[0], axis, options);
              },
              {x}));
        }
      }
    }
  }
}

TEST(CumSumTest, LongSumsKeepTheirDigits) {
  const int64_t n = 1 << 20;
  const Tensor x = Tensor::Full({n}, 0.1, DType::kF32).value();
  EXPECT_EQ(CumSum(x, 0).tensor().ToVector<float>().back(),
            static_cast<float>(n * static_cast<double>(0.1f)));
}

template <typename T>
void ExpectSorted(const Tensor& x, int axis, bool descending) {
  const SortResult s = Sort(x, axis, {descending});
  SEPTET_ASSERT_OK(s.values);
  EXPECT_EQ(s.values.shape(), x.shape());
  EXPECT_EQ(s.indices.dtype(), DType::kI64);
  EXPECT_EQ(s.indices.tape(), nullptr);
  const auto values = x.ToVector<T>();
  const auto sorted = s.values.tensor().ToVector<T>();
  const auto indices = s.indices.tensor().ToVector<int64_t>();
  EXPECT_EQ(ArgSort(x, axis, {descending}).tensor().ToVector<int64_t>(),
            indices);
  ForEachLine(x.shape(), axis, [&](int64_t at, int64_t stride, int64_t n) {
    std::vector<int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    const auto nan = [](T v) { return v != v; };
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      const T va = values[at + a * stride], vb = values[at + b * stride];
      if (nan(va) || nan(vb)) return !nan(va) && nan(vb);
      return descending ? va > vb : va < vb;
    });
    for (int64_t t = 0; t < n; ++t) {
      ASSERT_EQ(indices[at + t * stride], order[t]);
      const T want = values[at + order[t] * stride];
      ASSERT_TRUE(sorted[at + t * stride] == want || nan(want));
    }
  });
  // Each top-k is the beginning of it.
  const int64_t n = x.dim(axis);
  for (const int64_t k : {int64_t{0}, int64_t{1}, n / 2, n}) {
    if (k > n) continue;
    const SortResult top = TopK(x, k, axis, {descending});
    SEPTET_ASSERT_OK(top.values);
    EXPECT_EQ(top.indices.tensor().ToVector<int64_t>(),
              s.indices.tensor()
                  .Slice(axis, 0, k)
                  .value()
                  .template ToVector<int64_t>());
  }
}

// Many ties, and for floating types NaN, infinities and both zeros.
template <typename T>
Tensor Awkward(const Shape& shape) {
  const std::vector<double> some =
      RandomTensor(shape, DType::kF64, 5, -3, 3).ToVector<double>();
  std::vector<T> values(some.size());
  for (size_t i = 0; i < some.size(); ++i) {
    values[i] = static_cast<T>(std::floor(some[i]));
    if constexpr (std::is_floating_point_v<T>) {
      if (some[i] > 2.5) values[i] = std::numeric_limits<T>::quiet_NaN();
      if (some[i] > 2.6) values[i] = -std::numeric_limits<T>::quiet_NaN();
      if (some[i] < -2.6) values[i] = -std::numeric_limits<T>::infinity();
      if (some[i] < -2.8) values[i] = std::numeric_limits<T>::infinity();
      if (some[i] > 0 && some[i] < 0.5) values[i] = T{-0.0};
    } else {
      if (some[i] > 2.7) values[i] = std::numeric_limits<T>::max();
      if (some[i] < -2.7) values[i] = std::numeric_limits<T>::min();
    }
  }
  return Tensor::FromValues<T>(shape, values).value();
}

TEST(SortTest, IsStableWithNaNLastAlongEveryAxis) {
  for (const Shape& shape : TestShapes()) {
    for (int axis = 0; axis < shape.rank(); ++axis) {
      for (const bool descending : {false, true}) {
        SCOPED_TRACE(testing::Message() << shape << " axis " << axis);
        ExpectSorted<double>(Awkward<double>(shape), axis, descending);
        ExpectSorted<float>(Awkward<float>(shape), axis, descending);
        ExpectSorted<int32_t>(Awkward<int32_t>(shape), axis, descending);
        ExpectSorted<int64_t>(Awkward<int64_t>(shape), axis, descending);
      }
    }
  }
}

TEST(SortTest, ZerosAreEqualAndKeepTheirSigns) {
  const SortResult s =
      Sort(Tensor::FromValues<float>({3}, {0.0f, -0.0f, -1.0f}).value());
  EXPECT_THAT(s.indices.tensor().ToVector<int64_t>(), ElementsAre(2, 0, 1));
  EXPECT_TRUE(std::signbit(s.values.tensor().ToVector<float>()[2]));
}

TEST(SortTest, GradientsGoToTheElementsTaken) {
  const Tensor x = RandomTensor({3, 4, 2}, DType::kF64, 7, -5, 5);
  for (const int64_t axis : {0, 1, -1}) {
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return Sort(in[0], axis, {true}).values;
        },
        {x}));
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return TopK(in[0], 2, axis, {false}).values;
        },
        {x}));
  }
  Tape tape;
  const Var row =
      tape.Watch(Tensor::FromValues<double>({4}, {1, 5, 3, 5}).value());
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                              tape.Grad(Sum(TopK(row, 2).values), {row}));
  EXPECT_THAT(grads[0].ToVector<double>(), ElementsAre(0, 1, 0, 1));
}

TEST(SortTest, ThreadsChangeNoBit) {
  const Tensor x = Awkward<float>({37, 129, 3});
  std::vector<int64_t> first;
  std::vector<float> sums;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    const auto order = ArgSort(x, 1).tensor().ToVector<int64_t>();
    const auto sum = CumSum(RandomTensor({300, 400}, DType::kF32, 1), 0)
                         .tensor()
                         .ToVector<float>();
    if (threads == 1) {
      first = order;
      sums = sum;
    }
    EXPECT_EQ(order, first);
    EXPECT_EQ(sum, sums);
  }
}

TEST(SortTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  EXPECT_THAT(Sort(x, 2).values, invalid("sort of x, f32 [2, 3]: axis 2"));
  EXPECT_THAT(ArgSort(x, -3), invalid("arg_sort of x, f32 [2, 3]: axis -3"));
  EXPECT_THAT(TopK(x, 1, 2).values, invalid("top_k of x, f32 [2, 3]: axis 2"));
  EXPECT_THAT(TopK(x, 4).values,
              invalid("top_k: k is 4, expected 0 <= k <= 3, axis 1 of x, f32 "
                      "[2, 3]"));
  EXPECT_THAT(TopK(x, -1, 0).indices,
              invalid("top_k: k is -1, expected 0 <= k <= 2, axis 0"));
  EXPECT_THAT(Sort(Tensor::Scalar(1, DType::kF32)).values,
              invalid("arg_sort: x is f32 [], expected rank 1 to 8"));
  EXPECT_THAT(Sort(Tensor::Zeros({2}, DType::kBool)).values,
              invalid("arg_sort: x is bool [2], expected f32, f64, i32 or "
                      "i64"));
  EXPECT_THAT(Sort(Var()).values, invalid("arg_sort: input 0 is not given"));
  EXPECT_THAT(Sort(absl::NotFoundError("gone")).values,
              StatusIs(absl::StatusCode::kNotFound, "gone"));
  EXPECT_THAT(CumSum(x, 2), invalid("cumsum of x, f32 [2, 3]: axis 2"));
  EXPECT_THAT(CumSum(Tensor::Zeros({2}, DType::kI32), 0),
              invalid("cumsum: x is i32 [2], expected f32 or f64"));
  EXPECT_THAT(CumSum(Tensor::Scalar(1, DType::kF64), 0),
              invalid("cumsum: x is f64 [], expected rank 1 to 8"));
}

}  // namespace
}  // namespace septet
