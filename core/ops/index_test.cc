// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/index.h"

#include <cmath>
#include <cstdint>
#include <functional>
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
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/random/philox.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Numbers below n.
Tensor RandomIds(const Shape& shape, int64_t n, uint32_t stream,
                 DType dtype = DType::kI64) {
  Tensor ids = Tensor::Empty(shape, DType::kI64).value();
  for (int64_t i = 0; i < ids.num_elements(); ++i) {
    ids.mutable_data<int64_t>()[i] =
        Philox4x32({stream, 7}, {static_cast<uint32_t>(i), 0, 0, 0})[0] % n;
  }
  return ids.To(dtype).value();
}

Tensor Ids(const Shape& shape, const std::vector<int64_t>& values) {
  return Tensor::FromValues<int64_t>(shape, values).value();
}

// The gradient of sum(weights * fn(x)) in x.
Tensor GradOf(const Tensor& x, const Tensor& weights,
              const std::function<Var(const Var&)>& fn) {
  Tape tape;
  const Var v = tape.Watch(x);
  return tape.GradVars({fn(v)}, {weights}, {v}, false).value()[0].tensor();
}

TEST(EmbeddingTest, RowsOfEveryWidthAndIndexType) {
  for (const int64_t d : {1, 2, 3, 4, 7, 16, 17, 64, 65}) {
    for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16}) {
      for (const DType id_dtype : {DType::kI32, DType::kI64}) {
        const Tensor weight = RandomTensor({5, d}, dtype, 1);
        const Tensor ids = RandomIds({2, 3}, 5, 2, id_dtype);
        DispatchTrace trace;
        const Var y = Embedding(weight, ids);
        SEPTET_ASSERT_OK(y);
        EXPECT_EQ(y.shape(), Shape({2, 3, d}));
        EXPECT_THAT(trace.lines(), Contains(HasSubstr("embedding cpu/")));
        const std::vector<double> w = weight.ToVector<double>();
        const std::vector<int64_t> id = ids.ToVector<int64_t>();
        const std::vector<double> got = y.tensor().ToVector<double>();
        for (size_t i = 0; i < got.size(); ++i) {
          ASSERT_EQ(got[i], w[id[i / d] * d + i % d]);
        }
      }
    }
  }
}

TEST(EmbeddingTest, GradientsOfRepeatedIds) {
  const Tensor weight = RandomTensor({4, 3}, DType::kF64, 1);
  const Tensor ids = Ids({2, 3}, {1, 3, 1, 1, 0, 3});
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) { return Embedding(in[0], ids); },
      {weight}));
  // Through a nonlinear function, for second derivatives that are not zero.
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) { return Square(Embedding(in[0], ids)); },
      {weight}, {1e-5, 1e-6}));
}

TEST(EmbeddingTest, GradientIsTheSumOfRowsInEveryShape) {
  for (const int64_t count : {1, 2, 31, 32, 33, 64, 65, 97, 1000}) {
    for (const int64_t d : {1, 3, 15, 16, 17, 64, 65, 130}) {
      const Tensor weight = RandomTensor({3, d}, DType::kF32, 1);
      const Tensor ids = RandomIds({count}, 3, 2);
      const Tensor dy = RandomTensor({count, d}, DType::kF32, 3);
      const Tensor dw =
          GradOf(weight, dy, [&](const Var& w) { return Embedding(w, ids); });
      std::vector<double> want(3 * d, 0.0);
      const std::vector<int64_t> id = ids.ToVector<int64_t>();
      const std::vector<double> g = dy.ToVector<double>();
      for (int64_t i = 0; i < count * d; ++i) {
        want[id[i / d] * d + i % d] += g[i];
      }
      // 32 terms one after the other, then a tree: 38 roundings of sums below
      // the square root of their number, loosely.
      ExpectNear(dw, Tensor::FromValues<double>({3, d}, want).value(),
                 38 * 6e-8 * std::sqrt(static_cast<double>(count)));
    }
  }
}

TEST(EmbeddingTest, GradientBitsDoNotDependOnThreads) {
  const Tensor weight = RandomTensor({1000, 96}, DType::kF32, 1);
  const Tensor ids = RandomIds({3000}, 40, 2);
  const Tensor dy = RandomTensor({3000, 96}, DType::kF32, 3);
  const auto run = [&] {
    return GradOf(weight, dy, [&](const Var& w) { return Embedding(w, ids); })
        .ToVector<float>();
  };
  const std::vector<float> serial = run();
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    EXPECT_EQ(run(), serial);
  }
}

TEST(EmbeddingTest, RowsOfAViewThatBeginsAnywhere) {
  const Tensor bytes =
      RandomTensor({6 * 32 + 8}, DType::kF64, 1, 0, 200).To(DType::kU8).value();
  for (const int64_t offset : {0, 1, 2, 3, 4}) {
    const Tensor weight =
        bytes.Slice(0, offset, offset + 6 * 32)->Reshape({6, 32}).value();
    const std::vector<int32_t> all = weight.ToVector<int32_t>();
    const std::vector<int32_t> got =
        Embedding(weight, Ids({2}, {5, 1})).tensor().ToVector<int32_t>();
    EXPECT_EQ(std::vector<int32_t>(got.begin(), got.begin() + 32),
              std::vector<int32_t>(all.begin() + 5 * 32, all.end()));
    EXPECT_EQ(std::vector<int32_t>(got.begin() + 32, got.end()),
              std::vector<int32_t>(all.begin() + 32, all.begin() + 64));
  }
}

TEST(EmbeddingTest, EmptyExtents) {
  const Tensor none = Tensor::Zeros({0}, DType::kI64).value();
  EXPECT_EQ(Embedding(RandomTensor({3, 2}, DType::kF32, 1), none).shape(),
            Shape({0, 2}));
  EXPECT_EQ(Embedding(Tensor::Zeros({0, 2}, DType::kF32).value(), none).shape(),
            Shape({0, 2}));
  const Tensor dw = GradOf(RandomTensor({3, 2}, DType::kF64, 1),
                           Tensor::Zeros({0, 2}, DType::kF64).value(),
                           [&](const Var& w) { return Embedding(w, none); });
  EXPECT_EQ(dw.ToVector<double>(), std::vector<double>(6, 0.0));
  EXPECT_EQ(
      Embedding(Tensor::Zeros({3, 0}, DType::kF32).value(), Ids({2}, {0, 2}))
          .shape(),
      Shape({2, 0}));
}

TEST(EmbeddingTest, Errors) {
  const Tensor weight = RandomTensor({5, 3}, DType::kF32, 1);
  EXPECT_THAT(
      Embedding(weight, Ids({2, 3}, {0, 1, 2, 3, 4, 5})),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("embedding: ids[1, 2] is 5, expected 0 <= ids < 5 "
                         "(rows of weight)")));
  EXPECT_THAT(Embedding(weight, Ids({2}, {0, -1})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("embedding: ids[1] is -1, expected 0 <= ids "
                                 "< 5")));
  EXPECT_THAT(Embedding(weight, Ids({}, {9})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("embedding: ids is 9, expected")));
  EXPECT_THAT(Embedding(weight, weight),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ids is f32 [5, 3], expected i32 or i64")));
  EXPECT_THAT(Embedding(RandomTensor({5}, DType::kF32, 1), Ids({1}, {0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("weight is f32 [5], expected rank 2")));
  EXPECT_THAT(Embedding(weight, Var()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ids is not given")));
}

TEST(IndexSelectTest, ValuesAndGradientsOnEveryAxis) {
  const Tensor x = RandomTensor({3, 4, 5}, DType::kF64, 1);
  const Tensor index = Ids({4}, {2, 0, 2, 1});
  for (const int64_t axis : {0, 1, 2, -1}) {
    SCOPED_TRACE(axis);
    const Var y = IndexSelect(x, axis, index);
    SEPTET_ASSERT_OK(y);
    const int64_t resolved = axis < 0 ? axis + 3 : axis;
    for (int64_t k = 0; k < 4; ++k) {
      EXPECT_EQ(
          y.tensor().Slice(axis, k, k + 1)->ToVector<double>(),
          x.Slice(axis, index.data<int64_t>()[k], index.data<int64_t>()[k] + 1)
              ->ToVector<double>());
    }
    EXPECT_EQ(y.dim(static_cast<int>(resolved)), 4);
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return Square(IndexSelect(in[0], axis, index));
        },
        {x}, {1e-5, 1e-6}));
  }
}

TEST(IndexSelectTest, Errors) {
  const Tensor x = RandomTensor({3, 4}, DType::kF32, 1);
  EXPECT_THAT(IndexSelect(x, 1, Ids({2}, {0, 4})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("index_select: index[1] is 4, expected 0 <= "
                                 "index < 4")));
  EXPECT_THAT(IndexSelect(x, 2, Ids({1}, {0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("index_select: axis of x, f32 [3, 4]")));
  EXPECT_THAT(IndexSelect(x, 0, Ids({1, 1}, {0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("index is i64 [1, 1], expected rank 1")));
}

// out[i, k] = x[i, index[i, k]] and so on, by definition.
std::vector<double> GatherOracle(const Tensor& x, int axis,
                                 const Tensor& index) {
  const std::vector<double> from = x.ToVector<double>();
  const std::vector<int64_t> places = index.ToVector<int64_t>();
  std::vector<double> out(places.size());
  for (size_t e = 0; e < places.size(); ++e) {
    int64_t rest = static_cast<int64_t>(e);
    int64_t offset = 0;
    int64_t pitch = 1;
    for (int a = x.rank() - 1; a >= 0; --a) {
      const int64_t i = a == axis ? places[e] : rest % index.dim(a);
      rest /= index.dim(a);
      offset += i * pitch;
      pitch *= x.dim(a);
    }
    out[e] = from[offset];
  }
  return out;
}

TEST(GatherTest, ValuesAndGradientsOnEveryAxis) {
  const Tensor x = RandomTensor({3, 4, 5}, DType::kF64, 1);
  for (const int axis : {0, 1, 2}) {
    for (const int64_t k : {1, 4, 7}) {
      // Extents below those of x, too.
      for (const int64_t less : {0, 1}) {
        SCOPED_TRACE(axis);
        int64_t dims[3] = {3 - less, 4 - less, 5 - less};
        dims[axis] = k;
        const Tensor index = RandomIds(Shape(dims), x.dim(axis), 5);
        const Var y = Gather(x, axis - 3, index);
        SEPTET_ASSERT_OK(y);
        EXPECT_EQ(y.shape(), index.shape());
        EXPECT_EQ(y.tensor().ToVector<double>(), GatherOracle(x, axis, index));
        SEPTET_EXPECT_OK(CheckGradients(
            [&](absl::Span<const Var> in) {
              return Square(Gather(in[0], axis, index));
            },
            {x}, {1e-5, 1e-6}));
      }
    }
  }
}

TEST(GatherTest, TakesAnyDType) {
  for (const DType dtype : kAllDTypes) {
    const Tensor x =
        Tensor::FromValues<double>({2, 2}, {1, 0, 0, 1})->To(dtype).value();
    const Var y = Gather(x, 1, Ids({2, 1}, {0, 0}));
    SEPTET_ASSERT_OK(y);
    EXPECT_EQ(y.dtype(), dtype);
    EXPECT_THAT(y.tensor().ToVector<double>(), ElementsAre(1, 0));
  }
}

TEST(GatherTest, LongSumsOfTheGradientAreExactToTheLastBit) {
  // 1 + 2^-24 + 2^-24 + ...: in float every term would be lost.
  const int64_t n = 1 + (1 << 12);
  std::vector<double> terms(n, 0x1p-24);
  terms[0] = 1;
  const Tensor g =
      Tensor::FromValues<double>({n}, terms)->To(DType::kF32).value();
  const Tensor dx =
      GradOf(RandomTensor({2}, DType::kF32, 1), g, [&](const Var& x) {
        return Gather(x, 0, Tensor::Zeros({n}, DType::kI64).value());
      });
  EXPECT_EQ(dx.ToVector<double>()[0], 1 + (n - 1) * 0x1p-24);
}

TEST(GatherTest, Errors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  EXPECT_THAT(Gather(x, 1, Ids({2, 1}, {0, 3})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("gather: index[1, 0] is 3, expected 0 <= "
                                 "index < 3 (axis 1 of x)")));
  EXPECT_THAT(Gather(x, 1, Ids({3, 1}, {0, 0, 0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("gather: index is i64 [3, 1], expected the "
                                 "shape of x, [2, 3], but for axis 1")));
  EXPECT_THAT(Gather(x, 5, Ids({2, 1}, {0, 0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("gather: axis of x, f32 [2, 3]")));
  EXPECT_THAT(Gather(Tensor::Scalar(1, DType::kF32).value(), 0, Ids({}, {0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected rank 1 to 8")));
}

TEST(ScatterTest, AddsAndReplaces) {
  const Tensor x =
      Tensor::FromValues<double>({2, 3}, {1, 2, 3, 4, 5, 6}).value();
  const Tensor index = Ids({2, 2}, {2, 2, 0, 1});
  const Tensor source =
      Tensor::FromValues<double>({2, 2}, {10, 20, 30, 40}).value();
  EXPECT_THAT(ScatterAdd(x, 1, index, source).tensor().ToVector<double>(),
              ElementsAre(1, 2, 33, 34, 45, 6));
  EXPECT_THAT(Scatter(x, -1, index, source).tensor().ToVector<double>(),
              ElementsAre(1, 2, 20, 30, 40, 6));
  // x itself has not changed.
  EXPECT_THAT(x.ToVector<double>(), ElementsAre(1, 2, 3, 4, 5, 6));
  const Tensor columns = Ids({1, 3}, {1, 0, 1});
  const Tensor row = Tensor::FromValues<double>({1, 3}, {7, 8, 9}).value();
  EXPECT_THAT(Scatter(x, 0, columns, row).tensor().ToVector<double>(),
              ElementsAre(1, 8, 3, 7, 5, 9));
  const Tensor counts =
      ScatterAdd(Tensor::Zeros({3}, DType::kI64).value(), 0,
                 Ids({4}, {2, 0, 2, 2}), Ids({4}, {1, 1, 1, 1}))
          .tensor();
  EXPECT_THAT(counts.ToVector<int64_t>(), ElementsAre(1, 0, 3));
}

TEST(ScatterTest, GradientsOfRepeatedIndices) {
  const Tensor x = RandomTensor({2, 3, 2}, DType::kF64, 1);
  const Tensor source = RandomTensor({2, 4, 2}, DType::kF64, 2);
  const Tensor index = RandomIds({2, 4, 2}, 3, 3);
  for (const bool add : {false, true}) {
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return Square(add ? ScatterAdd(in[0], 1, index, in[1])
                            : Scatter(in[0], 1, index, in[1]));
        },
        {x, source}, {1e-5, 1e-6}));
  }
}

TEST(ScatterTest, BitsDoNotDependOnThreads) {
  const Tensor x = RandomTensor({40, 50, 60}, DType::kF32, 1);
  const Tensor source = RandomTensor({40, 70, 60}, DType::kF32, 2);
  const Tensor index = RandomIds({40, 70, 60}, 50, 3);
  const Tensor rows = RandomIds({70}, 50, 4);
  const auto run = [&] {
    std::vector<float> bits;
    const auto add = [&](const Tensor& tensor) {
      for (const float v : tensor.ToVector<float>()) bits.push_back(v);
    };
    const std::vector<std::function<Var(const Var&)>> functions = {
        [&](const Var& v) { return ScatterAdd(v, 1, index, source); },
        [&](const Var& v) { return Scatter(v, 1, index, source); },
        [&](const Var& v) { return Gather(v, 1, index); },
        [&](const Var& v) { return IndexSelect(v, 1, rows); },
    };
    for (const auto& fn : functions) {
      const Tensor y = fn(x).tensor();
      add(y);
      add(GradOf(x, y, fn));
    }
    for (const int axis : {1, 2}) {
      add(ArgMax(x, axis).tensor());
      add(ArgMin(x, axis).tensor());
    }
    return bits;
  };
  const std::vector<float> serial = run();
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    EXPECT_EQ(run(), serial);
  }
}

TEST(ScatterTest, Errors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  const Tensor source = RandomTensor({2, 1}, DType::kF32, 2);
  for (const bool add : {false, true}) {
    const std::string name = add ? "scatter_add: " : "scatter: ";
    const auto run = [&](const Var& target, int64_t axis, const Var& index,
                         const Var& from) {
      return add ? ScatterAdd(target, axis, index, from)
                 : Scatter(target, axis, index, from);
    };
    EXPECT_THAT(run(x, 1, Ids({2, 1}, {0, -4}), source),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("index[1, 0] is -4, expected 0 <= index < "
                                   "3")));
    EXPECT_THAT(run(x, 1, Ids({2, 2}, {0, 0, 0, 0}), source),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(name + "source is f32 [2, 1], expected the "
                                          "shape of index, [2, 2]")));
    EXPECT_THAT(run(x, 1, Ids({1, 1}, {0}), source),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(name + "index is i64 [1, 1], expected the "
                                          "shape of x")));
    EXPECT_THAT(run(x, 1, Ids({2, 1}, {0, 0}), source.To(DType::kF64)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(name + "dtypes differ")));
    EXPECT_THAT(run(x, 2, Ids({2, 1}, {0, 0}), source),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(name + "axis of x")));
  }
}

TEST(OneHotTest, RowsAndErrors) {
  const Var y = OneHot(Ids({3}, {2, 0, 1}), 3, DType::kF64);
  SEPTET_ASSERT_OK(y);
  EXPECT_THAT(y.tensor().ToVector<double>(),
              ElementsAre(0, 0, 1, 1, 0, 0, 0, 1, 0));
  EXPECT_EQ(OneHot(Ids({}, {1}), 2).dtype(), DType::kF32);
  EXPECT_THAT(OneHot(Ids({1}, {3}), 3),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("one_hot: ids[0] is 3, expected 0 <= ids < 3 "
                                 "(depth)")));
  EXPECT_THAT(OneHot(Ids({1}, {0}), 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("depth is 0, expected >= 1")));
  EXPECT_THAT(
      OneHot(Ids({1}, {0}), 2, DType::kBool),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dtype is bool")));
}

TEST(ArgMaxTest, FirstOfEqualsOnEveryAxis) {
  for (const DType dtype :
       {DType::kF32, DType::kF64, DType::kI32, DType::kI64}) {
    for (const int64_t n : {1, 2, 63, 64, 65, 200}) {
      // Few values, so that there are ties.
      Tensor x = RandomIds({2, n, 3}, 4, 9).To(dtype).value();
      for (const int axis : {0, 1, 2}) {
        const std::vector<double> values = x.ToVector<double>();
        for (const bool max : {true, false}) {
          const Var y = max ? ArgMax(x, axis) : ArgMin(x, axis - 3);
          SEPTET_ASSERT_OK(y);
          EXPECT_EQ(y.rank(), 2);
          const Var kept = max ? ArgMax(x, axis, {/*keep_dims=*/true})
                               : ArgMin(x, axis, {/*keep_dims=*/true});
          EXPECT_EQ(kept.shape(), x.shape().WithDim(axis, 1));
          EXPECT_EQ(kept.tensor().ToVector<int64_t>(),
                    y.tensor().ToVector<int64_t>());
          const std::vector<double> best =
              Gather(x, axis, kept).tensor().ToVector<double>();
          const std::vector<int64_t> got = y.tensor().ToVector<int64_t>();
          const int64_t inner = axis == 2 ? 1 : axis == 1 ? 3 : n * 3;
          const int64_t extent = x.dim(axis);
          for (size_t r = 0; r < got.size(); ++r) {
            const int64_t o = static_cast<int64_t>(r) / inner;
            const int64_t j = static_cast<int64_t>(r) % inner;
            for (int64_t i = 0; i < extent; ++i) {
              const double v = values[(o * extent + i) * inner + j];
              const double a = max ? v : -v;
              const double b = max ? best[r] : -best[r];
              ASSERT_LE(a, b);
              if (i < got[r]) {
                ASSERT_LT(a, b);
              }
            }
          }
        }
      }
    }
  }
}

TEST(ArgMaxTest, NanIsTheLargestAndTheSmallest) {
  const double nan = std::nan("");
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor x =
      Tensor::FromValues<double>({2, 4}, {1, nan, inf, nan, -inf, -inf, 0, 0})
          .value();
  EXPECT_THAT(ArgMax(x).tensor().ToVector<int64_t>(), ElementsAre(1, 2));
  EXPECT_THAT(ArgMin(x).tensor().ToVector<int64_t>(), ElementsAre(1, 0));
  EXPECT_THAT(ArgMax(x, 0).tensor().ToVector<int64_t>(),
              ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(ArgMin(x, 0).tensor().ToVector<int64_t>(),
              ElementsAre(1, 0, 1, 0));
  EXPECT_THAT(ArgMax(Tensor::Zeros({3, 0}, DType::kF32).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("arg_max: x is f32 [3, 0]: axis 1 has "
                                 "nothing to choose")));
  EXPECT_EQ(ArgMin(Tensor::Zeros({0, 3}, DType::kF32).value()).shape(),
            Shape({0}));
  EXPECT_THAT(ArgMax(x, 2), StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("arg_max: axis of x")));
  EXPECT_THAT(ArgMax(Tensor::Zeros({2}, DType::kBool).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("x is bool [2], expected f32, f64, i32 or "
                                 "i64")));
}

TEST(MaskTest, MaskedFillAndCausalMask) {
  const Var mask = CausalMask(2, 3);
  SEPTET_ASSERT_OK(mask);
  EXPECT_THAT(mask.tensor().ToVector<int32_t>(), ElementsAre(1, 1, 0, 1, 1, 1));
  // More queries than keys: the first see nothing.
  EXPECT_THAT(CausalMask(3, 2).tensor().ToVector<int32_t>(),
              ElementsAre(0, 0, 1, 0, 1, 1));
  EXPECT_THAT(CausalMask(-1, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("causal_mask: -1 queries and 2 keys")));
  const Tensor x = RandomTensor({2, 2, 3}, DType::kF64, 1);
  const Var y = MaskedFill(x, mask, -7);
  for (int i = 0; i < 12; ++i) {
    const bool filled = mask.tensor().ToVector<int32_t>()[i % 6] != 0;
    EXPECT_EQ(y.tensor().ToVector<double>()[i],
              filled ? -7 : x.ToVector<double>()[i]);
  }
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) {
        return Square(MaskedFill(in[0], mask, -7));
      },
      {x}, {1e-5, 1e-6}));
  EXPECT_THAT(MaskedFill(x, x, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("masked_fill: mask is f64 [2, 2, 3], "
                                 "expected bool")));
  EXPECT_THAT(MaskedFill(RandomTensor({3}, DType::kF64, 1), mask, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("does not broadcast to x")));
}

}  // namespace
}  // namespace septet
