// SPDX-License-Identifier: Apache-2.0
// Batched products against the definition, their gradients and their errors.
// Plain matrices are in layers_test.cc.
#include "septet/core/ops/matmul.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
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
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The last two axes exchanged: a view.
Tensor Exchanged(const Tensor& x) {
  std::vector<int64_t> axes(x.rank());
  for (int i = 0; i < x.rank(); ++i) axes[i] = i;
  std::swap(axes[x.rank() - 1], axes[x.rank() - 2]);
  return x.Permute(axes).value();
}

// Element (..., i, j) of x for the batch index of a result whose batch axes are
// `batch`: those of x are aligned at the last and repeat where 1.
double At(const Tensor& x, const std::vector<double>& values,
          absl::Span<const int64_t> batch, int64_t i, int64_t j) {
  const int own = x.rank() - 2;
  const int lead = static_cast<int>(batch.size()) - own;
  int64_t at = 0;
  for (int axis = 0; axis < own; ++axis) {
    const int64_t index = x.dim(axis) == 1 ? 0 : batch[lead + axis];
    at = at * x.dim(axis) + index;
  }
  return values[(at * x.dim(own) + i) * x.dim(own + 1) + j];
}

// a b by the definition, in double, for tensors of rank 2 and more.
Tensor Definition(const Tensor& a, const Tensor& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::vector<int64_t> dims(rank);
  for (int axis = 0; axis < rank - 2; ++axis) {
    const int in_a = axis - (rank - a.rank());
    const int in_b = axis - (rank - b.rank());
    dims[axis] = 1;
    if (in_a >= 0 && a.dim(in_a) != 1) dims[axis] = a.dim(in_a);
    if (in_b >= 0 && b.dim(in_b) != 1) dims[axis] = b.dim(in_b);
  }
  const int64_t m = a.dim(a.rank() - 2);
  const int64_t k = a.dim(a.rank() - 1);
  const int64_t n = b.dim(b.rank() - 1);
  dims[rank - 2] = m;
  dims[rank - 1] = n;
  const Tensor c =
      Tensor::Zeros(Shape::Create(dims).value(), DType::kF64).value();
  const std::vector<double> va = a.ToVector<double>();
  const std::vector<double> vb = b.ToVector<double>();
  double* out = c.mutable_data<double>();
  const int64_t batches = m * n == 0 ? 0 : c.num_elements() / (m * n);
  std::vector<int64_t> index(rank - 2, 0);
  for (int64_t at = 0; at < batches; ++at) {
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l) {
          sum += At(a, va, index, i, l) * At(b, vb, index, l, j);
        }
        *out++ = sum;
      }
    }
    for (int axis = rank - 3; axis >= 0; --axis) {
      if (++index[axis] < dims[axis]) break;
      index[axis] = 0;
    }
  }
  return c;
}

// Sums of k products of numbers below 1.
double Tolerance(int64_t k, DType dtype) {
  const double eps = dtype == DType::kF32
                         ? std::numeric_limits<float>::epsilon()
                         : std::numeric_limits<double>::epsilon();
  return eps * static_cast<double>((k + 1) * (k + 1));
}

struct Shapes {
  std::vector<int64_t> a;
  std::vector<int64_t> b;
};

Tensor Random(const std::vector<int64_t>& dims, DType dtype, uint32_t stream) {
  return RandomTensor(Shape::Create(dims).value(), dtype, stream);
}

const std::vector<Shapes>& BatchedShapes() {
  static const auto& shapes = *new std::vector<Shapes>{
      {{3, 2, 4}, {3, 4, 5}},
      {{2, 3, 2, 4}, {2, 3, 4, 1}},
      {{3, 2, 4}, {4, 5}},           // one b
      {{2, 4}, {3, 4, 5}},           // one a
      {{2, 1, 3, 2}, {5, 2, 4}},     // [2, 1] and [5]
      {{1, 3, 2, 4}, {5, 1, 4, 3}},  // each repeats an axis of the other
      {{4, 1, 5}, {4, 5, 1}},        // dot products
      {{6, 1, 5}, {5, 7}},           // rows against one matrix
      {{2, 2, 2, 1, 3}, {2, 1, 2, 3, 2}},
      {{9, 3, 2, 17}, {9, 1, 17, 5}},  // so many that threads take them whole
  };
  return shapes;
}

TEST(MatMulBatchTest, BroadcastsAsTheDefinitionForEveryTransposition) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const Shapes& shapes : BatchedShapes()) {
      const Tensor a = Random(shapes.a, dtype, 1);
      const Tensor b = Random(shapes.b, dtype, 2);
      const Tensor want = Definition(a, b);
      const double tolerance = Tolerance(a.dim(a.rank() - 1), dtype);
      const Tensor a_t = Exchanged(a).Clone().value();
      const Tensor b_t = Exchanged(b).Clone().value();
      for (int t = 0; t < 4; ++t) {
        SCOPED_TRACE(a.DebugString() + " " + b.DebugString() + " " +
                     std::to_string(t));
        const MatMulOptions options{(t & 1) != 0, (t & 2) != 0};
        DispatchTrace trace;
        const Var c = MatMul(options.transpose_a ? a_t : a,
                             options.transpose_b ? b_t : b, options);
        SEPTET_ASSERT_OK(c);
        EXPECT_EQ(c.shape(), want.shape());
        ExpectNear(c.tensor().To(DType::kF64).value(), want, tolerance);
        EXPECT_THAT(
            trace.lines(),
            ElementsAre(dtype == DType::kF32 ? "matmul cpu/f32 core/blas"
                                             : "matmul cpu/f64 core/blas"));
        // Views of the other order.
        const Var of_views =
            MatMul(options.transpose_a ? Exchanged(a) : a,
                   options.transpose_b ? Exchanged(b) : b, options);
        ExpectNear(of_views.tensor().To(DType::kF64).value(), want, tolerance);
      }
    }
  }
}

TEST(MatMulBatchTest, GradientsOfEveryOrder) {
  for (const Shapes& shapes : BatchedShapes()) {
    if (shapes.a[0] > 6) continue;
    const Tensor a = Random(shapes.a, DType::kF64, 1);
    const Tensor b = Random(shapes.b, DType::kF64, 2);
    for (int t = 0; t < 4; ++t) {
      SCOPED_TRACE(a.DebugString() + " " + b.DebugString() + " " +
                   std::to_string(t));
      const MatMulOptions options{(t & 1) != 0, (t & 2) != 0};
      GradientCheckOptions check;
      check.check_second_order = a.num_elements() + b.num_elements() < 70;
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) {
            return MatMul(in[0], in[1], options);
          },
          {options.transpose_a ? Exchanged(a).Clone().value() : a,
           options.transpose_b ? Exchanged(b).Clone().value() : b},
          check));
    }
  }
}

TEST(MatMulBatchTest, HeadsOfAttentionAreTakenAsTheyLie) {
  const int64_t B = 2, T = 5, H = 3, D = 4;
  const Tensor x = RandomTensor({B, T, H, D}, DType::kF64, 1);
  const Tensor y = RandomTensor({B, T, H, D}, DType::kF64, 2);
  const Tensor q = x.Permute({0, 2, 1, 3}).value();
  const Tensor k = y.Permute({0, 2, 1, 3}).value();
  const Var scores = MatMul(q, k, {false, true});
  ExpectNear(scores.tensor(),
             Definition(q.Clone().value(), Exchanged(k).Clone().value()),
             Tolerance(D, DType::kF64));
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        return MatMul(Permute(in[0], {0, 2, 1, 3}),
                      Permute(in[1], {0, 2, 1, 3}), {false, true});
      },
      {x, y}, {1e-5, 1e-7, true, false}));
}

TEST(MatMulBatchTest, ViewsOfAnyStride) {
  const Tensor a = RandomTensor({2, 6, 8}, DType::kF64, 1);
  const Tensor b = RandomTensor({3, 4, 5}, DType::kF64, 2);
  // Every second row and column; one matrix repeated; axes in another order.
  const Tensor every_second =
      a.Slice(2, 0, 8, 2).value().Slice(1, 0, 6, 2).value();
  const Tensor repeated =
      b.Slice(0, 1, 2).value().BroadcastTo({2, 4, 5}).value();
  ExpectNear(MatMul(every_second, repeated).tensor(),
             Definition(every_second.Clone().value(), repeated.Clone().value()),
             Tolerance(4, DType::kF64));
  const Tensor batch_last = b.Permute({1, 2, 0}).value();  // [4, 5, 3]
  const Tensor five = RandomTensor({4, 2, 5}, DType::kF64, 3);
  ExpectNear(MatMul(five, batch_last).tensor(),
             Definition(five, batch_last.Clone().value()),
             Tolerance(5, DType::kF64));
  // One row each, which lie apart.
  const Tensor rows = a.Slice(1, 2, 3).value();  // [2, 1, 8]
  const Tensor matrix = RandomTensor({8, 3}, DType::kF64, 4);
  ExpectNear(MatMul(rows, matrix).tensor(),
             Definition(rows.Clone().value(), matrix),
             Tolerance(8, DType::kF64));
}

TEST(MatMulBatchTest, Vectors) {
  const Tensor v = RandomTensor({4}, DType::kF64, 1);
  const Tensor w = RandomTensor({4}, DType::kF64, 2);
  const Tensor a = RandomTensor({2, 3, 4}, DType::kF64, 3);
  const Tensor b = RandomTensor({2, 4, 3}, DType::kF64, 4);
  const Tensor row = v.Reshape({1, 4}).value();
  const Tensor column = v.Reshape({4, 1}).value();
  const auto fn = [](const MatMulOptions& options) {
    return [options](absl::Span<const Var> in) {
      return MatMul(in[0], in[1], options);
    };
  };
  const Var dot = MatMul(v, w);
  EXPECT_EQ(dot.shape(), Shape());
  ExpectNear(dot.tensor().Reshape({1, 1}).value(),
             Definition(row, w.Reshape({4, 1}).value()), 1e-15);
  const Var vb = MatMul(v, b);
  EXPECT_EQ(vb.shape(), Shape({2, 3}));
  ExpectNear(vb.tensor().Reshape({2, 1, 3}).value(), Definition(row, b), 1e-14);
  const Var av = MatMul(a, v);
  EXPECT_EQ(av.shape(), Shape({2, 3}));
  ExpectNear(av.tensor().Reshape({2, 3, 1}).value(), Definition(a, column),
             1e-14);
  const Var va = MatMul(v, a, {false, true});
  ExpectNear(va.tensor(), av.tensor(), 1e-15);
  ExpectNear(MatMul(b, v, {true, false}).tensor(), vb.tensor(), 1e-15);
  const Tensor matrix = RandomTensor({4, 3}, DType::kF64, 5);
  EXPECT_EQ(MatMul(v, matrix).shape(), Shape({3}));
  for (const auto& inputs :
       std::vector<std::vector<Tensor>>{{v, w}, {v, b}, {a, v}, {v, matrix}}) {
    SEPTET_EXPECT_OK(CheckGradients(fn({}), inputs));
  }
  SEPTET_EXPECT_OK(CheckGradients(fn({false, true}), {v, a}));
  SEPTET_EXPECT_OK(CheckGradients(fn({true, false}), {b, v}));
}

TEST(MatMulBatchTest, EmptyExtents) {
  const auto zeros = [](const Shape& shape) {
    return Tensor::Zeros(shape, DType::kF64).value();
  };
  EXPECT_EQ(MatMul(zeros({0, 2, 3}), zeros({3, 4})).shape(), Shape({0, 2, 4}));
  EXPECT_EQ(MatMul(zeros({0, 2, 3}), zeros({1, 3, 4})).shape(),
            Shape({0, 2, 4}));
  EXPECT_EQ(MatMul(zeros({5, 0, 3}), zeros({5, 3, 4})).shape(),
            Shape({5, 0, 4}));
  EXPECT_EQ(
      MatMul(zeros({2, 1, 0}), zeros({2, 0, 2})).tensor().ToVector<double>(),
      std::vector<double>(4, 0.0));
  EXPECT_EQ(MatMul(zeros({0}), zeros({0})).tensor().item<double>(), 0.0);
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) { return MatMul(in[0], in[1]); },
      {zeros({2, 3, 0}), zeros({0, 2})}));
}

TEST(MatMulBatchTest, BitsDoNotDependOnThreads) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const Shapes& shapes : std::vector<Shapes>{
             {{12, 40, 64}, {12, 64, 48}},
             {{12, 5, 40, 64}, {12, 1, 64, 48}},
             {{300, 1, 64}, {64, 512}},
         }) {
      const Tensor a = Random(shapes.a, dtype, 1);
      const Tensor b = Random(shapes.b, dtype, 2);
      const auto run = [&] {
        Tape tape;
        const Var va = tape.Watch(a);
        const Var vb = tape.Watch(b);
        const Var c = MatMul(va, vb);
        std::vector<std::vector<double>> results = {
            c.tensor().ToVector<double>()};
        const std::vector<Tensor> grads = tape.Grad(Sum(c), {va, vb}).value();
        for (const Tensor& grad : grads) {
          results.push_back(grad.ToVector<double>());
        }
        return results;
      };
      const auto want = run();
      for (const int threads : {2, 3}) {
        ThreadPool pool(threads);
        ScopedThreadPool scope(&pool);
        EXPECT_EQ(run(), want) << threads << " threads, " << a.DebugString();
      }
    }
  }
}

TEST(MatMulBatchTest, Errors) {
  const Tensor a = RandomTensor({2, 3, 4}, DType::kF32, 1);
  const auto with = [](const Shape& shape) {
    return RandomTensor(shape, DType::kF32, 2);
  };
  EXPECT_THAT(
      MatMul(a, with({5, 4, 6})),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("matmul: a is f32 [2, 3, 4], b is f32 [5, 4, 6]: "
                         "batch axes of 2 and 5 do not broadcast")));
  EXPECT_THAT(
      MatMul(a, with({2, 3, 4})),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("a is f32 [2, 3, 4], b is f32 [2, 3, 4]: 4 columns "
                         "against 3 rows")));
  EXPECT_THAT(MatMul(a, with({2, 3, 5}), {false, true}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("b is f32 [2, 3, 5] transposed: 4 columns "
                                 "against 5 rows")));
  EXPECT_THAT(
      MatMul(a, with({3})),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("matmul: a is f32 [2, 3, 4], b is f32 [3]: 4 columns "
                         "against 3 rows")));
  EXPECT_THAT(MatMul(with({4}), with({3, 4}), {true, true}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("matmul: a is f32 [4], b is f32 [3, 4]: a "
                                 "vector has no transpose")));
  EXPECT_THAT(MatMul(a, Tensor::Scalar(1, DType::kF32).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("matmul: b is f32 [], expected rank 1 to 8")));
  EXPECT_THAT(
      MatMul(with({4}), RandomTensor({4}, DType::kF64, 1)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dtypes differ")));
  EXPECT_THAT(MatMul(a, Tensor::Zeros({2, 4, 3}, DType::kI64).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("b is i64 [2, 4, 3]")));
  EXPECT_THAT(MatMul(Tensor::Zeros({2, 3, 4}, DType::kI64).value(), a),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected f32 or f64")));
  EXPECT_THAT(MatMul(a, Var()), StatusIs(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("b is not given")));
  const Var failed = absl::NotFoundError("lost");
  EXPECT_THAT(MatMul(with({4}), failed),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("lost")));
  const Tensor wide =
      Tensor::Zeros({int64_t{1} << 40, 1, 0}, DType::kF32).value();
  EXPECT_THAT(
      MatMul(wide, Tensor::Zeros({0, int64_t{1} << 40}, DType::kF32).value()),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("more elements than fit")));
}

TEST(LinearRankTest, AnyRankHasTheBitsOfItsRows) {
  for (const bool out_in : {false, true}) {
    const Tensor w =
        RandomTensor(out_in ? Shape{5, 4} : Shape{4, 5}, DType::kF64, 2);
    const Tensor b = RandomTensor({5}, DType::kF64, 3);
    for (const std::vector<int64_t>& dims : std::vector<std::vector<int64_t>>{
             {4}, {3, 4}, {2, 3, 4}, {2, 2, 1, 4}, {2, 0, 4}}) {
      const Tensor x = Random(dims, DType::kF64, 1);
      SCOPED_TRACE(x.DebugString());
      const LinearOptions options{out_in};
      const Var y = Linear(x, w, b, options);
      SEPTET_ASSERT_OK(y);
      std::vector<int64_t> want_dims = dims;
      want_dims.back() = 5;
      EXPECT_EQ(y.shape(), Shape::Create(want_dims).value());
      const Tensor rows = x.Reshape({x.num_elements() / 4, 4}).value();
      EXPECT_EQ(y.tensor().ToVector<double>(),
                Linear(rows, w, b, options).tensor().ToVector<double>());
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) {
            return Linear(in[0], in[1], in[2], options);
          },
          {x, w, b}));
    }
    // A view whose rows lie apart.
    const Tensor permuted =
        RandomTensor({4, 2, 3}, DType::kF64, 4).Permute({1, 2, 0}).value();
    ExpectNear(Linear(permuted, w, b, {out_in}).tensor(),
               Linear(permuted.Clone().value(), w, b, {out_in}).tensor(),
               1e-14);
  }
  EXPECT_THAT(Linear(Tensor::Scalar(1, DType::kF64).value(),
                     RandomTensor({4, 5}, DType::kF64, 2), Var()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("linear: x is f64 [], expected rank 1 to 8")));
}

}  // namespace
}  // namespace septet
