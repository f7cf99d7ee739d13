// SPDX-License-Identifier: Apache-2.0
// What a RetNet keeps of the tokens that sequences have read: one matrix a
// layer and head, of the same size however many there were.
//
//   SEPTET_ASSIGN_OR_RETURN(RetNetPrefill prompt, model.Prefill(p, {tokens}));
//   SEPTET_ASSIGN_OR_RETURN(DecodeCache branch, prompt.cache.Clone());
//   SEPTET_ASSIGN_OR_RETURN(DecodeCache beams, cache.Select({2, 0, 0}));
//   SEPTET_RETURN_IF_ERROR(WriteSafetensors(path, cache.Export()));
//
// Row n of every tensor is a sequence. Nothing is differentiated through a
// cache. One thread at a time.
#ifndef SEPTET_RETENTION_DECODE_CACHE_H_
#define SEPTET_RETENTION_DECODE_CACHE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct DecodeCacheOptions {
  int64_t rows = 0;       // sequences, >= 0
  int64_t layers = 0;     // >= 0
  int64_t heads = 0;      // >= 1
  int64_t key_dim = 0;    // of a head, >= 1
  int64_t value_dim = 0;  // of a head, >= 1
  bool key_sums = false;  // ScoreNorm::kPaper
  // f32 or f64. Not bf16 or f16: gamma S rounds back to S in those once
  // 1 - gamma is below half a unit in the last place, and a state never
  // forgets (retnet.md 4).
  DType dtype = DType::kF32;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class DecodeCache {
 public:
  // No rows, no layers.
  DecodeCache() = default;
  // Sequences that have read nothing. Errors: those of Validate();
  // ResourceExhausted.
  static absl::StatusOr<DecodeCache> Create(const DecodeCacheOptions& options);

  DecodeCache(DecodeCache&&) = default;
  DecodeCache& operator=(DecodeCache&&) = default;
  // Clone() says that elements are copied.
  DecodeCache(const DecodeCache&) = delete;
  DecodeCache& operator=(const DecodeCache&) = delete;

  const DecodeCacheOptions& options() const { return options_; }
  int64_t rows() const { return options_.rows; }
  // Tokens that each sequence has read: the position of its next one.
  absl::Span<const int64_t> positions() const { return positions_; }
  // Of all states and key sums.
  int64_t bytes() const;

  // Another cache with the same contents, or with rows `rows` of this one, in
  // that order and perhaps repeated: to branch from one prompt, reorder beams,
  // or go on with the rows that are not done. InvalidArgument for a row that
  // is not there; ResourceExhausted.
  absl::StatusOr<DecodeCache> Clone() const;
  absl::StatusOr<DecodeCache> Select(absl::Span<const int64_t> rows) const;

  // Adds the rows of `other` behind those of this one. InvalidArgument if it is
  // of another model.
  absl::Status Append(const DecodeCache& other);
  // Takes the rows `rows` out. InvalidArgument for one that is not there.
  absl::Status Erase(absl::Span<const int64_t> rows);

  // For files: "layers.N.s", "layers.N.key_sum" and "positions", sharing this
  // cache's memory; and back. InvalidArgument that names the tensor, what was
  // expected and what is there.
  std::map<std::string, Tensor> Export() const;
  static absl::StatusOr<DecodeCache> Import(
      const std::map<std::string, Tensor>& tensors);

  // For models: [N, H, dk, dv], [N, H, dk] or undefined, and the positions.
  Tensor* state(int64_t layer) { return &states_[static_cast<size_t>(layer)]; }
  Tensor* key_sum(int64_t layer) {
    return &key_sums_[static_cast<size_t>(layer)];
  }
  void Advance(int64_t row, int64_t count) {
    positions_[static_cast<size_t>(row)] += count;
  }

 private:
  explicit DecodeCache(const DecodeCacheOptions& options) : options_(options) {}

  DecodeCacheOptions options_;
  std::vector<Tensor> states_;    // one a layer
  std::vector<Tensor> key_sums_;  // likewise, undefined without
  std::vector<int64_t> positions_;
};

}  // namespace septet

#endif  // SEPTET_RETENTION_DECODE_CACHE_H_
