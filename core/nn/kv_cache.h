// SPDX-License-Identifier: Apache-2.0
// Keys and values of past positions, for decoding token by token.
//
//   KvCacheOptions options;
//   options.batch = 8;
//   options.capacity = 512;
//   options.layers = 12;
//   options.kv_heads = 12;
//   options.head_dim = 64;
//   SEPTET_ASSIGN_OR_RETURN(KvCache cache, KvCache::Create(options));
//   SEPTET_ASSIGN_OR_RETURN(Tensor logits, model.Extend(p, prompts, &cache));
//   while (cache.length() < cache.capacity()) {
//     SEPTET_ASSIGN_OR_RETURN(logits, model.Extend(p, next, &cache));
//   }
//
// Two tensors [B, capacity, H, D] a layer, allocated once. Slots 0..length()-1
// are filled, the same for all rows: prompts of several lengths end in one
// slot, and the shorter ones begin with padding, which no query sees
// (key_mask). So each later step is one write and one attention for all rows.
// A row's token in slot s has the position s - padding(row).
//
// Nothing is differentiated through a cache. One thread at a time.
#ifndef SEPTET_CORE_NN_KV_CACHE_H_
#define SEPTET_CORE_NN_KV_CACHE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct KvCacheOptions {
  int64_t batch = 0;     // rows, >= 1
  int64_t capacity = 0;  // slots, >= 1
  int64_t layers = 0;    // >= 1
  int64_t kv_heads = 0;  // >= 1
  int64_t head_dim = 0;  // of keys and values, >= 1
  // Of what a PositionEncoding keeps beside each key; 0: nothing.
  int64_t extra_dim = 0;
  DType dtype = DType::kF32;  // f32 or f64

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class KvCache {
 public:
  // Errors: those of Validate(); ResourceExhausted.
  static absl::StatusOr<KvCache> Create(const KvCacheOptions& options);

  KvCache(KvCache&&) = default;
  KvCache& operator=(KvCache&&) = default;
  // Clone() says that elements are copied.
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  const KvCacheOptions& options() const { return options_; }
  int64_t batch() const { return options_.batch; }
  int64_t capacity() const { return options_.capacity; }
  // Filled slots.
  int64_t length() const { return length_; }
  // Slots at the start of a row that hold nothing.
  int64_t padding(int64_t row) const { return padding_[row]; }
  bool has_padding() const { return mask_.defined(); }
  // Of all keys, values and extras.
  int64_t bytes() const;

  // Another cache with the same contents, or with rows `rows` of this one, in
  // that order and perhaps repeated: to branch from one prefix, reorder beams,
  // or go on with the rows that are not done. InvalidArgument for a row that
  // is not there, or for no rows; ResourceExhausted.
  absl::StatusOr<KvCache> Clone() const;
  absl::StatusOr<KvCache> Select(absl::Span<const int64_t> rows) const;

  // Forgets all slots from `length` on. InvalidArgument unless 0 <= length <=
  // length(), and if a row would keep nothing but padding. With 0 the padding
  // is forgotten, too.
  absl::Status Truncate(int64_t length);

  // FailedPrecondition, with the numbers, unless `count` more slots are free.
  absl::Status CheckRoom(int64_t count) const;

  // For models. Before the first slot is filled: row b will begin with
  // padding[b] >= 0 empty slots. InvalidArgument for another number of rows;
  // FailedPrecondition if the cache is not empty.
  absl::Status SetPadding(absl::Span<const int64_t> padding);

  // For layers. Writes k, v [B, T, H, D] and, if there are extras, extra [B,
  // T, H, E] to the slots behind length(), and sets them to views of all slots
  // up to and with these, [B, length() + T, H, D]. length() stays as it is:
  // every layer writes, then the model calls Advance(T).
  // Errors: those of its arguments; FailedPrecondition if there is no room or
  // one of them is on a tape; InvalidArgument for another shape or dtype.
  absl::Status Append(int layer, Var* k, Var* v, Var* extra);
  void Advance(int64_t count);

  // bool [B, slots]: false for padding. Undefined if there is none.
  Var KeyMask(int64_t slots) const;

 private:
  explicit KvCache(const KvCacheOptions& options) : options_(options) {}

  absl::Status Write(const char* name, int layer, Tensor& memory, int64_t dim,
                     Var* x);
  absl::Status MakeMask();

  KvCacheOptions options_;
  int64_t length_ = 0;
  std::vector<Tensor> keys_;  // one a layer, [B, capacity, H, D]
  std::vector<Tensor> values_;
  std::vector<Tensor> extras_;
  std::vector<int64_t> padding_;
  Tensor mask_;  // bool [B, capacity], undefined without padding
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_KV_CACHE_H_
