// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/attention_kernels.h"
#include "septet/core/ops/attention_problem.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/ops/softmax.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct AttentionAttrs {
  AttentionOptions options;
  bool keep_self;
};

// Where the axes are.
struct Axes {
  int head;
  int time;
};
Axes AxesOf(const AttentionOptions& options) {
  return options.layout == AttentionLayout::kBHTD ? Axes{1, 2} : Axes{2, 1};
}

Shape LayoutShape(const AttentionOptions& options, int64_t batch, int64_t heads,
                  int64_t time, int64_t dim) {
  return options.layout == AttentionLayout::kBHTD
             ? Shape({batch, heads, time, dim})
             : Shape({batch, time, heads, dim});
}

// Inputs q, k, v, key_lengths, key_mask; outputs out, log_sum_exp.
absl::Status InferForward(const InferArgs& args) {
  const AttentionOptions& options = args.attrs.Get<AttentionAttrs>().options;
  const auto [head, time] = AxesOf(options);
  const Tensor& q = args.input(0);
  const Tensor& k = args.input(1);
  const Tensor& v = args.input(2);
  SEPTET_RETURN_IF_ERROR(RequireReal("q", q));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("q", q, "k", k));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("q", q, "v", v));
  SEPTET_RETURN_IF_ERROR(RequireRank("q", q, 4, 4));
  SEPTET_RETURN_IF_ERROR(RequireRank("k", k, 4, 4));
  SEPTET_RETURN_IF_ERROR(RequireRank("v", v, 4, 4));
  const std::pair<const char*, const Tensor*> tensors[] = {
      {"q", &q}, {"k", &k}, {"v", &v}};
  for (const auto& [name, x] : tensors) {
    for (const int axis : {0, head, 3}) {
      if (x->dim(axis) >= 1) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", x->DebugString(), ", expected axis ", axis,
                       " to be >= 1"));
    }
  }
  for (int i = 1; i < 3; ++i) {
    SEPTET_RETURN_IF_ERROR(RequireExtent(tensors[i].first, *tensors[i].second,
                                         0, q.dim(0), "the batch of q"));
  }
  SEPTET_RETURN_IF_ERROR(RequireExtent("k", k, 3, q.dim(3), "the width of q"));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("v", v, head, k.dim(head), "the heads of k"));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("v", v, time, k.dim(time), "the keys of k"));
  if (q.dim(head) % k.dim(head) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "q is ", q.DebugString(), ", k is ", k.DebugString(), ": ", q.dim(head),
        " heads of q are not a multiple of ", k.dim(head), " heads of k"));
  }
  if (options.causal && k.dim(time) < q.dim(time)) {
    return absl::InvalidArgumentError(
        absl::StrCat("q is ", q.DebugString(), ", k is ", k.DebugString(), ": ",
                     k.dim(time), " keys, expected at least the ", q.dim(time),
                     " of q because attention is causal"));
  }
  if (args.input(3).defined()) {
    const Tensor& lengths = args.input(3);
    if (lengths.dtype() != DType::kI64) {
      return absl::InvalidArgumentError(absl::StrCat(
          "key_lengths is ", lengths.DebugString(), ", expected i64"));
    }
    SEPTET_RETURN_IF_ERROR(RequireRank("key_lengths", lengths, 1, 1));
    SEPTET_RETURN_IF_ERROR(
        RequireExtent("key_lengths", lengths, 0, q.dim(0), "the batch of q"));
  }
  if (args.input(4).defined()) {
    const Tensor& mask = args.input(4);
    if (mask.dtype() != DType::kBool) {
      return absl::InvalidArgumentError(
          absl::StrCat("key_mask is ", mask.DebugString(), ", expected bool"));
    }
    SEPTET_RETURN_IF_ERROR(RequireRank("key_mask", mask, 2, 2));
    SEPTET_RETURN_IF_ERROR(
        RequireExtent("key_mask", mask, 0, q.dim(0), "the batch of q"));
    SEPTET_RETURN_IF_ERROR(
        RequireExtent("key_mask", mask, 1, k.dim(time), "the keys of k"));
  }
  if (!std::isfinite(options.scale)) {
    return absl::InvalidArgumentError(
        absl::StrCat("scale is ", options.scale, ", expected a finite number"));
  }
  if (q.dtype() == DType::kF32 &&
      std::abs(options.scale) > std::numeric_limits<float>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("scale is ", options.scale, ", expected a finite f32"));
  }
  if (!(options.dropout >= 0 && options.dropout < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "dropout is ", options.dropout, ", expected a number in [0, 1)"));
  }
  args.outputs[0] = {
      LayoutShape(options, q.dim(0), q.dim(head), q.dim(time), v.dim(3)),
      q.dtype()};
  args.outputs[1] = {Shape({q.dim(0), q.dim(head), q.dim(time)}), q.dtype()};
  return absl::OkStatus();
}

double ScaleOf(const AttentionOptions& options, int64_t width) {
  return options.scale != 0 ? options.scale
                            : 1 / std::sqrt(static_cast<double>(width));
}

absl::Status CheckLengths(const Tensor& lengths, int64_t keys) {
  if (!lengths.defined()) return absl::OkStatus();
  const int64_t* values = lengths.data<int64_t>();
  for (int64_t b = 0; b < lengths.dim(0); ++b) {
    if (values[b] >= 0 && values[b] <= keys) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("key_lengths[", b, "] is ", values[b], ", expected 0 to ",
                     keys, " (the keys of k)"));
  }
  return absl::OkStatus();
}

// The tensor, or a copy of it, with rows without gaps.
absl::StatusOr<Tensor> DenseRows(const Tensor& x) {
  if (x.stride(3) == 1 || x.dim(3) == 1) return x;
  return x.Contiguous();
}

template <typename T>
AttentionOperand<const T> Operand(const Tensor& x, const Axes& axes) {
  return {x.data<T>(), x.stride(0), x.stride(axes.head), x.stride(axes.time)};
}
template <typename T>
AttentionOperand<T> MutableOperand(const Tensor& x, const Axes& axes) {
  return {x.mutable_data<T>(), x.stride(0), x.stride(axes.head),
          x.stride(axes.time)};
}

template <typename T>
AttentionProblem<T> MakeProblem(const AttentionAttrs& attrs, const Tensor& q,
                                const Tensor& k, const Tensor& v,
                                const Tensor& lengths, const Tensor& mask) {
  const AttentionOptions& options = attrs.options;
  const Axes axes = AxesOf(options);
  AttentionProblem<T> p;
  p.batch = q.dim(0);
  p.heads = q.dim(axes.head);
  p.kv_heads = k.dim(axes.head);
  p.queries = q.dim(axes.time);
  p.keys = k.dim(axes.time);
  p.head_dim = q.dim(3);
  p.value_dim = v.dim(3);
  p.q = Operand<T>(q, axes);
  p.k = Operand<T>(k, axes);
  p.v = Operand<T>(v, axes);
  p.causal = options.causal;
  p.key_lengths = lengths.defined() ? lengths.data<int64_t>() : nullptr;
  p.key_mask = mask.defined() ? mask.data<bool>() : nullptr;
  p.keep_self = attrs.keep_self;
  p.scale = ScaleOf(options, p.head_dim);
  p.dropout = options.dropout;
  p.dropout_key = options.dropout_key;
  return p;
}

// Some tens of microseconds of work.
constexpr double kOperationsOfBlock = 4e6;

// Calls run(task, workspace) for each task, on the threads of the current pool,
// a workspace of `elements` for each block of tasks at a time.
template <typename T>
absl::Status RunTasks(int64_t tasks, double operations, int64_t elements,
                      absl::FunctionRef<void(int64_t, T*)> run) {
  if (tasks == 0) return absl::OkStatus();
  std::mutex mutex;
  absl::Status status;
  const double of_task = operations / static_cast<double>(tasks);
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

// Of the forward pass.
template <typename T>
double PairOperations(const AttentionProblem<T>& p) {
  const double queries = static_cast<double>(p.queries);
  const double keys = p.causal ? static_cast<double>(p.offset()) + queries / 2
                               : static_cast<double>(p.keys);
  return 2.0 * static_cast<double>(p.batch * p.heads) * queries * keys *
         static_cast<double>(p.head_dim + p.value_dim);
}

// Reading k and v for one query, as operations: an element takes as long as
// some 20 of them.
template <typename T>
double DecodeReads(const AttentionProblem<T>& p) {
  return 20.0 * static_cast<double>(p.batch * p.kv_heads * p.keys) *
         static_cast<double>(p.head_dim + p.value_dim);
}

// Queries, keys and values; views of one tensor, perhaps.
struct Qkv {
  Tensor q, k, v;
};

template <typename T>
absl::Status Forward(const AttentionAttrs& attrs, const Qkv& in,
                     const Tensor& lengths, const Tensor& mask,
                     const Tensor& out, const Tensor& log_sum_exp) {
  const Axes axes = AxesOf(attrs.options);
  SEPTET_ASSIGN_OR_RETURN(const Tensor q, DenseRows(in.q));
  SEPTET_ASSIGN_OR_RETURN(const Tensor k, DenseRows(in.k));
  SEPTET_ASSIGN_OR_RETURN(const Tensor v, DenseRows(in.v));
  SEPTET_RETURN_IF_ERROR(CheckLengths(lengths, k.dim(axes.time)));
  const AttentionProblem<T> p = MakeProblem<T>(attrs, q, k, v, lengths, mask);
  if (p.queries == 0) return absl::OkStatus();
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor partials,
      Tensor::Empty(Shape({AttentionForwardPartials(p)}), q.dtype()));
  AttentionResult<T> result;
  result.out = MutableOperand<T>(out, axes);
  result.log_sum_exp = log_sum_exp.mutable_data<T>();
  result.partials = partials.mutable_data<T>();
  double operations = PairOperations(p);
  if (AttentionDecodes(p)) operations += DecodeReads(p);
  SEPTET_RETURN_IF_ERROR(
      RunTasks<T>(AttentionTasks(p), operations, AttentionWorkspace(p),
                  [&](int64_t task, T* workspace) {
                    AttentionForward(p, result, task, workspace);
                  }));
  if (AttentionForwardPartials(p) == 0) return absl::OkStatus();
  for (int64_t kv = 0; kv < p.batch * p.kv_heads; ++kv) {
    AttentionFinish(p, result, kv);
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  return Forward<T>(args.attrs.Get<AttentionAttrs>(),
                    {args.input(0), args.input(1), args.input(2)},
                    args.input(3), args.input(4), args.outputs[0],
                    args.outputs[1]);
}

// Inputs q, k, v, key_lengths, key_mask, out, log_sum_exp, dout; outputs dq,
// dk, dv.
absl::Status InferBackward(const InferArgs& args) {
  for (int i = 0; i < 3; ++i) {
    args.outputs[i] = {args.input(i).shape(), args.input(i).dtype()};
  }
  return absl::OkStatus();
}

// What the forward pass left, and the gradient of its output.
struct BackwardInput {
  Tensor lengths, mask, out, log_sum_exp, dout;
};

template <typename T>
absl::Status Backward(const AttentionAttrs& attrs, const Qkv& in,
                      const BackwardInput& from, const Qkv& gradients) {
  const Axes axes = AxesOf(attrs.options);
  SEPTET_ASSIGN_OR_RETURN(const Tensor q, DenseRows(in.q));
  SEPTET_ASSIGN_OR_RETURN(const Tensor k, DenseRows(in.k));
  SEPTET_ASSIGN_OR_RETURN(const Tensor v, DenseRows(in.v));
  SEPTET_ASSIGN_OR_RETURN(const Tensor dout, DenseRows(from.dout));
  const AttentionProblem<T> p =
      MakeProblem<T>(attrs, q, k, v, from.lengths, from.mask);
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor partials,
      Tensor::Empty(Shape({AttentionPartials(p)}), q.dtype(), q.device()));
  AttentionGradient<T> gradient;
  gradient.out = Operand<T>(from.out, axes);
  gradient.dout = Operand<T>(dout, axes);
  gradient.log_sum_exp = from.log_sum_exp.data<T>();
  gradient.dq = MutableOperand<T>(gradients.q, axes);
  gradient.dk = MutableOperand<T>(gradients.k, axes);
  gradient.dv = MutableOperand<T>(gradients.v, axes);
  gradient.partials = partials.mutable_data<T>();
  SEPTET_RETURN_IF_ERROR(RunTasks<T>(
      AttentionBackwardTasks(p), 2.5 * PairOperations(p),
      AttentionBackwardWorkspace(p), [&](int64_t task, T* workspace) {
        AttentionBackward(p, gradient, task, workspace);
      }));
  if (AttentionPartials(p) == 0) return absl::OkStatus();
  const int64_t row = AttentionBackwardChunks(p) * (p.head_dim + p.value_dim);
  ParallelFor(p.keys, std::max<int64_t>(1, kElementwiseGrain / row),
              [&](int64_t begin, int64_t end) {
                for (int64_t kv = 0; kv < p.batch * p.kv_heads; ++kv) {
                  AttentionFinish(p, gradient, kv, begin, end);
                }
              });
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  return Backward<T>(args.attrs.Get<AttentionAttrs>(),
                     {args.input(0), args.input(1), args.input(2)},
                     {args.input(3), args.input(4), args.input(5),
                      args.input(6), args.input(7)},
                     {args.outputs[0], args.outputs[1], args.outputs[2]});
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "attention_grad";
    def.num_outputs = 3;
    def.infer = &InferBackward;
    def.differentiable = false;  // called on constants only
    def.strided_inputs = 0b10000111;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

// bool [B, 1, T, S]: which query sees which key.
absl::StatusOr<Tensor> VisiblePairs(const AttentionAttrs& attrs, int64_t batch,
                                    int64_t queries, int64_t keys,
                                    const Tensor& lengths, const Tensor& mask) {
  SEPTET_RETURN_IF_ERROR(CheckLengths(lengths, keys));
  SEPTET_ASSIGN_OR_RETURN(
      Tensor visible,
      Tensor::Empty(Shape({batch, 1, queries, keys}), DType::kBool));
  bool* to = visible.mutable_data<bool>();
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < queries; ++t) {
      const int64_t self = keys - queries + t;
      for (int64_t s = 0; s < keys; ++s) {
        const bool there =
            (!lengths.defined() || s < lengths.data<int64_t>()[b]) &&
            (!mask.defined() || mask.data<bool>()[b * keys + s]);
        *to++ = (!attrs.options.causal || s <= self) &&
                (there || (attrs.keep_self && s == self));
      }
    }
  }
  return visible;
}

// [B, H, T, S]: 0 or 1 / (1 - dropout).
absl::StatusOr<Tensor> DropoutFactors(const AttentionOptions& options,
                                      const Shape& shape, DType dtype) {
  SEPTET_ASSIGN_OR_RETURN(Tensor factors, Tensor::Empty(shape, dtype));
  const int64_t keys = shape.dim(3);
  const uint64_t pitch = static_cast<uint64_t>((keys + 3) / 4 * 4);
  const double keep = 1 / (1 - options.dropout);
  const auto fill = [&](auto* to) {
    const int64_t rows = shape.dim(0) * shape.dim(1) * shape.dim(2);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t s = 0; s < keys; ++s) {
        const uint64_t e =
            static_cast<uint64_t>(row) * pitch + static_cast<uint64_t>(s);
        const uint32_t word = PhiloxElement(options.dropout_key, e / 4)[e % 4];
        *to++ = UnitFromWord(word) >= options.dropout ? keep : 0;
      }
    }
  };
  if (dtype == DType::kF32) {
    fill(factors.mutable_data<float>());
  } else {
    fill(factors.mutable_data<double>());
  }
  return factors;
}

void Composite(CompositeArgs& args) {
  const auto& attrs = args.attrs.Get<AttentionAttrs>();
  const AttentionOptions& options = attrs.options;
  const bool time_first = options.layout == AttentionLayout::kBTHD;
  const auto exchange = [&](const Var& x) {
    return time_first ? Permute(x, {0, 2, 1, 3}) : x;
  };
  const Var q = exchange(args.inputs[0]);
  const Var k = exchange(args.inputs[1]);
  const Var v = exchange(args.inputs[2]);
  if (!q.ok() || !k.ok() || !v.ok()) {
    args.outputs[0] = !q.ok() ? q : !k.ok() ? k : v;
    return;
  }
  const int64_t batch = q.dim(0), heads = q.dim(1), queries = q.dim(2);
  const int64_t kv_heads = k.dim(1), keys = k.dim(2), values = v.dim(3);
  const auto tensor_or_none = [](const Var& x) {
    return x.defined() ? x.tensor() : Tensor();
  };
  const Var visible =
      VisiblePairs(attrs, batch, queries, keys, tensor_or_none(args.inputs[3]),
                   tensor_or_none(args.inputs[4]));
  if (keys == 0) {
    args.outputs[0] = Tensor::Zeros(
        LayoutShape(options, batch, heads, queries, values), q.dtype());
    args.outputs[1] =
        Tensor::Full(Shape({batch, heads, queries}), -INFINITY, q.dtype());
    return;
  }
  // The query heads of a key head follow one another: they are rows of one
  // product.
  const int64_t rows = heads / kv_heads * queries;
  const Var scores =
      Reshape(MatMul(Reshape(Scale(q, ScaleOf(options, q.dim(3))),
                             {batch, kv_heads, rows, q.dim(3)}),
                     k, {/*transpose_a=*/false, /*transpose_b=*/true}),
              {batch, heads, queries, keys});
  // Hidden pairs count for nothing however large the others are: a number so
  // small that its exponential is 0 beside any other, and then a product with
  // 0 for queries that see nothing.
  const Var lowest = Tensor::Full(
      Shape(), q.dtype() == DType::kF32 ? -1e30 : -1e300, q.dtype());
  const Var one_if_visible = Cast(visible, q.dtype());
  const Var logits = Where(visible, scores, lowest);
  Var weights = Mul(Softmax(logits), one_if_visible);
  if (options.dropout > 0 && weights.ok()) {
    weights =
        Mul(weights, DropoutFactors(options, weights.shape(), weights.dtype()));
  }
  const Var out = MatMul(Reshape(weights, {batch, kv_heads, rows, keys}), v);
  args.outputs[0] = exchange(Reshape(out, {batch, heads, queries, values}));
  // Handed out to nobody: no derivative is taken through it.
  const Var constant = logits.Detach();
  const Var maximum = Max(constant, {-1}, {/*keep_dims=*/true});
  args.outputs[1] =
      Add(Log(Sum(Mul(Exp(Sub(constant, maximum)), one_if_visible), {-1})),
          Reshape(maximum, {batch, heads, queries}));
}

void Vjp(VjpArgs& args) {
  // log_sum_exp is not handed out: only out has a cotangent.
  const VarVector grads =
      ApplyMulti(BackwardOp(),
                 {&args.inputs[0], &args.inputs[1], &args.inputs[2],
                  &args.inputs[3], &args.inputs[4], &args.outputs[0],
                  &args.outputs[1], &args.cotangents[0]},
                 args.attrs);
  for (int i = 0; i < 3; ++i) {
    if (args.Needs(i)) args.grads[i] = grads[i];
  }
}

const Op& AttentionOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "attention";
    def.num_outputs = 2;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    def.saved_outputs = 3;
    def.strided_inputs = 7;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

struct JointAttrs {
  AttentionAttrs attention;
  int64_t heads;
  int64_t kv_heads;
};

// The views of q, k and v of qkv, or of its gradient.
absl::StatusOr<Qkv> ViewsOf(const JointAttrs& attrs, const Tensor& qkv) {
  const int64_t keys = attrs.heads + attrs.kv_heads;
  Qkv views;
  SEPTET_ASSIGN_OR_RETURN(views.q, qkv.Slice(2, 0, attrs.heads));
  SEPTET_ASSIGN_OR_RETURN(views.k, qkv.Slice(2, attrs.heads, keys));
  SEPTET_ASSIGN_OR_RETURN(views.v, qkv.Slice(2, keys, qkv.dim(2)));
  return views;
}

// Inputs qkv, key_lengths, key_mask; outputs out, log_sum_exp.
absl::Status InferJoint(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<JointAttrs>();
  const Tensor& qkv = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("qkv", qkv));
  SEPTET_RETURN_IF_ERROR(RequireRank("qkv", qkv, 4, 4));
  if (attrs.attention.options.layout != AttentionLayout::kBTHD) {
    return absl::InvalidArgumentError(
        "layout is kBHTD, expected kBTHD, since qkv is [B, T, H, D]");
  }
  // Neither sum overflows.
  const int64_t all = qkv.dim(2);
  if (attrs.heads < 1 || attrs.kv_heads < 1 || attrs.heads > all ||
      attrs.kv_heads > all || attrs.heads + 2 * attrs.kv_heads != all) {
    return absl::InvalidArgumentError(absl::StrCat(
        "qkv is ", qkv.DebugString(),
        ", expected axis 2 to be heads + 2 "
        "kv_heads, of ",
        attrs.heads, " and ", attrs.kv_heads, ", each at least 1"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Qkv views, ViewsOf(attrs, qkv));
  const Tensor* const inputs[] = {&views.q, &views.k, &views.v, &args.input(1),
                                  &args.input(2)};
  return InferForward({inputs, Attrs(attrs.attention), args.outputs});
}

template <typename T>
absl::Status JointForwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<JointAttrs>();
  SEPTET_ASSIGN_OR_RETURN(const Qkv views, ViewsOf(attrs, args.input(0)));
  return Forward<T>(attrs.attention, views, args.input(1), args.input(2),
                    args.outputs[0], args.outputs[1]);
}

// Inputs qkv, key_lengths, key_mask, out, log_sum_exp, dout; output dqkv.
template <typename T>
absl::Status JointBackwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<JointAttrs>();
  SEPTET_ASSIGN_OR_RETURN(const Qkv views, ViewsOf(attrs, args.input(0)));
  SEPTET_ASSIGN_OR_RETURN(const Qkv gradients, ViewsOf(attrs, args.outputs[0]));
  return Backward<T>(attrs.attention, views,
                     {args.input(1), args.input(2), args.input(3),
                      args.input(4), args.input(5)},
                     gradients);
}

const Op& JointBackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "joint_attention_grad";
    def.infer = [](const InferArgs& args) {
      args.outputs[0] = {args.input(0).shape(), args.input(0).dtype()};
      return absl::OkStatus();
    };
    def.differentiable = false;  // called on constants only
    def.strided_inputs = 0b100001;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &JointBackwardCpu<float>,
                       &JointBackwardCpu<double>);
    return registered;
  }();
  return op;
}

void JointComposite(CompositeArgs& args) {
  const auto& attrs = args.attrs.Get<JointAttrs>();
  const std::vector<Var> parts =
      Split(args.inputs[0], {attrs.heads, attrs.kv_heads, attrs.kv_heads}, 2);
  const VarVector results = ApplyMulti(
      AttentionOp(),
      {&parts[0], &parts[1], &parts[2], &args.inputs[1], &args.inputs[2]},
      attrs.attention);
  args.outputs[0] = results[0];
  args.outputs[1] = results[1];
}

void JointVjp(VjpArgs& args) {
  // log_sum_exp is not handed out: only out has a cotangent.
  args.grads[0] =
      Apply(JointBackwardOp(),
            {&args.inputs[0], &args.inputs[1], &args.inputs[2],
             &args.outputs[0], &args.outputs[1], &args.cotangents[0]},
            args.attrs);
}

const Op& JointAttentionOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "joint_attention";
    def.num_outputs = 2;
    def.infer = &InferJoint;
    def.composite = &JointComposite;
    def.vjp = &JointVjp;
    def.vjp_is_differentiable = false;
    def.saved_outputs = 3;
    def.strided_inputs = 1;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &JointForwardCpu<float>,
                       &JointForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var Attention(const Var& q, const Var& k, const Var& v,
              const AttentionMask& mask, const AttentionOptions& options) {
  return ApplyMulti(AttentionOp(),
                    {&q, &k, &v, &mask.key_lengths, &mask.key_mask},
                    AttentionAttrs{options, mask.keep_self})[0];
}

Var JointAttention(const Var& qkv, int64_t heads, int64_t kv_heads,
                   const AttentionMask& mask, const AttentionOptions& options) {
  return ApplyMulti(JointAttentionOp(),
                    {&qkv, &mask.key_lengths, &mask.key_mask},
                    JointAttrs{{options, mask.keep_self}, heads, kv_heads})[0];
}

}  // namespace septet
