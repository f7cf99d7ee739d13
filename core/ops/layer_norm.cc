// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/layer_norm.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/layer_norm_kernels.h"
#include "septet/core/ops/norm_op_impl.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct LayerNormAttrs {
  double eps;
};

int64_t Length(const Tensor& x) { return x.dim(x.rank() - 1); }

// Inputs x, scale, bias; outputs y, mean, rstd.
absl::Status InferForward(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  const int64_t n = Length(x);
  if (n == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("x is ", x.DebugString(), ", expected a last axis >= 1"));
  }
  const char* names[] = {"x", "scale", "bias"};
  for (int i = 1; i < 3; ++i) {
    const Tensor& parameter = args.input(i);
    if (!parameter.defined()) continue;
    SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, names[i], parameter));
    SEPTET_RETURN_IF_ERROR(RequireRank(names[i], parameter, 1, 1));
    SEPTET_RETURN_IF_ERROR(
        RequireExtent(names[i], parameter, 0, n, "the last axis of x"));
  }
  const double eps = args.attrs.Get<LayerNormAttrs>().eps;
  if (!(eps >= 0 && eps <= std::numeric_limits<float>::max())) {
    return absl::InvalidArgumentError(
        absl::StrCat("eps is ", eps, ", expected a finite number >= 0"));
  }
  const Shape rows = x.shape().WithDim(x.rank() - 1, 1);
  args.outputs[0] = {x.shape(), x.dtype()};
  args.outputs[1] = {rows, x.dtype()};
  args.outputs[2] = {rows, x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  const int64_t n = Length(x);
  const T* px = x.data<T>();
  const T* scale = OptionalData<T>(args.input(1));
  const T* bias = OptionalData<T>(args.input(2));
  const T eps = static_cast<T>(args.attrs.Get<LayerNormAttrs>().eps);
  T* y = args.outputs[0].mutable_data<T>();
  T* mean = args.outputs[1].mutable_data<T>();
  T* rstd = args.outputs[2].mutable_data<T>();
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  ParallelFor(x.num_elements() / n, std::max<int64_t>(1, kElementwiseGrain / n),
              [&](int64_t begin, int64_t end) {
                LayerNormForward(end - begin, n, px + begin * n, scale, bias,
                                 eps, y + begin * n, mean + begin, rstd + begin,
                                 mode);
              });
  return absl::OkStatus();
}

// Which outputs of the backward op are wanted; the others are empty.
struct BackwardAttrs {
  bool dx;
  bool dscale;
  bool dbias;
};

// Inputs x, scale, mean, rstd, dy; outputs dx, dscale, dbias.
absl::Status InferBackward(const InferArgs& args) {
  const auto& wanted = args.attrs.Get<BackwardAttrs>();
  const Tensor& x = args.input(0);
  const Shape parameter({Length(x)});
  const Shape none({0});
  args.outputs[0] = {wanted.dx ? x.shape() : none, x.dtype()};
  args.outputs[1] = {wanted.dscale ? parameter : none, x.dtype()};
  args.outputs[2] = {wanted.dbias ? parameter : none, x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const auto& wanted = args.attrs.Get<BackwardAttrs>();
  const Tensor& x = args.input(0);
  const int64_t n = Length(x);
  const T* px = x.data<T>();
  const T* scale = OptionalData<T>(args.input(1));
  const T* mean = args.input(2).data<T>();
  const T* rstd = args.input(3).data<T>();
  const T* dy = args.input(4).data<T>();
  T* dx = wanted.dx ? args.outputs[0].mutable_data<T>() : nullptr;
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  // dscale, then dbias.
  const int64_t width = wanted.dscale || wanted.dbias ? 2 * n : 0;
  SEPTET_ASSIGN_OR_RETURN(Tensor sums,
                          Tensor::Empty(Shape({width}), x.dtype()));
  SEPTET_RETURN_IF_ERROR(ops_internal::BackwardInBlocks(
      x.num_elements() / n, n, width,
      [n](int64_t rows) { return LayerNormBackwardWorkspace(rows, n); },
      sums.mutable_data<T>(),
      [&](int64_t begin, int64_t end, T* gradients, T* workspace) {
        LayerNormBackward(
            end - begin, n, px + begin * n, scale, mean + begin, rstd + begin,
            dy + begin * n, dx == nullptr ? nullptr : dx + begin * n, gradients,
            width == 0 ? nullptr : gradients + n, workspace, mode);
      }));
  for (int i = 0; i < 2; ++i) {
    if (!(i == 0 ? wanted.dscale : wanted.dbias)) continue;
    std::copy_n(sums.data<T>() + i * n, n,
                args.outputs[i + 1].mutable_data<T>());
  }
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "layer_norm_grad";
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

void Composite(CompositeArgs& args) {
  const Var& x = args.inputs[0];
  const ReduceOptions keep{/*keep_dims=*/true};
  const Var mean = Mean(x, {-1}, keep);
  const Var centred = Sub(x, mean);
  const Var variance = Mean(Square(centred), {-1}, keep);
  const Var rstd =
      Rsqrt(AddScalar(variance, args.attrs.Get<LayerNormAttrs>().eps));
  Var y = Mul(centred, rstd);
  if (args.inputs[1].defined()) y = Mul(y, args.inputs[1]);
  if (args.inputs[2].defined()) y = Add(y, args.inputs[2]);
  args.outputs[0] = y;
  args.outputs[1] = mean;
  args.outputs[2] = rstd;
}

void Vjp(VjpArgs& args) {
  // mean and rstd are not handed out: only y has a cotangent.
  const BackwardAttrs wanted{args.Needs(0),
                             args.inputs[1].defined() && args.Needs(1),
                             args.inputs[2].defined() && args.Needs(2)};
  VarVector grads =
      ApplyMulti(BackwardOp(),
                 {&args.inputs[0], &args.inputs[1], &args.outputs[1],
                  &args.outputs[2], &args.cotangents[0]},
                 wanted);
  if (wanted.dx) args.grads[0] = grads[0];
  if (wanted.dscale) args.grads[1] = grads[1];
  if (wanted.dbias) args.grads[2] = grads[2];
}

const Op& LayerNormOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "layer_norm";
    def.num_outputs = 3;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    def.saved_outputs = 6;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var LayerNorm(const Var& x, const Var& scale, const Var& bias, double eps) {
  return ApplyMulti(LayerNormOp(), {&x, &scale, &bias}, LayerNormAttrs{eps})[0];
}

}  // namespace septet
