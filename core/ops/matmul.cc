// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/matmul.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// A matrix as Gemm wants it: rows at a distance, columns side by side, perhaps
// transposed. Views of either layout are taken as they are.
struct Matrix {
  Tensor tensor;  // keeps a copy alive
  int64_t ld = 1;
  bool transposed = false;
};

absl::StatusOr<Matrix> AsMatrix(const Tensor& x, bool transposed) {
  const int64_t rows = x.dim(0);
  const int64_t cols = x.dim(1);
  Matrix matrix;
  matrix.transposed = transposed;
  if ((x.stride(1) == 1 || cols == 1) && (x.stride(0) >= cols || rows == 1)) {
    matrix.tensor = x;
    matrix.ld = rows == 1 ? cols : x.stride(0);
  } else if ((x.stride(0) == 1 || rows == 1) &&
             (x.stride(1) >= rows || cols == 1)) {
    matrix.tensor = x;
    matrix.ld = cols == 1 ? rows : x.stride(1);
    matrix.transposed = !transposed;
  } else {
    SEPTET_ASSIGN_OR_RETURN(matrix.tensor, x.Contiguous());
    matrix.ld = cols;
  }
  matrix.ld = std::max<int64_t>(matrix.ld, 1);
  return matrix;
}

template <typename T>
absl::Status Product(const Tensor& a, bool transpose_a, const Tensor& b,
                     bool transpose_b, double beta, const Tensor& out) {
  SEPTET_ASSIGN_OR_RETURN(Matrix ma, AsMatrix(a, transpose_a));
  SEPTET_ASSIGN_OR_RETURN(Matrix mb, AsMatrix(b, transpose_b));
  GemmShape shape;
  shape.m = out.dim(0);
  shape.n = out.dim(1);
  shape.k = a.dim(transpose_a ? 0 : 1);
  shape.transpose_a = ma.transposed;
  shape.transpose_b = mb.transposed;
  return Gemm(shape, ma.tensor.data<T>(), ma.ld, mb.tensor.data<T>(), mb.ld,
              out.mutable_data<T>(), std::max<int64_t>(shape.n, 1),
              GemmScale{1.0, beta});
}

absl::Status InferMatMul(const InferArgs& args) {
  const auto& options = args.attrs.Get<MatMulOptions>();
  const Tensor& a = args.input(0);
  const Tensor& b = args.input(1);
  SEPTET_RETURN_IF_ERROR(RequireReal("a", a));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("a", a, "b", b));
  SEPTET_RETURN_IF_ERROR(RequireRank("a", a, 2, 2));
  SEPTET_RETURN_IF_ERROR(RequireRank("b", b, 2, 2));
  const int64_t k = a.dim(options.transpose_a ? 0 : 1);
  const int64_t kb = b.dim(options.transpose_b ? 1 : 0);
  if (k != kb) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a is ", a.DebugString(), options.transpose_a ? " transposed" : "",
        ", b is ", b.DebugString(), options.transpose_b ? " transposed" : "",
        ": ", k, " columns against ", kb, " rows"));
  }
  SEPTET_ASSIGN_OR_RETURN(args.outputs[0].shape,
                          Shape::Create({a.dim(options.transpose_a ? 1 : 0),
                                         b.dim(options.transpose_b ? 0 : 1)}));
  args.outputs[0].dtype = a.dtype();
  return absl::OkStatus();
}

template <typename T>
absl::Status MatMulCpu(const KernelArgs& args) {
  const auto& options = args.attrs.Get<MatMulOptions>();
  return Product<T>(args.input(0), options.transpose_a, args.input(1),
                    options.transpose_b, 0.0, args.outputs[0]);
}

// Derivatives of c = op(a) op(b) for the cotangent g of c.
Var GradA(const Var& g, const Var& b, const MatMulOptions& o) {
  return o.transpose_a ? MatMul(b, g, {o.transpose_b, true})
                       : MatMul(g, b, {false, !o.transpose_b});
}
Var GradB(const Var& g, const Var& a, const MatMulOptions& o) {
  return o.transpose_b ? MatMul(g, a, {true, o.transpose_a})
                       : MatMul(a, g, {!o.transpose_a, false});
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
      if (args.Needs(0)) args.grads[0] = GradA(g, args.inputs[1], options);
      if (args.Needs(1)) args.grads[1] = GradB(g, args.inputs[0], options);
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
    RegisterKernel(def.name, DeviceType::kCpu, DType::kF32, "core/blas",
                   &MatMulCpu<float>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kF64, "core/blas",
                   &MatMulCpu<double>);
    return registered;
  }();
  return op;
}

// x with all axes but the last made one.
Var Rows(const Var& x) {
  if (x.rank() == 2) return x;
  const int64_t n = x.dim(x.rank() - 1);
  const int64_t rows = x.tensor().num_elements() / std::max<int64_t>(n, 1);
  // With n == 0 the number of rows is the product of the other axes.
  int64_t product = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) product *= x.dim(i);
  return Reshape(x, {n == 0 ? product : rows, n});
}

// The result's shape: that of x with another last axis.
Var Unrows(const Var& y, const Var& x) {
  if (!y.ok() || x.rank() == 2) return y;
  int64_t dims[kMaxRank];
  std::copy(x.shape().dims().begin(), x.shape().dims().end(), dims);
  dims[x.rank() - 1] = y.dim(1);
  return Reshape(y, absl::MakeConstSpan(dims, x.rank()));
}

absl::Status InferLinear(const InferArgs& args) {
  const bool out_in = args.attrs.Get<LinearOptions>().weight_out_in;
  const Tensor& x = args.input(0);
  const Tensor& w = args.input(1);
  const Tensor& b = args.input(2);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 2, 2));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "w", w));
  SEPTET_RETURN_IF_ERROR(RequireRank("w", w, 2, 2));
  SEPTET_RETURN_IF_ERROR(RequireExtent("w", w, out_in ? 1 : 0, x.dim(1),
                                       "the features of x, its last axis"));
  const int64_t out = w.dim(out_in ? 0 : 1);
  if (b.defined()) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "b", b));
    SEPTET_RETURN_IF_ERROR(RequireRank("b", b, 1, 1));
    SEPTET_RETURN_IF_ERROR(RequireExtent("b", b, 0, out, "the outputs of w"));
  }
  SEPTET_ASSIGN_OR_RETURN(args.outputs[0].shape,
                          Shape::Create({x.dim(0), out}));
  args.outputs[0].dtype = x.dtype();
  return absl::OkStatus();
}

template <typename T>
absl::Status LinearCpu(const KernelArgs& args) {
  const Tensor& b = args.input(2);
  const Tensor& y = args.outputs[0];
  if (b.defined()) {
    // The product is added to rows that hold the bias.
    const T* bias = b.data<T>();
    T* row = y.mutable_data<T>();
    for (int64_t i = 0; i < y.dim(0); ++i)
      row = std::copy_n(bias, y.dim(1), row);
  }
  return Product<T>(args.input(0), false, args.input(1),
                    args.attrs.Get<LinearOptions>().weight_out_in,
                    b.defined() ? 1.0 : 0.0, y);
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
      if (args.Needs(0)) args.grads[0] = GradA(g, args.inputs[1], options);
      if (args.Needs(1)) args.grads[1] = GradB(g, args.inputs[0], options);
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
    RegisterKernel(def.name, DeviceType::kCpu, DType::kF32, "core/blas",
                   &LinearCpu<float>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kF64, "core/blas",
                   &LinearCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var MatMul(const Var& a, const Var& b, const MatMulOptions& options) {
  if (!a.ok() || !a.defined() || a.rank() == 2 || a.rank() == 0 ||
      options.transpose_a) {
    return Apply(MatMulOp(), {&a, &b}, options);
  }
  const Var rows = Rows(a);
  return Unrows(Apply(MatMulOp(), {&rows, &b}, options), a);
}

Var Linear(const Var& x, const Var& w, const Var& b,
           const LinearOptions& options) {
  if (!x.ok() || !x.defined() || x.rank() == 2 || x.rank() == 0) {
    return Apply(LinearOp(), {&x, &w, &b}, options);
  }
  const Var rows = Rows(x);
  return Unrows(Apply(LinearOp(), {&rows, &w, &b}, options), x);
}

}  // namespace septet
