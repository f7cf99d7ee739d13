// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/conv.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/blas/conv.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct TransposeAttrs {
  Conv2dOptions options;
  int64_t output_padding_h;
  int64_t output_padding_w;
};
struct WeightGradAttrs {
  Conv2dOptions options;
  int64_t kh;
  int64_t kw;
};

Conv2dShape WithOptions(const Conv2dOptions& o) {
  Conv2dShape s;
  s.stride_h = o.stride_h;
  s.stride_w = o.stride_w;
  s.pad_top = o.pad_top;
  s.pad_bottom = o.pad_bottom;
  s.pad_left = o.pad_left;
  s.pad_right = o.pad_right;
  s.dilation_h = o.dilation_h;
  s.dilation_w = o.dilation_w;
  s.groups = o.groups;
  return s;
}

absl::Status RequireImage(const char* name, const Tensor& x) {
  SEPTET_RETURN_IF_ERROR(RequireReal(name, x));
  return RequireRank(name, x, 4, 4);
}

absl::Status RequireBias(const Tensor& like, const char* name,
                         const Tensor& bias, int64_t channels) {
  if (!bias.defined()) return absl::OkStatus();
  SEPTET_RETURN_IF_ERROR(RequireSameDType(name, like, "bias", bias));
  SEPTET_RETURN_IF_ERROR(RequireRank("bias", bias, 1, 1));
  return RequireExtent("bias", bias, 0, channels, "the output channels");
}

// What a message about numbers is about.
absl::Status Naming(const absl::Status& status, const char* a_name,
                    const Tensor& a, const char* b_name, const Tensor& b) {
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat(a_name, " is ", a.DebugString(), ", ", b_name, " is ",
                   b.DebugString(), ": ", status.message()));
}

absl::StatusOr<Conv2dShape> ForwardShape(const Tensor& x, const Tensor& w,
                                         const Conv2dOptions& options) {
  SEPTET_RETURN_IF_ERROR(RequireImage("x", x));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "w", w));
  SEPTET_RETURN_IF_ERROR(RequireRank("w", w, 4, 4));
  Conv2dShape s = WithOptions(options);
  s.n = x.dim(0);
  s.h = x.dim(1);
  s.w = x.dim(2);
  s.c_in = x.dim(3);
  s.kh = w.dim(0);
  s.kw = w.dim(1);
  s.c_out = w.dim(3);
  SEPTET_RETURN_IF_ERROR(Naming(ValidateConv2d(s), "x", x, "w", w));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("w", w, 2, s.c_in / s.groups,
                    "the channels of x, its last axis, of a group"));
  return s;
}

absl::Status InferForward(const InferArgs& args) {
  const auto& options = args.attrs.Get<Conv2dOptions>();
  const Tensor& x = args.input(0);
  SEPTET_ASSIGN_OR_RETURN(const Conv2dShape s,
                          ForwardShape(x, args.input(1), options));
  SEPTET_RETURN_IF_ERROR(RequireBias(x, "x", args.input(2), s.c_out));
  SEPTET_ASSIGN_OR_RETURN(args.outputs[0].shape,
                          Shape::Create({s.n, s.OutH(), s.OutW(), s.c_out}));
  args.outputs[0].dtype = x.dtype();
  return absl::OkStatus();
}

// Extents of a transposed convolution's result, 1 to 2^31 - 1.
absl::StatusOr<int64_t> TransposedExtent(const char* axis, int64_t extent,
                                         int64_t stride, int64_t padding,
                                         int64_t dilation, int64_t kernel,
                                         int64_t output_padding) {
  if (output_padding < 0 || output_padding >= std::max<int64_t>(stride, 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("output_padding_", axis, " is ", output_padding,
                     ", expected at least 0 and below the stride, ", stride));
  }
  const double spread =
      static_cast<double>(extent - 1) * static_cast<double>(stride);
  const double reach =
      static_cast<double>(kernel - 1) * static_cast<double>(dilation);
  const double result = spread + reach + 1 +
                        static_cast<double>(output_padding) -
                        static_cast<double>(padding);
  if (!(result >= 1 && spread < 0x1p40 && reach < 0x1p40)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the result's extent along ", axis, " would be ", result,
                     ", expected at least 1 and below 2^31"));
  }
  return (extent - 1) * stride + dilation * (kernel - 1) + 1 + output_padding -
         padding;
}

// Of the convolution that is transposed.
absl::StatusOr<Conv2dShape> TransposedShape(const Tensor& x, const Tensor& w,
                                            const TransposeAttrs& attrs) {
  SEPTET_RETURN_IF_ERROR(RequireImage("x", x));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "w", w));
  SEPTET_RETURN_IF_ERROR(RequireRank("w", w, 4, 4));
  const Conv2dOptions& o = attrs.options;
  Conv2dShape s = WithOptions(o);
  s.n = x.dim(0);
  s.c_out = x.dim(3);
  s.kh = w.dim(0);
  s.kw = w.dim(1);
  if (s.groups < 1 || s.c_out % s.groups != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("groups is ", s.groups, ", expected a divisor of the ",
                     s.c_out, " channels of x, ", x.DebugString()));
  }
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("w", w, 3, s.c_out, "the channels of x, its last axis"));
  // Within what ValidateConv2d allows, so that nothing overflows.
  if (w.dim(2) > 0 && s.groups > (int64_t{1} << 31) / w.dim(2)) {
    return absl::InvalidArgumentError(
        absl::StrCat("w is ", w.DebugString(), " with ", s.groups,
                     " groups: more output channels than can be counted"));
  }
  s.c_in = w.dim(2) * s.groups;
  // Fields first: extents of 1 and kernels of 1 fit always.
  Conv2dShape fields = s;
  fields.h = fields.w = fields.kh = fields.kw = 1;
  SEPTET_RETURN_IF_ERROR(Naming(ValidateConv2d(fields), "x", x, "w", w));
  SEPTET_ASSIGN_OR_RETURN(
      s.h, TransposedExtent("h", x.dim(1), o.stride_h, o.pad_top + o.pad_bottom,
                            o.dilation_h, s.kh, attrs.output_padding_h));
  SEPTET_ASSIGN_OR_RETURN(
      s.w, TransposedExtent("w", x.dim(2), o.stride_w, o.pad_left + o.pad_right,
                            o.dilation_w, s.kw, attrs.output_padding_w));
  SEPTET_RETURN_IF_ERROR(Naming(ValidateConv2d(s), "x", x, "w", w));
  return s;
}

absl::Status InferTranspose(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<TransposeAttrs>();
  const Tensor& x = args.input(0);
  SEPTET_ASSIGN_OR_RETURN(const Conv2dShape s,
                          TransposedShape(x, args.input(1), attrs));
  SEPTET_RETURN_IF_ERROR(RequireBias(x, "x", args.input(2), s.c_in));
  SEPTET_ASSIGN_OR_RETURN(args.outputs[0].shape,
                          Shape::Create({s.n, s.h, s.w, s.c_in}));
  args.outputs[0].dtype = x.dtype();
  return absl::OkStatus();
}

absl::StatusOr<Conv2dShape> WeightGradShape(const Tensor& x, const Tensor& dy,
                                            const WeightGradAttrs& attrs) {
  SEPTET_RETURN_IF_ERROR(RequireImage("x", x));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "dy", dy));
  SEPTET_RETURN_IF_ERROR(RequireRank("dy", dy, 4, 4));
  Conv2dShape s = WithOptions(attrs.options);
  s.n = x.dim(0);
  s.h = x.dim(1);
  s.w = x.dim(2);
  s.c_in = x.dim(3);
  s.kh = attrs.kh;
  s.kw = attrs.kw;
  s.c_out = dy.dim(3);
  SEPTET_RETURN_IF_ERROR(Naming(ValidateConv2d(s), "x", x, "dy", dy));
  SEPTET_RETURN_IF_ERROR(RequireExtent("dy", dy, 0, s.n, "the images of x"));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("dy", dy, 1, s.OutH(), "the rows of the convolution"));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("dy", dy, 2, s.OutW(), "the columns of the convolution"));
  return s;
}

absl::Status InferWeightGrad(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<WeightGradAttrs>();
  const Tensor& x = args.input(0);
  SEPTET_ASSIGN_OR_RETURN(const Conv2dShape s,
                          WeightGradShape(x, args.input(1), attrs));
  SEPTET_ASSIGN_OR_RETURN(
      args.outputs[0].shape,
      Shape::Create({s.kh, s.kw, s.c_in / s.groups, s.c_out}));
  args.outputs[0].dtype = x.dtype();
  if (args.outputs.size() > 1) args.outputs[1] = {Shape({s.c_out}), x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  SEPTET_ASSIGN_OR_RETURN(const Conv2dShape s,
                          ForwardShape(args.input(0), args.input(1),
                                       args.attrs.Get<Conv2dOptions>()));
  return Conv2dForward(s, args.input(0).data<T>(), args.input(1).data<T>(),
                       OptionalData<T>(args.input(2)),
                       args.outputs[0].mutable_data<T>());
}

template <typename T>
absl::Status TransposeCpu(const KernelArgs& args) {
  SEPTET_ASSIGN_OR_RETURN(const Conv2dShape s,
                          TransposedShape(args.input(0), args.input(1),
                                          args.attrs.Get<TransposeAttrs>()));
  return Conv2dBackwardData(s, args.input(0).data<T>(), args.input(1).data<T>(),
                            OptionalData<T>(args.input(2)),
                            args.outputs[0].mutable_data<T>());
}

template <typename T>
absl::Status WeightGradCpu(const KernelArgs& args) {
  SEPTET_ASSIGN_OR_RETURN(const Conv2dShape s,
                          WeightGradShape(args.input(0), args.input(1),
                                          args.attrs.Get<WeightGradAttrs>()));
  // The kernel adds to the gradients.
  for (const Tensor& gradient : args.outputs) {
    std::fill_n(gradient.mutable_data<T>(), gradient.num_elements(), T(0));
  }
  return Conv2dBackwardWeights(
      s, args.input(0).data<T>(), args.input(1).data<T>(),
      args.outputs[0].mutable_data<T>(),
      args.outputs.size() > 1 ? args.outputs[1].mutable_data<T>() : nullptr);
}

// Rows that the strides of a convolution over x leave over at its end.
TransposeAttrs Transposed(const Conv2dOptions& o, const Var& x, const Var& w) {
  return {o,
          (x.dim(1) + o.pad_top + o.pad_bottom - o.dilation_h * (w.dim(0) - 1) -
           1) %
              o.stride_h,
          (x.dim(2) + o.pad_left + o.pad_right - o.dilation_w * (w.dim(1) - 1) -
           1) %
              o.stride_w};
}

Var ConvTranspose2d(const Var& x, const Var& w, const Var& bias,
                    const TransposeAttrs& attrs) {
  return septet::ConvTranspose2d(x, w, bias, attrs.options,
                                 attrs.output_padding_h,
                                 attrs.output_padding_w);
}

// a + b, either of which may be a zero that is not there.
Var Sum(const Var& a, const Var& b) {
  if (a.ok() && !a.defined()) return b;
  if (b.ok() && !b.defined()) return a;
  return Add(a, b);
}

void RegisterKernels(const char* name, Kernel f32, Kernel f64) {
  RegisterCpuKernels(name, "highway", f32, f64);
}

// The gradients of the weights and of the bias in one pass over dy.
VarVector Conv2dWeightBiasGrad(const Var& x, const Var& dy,
                               const WeightGradAttrs& attrs);

// Inputs x, w, bias.
const Op& ForwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "conv2d";
    def.infer = &InferForward;
    def.saved_inputs = 3;
    def.vjp = [](VjpArgs& args) {
      const auto& options = args.attrs.Get<Conv2dOptions>();
      const Var& x = args.inputs[0];
      const Var& w = args.inputs[1];
      const Var& g = args.cotangents[0];
      if (args.Needs(0)) {
        args.grads[0] = ConvTranspose2d(g, w, Var(), Transposed(options, x, w));
      }
      const bool bias = args.inputs[2].defined() && args.Needs(2);
      if (args.Needs(1) && bias) {
        const VarVector both =
            Conv2dWeightBiasGrad(x, g, {options, w.dim(0), w.dim(1)});
        args.grads[1] = both[0];
        args.grads[2] = both[1];
      } else if (args.Needs(1)) {
        args.grads[1] = Conv2dWeightGrad(x, g, w.dim(0), w.dim(1), options);
      } else if (bias) {
        args.grads[2] = SumTo(g, args.inputs[2].shape());
      }
    };
    def.jvp = [](JvpArgs& args) {
      const auto& options = args.attrs.Get<Conv2dOptions>();
      const Var& tx = args.tangents[0];
      const Var& tw = args.tangents[1];
      const Var& tb = args.tangents[2];
      Var result;
      if (tx.defined()) result = Conv2d(tx, args.inputs[1], Var(), options);
      if (tw.defined()) {
        result = Sum(result, Conv2d(args.inputs[0], tw, Var(), options));
      }
      if (tb.defined()) {
        result = Sum(result, BroadcastTo(tb, args.outputs[0].shape()));
      }
      args.output_tangents[0] = result;
    };
    const Op& registered = RegisterOp(def);
    RegisterKernels(def.name, &ForwardCpu<float>, &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

// Inputs x, w, bias; x has the place of a convolution's output.
const Op& TransposeOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "conv_transpose2d";
    def.infer = &InferTranspose;
    def.saved_inputs = 3;
    def.vjp = [](VjpArgs& args) {
      const auto& attrs = args.attrs.Get<TransposeAttrs>();
      const Var& x = args.inputs[0];
      const Var& w = args.inputs[1];
      const Var& g = args.cotangents[0];
      if (args.Needs(0)) args.grads[0] = Conv2d(g, w, Var(), attrs.options);
      if (args.Needs(1)) {
        args.grads[1] =
            Conv2dWeightGrad(g, x, w.dim(0), w.dim(1), attrs.options);
      }
      if (args.inputs[2].defined() && args.Needs(2)) {
        args.grads[2] = SumTo(g, args.inputs[2].shape());
      }
    };
    def.jvp = [](JvpArgs& args) {
      const auto& attrs = args.attrs.Get<TransposeAttrs>();
      const Var& tx = args.tangents[0];
      const Var& tw = args.tangents[1];
      const Var& tb = args.tangents[2];
      Var result;
      if (tx.defined()) {
        result = ConvTranspose2d(tx, args.inputs[1], Var(), attrs);
      }
      if (tw.defined()) {
        result = Sum(result, ConvTranspose2d(args.inputs[0], tw, Var(), attrs));
      }
      if (tb.defined()) {
        result = Sum(result, BroadcastTo(tb, args.outputs[0].shape()));
      }
      args.output_tangents[0] = result;
    };
    const Op& registered = RegisterOp(def);
    RegisterKernels(def.name, &TransposeCpu<float>, &TransposeCpu<double>);
    return registered;
  }();
  return op;
}

// Of both ops below; the second output, the bias's gradient, is the sum of dy.
void WeightGradVjp(VjpArgs& args) {
  const Conv2dOptions& options = args.attrs.Get<WeightGradAttrs>().options;
  const Var& x = args.inputs[0];
  const Var& dy = args.inputs[1];
  const Var& g = args.cotangents[0];
  const Var g_bias = args.cotangents.size() > 1 ? args.cotangents[1] : Var();
  if (args.Needs(0) && g.defined()) {
    args.grads[0] = ConvTranspose2d(dy, g, Var(), Transposed(options, x, g));
  }
  if (args.Needs(1)) {
    args.grads[1] = g.defined() ? Conv2d(x, g, g_bias, options)
                                : BroadcastTo(g_bias, dy.shape());
  }
}

void WeightGradJvp(JvpArgs& args) {
  const auto& attrs = args.attrs.Get<WeightGradAttrs>();
  const Var& x = args.inputs[0];
  const Var& dy = args.inputs[1];
  const Var& tx = args.tangents[0];
  const Var& tdy = args.tangents[1];
  Var result;
  if (tx.defined()) {
    result = Conv2dWeightGrad(tx, dy, attrs.kh, attrs.kw, attrs.options);
  }
  if (tdy.defined() && args.output_tangents.size() > 1) {
    const VarVector both = Conv2dWeightBiasGrad(x, tdy, attrs);
    result = Sum(result, both[0]);
    args.output_tangents[1] = both[1];
  } else if (tdy.defined()) {
    result = Sum(result,
                 Conv2dWeightGrad(x, tdy, attrs.kh, attrs.kw, attrs.options));
  }
  args.output_tangents[0] = result;
}

// Inputs x, dy.
const Op& RegisterWeightGrad(const char* name, int num_outputs) {
  OpDef def;
  def.name = name;
  def.num_outputs = num_outputs;
  def.infer = &InferWeightGrad;
  def.vjp = &WeightGradVjp;
  def.jvp = &WeightGradJvp;
  const Op& registered = RegisterOp(def);
  RegisterKernels(name, &WeightGradCpu<float>, &WeightGradCpu<double>);
  return registered;
}

const Op& WeightGradOp() {
  static const Op& op = RegisterWeightGrad("conv2d_weight_grad", 1);
  return op;
}

VarVector Conv2dWeightBiasGrad(const Var& x, const Var& dy,
                               const WeightGradAttrs& attrs) {
  static const Op& op = RegisterWeightGrad("conv2d_weight_bias_grad", 2);
  return ApplyMulti(op, {&x, &dy}, attrs);
}

}  // namespace

Var Conv2d(const Var& x, const Var& w, const Var& bias,
           const Conv2dOptions& options) {
  return Apply(ForwardOp(), {&x, &w, &bias}, options);
}

Var ConvTranspose2d(const Var& x, const Var& w, const Var& bias,
                    const Conv2dOptions& options, int64_t output_padding_h,
                    int64_t output_padding_w) {
  return Apply(TransposeOp(), {&x, &w, &bias},
               TransposeAttrs{options, output_padding_h, output_padding_w});
}

Var Conv2dWeightGrad(const Var& x, const Var& dy, int64_t kh, int64_t kw,
                     const Conv2dOptions& options) {
  return Apply(WeightGradOp(), {&x, &dy}, WeightGradAttrs{options, kh, kw});
}

}  // namespace septet
