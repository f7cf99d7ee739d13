// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/rms_norm.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/norm_op_impl.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/rms_norm_kernels.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct RmsNormAttrs {
  double eps;
};

int64_t Length(const Tensor& x) { return x.dim(x.rank() - 1); }

// Inputs x, scale; outputs y, rstd.
absl::Status InferForward(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  const int64_t n = Length(x);
  if (n == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("x is ", x.DebugString(), ", expected a last axis >= 1"));
  }
  const Tensor& scale = args.input(1);
  if (scale.defined()) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "scale", scale));
    SEPTET_RETURN_IF_ERROR(RequireRank("scale", scale, 1, 1));
    SEPTET_RETURN_IF_ERROR(
        RequireExtent("scale", scale, 0, n, "the last axis of x"));
  }
  const double eps = args.attrs.Get<RmsNormAttrs>().eps;
  if (!(eps >= 0 && eps <= std::numeric_limits<float>::max())) {
    return absl::InvalidArgumentError(
        absl::StrCat("eps is ", eps, ", expected a finite number >= 0"));
  }
  args.outputs[0] = {x.shape(), x.dtype()};
  args.outputs[1] = {x.shape().WithDim(x.rank() - 1, 1), x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  const int64_t n = Length(x);
  const T* px = x.data<T>();
  const T* scale = OptionalData<T>(args.input(1));
  const T eps = static_cast<T>(args.attrs.Get<RmsNormAttrs>().eps);
  T* y = args.outputs[0].mutable_data<T>();
  T* rstd = args.outputs[1].mutable_data<T>();
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  ParallelFor(x.num_elements() / n, std::max<int64_t>(1, kElementwiseGrain / n),
              [&](int64_t begin, int64_t end) {
                RmsNormForward(end - begin, n, px + begin * n, scale, eps,
                               y + begin * n, rstd + begin, mode);
              });
  return absl::OkStatus();
}

// Which outputs of the backward op are wanted; the others are empty.
struct BackwardAttrs {
  bool dx;
  bool dscale;
};

// Inputs x, scale, rstd, dy; outputs dx, dscale.
absl::Status InferBackward(const InferArgs& args) {
  const auto& wanted = args.attrs.Get<BackwardAttrs>();
  const Tensor& x = args.input(0);
  const Shape none({0});
  args.outputs[0] = {wanted.dx ? x.shape() : none, x.dtype()};
  args.outputs[1] = {wanted.dscale ? Shape({Length(x)}) : none, x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const auto& wanted = args.attrs.Get<BackwardAttrs>();
  const Tensor& x = args.input(0);
  const int64_t n = Length(x);
  const T* px = x.data<T>();
  const T* scale = OptionalData<T>(args.input(1));
  const T* rstd = args.input(2).data<T>();
  const T* dy = args.input(3).data<T>();
  T* dx = wanted.dx ? args.outputs[0].mutable_data<T>() : nullptr;
  T* dscale = wanted.dscale ? args.outputs[1].mutable_data<T>() : nullptr;
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  return ops_internal::BackwardInBlocks(
      x.num_elements() / n, n, wanted.dscale ? n : 0,
      [n](int64_t rows) { return RmsNormBackwardWorkspace(rows, n); }, dscale,
      [&](int64_t begin, int64_t end, T* gradients, T* workspace) {
        RmsNormBackward(end - begin, n, px + begin * n, scale, rstd + begin,
                        dy + begin * n, dx == nullptr ? dx : dx + begin * n,
                        gradients, workspace, mode);
      });
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "rms_norm_grad";
    def.num_outputs = 2;
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
  const Var variance = Mean(Square(x), {-1}, {/*keep_dims=*/true});
  const Var rstd =
      Rsqrt(AddScalar(variance, args.attrs.Get<RmsNormAttrs>().eps));
  Var y = Mul(x, rstd);
  if (args.inputs[1].defined()) y = Mul(y, args.inputs[1]);
  args.outputs[0] = y;
  args.outputs[1] = rstd;
}

void Vjp(VjpArgs& args) {
  // rstd is not handed out: only y has a cotangent.
  const BackwardAttrs wanted{args.Needs(0),
                             args.inputs[1].defined() && args.Needs(1)};
  VarVector grads = ApplyMulti(
      BackwardOp(),
      {&args.inputs[0], &args.inputs[1], &args.outputs[1], &args.cotangents[0]},
      wanted);
  if (wanted.dx) args.grads[0] = grads[0];
  if (wanted.dscale) args.grads[1] = grads[1];
}

const Op& RmsNormOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "rms_norm";
    def.num_outputs = 2;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    def.saved_outputs = 2;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var RmsNorm(const Var& x, const Var& scale, double eps) {
  return ApplyMulti(RmsNormOp(), {&x, &scale}, RmsNormAttrs{eps})[0];
}

}  // namespace septet
