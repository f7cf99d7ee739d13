// SPDX-License-Identifier: Apache-2.0
// Joining and cutting: Concat, Stack, Slice, Split, Chunk.
#include "septet/core/ops/concat.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/copy_rows.h"
#include "septet/core/ops/index_util.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ops_internal::CopyRows;

struct ConcatAttrs {
  int64_t axis;  // not negative
};

// Part i can follow part 0.
absl::Status CheckPart(const Tensor& first, size_t i, const Tensor& part,
                       int64_t axis) {
  const std::string name = absl::StrCat("part ", i);
  SEPTET_RETURN_IF_ERROR(RequireSameDType("part 0", first, name, part));
  bool fits = part.rank() == first.rank();
  for (int a = 0; fits && a < part.rank(); ++a) {
    fits = a == axis || part.dim(a) == first.dim(a);
  }
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is ", part.DebugString(), ", expected the shape of part 0, ",
      first.shape().ToString(), ", but for axis ", axis));
}

absl::Status InferConcat(const InferArgs& args) {
  const int64_t axis = args.attrs.Get<ConcatAttrs>().axis;
  const Tensor& first = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireRank("part 0", first, 1, kMaxRank));
  int64_t extent = 0;
  for (size_t i = 0; i < args.inputs.size(); ++i) {
    const Tensor& part = *args.inputs[i];
    SEPTET_RETURN_IF_ERROR(CheckPart(first, i, part, axis));
    if (__builtin_add_overflow(extent, part.dim(static_cast<int>(axis)),
                               &extent)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the parts have more elements along axis ", axis,
                       " than fit into 63 bits"));
    }
  }
  int64_t dims[kMaxRank];
  std::copy(first.shape().dims().begin(), first.shape().dims().end(), dims);
  dims[axis] = extent;
  SEPTET_ASSIGN_OR_RETURN(
      args.outputs[0].shape,
      Shape::Create(absl::MakeConstSpan(dims, first.rank())));
  args.outputs[0].dtype = first.dtype();
  return absl::OkStatus();
}

absl::Status ConcatCpu(const KernelArgs& args) {
  const Tensor& out = args.outputs[0];
  const AxisView view = ViewAxis(
      out.shape(), static_cast<int>(args.attrs.Get<ConcatAttrs>().axis));
  const int64_t unit =
      view.inner * static_cast<int64_t>(DTypeSize(out.dtype()));
  auto* to = static_cast<char*>(out.raw_mutable_data());
  const int64_t pitch = view.n * unit;
  if (out.num_elements() == 0) return absl::OkStatus();
  if (view.outer == 1) {
    for (const Tensor* part : args.inputs) {
      if (part->num_elements() == 0) continue;
      const auto* from = static_cast<const char*>(part->raw_data());
      const int64_t bytes =
          part->num_elements() * static_cast<int64_t>(DTypeSize(out.dtype()));
      ParallelFor(bytes, 4 * kElementwiseGrain,
                  [&](int64_t begin, int64_t end) {
                    std::memcpy(to + begin, from + begin,
                                static_cast<size_t>(end - begin));
                  });
      to += bytes;
    }
    return absl::OkStatus();
  }
  const int64_t grain = std::max<int64_t>(1, 4 * kElementwiseGrain / pitch);
  ParallelFor(view.outer, grain, [&](int64_t begin, int64_t end) {
    char* column = to + begin * pitch;
    for (const Tensor* part : args.inputs) {
      if (part->num_elements() == 0) continue;
      const int64_t bytes = part->num_elements() / view.outer *
                            static_cast<int64_t>(DTypeSize(out.dtype()));
      CopyRows(end - begin, bytes,
               static_cast<const char*>(part->raw_data()) + begin * bytes,
               bytes, column, pitch);
      column += bytes;
    }
  });
  return absl::OkStatus();
}

Var ZerosLike(const Var& x) { return Tensor::Zeros(x.shape(), x.dtype()); }

// At most 64 parts.
Var ApplyConcat(absl::Span<const Var> parts, int64_t axis);

const Op& ConcatOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "concat";
    def.infer = &InferConcat;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      const int64_t axis = args.attrs.Get<ConcatAttrs>().axis;
      int64_t begin = 0;
      for (size_t i = 0; i < args.inputs.size(); ++i) {
        const int64_t end = begin + args.inputs[i].dim(static_cast<int>(axis));
        if (args.Needs(static_cast<int>(i))) {
          args.grads[i] = Slice(args.cotangents[0], axis, begin, end);
        }
        begin = end;
      }
    };
    def.jvp = [](JvpArgs& args) {
      absl::InlinedVector<Var, 4> tangents;
      for (size_t i = 0; i < args.inputs.size(); ++i) {
        tangents.push_back(args.tangents[i].defined()
                               ? args.tangents[i]
                               : ZerosLike(args.inputs[i]));
      }
      args.output_tangents[0] =
          ApplyConcat(tangents, args.attrs.Get<ConcatAttrs>().axis);
    };
    const Op& registered = RegisterOp(def);
    for (const DType dtype : kAllDTypes) {
      RegisterKernel(def.name, DeviceType::kCpu, dtype, "copy", &ConcatCpu);
    }
    return registered;
  }();
  return op;
}

Var ApplyConcat(absl::Span<const Var> parts, int64_t axis) {
  absl::InlinedVector<const Var*, 8> inputs;
  for (const Var& part : parts) inputs.push_back(&part);
  return Apply(ConcatOp(), inputs, ConcatAttrs{axis});
}

// The most inputs of an op.
constexpr size_t kMaxParts = 64;

struct SliceAttrs {
  int64_t axis;  // not negative
  int64_t begin;
  int64_t end;
  int64_t step;
  int64_t extent;  // of the axis before the slice; for the gradient
};

Var SliceGrad(const Var& dy, const SliceAttrs& attrs);

const Op& SliceOp() {
  static const Op& op = RegisterOp([] {
    OpDef def;
    def.name = "slice";
    def.infer = [](const InferArgs& args) {
      return RequireDefined("x", args.input(0));
    };
    def.view = [](const Tensor& x, const Attrs& attrs) {
      const auto& slice = attrs.Get<SliceAttrs>();
      return x.Slice(slice.axis, slice.begin, slice.end, slice.step);
    };
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      SliceAttrs attrs = args.attrs.Get<SliceAttrs>();
      // The tensor has resolved a negative axis; so must we.
      if (attrs.axis < 0) attrs.axis += args.inputs[0].rank();
      attrs.extent = args.inputs[0].dim(static_cast<int>(attrs.axis));
      args.grads[0] = SliceGrad(args.cotangents[0], attrs);
    };
    def.jvp = [](JvpArgs& args) {
      const auto& attrs = args.attrs.Get<SliceAttrs>();
      args.output_tangents[0] = Slice(args.tangents[0], attrs.axis, attrs.begin,
                                      attrs.end, attrs.step);
    };
    return def;
  }());
  return op;
}

// dy at the places of the slice, zeros elsewhere.
absl::Status SliceGradCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<SliceAttrs>();
  const Tensor& dy = args.input(0);
  const Tensor& dx = args.outputs[0];
  const int axis = static_cast<int>(attrs.axis);
  const AxisView view = ViewAxis(dx.shape(), axis);
  const int64_t unit = view.inner * static_cast<int64_t>(DTypeSize(dx.dtype()));
  const int64_t pitch = view.n * unit;
  const int64_t count = dy.dim(axis);
  if (dx.num_elements() == 0) return absl::OkStatus();
  const auto* from = static_cast<const char*>(dy.raw_data());
  auto* to = static_cast<char*>(dx.raw_mutable_data());
  const int64_t grain = std::max<int64_t>(1, 4 * kElementwiseGrain / pitch);
  ParallelFor(view.outer, grain, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      char* row = to + o * pitch;
      char* first = row + attrs.begin * unit;
      if (count > 0 && attrs.step == 1) {
        char* last = first + count * unit;
        std::memset(row, 0, static_cast<size_t>(first - row));
        std::memset(last, 0, static_cast<size_t>(row + pitch - last));
      } else {
        std::memset(row, 0, static_cast<size_t>(pitch));
      }
      if (count > 0) {
        CopyRows(count, unit, from + o * count * unit, unit, first,
                 attrs.step * unit);
      }
    }
  });
  return absl::OkStatus();
}

const Op& SliceGradOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "slice_grad";
    def.infer = [](const InferArgs& args) -> absl::Status {
      const auto& attrs = args.attrs.Get<SliceAttrs>();
      const Tensor& dy = args.input(0);
      args.outputs[0] = {
          dy.shape().WithDim(static_cast<int>(attrs.axis), attrs.extent),
          dy.dtype()};
      return absl::OkStatus();
    };
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      const auto& attrs = args.attrs.Get<SliceAttrs>();
      args.grads[0] = Slice(args.cotangents[0], attrs.axis, attrs.begin,
                            attrs.end, attrs.step);
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          SliceGrad(args.tangents[0], args.attrs.Get<SliceAttrs>());
    };
    const Op& registered = RegisterOp(def);
    for (const DType dtype : {DType::kF32, DType::kF64}) {
      RegisterKernel(def.name, DeviceType::kCpu, dtype, "copy", &SliceGradCpu);
    }
    return registered;
  }();
  return op;
}

Var SliceGrad(const Var& dy, const SliceAttrs& attrs) {
  return Apply(SliceGradOp(), {&dy}, attrs);
}

// What fits into the attributes.
constexpr int kMaxSplit = 10;

struct SplitAttrs {
  int64_t axis;  // not negative
  int64_t sizes[kMaxSplit];
};

// The op with `parts` outputs. The sizes have been checked.
const Op& SplitOp(int parts) {
  static const auto* const ops = [] {
    auto* list = new std::vector<const Op*>;
    for (int outputs = 1; outputs <= kMaxSplit; ++outputs) {
      OpDef def;
      // Registered ops keep the name themselves.
      const std::string name = absl::StrCat("split_", outputs);
      def.name = name.c_str();
      def.num_outputs = outputs;
      def.infer = [](const InferArgs& args) {
        return RequireDefined("x", args.input(0));
      };
      def.views = [](const Tensor& x, const Attrs& attrs,
                     absl::Span<Tensor> views) -> absl::Status {
        const auto& split = attrs.Get<SplitAttrs>();
        int64_t begin = 0;
        for (size_t i = 0; i < views.size(); ++i) {
          const int64_t end = begin + split.sizes[i];
          SEPTET_ASSIGN_OR_RETURN(views[i], x.Slice(split.axis, begin, end));
          begin = end;
        }
        return absl::OkStatus();
      };
      def.saved_inputs = 0;
      def.vjp = [](VjpArgs& args) {
        absl::InlinedVector<Var, kMaxSplit> parts;
        for (size_t i = 0; i < args.outputs.size(); ++i) {
          if (args.cotangents[i].defined()) {
            parts.push_back(args.cotangents[i]);
          } else {
            parts.push_back(Tensor::Zeros(args.outputs[i].shape(),
                                          args.outputs[i].dtype()));
          }
        }
        args.grads[0] = ApplyConcat(parts, args.attrs.Get<SplitAttrs>().axis);
      };
      def.jvp = [](JvpArgs& args) {
        const auto& attrs = args.attrs.Get<SplitAttrs>();
        const std::vector<Var> parts = Split(
            args.tangents[0],
            absl::MakeConstSpan(attrs.sizes, args.outputs.size()), attrs.axis);
        std::copy(parts.begin(), parts.end(), args.output_tangents.begin());
      };
      list->push_back(&RegisterOp(def));
    }
    return list;
  }();
  return *(*ops)[static_cast<size_t>(parts - 1)];
}

absl::StatusOr<int> SplitAxis(const char* op, const Var& x, int64_t axis) {
  SEPTET_RETURN_IF_ERROR(x.status());
  SEPTET_RETURN_IF_ERROR(RequireDefined("x", x.tensor())) << op;
  SEPTET_ASSIGN_OR_RETURN(
      int resolved, ResolveAxis(axis, x.rank()),
      _ << op << ": axis of x, " << x.tensor().DebugString());
  return resolved;
}

// One error a part, and at least one.
std::vector<Var> Failed(size_t parts, const absl::Status& status) {
  std::vector<Var> result;
  do {
    result.emplace_back(status);
  } while (result.size() < parts);
  return result;
}

}  // namespace

Var Concat(absl::Span<const Var> parts, int64_t axis) {
  if (parts.empty()) {
    return absl::InvalidArgumentError("concat: no parts, expected at least 1");
  }
  for (const Var& part : parts) {
    if (!part.ok()) return part.status();
  }
  if (!parts[0].defined()) return ApplyConcat(parts.subspan(0, 1), 0);
  if (parts[0].rank() > 0) {
    absl::StatusOr<int> resolved = ResolveAxis(axis, parts[0].rank());
    if (!resolved.ok()) {
      return AnnotateStatus(resolved.status(),
                            absl::StrCat("concat: axis of part 0, ",
                                         parts[0].tensor().DebugString()));
    }
    axis = *resolved;
  }
  if (parts.size() <= kMaxParts) return ApplyConcat(parts, axis);
  // The ops of the tree would count parts from their own first one.
  absl::Status status = RequireRank("part 0", parts[0].tensor(), 1, kMaxRank);
  for (size_t i = 0; status.ok() && i < parts.size(); ++i) {
    status = CheckPart(parts[0].tensor(), i, parts[i].tensor(), axis);
  }
  if (!status.ok()) return AnnotateStatus(status, "concat");
  // In a tree of ops, so that a thousand parts are copied twice.
  std::vector<Var> joined;
  for (size_t i = 0; i < parts.size(); i += kMaxParts) {
    joined.push_back(ApplyConcat(parts.subspan(i, kMaxParts), axis));
  }
  return Concat(joined, axis);
}

Var Stack(absl::Span<const Var> parts, int64_t axis) {
  if (parts.empty()) {
    return absl::InvalidArgumentError("stack: no parts, expected at least 1");
  }
  std::vector<Var> rows;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].ok()) return parts[i].status();
    if (!parts[i].defined()) {
      return AnnotateStatus(
          RequireDefined(absl::StrCat("part ", i), parts[i].tensor()), "stack");
    }
    if (parts[i].shape() != parts[0].shape()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "stack: part ", i, " is ", parts[i].tensor().DebugString(),
          ", expected the shape of part 0, ", parts[0].shape().ToString()));
    }
    rows.push_back(Unsqueeze(parts[i], axis));
    if (!rows.back().ok()) {
      return AnnotateStatus(rows.back().status(), "stack");
    }
  }
  return Concat(rows, axis < 0 ? axis + parts[0].rank() + 1 : axis);
}

Var Slice(const Var& x, int64_t axis, int64_t begin, int64_t end,
          int64_t step) {
  return Apply(SliceOp(), {&x}, SliceAttrs{axis, begin, end, step, 0});
}

std::vector<Var> Split(const Var& x, absl::Span<const int64_t> sizes,
                       int64_t axis) {
  absl::StatusOr<int> resolved = SplitAxis("split", x, axis);
  if (!resolved.ok()) return Failed(sizes.size(), resolved.status());
  int64_t rest = x.dim(*resolved);
  for (const int64_t size : sizes) {
    if (size < 0 || size > rest) {
      rest = -1;
      break;
    }
    rest -= size;
  }
  if (rest != 0 || sizes.empty()) {
    return Failed(sizes.size(),
                  absl::InvalidArgumentError(absl::StrCat(
                      "split: sizes [", absl::StrJoin(sizes, ", "),
                      "], expected ", x.dim(*resolved), " in all (axis ",
                      *resolved, " of x, ", x.tensor().DebugString(), ")")));
  }
  std::vector<Var> parts;
  if (sizes.size() <= kMaxSplit) {
    SplitAttrs attrs;
    attrs.axis = *resolved;
    std::fill_n(attrs.sizes, kMaxSplit, int64_t{0});
    std::copy(sizes.begin(), sizes.end(), attrs.sizes);
    const VarVector views =
        ApplyMulti(SplitOp(static_cast<int>(sizes.size())), {&x}, attrs);
    parts.assign(views.begin(), views.end());
    return parts;
  }
  int64_t begin = 0;
  for (const int64_t size : sizes) {
    parts.push_back(Slice(x, *resolved, begin, begin + size));
    begin += size;
  }
  return parts;
}

std::vector<Var> Chunk(const Var& x, int64_t parts, int64_t axis) {
  absl::StatusOr<int> resolved = SplitAxis("chunk", x, axis);
  if (!resolved.ok()) return Failed(1, resolved.status());
  const int64_t extent = x.dim(*resolved);
  if (parts < 1 || parts > std::max<int64_t>(1, extent) ||
      extent % parts != 0) {
    return Failed(
        1, absl::InvalidArgumentError(absl::StrCat(
               "chunk: ", parts, " parts of axis ", *resolved, " of x, ",
               x.tensor().DebugString(), ", expected a divisor of ", extent)));
  }
  const std::vector<int64_t> sizes(static_cast<size_t>(parts), extent / parts);
  return Split(x, sizes, *resolved);
}

}  // namespace septet
