// SPDX-License-Identifier: Apache-2.0
// Gather, ScatterAdd and Scatter: one element a position.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/index_util.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct AxisAttrs {
  int64_t axis;  // not negative
  int64_t n;     // extent of the axis that is written to; for sums
};

// Sums of more terms than these are kept in double.
constexpr int64_t kShortSum = 32;

// b has the extents of a but for `axis`.
absl::Status RequireSameBut(int64_t axis, absl::string_view a_name,
                            const Tensor& a, absl::string_view b_name,
                            const Tensor& b) {
  bool same = a.rank() == b.rank();
  for (int i = 0; same && i < a.rank(); ++i) {
    same = i == axis || a.dim(i) == b.dim(i);
  }
  if (same) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      b_name, " is ", b.DebugString(), ", expected the shape of ", a_name, ", ",
      a.shape().ToString(), ", but for axis ", axis));
}

absl::Status RequireSameShape(absl::string_view a_name, const Tensor& a,
                              absl::string_view b_name, const Tensor& b) {
  if (!b.defined()) return RequireDefined(b_name, b);
  if (a.shape() == b.shape()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(b_name, " is ", b.DebugString(), ", expected the shape of ",
                   a_name, ", ", a.shape().ToString()));
}

// Inputs x, index of equal extents but for the axis.
absl::Status InferGather(const InferArgs& args) {
  const Tensor& x = args.input(0);
  const Tensor& index = args.input(1);
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  SEPTET_RETURN_IF_ERROR(RequireIndices("index", index));
  SEPTET_RETURN_IF_ERROR(
      RequireSameBut(args.attrs.Get<AxisAttrs>().axis, "x", x, "index", index));
  args.outputs[0] = {index.shape(), x.dtype()};
  return absl::OkStatus();
}

// Calls fn(place of index and source, outer, k, j) ... in blocks of the outer
// axes, each place in ascending order of k.
template <typename Fn>
void ForOuter(const AxisView& view, const Fn& fn) {
  const int64_t size = std::max<int64_t>(1, view.n * view.inner);
  ParallelFor(view.outer, std::max<int64_t>(1, kElementwiseGrain / size), fn);
}

// T: an unsigned integer of the element's size.
template <typename T>
absl::Status GatherCpu(const KernelArgs& args) {
  const int axis = static_cast<int>(args.attrs.Get<AxisAttrs>().axis);
  const Tensor& x = args.input(0);
  const Tensor& index = args.input(1);
  const AxisView view = ViewAxis(index.shape(), axis);
  const int64_t n = x.dim(axis);
  SEPTET_RETURN_IF_ERROR(
      CheckIndices("index", index, n, absl::StrCat("axis ", axis, " of x")));
  const auto* px = static_cast<const T*>(x.raw_data());
  auto* py = static_cast<T*>(args.outputs[0].raw_mutable_data());
  const int64_t inner = view.inner;
  WithIndices(index, [&](const auto* places) {
    ForOuter(view, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) {
        const T* from = px + o * n * inner;
        for (int64_t k = 0; k < view.n; ++k) {
          const int64_t row = (o * view.n + k) * inner;
          for (int64_t j = 0; j < inner; ++j) {
            py[row + j] =
                from[static_cast<int64_t>(places[row + j]) * inner + j];
          }
        }
      }
    });
  });
  return absl::OkStatus();
}

// Inputs index, source of one shape; output: zeros with source added.
absl::Status InferSum(const InferArgs& args) {
  const Tensor& index = args.input(0);
  const Tensor& source = args.input(1);
  const auto& attrs = args.attrs.Get<AxisAttrs>();
  SEPTET_RETURN_IF_ERROR(RequireRank("index", index, 1, kMaxRank));
  SEPTET_RETURN_IF_ERROR(RequireIndices("index", index));
  SEPTET_RETURN_IF_ERROR(RequireSameShape("index", index, "source", source));
  int64_t dims[kMaxRank];
  for (int i = 0; i < source.rank(); ++i) {
    dims[i] = i == attrs.axis ? attrs.n : source.dim(i);
  }
  SEPTET_ASSIGN_OR_RETURN(
      args.outputs[0].shape,
      Shape::Create(absl::MakeConstSpan(dims, source.rank())));
  args.outputs[0].dtype = source.dtype();
  return absl::OkStatus();
}

// out [outer, n, inner] = 0, then source added in ascending order of k. Sum is
// the type that the sums are kept in.
template <typename T, typename Sum, typename I>
void SumInto(const AxisView& view, int64_t n, const I* places, const T* source,
             Sum* sums) {
  const int64_t inner = view.inner;
  ForOuter(view, [&](int64_t begin, int64_t end) {
    std::fill(sums + begin * n * inner, sums + end * n * inner, Sum(0));
    for (int64_t o = begin; o < end; ++o) {
      Sum* to = sums + o * n * inner;
      for (int64_t k = 0; k < view.n; ++k) {
        const int64_t row = (o * view.n + k) * inner;
        for (int64_t j = 0; j < inner; ++j) {
          to[static_cast<int64_t>(places[row + j]) * inner + j] +=
              static_cast<Sum>(source[row + j]);
        }
      }
    }
  });
}

template <typename T>
absl::Status SumCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<AxisAttrs>();
  const int axis = static_cast<int>(attrs.axis);
  const Tensor& index = args.input(0);
  const Tensor& out = args.outputs[0];
  SEPTET_RETURN_IF_ERROR(CheckIndices("index", index, attrs.n,
                                      absl::StrCat("axis ", axis, " of x")));
  const AxisView view = ViewAxis(index.shape(), axis);
  const T* source = args.input(1).data<T>();
  if (std::is_same_v<T, float> && view.n > kShortSum) {
    SEPTET_ASSIGN_OR_RETURN(Tensor sums,
                            Tensor::Empty(out.shape(), DType::kF64));
    WithIndices(index, [&](const auto* places) {
      SumInto(view, attrs.n, places, source, sums.mutable_data<double>());
    });
    return out.CopyFrom(sums);
  }
  WithIndices(index, [&](const auto* places) {
    SumInto(view, attrs.n, places, source, out.mutable_data<T>());
  });
  return absl::OkStatus();
}

Var GatherOfEqual(const Var& x, int64_t axis, const Var& index);
Var ScatterSum(int64_t axis, int64_t n, const Var& index, const Var& source);

const Op& GatherOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "gather";
    def.infer = &InferGather;
    def.saved_inputs = 2;
    def.vjp = [](VjpArgs& args) {
      if (!args.Needs(0)) return;
      const int64_t axis = args.attrs.Get<AxisAttrs>().axis;
      args.grads[0] =
          ScatterSum(axis, args.inputs[0].dim(static_cast<int>(axis)),
                     args.inputs[1], args.cotangents[0]);
    };
    def.jvp = [](JvpArgs& args) {
      if (!args.tangents[0].defined()) return;
      args.output_tangents[0] = GatherOfEqual(
          args.tangents[0], args.attrs.Get<AxisAttrs>().axis, args.inputs[1]);
    };
    const Op& registered = RegisterOp(def);
    for (const DType dtype : kAllDTypes) {
      const size_t size = DTypeSize(dtype);
      RegisterKernel(def.name, DeviceType::kCpu, dtype, "copy",
                     size == 1   ? &GatherCpu<uint8_t>
                     : size == 2 ? &GatherCpu<uint16_t>
                     : size == 4 ? &GatherCpu<uint32_t>
                                 : &GatherCpu<uint64_t>);
    }
    return registered;
  }();
  return op;
}

const Op& SumOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "scatter_sum";
    def.infer = &InferSum;
    def.saved_inputs = 1;
    def.dispatch_input = 1;
    def.vjp = [](VjpArgs& args) {
      if (!args.Needs(1)) return;
      args.grads[1] = GatherOfEqual(
          args.cotangents[0], args.attrs.Get<AxisAttrs>().axis, args.inputs[0]);
    };
    def.jvp = [](JvpArgs& args) {
      if (!args.tangents[1].defined()) return;
      const auto& attrs = args.attrs.Get<AxisAttrs>();
      args.output_tangents[0] =
          ScatterSum(attrs.axis, attrs.n, args.inputs[0], args.tangents[1]);
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "loop", &SumCpu<float>, &SumCpu<double>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kI32, "loop",
                   &SumCpu<int32_t>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kI64, "loop",
                   &SumCpu<int64_t>);
    return registered;
  }();
  return op;
}

Var GatherOfEqual(const Var& x, int64_t axis, const Var& index) {
  return Apply(GatherOp(), {&x, &index}, AxisAttrs{axis, 0});
}

Var ScatterSum(int64_t axis, int64_t n, const Var& index, const Var& source) {
  return Apply(SumOp(), {&index, &source}, AxisAttrs{axis, n});
}

// Inputs x, index, source.
absl::Status InferScatter(const InferArgs& args) {
  const Tensor& x = args.input(0);
  const Tensor& index = args.input(1);
  const Tensor& source = args.input(2);
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  SEPTET_RETURN_IF_ERROR(RequireIndices("index", index));
  SEPTET_RETURN_IF_ERROR(
      RequireSameBut(args.attrs.Get<AxisAttrs>().axis, "x", x, "index", index));
  SEPTET_RETURN_IF_ERROR(RequireSameShape("index", index, "source", source));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "source", source));
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status ScatterCpu(const KernelArgs& args) {
  const int axis = static_cast<int>(args.attrs.Get<AxisAttrs>().axis);
  const Tensor& x = args.input(0);
  const Tensor& index = args.input(1);
  const AxisView view = ViewAxis(index.shape(), axis);
  const int64_t n = x.dim(axis);
  const int64_t inner = view.inner;
  SEPTET_RETURN_IF_ERROR(
      CheckIndices("index", index, n, absl::StrCat("axis ", axis, " of x")));
  const auto* px = static_cast<const T*>(x.raw_data());
  const auto* source = static_cast<const T*>(args.input(2).raw_data());
  auto* py = static_cast<T*>(args.outputs[0].raw_mutable_data());
  WithIndices(index, [&](const auto* places) {
    ForOuter(ViewAxis(x.shape(), axis), [&](int64_t begin, int64_t end) {
      std::copy(px + begin * n * inner, px + end * n * inner,
                py + begin * n * inner);
      for (int64_t o = begin; o < end; ++o) {
        T* to = py + o * n * inner;
        for (int64_t k = 0; k < view.n; ++k) {
          const int64_t row = (o * view.n + k) * inner;
          for (int64_t j = 0; j < inner; ++j) {
            to[static_cast<int64_t>(places[row + j]) * inner + j] =
                source[row + j];
          }
        }
      }
    });
  });
  return absl::OkStatus();
}

Var ScatterOf(const Var& x, int64_t axis, const Var& index, const Var& source);

Var ZerosLike(const Shape& shape, DType dtype) {
  return Tensor::Zeros(shape, dtype);
}

// bool, of the shape of index: which elements of the source stay, because no
// later one goes to the same place.
Var Survivors(const Var& index, int64_t axis, const Shape& x) {
  absl::StatusOr<Tensor> numbers = Tensor::Empty(index.shape(), DType::kI64);
  if (!numbers.ok()) return numbers.status();
  auto* data = numbers->mutable_data<int64_t>();
  for (int64_t i = 0; i < numbers->num_elements(); ++i) data[i] = i;
  const Var placed =
      ScatterOf(ZerosLike(x, DType::kI64), axis, index, *numbers);
  return Equal(GatherOfEqual(placed, axis, index), *numbers);
}

const Op& ScatterOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "scatter";
    def.infer = &InferScatter;
    def.saved_inputs = 2;
    def.vjp = [](VjpArgs& args) {
      const int64_t axis = args.attrs.Get<AxisAttrs>().axis;
      const Var& index = args.inputs[1];
      const Var& g = args.cotangents[0];
      const Var zero = Tensor::Scalar(0.0, g.dtype());
      if (args.Needs(0)) {
        args.grads[0] =
            ScatterOf(g, axis, index, ZerosLike(index.shape(), g.dtype()));
      }
      if (args.Needs(2)) {
        args.grads[2] = Where(Survivors(index, axis, args.inputs[0].shape()),
                              GatherOfEqual(g, axis, index), zero);
      }
    };
    def.jvp = [](JvpArgs& args) {
      const Var& index = args.inputs[1];
      const Var& y = args.outputs[0];
      args.output_tangents[0] = ScatterOf(
          args.tangents[0].defined() ? args.tangents[0]
                                     : ZerosLike(y.shape(), y.dtype()),
          args.attrs.Get<AxisAttrs>().axis, index,
          args.tangents[2].defined() ? args.tangents[2]
                                     : ZerosLike(index.shape(), y.dtype()));
    };
    const Op& registered = RegisterOp(def);
    for (const DType dtype : kAllDTypes) {
      const size_t size = DTypeSize(dtype);
      RegisterKernel(def.name, DeviceType::kCpu, dtype, "copy",
                     size == 1   ? &ScatterCpu<uint8_t>
                     : size == 2 ? &ScatterCpu<uint16_t>
                     : size == 4 ? &ScatterCpu<uint32_t>
                                 : &ScatterCpu<uint64_t>);
    }
    return registered;
  }();
  return op;
}

Var ScatterOf(const Var& x, int64_t axis, const Var& index, const Var& source) {
  return Apply(ScatterOp(), {&x, &index, &source}, AxisAttrs{axis, 0});
}

// The axis as a number >= 0. Where x is of no use the op says so itself.
absl::StatusOr<int64_t> Axis(const char* op, int64_t axis, const Var& x) {
  if (!x.ok()) return x.status();
  if (!x.defined() || x.rank() == 0) return 0;
  SEPTET_ASSIGN_OR_RETURN(
      int resolved, ResolveAxis(axis, x.rank()),
      _ << op << ": axis of x, " << x.tensor().DebugString());
  return resolved;
}

}  // namespace

Var Gather(const Var& x, int64_t axis, const Var& index) {
  absl::StatusOr<int64_t> resolved = Axis("gather", axis, x);
  if (!resolved.ok()) return resolved.status();
  Var part = x;
  if (x.defined() && index.ok() && index.defined() &&
      index.rank() == x.rank()) {
    for (int i = 0; i < x.rank(); ++i) {
      if (i != *resolved && index.dim(i) < x.dim(i)) {
        part = Slice(part, i, 0, index.dim(i));
      }
    }
  }
  return GatherOfEqual(part, *resolved, index);
}

Var ScatterAdd(const Var& x, int64_t axis, const Var& index,
               const Var& source) {
  absl::StatusOr<int64_t> resolved = Axis("scatter_add", axis, x);
  if (!resolved.ok()) return resolved.status();
  for (const Var* input : {&index, &source}) {
    if (!input->ok()) return input->status();
  }
  absl::Status status = RequireRank("x", x.tensor(), 1, kMaxRank);
  if (status.ok()) status = RequireIndices("index", index.tensor());
  if (status.ok()) {
    status =
        RequireSameBut(*resolved, "x", x.tensor(), "index", index.tensor());
  }
  if (status.ok()) {
    status =
        RequireSameShape("index", index.tensor(), "source", source.tensor());
  }
  if (status.ok()) {
    status = RequireSameDType("x", x.tensor(), "source", source.tensor());
  }
  if (!status.ok()) return AnnotateStatus(status, "scatter_add");
  return Add(x, ScatterSum(*resolved, x.dim(static_cast<int>(*resolved)), index,
                           source));
}

Var Scatter(const Var& x, int64_t axis, const Var& index, const Var& source) {
  absl::StatusOr<int64_t> resolved = Axis("scatter", axis, x);
  if (!resolved.ok()) return resolved.status();
  return ScatterOf(x, *resolved, index, source);
}

}  // namespace septet
