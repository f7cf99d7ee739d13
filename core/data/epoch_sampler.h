// SPDX-License-Identifier: Apache-2.0
// Which items a batch has, as a function of the number of the batch.
//
//   EpochSamplerOptions options;
//   options.size = images.size();
//   options.batch = 128;
//   options.seed = seed;
//   SEPTET_ASSIGN_OR_RETURN(EpochSampler sampler,
//                           EpochSampler::Create(options));
//   for (int64_t step = first; step < steps; ++step) {
//     absl::Span<const int64_t> items = sampler.Batch(step);  // 128 indices
//
// An epoch shows every item once. Epoch e is cut into batches in the order
// of permutation number e of 0..size-1 (Permutation, core/random; ascending
// without shuffle), so that batch b is batch b mod batches_per_epoch() of
// epoch b / batches_per_epoch(). The last batch of an epoch has the size mod
// batch items that are left, or is left out with drop_last: other items each
// epoch, if they are shuffled.
//
// So the cursor of a run is one integer, the number of the next batch: a
// sampler made anew goes on where another one was. Batch b is the same
// whatever was asked before it.
//
// Cost: O(size) time at the first batch of another epoch (1 ms for 60,000
// items), 8 bytes an item; nothing but a division within an epoch.
// One thread at a time.
#ifndef SEPTET_CORE_DATA_EPOCH_SAMPLER_H_
#define SEPTET_CORE_DATA_EPOCH_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/random/stream.h"

namespace septet {

struct EpochSamplerOptions {
  int64_t size = 0;   // items, in 1..2^32-1
  int64_t batch = 0;  // of them, >= 1; with drop_last at most `size`
  bool shuffle = true;
  bool drop_last = true;
  uint64_t seed = 0;  // its low 32 bits count, as in RandomStream

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class EpochSampler {
 public:
  // Samplers of one seed whose `stream` differs are independent of each other.
  // Errors: those of Validate() and of RandomStream::Create.
  static absl::StatusOr<EpochSampler> Create(
      const EpochSamplerOptions& options,
      absl::string_view stream = "data/shuffle");

  int64_t batches_per_epoch() const { return batches_per_epoch_; }

  // Of batch number `batch` >= 0.
  int64_t Epoch(int64_t batch) const { return batch / batches_per_epoch_; }

  // The items of batch number `batch` >= 0 (aborts otherwise), valid until the
  // next call.
  absl::Span<const int64_t> Batch(int64_t batch);

 private:
  EpochSampler(const EpochSamplerOptions& options, RandomStream stream);

  EpochSamplerOptions options_;
  RandomStream stream_;
  int64_t batches_per_epoch_ = 0;
  int64_t epoch_ = -1;  // that order_ is of
  std::vector<int64_t> order_;
};

}  // namespace septet

#endif  // SEPTET_CORE_DATA_EPOCH_SAMPLER_H_
