// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/bias_free_batch_norm.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/batch_norm_impl.h"
#include "septet/core/ops/channel_affine.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using batch_norm_internal::Channels;
using batch_norm_internal::Rows;

struct BiasFreeAttrs {
  double eps;
};

// Inputs x, scale; outputs y, mean, sd.
absl::Status InferForward(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(batch_norm_internal::RequireBatch(x));
  if (args.input(1).defined()) {
    SEPTET_RETURN_IF_ERROR(
        batch_norm_internal::RequireChannels("scale", x, args.input(1)));
  }
  SEPTET_RETURN_IF_ERROR(
      batch_norm_internal::RequireEps(args.attrs.Get<BiasFreeAttrs>().eps));
  const Shape channels({Channels(x)});
  args.outputs[0] = {x.shape(), x.dtype()};
  args.outputs[1] = {channels, x.dtype()};
  args.outputs[2] = {channels, x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  const int64_t c = Channels(x);
  const T rows = static_cast<T>(Rows(x));
  const T* scale = OptionalData<T>(args.input(1));
  const T eps = static_cast<T>(args.attrs.Get<BiasFreeAttrs>().eps);
  SEPTET_ASSIGN_OR_RETURN(const Tensor statistics,
                          batch_norm_internal::Statistics<T>(x));
  SEPTET_ASSIGN_OR_RETURN(const Tensor workspace,
                          Tensor::Empty(Shape({c}), x.dtype(), x.device()));
  const T* sums = statistics.data<T>();
  T* mean = args.outputs[1].mutable_data<T>();
  T* sd = args.outputs[2].mutable_data<T>();
  T* multiplier = workspace.mutable_data<T>();
  for (int64_t j = 0; j < c; ++j) {
    mean[j] = sums[j];
    sd[j] = std::sqrt(sums[c + j] / rows + eps);
    multiplier[j] = (scale == nullptr ? T{1} : scale[j]) / sd[j];
  }
  batch_norm_internal::Apply<T>(x, nullptr, multiplier, nullptr,
                                args.outputs[0]);
  return absl::OkStatus();
}

// Which outputs of the backward op are wanted; the others are empty.
struct BackwardAttrs {
  bool dx;
  bool dscale;
};

// Inputs x, scale, mean, sd, dy; outputs dx, dscale.
absl::Status InferBackward(const InferArgs& args) {
  const auto& wanted = args.attrs.Get<BackwardAttrs>();
  const Tensor& x = args.input(0);
  const Shape none({0});
  args.outputs[0] = {wanted.dx ? x.shape() : none, x.dtype()};
  args.outputs[1] = {wanted.dscale ? Shape({Channels(x)}) : none, x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const auto& wanted = args.attrs.Get<BackwardAttrs>();
  const Tensor& x = args.input(0);
  const Tensor& dy = args.input(4);
  const int64_t c = Channels(x);
  const T rows = static_cast<T>(Rows(x));
  const T* scale = OptionalData<T>(args.input(1));
  const T* mean = args.input(2).data<T>();
  const T* sd = args.input(3).data<T>();
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor both,
      batch_norm_internal::BackwardSums<T>(x, /*shift=*/nullptr, dy));
  const T* sum_dy_x = both.data<T>() + c;
  if (wanted.dscale) {
    T* dscale = args.outputs[1].mutable_data<T>();
    for (int64_t j = 0; j < c; ++j) dscale[j] = sum_dy_x[j] / sd[j];
  }
  if (!wanted.dx) return absl::OkStatus();
  SEPTET_ASSIGN_OR_RETURN(const Tensor workspace,
                          Tensor::Empty(Shape({2, c}), x.dtype(), x.device()));
  T* p = workspace.mutable_data<T>();
  T* q = p + c;
  for (int64_t j = 0; j < c; ++j) {
    p[j] = (scale == nullptr ? T{1} : scale[j]) / sd[j];
    q[j] = p[j] / (sd[j] * sd[j]) * (sum_dy_x[j] / rows);
  }
  batch_norm_internal::BackwardApply<T>(x, mean, dy, p, /*dy_mean=*/nullptr, q,
                                        args.outputs[0]);
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "bias_free_batch_norm_grad";
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
  std::vector<int64_t> axes;
  for (int i = 0; i + 1 < x.rank(); ++i) axes.push_back(i);
  const Var mean = Mean(x, axes);
  const Var sd = Sqrt(AddScalar(Mean(Square(Sub(x, mean)), axes),
                                args.attrs.Get<BiasFreeAttrs>().eps));
  Var y = Div(x, sd);
  if (args.inputs[1].defined()) y = Mul(y, args.inputs[1]);
  args.outputs[0] = y;
  args.outputs[1] = mean;
  args.outputs[2] = sd;
}

void Vjp(VjpArgs& args) {
  // The statistics are handed out as constants: only y has a cotangent.
  const BackwardAttrs wanted{args.Needs(0),
                             args.inputs[1].defined() && args.Needs(1)};
  VarVector grads =
      ApplyMulti(BackwardOp(),
                 {&args.inputs[0], &args.inputs[1], &args.outputs[1],
                  &args.outputs[2], &args.cotangents[0]},
                 wanted);
  if (wanted.dx) args.grads[0] = grads[0];
  if (wanted.dscale) args.grads[1] = grads[1];
}

const Op& BiasFreeOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "bias_free_batch_norm";
    def.num_outputs = 3;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    def.saved_outputs = 0b110;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

absl::Status CheckEvaluation(const Var& x, const Var& scale,
                             const Tensor& running_sd) {
  SEPTET_RETURN_IF_ERROR(x.status());
  SEPTET_RETURN_IF_ERROR(scale.status());
  const auto check = [&]() -> absl::Status {
    const Tensor& values = x.tensor();
    SEPTET_RETURN_IF_ERROR(batch_norm_internal::RequireChannelsLast(values));
    if (scale.defined()) {
      SEPTET_RETURN_IF_ERROR(batch_norm_internal::RequireChannels(
          "scale", values, scale.tensor()));
    }
    return batch_norm_internal::RequireChannels("running_sd", values,
                                                running_sd);
  };
  return AnnotateStatus(check(), "bias_free_batch_norm_evaluation");
}

}  // namespace

BiasFreeBatchNormResult BiasFreeBatchNormTraining(const Var& x,
                                                  const Var& scale,
                                                  double eps) {
  const VarVector outputs =
      ApplyMulti(BiasFreeOp(), {&x, &scale}, BiasFreeAttrs{eps});
  BiasFreeBatchNormResult result;
  result.y = outputs[0];
  if (result.y.ok()) result.sd = outputs[2].Detach();
  return result;
}

Var BiasFreeBatchNormEvaluation(const Var& x, const Var& scale,
                                const Tensor& running_sd) {
  if (const absl::Status status = CheckEvaluation(x, scale, running_sd);
      !status.ok()) {
    return status;
  }
  if (!scale.defined()) {
    return ChannelAffine(x, Var(), Reciprocal(running_sd), Var());
  }
  // The tape keeps the divisor for the gradient of scale; the caller may update
  // his before that is taken.
  const absl::StatusOr<Tensor> sd = running_sd.Clone();
  if (!sd.ok()) return sd.status();
  return ChannelAffine(x, Var(), Div(scale, *sd), Var());
}

absl::Status UpdateRunningDeviation(const BiasFreeBatchNormResult& batch,
                                    double momentum, const Tensor& running_sd) {
  SEPTET_RETURN_IF_ERROR(batch.y.status());
  return batch_norm_internal::UpdateRunning("update_running_deviation",
                                            "running_sd", batch.sd.tensor(),
                                            1.0, momentum, running_sd);
}

}  // namespace septet
