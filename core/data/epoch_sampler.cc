// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/epoch_sampler.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/random/stream.h"

namespace septet {

absl::Status EpochSamplerOptions::Validate() const {
  if (size < 1 || size > std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "epoch sampler: size is ", size, ", expected 1 to 2^32 - 1"));
  }
  if (batch < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "epoch sampler: batch is ", batch, ", expected at least 1"));
  }
  if (drop_last && batch > size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "epoch sampler: batch is ", batch, ", expected at most the ", size,
        " items that there are, as incomplete batches are dropped"));
  }
  return absl::OkStatus();
}

EpochSampler::EpochSampler(const EpochSamplerOptions& options,
                           RandomStream stream)
    : options_(options), stream_(std::move(stream)) {
  const bool incomplete = options.size % options.batch != 0;
  batches_per_epoch_ =
      options.size / options.batch + (incomplete && !options.drop_last ? 1 : 0);
}

absl::StatusOr<EpochSampler> EpochSampler::Create(
    const EpochSamplerOptions& options, absl::string_view stream) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  SEPTET_ASSIGN_OR_RETURN(RandomStream random,
                          RandomStream::Create(options.seed, stream));
  return EpochSampler(options, std::move(random));
}

absl::Span<const int64_t> EpochSampler::Batch(int64_t batch) {
  SEPTET_CHECK_GE(batch, 0);
  const int64_t epoch = Epoch(batch);
  if (epoch != epoch_ && (options_.shuffle || order_.empty())) {
    order_.resize(static_cast<size_t>(options_.size));
    std::iota(order_.begin(), order_.end(), int64_t{0});
    if (options_.shuffle) {
      // Fewer than 2^32 items: Validate().
      SEPTET_CHECK(
          stream_.Shuffle(static_cast<uint64_t>(epoch), absl::MakeSpan(order_))
              .ok());
    }
  }
  epoch_ = epoch;
  const int64_t first = batch % batches_per_epoch_ * options_.batch;
  const int64_t count = std::min(options_.batch, options_.size - first);
  return absl::MakeConstSpan(order_).subspan(static_cast<size_t>(first),
                                             static_cast<size_t>(count));
}

}  // namespace septet
