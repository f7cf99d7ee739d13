// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/wkv.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/retention/wkv_kernels.h"

namespace septet {
namespace {

struct WkvAttrs {
  bool return_state;
};

template <typename T>
WkvProblem<T> MakeProblem(const KernelArgs& args) {
  const Tensor& k = args.input(0);
  WkvProblem<T> p;
  p.sequences = k.dim(0);
  p.rows = k.dim(1);
  p.channels = k.dim(2);
  p.k = k.data<T>();
  p.v = args.input(1).data<T>();
  p.w = args.input(2).data<T>();
  p.u = args.input(3).data<T>();
  return p;
}

int64_t Checkpoints(int64_t rows) {
  WkvProblem<float> p;
  p.rows = rows;
  return WkvCheckpoints(p);
}

// Inputs k, v, w, u, state; outputs y, the checkpoints and the state.
absl::Status InferForward(const InferArgs& args) {
  const Tensor& k = args.input(0);
  const Tensor& v = args.input(1);
  SEPTET_RETURN_IF_ERROR(RequireReal("k", k));
  SEPTET_RETURN_IF_ERROR(RequireRank("k", k, 3, 3));
  if (k.dim(1) < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("k is ", k.DebugString(), ", expected at least one row"));
  }
  SEPTET_RETURN_IF_ERROR(RequireSameDType("k", k, "v", v));
  if (v.shape() != k.shape()) {
    return absl::InvalidArgumentError(
        absl::StrCat("v is ", v.DebugString(), ", expected the shape of k, ",
                     k.shape().ToString()));
  }
  const std::pair<const char*, const Tensor*> of_channels[] = {
      {"w", &args.input(2)}, {"u", &args.input(3)}};
  for (const auto& [name, x] : of_channels) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("k", k, name, *x));
    SEPTET_RETURN_IF_ERROR(RequireRank(name, *x, 1, 1));
    SEPTET_RETURN_IF_ERROR(
        RequireExtent(name, *x, 0, k.dim(2), "the channels of k"));
  }
  const Shape state_shape({k.dim(0), 3, k.dim(2)});
  const Tensor& state = args.input(4);
  if (state.defined()) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("k", k, "state", state));
    if (state.shape() != state_shape) {
      return absl::InvalidArgumentError(
          absl::StrCat("state is ", state.DebugString(), ", expected ",
                       state_shape.ToString()));
    }
  }
  args.outputs[0] = {k.shape(), k.dtype()};
  args.outputs[1] = {Shape({k.dim(0), Checkpoints(k.dim(1)), 4, k.dim(2)}),
                     k.dtype()};
  args.outputs[2] = {
      args.attrs.Get<WkvAttrs>().return_state ? state_shape : Shape({0}),
      k.dtype()};
  return absl::OkStatus();
}

// Tasks of a block: some tens of microseconds of work.
template <typename T>
int64_t Grain(const WkvProblem<T>& p) {
  return std::max<int64_t>(1, kElementwiseGrain / 4 / (p.rows * kWkvColumns));
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  WkvProblem<T> p = MakeProblem<T>(args);
  p.state = OptionalData<T>(args.input(4));
  WkvResult<T> result;
  result.y = args.outputs[0].mutable_data<T>();
  result.checkpoints = args.outputs[1].mutable_data<T>();
  if (args.attrs.Get<WkvAttrs>().return_state) {
    result.state = args.outputs[2].mutable_data<T>();
  }
  ParallelFor(WkvTasks(p), Grain(p), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) WkvForward(p, result, task);
  });
  return absl::OkStatus();
}

// Inputs k, v, w, u, checkpoints, dy; outputs dk, dv, dw, du.
absl::Status InferBackward(const InferArgs& args) {
  for (int i = 0; i < 4; ++i) {
    args.outputs[i] = {args.input(i).shape(), args.input(i).dtype()};
  }
  return absl::OkStatus();
}

// y[c] = x[0, c] + x[1, c] + ...
template <typename T>
void SumRows(int64_t rows, int64_t channels, const T* x, T* y) {
  std::fill_n(y, channels, T{0});
  for (int64_t r = 0; r < rows; ++r, x += channels) {
    for (int64_t c = 0; c < channels; ++c) y[c] += x[c];
  }
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const WkvProblem<T> p = MakeProblem<T>(args);
  const int64_t tasks = WkvTasks(p);
  const int64_t grain = Grain(p);
  const int64_t per_channel = p.sequences * p.channels;
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor storage,
      Tensor::Empty(
          Shape({2 * per_channel + NumBlocks(tasks, grain) * kWkvWorkspace}),
          kDTypeOf<T>));
  T* const memory = storage.mutable_data<T>();
  WkvGradient<T> gradient;
  gradient.checkpoints = args.input(4).data<T>();
  gradient.dy = args.input(5).data<T>();
  gradient.dk = args.outputs[0].mutable_data<T>();
  gradient.dv = args.outputs[1].mutable_data<T>();
  gradient.dw = memory;
  gradient.du = memory + per_channel;
  T* const workspaces = memory + 2 * per_channel;
  ParallelFor(tasks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      WkvBackward(p, gradient, task,
                  workspaces + begin / grain * kWkvWorkspace);
    }
  });
  SumRows(p.sequences, p.channels, gradient.dw,
          args.outputs[2].mutable_data<T>());
  SumRows(p.sequences, p.channels, gradient.du,
          args.outputs[3].mutable_data<T>());
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "wkv_grad";
    def.num_outputs = 4;
    def.infer = &InferBackward;
    def.differentiable = false;  // called on constants only
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

// The recursion as it is written in the kernels' header, with one exponent for
// both sums, of which w is taken in every row.
void Composite(CompositeArgs& args) {
  const Var& k = args.inputs[0];
  const Var& v = args.inputs[1];
  const Var& w = args.inputs[2];
  const Var& u = args.inputs[3];
  const Var& state = args.inputs[4];
  const int64_t batch = k.dim(0);
  const int64_t time = k.dim(1);
  const Shape shape({batch, k.dim(2)});
  const auto of_state = [&](int64_t part, double otherwise) -> Var {
    if (state.defined()) return Squeeze(Slice(state, 1, part, part + 1), 1);
    return Tensor::Full(shape, otherwise, k.dtype());
  };
  Var a = of_state(0, 0);
  Var b = of_state(1, 0);
  Var m = of_state(2, kWkvNoExponent);
  const Var zero = Tensor::Zeros(shape, k.dtype());
  std::vector<Var> rows;
  std::vector<Var> checkpoints;
  for (int64_t t = 0; t < time; ++t) {
    if (t % kWkvRows == 0) {
      checkpoints.push_back(Stack({a, b, m, zero}, 1).Detach());
    }
    const Var k_t = Squeeze(Slice(k, 1, t, t + 1), 1);
    const Var v_t = Squeeze(Slice(v, 1, t, t + 1), 1);
    const Var now = Add(u, k_t);
    // Any exponent serves, so the maximum is a constant in the gradient.
    const Var o = Maximum(m, now).Detach();
    const Var past = Exp(Sub(m, o));
    const Var here = Exp(Sub(now, o));
    rows.push_back(
        Div(Add(Mul(past, a), Mul(here, v_t)), Add(Mul(past, b), here)));
    const Var decayed = Sub(m, w);
    const Var next = Maximum(decayed, k_t).Detach();
    const Var old = Exp(Sub(decayed, next));
    const Var fresh = Exp(Sub(k_t, next));
    a = Add(Mul(old, a), Mul(fresh, v_t));
    b = Add(Mul(old, b), fresh);
    m = next;
  }
  args.outputs[0] = Stack(rows, 1);
  args.outputs[1] = Stack(checkpoints, 1);
  args.outputs[2] = args.attrs.Get<WkvAttrs>().return_state
                        ? Stack({a, b, m}, 1)
                        : Var(Tensor::Zeros(Shape({0}), k.dtype()));
}

void Vjp(VjpArgs& args) {
  // Neither checkpoints nor state have cotangents: the state is handed out as
  // a constant.
  VarVector grads = ApplyMulti(
      BackwardOp(), {&args.inputs[0], &args.inputs[1], &args.inputs[2],
                     &args.inputs[3], &args.outputs[1], &args.cotangents[0]});
  for (int i = 0; i < 4; ++i) args.grads[i] = grads[i];
}

const Op& WkvOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "wkv";
    def.num_outputs = 3;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    def.saved_outputs = uint64_t{1} << 1;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

WkvOutput Wkv(const Var& k, const Var& v, const Var& w, const Var& u,
              const Tensor& state, bool return_state) {
  const Var before = state;
  VarVector outputs =
      ApplyMulti(WkvOp(), {&k, &v, &w, &u, &before}, WkvAttrs{return_state});
  WkvOutput result;
  result.out = outputs[0];
  if (return_state && outputs[2].ok()) result.state = outputs[2].tensor();
  return result;
}

absl::StatusOr<Tensor> EmptyWkvState(int64_t batch, int64_t channels,
                                     DType dtype) {
  SEPTET_ASSIGN_OR_RETURN(Tensor state,
                          Tensor::Zeros(Shape({batch, 3, channels}), dtype));
  SEPTET_ASSIGN_OR_RETURN(const Tensor exponents, state.Slice(1, 2, 3));
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor none,
      Tensor::Full(exponents.shape(), kWkvNoExponent, dtype));
  SEPTET_RETURN_IF_ERROR(exponents.CopyFrom(none));
  return state;
}

}  // namespace septet
