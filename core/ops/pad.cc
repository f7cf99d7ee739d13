// SPDX-License-Identifier: Apache-2.0
// Padding and rearranging along an axis: Pad, Flip, Roll, Tile, Repeat,
// Squeeze, Unsqueeze.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/concat.h"
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

struct PadAttrs {
  double value;
  int32_t before[kMaxRank];
  int32_t after[kMaxRank];
};

absl::Status InferPad(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<PadAttrs>();
  const Tensor& x = args.input(0);
  int64_t dims[kMaxRank];
  for (int i = 0; i < x.rank(); ++i) {
    dims[i] = x.dim(i) + attrs.before[i] + attrs.after[i];
  }
  SEPTET_ASSIGN_OR_RETURN(args.outputs[0].shape,
                          Shape::Create(absl::MakeConstSpan(dims, x.rank())));
  args.outputs[0].dtype = x.dtype();
  return absl::OkStatus();
}

// T: an unsigned integer of the element's size.
template <typename T>
absl::Status PadCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<PadAttrs>();
  const Tensor& x = args.input(0);
  const Tensor& y = args.outputs[0];
  if (y.num_elements() == 0) return absl::OkStatus();
  T fill;
  DispatchDType(x.dtype(), [&](auto zero) {
    const auto value = ConvertElement<decltype(zero)>(attrs.value);
    std::memcpy(&fill, &value, std::min(sizeof(fill), sizeof(value)));
  });
  const auto* px = static_cast<const T*>(x.raw_data());
  auto* py = static_cast<T*>(y.raw_mutable_data());
  // The last axis that is padded, with those behind it, is copied row by row.
  int last = x.rank() - 1;
  int64_t inner = 1;
  while (last > 0 && attrs.before[last] == 0 && attrs.after[last] == 0) {
    inner *= x.dim(last--);
  }
  const int64_t row = inner * (last < 0 ? 1 : y.dim(last));
  const int64_t copied = inner * (last < 0 ? 1 : x.dim(last));
  const int64_t before = last < 0 ? 0 : inner * attrs.before[last];
  const int64_t rows = y.num_elements() / row;
  const int64_t grain = std::max<int64_t>(1, kElementwiseGrain / row);
  ParallelFor(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      // The row of x, if it has one.
      int64_t from = 0;
      int64_t rest = r;
      int64_t pitch = 1;
      bool inside = true;
      for (int axis = last - 1; axis >= 0; --axis) {
        const int64_t i = rest % y.dim(axis) - attrs.before[axis];
        rest /= y.dim(axis);
        inside = inside && i >= 0 && i < x.dim(axis);
        from += i * pitch;
        pitch *= x.dim(axis);
      }
      T* to = py + r * row;
      if (!inside) {
        std::fill_n(to, row, fill);
        continue;
      }
      std::fill_n(to, before, fill);
      std::copy_n(px + from * copied, copied, to + before);
      std::fill_n(to + before + copied, row - before - copied, fill);
    }
  });
  return absl::OkStatus();
}

Kernel BySize(DType dtype, Kernel one, Kernel two, Kernel four, Kernel eight) {
  switch (DTypeSize(dtype)) {
    case 1:
      return one;
    case 2:
      return two;
    case 4:
      return four;
    default:
      return eight;
  }
}

Var PadConstant(const Var& x, const PadAttrs& attrs);

const Op& PadOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "pad";
    def.infer = &InferPad;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      const auto& attrs = args.attrs.Get<PadAttrs>();
      Var dx = args.cotangents[0];
      const Shape& shape = args.inputs[0].shape();
      for (int i = 0; i < shape.rank(); ++i) {
        if (attrs.before[i] == 0 && attrs.after[i] == 0) continue;
        dx = Slice(dx, i, attrs.before[i], attrs.before[i] + shape[i]);
      }
      args.grads[0] = dx;
    };
    def.jvp = [](JvpArgs& args) {
      PadAttrs attrs = args.attrs.Get<PadAttrs>();
      attrs.value = 0;
      args.output_tangents[0] = PadConstant(args.tangents[0], attrs);
    };
    const Op& registered = RegisterOp(def);
    for (const DType dtype : kAllDTypes) {
      RegisterKernel(def.name, DeviceType::kCpu, dtype, "copy",
                     BySize(dtype, &PadCpu<uint8_t>, &PadCpu<uint16_t>,
                            &PadCpu<uint32_t>, &PadCpu<uint64_t>));
    }
    return registered;
  }();
  return op;
}

Var PadConstant(const Var& x, const PadAttrs& attrs) {
  return Apply(PadOp(), {&x}, attrs);
}

// One axis, with what the mode puts there, out of pieces of x.
Var PadAxis(const Var& x, int axis, int64_t before, int64_t after,
            PadMode mode) {
  const int64_t n = x.dim(axis);
  Var left;
  Var right;
  switch (mode) {
    case PadMode::kReflect:
      left = Flip(Slice(x, axis, 1, 1 + before), axis);
      right = Flip(Slice(x, axis, n - 1 - after, n - 1), axis);
      break;
    case PadMode::kEdge:
      left = Repeat(Slice(x, axis, 0, 1), axis, before);
      right = Repeat(Slice(x, axis, n - 1, n), axis, after);
      break;
    default:
      left = Slice(x, axis, n - before, n);
      right = Slice(x, axis, 0, after);
  }
  if (before == 0) return Concat({x, right}, axis);
  if (after == 0) return Concat({left, x}, axis);
  return Concat({left, x, right}, axis);
}

struct FlipAttrs {
  int64_t axis;  // not negative
};

absl::Status FlipCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  if (x.num_elements() == 0) return absl::OkStatus();
  const AxisView view =
      ViewAxis(x.shape(), static_cast<int>(args.attrs.Get<FlipAttrs>().axis));
  const int64_t unit = view.inner * static_cast<int64_t>(DTypeSize(x.dtype()));
  const int64_t pitch = view.n * unit;
  const auto* from = static_cast<const char*>(x.raw_data());
  auto* to = static_cast<char*>(args.outputs[0].raw_mutable_data());
  ParallelFor(view.outer, std::max<int64_t>(1, 4 * kElementwiseGrain / pitch),
              [&](int64_t begin, int64_t end) {
                for (int64_t o = begin; o < end; ++o) {
                  CopyRows(view.n, unit, from + o * pitch + pitch - unit, -unit,
                           to + o * pitch, unit);
                }
              });
  return absl::OkStatus();
}

const Op& FlipOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "flip";
    def.infer = [](const InferArgs& args) -> absl::Status {
      const Tensor& x = args.input(0);
      SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
      args.outputs[0] = {x.shape(), x.dtype()};
      return absl::OkStatus();
    };
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] =
          Flip(args.cotangents[0], args.attrs.Get<FlipAttrs>().axis);
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          Flip(args.tangents[0], args.attrs.Get<FlipAttrs>().axis);
    };
    const Op& registered = RegisterOp(def);
    for (const DType dtype : kAllDTypes) {
      RegisterKernel(def.name, DeviceType::kCpu, dtype, "copy", &FlipCpu);
    }
    return registered;
  }();
  return op;
}

// The axis of x, an undefined or failed x and a bad axis being errors that name
// the op.
absl::StatusOr<int> Axis(const char* op, const Var& x, int64_t axis) {
  SEPTET_RETURN_IF_ERROR(x.status());
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x.tensor(), 1, kMaxRank)) << op;
  SEPTET_ASSIGN_OR_RETURN(
      int resolved, ResolveAxis(axis, x.rank()),
      _ << op << ": axis of x, " << x.tensor().DebugString());
  return resolved;
}

// a b a b (or a a b b) as a broadcast axis beside the axis, joined with it.
Var Multiply(const char* op, const Var& x, int64_t axis, int64_t times,
             bool inside) {
  absl::StatusOr<int> found = Axis(op, x, axis);
  if (!found.ok()) return found.status();
  const int resolved = *found;
  if (times < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": times is ", times, ", expected >= 0"));
  }
  const AxisView view = ViewAxis(x.shape(), resolved);
  // Nothing stays nothing, however often.
  if (view.n == 0) return x;
  int64_t dims[kMaxRank];
  std::copy(x.shape().dims().begin(), x.shape().dims().end(), dims);
  if (times > std::numeric_limits<int64_t>::max() / view.n) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": times is ", times,
                                                   ", too many for x, ",
                                                   x.tensor().DebugString()));
  }
  dims[resolved] *= times;
  absl::StatusOr<Shape> shape =
      Shape::Create(absl::MakeConstSpan(dims, x.rank()));
  if (!shape.ok()) return AnnotateStatus(shape.status(), op);
  const Var flat = inside ? Reshape(x, {view.outer, view.n, 1, view.inner})
                          : Reshape(x, {view.outer, 1, view.n, view.inner});
  const Var wide =
      inside
          ? BroadcastTo(flat, Shape({view.outer, view.n, times, view.inner}))
          : BroadcastTo(flat, Shape({view.outer, times, view.n, view.inner}));
  return Reshape(wide, *shape);
}

}  // namespace

Var Pad(const Var& x, absl::Span<const int64_t> before,
        absl::Span<const int64_t> after, const PadOptions& options) {
  if (!x.ok()) return x.status();
  if (absl::Status status = RequireDefined("x", x.tensor()); !status.ok()) {
    return AnnotateStatus(status, "pad");
  }
  const auto rank = static_cast<size_t>(x.rank());
  if (before.size() != rank || after.size() != rank) {
    return absl::InvalidArgumentError(absl::StrCat(
        "pad: before has ", before.size(), " numbers, after ", after.size(),
        ", expected one an axis of x, ", x.tensor().DebugString()));
  }
  PadAttrs attrs = {};
  attrs.value = options.value;
  bool any = false;
  for (size_t i = 0; i < rank; ++i) {
    const int64_t n = x.dim(static_cast<int>(i));
    int64_t limit = std::numeric_limits<int32_t>::max();
    if (options.mode == PadMode::kReflect) limit = std::max<int64_t>(0, n - 1);
    if (options.mode == PadMode::kCircular) limit = n;
    if (options.mode == PadMode::kEdge && n == 0) limit = 0;
    for (const int64_t width : {before[i], after[i]}) {
      if (width < 0 || width > limit) {
        return absl::InvalidArgumentError(absl::StrCat(
            "pad: ", before[i], " before and ", after[i], " after axis ", i,
            " of x, ", x.tensor().DebugString(), ", expected 0 to ", limit));
      }
      any = any || width > 0;
    }
    attrs.before[i] = static_cast<int32_t>(before[i]);
    attrs.after[i] = static_cast<int32_t>(after[i]);
  }
  if (!any) return x;
  if (options.mode == PadMode::kConstant) return PadConstant(x, attrs);
  Var y = x;
  for (size_t i = 0; i < rank; ++i) {
    if (before[i] == 0 && after[i] == 0) continue;
    y = PadAxis(y, static_cast<int>(i), before[i], after[i], options.mode);
    if (!y.ok()) return AnnotateStatus(y.status(), "pad");
  }
  return y;
}

Var Flip(const Var& x, int64_t axis) {
  absl::StatusOr<int> resolved = Axis("flip", x, axis);
  if (!resolved.ok()) return resolved.status();
  return Apply(FlipOp(), {&x}, FlipAttrs{*resolved});
}

Var Roll(const Var& x, int64_t axis, int64_t shift) {
  absl::StatusOr<int> resolved = Axis("roll", x, axis);
  if (!resolved.ok()) return resolved.status();
  const int64_t n = x.dim(*resolved);
  int64_t places = n == 0 ? 0 : shift % n;
  if (places < 0) places += n;
  if (places == 0) return x;
  return Concat(
      {Slice(x, *resolved, n - places, n), Slice(x, *resolved, 0, n - places)},
      *resolved);
}

Var Tile(const Var& x, int64_t axis, int64_t times) {
  return Multiply("tile", x, axis, times, /*inside=*/false);
}

Var Repeat(const Var& x, int64_t axis, int64_t times) {
  return Multiply("repeat", x, axis, times, /*inside=*/true);
}

Var Squeeze(const Var& x, int64_t axis) {
  absl::StatusOr<int> resolved = Axis("squeeze", x, axis);
  if (!resolved.ok()) return resolved.status();
  if (x.dim(*resolved) != 1) {
    return AnnotateStatus(
        RequireExtent("x", x.tensor(), *resolved, 1, "to be left out"),
        "squeeze");
  }
  int64_t dims[kMaxRank];
  int rank = 0;
  for (int i = 0; i < x.rank(); ++i) {
    if (i != *resolved) dims[rank++] = x.dim(i);
  }
  return Reshape(x, absl::MakeConstSpan(dims, rank));
}

Var Unsqueeze(const Var& x, int64_t axis) {
  if (!x.ok()) return x.status();
  absl::Status status = RequireRank("x", x.tensor(), 0, kMaxRank - 1);
  if (!status.ok()) return AnnotateStatus(status, "unsqueeze");
  absl::StatusOr<int> resolved = ResolveAxis(axis, x.rank() + 1);
  if (!resolved.ok()) {
    return AnnotateStatus(resolved.status(),
                          absl::StrCat("unsqueeze: axis beside those of x, ",
                                       x.tensor().DebugString()));
  }
  int64_t dims[kMaxRank];
  for (int i = 0, from = 0; i <= x.rank(); ++i) {
    dims[i] = i == *resolved ? 1 : x.dim(from++);
  }
  return Reshape(x, absl::MakeConstSpan(dims, x.rank() + 1));
}

}  // namespace septet
