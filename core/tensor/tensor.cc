// SPDX-License-Identifier: Apache-2.0
#include "septet/core/tensor/tensor.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/tensor/allocator.h"

namespace septet {
namespace tensor_internal {

static_assert(sizeof(Storage) <= kTensorAlignment,
              "the header fills one alignment unit, the data follow");

void DestroyStorage(Storage* storage) {
  if (storage->block_bytes == 0) {
    if (*storage->release) (*storage->release)();
    delete storage->release;
    delete storage;
    return;
  }
  const size_t block_bytes = storage->block_bytes;
  storage->~Storage();
  CpuAllocator().Free(storage, block_bytes);
}

}  // namespace tensor_internal

namespace {

using tensor_internal::Storage;
using tensor_internal::StorageRef;

// Tiles in which a transposed tensor is copied: a cache line of the input from
// each of few enough rows that they do not drive one another out, even where
// their distance is a power of two.
constexpr int64_t kTileRows = 16;
constexpr int64_t kTileColumns = 8;

// Calls copy(in element, out element) once for each element of the shape, in
// some order. `in` has the given strides, `out` too; both in elements.
template <typename In, typename Out, typename Copy>
void ForEachPair(const Shape& shape, absl::Span<const int64_t> in_strides,
                 absl::Span<const int64_t> out_strides, const In* in, Out* out,
                 Copy copy) {
  const int rank = shape.rank();
  if (shape.num_elements() == 0) return;
  if (rank == 0) {
    copy(*in, *out);
    return;
  }
  int64_t index[kMaxRank] = {};
  const int64_t inner = shape[rank - 1];
  const int64_t in_step = in_strides[rank - 1];
  const int64_t out_step = out_strides[rank - 1];
  // The axis along which the input's elements are neighbours, if the last is
  // not: it is walked together with the last, and not by the loop below.
  int rows_axis = -1;
  if (in_step != 1 && inner > 1) {
    for (int axis = rank - 2; axis >= 0; --axis) {
      if (in_strides[axis] == 1 && shape[axis] > 1) rows_axis = axis;
    }
  }
  const int64_t rows = rows_axis < 0 ? 1 : shape[rows_axis];
  const int64_t out_row = rows_axis < 0 ? 0 : out_strides[rows_axis];
  for (;;) {
    if (rows_axis < 0) {
      for (int64_t i = 0; i < inner; ++i) {
        copy(in[i * in_step], out[i * out_step]);
      }
    } else {
      for (int64_t row = 0; row < rows; row += kTileRows) {
        const int64_t row_end = std::min(rows, row + kTileRows);
        for (int64_t i = 0; i < inner; i += kTileColumns) {
          const int64_t i_end = std::min(inner, i + kTileColumns);
          for (int64_t r = row; r < row_end; ++r) {
            for (int64_t j = i; j < i_end; ++j) {
              copy(in[j * in_step + r], out[r * out_row + j * out_step]);
            }
          }
        }
      }
    }
    int axis = rank - 2;
    for (; axis >= 0; --axis) {
      if (axis == rows_axis) continue;
      in += in_strides[axis];
      out += out_strides[axis];
      if (++index[axis] < shape[axis]) break;
      in -= in_strides[axis] * shape[axis];
      out -= out_strides[axis] * shape[axis];
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

}  // namespace

Tensor Tensor::WithLayout(StorageRef storage, int64_t byte_offset,
                          const Shape& shape, DType dtype) {
  Tensor tensor;
  tensor.storage_ = std::move(storage);
  tensor.byte_offset_ = byte_offset;
  tensor.dtype_ = dtype;
  tensor.defined_.set = true;
  tensor.shape_ = shape;
  tensor.SetRowMajorStrides();
  return tensor;
}

void Tensor::SetRowMajorStrides() {
  int64_t stride = 1;
  for (int axis = rank() - 1; axis >= 0; --axis) {
    strides_[axis] = stride;
    // An empty tensor's strides must not all become 0.
    stride *= std::max<int64_t>(shape_[axis], 1);
  }
}

absl::StatusOr<Tensor> Tensor::Empty(const Shape& shape, DType dtype,
                                     Device device) {
  if (device.type != DeviceType::kCpu) {
    return absl::UnimplementedError(absl::StrCat("no memory on device ",
                                                 device.ToString(),
                                                 " in this build; it has cpu"));
  }
  int64_t bytes;
  if (__builtin_mul_overflow(shape.num_elements(),
                             static_cast<int64_t>(DTypeSize(dtype)), &bytes) ||
      bytes > (int64_t{1} << 55)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a tensor of ", DTypeName(dtype), " ", shape.ToString(),
                     " needs more bytes than an address space has"));
  }
  const size_t block_bytes = kTensorAlignment + static_cast<size_t>(bytes);
  void* block = CpuAllocator().Allocate(block_bytes);
  if (block == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for a tensor of ", DTypeName(dtype), " ",
                     shape.ToString(), ", ", bytes, " bytes; ",
                     CpuAllocator().Stats().live_bytes, " are in use"));
  }
  auto* storage = new (block) Storage;
  storage->data = static_cast<char*>(block) + kTensorAlignment;
  storage->bytes = bytes;
  storage->block_bytes = block_bytes;
  storage->device = device;
  return WithLayout(StorageRef(storage), 0, shape, dtype);
}

absl::StatusOr<Tensor> Tensor::Zeros(const Shape& shape, DType dtype,
                                     Device device) {
  SEPTET_ASSIGN_OR_RETURN(Tensor tensor, Empty(shape, dtype, device));
  // All element types have zero as all bits zero.
  std::memset(tensor.raw_mutable_data(), 0, tensor.storage_->bytes);
  return tensor;
}

absl::StatusOr<Tensor> Tensor::Full(const Shape& shape, double value,
                                    DType dtype, Device device) {
  SEPTET_ASSIGN_OR_RETURN(Tensor tensor, Empty(shape, dtype, device));
  DispatchDType(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* data = tensor.mutable_data<T>();
    std::fill(data, data + shape.num_elements(), ConvertElement<T>(value));
  });
  return tensor;
}

absl::StatusOr<Tensor> Tensor::FromExternal(const void* data,
                                            const Shape& shape, DType dtype,
                                            bool read_only,
                                            std::function<void()> release) {
  if (data == nullptr && shape.num_elements() > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("external memory for ", DTypeName(dtype), " ",
                     shape.ToString(), " is null"));
  }
  if (reinterpret_cast<uintptr_t>(data) % DTypeSize(dtype) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "external memory for ", DTypeName(dtype), " ", shape.ToString(),
        " must be aligned to ", DTypeSize(dtype), " bytes"));
  }
  auto* storage = new Storage;
  storage->data = const_cast<void*>(data);
  storage->bytes = shape.num_elements() * DTypeSize(dtype);
  storage->read_only = read_only;
  storage->release = new std::function<void()>(std::move(release));
  return WithLayout(StorageRef(storage), 0, shape, dtype);
}

bool Tensor::IsContiguous() const {
  if (num_elements() == 0) return true;
  int64_t expected = 1;
  for (int axis = rank() - 1; axis >= 0; --axis) {
    const int64_t extent = shape_[axis];
    if (extent == 1) continue;
    if (strides_[axis] != expected) return false;
    expected *= extent;
  }
  return true;
}

absl::StatusOr<Tensor> Tensor::Reshape(absl::Span<const int64_t> dims) const {
  SEPTET_CHECK(defined());
  const auto asked = [&] {
    return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
  };
  // Work out an extent of -1.
  int64_t resolved[kMaxRank];
  int64_t known = 1;
  int inferred = -1;
  if (dims.size() > kMaxRank) {
    return absl::InvalidArgumentError(
        absl::StrCat("reshape: rank of ", asked(), " is above ", kMaxRank));
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    resolved[i] = dims[i];
    if (dims[i] == -1 && inferred < 0) {
      inferred = static_cast<int>(i);
    } else if (dims[i] < 0 || __builtin_mul_overflow(known, dims[i], &known)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "reshape: ", asked(), " is not a shape (one extent may be -1)"));
    }
  }
  const int64_t total = num_elements();
  if (inferred >= 0) {
    if (known == 0 || total % known != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("reshape: ", total, " elements of ", shape_.ToString(),
                       " do not fit ", asked()));
    }
    resolved[inferred] = total / known;
    known = total;
  }
  if (known != total) {
    return absl::InvalidArgumentError(
        absl::StrCat("reshape: ", shape_.ToString(), " has ", total,
                     " elements, ", asked(), " has ", known));
  }
  SEPTET_ASSIGN_OR_RETURN(
      Shape shape, Shape::Create(absl::MakeConstSpan(resolved, dims.size())));
  Tensor view = WithLayout(storage_, byte_offset_, shape, dtype_);
  if (total == 0 || IsContiguous()) return view;

  // Old and new axes are walked together from the last; a group of old axes
  // that one stride describes may be cut anew at will.
  int new_axis = shape.rank() - 1;
  for (int axis = rank() - 1; axis >= 0;) {
    const int64_t stride = strides_[axis];
    int64_t group = shape_[axis];
    --axis;
    while (axis >= 0 &&
           (shape_[axis] == 1 || strides_[axis] == stride * group)) {
      group *= shape_[axis];
      --axis;
    }
    int64_t cut = 1;
    while (new_axis >= 0 && (cut < group || shape[new_axis] == 1)) {
      view.strides_[new_axis] = stride * cut;
      cut *= shape[new_axis];
      --new_axis;
    }
    if (cut != group) {
      return absl::FailedPreconditionError(absl::StrCat(
          "reshape: strides [", absl::StrJoin(strides(), ", "), "] of ",
          shape_.ToString(), " do not allow ", asked(), " without a copy"));
    }
  }
  return view;
}

absl::StatusOr<Tensor> Tensor::Permute(absl::Span<const int64_t> axes) const {
  SEPTET_CHECK(defined());
  const auto bad = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        "permute: [", absl::StrJoin(axes, ", "),
        "] is not a permutation of the axes of ", shape_.ToString()));
  };
  if (static_cast<int>(axes.size()) != rank()) return bad();
  bool seen[kMaxRank] = {};
  int64_t dims[kMaxRank];
  Tensor view = *this;
  for (int i = 0; i < rank(); ++i) {
    absl::StatusOr<int> axis = ResolveAxis(axes[i], rank());
    if (!axis.ok() || seen[*axis]) return bad();
    seen[*axis] = true;
    dims[i] = shape_[*axis];
    view.strides_[i] = strides_[*axis];
  }
  view.shape_ = Shape(absl::MakeConstSpan(dims, rank()));
  return view;
}

absl::StatusOr<Tensor> Tensor::Slice(int64_t axis, int64_t begin, int64_t end,
                                     int64_t step) const {
  SEPTET_CHECK(defined());
  SEPTET_ASSIGN_OR_RETURN(int resolved, ResolveAxis(axis, rank()),
                          _ << "slice of " << shape_);
  if (begin < 0 || begin > end || end > dim(resolved) || step < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "slice: [", begin, ", ", end, ") in steps of ", step,
        " is not within axis ", resolved, " of ", shape_.ToString()));
  }
  Tensor view = *this;
  const int64_t extent = begin == end ? 0 : (end - begin - 1) / step + 1;
  view.shape_ = shape_.WithDim(resolved, extent);
  // The address of an empty view must stay inside, too.
  if (view.num_elements() > 0) {
    view.byte_offset_ +=
        begin * strides_[resolved] * static_cast<int64_t>(DTypeSize(dtype_));
  }
  // A single element needs no stride, and a step may be too large for one.
  if (extent > 1) view.strides_[resolved] *= step;
  return view;
}

absl::StatusOr<Tensor> Tensor::BroadcastTo(const Shape& shape) const {
  SEPTET_CHECK(defined());
  Tensor view = *this;
  view.shape_ = shape;
  const int added = shape.rank() - rank();
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const int64_t from = axis < added ? 1 : shape_[axis - added];
    if (added < 0 || (from != shape[axis] && from != 1)) break;
    view.strides_[axis] =
        axis < added || from != shape[axis] ? 0 : strides_[axis - added];
    if (axis == shape.rank() - 1) return view;
  }
  if (added == 0 && shape.rank() == 0) return view;
  return absl::InvalidArgumentError(
      absl::StrCat("broadcast_to: ", shape_.ToString(),
                   " does not broadcast to ", shape.ToString()));
}

absl::StatusOr<Tensor> Tensor::Contiguous() const {
  if (IsContiguous()) return *this;
  return Clone();
}

absl::StatusOr<Tensor> Tensor::Clone() const {
  SEPTET_CHECK(defined());
  SEPTET_ASSIGN_OR_RETURN(Tensor copy, Empty(shape_, dtype_, device()));
  SEPTET_RETURN_IF_ERROR(copy.CopyFrom(*this));
  return copy;
}

absl::StatusOr<Tensor> Tensor::To(DType dtype) const {
  SEPTET_CHECK(defined());
  if (dtype == dtype_) return *this;
  SEPTET_ASSIGN_OR_RETURN(Tensor copy, Empty(shape_, dtype, device()));
  SEPTET_RETURN_IF_ERROR(copy.CopyFrom(*this));
  return copy;
}

absl::Status Tensor::CopyFrom(const Tensor& source) const {
  SEPTET_CHECK(has_storage() && source.has_storage());
  if (shape_ != source.shape_) {
    return absl::InvalidArgumentError(
        absl::StrCat("copy: source is ", source.shape_.ToString(),
                     ", destination is ", shape_.ToString()));
  }
  if (IsReadOnly()) {
    return absl::FailedPreconditionError(
        absl::StrCat("copy: destination ", DebugString(), " is read-only"));
  }
  if (num_elements() == 0) return absl::OkStatus();
  if (dtype_ == source.dtype_ && IsContiguous() && source.IsContiguous()) {
    std::memcpy(raw_mutable_data(), source.raw_data(),
                num_elements() * DTypeSize(dtype_));
    return absl::OkStatus();
  }
  DispatchDType(source.dtype_, [&](auto from) {
    using From = decltype(from);
    DispatchDType(dtype_, [&](auto to) {
      using To = decltype(to);
      ForEachPair(shape_, source.strides(), strides(), source.data<From>(),
                  mutable_data<To>(),
                  [](From a, To& b) { b = ConvertElement<To>(a); });
    });
  });
  return absl::OkStatus();
}

Tensor Tensor::Meta() const {
  SEPTET_CHECK(defined());
  return WithLayout(StorageRef(), 0, shape_, dtype_);
}

std::string Tensor::DebugString() const {
  if (!defined()) return "undefined tensor";
  return absl::StrCat(DTypeName(dtype_), " ", shape_.ToString());
}

}  // namespace septet
