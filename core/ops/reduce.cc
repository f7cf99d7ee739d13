// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/reduce.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// The shape with the axes at extent 1, and without them.
struct Reduced {
  Shape kept;
  Shape dropped;
  int64_t count = 1;  // elements in each reduction
};

absl::StatusOr<Reduced> Reduce(const char* op, const Var& x,
                               absl::Span<const int64_t> axes) {
  SEPTET_RETURN_IF_ERROR(x.status());
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x.tensor())) << op;
  bool reduced[kMaxRank] = {};
  for (const int64_t axis : axes) {
    SEPTET_ASSIGN_OR_RETURN(int resolved, ResolveAxis(axis, x.rank()),
                            _ << op << " of " << x.shape());
    if (reduced[resolved]) {
      return absl::InvalidArgumentError(absl::StrCat(
          op, ": axes [", absl::StrJoin(axes, ", "), "] of ",
          x.shape().ToString(), " name axis ", resolved, " twice"));
    }
    reduced[resolved] = true;
  }
  int64_t kept[kMaxRank];
  int64_t dropped[kMaxRank];
  int num_dropped = 0;
  Reduced result;
  for (int i = 0; i < x.rank(); ++i) {
    const bool reduce = axes.empty() || reduced[i];
    kept[i] = reduce ? 1 : x.dim(i);
    if (reduce) {
      result.count *= x.dim(i);
    } else {
      dropped[num_dropped++] = x.dim(i);
    }
  }
  result.kept = Shape(absl::MakeConstSpan(kept, x.rank()));
  result.dropped = Shape(absl::MakeConstSpan(dropped, num_dropped));
  return result;
}

Var Finish(const Var& result, const Reduced& reduced,
           const ReduceOptions& options) {
  if (options.keep_dims || reduced.kept == reduced.dropped) return result;
  return Reshape(result, reduced.dropped);
}

// The extreme of the last axis of [rows, n].
absl::Status InferExtreme(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 2, 2));
  if (x.dim(1) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("x is ", x.DebugString(), ": nothing to choose from"));
  }
  args.outputs[0] = {Shape({x.dim(0), 1}), x.dtype()};
  return absl::OkStatus();
}

template <ReduceKind kKind, typename T>
absl::Status ExtremeCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  const int64_t n = x.dim(1);
  const T* from = x.data<T>();
  T* to = args.outputs[0].mutable_data<T>();
  ParallelFor(x.dim(0), std::max<int64_t>(1, kElementwiseGrain / n),
              [&](int64_t begin, int64_t end) {
                ReduceKernel(kKind, end - begin, n, 1, from + begin * n,
                             to + begin);
              });
  return absl::OkStatus();
}

// The share of each element in its row's extreme: 1 / (number of equals) where
// it is the extreme. A constant almost everywhere.
Var ExtremeShare(const Var& x, const Var& extreme) {
  const Var one = Tensor::Scalar(1.0, x.dtype());
  const Var zero = Tensor::Scalar(0.0, x.dtype());
  const Var mask = Where(Equal(x, extreme), one, zero);
  return Div(mask, SumTo(mask, extreme.shape()));
}

template <ReduceKind kKind>
const Op& RegisterExtreme(const char* name) {
  OpDef def;
  def.name = name;
  def.infer = &InferExtreme;
  def.saved_inputs = 1;
  def.saved_outputs = 1;
  def.vjp = [](VjpArgs& args) {
    args.grads[0] =
        Mul(args.cotangents[0], ExtremeShare(args.inputs[0], args.outputs[0]));
  };
  def.jvp = [](JvpArgs& args) {
    args.output_tangents[0] = SumTo(
        Mul(args.tangents[0], ExtremeShare(args.inputs[0], args.outputs[0])),
        args.outputs[0].shape());
  };
  const Op& op = RegisterOp(def);
  RegisterCpuKernels(name, "highway", &ExtremeCpu<kKind, float>,
                     &ExtremeCpu<kKind, double>);
  return op;
}

// Brings the reduced axes to the end, as one.
Var Extreme(const Op& op, const Var& x, absl::Span<const int64_t> axes,
            const ReduceOptions& options) {
  absl::StatusOr<Reduced> reduced = Reduce(op.name(), x, axes);
  if (!reduced.ok()) return reduced.status();
  int64_t order[kMaxRank];
  int count = 0;
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < x.rank(); ++i) {
      bool reduce = axes.empty();
      for (const int64_t axis : axes) {
        reduce |= (axis < 0 ? axis + x.rank() : axis) == i;
      }
      if (reduce == (pass == 1)) order[count++] = i;
    }
  }
  const Var rows =
      Reshape(Permute(x, absl::MakeConstSpan(order, x.rank())),
              Shape({reduced->dropped.num_elements(), reduced->count}));
  const Var extreme = Apply(op, {&rows});
  return Reshape(extreme, options.keep_dims ? reduced->kept : reduced->dropped);
}

}  // namespace

Var Sum(const Var& x, absl::Span<const int64_t> axes,
        const ReduceOptions& options) {
  absl::StatusOr<Reduced> reduced = Reduce("sum", x, axes);
  if (!reduced.ok()) return reduced.status();
  return Finish(SumTo(x, reduced->kept), *reduced, options);
}

Var Mean(const Var& x, absl::Span<const int64_t> axes,
         const ReduceOptions& options) {
  absl::StatusOr<Reduced> reduced = Reduce("mean", x, axes);
  if (!reduced.ok()) return reduced.status();
  if (reduced->count == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "mean: no elements to average in x, ", x.tensor().DebugString()));
  }
  const Var sum = SumTo(x, reduced->kept);
  return Finish(Scale(sum, 1.0 / static_cast<double>(reduced->count)), *reduced,
                options);
}

Var Max(const Var& x, absl::Span<const int64_t> axes,
        const ReduceOptions& options) {
  static const Op& op = RegisterExtreme<ReduceKind::kMax>("max");
  return Extreme(op, x, axes, options);
}

Var Min(const Var& x, absl::Span<const int64_t> axes,
        const ReduceOptions& options) {
  static const Op& op = RegisterExtreme<ReduceKind::kMin>("min");
  return Extreme(op, x, axes, options);
}

}  // namespace septet
