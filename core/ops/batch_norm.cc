// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/batch_norm.h"

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
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

struct BatchNormAttrs {
  double eps;
};

// Inputs x, scale, bias; outputs y, mean, variance.
absl::Status InferForward(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(batch_norm_internal::RequireBatch(x));
  const char* names[] = {"x", "scale", "bias"};
  for (int i = 1; i < 3; ++i) {
    if (!args.input(i).defined()) continue;
    SEPTET_RETURN_IF_ERROR(
        batch_norm_internal::RequireChannels(names[i], x, args.input(i)));
  }
  SEPTET_RETURN_IF_ERROR(
      batch_norm_internal::RequireEps(args.attrs.Get<BatchNormAttrs>().eps));
  const Shape channels({Channels(x)});
  args.outputs[0] = {x.shape(), x.dtype()};
  args.outputs[1] = {channels, x.dtype()};
  args.outputs[2] = {channels, x.dtype()};
  return absl::OkStatus();
}

// 1 / sqrt(variance + eps), times scale where there is one.
template <typename T>
T Multiplier(T variance, T eps, const T* scale, int64_t channel) {
  const T rstd = T{1} / std::sqrt(variance + eps);
  return scale == nullptr ? rstd : rstd * scale[channel];
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  const int64_t c = Channels(x);
  const T rows = static_cast<T>(Rows(x));
  const T* scale = OptionalData<T>(args.input(1));
  const T eps = static_cast<T>(args.attrs.Get<BatchNormAttrs>().eps);
  SEPTET_ASSIGN_OR_RETURN(const Tensor statistics,
                          batch_norm_internal::Statistics<T>(x));
  SEPTET_ASSIGN_OR_RETURN(const Tensor workspace,
                          Tensor::Empty(Shape({c}), x.dtype(), x.device()));
  const T* sums = statistics.data<T>();
  T* mean = args.outputs[1].mutable_data<T>();
  T* variance = args.outputs[2].mutable_data<T>();
  T* multiplier = workspace.mutable_data<T>();
  for (int64_t j = 0; j < c; ++j) {
    mean[j] = sums[j];
    variance[j] = sums[c + j] / rows;
    multiplier[j] = Multiplier(variance[j], eps, scale, j);
  }
  batch_norm_internal::Apply<T>(
      x, mean, multiplier, OptionalData<T>(args.input(2)), args.outputs[0]);
  return absl::OkStatus();
}

// Which outputs of the backward op are wanted; the others are empty.
struct BackwardAttrs {
  double eps;
  bool dx;
  bool dscale;
  bool dbias;
};

// Inputs x, scale, mean, variance, dy; outputs dx, dscale, dbias.
absl::Status InferBackward(const InferArgs& args) {
  const auto& wanted = args.attrs.Get<BackwardAttrs>();
  const Tensor& x = args.input(0);
  const Shape channels({Channels(x)});
  const Shape none({0});
  args.outputs[0] = {wanted.dx ? x.shape() : none, x.dtype()};
  args.outputs[1] = {wanted.dscale ? channels : none, x.dtype()};
  args.outputs[2] = {wanted.dbias ? channels : none, x.dtype()};
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
  const T* variance = args.input(3).data<T>();
  const T eps = static_cast<T>(wanted.eps);
  SEPTET_ASSIGN_OR_RETURN(const Tensor both,
                          batch_norm_internal::BackwardSums<T>(x, mean, dy));
  const T* sum_dy = both.data<T>();
  const T* sum_dy_x = sum_dy + c;
  for (int64_t j = 0; j < c; ++j) {
    if (wanted.dscale) {
      args.outputs[1].mutable_data<T>()[j] =
          sum_dy_x[j] * Multiplier<T>(variance[j], eps, nullptr, j);
    }
    if (wanted.dbias) args.outputs[2].mutable_data<T>()[j] = sum_dy[j];
  }
  if (!wanted.dx) return absl::OkStatus();
  SEPTET_ASSIGN_OR_RETURN(const Tensor workspace,
                          Tensor::Empty(Shape({3, c}), x.dtype(), x.device()));
  T* p = workspace.mutable_data<T>();
  T* dy_mean = p + c;
  T* q = dy_mean + c;
  for (int64_t j = 0; j < c; ++j) {
    const T square = T{1} / (variance[j] + eps);
    p[j] = Multiplier(variance[j], eps, scale, j);
    dy_mean[j] = sum_dy[j] / rows;
    q[j] = p[j] * square * (sum_dy_x[j] / rows);
  }
  batch_norm_internal::BackwardApply<T>(x, mean, dy, p, dy_mean, q,
                                        args.outputs[0]);
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "batch_norm_grad";
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
  std::vector<int64_t> axes;
  for (int i = 0; i + 1 < x.rank(); ++i) axes.push_back(i);
  const Var mean = Mean(x, axes);
  const Var centred = Sub(x, mean);
  const Var variance = Mean(Square(centred), axes);
  Var y = Mul(centred,
              Rsqrt(AddScalar(variance, args.attrs.Get<BatchNormAttrs>().eps)));
  if (args.inputs[1].defined()) y = Mul(y, args.inputs[1]);
  if (args.inputs[2].defined()) y = Add(y, args.inputs[2]);
  args.outputs[0] = y;
  args.outputs[1] = mean;
  args.outputs[2] = variance;
}

void Vjp(VjpArgs& args) {
  // The statistics are handed out as constants: only y has a cotangent.
  const BackwardAttrs wanted{args.attrs.Get<BatchNormAttrs>().eps,
                             args.Needs(0),
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

const Op& BatchNormOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "batch_norm";
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

// What ChannelAffine does not check itself, under the caller's name.
absl::Status CheckEvaluation(const Var& x, const Var& scale, const Var& bias,
                             const Tensor& mean, const Tensor& variance,
                             double eps) {
  for (const Var* input : {&x, &scale, &bias}) {
    SEPTET_RETURN_IF_ERROR(input->status());
  }
  const auto check = [&]() -> absl::Status {
    const Tensor& values = x.tensor();
    SEPTET_RETURN_IF_ERROR(batch_norm_internal::RequireChannelsLast(values));
    for (const auto& [name, parameter] :
         {std::pair("scale", &scale), std::pair("bias", &bias)}) {
      if (!parameter->defined()) continue;
      SEPTET_RETURN_IF_ERROR(batch_norm_internal::RequireChannels(
          name, values, parameter->tensor()));
    }
    SEPTET_RETURN_IF_ERROR(
        batch_norm_internal::RequireChannels("running_mean", values, mean));
    SEPTET_RETURN_IF_ERROR(batch_norm_internal::RequireChannels(
        "running_variance", values, variance));
    return batch_norm_internal::RequireEps(eps);
  };
  return AnnotateStatus(check(), "batch_norm_evaluation");
}

}  // namespace

BatchNormResult BatchNormTraining(const Var& x, const Var& scale,
                                  const Var& bias, double eps) {
  const VarVector outputs =
      ApplyMulti(BatchNormOp(), {&x, &scale, &bias}, BatchNormAttrs{eps});
  BatchNormResult result;
  result.y = outputs[0];
  if (!result.y.ok()) return result;
  result.mean = outputs[1].Detach();
  result.variance = outputs[2].Detach();
  result.count = Rows(x.tensor());
  return result;
}

Var BatchNormEvaluation(const Var& x, const Var& scale, const Var& bias,
                        const Tensor& running_mean,
                        const Tensor& running_variance, double eps) {
  if (const absl::Status status =
          CheckEvaluation(x, scale, bias, running_mean, running_variance, eps);
      !status.ok()) {
    return status;
  }
  // The tape keeps the mean for the gradient of scale; the caller may update
  // his before that is taken. (The variance enters by a function of it.)
  const absl::StatusOr<Tensor> mean = running_mean.Clone();
  if (!mean.ok()) return mean.status();
  Var multiplier = Rsqrt(AddScalar(running_variance, eps));
  if (scale.defined()) multiplier = Mul(multiplier, scale);
  return ChannelAffine(x, *mean, multiplier, bias);
}

absl::Status UpdateRunningStatistics(const BatchNormResult& batch,
                                     double momentum,
                                     const Tensor& running_mean,
                                     const Tensor& running_variance) {
  constexpr char kName[] = "update_running_statistics";
  SEPTET_RETURN_IF_ERROR(batch.y.status());
  if (batch.count < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": the batch has ", batch.count,
        " elements a channel, expected at least 2 for an unbiased variance"));
  }
  const double count = static_cast<double>(batch.count);
  // Both are checked before either changes: with momentum 0 nothing does.
  SEPTET_RETURN_IF_ERROR(batch_norm_internal::UpdateRunning(
      kName, "running_variance", batch.variance.tensor(), 1.0, 0.0,
      running_variance));
  SEPTET_RETURN_IF_ERROR(batch_norm_internal::UpdateRunning(
      kName, "running_mean", batch.mean.tensor(), 1.0, momentum, running_mean));
  return batch_norm_internal::UpdateRunning(
      kName, "running_variance", batch.variance.tensor(), count / (count - 1),
      momentum, running_variance);
}

}  // namespace septet
