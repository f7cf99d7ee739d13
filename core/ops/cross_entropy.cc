// SPDX-License-Identifier: Apache-2.0
// CrossEntropy and Nll: losses of classes.
#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/cross_entropy_kernels.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/index_util.h"
#include "septet/core/ops/loss.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// x [..., V], classes [...] of i32 or i64, V >= 1.
absl::Status RequireClasses(absl::string_view name, const Tensor& x,
                            const Tensor& targets) {
  SEPTET_RETURN_IF_ERROR(RequireReal(name, x));
  SEPTET_RETURN_IF_ERROR(RequireRank(name, x, 1, kMaxRank));
  SEPTET_RETURN_IF_ERROR(RequireIndices("targets", targets));
  const int last = x.rank() - 1;
  if (targets.shape().dims() != x.shape().dims().subspan(0, last)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "targets is ", targets.DebugString(), ", expected the shape of ", name,
        " without its last axis, ", x.DebugString()));
  }
  if (x.dim(last) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " is ", x.DebugString(), ", expected a last axis >= 1"));
  }
  return absl::OkStatus();
}

// Classes as i64, row-major, checked.
absl::StatusOr<Tensor> Classes(const Tensor& targets, int64_t n,
                               int64_t ignored) {
  SEPTET_ASSIGN_OR_RETURN(Tensor packed, targets.Contiguous());
  SEPTET_RETURN_IF_ERROR(
      CheckIndices("targets", packed, n, "classes", &ignored));
  return packed.To(DType::kI64);
}

int64_t Counted(const Tensor& classes, int64_t ignored) {
  const int64_t* data = classes.data<int64_t>();
  return classes.num_elements() -
         std::count(data, data + classes.num_elements(), ignored);
}

// The weight of a row that is not ignored.
double RowWeight(LossReduction reduction, const Tensor& classes,
                 int64_t ignored) {
  if (reduction != LossReduction::kMean) return 1.0;
  return 1.0 /
         static_cast<double>(std::max<int64_t>(1, Counted(classes, ignored)));
}

// Calls fn(first row, rows) in blocks.
template <typename Fn>
void ForRows(int64_t rows, int64_t n, const Fn& fn) {
  ParallelFor(rows, std::max<int64_t>(1, kElementwiseGrain / n),
              [&](int64_t begin, int64_t end) { fn(begin, end - begin); });
}

// Inputs logits, targets; outputs the loss, and max and sum of each row for
// the gradient.
absl::Status InferForward(const InferArgs& args) {
  const auto& options = args.attrs.Get<CrossEntropyOptions>();
  const Tensor& x = args.input(0);
  const Tensor& targets = args.input(1);
  SEPTET_RETURN_IF_ERROR(RequireClasses("logits", x, targets));
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("label_smoothing is ", options.label_smoothing,
                     ", expected a number in [0, 1]"));
  }
  const Shape& rows = targets.shape();
  args.outputs[0] = {options.reduction == LossReduction::kNone ? rows : Shape(),
                     x.dtype()};
  args.outputs[1] = {rows, x.dtype()};
  args.outputs[2] = {rows, x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const auto& options = args.attrs.Get<CrossEntropyOptions>();
  const Tensor& x = args.input(0);
  const int64_t n = x.dim(x.rank() - 1);
  const int64_t rows = x.num_elements() / n;
  const int64_t ignored = options.ignore_index;
  SEPTET_ASSIGN_OR_RETURN(Tensor classes, Classes(args.input(1), n, ignored));
  Tensor losses = args.outputs[0];
  if (options.reduction != LossReduction::kNone) {
    SEPTET_ASSIGN_OR_RETURN(losses, Tensor::Empty(Shape({rows}), x.dtype()));
  }
  const T* px = x.data<T>();
  const int64_t* pc = classes.data<int64_t>();
  T* loss = losses.mutable_data<T>();
  T* max = args.outputs[1].mutable_data<T>();
  T* sum = args.outputs[2].mutable_data<T>();
  ForRows(rows, n, [&](int64_t row, int64_t count) {
    CrossEntropyForward(count, n, px + row * n, pc + row, ignored,
                        static_cast<T>(options.label_smoothing), loss + row,
                        max + row, sum + row);
  });
  if (options.reduction != LossReduction::kNone) {
    const T total = SumKernel(rows, loss);
    // Divided, not multiplied by a rounded reciprocal.
    const int64_t count = options.reduction == LossReduction::kMean
                              ? std::max<int64_t>(1, Counted(classes, ignored))
                              : 1;
    *args.outputs[0].mutable_data<T>() = total / static_cast<T>(count);
  }
  return absl::OkStatus();
}

// Inputs logits, targets, max, sum, dloss; output dlogits.
absl::Status InferBackward(const InferArgs& args) {
  args.outputs[0] = {args.input(0).shape(), args.input(0).dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const auto& options = args.attrs.Get<CrossEntropyOptions>();
  const Tensor& x = args.input(0);
  const int64_t n = x.dim(x.rank() - 1);
  const int64_t rows = x.num_elements() / n;
  const int64_t ignored = options.ignore_index;
  SEPTET_ASSIGN_OR_RETURN(Tensor classes, Classes(args.input(1), n, ignored));
  const T* px = x.data<T>();
  const int64_t* pc = classes.data<int64_t>();
  const T* max = args.input(2).data<T>();
  const T* sum = args.input(3).data<T>();
  const T* dloss = args.input(4).data<T>();
  T* dx = args.outputs[0].mutable_data<T>();
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  T factor = 0;
  const T* g = dloss;
  int64_t pitch = 1;
  if (options.reduction != LossReduction::kNone) {
    factor =
        *dloss * static_cast<T>(RowWeight(options.reduction, classes, ignored));
    g = &factor;
    pitch = 0;
  }
  ForRows(rows, n, [&](int64_t row, int64_t count) {
    CrossEntropyBackward(count, n, px + row * n, pc + row, ignored,
                         static_cast<T>(options.label_smoothing), max + row,
                         sum + row, g + row * pitch, pitch, dx + row * n, mode);
  });
  return absl::OkStatus();
}

const Op& GradOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "cross_entropy_grad";
    def.infer = &InferBackward;
    def.differentiable = false;  // called on constants only
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

// What the rows' losses are made of: the class of each row, 0 where it is
// ignored, and a mask of those that count.
struct Rows {
  Var classes;  // i64 [..., 1]
  Var counted;  // bool [...]
  double weight;
};

absl::StatusOr<Rows> MakeRows(const Tensor& targets, int64_t n, int64_t ignored,
                              LossReduction reduction) {
  SEPTET_ASSIGN_OR_RETURN(Tensor classes, Classes(targets, n, ignored));
  SEPTET_ASSIGN_OR_RETURN(Tensor safe, classes.Clone());
  SEPTET_ASSIGN_OR_RETURN(Tensor counted,
                          Tensor::Empty(targets.shape(), DType::kBool));
  for (int64_t i = 0; i < classes.num_elements(); ++i) {
    const bool counts = classes.data<int64_t>()[i] != ignored;
    counted.mutable_data<bool>()[i] = counts;
    if (!counts) safe.mutable_data<int64_t>()[i] = 0;
  }
  return Rows{Unsqueeze(safe, -1), counted,
              RowWeight(reduction, classes, ignored)};
}

// The loss of rows that count, put together.
Var Combine(const Var& losses, const Rows& rows, LossReduction reduction) {
  const Var kept =
      Where(rows.counted, losses, Tensor::Scalar(0.0, losses.dtype()));
  if (reduction == LossReduction::kNone) return kept;
  return Scale(Sum(kept), rows.weight);
}

Var Pick(const Var& x, const Rows& rows) {
  return Squeeze(Gather(x, -1, rows.classes), -1);
}

void Composite(CompositeArgs& args) {
  const auto& options = args.attrs.Get<CrossEntropyOptions>();
  const int64_t n = args.inputs[0].dim(args.inputs[0].rank() - 1);
  absl::StatusOr<Rows> rows = MakeRows(args.inputs[1].tensor(), n,
                                       options.ignore_index, options.reduction);
  if (!rows.ok()) {
    args.outputs[0] = AnnotateStatus(rows.status(), "cross_entropy");
    return;
  }
  // Whatever is in rows that are ignored has no part in derivatives.
  const Var x = Where(Unsqueeze(rows->counted, -1), args.inputs[0],
                      Tensor::Scalar(0.0, args.inputs[0].dtype()));
  const Var max = Max(x.Detach(), {-1}, {/*keep_dims=*/true});
  const Var shifted = Sub(x, max);
  const Var sum = Sum(Exp(shifted), {-1});
  const double e = options.label_smoothing;
  Var losses = Log(sum);
  if (e != 1) losses = Sub(losses, Scale(Pick(shifted, *rows), 1 - e));
  if (e != 0) losses = Sub(losses, Scale(Mean(shifted, {-1}), e));
  args.outputs[0] = Combine(losses, *rows, options.reduction);
  args.outputs[1] = Squeeze(max, -1);
  args.outputs[2] = sum.Detach();
}

const Op& CrossEntropyOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "cross_entropy";
    def.num_outputs = 3;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = [](VjpArgs& args) {
      if (!args.Needs(0)) return;
      args.grads[0] = Apply(GradOp(),
                            {&args.inputs[0], &args.inputs[1], &args.outputs[1],
                             &args.outputs[2], &args.cotangents[0]},
                            args.attrs);
    };
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

Var CrossEntropy(const Var& logits, const Var& targets,
                 const CrossEntropyOptions& options) {
  return ApplyMulti(CrossEntropyOp(), {&logits, &targets}, options)[0];
}

Var Nll(const Var& log_probs, const Var& targets, const NllOptions& options) {
  for (const Var* input : {&log_probs, &targets}) {
    if (!input->ok()) return input->status();
  }
  absl::Status status =
      RequireClasses("log_probs", log_probs.tensor(), targets.tensor());
  if (!status.ok()) return AnnotateStatus(status, "nll");
  absl::StatusOr<Rows> rows =
      MakeRows(targets.tensor(), log_probs.dim(log_probs.rank() - 1),
               options.ignore_index, options.reduction);
  if (!rows.ok()) return AnnotateStatus(rows.status(), "nll");
  return Combine(Neg(Pick(log_probs, *rows)), *rows, options.reduction);
}

}  // namespace septet
