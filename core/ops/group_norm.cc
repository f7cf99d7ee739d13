// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/group_norm.h"

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
#include "septet/core/ops/group_norm_kernels.h"
#include "septet/core/ops/norm_op_impl.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct GroupNormAttrs {
  int64_t groups;
  double eps;
};

// Samples, positions, channels of a shape that has been checked.
GroupNormShape ShapeOf(const Tensor& x, int64_t groups) {
  GroupNormShape shape{x.dim(0), 1, x.dim(x.rank() - 1), groups};
  for (int axis = 1; axis + 1 < x.rank(); ++axis) {
    shape.positions *= x.dim(axis);
  }
  return shape;
}

// Inputs x, scale, bias; outputs y, mean, rstd.
absl::Status InferForward(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<GroupNormAttrs>();
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 2, kMaxRank));
  for (int axis = 1; axis < x.rank(); ++axis) {
    if (x.dim(axis) > 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "x is ", x.DebugString(), ", expected axes from 1 on >= 1"));
  }
  const int64_t channels = x.dim(x.rank() - 1);
  if (attrs.groups < 1 || channels % attrs.groups != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("groups is ", attrs.groups, ", expected a divisor of the ",
                     channels, " channels of x, ", x.DebugString()));
  }
  const char* names[] = {"x", "scale", "bias"};
  for (int i = 1; i < 3; ++i) {
    const Tensor& parameter = args.input(i);
    if (!parameter.defined()) continue;
    SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, names[i], parameter));
    SEPTET_RETURN_IF_ERROR(RequireRank(names[i], parameter, 1, 1));
    SEPTET_RETURN_IF_ERROR(
        RequireExtent(names[i], parameter, 0, channels, "the last axis of x"));
  }
  if (!(attrs.eps >= 0 && attrs.eps <= std::numeric_limits<float>::max())) {
    return absl::InvalidArgumentError(
        absl::StrCat("eps is ", attrs.eps, ", expected a finite number >= 0"));
  }
  const Shape statistics({x.dim(0), attrs.groups});
  args.outputs[0] = {x.shape(), x.dtype()};
  args.outputs[1] = {statistics, x.dtype()};
  args.outputs[2] = {statistics, x.dtype()};
  return absl::OkStatus();
}

// Memory for the blocks of a loop over samples.
template <typename T>
struct Workspaces {
  int64_t grain;
  int64_t pitch;
  int64_t totals_pitch;
  Tensor workspace;
  Tensor totals;

  static absl::StatusOr<Workspaces> Create(const GroupNormShape& shape) {
    const int64_t size = shape.positions * shape.channels;
    Workspaces result;
    result.grain = std::max<int64_t>(
        {1, kElementwiseGrain / size, (shape.samples + 63) / int64_t{64}});
    GroupNormShape block = shape;
    block.samples = std::min(result.grain, shape.samples);
    const int64_t blocks = NumBlocks(shape.samples, result.grain);
    result.pitch = GroupNormWorkspace(block);
    result.totals_pitch = GroupNormTotals(block);
    SEPTET_ASSIGN_OR_RETURN(
        result.workspace,
        Tensor::Empty(Shape({blocks, result.pitch}), kDTypeOf<T>));
    SEPTET_ASSIGN_OR_RETURN(
        result.totals,
        Tensor::Empty(Shape({blocks, result.totals_pitch}), DType::kF64));
    return result;
  }

  // Calls fn(begin, shape of the block, its number, workspace, totals).
  template <typename Fn>
  void ForBlocks(const GroupNormShape& shape, const Fn& fn) {
    T* memory = workspace.template mutable_data<T>();
    double* sums = totals.mutable_data<double>();
    ParallelFor(shape.samples, grain, [&](int64_t begin, int64_t end) {
      GroupNormShape block = shape;
      block.samples = end - begin;
      const int64_t at = begin / grain;
      fn(begin, block, at, memory + at * pitch, sums + at * totals_pitch);
    });
  }
};

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<GroupNormAttrs>();
  const Tensor& x = args.input(0);
  const GroupNormShape shape = ShapeOf(x, attrs.groups);
  const int64_t size = shape.positions * shape.channels;
  const T* px = x.data<T>();
  const T* scale = OptionalData<T>(args.input(1));
  const T* bias = OptionalData<T>(args.input(2));
  const T eps = static_cast<T>(attrs.eps);
  T* y = args.outputs[0].mutable_data<T>();
  T* mean = args.outputs[1].mutable_data<T>();
  T* rstd = args.outputs[2].mutable_data<T>();
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  SEPTET_ASSIGN_OR_RETURN(auto workspaces, Workspaces<T>::Create(shape));
  workspaces.ForBlocks(
      shape, [&](int64_t begin, const GroupNormShape& block, int64_t /*at*/,
                 T* workspace, double* totals) {
        GroupNormForward(block, px + begin * size, scale, bias, eps,
                         y + begin * size, mean + begin * shape.groups,
                         rstd + begin * shape.groups, workspace, totals, mode);
      });
  return absl::OkStatus();
}

// Which outputs of the backward op are wanted; the others are empty.
struct BackwardAttrs {
  int64_t groups;
  bool dx;
  bool dscale;
  bool dbias;
};

// Inputs x, scale, mean, rstd, dy; outputs dx, dscale, dbias.
absl::Status InferBackward(const InferArgs& args) {
  const auto& wanted = args.attrs.Get<BackwardAttrs>();
  const Tensor& x = args.input(0);
  const Shape parameter({x.dim(x.rank() - 1)});
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
  const GroupNormShape shape = ShapeOf(x, wanted.groups);
  const int64_t size = shape.positions * shape.channels;
  const T* px = x.data<T>();
  const T* scale = OptionalData<T>(args.input(1));
  const T* mean = args.input(2).data<T>();
  const T* rstd = args.input(3).data<T>();
  const T* dy = args.input(4).data<T>();
  T* dx = wanted.dx ? args.outputs[0].mutable_data<T>() : nullptr;
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  SEPTET_ASSIGN_OR_RETURN(auto workspaces, Workspaces<T>::Create(shape));
  // dscale and dbias of each block, and of all.
  const int64_t width = wanted.dscale || wanted.dbias ? 2 * shape.channels : 0;
  const int64_t blocks = NumBlocks(shape.samples, workspaces.grain);
  SEPTET_ASSIGN_OR_RETURN(
      Tensor parameters,
      Tensor::Zeros(Shape({blocks + 1, width}), DType::kF64));
  double* gradients = parameters.mutable_data<double>();
  workspaces.ForBlocks(shape, [&](int64_t begin, const GroupNormShape& block,
                                  int64_t at, T* workspace, double* totals) {
    GroupNormBackward(
        block, px + begin * size, scale, mean + begin * shape.groups,
        rstd + begin * shape.groups, dy + begin * size,
        dx == nullptr ? nullptr : dx + begin * size,
        width == 0 ? nullptr : gradients + at * width, workspace, totals, mode);
  });
  if (width == 0) return absl::OkStatus();
  double* sums = gradients + blocks * width;
  ColumnSumKernel(blocks, width, gradients, sums);
  for (int i = 0; i < 2; ++i) {
    if (!(i == 0 ? wanted.dscale : wanted.dbias)) continue;
    T* out = args.outputs[i + 1].mutable_data<T>();
    for (int64_t c = 0; c < shape.channels; ++c) {
      out[c] = static_cast<T>(sums[i * shape.channels + c]);
    }
  }
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "group_norm_grad";
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
  const auto& attrs = args.attrs.Get<GroupNormAttrs>();
  const Var& x = args.inputs[0];
  const GroupNormShape shape = ShapeOf(x.tensor(), attrs.groups);
  const Var grouped = Reshape(x, {shape.samples, shape.positions, shape.groups,
                                  shape.channels / shape.groups});
  const ReduceOptions keep{/*keep_dims=*/true};
  const Var mean = Mean(grouped, {1, 3}, keep);
  const Var centred = Sub(grouped, mean);
  const Var variance = Mean(Square(centred), {1, 3}, keep);
  const Var rstd = Rsqrt(AddScalar(variance, attrs.eps));
  Var y = Reshape(Mul(centred, rstd), x.shape());
  if (args.inputs[1].defined()) y = Mul(y, args.inputs[1]);
  if (args.inputs[2].defined()) y = Add(y, args.inputs[2]);
  const Shape statistics({shape.samples, shape.groups});
  args.outputs[0] = y;
  args.outputs[1] = Reshape(mean, statistics);
  args.outputs[2] = Reshape(rstd, statistics);
}

void Vjp(VjpArgs& args) {
  // mean and rstd are not handed out: only y has a cotangent.
  const BackwardAttrs wanted{args.attrs.Get<GroupNormAttrs>().groups,
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

const Op& GroupNormOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "group_norm";
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

Var GroupNorm(const Var& x, int64_t groups, const Var& scale, const Var& bias,
              double eps) {
  return ApplyMulti(GroupNormOp(), {&x, &scale, &bias},
                    GroupNormAttrs{groups, eps})[0];
}

}  // namespace septet
