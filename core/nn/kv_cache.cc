// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/kv_cache.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/validate.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

absl::Status KvCacheOptions::Validate() const {
  constexpr const char* kName = "kv cache";
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "batch", batch, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "capacity", capacity, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "layers", layers, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "kv_heads", kv_heads, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "head_dim", head_dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "extra_dim", extra_dim, 0));
  if (dtype != DType::kF32 && dtype != DType::kF64) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": dtype is ", DTypeName(dtype), ", expected f32 or f64"));
  }
  return absl::OkStatus();
}

absl::StatusOr<KvCache> KvCache::Create(const KvCacheOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  KvCache cache(options);
  const auto add = [&](int64_t dim, std::vector<Tensor>* list) -> absl::Status {
    SEPTET_ASSIGN_OR_RETURN(const Shape shape,
                            Shape::Create({options.batch, options.capacity,
                                           options.kv_heads, dim}));
    for (int64_t i = 0; i < options.layers; ++i) {
      SEPTET_ASSIGN_OR_RETURN(Tensor memory,
                              Tensor::Empty(shape, options.dtype));
      list->push_back(std::move(memory));
    }
    return absl::OkStatus();
  };
  SEPTET_RETURN_IF_ERROR(add(options.head_dim, &cache.keys_)) << "kv cache";
  SEPTET_RETURN_IF_ERROR(add(options.head_dim, &cache.values_)) << "kv cache";
  if (options.extra_dim > 0) {
    SEPTET_RETURN_IF_ERROR(add(options.extra_dim, &cache.extras_))
        << "kv cache";
  }
  cache.padding_.assign(options.batch, 0);
  return cache;
}

int64_t KvCache::bytes() const {
  int64_t elements = 0;
  for (const auto* list : {&keys_, &values_, &extras_}) {
    for (const Tensor& tensor : *list) elements += tensor.num_elements();
  }
  return elements * static_cast<int64_t>(DTypeSize(options_.dtype));
}

absl::StatusOr<KvCache> KvCache::Clone() const {
  std::vector<int64_t> rows(batch());
  for (int64_t i = 0; i < batch(); ++i) rows[i] = i;
  return Select(rows);
}

absl::StatusOr<KvCache> KvCache::Select(absl::Span<const int64_t> rows) const {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] < 0 || rows[i] >= batch()) {
      return absl::InvalidArgumentError(
          absl::StrCat("kv cache: rows[", i, "] is ", rows[i],
                       ", expected 0 to ", batch() - 1));
    }
  }
  KvCacheOptions options = options_;
  options.batch = static_cast<int64_t>(rows.size());
  SEPTET_ASSIGN_OR_RETURN(KvCache result, Create(options));
  const auto copy = [&](const std::vector<Tensor>& from,
                        const std::vector<Tensor>& to) -> absl::Status {
    for (size_t layer = 0; layer < from.size(); ++layer) {
      for (size_t i = 0; i < rows.size(); ++i) {
        SEPTET_ASSIGN_OR_RETURN(Tensor source,
                                from[layer].Slice(0, rows[i], rows[i] + 1));
        SEPTET_ASSIGN_OR_RETURN(source, source.Slice(1, 0, length_));
        SEPTET_ASSIGN_OR_RETURN(Tensor target, to[layer].Slice(0, i, i + 1));
        SEPTET_ASSIGN_OR_RETURN(target, target.Slice(1, 0, length_));
        SEPTET_RETURN_IF_ERROR(target.CopyFrom(source));
      }
    }
    return absl::OkStatus();
  };
  SEPTET_RETURN_IF_ERROR(copy(keys_, result.keys_));
  SEPTET_RETURN_IF_ERROR(copy(values_, result.values_));
  SEPTET_RETURN_IF_ERROR(copy(extras_, result.extras_));
  result.length_ = length_;
  for (size_t i = 0; i < rows.size(); ++i) {
    result.padding_[i] = padding_[rows[i]];
  }
  SEPTET_RETURN_IF_ERROR(result.MakeMask());
  return result;
}

absl::Status KvCache::MakeMask() {
  mask_ = Tensor();
  if (std::all_of(padding_.begin(), padding_.end(),
                  [](int64_t p) { return p == 0; })) {
    return absl::OkStatus();
  }
  SEPTET_ASSIGN_OR_RETURN(mask_,
                          Tensor::Full({batch(), capacity()}, 1, DType::kBool));
  bool* mask = mask_.mutable_data<bool>();
  for (int64_t b = 0; b < batch(); ++b) {
    std::fill_n(mask + b * capacity(), padding_[b], false);
  }
  return absl::OkStatus();
}

absl::Status KvCache::Truncate(int64_t length) {
  if (length < 0 || length > length_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "kv cache: truncate to ", length, " slots, expected 0 to ", length_));
  }
  for (int64_t b = 0; length > 0 && b < batch(); ++b) {
    if (padding_[b] < length) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "kv cache: truncate to ", length, " slots, but row ", b, " begins in ",
        "slot ", padding_[b], ", expected 0 or more than that"));
  }
  length_ = length;
  if (length == 0) {
    padding_.assign(batch(), 0);
    mask_ = Tensor();
  }
  return absl::OkStatus();
}

absl::Status KvCache::CheckRoom(int64_t count) const {
  if (length_ + count <= capacity()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("kv cache is full: ", length_, " of ", capacity(),
                   " slots are filled, ", count, " more asked for"));
}

absl::Status KvCache::SetPadding(absl::Span<const int64_t> padding) {
  if (length_ != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "kv cache: rows of several lengths only begin an empty cache, ",
        length_, " slots are filled"));
  }
  if (static_cast<int64_t>(padding.size()) != batch()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "kv cache: padding for ", padding.size(), " rows, expected ", batch()));
  }
  for (const int64_t p : padding) {
    if (p < 0 || p > capacity()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "kv cache: padding is ", p, ", expected 0 to ", capacity()));
    }
  }
  padding_.assign(padding.begin(), padding.end());
  return MakeMask();
}

absl::Status KvCache::Write(const char* name, int layer, Tensor& memory,
                            int64_t dim, Var* x) {
  SEPTET_RETURN_IF_ERROR(x->status());
  const int64_t count = x->defined() && x->rank() == 4 ? x->dim(1) : 0;
  if (!x->defined() ||
      x->shape() != Shape({batch(), count, options_.kv_heads, dim}) ||
      x->dtype() != options_.dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat("kv cache, layer ", layer, ": ", name, " is ",
                     x->defined() ? x->tensor().DebugString() : "undefined",
                     ", expected ", DTypeName(options_.dtype), " [", batch(),
                     ", T, ", options_.kv_heads, ", ", dim, "]"));
  }
  if (x->tape() != nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "kv cache, layer ", layer, ": ", name,
        " is on a tape, but nothing is differentiated through a cache"));
  }
  SEPTET_RETURN_IF_ERROR(CheckRoom(count));
  SEPTET_ASSIGN_OR_RETURN(const Tensor slots,
                          memory.Slice(1, length_, length_ + count));
  SEPTET_RETURN_IF_ERROR(slots.CopyFrom(x->tensor()));
  *x = memory.Slice(1, 0, length_ + count);
  return absl::OkStatus();
}

absl::Status KvCache::Append(int layer, Var* k, Var* v, Var* extra) {
  SEPTET_CHECK(layer >= 0 && layer < options_.layers) << "layer " << layer;
  SEPTET_RETURN_IF_ERROR(Write("k", layer, keys_[layer], options_.head_dim, k));
  SEPTET_RETURN_IF_ERROR(
      Write("v", layer, values_[layer], options_.head_dim, v));
  if (options_.extra_dim == 0) return absl::OkStatus();
  return Write("extra", layer, extras_[layer], options_.extra_dim, extra);
}

void KvCache::Advance(int64_t count) {
  SEPTET_CHECK(count >= 0 && length_ + count <= capacity());
  length_ += count;
}

Var KvCache::KeyMask(int64_t slots) const {
  if (!mask_.defined()) return Var();
  return mask_.Slice(1, 0, slots);
}

}  // namespace septet
