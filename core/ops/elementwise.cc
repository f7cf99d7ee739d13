// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Strides of `x` when it is read under the broadcast shape `shape`.
void BroadcastStrides(const Tensor& x, const Shape& shape, int64_t* strides) {
  const int added = shape.rank() - x.rank();
  for (int axis = 0; axis < shape.rank(); ++axis) {
    strides[axis] = axis < added || x.dim(axis - added) != shape[axis]
                        ? 0
                        : x.stride(axis - added);
  }
}

// Runs fn(begin, end) over the elements of a contiguous loop, in parallel where
// it is long.
template <typename Fn>
void ForBlocks(int64_t n, const Fn& fn) {
  if (n <= kElementwiseGrain) {
    fn(0, n);
  } else {
    ParallelFor(n, kElementwiseGrain, fn);
  }
}

// Runs fn over slices of the first axis of `shape`, several at a time, for
// strided loops.
template <typename Fn>
void ForSlices(const Shape& shape, const Fn& fn) {
  const int64_t n = shape.num_elements();
  if (n == 0) return;
  if (shape.rank() == 0 || n <= kElementwiseGrain) {
    fn(0, shape.rank() == 0 ? 1 : shape[0]);
    return;
  }
  const int64_t inner = n / shape[0];
  ParallelFor(shape[0], std::max<int64_t>(1, kElementwiseGrain / inner), fn);
}

absl::Status InferBroadcast(const Tensor& a, const Tensor& b, OutputSpec* out) {
  SEPTET_RETURN_IF_ERROR(RequireSameDType("a", a, "b", b));
  if (a.shape() == b.shape()) {
    out->shape = a.shape();
  } else {
    SEPTET_ASSIGN_OR_RETURN(out->shape, BroadcastShapes(a.shape(), b.shape()));
  }
  out->dtype = a.dtype();
  return absl::OkStatus();
}

bool IsInteger(DType dtype) {
  return dtype == DType::kI32 || dtype == DType::kI64;
}

template <bool kIntegers>
absl::Status InferBinary(const InferArgs& args) {
  const Tensor& a = args.input(0);
  if (!(kIntegers && IsInteger(a.dtype()))) {
    if (a.dtype() != DType::kF32 && a.dtype() != DType::kF64) {
      return absl::InvalidArgumentError(
          absl::StrCat("a is ", a.DebugString(), ", expected f32 or f64",
                       kIntegers ? ", i32 or i64" : ""));
    }
  }
  return InferBroadcast(a, args.input(1), &args.outputs[0]);
}

absl::Status InferCompare(const InferArgs& args) {
  SEPTET_RETURN_IF_ERROR(InferBinary<true>(args));
  args.outputs[0].dtype = DType::kBool;
  return absl::OkStatus();
}

template <BinaryKind kKind, typename T>
absl::Status BinaryCpu(const KernelArgs& args) {
  const Tensor& a = args.input(0);
  const Tensor& b = args.input(1);
  const Tensor& out = args.outputs[0];
  const T* pa = a.data<T>();
  const T* pb = b.data<T>();
  T* po = out.mutable_data<T>();
  if (a.shape() == b.shape() && a.IsContiguous() && b.IsContiguous()) {
    const StoreMode mode = StoreModeFor(out.num_elements() * sizeof(T));
    ForBlocks(out.num_elements(), [&](int64_t begin, int64_t end) {
      BinaryKernel(kKind, end - begin, pa + begin, pb + begin, po + begin,
                   mode);
    });
    return absl::OkStatus();
  }
  const Shape& shape = out.shape();
  int64_t sa[kMaxRank];
  int64_t sb[kMaxRank];
  BroadcastStrides(a, shape, sa);
  BroadcastStrides(b, shape, sb);
  const int64_t inner =
      shape.rank() == 0 ? 1
                        : shape.num_elements() / std::max<int64_t>(1, shape[0]);
  ForSlices(shape, [&](int64_t begin, int64_t end) {
    const Shape block =
        shape.rank() == 0 ? shape : shape.WithDim(0, end - begin);
    const int64_t da = shape.rank() == 0 ? 0 : begin * sa[0];
    const int64_t db = shape.rank() == 0 ? 0 : begin * sb[0];
    BinaryStridedKernel(kKind, block.dims(),
                        absl::MakeConstSpan(sa, shape.rank()),
                        absl::MakeConstSpan(sb, shape.rank()), pa + da, pb + db,
                        po + begin * inner);
  });
  return absl::OkStatus();
}

template <CompareKind kKind, typename T>
absl::Status CompareCpu(const KernelArgs& args) {
  const Tensor& a = args.input(0);
  const Tensor& b = args.input(1);
  const Tensor& out = args.outputs[0];
  auto* po = static_cast<uint8_t*>(out.raw_mutable_data());
  if (a.shape() == b.shape() && a.IsContiguous() && b.IsContiguous()) {
    CompareKernel(kKind, out.num_elements(), a.data<T>(), b.data<T>(), po);
    return absl::OkStatus();
  }
  int64_t sa[kMaxRank];
  int64_t sb[kMaxRank];
  BroadcastStrides(a, out.shape(), sa);
  BroadcastStrides(b, out.shape(), sb);
  CompareStridedKernel(
      kKind, out.shape().dims(), absl::MakeConstSpan(sa, out.rank()),
      absl::MakeConstSpan(sb, out.rank()), a.data<T>(), b.data<T>(), po);
  return absl::OkStatus();
}

template <UnaryKind kKind, typename T>
absl::Status UnaryCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  const T* px = x.data<T>();
  T* py = args.outputs[0].mutable_data<T>();
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  ForBlocks(x.num_elements(), [&](int64_t begin, int64_t end) {
    UnaryKernel(kKind, end - begin, px + begin, py + begin, mode);
  });
  return absl::OkStatus();
}

absl::Status InferUnary(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

// A tangent of a broadcast operand, in the shape of the output.
Var Spread(const Var& tangent, const Var& output) {
  if (!tangent.defined() || tangent.shape() == output.shape()) return tangent;
  return BroadcastTo(tangent, output.shape());
}

// a + b where either may be zero (undefined).
Var AddOptional(const Var& a, const Var& b) {
  if (!a.defined()) return b;
  if (!b.defined()) return a;
  return Add(a, b);
}

struct BinaryOpSpec {
  const char* name;
  absl::Status (*infer)(const InferArgs&) = &InferBinary<true>;
  void (*vjp)(VjpArgs&);
  void (*jvp)(JvpArgs&);
  uint64_t saved_inputs;
};

template <BinaryKind kKind>
const Op& RegisterBinary(const BinaryOpSpec& spec) {
  OpDef def;
  def.name = spec.name;
  def.infer = spec.infer;
  def.vjp = spec.vjp;
  def.jvp = spec.jvp;
  def.saved_inputs = spec.saved_inputs;
  def.strided_inputs = 3;
  const Op& op = RegisterOp(def);
  RegisterCpuKernels(spec.name, "highway", &BinaryCpu<kKind, float>,
                     &BinaryCpu<kKind, double>);
  if (spec.infer == &InferBinary<true>) {
    RegisterKernel(spec.name, DeviceType::kCpu, DType::kI32, "highway",
                   &BinaryCpu<kKind, int32_t>);
    RegisterKernel(spec.name, DeviceType::kCpu, DType::kI64, "highway",
                   &BinaryCpu<kKind, int64_t>);
  }
  return op;
}

template <CompareKind kKind>
const Op& RegisterCompare(const char* name) {
  OpDef def;
  def.name = name;
  def.infer = &InferCompare;
  def.differentiable = false;
  def.strided_inputs = 3;
  const Op& op = RegisterOp(def);
  RegisterCpuKernels(name, "highway", &CompareCpu<kKind, float>,
                     &CompareCpu<kKind, double>);
  RegisterKernel(name, DeviceType::kCpu, DType::kI32, "highway",
                 &CompareCpu<kKind, int32_t>);
  RegisterKernel(name, DeviceType::kCpu, DType::kI64, "highway",
                 &CompareCpu<kKind, int64_t>);
  return op;
}

// A function of one variable with the derivative derivative(x, y), y being the
// function's value.
template <UnaryKind kKind, Var (*kDerivative)(const Var& x, const Var& y)>
const Op& RegisterUnary(const char* name, bool saves_input, bool saves_output) {
  OpDef def;
  def.name = name;
  def.infer = &InferUnary;
  def.saved_inputs = saves_input ? 1 : 0;
  def.saved_outputs = saves_output ? 1 : 0;
  def.vjp = [](VjpArgs& args) {
    args.grads[0] =
        Mul(args.cotangents[0], kDerivative(args.inputs[0], args.outputs[0]));
  };
  def.jvp = [](JvpArgs& args) {
    args.output_tangents[0] =
        Mul(args.tangents[0], kDerivative(args.inputs[0], args.outputs[0]));
  };
  const Op& op = RegisterOp(def);
  RegisterCpuKernels(name, "highway", &UnaryCpu<kKind, float>,
                     &UnaryCpu<kKind, double>);
  return op;
}

Var ConstantLike(double value, const Var& x) {
  return Tensor::Scalar(value, x.dtype());
}

// 1 where a > b, 0 where a < b, 1/2 where they are equal (infinite too) or one
// is NaN.
Var LargerShare(const Var& a, const Var& b) {
  return Where(Greater(a, b), ConstantLike(1.0, a),
               Where(Less(a, b), ConstantLike(0.0, a), ConstantLike(0.5, a)));
}

void MaximumVjp(VjpArgs& args, double sign) {
  // For the minimum the roles are exchanged.
  const Var share = sign > 0 ? LargerShare(args.inputs[0], args.inputs[1])
                             : LargerShare(args.inputs[1], args.inputs[0]);
  const Var& g = args.cotangents[0];
  if (args.Needs(0)) {
    args.grads[0] = SumTo(Mul(g, share), args.inputs[0].shape());
  }
  if (args.Needs(1)) {
    args.grads[1] =
        SumTo(Mul(g, Affine(share, -1.0, 1.0)), args.inputs[1].shape());
  }
}

void MaximumJvp(JvpArgs& args, double sign) {
  const Var share = sign > 0 ? LargerShare(args.inputs[0], args.inputs[1])
                             : LargerShare(args.inputs[1], args.inputs[0]);
  Var a;
  Var b;
  if (args.tangents[0].defined()) a = Mul(args.tangents[0], share);
  if (args.tangents[1].defined()) {
    b = Mul(args.tangents[1], Affine(share, -1.0, 1.0));
  }
  args.output_tangents[0] = AddOptional(a, b);
}

struct AffineAttrs {
  double scale;
  double shift;
};

template <typename T>
absl::Status AffineCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<AffineAttrs>();
  const T* x = args.input(0).data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  ForBlocks(args.input(0).num_elements(), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    if (attrs.scale == 1.0) {
      BinaryScalarBKernel(BinaryKind::kAdd, n, x + begin,
                          static_cast<T>(attrs.shift), y + begin);
      return;
    }
    ScaleKernel(n, static_cast<T>(attrs.scale), x + begin, y + begin);
    if (attrs.shift != 0.0) {
      BinaryScalarBKernel(BinaryKind::kAdd, n, y + begin,
                          static_cast<T>(attrs.shift), y + begin);
    }
  });
  return absl::OkStatus();
}

absl::Status InferAffine(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<AffineAttrs>();
  SEPTET_RETURN_IF_ERROR(InferUnary(args));
  const double largest = args.input(0).dtype() == DType::kF32
                             ? std::numeric_limits<float>::max()
                             : std::numeric_limits<double>::max();
  if (!(std::abs(attrs.scale) <= largest && std::abs(attrs.shift) <= largest)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "scale is ", attrs.scale, " and shift ", attrs.shift,
        ", expected finite numbers of ", DTypeName(args.input(0).dtype())));
  }
  return absl::OkStatus();
}

const Op& AffineOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "affine";
    def.infer = &InferAffine;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] =
          Scale(args.cotangents[0], args.attrs.Get<AffineAttrs>().scale);
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          Scale(args.tangents[0], args.attrs.Get<AffineAttrs>().scale);
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &AffineCpu<float>,
                       &AffineCpu<double>);
    return registered;
  }();
  return op;
}

absl::Status InferWhere(const InferArgs& args) {
  const Tensor& condition = args.input(0);
  const Tensor& a = args.input(1);
  if (condition.dtype() != DType::kBool) {
    return absl::InvalidArgumentError(absl::StrCat(
        "condition is ", condition.DebugString(), ", expected bool"));
  }
  SEPTET_RETURN_IF_ERROR(RequireDefined("a", a));
  if (!IsInteger(a.dtype())) {
    SEPTET_RETURN_IF_ERROR(RequireReal("a", a));
  }
  SEPTET_RETURN_IF_ERROR(InferBroadcast(a, args.input(2), &args.outputs[0]));
  SEPTET_ASSIGN_OR_RETURN(
      args.outputs[0].shape,
      BroadcastShapes(condition.shape(), args.outputs[0].shape),
      _ << "condition and operands");
  return absl::OkStatus();
}

template <typename T>
absl::Status WhereCpu(const KernelArgs& args) {
  const Tensor& out = args.outputs[0];
  int64_t strides[3][kMaxRank];
  for (int i = 0; i < 3; ++i) {
    BroadcastStrides(args.input(i), out.shape(), strides[i]);
  }
  const int rank = out.rank();
  WhereStridedKernel(out.shape().dims(), absl::MakeConstSpan(strides[0], rank),
                     absl::MakeConstSpan(strides[1], rank),
                     absl::MakeConstSpan(strides[2], rank),
                     static_cast<const uint8_t*>(args.input(0).raw_data()),
                     args.input(1).data<T>(), args.input(2).data<T>(),
                     out.mutable_data<T>());
  return absl::OkStatus();
}

const Op& WhereOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "where";
    def.infer = &InferWhere;
    def.saved_inputs = 1;
    def.dispatch_input = 1;
    def.strided_inputs = 7;
    def.vjp = [](VjpArgs& args) {
      const Var& g = args.cotangents[0];
      const Var zero = ConstantLike(0.0, g);
      if (args.Needs(1)) {
        args.grads[1] =
            SumTo(Where(args.inputs[0], g, zero), args.inputs[1].shape());
      }
      if (args.Needs(2)) {
        args.grads[2] =
            SumTo(Where(args.inputs[0], zero, g), args.inputs[2].shape());
      }
    };
    def.jvp = [](JvpArgs& args) {
      const Var zero = ConstantLike(0.0, args.outputs[0]);
      const Var& a = args.tangents[1];
      const Var& b = args.tangents[2];
      args.output_tangents[0] = Spread(
          Where(args.inputs[0], a.defined() ? a : zero, b.defined() ? b : zero),
          args.outputs[0]);
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &WhereCpu<float>,
                       &WhereCpu<double>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kI32, "highway",
                   &WhereCpu<int32_t>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kI64, "highway",
                   &WhereCpu<int64_t>);
    return registered;
  }();
  return op;
}

struct CastAttrs {
  DType dtype;
};

const Op& CastOp() {
  static const Op& op = RegisterOp([] {
    OpDef def;
    def.name = "cast";
    def.infer = [](const InferArgs& args) {
      args.outputs[0] = {args.input(0).shape(),
                         args.attrs.Get<CastAttrs>().dtype};
      return absl::OkStatus();
    };
    // Not always a view, but like one it takes any dtype and any strides.
    def.view = [](const Tensor& x, const Attrs& attrs) {
      return x.To(attrs.Get<CastAttrs>().dtype);
    };
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = Cast(args.cotangents[0], args.inputs[0].dtype());
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] = Cast(args.tangents[0], args.outputs[0].dtype());
    };
    return def;
  }());
  return op;
}

}  // namespace

Var Add(const Var& a, const Var& b) {
  static const Op& op = RegisterBinary<BinaryKind::kAdd>(
      {"add", &InferBinary<true>,
       [](VjpArgs& args) {
         const Var& g = args.cotangents[0];
         for (int i = 0; i < 2; ++i) {
           if (args.Needs(i)) args.grads[i] = SumTo(g, args.inputs[i].shape());
         }
       },
       [](JvpArgs& args) {
         args.output_tangents[0] = Spread(
             AddOptional(args.tangents[0], args.tangents[1]), args.outputs[0]);
       },
       0});
  return Apply(op, {&a, &b});
}

Var Sub(const Var& a, const Var& b) {
  static const Op& op = RegisterBinary<BinaryKind::kSub>(
      {"sub", &InferBinary<true>,
       [](VjpArgs& args) {
         const Var& g = args.cotangents[0];
         if (args.Needs(0)) args.grads[0] = SumTo(g, args.inputs[0].shape());
         if (args.Needs(1)) {
           args.grads[1] = Neg(SumTo(g, args.inputs[1].shape()));
         }
       },
       [](JvpArgs& args) {
         const Var& ta = args.tangents[0];
         const Var& tb = args.tangents[1];
         args.output_tangents[0] = Spread(
             !tb.defined() ? ta : AddOptional(ta, Neg(tb)), args.outputs[0]);
       },
       0});
  return Apply(op, {&a, &b});
}

Var Mul(const Var& a, const Var& b) {
  static const Op& op = RegisterBinary<BinaryKind::kMul>(
      {"mul", &InferBinary<true>,
       [](VjpArgs& args) {
         const Var& g = args.cotangents[0];
         for (int i = 0; i < 2; ++i) {
           if (args.Needs(i)) {
             args.grads[i] =
                 SumTo(Mul(g, args.inputs[1 - i]), args.inputs[i].shape());
           }
         }
       },
       [](JvpArgs& args) {
         Var terms[2];
         for (int i = 0; i < 2; ++i) {
           if (args.tangents[i].defined()) {
             terms[i] = Mul(args.tangents[i], args.inputs[1 - i]);
           }
         }
         args.output_tangents[0] = AddOptional(terms[0], terms[1]);
       },
       3});
  return Apply(op, {&a, &b});
}

Var Div(const Var& a, const Var& b) {
  static const Op& op = RegisterBinary<BinaryKind::kDiv>(
      {"div", &InferBinary<false>,
       [](VjpArgs& args) {
         const Var& va = args.inputs[0];
         const Var& vb = args.inputs[1];
         const Var quotient = Div(args.cotangents[0], vb);
         if (args.Needs(0)) args.grads[0] = SumTo(quotient, va.shape());
         if (args.Needs(1)) {
           args.grads[1] = Neg(SumTo(Mul(quotient, Div(va, vb)), vb.shape()));
         }
       },
       [](JvpArgs& args) {
         const Var& va = args.inputs[0];
         const Var& vb = args.inputs[1];
         Var from_a;
         Var from_b;
         if (args.tangents[0].defined()) from_a = Div(args.tangents[0], vb);
         if (args.tangents[1].defined()) {
           from_b = Neg(Mul(Div(args.tangents[1], vb), Div(va, vb)));
         }
         args.output_tangents[0] =
             Spread(AddOptional(from_a, from_b), args.outputs[0]);
       },
       3});
  return Apply(op, {&a, &b});
}

Var Maximum(const Var& a, const Var& b) {
  static const Op& op = RegisterBinary<BinaryKind::kMaximum>(
      {"maximum", &InferBinary<false>,
       [](VjpArgs& args) { MaximumVjp(args, 1.0); },
       [](JvpArgs& args) { MaximumJvp(args, 1.0); }, 3});
  return Apply(op, {&a, &b});
}

Var Minimum(const Var& a, const Var& b) {
  static const Op& op = RegisterBinary<BinaryKind::kMinimum>(
      {"minimum", &InferBinary<false>,
       [](VjpArgs& args) { MaximumVjp(args, -1.0); },
       [](JvpArgs& args) { MaximumJvp(args, -1.0); }, 3});
  return Apply(op, {&a, &b});
}

Var Affine(const Var& x, double scale, double shift) {
  return Apply(AffineOp(), {&x}, AffineAttrs{scale, shift});
}

Var Equal(const Var& a, const Var& b) {
  static const Op& op = RegisterCompare<CompareKind::kEqual>("equal");
  return Apply(op, {&a, &b});
}
Var Less(const Var& a, const Var& b) {
  static const Op& op = RegisterCompare<CompareKind::kLess>("less");
  return Apply(op, {&a, &b});
}
Var LessEqual(const Var& a, const Var& b) {
  static const Op& op = RegisterCompare<CompareKind::kLessEqual>("less_equal");
  return Apply(op, {&a, &b});
}
Var Greater(const Var& a, const Var& b) {
  static const Op& op = RegisterCompare<CompareKind::kGreater>("greater");
  return Apply(op, {&a, &b});
}
Var GreaterEqual(const Var& a, const Var& b) {
  static const Op& op =
      RegisterCompare<CompareKind::kGreaterEqual>("greater_equal");
  return Apply(op, {&a, &b});
}

Var Where(const Var& condition, const Var& a, const Var& b) {
  return Apply(WhereOp(), {&condition, &a, &b});
}

namespace {

Var MinusOne(const Var&, const Var& y) { return ConstantLike(-1.0, y); }
Var AbsDerivative(const Var& x, const Var&) { return Sign(x); }
Var Zero(const Var&, const Var& y) { return ConstantLike(0.0, y); }
Var SquareDerivative(const Var& x, const Var&) { return Scale(x, 2.0); }
Var SqrtDerivative(const Var&, const Var& y) {
  return Scale(Reciprocal(y), 0.5);
}
// -1/2 x^(-3/2).
Var RsqrtDerivative(const Var&, const Var& y) {
  return Scale(Mul(y, Square(y)), -0.5);
}
Var ReciprocalDerivative(const Var&, const Var& y) { return Neg(Square(y)); }
Var Value(const Var&, const Var& y) { return y; }
Var ValuePlusOne(const Var&, const Var& y) { return AddScalar(y, 1.0); }
Var LogDerivative(const Var& x, const Var&) { return Reciprocal(x); }
Var Log1pDerivative(const Var& x, const Var&) {
  return Reciprocal(AddScalar(x, 1.0));
}
Var SinDerivative(const Var& x, const Var&) { return Cos(x); }
Var CosDerivative(const Var& x, const Var&) { return Neg(Sin(x)); }
// 1 - tanh^2.
Var TanhDerivative(const Var&, const Var& y) {
  return Affine(Square(y), -1.0, 1.0);
}
// 2/sqrt(pi) exp(-x^2).
Var ErfDerivative(const Var& x, const Var&) {
  return Scale(Exp(Neg(Square(x))), 1.1283791670955126);
}
Var ErfcDerivative(const Var& x, const Var&) {
  return Scale(Exp(Neg(Square(x))), -1.1283791670955126);
}

}  // namespace

#define SEPTET_UNARY_OP(Name, snake_name, kind, derivative, saves_x, saves_y) \
  Var Name(const Var& x) {                                                    \
    static const Op& op = RegisterUnary<UnaryKind::kind, &derivative>(        \
        snake_name, saves_x, saves_y);                                        \
    return Apply(op, {&x});                                                   \
  }

SEPTET_UNARY_OP(Neg, "neg", kNeg, MinusOne, false, false)
SEPTET_UNARY_OP(Abs, "abs", kAbs, AbsDerivative, true, false)
SEPTET_UNARY_OP(Sign, "sign", kSign, Zero, false, false)
SEPTET_UNARY_OP(Square, "square", kSquare, SquareDerivative, true, false)
SEPTET_UNARY_OP(Sqrt, "sqrt", kSqrt, SqrtDerivative, false, true)
SEPTET_UNARY_OP(Rsqrt, "rsqrt", kRsqrt, RsqrtDerivative, false, true)
SEPTET_UNARY_OP(Reciprocal, "reciprocal", kReciprocal, ReciprocalDerivative,
                false, true)
SEPTET_UNARY_OP(Exp, "exp", kExp, Value, false, true)
SEPTET_UNARY_OP(Expm1, "expm1", kExpm1, ValuePlusOne, false, true)
SEPTET_UNARY_OP(Log, "log", kLog, LogDerivative, true, false)
SEPTET_UNARY_OP(Log1p, "log1p", kLog1p, Log1pDerivative, true, false)
SEPTET_UNARY_OP(Sin, "sin", kSin, SinDerivative, true, false)
SEPTET_UNARY_OP(Cos, "cos", kCos, CosDerivative, true, false)
SEPTET_UNARY_OP(Tanh, "tanh", kTanh, TanhDerivative, false, true)
SEPTET_UNARY_OP(Erf, "erf", kErf, ErfDerivative, true, false)
SEPTET_UNARY_OP(Erfc, "erfc", kErfc, ErfcDerivative, true, false)

#undef SEPTET_UNARY_OP

Var Cast(const Var& x, DType dtype) {
  if (x.ok() && x.defined() && x.dtype() == dtype) return x;
  return Apply(CastOp(), {&x}, CastAttrs{dtype});
}

}  // namespace septet
