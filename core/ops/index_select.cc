// SPDX-License-Identifier: Apache-2.0
// Embedding and IndexSelect: whole slices by index.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/index_kernels.h"
#include "septet/core/ops/index_util.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct SelectAttrs {
  int64_t axis;  // not negative
  int64_t n;     // extent of the axis before the selection; for the gradient
};

// Embedding and IndexSelect are one op under two names, for the messages.
struct SelectNames {
  const char* op;
  const char* grad;
  const char* x;
  const char* index;
  const char* range;
};
constexpr SelectNames kSelect = {"index_select", "index_select_grad", "x",
                                 "index", "extent of the axis of x"};
constexpr SelectNames kEmbedding = {"embedding", "embedding_grad", "weight",
                                    "ids", "rows of weight"};

template <bool kEmbed>
constexpr const SelectNames& Names() {
  return kEmbed ? kEmbedding : kSelect;
}

// x.shape() with `axis` replaced by the axes of `index`.
absl::StatusOr<Shape> Replace(const Shape& x, int axis, const Shape& index) {
  int64_t dims[2 * kMaxRank];
  int rank = 0;
  for (int i = 0; i < axis; ++i) dims[rank++] = x[i];
  for (int i = 0; i < index.rank(); ++i) dims[rank++] = index[i];
  for (int i = axis + 1; i < x.rank(); ++i) dims[rank++] = x[i];
  return Shape::Create(absl::MakeConstSpan(dims, rank));
}

template <bool kEmbed>
absl::Status InferSelect(const InferArgs& args) {
  constexpr const SelectNames& names = Names<kEmbed>();
  const Tensor& x = args.input(0);
  const Tensor& index = args.input(1);
  SEPTET_RETURN_IF_ERROR(
      RequireRank(names.x, x, kEmbed ? 2 : 1, kEmbed ? 2 : kMaxRank));
  SEPTET_RETURN_IF_ERROR(RequireIndices(names.index, index));
  if (!kEmbed) {
    SEPTET_RETURN_IF_ERROR(RequireRank(names.index, index, 1, 1));
  }
  SEPTET_ASSIGN_OR_RETURN(
      args.outputs[0].shape,
      Replace(x.shape(), static_cast<int>(args.attrs.Get<SelectAttrs>().axis),
              index.shape()));
  args.outputs[0].dtype = x.dtype();
  return absl::OkStatus();
}

template <int64_t kBytes, typename I>
void MoveSelected(int64_t begin, int64_t end, const I* places, const char* from,
                  char* to) {
  for (int64_t k = begin; k < end; ++k) {
    std::memcpy(to + k * kBytes,
                from + static_cast<int64_t>(places[k]) * kBytes, kBytes);
  }
}

// to [outer, count] = from [outer, n] at `places`, in rows of `bytes` bytes.
template <typename I>
void CopySelected(int64_t outer, int64_t n, int64_t count, const I* places,
                  int64_t bytes, const char* from, char* to) {
  const StoreMode mode = StoreModeFor(outer * count * bytes);
  // A view of small elements may begin anywhere.
  const bool words = bytes % 4 == 0 && bytes >= 16 &&
                     reinterpret_cast<uintptr_t>(from) % 4 == 0;
  const int64_t grain =
      std::max<int64_t>(1, 4 * kElementwiseGrain / (bytes * count));
  // Along the places where they are many; else along the blocks.
  ParallelFor(outer, grain, [&](int64_t first, int64_t last) {
    const int64_t places_grain =
        std::max<int64_t>(1, 4 * kElementwiseGrain / bytes);
    for (int64_t o = first; o < last; ++o) {
      const char* block = from + o * n * bytes;
      char* rows = to + o * count * bytes;
      ParallelFor(count, places_grain, [&](int64_t begin, int64_t end) {
        if (words) {
          CopyRowsKernel(end - begin, places + begin, bytes / 4,
                         reinterpret_cast<const uint32_t*>(block),
                         reinterpret_cast<uint32_t*>(rows + begin * bytes),
                         mode);
          return;
        }
        switch (bytes) {  // an element a row is a move, not a call
          case 4:
            return MoveSelected<4>(begin, end, places, block, rows);
          case 8:
            return MoveSelected<8>(begin, end, places, block, rows);
          default:
            for (int64_t k = begin; k < end; ++k) {
              std::memcpy(rows + k * bytes,
                          block + static_cast<int64_t>(places[k]) * bytes,
                          static_cast<size_t>(bytes));
            }
        }
      });
    }
  });
}

template <bool kEmbed>
absl::Status SelectCpu(const KernelArgs& args) {
  constexpr const SelectNames& names = Names<kEmbed>();
  const Tensor& x = args.input(0);
  const Tensor& index = args.input(1);
  const AxisView view =
      ViewAxis(x.shape(), static_cast<int>(args.attrs.Get<SelectAttrs>().axis));
  SEPTET_RETURN_IF_ERROR(CheckIndices(names.index, index, view.n, names.range));
  const int64_t bytes = view.inner * static_cast<int64_t>(DTypeSize(x.dtype()));
  const int64_t count = index.num_elements();
  const int64_t rows = view.outer * count;
  if (rows == 0 || bytes == 0) return absl::OkStatus();
  const auto* from = static_cast<const char*>(x.raw_data());
  auto* to = static_cast<char*>(args.outputs[0].raw_mutable_data());
  WithIndices(index, [&](const auto* places) {
    CopySelected(view.outer, view.n, count, places, bytes, from, to);
  });
  return absl::OkStatus();
}

// Inputs index, dy; output dx, of whose axis row r is the sum of the rows of dy
// with index r.
absl::Status InferSelectGrad(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<SelectAttrs>();
  const Tensor& index = args.input(0);
  const Tensor& dy = args.input(1);
  int64_t dims[kMaxRank];
  int rank = 0;
  const int axis = static_cast<int>(attrs.axis);
  for (int i = 0; i < axis; ++i) dims[rank++] = dy.dim(i);
  dims[rank++] = attrs.n;
  for (int i = axis + index.rank(); i < dy.rank(); ++i) {
    dims[rank++] = dy.dim(i);
  }
  SEPTET_ASSIGN_OR_RETURN(args.outputs[0].shape,
                          Shape::Create(absl::MakeConstSpan(dims, rank)));
  args.outputs[0].dtype = dy.dtype();
  return absl::OkStatus();
}

// order[starts[r], starts[r + 1]) are the places k with index[k] = r, in
// ascending order. starts has n + 1 elements, order `count`.
template <typename I>
void SortByCounting(const I* index, int64_t count, int64_t n, int64_t* starts,
                    int64_t* order) {
  std::fill_n(starts, n + 1, int64_t{0});
  for (int64_t k = 0; k < count; ++k) ++starts[index[k]];
  int64_t sum = 0;
  for (int64_t r = 0; r <= n; ++r) {
    sum += starts[r];
    starts[r] = sum;  // where row r ends
  }
  for (int64_t k = count - 1; k >= 0; --k) order[--starts[index[k]]] = k;
}

template <typename T>
absl::Status SelectGradCpu(const KernelArgs& args) {
  const Tensor& index = args.input(0);
  const Tensor& dx = args.outputs[0];
  const AxisView view = ViewAxis(
      dx.shape(), static_cast<int>(args.attrs.Get<SelectAttrs>().axis));
  const int64_t count = index.num_elements();
  SEPTET_ASSIGN_OR_RETURN(
      Tensor workspace,
      Tensor::Empty(Shape({view.n + 1 + count}), DType::kI64));
  int64_t* starts = workspace.mutable_data<int64_t>();
  int64_t* order = starts + view.n + 1;
  WithIndices(index, [&](const auto* places) {
    SortByCounting(places, count, view.n, starts, order);
  });
  const T* dy = args.input(1).data<T>();
  T* out = dx.mutable_data<T>();
  const int64_t inner = view.inner;
  const StoreMode mode = StoreModeFor(dx.num_elements() * sizeof(T));
  const int64_t grain =
      std::max<int64_t>(1, kElementwiseGrain / std::max<int64_t>(1, inner));
  // As above: blocks of rows in one block of the outer axes, or whole ones.
  ParallelFor(view.outer,
              std::max<int64_t>(1, grain / std::max<int64_t>(1, view.n)),
              [&](int64_t first, int64_t last) {
                for (int64_t o = first; o < last; ++o) {
                  const T* block = dy + o * count * inner;
                  T* rows = out + o * view.n * inner;
                  ParallelFor(view.n, grain, [&](int64_t begin, int64_t end) {
                    SumRowsKernel(end - begin, starts + begin, order, inner,
                                  block, rows + begin * inner, mode);
                  });
                }
              });
  return absl::OkStatus();
}

Var Select(bool embed, const Var& x, const Var& index, int64_t axis);
Var SelectGrad(bool embed, const Var& index, const Var& dy, int64_t axis,
               int64_t n);

template <bool kEmbed>
const Op& SelectGradOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = Names<kEmbed>().grad;
    def.infer = &InferSelectGrad;
    def.saved_inputs = 1;
    def.dispatch_input = 1;
    def.vjp = [](VjpArgs& args) {
      if (!args.Needs(1)) return;
      args.grads[1] = Select(kEmbed, args.cotangents[0], args.inputs[0],
                             args.attrs.Get<SelectAttrs>().axis);
    };
    def.jvp = [](JvpArgs& args) {
      if (!args.tangents[1].defined()) return;
      const auto& attrs = args.attrs.Get<SelectAttrs>();
      args.output_tangents[0] = SelectGrad(
          kEmbed, args.inputs[0], args.tangents[1], attrs.axis, attrs.n);
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &SelectGradCpu<float>,
                       &SelectGradCpu<double>);
    return registered;
  }();
  return op;
}

template <bool kEmbed>
const Op& SelectOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = Names<kEmbed>().op;
    def.infer = &InferSelect<kEmbed>;
    def.saved_inputs = 2;
    def.vjp = [](VjpArgs& args) {
      if (!args.Needs(0)) return;
      const int64_t axis = args.attrs.Get<SelectAttrs>().axis;
      args.grads[0] =
          SelectGrad(kEmbed, args.inputs[1], args.cotangents[0], axis,
                     args.inputs[0].dim(static_cast<int>(axis)));
    };
    def.jvp = [](JvpArgs& args) {
      if (!args.tangents[0].defined()) return;
      args.output_tangents[0] = Select(kEmbed, args.tangents[0], args.inputs[1],
                                       args.attrs.Get<SelectAttrs>().axis);
    };
    const Op& registered = RegisterOp(def);
    for (const DType dtype : kAllDTypes) {
      RegisterKernel(def.name, DeviceType::kCpu, dtype, "copy",
                     &SelectCpu<kEmbed>);
    }
    return registered;
  }();
  return op;
}

Var Select(bool embed, const Var& x, const Var& index, int64_t axis) {
  return Apply(embed ? SelectOp<true>() : SelectOp<false>(), {&x, &index},
               SelectAttrs{axis, 0});
}

Var SelectGrad(bool embed, const Var& index, const Var& dy, int64_t axis,
               int64_t n) {
  return Apply(embed ? SelectGradOp<true>() : SelectGradOp<false>(),
               {&index, &dy}, SelectAttrs{axis, n});
}

}  // namespace

Var Embedding(const Var& weight, const Var& ids) {
  return Select(/*embed=*/true, weight, ids, 0);
}

Var IndexSelect(const Var& x, int64_t axis, const Var& index) {
  int resolved = 0;
  if (x.ok() && x.defined() && x.rank() > 0) {
    absl::StatusOr<int> found = ResolveAxis(axis, x.rank());
    if (!found.ok()) {
      return AnnotateStatus(
          found.status(),
          absl::StrCat("index_select: axis of x, ", x.tensor().DebugString()));
    }
    resolved = *found;
  }
  return Select(/*embed=*/false, x, index, resolved);
}

}  // namespace septet
