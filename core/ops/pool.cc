// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/pool.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/blas/pool.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Of an op whose input has the shape of the pooled image.
struct PooledAttrs {
  Pool2dOptions options;
  int64_t h;
  int64_t w;
};

Pool2dShape WithOptions(const Pool2dOptions& o) {
  Pool2dShape s;
  s.kh = o.kernel_h;
  s.kw = o.kernel_w;
  s.stride_h = o.stride_h;
  s.stride_w = o.stride_w;
  s.pad_h = o.pad_h;
  s.pad_w = o.pad_w;
  s.ceil_mode = o.ceil_mode;
  return s;
}

absl::Status Naming(const absl::Status& status, const Tensor& x) {
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("x is ", x.DebugString(), ": ", status.message()));
}

absl::Status RequireImage(const char* name, const Tensor& x) {
  SEPTET_RETURN_IF_ERROR(RequireReal(name, x));
  return RequireRank(name, x, 4, 4);
}

// Of the image x.
absl::StatusOr<Pool2dShape> ImageShape(const Tensor& x,
                                       const Pool2dOptions& options) {
  SEPTET_RETURN_IF_ERROR(RequireImage("x", x));
  Pool2dShape s = WithOptions(options);
  s.n = x.dim(0);
  s.h = x.dim(1);
  s.w = x.dim(2);
  s.c = x.dim(3);
  SEPTET_RETURN_IF_ERROR(Naming(ValidatePool2d(s), x));
  return s;
}

Shape PooledShape(const Pool2dShape& s) {
  return Shape({s.n, s.OutH(), s.OutW(), s.c});
}

// Of a pooled image dy.
absl::StatusOr<Pool2dShape> PooledShape(const Tensor& dy,
                                        const PooledAttrs& attrs) {
  SEPTET_RETURN_IF_ERROR(RequireImage("dy", dy));
  Pool2dShape s = WithOptions(attrs.options);
  s.n = dy.dim(0);
  s.h = attrs.h;
  s.w = attrs.w;
  s.c = dy.dim(3);
  SEPTET_RETURN_IF_ERROR(ValidatePool2d(s));
  if (dy.shape() != PooledShape(s)) {
    return absl::InvalidArgumentError(absl::StrCat("dy is ", dy.DebugString(),
                                                   ", expected shape ",
                                                   PooledShape(s).ToString()));
  }
  return s;
}

absl::Status RequireArgmax(const Tensor& argmax, const Shape& shape) {
  SEPTET_RETURN_IF_ERROR(RequireDefined("argmax", argmax));
  if (argmax.dtype() == DType::kI64 && argmax.shape() == shape) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "argmax is ", argmax.DebugString(), ", expected i64 ", shape.ToString()));
}

absl::Status InferMax(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_ASSIGN_OR_RETURN(const Pool2dShape s,
                          ImageShape(x, args.attrs.Get<Pool2dOptions>()));
  args.outputs[0] = {PooledShape(s), x.dtype()};
  args.outputs[1] = {PooledShape(s), DType::kI64};
  return absl::OkStatus();
}

// Inputs dy, argmax.
absl::Status InferMaxGrad(const InferArgs& args) {
  const Tensor& dy = args.input(0);
  SEPTET_ASSIGN_OR_RETURN(const Pool2dShape s,
                          PooledShape(dy, args.attrs.Get<PooledAttrs>()));
  SEPTET_RETURN_IF_ERROR(RequireArgmax(args.input(1), dy.shape()));
  args.outputs[0] = {Shape({s.n, s.h, s.w, s.c}), dy.dtype()};
  return absl::OkStatus();
}

// Inputs x, argmax.
absl::Status InferMaxGather(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_ASSIGN_OR_RETURN(const Pool2dShape s,
                          ImageShape(x, args.attrs.Get<Pool2dOptions>()));
  SEPTET_RETURN_IF_ERROR(RequireArgmax(args.input(1), PooledShape(s)));
  args.outputs[0] = {PooledShape(s), x.dtype()};
  return absl::OkStatus();
}

absl::Status InferAvg(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_ASSIGN_OR_RETURN(const Pool2dShape s,
                          ImageShape(x, args.attrs.Get<Pool2dOptions>()));
  args.outputs[0] = {PooledShape(s), x.dtype()};
  return absl::OkStatus();
}

absl::Status InferAvgGrad(const InferArgs& args) {
  const Tensor& dy = args.input(0);
  SEPTET_ASSIGN_OR_RETURN(const Pool2dShape s,
                          PooledShape(dy, args.attrs.Get<PooledAttrs>()));
  args.outputs[0] = {Shape({s.n, s.h, s.w, s.c}), dy.dtype()};
  return absl::OkStatus();
}

// For each place of each window (OH OW, and KH KW of each), the pixel of the
// image there; outside of it, `outside`, or the nearest pixel, if that is
// negative: one of the same window, as padding is below the kernel.
std::vector<int64_t> WindowPixels(const Pool2dShape& s, int64_t outside) {
  std::vector<int64_t> pixels;
  for (int64_t i = 0; i < s.OutH(); ++i) {
    for (int64_t j = 0; j < s.OutW(); ++j) {
      for (int64_t a = 0; a < s.kh; ++a) {
        for (int64_t b = 0; b < s.kw; ++b) {
          const int64_t row = i * s.stride_h - s.pad_h + a;
          const int64_t col = j * s.stride_w - s.pad_w + b;
          const int64_t near_row = std::clamp<int64_t>(row, 0, s.h - 1);
          const int64_t near_col = std::clamp<int64_t>(col, 0, s.w - 1);
          const bool inside = row == near_row && col == near_col;
          pixels.push_back(inside || outside < 0 ? near_row * s.w + near_col
                                                 : outside);
        }
      }
    }
  }
  return pixels;
}

// x [N, pixels, C] at the places of all windows: [N, OH OW, KH KW, C].
Var Windows(const Pool2dShape& s, const Var& x, const Var& pixels) {
  return Reshape(IndexSelect(x, 1, pixels),
                 {s.n, s.OutH() * s.OutW(), s.kh * s.kw, s.c});
}

// Repeating the nearest pixel changes neither the maximum nor, as rows and
// columns keep their order, which of equal values is first. (Of several NaNs
// the first one's place is told here, the last one's by the kernel.)
void MaxComposite(CompositeArgs& args) {
  const auto shape =
      ImageShape(args.inputs[0].tensor(), args.attrs.Get<Pool2dOptions>());
  if (!shape.ok()) {
    args.outputs[0] = shape.status();
    return;
  }
  const Pool2dShape& s = *shape;
  const std::vector<int64_t> list = WindowPixels(s, -1);
  const Var pixels =
      Tensor::FromValues<int64_t>({static_cast<int64_t>(list.size())}, list);
  const Var windows =
      Windows(s, Reshape(args.inputs[0], {s.n, s.h * s.w, s.c}), pixels);
  const Var winner = ArgMax(windows, 2, {/*keep_dims=*/true});
  const Var places =
      BroadcastTo(Reshape(pixels, {1, s.OutH() * s.OutW(), s.kh * s.kw, 1}),
                  windows.ok() ? windows.shape() : Shape());
  args.outputs[0] =
      Reshape(Gather(windows, 2, winner), {s.n, s.OutH(), s.OutW(), s.c});
  args.outputs[1] =
      Reshape(Gather(places, 2, winner), {s.n, s.OutH(), s.OutW(), s.c});
}

// Outside of the image is one pixel of zeros.
void AvgComposite(CompositeArgs& args) {
  const auto& options = args.attrs.Get<Pool2dOptions>();
  const Var& x = args.inputs[0];
  const auto shape = ImageShape(x.tensor(), options);
  if (!shape.ok()) {
    args.outputs[0] = shape.status();
    return;
  }
  const Pool2dShape& s = *shape;
  const std::vector<int64_t> list = WindowPixels(s, s.h * s.w);
  const Var image =
      Pad(Reshape(x, {s.n, s.h * s.w, s.c}), {0, 0, 0}, {0, 1, 0});
  const Var windows = Windows(
      s, image,
      Tensor::FromValues<int64_t>({static_cast<int64_t>(list.size())}, list));
  std::vector<double> counts;
  for (int64_t i = 0; i < s.OutH(); ++i) {
    for (int64_t j = 0; j < s.OutW(); ++j) {
      const int64_t row = i * s.stride_h - s.pad_h;
      const int64_t col = j * s.stride_w - s.pad_w;
      // Of the zeros around the image, those that count.
      const int64_t more_h = options.count_include_pad ? s.pad_h : 0;
      const int64_t more_w = options.count_include_pad ? s.pad_w : 0;
      const int64_t rows =
          std::min(row + s.kh, s.h + more_h) - std::max(row, -more_h);
      const int64_t cols =
          std::min(col + s.kw, s.w + more_w) - std::max(col, -more_w);
      counts.push_back(static_cast<double>(rows * cols));
    }
  }
  const Var count =
      Tensor::FromValues<double>({1, s.OutH(), s.OutW(), 1}, counts);
  const Var sums = Reshape(Sum(windows, {2}), {s.n, s.OutH(), s.OutW(), s.c});
  args.outputs[0] = Div(sums, Cast(count, x.dtype()));
}

template <typename T>
absl::Status MaxCpu(const KernelArgs& args) {
  SEPTET_ASSIGN_OR_RETURN(
      const Pool2dShape s,
      ImageShape(args.input(0), args.attrs.Get<Pool2dOptions>()));
  return MaxPool2dForward(s, args.input(0).data<T>(),
                          args.outputs[0].mutable_data<T>(),
                          args.outputs[1].mutable_data<int64_t>());
}
template <typename T>
absl::Status MaxGradCpu(const KernelArgs& args) {
  SEPTET_ASSIGN_OR_RETURN(
      const Pool2dShape s,
      PooledShape(args.input(0), args.attrs.Get<PooledAttrs>()));
  return MaxPool2dBackward(s, args.input(0).data<T>(),
                           args.input(1).data<int64_t>(),
                           args.outputs[0].mutable_data<T>());
}
template <typename T>
absl::Status MaxGatherCpu(const KernelArgs& args) {
  SEPTET_ASSIGN_OR_RETURN(
      const Pool2dShape s,
      ImageShape(args.input(0), args.attrs.Get<Pool2dOptions>()));
  return MaxPool2dGather(s, args.input(0).data<T>(),
                         args.input(1).data<int64_t>(),
                         args.outputs[0].mutable_data<T>());
}
template <typename T>
absl::Status AvgCpu(const KernelArgs& args) {
  const auto& options = args.attrs.Get<Pool2dOptions>();
  SEPTET_ASSIGN_OR_RETURN(const Pool2dShape s,
                          ImageShape(args.input(0), options));
  return AvgPool2dForward(s, options.count_include_pad, args.input(0).data<T>(),
                          args.outputs[0].mutable_data<T>());
}
template <typename T>
absl::Status AvgGradCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<PooledAttrs>();
  SEPTET_ASSIGN_OR_RETURN(const Pool2dShape s,
                          PooledShape(args.input(0), attrs));
  return AvgPool2dBackward(s, attrs.options.count_include_pad,
                           args.input(0).data<T>(),
                           args.outputs[0].mutable_data<T>());
}

const Op& Registered(const OpDef& def, Kernel f32, Kernel f64) {
  const Op& op = RegisterOp(def);
  RegisterCpuKernels(def.name, "highway", f32, f64);
  return op;
}

Var MaxGrad(const Var& dy, const Var& argmax, const PooledAttrs& attrs);

Var MaxGather(const Var& x, const Var& argmax, const Pool2dOptions& options) {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "max_pool2d_gather";
    def.infer = &InferMaxGather;
    def.saved_inputs = 2;
    def.vjp = [](VjpArgs& args) {
      const Var& x = args.inputs[0];
      if (!args.Needs(0)) return;
      args.grads[0] =
          MaxGrad(args.cotangents[0], args.inputs[1],
                  {args.attrs.Get<Pool2dOptions>(), x.dim(1), x.dim(2)});
    };
    def.jvp = [](JvpArgs& args) {
      if (!args.tangents[0].defined()) return;
      args.output_tangents[0] = MaxGather(args.tangents[0], args.inputs[1],
                                          args.attrs.Get<Pool2dOptions>());
    };
    return Registered(def, &MaxGatherCpu<float>, &MaxGatherCpu<double>);
  }();
  return Apply(op, {&x, &argmax}, options);
}

Var MaxGrad(const Var& dy, const Var& argmax, const PooledAttrs& attrs) {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "max_pool2d_grad";
    def.infer = &InferMaxGrad;
    def.saved_inputs = 2;
    def.vjp = [](VjpArgs& args) {
      if (!args.Needs(0)) return;
      args.grads[0] = MaxGather(args.cotangents[0], args.inputs[1],
                                args.attrs.Get<PooledAttrs>().options);
    };
    def.jvp = [](JvpArgs& args) {
      if (!args.tangents[0].defined()) return;
      args.output_tangents[0] = MaxGrad(args.tangents[0], args.inputs[1],
                                        args.attrs.Get<PooledAttrs>());
    };
    return Registered(def, &MaxGradCpu<float>, &MaxGradCpu<double>);
  }();
  return Apply(op, {&dy, &argmax}, attrs);
}

// Outputs y, argmax.
const Op& MaxOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "max_pool2d";
    def.num_outputs = 2;
    def.infer = &InferMax;
    def.composite = &MaxComposite;
    def.saved_inputs = 0;
    def.saved_outputs = 2;
    def.vjp = [](VjpArgs& args) {
      const Var& x = args.inputs[0];
      args.grads[0] =
          MaxGrad(args.cotangents[0], args.outputs[1],
                  {args.attrs.Get<Pool2dOptions>(), x.dim(1), x.dim(2)});
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] = MaxGather(args.tangents[0], args.outputs[1],
                                          args.attrs.Get<Pool2dOptions>());
    };
    return Registered(def, &MaxCpu<float>, &MaxCpu<double>);
  }();
  return op;
}

Var AvgGrad(const Var& dy, const PooledAttrs& attrs) {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "avg_pool2d_grad";
    def.infer = &InferAvgGrad;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] =
          AvgPool2d(args.cotangents[0], args.attrs.Get<PooledAttrs>().options);
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          AvgGrad(args.tangents[0], args.attrs.Get<PooledAttrs>());
    };
    return Registered(def, &AvgGradCpu<float>, &AvgGradCpu<double>);
  }();
  return Apply(op, {&dy}, attrs);
}

}  // namespace

MaxPooled MaxPool2d(const Var& x, const Pool2dOptions& options) {
  const VarVector outputs = ApplyMulti(MaxOp(), {&x}, options);
  return {outputs[0], outputs[1].Detach()};
}

Var AvgPool2d(const Var& x, const Pool2dOptions& options) {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "avg_pool2d";
    def.infer = &InferAvg;
    def.composite = &AvgComposite;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      const Var& x = args.inputs[0];
      args.grads[0] =
          AvgGrad(args.cotangents[0],
                  {args.attrs.Get<Pool2dOptions>(), x.dim(1), x.dim(2)});
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          AvgPool2d(args.tangents[0], args.attrs.Get<Pool2dOptions>());
    };
    return Registered(def, &AvgCpu<float>, &AvgCpu<double>);
  }();
  return Apply(op, {&x}, options);
}

Var GlobalAvgPool2d(const Var& x) {
  if (!x.ok()) return x;
  absl::Status status = RequireImage("x", x.tensor());
  if (status.ok() && (x.dim(1) == 0 || x.dim(2) == 0)) {
    status = absl::InvalidArgumentError(
        absl::StrCat("x is ", x.tensor().DebugString(),
                     ", expected images of at least one pixel"));
  }
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("global_avg_pool2d: ", status.message()));
  }
  return Mean(x, {1, 2});
}

}  // namespace septet
