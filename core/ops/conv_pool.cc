// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/conv_pool.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/blas/conv.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/conv.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/pool.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct FusedAttrs {
  Conv2dOptions conv;
  PoolWindowOptions windows;
};
// Which outputs of the gradient op are wanted; the others are empty.
struct FusedGradAttrs {
  Conv2dOptions conv;
  PoolWindowOptions windows;
  bool dx;
  bool dw;
  bool dbias;
};

// Of tensors that have been checked.
Conv2dShape ConvShape(const Tensor& x, const Tensor& w,
                      const Conv2dOptions& o) {
  Conv2dShape s;
  s.n = x.dim(0);
  s.h = x.dim(1);
  s.w = x.dim(2);
  s.c_in = x.dim(3);
  s.c_out = w.dim(3);
  s.kh = w.dim(0);
  s.kw = w.dim(1);
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

Conv2dPool PoolOf(const PoolWindowOptions& windows) {
  return {windows.h, windows.w};
}

// Inputs x, w, bias; outputs y, winner.
absl::Status InferForward(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<FusedAttrs>();
  const Tensor& x = args.input(0);
  const Tensor& w = args.input(1);
  const Tensor& bias = args.input(2);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 4, 4));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "w", w));
  SEPTET_RETURN_IF_ERROR(RequireRank("w", w, 4, 4));
  const Conv2dShape s = ConvShape(x, w, attrs.conv);
  if (const absl::Status status = ValidateConv2dPool(s, PoolOf(attrs.windows));
      !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("x is ", x.DebugString(),
                                                   ", w is ", w.DebugString(),
                                                   ": ", status.message()));
  }
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("w", w, 2, s.c_in / s.groups,
                    "the channels of x, its last axis, of a group"));
  if (bias.defined()) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "bias", bias));
    SEPTET_RETURN_IF_ERROR(RequireRank("bias", bias, 1, 1));
    SEPTET_RETURN_IF_ERROR(
        RequireExtent("bias", bias, 0, s.c_out, "the output channels"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Shape shape,
                          Shape::Create({s.n, s.OutH() / attrs.windows.h,
                                         s.OutW() / attrs.windows.w, s.c_out}));
  args.outputs[0] = {shape, x.dtype()};
  args.outputs[1] = {shape, DType::kU8};
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<FusedAttrs>();
  return Conv2dMaxPoolReluForward(
      ConvShape(args.input(0), args.input(1), attrs.conv),
      PoolOf(attrs.windows), args.input(0).data<T>(), args.input(1).data<T>(),
      OptionalData<T>(args.input(2)), args.outputs[0].mutable_data<T>(),
      args.outputs[1].mutable_data<uint8_t>());
}

// Inputs x, w, winner, dy; outputs dx, dw, dbias.
absl::Status InferBackward(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<FusedGradAttrs>();
  const Tensor& x = args.input(0);
  const Tensor& w = args.input(1);
  const Shape none({0});
  args.outputs[0] = {attrs.dx ? x.shape() : none, x.dtype()};
  args.outputs[1] = {attrs.dw ? w.shape() : none, x.dtype()};
  args.outputs[2] = {attrs.dbias ? Shape({w.dim(3)}) : none, x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<FusedGradAttrs>();
  const Tensor& x = args.input(0);
  const Tensor& w = args.input(1);
  const Conv2dShape s = ConvShape(x, w, attrs.conv);
  const Conv2dPool pool = PoolOf(attrs.windows);
  const auto* winner = args.input(2).data<uint8_t>();
  const T* dy = args.input(3).data<T>();
  if (attrs.dx) {
    SEPTET_RETURN_IF_ERROR(Conv2dMaxPoolReluBackwardData(
        s, pool, dy, winner, w.data<T>(), args.outputs[0].mutable_data<T>()));
  }
  if (!attrs.dw) return absl::OkStatus();
  // The kernel adds to the gradients.
  for (const int i : {1, 2}) {
    const Tensor& gradient = args.outputs[i];
    std::fill_n(gradient.mutable_data<T>(), gradient.num_elements(), T(0));
  }
  return Conv2dMaxPoolReluBackwardWeights(
      s, pool, x.data<T>(), dy, winner, args.outputs[1].mutable_data<T>(),
      attrs.dbias ? args.outputs[2].mutable_data<T>() : nullptr);
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "conv2d_max_pool_relu_grad";
    def.num_outputs = 3;
    def.infer = &InferBackward;
    def.differentiable = false;  // called on constants only
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

// The places within their windows of the maxima y at `argmax`, places in images
// of width `width`.
template <typename T>
void FillWinners(const PoolWindowOptions& windows, int64_t width,
                 const Tensor& y, const Tensor& argmax, uint8_t* winner) {
  const T* values = y.data<T>();
  const int64_t* places = argmax.data<int64_t>();
  for (int64_t i = 0; i < y.num_elements(); ++i) {
    const int64_t a = places[i] / width % windows.h;
    const int64_t b = places[i] % width % windows.w;
    winner[i] = values[i] <= 0 ? 255 : static_cast<uint8_t>(a * windows.w + b);
  }
}

void Composite(CompositeArgs& args) {
  const auto& attrs = args.attrs.Get<FusedAttrs>();
  const Var image =
      Conv2d(args.inputs[0], args.inputs[1], args.inputs[2], attrs.conv);
  Pool2dOptions pool;
  pool.kernel_h = pool.stride_h = attrs.windows.h;
  pool.kernel_w = pool.stride_w = attrs.windows.w;
  const MaxPooled pooled = MaxPool2d(image, pool);
  args.outputs[0] = Relu(pooled.y);
  if (!args.outputs[0].ok()) return;
  absl::StatusOr<Tensor> winner = Tensor::Empty(pooled.y.shape(), DType::kU8);
  if (winner.ok()) {
    uint8_t* const to = winner->mutable_data<uint8_t>();
    const auto fill = image.dtype() == DType::kF32 ? &FillWinners<float>
                                                   : &FillWinners<double>;
    fill(attrs.windows, image.dim(2), pooled.y.tensor(), pooled.argmax.tensor(),
         to);
  }
  args.outputs[1] = winner;
}

void Vjp(VjpArgs& args) {
  // The winners are not handed out: only y has a cotangent.
  const auto& attrs = args.attrs.Get<FusedAttrs>();
  FusedGradAttrs wanted{attrs.conv, attrs.windows, args.Needs(0), args.Needs(1),
                        args.inputs[2].defined() && args.Needs(2)};
  // One pass over dy gives both; the bias alone is not worth another kernel.
  const bool dw = wanted.dw;
  wanted.dw |= wanted.dbias;
  const VarVector grads = ApplyMulti(
      BackwardOp(),
      {&args.inputs[0], &args.inputs[1], &args.outputs[1], &args.cotangents[0]},
      wanted);
  if (wanted.dx) args.grads[0] = grads[0];
  if (dw) args.grads[1] = grads[1];
  if (wanted.dbias) args.grads[2] = grads[2];
}

const Op& FusedOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "conv2d_max_pool_relu";
    def.num_outputs = 2;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    def.saved_inputs = 3;
    def.saved_outputs = 2;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var Conv2dMaxPoolRelu(const Var& x, const Var& w, const Var& bias,
                      const Conv2dOptions& options,
                      const PoolWindowOptions& windows) {
  return ApplyMulti(FusedOp(), {&x, &w, &bias},
                    FusedAttrs{options, windows})[0];
}

}  // namespace septet
