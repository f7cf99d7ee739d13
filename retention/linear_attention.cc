// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/linear_attention.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/cumsum.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/retention/linear_attention_kernels.h"
#include "septet/retention/retention_problem.h"

namespace septet {
namespace {

struct FeaturesAttrs {
  double eps;
  bool return_state;
};

// Inputs q, k, z; outputs u = phi(q) / d, f = phi(k), d, and z behind the last
// row.
absl::Status InferForward(const InferArgs& args) {
  const Tensor& q = args.input(0);
  const Tensor& k = args.input(1);
  const Tensor& z = args.input(2);
  SEPTET_RETURN_IF_ERROR(RequireReal("q", q));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("q", q, "k", k));
  SEPTET_RETURN_IF_ERROR(RequireRank("q", q, 4, 4));
  SEPTET_RETURN_IF_ERROR(RequireRank("k", k, 4, 4));
  for (const int axis : {0, 1, 2, 3}) {
    SEPTET_RETURN_IF_ERROR(
        RequireExtent("k", k, axis, q.dim(axis), "as q has"));
  }
  const Shape sums({q.dim(0), q.dim(2), q.dim(3)});
  if (z.defined()) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("q", q, "state.z", z));
    if (z.shape() != sums) {
      return absl::InvalidArgumentError(absl::StrCat(
          "state.z is ", z.DebugString(), ", expected ", sums.ToString()));
    }
  }
  const auto& attrs = args.attrs.Get<FeaturesAttrs>();
  if (!(attrs.eps >= 0 && attrs.eps <= std::numeric_limits<float>::max())) {
    return absl::InvalidArgumentError(
        absl::StrCat("eps is ", attrs.eps, ", expected a finite number >= 0"));
  }
  args.outputs[0] = {q.shape(), q.dtype()};
  args.outputs[1] = {q.shape(), q.dtype()};
  args.outputs[2] = {Shape({q.dim(0), q.dim(1), q.dim(2)}), q.dtype()};
  args.outputs[3] = {attrs.return_state ? sums : Shape({0}), q.dtype()};
  return absl::OkStatus();
}

template <typename T>
RetentionOperand<const T> Operand(const Tensor& x) {
  return {x.data<T>(), x.stride(0), x.stride(1), x.stride(2)};
}

// q and k with dense rows.
template <typename T>
LinearFeaturesProblem<T> MakeProblem(const FeaturesAttrs& attrs,
                                     const Tensor& q, const Tensor& k,
                                     const Tensor& z) {
  LinearFeaturesProblem<T> p;
  p.sequences = q.dim(0);
  p.rows = q.dim(1);
  p.heads = q.dim(2);
  p.dim = q.dim(3);
  p.eps = static_cast<T>(attrs.eps);
  p.q = Operand<T>(q);
  p.k = Operand<T>(k);
  p.z = OptionalData<T>(z);
  return p;
}

// The tensor, or a copy of it, with rows without gaps.
absl::StatusOr<Tensor> DenseRows(const Tensor& x) {
  if (x.stride(3) == 1 || x.dim(3) == 1) return x;
  return x.Contiguous();
}

// Calls run(task, workspace) for every sequence and head.
template <typename T>
absl::Status RunTasks(const LinearFeaturesProblem<T>& p,
                      absl::FunctionRef<void(int64_t, T*)> run) {
  const int64_t tasks = p.sequences * p.heads;
  const int64_t grain = std::max<int64_t>(
      1, kElementwiseGrain / std::max<int64_t>(1, p.rows * p.dim));
  const int64_t pitch = LinearFeaturesWorkspace(p);
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor storage,
      Tensor::Empty(Shape({NumBlocks(tasks, grain), pitch}), kDTypeOf<T>));
  T* const memory = storage.mutable_data<T>();
  ParallelFor(tasks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      run(task, memory + begin / grain * pitch);
    }
  });
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<FeaturesAttrs>();
  SEPTET_ASSIGN_OR_RETURN(const Tensor q, DenseRows(args.input(0)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor k, DenseRows(args.input(1)));
  const auto p = MakeProblem<T>(attrs, q, k, args.input(2));
  LinearFeaturesResult<T> result;
  result.u = args.outputs[0].mutable_data<T>();
  result.f = args.outputs[1].mutable_data<T>();
  result.d = args.outputs[2].mutable_data<T>();
  if (attrs.return_state) result.z = args.outputs[3].mutable_data<T>();
  return RunTasks<T>(p, [&](int64_t task, T* workspace) {
    LinearFeaturesForward(p, result, task, workspace);
  });
}

// Inputs q, k, z, d, du, df, dz, of which z and the last three may not be
// given; outputs dq, dk, dinitial.
absl::Status InferBackward(const InferArgs& args) {
  const Tensor& q = args.input(0);
  const Tensor& z = args.input(2);
  args.outputs[0] = {q.shape(), q.dtype()};
  args.outputs[1] = {q.shape(), q.dtype()};
  args.outputs[2] = {z.defined() ? z.shape() : Shape({0}), q.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor q, DenseRows(args.input(0)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor k, DenseRows(args.input(1)));
  const auto p = MakeProblem<T>({}, q, k, args.input(2));
  LinearFeaturesGradient<T> gradient;
  gradient.d = args.input(3).data<T>();
  gradient.du = OptionalData<T>(args.input(4));
  gradient.df = OptionalData<T>(args.input(5));
  gradient.dz = OptionalData<T>(args.input(6));
  gradient.dq = args.outputs[0].mutable_data<T>();
  gradient.dk = args.outputs[1].mutable_data<T>();
  if (p.z != nullptr) gradient.dinitial = args.outputs[2].mutable_data<T>();
  return RunTasks<T>(p, [&](int64_t task, T* workspace) {
    LinearFeaturesBackward(p, gradient, task, workspace);
  });
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "linear_attention_features_grad";
    def.num_outputs = 3;
    def.infer = &InferBackward;
    def.differentiable = false;  // called on constants only
    def.strided_inputs = 3;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

Var Feature(const Var& x) {
  const Var zero = Tensor::Zeros(Shape(), x.dtype());
  const Var positive = Greater(x, zero);
  return Where(positive, AddScalar(x, 1), Exp(Where(positive, zero, x)));
}

void Composite(CompositeArgs& args) {
  const auto& attrs = args.attrs.Get<FeaturesAttrs>();
  const Var& z = args.inputs[2];
  const Var f = Feature(args.inputs[1]);
  const Var q = Feature(args.inputs[0]);
  Var sums = CumSum(f, 1);
  if (z.defined()) sums = Add(sums, Unsqueeze(z, 1));
  const Var d =
      AddScalar(Sum(Mul(q, sums), {3}, {/*keep_dims=*/true}), attrs.eps);
  args.outputs[0] = Div(q, d);
  args.outputs[1] = f;
  args.outputs[2] = Squeeze(d, 3);
  if (!f.ok()) return;
  if (!attrs.return_state) {
    args.outputs[3] = Tensor::Zeros(Shape({0}), f.dtype());
  } else {
    const Var all = Sum(f, {1});
    args.outputs[3] = z.defined() ? Add(all, z) : all;
  }
}

void Vjp(VjpArgs& args) {
  // d is not handed out.
  VarVector grads = ApplyMulti(
      BackwardOp(),
      {&args.inputs[0], &args.inputs[1], &args.inputs[2], &args.outputs[2],
       &args.cotangents[0], &args.cotangents[1], &args.cotangents[3]});
  args.grads[0] = grads[0];
  args.grads[1] = grads[1];
  if (args.inputs[2].defined()) args.grads[2] = grads[2];
}

const Op& FeaturesOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "linear_attention_features";
    def.num_outputs = 4;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    def.saved_outputs = uint64_t{1} << 2;
    def.strided_inputs = 3;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

LinearAttentionOutput LinearAttention(const Var& q, const Var& k, const Var& v,
                                      const LinearAttentionOptions& options,
                                      const LinearAttentionState& state,
                                      bool return_state) {
  LinearAttentionOutput result;
  if (state.s.ok() && state.z.ok() && state.s.defined() != state.z.defined()) {
    result.out = absl::InvalidArgumentError(
        absl::StrCat("linear_attention: state.", state.s.defined() ? "z" : "s",
                     " is not given, expected s and z, or neither"));
    return result;
  }
  VarVector features = ApplyMulti(FeaturesOp(), {&q, &k, &state.z},
                                  FeaturesAttrs{options.eps, return_state});
  Var& u = features[0];
  Var& f = features[1];
  if (!u.ok()) {
    result.out = u;
    return result;
  }
  if (options.frequencies.defined()) {
    RotaryOptions rotary;
    rotary.time_axis = 1;
    rotary.offset = options.position;
    u = Rotary(u, options.frequencies, rotary);
    f = Rotary(f, options.frequencies, rotary);
  }
  if (!u.ok()) {
    result.out = u;
    return result;
  }
  RetentionOptions retention;
  retention.form = options.form;
  retention.score_norm = ScoreNorm::kNone;
  retention.chunk_size = options.chunk_size;
  retention.scale = 1;
  RetentionState before;
  before.s = state.s;
  // Which it wants with a state, and reads for norms alone.
  if (state.s.defined()) {
    before.position.assign(static_cast<size_t>(u.dim(0)), 0);
  }
  RetentionOutput attended =
      Retention(u, f, v, Tensor::Zeros(Shape({u.dim(2)}), DType::kF64),
                retention, before, return_state);
  result.out = attended.out;
  if (return_state) {
    result.state.s = attended.state.s;
    result.state.z = features[3];
  }
  return result;
}

}  // namespace septet
