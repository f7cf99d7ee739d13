// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/shape_ops.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// The numbers of a shape or an axis list, with -1 allowed.
struct DimsAttrs {
  int64_t count;
  int64_t dims[kMaxRank];

  absl::Span<const int64_t> span() const {
    return absl::MakeConstSpan(dims, count);
  }
};

DimsAttrs MakeDims(absl::Span<const int64_t> dims) {
  DimsAttrs attrs;
  attrs.count = dims.size();
  std::copy(dims.begin(), dims.end(), attrs.dims);
  return attrs;
}

// Attributes hold kMaxRank numbers; more are an error before the op.
absl::Status TooMany(const char* op, size_t count) {
  return absl::InvalidArgumentError(
      absl::StrCat(op, ": ", count, " extents, at most ", kMaxRank));
}

absl::StatusOr<Tensor> ReshapeView(const Tensor& x, const Attrs& attrs) {
  const absl::Span<const int64_t> dims = attrs.Get<DimsAttrs>().span();
  absl::StatusOr<Tensor> view = x.Reshape(dims);
  if (view.ok() || !absl::IsFailedPrecondition(view.status())) return view;
  SEPTET_ASSIGN_OR_RETURN(Tensor packed, x.Contiguous());
  return packed.Reshape(dims);
}

// Views check their attributes themselves.
absl::Status InferView(const InferArgs& args) {
  return RequireDefined("x", args.input(0));
}

const Op& ReshapeOp() {
  static const Op& op = RegisterOp([] {
    OpDef def;
    def.name = "reshape";
    def.infer = &InferView;
    def.view = &ReshapeView;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = Reshape(args.cotangents[0], args.inputs[0].shape());
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          Reshape(args.tangents[0], args.outputs[0].shape());
    };
    return def;
  }());
  return op;
}

Var InversePermute(const Var& x, absl::Span<const int64_t> axes) {
  int64_t inverse[kMaxRank];
  const int rank = static_cast<int>(axes.size());
  for (int i = 0; i < rank; ++i) {
    inverse[axes[i] < 0 ? axes[i] + rank : axes[i]] = i;
  }
  return Permute(x, absl::MakeConstSpan(inverse, rank));
}

const Op& PermuteOp() {
  static const Op& op = RegisterOp([] {
    OpDef def;
    def.name = "permute";
    def.infer = &InferView;
    def.view = [](const Tensor& x, const Attrs& attrs) {
      return x.Permute(attrs.Get<DimsAttrs>().span());
    };
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = InversePermute(args.cotangents[0],
                                     args.attrs.Get<DimsAttrs>().span());
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          Permute(args.tangents[0], args.attrs.Get<DimsAttrs>().span());
    };
    return def;
  }());
  return op;
}

const Op& BroadcastToOp() {
  static const Op& op = RegisterOp([] {
    OpDef def;
    def.name = "broadcast_to";
    def.infer = &InferView;
    def.view = [](const Tensor& x, const Attrs& attrs) {
      return x.BroadcastTo(Shape(attrs.Get<DimsAttrs>().span()));
    };
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = SumTo(args.cotangents[0], args.inputs[0].shape());
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          BroadcastTo(args.tangents[0], args.outputs[0].shape());
    };
    return def;
  }());
  return op;
}

absl::Status InferSumTo(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  const Shape shape(args.attrs.Get<DimsAttrs>().span());
  absl::StatusOr<Shape> common = BroadcastShapes(shape, x.shape());
  if (!common.ok() || *common != x.shape()) {
    return absl::InvalidArgumentError(
        absl::StrCat(shape.ToString(), " does not broadcast to x, which is ",
                     x.DebugString()));
  }
  args.outputs[0] = {shape, x.dtype()};
  return absl::OkStatus();
}

// One pass a run of neighbouring summed axes, the last run first.
template <typename T>
absl::Status SumToCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  const Tensor& out = args.outputs[0];
  const int added = x.rank() - out.rank();
  const auto summed = [&](int axis) {
    return axis < added || out.dim(axis - added) != x.dim(axis);
  };
  Tensor current = x;  // [outer..., run, inner]
  int64_t inner = 1;
  bool done = false;  // `out` has the result
  int axis = x.rank() - 1;
  while (axis >= 0) {
    if (!summed(axis)) {
      inner *= x.dim(axis--);
      continue;
    }
    int64_t n = 1;
    while (axis >= 0 && (summed(axis) || x.dim(axis) == 1)) n *= x.dim(axis--);
    int64_t outer = 1;
    bool last = true;
    for (int i = axis; i >= 0; --i) {
      outer *= x.dim(i);
      last = last && !summed(i);
    }
    Tensor result = out;
    if (!last) {
      SEPTET_ASSIGN_OR_RETURN(
          result, Tensor::Empty(Shape({outer, inner}), x.dtype(), x.device()));
    }
    const T* from = current.data<T>();
    T* to = result.mutable_data<T>();
    const int64_t per_block = std::max<int64_t>(
        1, kElementwiseGrain / std::max<int64_t>(1, n * inner));
    ParallelFor(outer, per_block, [&](int64_t begin, int64_t end) {
      ReduceKernel(ReduceKind::kSum, end - begin, n, inner,
                   from + begin * n * inner, to + begin * inner);
    });
    current = std::move(result);
    done = last;
    if (last) break;
  }
  if (!done) {  // nothing to sum but axes of extent 1
    std::copy(current.data<T>(), current.data<T>() + current.num_elements(),
              out.mutable_data<T>());
  }
  return absl::OkStatus();
}

const Op& SumToOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "sum_to";
    def.infer = &InferSumTo;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = BroadcastTo(args.cotangents[0], args.inputs[0].shape());
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          SumTo(args.tangents[0], args.outputs[0].shape());
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &SumToCpu<float>,
                       &SumToCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var Reshape(const Var& x, absl::Span<const int64_t> dims) {
  if (dims.size() > kMaxRank) return TooMany("reshape", dims.size());
  return Apply(ReshapeOp(), {&x}, MakeDims(dims));
}

Var Permute(const Var& x, absl::Span<const int64_t> axes) {
  if (axes.size() > kMaxRank) return TooMany("permute", axes.size());
  return Apply(PermuteOp(), {&x}, MakeDims(axes));
}

Var Transpose(const Var& x) {
  if (!x.ok() || !x.defined()) return Permute(x, {});
  int64_t axes[kMaxRank];
  for (int i = 0; i < x.rank(); ++i) axes[i] = x.rank() - 1 - i;
  return Permute(x, absl::MakeConstSpan(axes, x.rank()));
}

Var BroadcastTo(const Var& x, const Shape& shape) {
  return Apply(BroadcastToOp(), {&x}, MakeDims(shape.dims()));
}

Var SumTo(const Var& x, const Shape& shape) {
  // Most operands are not broadcast: spare them an op.
  if (x.ok() && x.defined() && x.shape() == shape) return x;
  return Apply(SumToOp(), {&x}, MakeDims(shape.dims()));
}

}  // namespace septet
