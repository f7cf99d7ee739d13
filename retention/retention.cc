// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/retention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/retention/retention_composite.h"
#include "septet/retention/retention_kernels.h"
#include "septet/retention/retention_problem.h"

namespace septet {
namespace {

using retention_internal::RetentionAttrs;
using retention_internal::RetentionComposite;

// Inputs of the op.
enum Input {
  kQ,
  kK,
  kV,
  kLogGamma,
  kState,
  kKeySum,
  kOffsets,
  kPositions,
};

// What the axes are.
struct Extents {
  int64_t sequences = 0;
  int64_t rows = 0;  // of each sequence; of all where packed
  int64_t heads = 0;
  int64_t key_dim = 0;
  int64_t value_dim = 0;
  bool packed = false;

  int64_t TotalRows() const { return packed ? rows : sequences * rows; }
};

Extents ExtentsOf(const Tensor& q, const Tensor& v, const Tensor& offsets) {
  Extents e;
  e.packed = offsets.defined();
  const int time = e.packed ? 0 : 1;
  e.sequences = e.packed ? offsets.dim(0) - 1 : q.dim(0);
  e.rows = q.dim(time);
  e.heads = q.dim(time + 1);
  e.key_dim = q.dim(time + 2);
  e.value_dim = v.dim(time + 2);
  return e;
}

absl::Status CheckOffsets(const Tensor& offsets, int64_t rows) {
  if (offsets.dtype() != DType::kI64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cu_seqlens is ", offsets.DebugString(), ", expected i64"));
  }
  SEPTET_RETURN_IF_ERROR(RequireRank("cu_seqlens", offsets, 1, 1));
  if (offsets.dim(0) < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("cu_seqlens is ", offsets.DebugString(),
                     ", expected at least a beginning and an end"));
  }
  const int64_t* const at = offsets.data<int64_t>();
  const int64_t count = offsets.dim(0);
  if (at[0] != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cu_seqlens[0] is ", at[0], ", expected 0"));
  }
  for (int64_t i = 1; i < count; ++i) {
    if (at[i] >= at[i - 1]) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("cu_seqlens[", i, "] is ", at[i], ", expected at least ",
                     at[i - 1], ", the one before"));
  }
  if (at[count - 1] != rows) {
    return absl::InvalidArgumentError(
        absl::StrCat("cu_seqlens[", count - 1, "] is ", at[count - 1],
                     ", expected the ", rows, " rows of q"));
  }
  return absl::OkStatus();
}

absl::Status CheckLogGamma(const Tensor& log_gamma, int64_t heads) {
  SEPTET_RETURN_IF_ERROR(RequireDefined("log_gamma", log_gamma));
  if (log_gamma.dtype() != DType::kF64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "log_gamma is ", log_gamma.DebugString(), ", expected f64"));
  }
  SEPTET_RETURN_IF_ERROR(RequireRank("log_gamma", log_gamma, 1, 1));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("log_gamma", log_gamma, 0, heads, "the heads of q"));
  const double* const at = log_gamma.data<double>();
  for (int64_t h = 0; h < heads; ++h) {
    if (std::isfinite(at[h * log_gamma.stride(0)]) &&
        at[h * log_gamma.stride(0)] <= 0) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("log_gamma[", h, "] is ", at[h * log_gamma.stride(0)],
                     ", expected the logarithm of a gamma in (0, 1]"));
  }
  return absl::OkStatus();
}

absl::Status CheckScale(double scale, DType dtype) {
  if (std::isfinite(scale) &&
      (dtype == DType::kF64 ||
       std::abs(scale) <= std::numeric_limits<float>::max())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("scale is ", scale, ", expected a finite number"));
}

absl::Status InferForward(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<RetentionAttrs>();
  const Tensor& q = args.input(kQ);
  const Tensor& k = args.input(kK);
  const Tensor& v = args.input(kV);
  const Tensor& offsets = args.input(kOffsets);
  SEPTET_RETURN_IF_ERROR(RequireReal("q", q));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("q", q, "k", k));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("q", q, "v", v));
  const int rank = offsets.defined() ? 3 : 4;
  const std::pair<const char*, const Tensor*> tensors[] = {
      {"q", &q}, {"k", &k}, {"v", &v}};
  for (const auto& [name, x] : tensors) {
    SEPTET_RETURN_IF_ERROR(RequireRank(name, *x, rank, rank));
    for (const int axis : {0, rank - 2, rank - 1}) {
      if (x->dim(axis) >= 1 || (axis == 0 && offsets.defined())) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", x->DebugString(), ", expected axis ", axis,
                       " to be >= 1"));
    }
    for (int axis = 0; axis < rank - 1; ++axis) {
      SEPTET_RETURN_IF_ERROR(
          RequireExtent(name, *x, axis, q.dim(axis), "as q has"));
    }
  }
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("k", k, rank - 1, q.dim(rank - 1), "the width of q"));
  if (offsets.defined()) {
    SEPTET_RETURN_IF_ERROR(CheckOffsets(offsets, q.dim(0)));
  }
  const Extents e = ExtentsOf(q, v, offsets);
  SEPTET_RETURN_IF_ERROR(CheckLogGamma(args.input(kLogGamma), e.heads));
  SEPTET_RETURN_IF_ERROR(CheckScale(attrs.scale, q.dtype()));
  const Tensor& state = args.input(kState);
  SEPTET_ASSIGN_OR_RETURN(
      const Shape state_shape,
      Shape::Create({e.sequences, e.heads, e.key_dim, e.value_dim}));
  const Shape sum_shape({e.sequences, e.heads, e.key_dim});
  if (state.defined()) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("q", q, "state.s", state));
    if (state.shape() != state_shape) {
      return absl::InvalidArgumentError(
          absl::StrCat("state.s is ", state.DebugString(), ", expected ",
                       state_shape.ToString()));
    }
  } else if (q.dim(rank - 3) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("q is ", q.DebugString(),
                     ": no rows and no state, expected one of the two"));
  }
  if (args.input(kKeySum).defined()) {
    SEPTET_RETURN_IF_ERROR(
        RequireSameDType("q", q, "state.key_sum", args.input(kKeySum)));
    if (args.input(kKeySum).shape() != sum_shape) {
      return absl::InvalidArgumentError(
          absl::StrCat("state.key_sum is ", args.input(kKeySum).DebugString(),
                       ", expected ", sum_shape.ToString()));
    }
  }
  const bool divisors = RetentionHasDivisors(attrs.norm);
  args.outputs[0] = {v.shape(), q.dtype()};
  args.outputs[1] = {attrs.return_state ? state_shape : Shape({0}), q.dtype()};
  args.outputs[2] = {attrs.return_state && attrs.norm == RetentionNorm::kPaper
                         ? sum_shape
                         : Shape({0}),
                     q.dtype()};
  args.outputs[3] = {divisors ? Shape({e.heads, e.TotalRows()}) : Shape({0}),
                     q.dtype()};
  return absl::OkStatus();
}

// The tensor, or a copy of it, with rows without gaps.
absl::StatusOr<Tensor> DenseRows(const Tensor& x) {
  const int last = x.rank() - 1;
  if (x.stride(last) == 1 || x.dim(last) == 1) return x;
  return x.Contiguous();
}

template <typename U>
RetentionOperand<U> Operand(const Tensor& x, U* data, bool packed) {
  const int time = packed ? 0 : 1;
  RetentionOperand<U> operand;
  operand.data = data;
  operand.batch = packed ? 0 : x.stride(0);
  operand.time = x.stride(time);
  operand.head = x.stride(time + 1);
  return operand;
}
template <typename T>
RetentionOperand<const T> Reading(const Tensor& x, bool packed) {
  return Operand<const T>(x, x.data<T>(), packed);
}
template <typename T>
RetentionOperand<T> Writing(const Tensor& x, bool packed) {
  return Operand<T>(x, x.mutable_data<T>(), packed);
}

// q, k and v have dense rows, the other inputs no gaps.
template <typename T>
RetentionProblem<T> MakeProblem(const RetentionAttrs& attrs, int64_t chunk,
                                const Tensor& q, const Tensor& k,
                                const Tensor& v, const Tensor& log_gamma,
                                const Tensor& state, const Tensor& offsets,
                                const Tensor& positions) {
  const Extents e = ExtentsOf(q, v, offsets);
  RetentionProblem<T> p;
  p.sequences = e.sequences;
  p.heads = e.heads;
  p.key_dim = e.key_dim;
  p.value_dim = e.value_dim;
  p.rows = e.rows;
  p.offsets = OptionalData<int64_t>(offsets);
  p.positions = OptionalData<int64_t>(positions);
  p.q = Reading<T>(q, e.packed);
  p.k = Reading<T>(k, e.packed);
  p.v = Reading<T>(v, e.packed);
  p.log_gamma = log_gamma.data<double>();
  p.scale = attrs.scale;
  p.chunk = chunk;
  p.norm = attrs.norm;
  p.state = OptionalData<T>(state);
  return p;
}

// Some tens of microseconds of work.
constexpr double kOperationsOfBlock = 4e6;

// Calls run(task, workspace) for each task, on the threads of the current pool,
// a workspace of `elements` for each block of tasks at a time.
template <typename T>
absl::Status RunTasks(const RetentionProblem<T>& p, double passes,
                      int64_t elements,
                      absl::FunctionRef<void(int64_t, T*)> run) {
  const int64_t tasks = RetentionTasks(p);
  std::mutex mutex;
  absl::Status status;
  const double chunk = static_cast<double>(
      std::min(p.chunk, p.rows / std::max<int64_t>(1, p.sequences) + 1));
  const double of_row =
      chunk * static_cast<double>(p.key_dim + p.value_dim) +
      4.0 * static_cast<double>(p.key_dim) * static_cast<double>(p.value_dim);
  const double of_task = passes * of_row * static_cast<double>(p.TotalRows()) /
                         static_cast<double>(p.sequences);
  const int64_t grain = std::clamp<int64_t>(
      static_cast<int64_t>(kOperationsOfBlock / (of_task + 1)), 1, tasks);
  ParallelFor(tasks, grain, [&](int64_t begin, int64_t end) {
    const absl::StatusOr<Tensor> workspace =
        Tensor::Empty(Shape({elements}), kDTypeOf<T>);
    if (!workspace.ok()) {
      const std::lock_guard<std::mutex> lock(mutex);
      status = workspace.status();
      return;
    }
    for (int64_t task = begin; task < end; ++task) {
      run(task, workspace->template mutable_data<T>());
    }
  });
  return status;
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<RetentionAttrs>();
  SEPTET_ASSIGN_OR_RETURN(const Tensor q, DenseRows(args.input(kQ)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor k, DenseRows(args.input(kK)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor v, DenseRows(args.input(kV)));
  RetentionProblem<T> p = MakeProblem<T>(
      attrs, attrs.chunk, q, k, v, args.input(kLogGamma), args.input(kState),
      args.input(kOffsets), args.input(kPositions));
  p.key_sum = OptionalData<T>(args.input(kKeySum));
  const auto wanted = [](const Tensor& x) {
    return x.num_elements() > 0 ? x.mutable_data<T>() : nullptr;
  };
  RetentionResult<T> result;
  result.out = Writing<T>(args.outputs[0], p.offsets != nullptr);
  result.state = wanted(args.outputs[1]);
  result.key_sum = wanted(args.outputs[2]);
  result.divisors = wanted(args.outputs[3]);
  if (attrs.recurrent) {
    return RunTasks<T>(p, 1, RetentionRecurrentWorkspace(p),
                       [&](int64_t task, T* workspace) {
                         RetentionRecurrent(p, result, task, workspace);
                       });
  }
  return RunTasks<T>(p, 1, RetentionForwardWorkspace(p),
                     [&](int64_t task, T* workspace) {
                       RetentionForward(p, result, task, workspace);
                     });
}

struct BackwardAttrs {
  RetentionAttrs retention;
  bool log_gamma;  // whether its gradient is asked for
  bool state;
};

// Inputs of the backward op: those of the forward op without key_sum, out,
// divisors, and the gradients of out and of the state, of which one may be
// undefined. Outputs dq, dk, dv, dlog_gamma, dstate.
enum BackwardInput {
  kBackOffsets = 5,
  kBackPositions,
  kOut,
  kDivisors,
  kDOut,
  kDState,
};

absl::Status InferBackward(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<BackwardAttrs>();
  const Tensor& q = args.input(kQ);
  const Extents e = ExtentsOf(q, args.input(kV), args.input(kBackOffsets));
  for (int i = 0; i < 3; ++i) {
    args.outputs[i] = {args.input(i).shape(), q.dtype()};
  }
  args.outputs[3] = {attrs.log_gamma ? Shape({e.heads}) : Shape({0}),
                     DType::kF64};
  args.outputs[4] = {attrs.state
                         ? Shape({e.sequences, e.heads, e.key_dim, e.value_dim})
                         : Shape({0}),
                     q.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<BackwardAttrs>();
  SEPTET_ASSIGN_OR_RETURN(const Tensor q, DenseRows(args.input(kQ)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor k, DenseRows(args.input(kK)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor v, DenseRows(args.input(kV)));
  Tensor dout = args.input(kDOut);
  if (!dout.defined()) {
    SEPTET_ASSIGN_OR_RETURN(dout, Tensor::Zeros(args.input(kOut).shape(),
                                                args.input(kOut).dtype()));
  }
  SEPTET_ASSIGN_OR_RETURN(dout, DenseRows(dout));
  const RetentionProblem<T> p =
      MakeProblem<T>(attrs.retention, attrs.retention.backward_chunk, q, k, v,
                     args.input(kLogGamma), args.input(kState),
                     args.input(kBackOffsets), args.input(kBackPositions));
  const bool packed = p.offsets != nullptr;
  RetentionGradient<T> gradient;
  gradient.dout = Reading<T>(dout, packed);
  gradient.dstate = OptionalData<T>(args.input(kDState));
  gradient.divisors = OptionalData<T>(args.input(kDivisors));
  gradient.dq = Writing<T>(args.outputs[0], packed);
  gradient.dk = Writing<T>(args.outputs[1], packed);
  gradient.dv = Writing<T>(args.outputs[2], packed);
  if (attrs.state) gradient.dinitial = args.outputs[4].mutable_data<T>();
  std::vector<double> dlog_gamma;
  if (attrs.log_gamma) {
    dlog_gamma.resize(static_cast<size_t>(RetentionTasks(p)));
    gradient.dlog_gamma = dlog_gamma.data();
    gradient.out = Reading<T>(args.input(kOut), packed);
  }
  SEPTET_RETURN_IF_ERROR(RunTasks<T>(
      p, 2.4, RetentionBackwardWorkspace(p), [&](int64_t task, T* workspace) {
        RetentionBackward(p, gradient, task, workspace);
      }));
  if (!attrs.log_gamma) return absl::OkStatus();
  double* const to = args.outputs[3].mutable_data<double>();
  std::fill_n(to, p.heads, 0.0);
  for (int64_t task = 0; task < RetentionTasks(p); ++task) {
    to[task % p.heads] += dlog_gamma[static_cast<size_t>(task)];
  }
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "retention_grad";
    def.num_outputs = 5;
    def.infer = &InferBackward;
    def.differentiable = false;  // called on constants only
    def.strided_inputs = uint64_t{7} | uint64_t{1} << kDOut;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

// Rows of a chunk of the backward pass at most, where log_gamma has a gradient:
// that is a sum of differences times the place within the chunk, of which f32
// keeps 2e-5 over 4096 rows at once and 1e-6 over 256.
constexpr int64_t kLogGammaChunk = 256;

void Vjp(VjpArgs& args) {
  RetentionAttrs attrs = args.attrs.Get<RetentionAttrs>();
  const bool torchscale =
      RetentionHasDivisors(attrs.norm) && attrs.norm != RetentionNorm::kPaper;
  if (args.Needs(kLogGamma) && torchscale) {
    args.grads[kLogGamma] = absl::InvalidArgumentError(
        "retention: log_gamma has no gradient with the score norms of "
        "torchscale");
    return;
  }
  if (args.Needs(kLogGamma)) {
    attrs.backward_chunk = std::min(attrs.backward_chunk, kLogGammaChunk);
  }
  const Var none = Var();
  const VarVector grads = ApplyMulti(
      BackwardOp(),
      {&args.inputs[kQ], &args.inputs[kK], &args.inputs[kV],
       &args.inputs[kLogGamma], &args.inputs[kState], &args.inputs[kOffsets],
       &args.inputs[kPositions], &args.outputs[0],
       RetentionHasDivisors(attrs.norm) ? &args.outputs[3] : &none,
       &args.cotangents[0], &args.cotangents[1]},
      BackwardAttrs{attrs, args.Needs(kLogGamma), args.Needs(kState)});
  for (int i = 0; i < 3; ++i) {
    if (args.Needs(i)) args.grads[i] = grads[i];
  }
  if (args.Needs(kLogGamma)) args.grads[kLogGamma] = grads[3];
  if (args.Needs(kState)) args.grads[kState] = grads[4];
}

const Op& RetentionOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "retention";
    def.num_outputs = 4;
    def.infer = &InferForward;
    def.composite = &RetentionComposite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    def.saved_outputs = 0b1001;
    def.strided_inputs = 7;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

double ScaleOf(const RetentionOptions& options, int64_t key_dim) {
  return options.scale != 0 ? options.scale
                            : 1 / std::sqrt(static_cast<double>(key_dim));
}

RetentionNorm NormOf(ScoreNorm norm, RetentionForm form) {
  const bool parallel = form == RetentionForm::kParallel;
  switch (norm) {
    case ScoreNorm::kNone:
      return RetentionNorm::kNone;
    case ScoreNorm::kDecay:
      return RetentionNorm::kDecay;
    case ScoreNorm::kPaper:
      return RetentionNorm::kPaper;
    case ScoreNorm::kTorchscale:
      if (form == RetentionForm::kRecurrent) return RetentionNorm::kDecay;
      return parallel ? RetentionNorm::kTorchscaleParallel
                      : RetentionNorm::kTorchscaleChunkwise;
    case ScoreNorm::kTorchscaleLegacy:
      if (form == RetentionForm::kRecurrent) return RetentionNorm::kDecay;
      return parallel ? RetentionNorm::kTorchscaleParallelLegacy
                      : RetentionNorm::kTorchscaleChunkwiseLegacy;
  }
  return RetentionNorm::kDecay;
}

absl::Status CheckPositions(absl::Span<const int64_t> positions,
                            int64_t sequences) {
  if (static_cast<int64_t>(positions.size()) != sequences) {
    return absl::InvalidArgumentError(absl::StrCat("state.position has ",
                                                   positions.size(),
                                                   " values, expected one for "
                                                   "each of ",
                                                   sequences, " sequences"));
  }
  for (size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] >= 0 && positions[i] <= kMaxRetentionPosition) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("state.position[", i, "] is ", positions[i],
                     ", expected 0 to ", kMaxRetentionPosition));
  }
  return absl::OkStatus();
}

absl::Status Named(const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("retention: ", status.message()));
}

bool HasState(const RetentionState& state) {
  return state.s.defined() || state.key_sum.defined() ||
         !state.position.empty();
}

// The checks that need more than the op sees.
absl::Status CheckCall(const Var& q, const RetentionOptions& options,
                       RetentionNorm norm, const RetentionState& state,
                       bool return_state, const Tensor& cu_seqlens) {
  if (options.chunk_size < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk_size is ", options.chunk_size, ", expected at least 1"));
  }
  const bool before = HasState(state);
  if (RetentionHasDivisors(norm) && norm != RetentionNorm::kPaper &&
      (before || return_state)) {
    return absl::InvalidArgumentError(
        "the parallel and chunkwise forms with the score norm of torchscale "
        "have no state before or behind them; its recurrent form has, and so "
        "have all forms with kDecay");
  }
  if (!before) return absl::OkStatus();
  // Of other shapes the op says so.
  if (cu_seqlens.defined() ? cu_seqlens.rank() == 1 && cu_seqlens.dim(0) >= 2
                           : q.rank() == 4) {
    SEPTET_RETURN_IF_ERROR(CheckPositions(
        state.position,
        cu_seqlens.defined() ? cu_seqlens.dim(0) - 1 : q.dim(0)));
  }
  if (norm == RetentionNorm::kPaper && state.s.defined() &&
      !state.key_sum.defined()) {
    return absl::InvalidArgumentError(
        "state.key_sum is not given, expected the one that kPaper left");
  }
  return absl::OkStatus();
}

// Of offsets that have not been checked.
int64_t LongestSequence(const Tensor& cu_seqlens, int64_t rows) {
  if (!cu_seqlens.defined() || cu_seqlens.dtype() != DType::kI64 ||
      cu_seqlens.rank() != 1) {
    return rows;
  }
  int64_t longest = 0;
  const int64_t* const at = cu_seqlens.data<int64_t>();
  for (int64_t i = 1; i < cu_seqlens.dim(0); ++i) {
    if (at[i] > at[i - 1] && at[i - 1] >= 0) {
      longest = std::max(longest, at[i] - at[i - 1]);
    }
  }
  return longest;
}

bool IsTrained(std::initializer_list<const Var*> inputs) {
  return std::any_of(inputs.begin(), inputs.end(), [](const Var* x) {
    return x->ok() && x->tape() != nullptr;
  });
}

absl::Status CheckStepTensor(absl::string_view name, const Tensor& x,
                             const Shape& shape, DType dtype, bool dense) {
  SEPTET_RETURN_IF_ERROR(RequireDefined(name, x)) << "retention step";
  if (x.shape() == shape && x.dtype() == dtype &&
      (dense ? x.IsContiguous()
             : x.stride(x.rank() - 1) == 1 || x.dim(x.rank() - 1) == 1)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("retention step: ", name, " is ", x.DebugString(),
                   ", expected ", DTypeName(dtype), " ", shape.ToString(),
                   dense ? " without gaps" : " with rows without gaps"));
}

template <typename T>
void RunStep(const Tensor& q, const Tensor& k, const Tensor& v,
             const Tensor& log_gamma, double scale, RetentionNorm norm,
             Tensor* s, Tensor* key_sum, absl::Span<const int64_t> positions,
             Tensor* out) {
  RetentionStepProblem<T> p;
  p.sequences = q.dim(0);
  p.heads = q.dim(1);
  p.key_dim = q.dim(2);
  p.value_dim = v.dim(2);
  const auto rows = [](const Tensor& x) {
    return RetentionStepRows<T>{x.data<T>(), x.stride(0), x.stride(1)};
  };
  p.q = rows(q);
  p.k = rows(k);
  p.v = rows(v);
  p.log_gamma = log_gamma.data<double>();
  p.positions = positions.data();
  p.scale = scale;
  p.norm = norm;
  p.state = s->mutable_data<T>();
  p.key_sum =
      norm == RetentionNorm::kPaper ? key_sum->mutable_data<T>() : nullptr;
  p.out = out->mutable_data<T>();
  const int64_t tasks = p.sequences * p.heads;
  // Half a megabyte of state: some tens of microseconds.
  const int64_t state_bytes =
      p.key_dim * p.value_dim * static_cast<int64_t>(sizeof(T));
  const int64_t grain =
      std::clamp<int64_t>((int64_t{1} << 19) / state_bytes, 1, tasks);
  ParallelFor(tasks, grain, [&](int64_t begin, int64_t end) {
    RetentionStepTasks(p, begin, end);
  });
}

}  // namespace

RetentionForm ChooseRetentionForm(int64_t rows, int64_t chunk_size,
                                  bool training, int64_t key_dim,
                                  int64_t value_dim) {
  if (!training) {
    return rows >= 10 ? RetentionForm::kChunkwise : RetentionForm::kRecurrent;
  }
  const double chunk = static_cast<double>(chunk_size);
  double most = 2 * chunk;
  if (key_dim > 0 && value_dim > 0) {
    // Rows of scores that cost what a state costs.
    const double state = 1 / (1 / static_cast<double>(key_dim) +
                              1 / static_cast<double>(value_dim));
    most = std::max(chunk + 2 * state, 4 * state);
  }
  return static_cast<double>(rows) <= most ? RetentionForm::kParallel
                                           : RetentionForm::kChunkwise;
}

RetentionOutput Retention(const Var& q, const Var& k, const Var& v,
                          const Var& log_gamma, const RetentionOptions& options,
                          const RetentionState& state, bool return_state,
                          const Tensor& any_cu_seqlens) {
  const auto failed = [](const absl::Status& status) {
    RetentionOutput output;
    output.out = output.state.s = output.state.key_sum = status;
    return output;
  };
  for (const Var* x : {&q, &k, &v, &log_gamma, &state.s, &state.key_sum}) {
    if (!x->ok()) return failed(x->status());
  }
  if (!q.defined()) {
    return failed(absl::InvalidArgumentError("retention: q is not given"));
  }
  Tensor cu_seqlens = any_cu_seqlens;
  if (cu_seqlens.defined() && !cu_seqlens.IsContiguous()) {
    const absl::StatusOr<Tensor> copy = cu_seqlens.Contiguous();
    if (!copy.ok()) return failed(Named(copy.status()));
    cu_seqlens = *copy;
  }
  const int64_t rows =
      q.rank() < 3 ? 0 : q.dim(cu_seqlens.defined() ? 0 : q.rank() - 3);
  RetentionForm form = options.form;
  const bool torchscale = options.score_norm == ScoreNorm::kTorchscale ||
                          options.score_norm == ScoreNorm::kTorchscaleLegacy;
  if (form == RetentionForm::kAuto && torchscale &&
      (return_state || HasState(state))) {
    form = RetentionForm::kRecurrent;
  }
  if (form == RetentionForm::kAuto) {
    const auto width = [](const Var& x) {
      return x.defined() && x.rank() > 0 ? x.dim(x.rank() - 1) : 0;
    };
    form = ChooseRetentionForm(
        LongestSequence(cu_seqlens, rows),
        std::max<int64_t>(1, options.chunk_size),
        options.training || IsTrained({&q, &k, &v, &log_gamma, &state.s}),
        width(q), width(v));
  }
  const RetentionNorm norm = NormOf(options.score_norm, form);
  const absl::Status status =
      CheckCall(q, options, norm, state, return_state, cu_seqlens);
  if (!status.ok()) return failed(Named(status));
  RetentionAttrs attrs;
  attrs.norm = norm;
  attrs.scale = ScaleOf(options, q.rank() == 0 ? 1 : q.dim(q.rank() - 1));
  attrs.return_state = return_state;
  const int64_t all = std::max<int64_t>(1, rows);
  switch (form) {
    case RetentionForm::kParallel:
      attrs.chunk = attrs.backward_chunk = all;
      break;
    case RetentionForm::kRecurrent:
      attrs.chunk = 1;
      attrs.recurrent = true;
      // A state for each row would be kept.
      attrs.backward_chunk = options.chunk_size;
      break;
    default:
      attrs.chunk = attrs.backward_chunk = options.chunk_size;
  }
  Var positions;
  if (!state.position.empty()) {
    positions = Tensor::FromValues<int64_t>(
        Shape({static_cast<int64_t>(state.position.size())}), state.position);
  }
  const Var offsets = cu_seqlens.defined() ? Var(cu_seqlens) : Var();
  VarVector results = ApplyMulti(
      RetentionOp(),
      {&q, &k, &v, &log_gamma, &state.s, &state.key_sum, &offsets, &positions},
      attrs);
  RetentionOutput output;
  output.out = results[0];
  if (!return_state) return output;
  if (!results[0].ok()) return failed(results[0].status());
  output.state.s = results[1];
  if (norm == RetentionNorm::kPaper) output.state.key_sum = results[2].Detach();
  const int64_t sequences =
      cu_seqlens.defined() ? cu_seqlens.dim(0) - 1 : q.dim(0);
  for (int64_t i = 0; i < sequences; ++i) {
    const int64_t before =
        state.position.empty() ? 0 : state.position[static_cast<size_t>(i)];
    const int64_t length =
        cu_seqlens.defined()
            ? cu_seqlens.data<int64_t>()[i + 1] - cu_seqlens.data<int64_t>()[i]
            : rows;
    output.state.position.push_back(before + length);
  }
  return output;
}

absl::Status RetentionStep(const Tensor& q, const Tensor& k, const Tensor& v,
                           const Tensor& log_gamma,
                           const RetentionOptions& options, Tensor* s,
                           Tensor* key_sum, absl::Span<int64_t> positions,
                           Tensor* out) {
  SEPTET_RETURN_IF_ERROR(RequireReal("q", q)) << "retention step";
  SEPTET_RETURN_IF_ERROR(RequireRank("q", q, 3, 3)) << "retention step";
  SEPTET_RETURN_IF_ERROR(RequireRank("v", v, 3, 3)) << "retention step";
  const DType dtype = q.dtype();
  const int64_t sequences = q.dim(0), heads = q.dim(1);
  const int64_t key_dim = q.dim(2), value_dim = v.dim(2);
  const RetentionNorm norm =
      NormOf(options.score_norm, RetentionForm::kRecurrent);
  SEPTET_RETURN_IF_ERROR(CheckStepTensor("q", q, q.shape(), dtype, false));
  SEPTET_RETURN_IF_ERROR(CheckStepTensor("k", k, q.shape(), dtype, false));
  SEPTET_RETURN_IF_ERROR(CheckStepTensor(
      "v", v, Shape({sequences, heads, value_dim}), dtype, false));
  SEPTET_RETURN_IF_ERROR(CheckStepTensor(
      "s", *s, Shape({sequences, heads, key_dim, value_dim}), dtype, true));
  SEPTET_RETURN_IF_ERROR(CheckStepTensor("out", *out, v.shape(), dtype, true));
  if (norm == RetentionNorm::kPaper) {
    SEPTET_RETURN_IF_ERROR(
        CheckStepTensor("key_sum", key_sum == nullptr ? Tensor() : *key_sum,
                        q.shape(), dtype, true));
  }
  SEPTET_RETURN_IF_ERROR(CheckLogGamma(log_gamma, heads)) << "retention step";
  if (!log_gamma.IsContiguous()) {
    return absl::InvalidArgumentError(
        absl::StrCat("retention step: log_gamma is ", log_gamma.DebugString(),
                     ", expected no gaps"));
  }
  SEPTET_RETURN_IF_ERROR(CheckPositions(positions, sequences))
      << "retention step";
  const double scale = ScaleOf(options, std::max<int64_t>(1, key_dim));
  SEPTET_RETURN_IF_ERROR(CheckScale(scale, dtype)) << "retention step";
  if (s->num_elements() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "retention step: s is ", s->DebugString(), ", expected no empty axis"));
  }
  if (dtype == DType::kF32) {
    RunStep<float>(q, k, v, log_gamma, scale, norm, s, key_sum, positions, out);
  } else {
    RunStep<double>(q, k, v, log_gamma, scale, norm, s, key_sum, positions,
                    out);
  }
  for (int64_t& position : positions) ++position;
  return absl::OkStatus();
}

}  // namespace septet
