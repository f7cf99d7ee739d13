// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/matmul.h"

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// The last two axes as Gemm wants a matrix: rows at a distance, columns side by
// side, perhaps transposed. Views of either layout are taken as they are.
struct Matrix {
  Tensor tensor;  // keeps a copy alive
  int64_t ld = 1;
  bool transposed = false;
};

absl::StatusOr<Matrix> AsMatrix(const Tensor& x, bool transposed) {
  const int row_axis = x.rank() - 2;
  const int64_t rows = x.dim(row_axis);
  const int64_t cols = x.dim(row_axis + 1);
  const int64_t row_stride = x.stride(row_axis);
  const int64_t col_stride = x.stride(row_axis + 1);
  Matrix matrix;
  matrix.transposed = transposed;
  if ((col_stride == 1 || cols == 1) && (row_stride >= cols || rows == 1)) {
    matrix.tensor = x;
    matrix.ld = rows == 1 ? cols : row_stride;
  } else if ((row_stride == 1 || rows == 1) &&
             (col_stride >= rows || cols == 1)) {
    matrix.tensor = x;
    matrix.ld = cols == 1 ? rows : col_stride;
    matrix.transposed = !transposed;
  } else {
    SEPTET_ASSIGN_OR_RETURN(matrix.tensor, x.Contiguous());
    matrix.ld = cols;
  }
  matrix.ld = std::max<int64_t>(matrix.ld, 1);
  return matrix;
}

// The batch axes of a product, of which `a` and `b` may repeat some: as few
// loops as their strides allow.
struct BatchLoops {
  struct Loop {
    int64_t extent = 1;
    int64_t stride_a = 0;
    int64_t stride_b = 0;
  };
  Loop loops[kMaxRank];  // the last is the innermost
  int count = 0;

  void AddOutermostFirst(const Loop& loop) {
    if (loop.extent == 1) return;
    if (count > 0) {
      Loop& outer = loops[count - 1];
      if (outer.stride_a == loop.stride_a * loop.extent &&
          outer.stride_b == loop.stride_b * loop.extent) {
        outer = {outer.extent * loop.extent, loop.stride_a, loop.stride_b};
        return;
      }
    }
    loops[count++] = loop;
  }
};

// The stride of x along axis `axis` of a result of rank `rank`.
int64_t BatchStride(const Tensor& x, int axis, int rank) {
  const int own = axis - (rank - x.rank());
  return own < 0 || x.dim(own) == 1 ? 0 : x.stride(own);
}

// out [..., m, n] = op(a) op(b) + beta out. out is row-major.
template <typename T>
absl::Status Product(const Tensor& a, bool transpose_a, const Tensor& b,
                     bool transpose_b, double beta, const Tensor& out) {
  SEPTET_ASSIGN_OR_RETURN(const Matrix ma, AsMatrix(a, transpose_a));
  SEPTET_ASSIGN_OR_RETURN(const Matrix mb, AsMatrix(b, transpose_b));
  const int rank = out.rank();
  GemmShape shape;
  shape.m = out.dim(rank - 2);
  shape.n = out.dim(rank - 1);
  shape.k = a.dim(a.rank() - (transpose_a ? 2 : 1));
  shape.transpose_a = ma.transposed;
  shape.transpose_b = mb.transposed;
  const GemmScale scale{1.0, beta};
  const T* pa = ma.tensor.data<T>();
  const T* pb = mb.tensor.data<T>();
  T* pc = out.mutable_data<T>();
  const int64_t ldc = std::max<int64_t>(shape.n, 1);
  if (rank == 2) return Gemm(shape, pa, ma.ld, pb, mb.ld, pc, ldc, scale);

  if (out.num_elements() == 0) return absl::OkStatus();
  BatchLoops batch;
  for (int axis = 0; axis < rank - 2; ++axis) {
    batch.AddOutermostFirst({out.dim(axis), BatchStride(ma.tensor, axis, rank),
                             BatchStride(mb.tensor, axis, rank)});
  }
  BatchLoops::Loop inner;
  if (batch.count > 0) inner = batch.loops[--batch.count];
  int64_t lda = ma.ld;
  const int64_t matrix = shape.m * shape.n;
  int64_t per_inner = matrix * inner.extent;
  // Matrices of `a` below each other against one b are one product.
  if (inner.extent > 1 && inner.stride_b == 0 && !shape.transpose_a &&
      (shape.m == 1 ? inner.stride_a >= std::max<int64_t>(shape.k, 1)
                    : inner.stride_a == shape.m * lda)) {
    if (shape.m == 1) lda = inner.stride_a;
    shape.m *= inner.extent;
    inner = {};
  }
  const GemmBatch gemm_batch{inner.extent, inner.stride_a, inner.stride_b,
                             matrix};
  int64_t outer = 1;
  for (int i = 0; i < batch.count; ++i) outer *= batch.loops[i].extent;
  const auto run = [&](int64_t index) {
    int64_t at_a = 0;
    int64_t at_b = 0;
    int64_t rest = index;
    for (int i = batch.count - 1; i >= 0; --i) {
      const BatchLoops::Loop& loop = batch.loops[i];
      at_a += rest % loop.extent * loop.stride_a;
      at_b += rest % loop.extent * loop.stride_b;
      rest /= loop.extent;
    }
    return GemmBatched(shape, gemm_batch, pa + at_a, lda, pb + at_b, mb.ld,
                       pc + index * per_inner, ldc, scale);
  };
  if (outer < 8) {
    // GemmBatched uses the threads.
    for (int64_t i = 0; i < outer; ++i) SEPTET_RETURN_IF_ERROR(run(i));
    return absl::OkStatus();
  }
  // Some microseconds of work a block.
  const double work =
      2.0 * static_cast<double>(per_inner) * static_cast<double>(shape.k + 1);
  const int64_t grain = 1 + static_cast<int64_t>(1e6 / work);
  absl::Status first_error;
  std::mutex mutex;
  ParallelFor(outer, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      absl::Status status = run(i);
      if (status.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      first_error.Update(std::move(status));
    }
  });
  return first_error;
}

absl::Status MismatchedColumns(const Tensor& a, bool transpose_a,
                               const Tensor& b, bool transpose_b, int64_t k,
                               int64_t kb) {
  return absl::InvalidArgumentError(
      absl::StrCat("a is ", a.DebugString(), transpose_a ? " transposed" : "",
                   ", b is ", b.DebugString(), transpose_b ? " transposed" : "",
                   ": ", k, " columns against ", kb, " rows"));
}

absl::Status InferMatMul(const InferArgs& args) {
  const auto& options = args.attrs.Get<MatMulOptions>();
  const Tensor& a = args.input(0);
  const Tensor& b = args.input(1);
  SEPTET_RETURN_IF_ERROR(RequireReal("a", a));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("a", a, "b", b));
  // The function MatMul has made matrices of vectors.
  SEPTET_RETURN_IF_ERROR(RequireRank("a", a, 1, kMaxRank));
  SEPTET_RETURN_IF_ERROR(RequireRank("b", b, 1, kMaxRank));
  const int last_a = a.rank() - 1;
  const int last_b = b.rank() - 1;
  const int64_t k = a.dim(last_a - (options.transpose_a ? 1 : 0));
  const int64_t kb = b.dim(last_b - (options.transpose_b ? 0 : 1));
  if (k != kb) {
    return MismatchedColumns(a, options.transpose_a, b, options.transpose_b, k,
                             kb);
  }
  const int64_t m = a.dim(last_a - (options.transpose_a ? 0 : 1));
  const int64_t n = b.dim(last_b - (options.transpose_b ? 1 : 0));
  const int rank = std::max(a.rank(), b.rank());
  int64_t dims[kMaxRank];
  for (int axis = 0; axis < rank - 2; ++axis) {
    const int axis_a = axis - (rank - a.rank());
    const int axis_b = axis - (rank - b.rank());
    const int64_t in_a = axis_a < 0 ? 1 : a.dim(axis_a);
    const int64_t in_b = axis_b < 0 ? 1 : b.dim(axis_b);
    if (in_a != in_b && in_a != 1 && in_b != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a is ", a.DebugString(), ", b is ", b.DebugString(),
          ": batch axes of ", in_a, " and ", in_b, " do not broadcast"));
    }
    dims[axis] = in_a == 1 ? in_b : in_a;
  }
  dims[rank - 2] = m;
  dims[rank - 1] = n;
  SEPTET_ASSIGN_OR_RETURN(args.outputs[0].shape,
                          Shape::Create(absl::MakeConstSpan(dims, rank)));
  args.outputs[0].dtype = a.dtype();
  return absl::OkStatus();
}

template <typename T>
absl::Status MatMulCpu(const KernelArgs& args) {
  const auto& options = args.attrs.Get<MatMulOptions>();
  return Product<T>(args.input(0), options.transpose_a, args.input(1),
                    options.transpose_b, 0.0, args.outputs[0]);
}

// x with all axes but the last made one.
Var Rows(const Var& x) {
  if (x.rank() == 2) return x;
  int64_t rows = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) rows *= x.dim(i);
  return Reshape(x, {rows, x.dim(x.rank() - 1)});
}

// Derivatives of c = op(a) op(b) for the cotangent g of c.
Var GradA(const Var& g, const Shape& a, const Var& b, const MatMulOptions& o) {
  return SumTo(o.transpose_a ? MatMul(b, g, {o.transpose_b, true})
                             : MatMul(g, b, {false, !o.transpose_b}),
               a);
}
Var GradB(const Var& g, const Var& a, const Shape& b, const MatMulOptions& o) {
  // One matrix b has met all rows of `a`: one product sums over them.
  if (b.rank() == 2 && g.rank() > 2 && !o.transpose_a) {
    return GradB(Rows(g), Rows(a), b, o);
  }
  return SumTo(o.transpose_b ? MatMul(g, a, {true, o.transpose_a})
                             : MatMul(a, g, {!o.transpose_a, false}),
               b);
}

const Op& MatMulOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "matmul";
    def.infer = &InferMatMul;
    def.strided_inputs = 3;
    def.vjp = [](VjpArgs& args) {
      const auto& options = args.attrs.Get<MatMulOptions>();
      const Var& g = args.cotangents[0];
      const Var& a = args.inputs[0];
      const Var& b = args.inputs[1];
      if (args.Needs(0)) args.grads[0] = GradA(g, a.shape(), b, options);
      if (args.Needs(1)) args.grads[1] = GradB(g, a, b.shape(), options);
    };
    def.jvp = [](JvpArgs& args) {
      const auto& options = args.attrs.Get<MatMulOptions>();
      Var a;
      Var b;
      if (args.tangents[0].defined()) {
        a = MatMul(args.tangents[0], args.inputs[1], options);
      }
      if (args.tangents[1].defined()) {
        b = MatMul(args.inputs[0], args.tangents[1], options);
      }
      args.output_tangents[0] = !a.defined() && a.ok()   ? b
                                : !b.defined() && b.ok() ? a
                                                         : Add(a, b);
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "core/blas", &MatMulCpu<float>,
                       &MatMulCpu<double>);
    return registered;
  }();
  return op;
}

absl::Status InferLinear(const InferArgs& args) {
  const bool out_in = args.attrs.Get<LinearOptions>().weight_out_in;
  const Tensor& x = args.input(0);
  const Tensor& w = args.input(1);
  const Tensor& b = args.input(2);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "w", w));
  SEPTET_RETURN_IF_ERROR(RequireRank("w", w, 2, 2));
  const int last = x.rank() - 1;
  SEPTET_RETURN_IF_ERROR(RequireExtent("w", w, out_in ? 1 : 0, x.dim(last),
                                       "the features of x, its last axis"));
  const int64_t out = w.dim(out_in ? 0 : 1);
  if (b.defined()) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "b", b));
    SEPTET_RETURN_IF_ERROR(RequireRank("b", b, 1, 1));
    SEPTET_RETURN_IF_ERROR(RequireExtent("b", b, 0, out, "the outputs of w"));
  }
  int64_t dims[kMaxRank];
  std::copy(x.shape().dims().begin(), x.shape().dims().end(), dims);
  dims[last] = out;
  SEPTET_ASSIGN_OR_RETURN(args.outputs[0].shape,
                          Shape::Create(absl::MakeConstSpan(dims, last + 1)));
  args.outputs[0].dtype = x.dtype();
  return absl::OkStatus();
}

template <typename T>
absl::Status LinearCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  const Tensor& b = args.input(2);
  const Tensor& y = args.outputs[0];
  const int64_t out = y.dim(y.rank() - 1);
  int64_t rows = 1;
  for (int axis = 0; axis + 1 < y.rank(); ++axis) rows *= y.dim(axis);
  if (b.defined() && out > 0) {
    // The product is added to rows that hold the bias.
    const T* bias = b.data<T>();
    T* row = y.mutable_data<T>();
    for (int64_t i = 0; i < rows; ++i) row = std::copy_n(bias, out, row);
  }
  const bool out_in = args.attrs.Get<LinearOptions>().weight_out_in;
  const double beta = b.defined() ? 1.0 : 0.0;
  if (x.rank() == 2) {
    return Product<T>(x, false, args.input(1), out_in, beta, y);
  }
  // All rows of x are one matrix.
  SEPTET_ASSIGN_OR_RETURN(const Tensor whole, x.Contiguous());
  SEPTET_ASSIGN_OR_RETURN(const Matrix w, AsMatrix(args.input(1), out_in));
  const int64_t in = x.dim(x.rank() - 1);
  return Gemm({rows, out, in, false, w.transposed}, whole.data<T>(),
              std::max<int64_t>(in, 1), w.tensor.data<T>(), w.ld,
              y.mutable_data<T>(), std::max<int64_t>(out, 1),
              GemmScale{1.0, beta});
}

const Op& LinearOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "linear";
    def.infer = &InferLinear;
    def.strided_inputs = 3;
    def.saved_inputs = 3;
    def.composite = [](CompositeArgs& args) {
      const MatMulOptions options{
          false, args.attrs.Get<LinearOptions>().weight_out_in};
      const Var product = MatMul(args.inputs[0], args.inputs[1], options);
      args.outputs[0] =
          args.inputs[2].defined() ? Add(product, args.inputs[2]) : product;
    };
    def.vjp = [](VjpArgs& args) {
      const MatMulOptions options{
          false, args.attrs.Get<LinearOptions>().weight_out_in};
      const Var& g = args.cotangents[0];
      const Var& x = args.inputs[0];
      const Var& w = args.inputs[1];
      if (x.rank() == 1) {
        // Vectors in and out, of which these are the only rows.
        const Var row = Reshape(g, {1, g.dim(0)});
        if (args.Needs(0)) {
          args.grads[0] =
              Reshape(GradA(row, {1, x.dim(0)}, w, options), {x.dim(0)});
        }
        if (args.Needs(1)) {
          args.grads[1] =
              GradB(row, Reshape(x, {1, x.dim(0)}), w.shape(), options);
        }
      } else {
        if (args.Needs(0)) args.grads[0] = GradA(g, x.shape(), w, options);
        if (args.Needs(1)) args.grads[1] = GradB(g, x, w.shape(), options);
      }
      if (args.inputs[2].defined() && args.Needs(2)) {
        args.grads[2] = SumTo(g, args.inputs[2].shape());
      }
    };
    def.jvp = [](JvpArgs& args) {
      const LinearOptions& options = args.attrs.Get<LinearOptions>();
      const Var& tx = args.tangents[0];
      const Var& tw = args.tangents[1];
      const Var& tb = args.tangents[2];
      Var result;
      if (tx.defined()) result = Linear(tx, args.inputs[1], tb, options);
      if (tw.defined()) {
        const Var from_w =
            Linear(args.inputs[0], tw, tx.defined() ? Var() : tb, options);
        result = tx.defined() ? Add(result, from_w) : from_w;
      }
      if (!tx.defined() && !tw.defined()) {
        result = BroadcastTo(tb, args.outputs[0].shape());
      }
      args.output_tangents[0] = result;
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "core/blas", &LinearCpu<float>,
                       &LinearCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var MatMul(const Var& a, const Var& b, const MatMulOptions& options) {
  const bool vectors = a.ok() && b.ok() && a.defined() && b.defined() &&
                       a.rank() > 0 && b.rank() > 0 &&
                       (a.rank() == 1 || b.rank() == 1);
  if (!vectors) return Apply(MatMulOp(), {&a, &b}, options);
  const auto error = [&](const absl::Status& status) {
    return Var(absl::Status(status.code(),
                            absl::StrCat("matmul: ", status.message())));
  };
  if ((a.rank() == 1 && options.transpose_a) ||
      (b.rank() == 1 && options.transpose_b)) {
    return error(absl::InvalidArgumentError(
        absl::StrCat("a is ", a.tensor().DebugString(), ", b is ",
                     b.tensor().DebugString(), ": a vector has no transpose")));
  }
  const int64_t k = a.dim(a.rank() - (options.transpose_a ? 2 : 1));
  const int64_t kb =
      b.dim(b.rank() == 1 ? 0 : b.rank() - (options.transpose_b ? 1 : 2));
  if (k != kb) {
    return error(MismatchedColumns(a.tensor(), options.transpose_a, b.tensor(),
                                   options.transpose_b, k, kb));
  }
  // A row times, or times a column, the axis of which is dropped.
  const Var row = a.rank() == 1 ? Reshape(a, {1, k}) : a;
  const Var column = b.rank() == 1 ? Reshape(b, {k, 1}) : b;
  const Var product = Apply(MatMulOp(), {&row, &column}, options);
  if (!product.ok()) return product;
  int64_t dims[kMaxRank];
  int rank = 0;
  for (int axis = 0; axis < product.rank(); ++axis) {
    if (a.rank() == 1 && axis == product.rank() - 2) continue;
    if (b.rank() == 1 && axis == product.rank() - 1) continue;
    dims[rank++] = product.dim(axis);
  }
  return Reshape(product, absl::MakeConstSpan(dims, rank));
}

Var Linear(const Var& x, const Var& w, const Var& b,
           const LinearOptions& options) {
  return Apply(LinearOp(), {&x, &w, &b}, options);
}

}  // namespace septet
