// SPDX-License-Identifier: Apache-2.0
// A dense array of numbers: shared storage on a device, an offset, a shape,
// strides and an element type. No automatic differentiation inside; that is
// core/autograd's Var.
//
//   absl::StatusOr<Tensor> x = Tensor::FromValues<float>({2, 3}, {1, 2, 3,
//                                                                 4, 5, 6});
//   absl::StatusOr<Tensor> column = x->Slice(/*axis=*/1, 0, 1);  // [2, 1], no
//                                                                // copy
//   float* data = x->mutable_data<float>();                      // row-major
//
// Copying a Tensor copies the handle: both see the same elements, as in
// PyTorch and NumPy. Views (Reshape, Permute, Slice, BroadcastTo) share the
// storage too. Strides are in elements and may be 0 (broadcast); no view makes
// them negative.
// The last reference frees the storage, into the device's caching allocator.
//
// Cost: a handle is 160 bytes and one atomic count; nothing is allocated but
// storage. Reading and writing elements of one storage from several threads
// needs the caller's synchronisation; handles may be copied freely.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_TENSOR_TENSOR_H_
#define SEPTET_CORE_TENSOR_TENSOR_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/tensor/device.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"

namespace septet {

namespace tensor_internal {

// Reference-counted memory. Owned storage lies behind its own header in one
// block of the allocator; external storage is released by a function.
struct Storage {
  std::atomic<int64_t> references{1};
  void* data = nullptr;
  size_t bytes = 0;        // of data
  size_t block_bytes = 0;  // asked of the allocator; 0 for external storage
  Device device;
  bool read_only = false;
  std::function<void()>* release = nullptr;
};

void DestroyStorage(Storage* storage);

class StorageRef {
 public:
  StorageRef() = default;
  // Takes over the reference that the caller has.
  explicit StorageRef(Storage* storage) : storage_(storage) {}
  StorageRef(const StorageRef& other) : storage_(other.storage_) {
    if (storage_) {
      storage_->references.fetch_add(1, std::memory_order_relaxed);
    }
  }
  StorageRef(StorageRef&& other) noexcept
      : storage_(std::exchange(other.storage_, nullptr)) {}
  StorageRef& operator=(StorageRef other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  ~StorageRef() {
    if (storage_ &&
        storage_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      DestroyStorage(storage_);
    }
  }

  Storage* get() const { return storage_; }
  Storage* operator->() const { return storage_; }

 private:
  Storage* storage_ = nullptr;
};

}  // namespace tensor_internal

class Tensor {
 public:
  // No tensor: defined() is false and nothing else may be asked.
  Tensor() = default;

  // Uninitialised elements. ResourceExhausted, with the bytes, if there is no
  // memory; Unimplemented for a device that this build does not have.
  static absl::StatusOr<Tensor> Empty(const Shape& shape, DType dtype,
                                      Device device = Device::Cpu());
  static absl::StatusOr<Tensor> Zeros(const Shape& shape, DType dtype,
                                      Device device = Device::Cpu());
  // Every element is `value`, converted to dtype.
  static absl::StatusOr<Tensor> Full(const Shape& shape, double value,
                                     DType dtype,
                                     Device device = Device::Cpu());
  // Rank 0.
  static absl::StatusOr<Tensor> Scalar(double value, DType dtype) {
    return Full(Shape(), value, dtype);
  }
  // A copy of `values` in row-major order. InvalidArgument if there are not
  // just as many as the shape has elements.
  template <typename T>
  static absl::StatusOr<Tensor> FromValues(
      const Shape& shape,
      absl::Span<const typename std::common_type<T>::type> values);

  // Row-major memory of someone else; `release`, unless it is null, is called
  // when the last reference goes. With read_only, mutable_data() aborts.
  // InvalidArgument if `data` is not aligned for dtype; `release` is not called
  // then.
  static absl::StatusOr<Tensor> FromExternal(const void* data,
                                             const Shape& shape, DType dtype,
                                             bool read_only,
                                             std::function<void()> release);

  bool defined() const { return defined_.set; }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_.get() ? storage_->device : Device(); }
  const Shape& shape() const {
    SEPTET_DCHECK(defined());
    return shape_;
  }
  int rank() const { return shape_.rank(); }
  int64_t dim(int axis) const { return shape_.dim(axis); }
  int64_t num_elements() const { return shape_.num_elements(); }
  // In elements.
  int64_t stride(int axis) const {
    SEPTET_DCHECK(axis >= 0 && axis < rank());
    return strides_[axis];
  }
  absl::Span<const int64_t> strides() const {
    return absl::MakeConstSpan(strides_, rank());
  }

  // Row-major without gaps. Axes of extent 1 may have any stride; a tensor
  // without elements is always contiguous.
  bool IsContiguous() const;

  // False for what Meta() returned.
  bool has_storage() const { return storage_.get() != nullptr; }

  // True for memory that must not be written, such as a mapped file's.
  bool IsReadOnly() const {
    return storage_.get() != nullptr && storage_->read_only;
  }

  // True if no other handle shares the elements.
  bool IsUnique() const {
    return storage_.get() != nullptr &&
           storage_->references.load(std::memory_order_acquire) == 1;
  }
  // True if both handles are views of one storage.
  bool SharesStorageWith(const Tensor& other) const {
    return storage_.get() != nullptr && storage_.get() == other.storage_.get();
  }

  // The first element. T must be the C++ type of dtype(); aborts otherwise.
  template <typename T>
  const T* data() const {
    SEPTET_CHECK(dtype_ == kDTypeOf<T>)
        << "data<" << DTypeName(kDTypeOf<T>) << ">() of a tensor of "
        << DTypeName(dtype_);
    return static_cast<const T*>(raw_data());
  }
  template <typename T>
  T* mutable_data() const {
    SEPTET_CHECK(dtype_ == kDTypeOf<T>)
        << "mutable_data<" << DTypeName(kDTypeOf<T>) << ">() of a tensor of "
        << DTypeName(dtype_);
    return static_cast<T*>(raw_mutable_data());
  }
  const void* raw_data() const {
    SEPTET_DCHECK(has_storage());
    return static_cast<const char*>(storage_->data) + byte_offset_;
  }
  void* raw_mutable_data() const {
    SEPTET_CHECK(has_storage() && !storage_->read_only)
        << "the tensor's memory may not be written";
    return static_cast<char*>(storage_->data) + byte_offset_;
  }

  // Views: same storage. All return InvalidArgument, naming what was asked for
  // and the shape, if it cannot be had.

  // Another shape of as many elements; FailedPrecondition if the strides do
  // not allow it without a copy. At most one extent may be -1: it is inferred.
  absl::StatusOr<Tensor> Reshape(absl::Span<const int64_t> dims) const;
  absl::StatusOr<Tensor> Reshape(std::initializer_list<int64_t> dims) const {
    return Reshape(absl::MakeConstSpan(dims.begin(), dims.size()));
  }
  // Axis i of the result is axis axes[i] of this; axes is a permutation.
  absl::StatusOr<Tensor> Permute(absl::Span<const int64_t> axes) const;
  absl::StatusOr<Tensor> Permute(std::initializer_list<int64_t> axes) const {
    return Permute(absl::MakeConstSpan(axes.begin(), axes.size()));
  }
  // Elements begin, begin + step, ... below end of one axis. 0 <= begin <= end
  // <= extent, step >= 1; the axis may be negative.
  absl::StatusOr<Tensor> Slice(int64_t axis, int64_t begin, int64_t end,
                               int64_t step = 1) const;
  // Axes of extent 1, and missing leading axes, repeat with stride 0.
  absl::StatusOr<Tensor> BroadcastTo(const Shape& shape) const;

  // Copies.

  // This tensor if it is contiguous, else a row-major copy.
  absl::StatusOr<Tensor> Contiguous() const;
  // Always a row-major copy.
  absl::StatusOr<Tensor> Clone() const;
  // Elements converted as ConvertElement says; this tensor if the dtype is the
  // same already.
  absl::StatusOr<Tensor> To(DType dtype) const;
  // Overwrites the elements with those of `source`, converted.
  // InvalidArgument if the shapes differ, FailedPrecondition if this tensor is
  // read-only. The two must not overlap.
  absl::Status CopyFrom(const Tensor& source) const;

  // All elements in row-major order, converted to T.
  template <typename T>
  std::vector<T> ToVector() const;
  // The only element, converted to T; aborts if there is not exactly one.
  template <typename T>
  T item() const;

  // Shape and dtype alone, without the storage.
  Tensor Meta() const;

  // "f32 [2, 3]".
  std::string DebugString() const;

 private:
  // False once the tensor has been moved from.
  struct Flag {
    Flag() = default;
    Flag(const Flag&) = default;
    Flag(Flag&& other) noexcept : set(std::exchange(other.set, false)) {}
    Flag& operator=(Flag other) noexcept {
      set = other.set;
      return *this;
    }
    bool set = false;
  };

  static Tensor WithLayout(tensor_internal::StorageRef storage,
                           int64_t byte_offset, const Shape& shape,
                           DType dtype);
  void SetRowMajorStrides();

  tensor_internal::StorageRef storage_;
  int64_t byte_offset_ = 0;
  DType dtype_ = DType::kF32;
  Flag defined_;
  Shape shape_;
  // Entries from rank() on are never read.
  int64_t strides_[kMaxRank];
};

// ---------------------------------------------------------------------------
// Implementation.

template <typename T>
absl::StatusOr<Tensor> Tensor::FromValues(
    const Shape& shape,
    absl::Span<const typename std::common_type<T>::type> values) {
  if (static_cast<int64_t>(values.size()) != shape.num_elements()) {
    return absl::InvalidArgumentError(
        "shape " + shape.ToString() + " has " +
        std::to_string(shape.num_elements()) + " elements, but " +
        std::to_string(values.size()) + " values were given");
  }
  absl::StatusOr<Tensor> result = Empty(shape, kDTypeOf<T>);
  if (result.ok()) {
    std::copy(values.begin(), values.end(), result->mutable_data<T>());
  }
  return result;
}

template <typename T>
std::vector<T> Tensor::ToVector() const {
  SEPTET_CHECK(has_storage());
  const int64_t n = num_elements();
  std::vector<T> result(n);
  DispatchDType(dtype_, [&](auto zero) {
    using From = decltype(zero);
    std::vector<int64_t> index(rank(), 0);
    const From* element = data<From>();
    for (int64_t i = 0; i < n; ++i) {
      result[i] = ConvertElement<T>(*element);
      for (int axis = rank() - 1; axis >= 0; --axis) {
        element += strides_[axis];
        if (++index[axis] < dim(axis)) break;
        element -= strides_[axis] * dim(axis);
        index[axis] = 0;
      }
    }
  });
  return result;
}

template <typename T>
T Tensor::item() const {
  SEPTET_CHECK_EQ(num_elements(), 1) << "elements, of which item() needs one";
  return DispatchDType(dtype_, [&](auto zero) {
    return ConvertElement<T>(*data<decltype(zero)>());
  });
}

}  // namespace septet

#endif  // SEPTET_CORE_TENSOR_TENSOR_H_
