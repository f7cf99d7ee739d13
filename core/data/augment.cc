// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/augment.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/stream.h"
#include "septet/core/random/variates.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr int64_t kMaxShift = 1 << 20;
// Samples of a block of the loop over images, some 20 microseconds.
constexpr int64_t kGrain = 1 << 15;

using Change = ImageAugmenter::Change;

// One image [height, width, channels].
void ScaleImage(const uint8_t* from, int64_t height, int64_t width,
                const ImageScale& scale, const Change& change, float* to) {
  const int64_t channels = scale.channels();
  // Columns of the result before it is mirrored that come from the image.
  const int64_t first = std::clamp<int64_t>(change.right, 0, width);
  const int64_t last = std::clamp<int64_t>(width + change.right, first, width);
  for (int64_t row = 0; row < height; ++row, to += width * channels) {
    const int64_t source = row - change.down;
    const bool inside = source >= 0 && source < height;
    const int64_t line = (source * width - change.right) * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float* const table = scale.table(c);
      const auto put = [&](int64_t column, float value) {
        const int64_t at = change.mirrored ? width - 1 - column : column;
        to[at * channels + c] = value;
      };
      const int64_t begin = inside ? first : width;
      const int64_t end = inside ? last : width;
      for (int64_t j = 0; j < begin; ++j) put(j, table[0]);
      for (int64_t j = begin; j < end; ++j) {
        put(j, table[from[line + j * channels + c]]);
      }
      for (int64_t j = end; j < width; ++j) put(j, table[0]);
    }
  }
}

// `change_of` gives the change of an item.
template <typename ChangeOf>
absl::StatusOr<Tensor> MakeBatch(const Tensor& images, const ImageScale& scale,
                                 absl::Span<const int64_t> items,
                                 const ChangeOf& change_of) {
  if (!images.defined() || images.dtype() != DType::kU8 || images.rank() != 4 ||
      !images.IsContiguous()) {
    return absl::InvalidArgumentError(
        absl::StrCat("batch: the images are ",
                     images.defined() ? images.DebugString() : "no tensor",
                     ", expected contiguous u8 [N, H, W, C]"));
  }
  if (images.dim(3) != scale.channels()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batch: the images are ", images.DebugString(), ", expected the ",
        scale.channels(), " channels of the scale"));
  }
  for (const int64_t item : items) {
    if (item < 0 || item >= images.dim(0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("batch: item ", item, ", expected 0 to ",
                       images.dim(0) - 1, ", the last image"));
    }
  }
  const int64_t height = images.dim(1);
  const int64_t width = images.dim(2);
  SEPTET_ASSIGN_OR_RETURN(const Shape shape,
                          Shape::Create({static_cast<int64_t>(items.size()),
                                         height, width, images.dim(3)}));
  SEPTET_ASSIGN_OR_RETURN(Tensor batch, Tensor::Empty(shape, DType::kF32));
  const int64_t size = height * width * images.dim(3);
  const uint8_t* const from = images.data<uint8_t>();
  float* const to = batch.mutable_data<float>();
  ParallelFor(shape[0],
              std::max<int64_t>(1, kGrain / std::max<int64_t>(size, 1)),
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  const int64_t item = items[static_cast<size_t>(i)];
                  ScaleImage(from + item * size, height, width, scale,
                             change_of(item), to + i * size);
                }
              });
  return batch;
}

}  // namespace

absl::StatusOr<ImageScale> ImageScale::Create(absl::Span<const double> mean,
                                              absl::Span<const double> std) {
  if (mean.empty() || mean.size() > kMaxImageChannels ||
      mean.size() != std.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("image scale: ", mean.size(), " means and ", std.size(),
                     " deviations, expected one of both for each of 1 to ",
                     kMaxImageChannels, " channels"));
  }
  ImageScale scale;
  for (size_t c = 0; c < mean.size(); ++c) {
    if (!std::isfinite(mean[c]) || !std::isfinite(std[c]) || std[c] < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "image scale: channel ", c, " has mean ", mean[c], " and deviation ",
          std[c], ", expected finite numbers, the latter >= 0"));
    }
    for (int v = 0; v < 256; ++v) {
      scale.table_.push_back(static_cast<float>((v / 255.0 - mean[c]) /
                                                (std[c] == 0 ? 1 : std[c])));
    }
  }
  return scale;
}

ImageScale ImageScale::Unit(int64_t channels) {
  SEPTET_CHECK(channels >= 1 && channels <= kMaxImageChannels) << channels;
  const std::vector<double> zeros(static_cast<size_t>(channels), 0.0);
  const std::vector<double> ones(static_cast<size_t>(channels), 1.0);
  return *Create(zeros, ones);
}

absl::Status AugmentOptions::Validate() const {
  if (shift >= 0 && shift <= kMaxShift) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("augmentation: shift is ", shift, ", expected 0 to 2^20"));
}

ImageAugmenter::ImageAugmenter(const AugmentOptions& options,
                               RandomStream stream)
    : options_(options), stream_(std::move(stream)) {}

absl::StatusOr<ImageAugmenter> ImageAugmenter::Create(
    const AugmentOptions& options, absl::string_view stream) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  SEPTET_ASSIGN_OR_RETURN(RandomStream random,
                          RandomStream::Create(options.seed, stream));
  return ImageAugmenter(options, std::move(random));
}

ImageAugmenter::Change ImageAugmenter::ChangeOf(int64_t item, int64_t count,
                                                int64_t epoch) const {
  Change change;
  if (options_.shift == 0 && !options_.flip) return change;
  const PhiloxBlock words = stream_.Element(static_cast<uint64_t>(epoch) *
                                                static_cast<uint64_t>(count) +
                                            static_cast<uint64_t>(item));
  const auto places = static_cast<uint32_t>(2 * options_.shift + 1);
  change.down = BelowFromWord(words[0], places) - options_.shift;
  change.right = BelowFromWord(words[1], places) - options_.shift;
  change.mirrored = options_.flip && words[2] >> 31 != 0;
  return change;
}

absl::StatusOr<Tensor> ImageAugmenter::Batch(const Tensor& images,
                                             const ImageScale& scale,
                                             absl::Span<const int64_t> items,
                                             int64_t epoch) const {
  if (epoch < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("batch: epoch is ", epoch, ", expected at least 0"));
  }
  return MakeBatch(images, scale, items, [&](int64_t item) {
    return ChangeOf(item, images.dim(0), epoch);
  });
}

absl::StatusOr<Tensor> PlainBatch(const Tensor& images, const ImageScale& scale,
                                  absl::Span<const int64_t> items) {
  return MakeBatch(images, scale, items, [](int64_t) { return Change(); });
}

}  // namespace septet
