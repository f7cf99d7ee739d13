// SPDX-License-Identifier: Apache-2.0
// Batches of images as a network wants them: u8 samples become f32, scaled to
// a mean and deviation, and, to train, shifted and mirrored at random.
//
//   SEPTET_ASSIGN_OR_RETURN(ChannelMoments moments,
//                           MomentsOfChannels(train.images));
//   SEPTET_ASSIGN_OR_RETURN(ImageScale scale,
//                           ImageScale::Create(moments.mean, moments.std));
//   AugmentOptions options;
//   options.shift = 2;
//   options.flip = true;
//   options.seed = seed;
//   SEPTET_ASSIGN_OR_RETURN(ImageAugmenter augment,
//                           ImageAugmenter::Create(options));
//   SEPTET_ASSIGN_OR_RETURN(                                  // [B, H, W, C]
//       Tensor batch, augment.Batch(train.images, scale, items, epoch));
//   SEPTET_ASSIGN_OR_RETURN(Tensor plain,
//                           PlainBatch(test.images, scale, items));
//
// Value v of channel c becomes (v / 255 - mean[c]) / std[c], computed in double
// and rounded once: 256 values a channel, looked up.
//
// Image i in epoch e is changed by element e N + i of the named stream, N the
// images of the set, whatever batch it is in: with s = shift, rows move down by
// BelowFromWord(word 0, 2 s + 1) - s, columns to the right by the same of word
// 1, and what comes in from outside is 0, as dark pixels are (the crop of an
// image that has a frame of s such pixels); with flip, the result is mirrored
// left to right if the highest bit of word 2 is set.
//
// Threads: images of a batch, in the current pool; the bits do not depend on
// their number. Cost: a look-up a sample, some 0.1 ms for 128 images of 28
// x 28.
#ifndef SEPTET_CORE_DATA_AUGMENT_H_
#define SEPTET_CORE_DATA_AUGMENT_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// Of an image: more than cameras of many bands have. What is kept for each
// channel (a scale's table, a histogram) is larger than small images are.
inline constexpr int64_t kMaxImageChannels = 1024;

// How samples become numbers.
class ImageScale {
 public:
  // Of channels with these means and deviations, in units of 255; a deviation
  // of 0 (all pixels equal) counts as 1. InvalidArgument unless there are as
  // many of both, 1 to kMaxImageChannels, means finite and deviations finite
  // and >= 0.
  static absl::StatusOr<ImageScale> Create(absl::Span<const double> mean,
                                           absl::Span<const double> std);
  // v / 255, of 1 to kMaxImageChannels channels (aborts otherwise).
  static ImageScale Unit(int64_t channels);

  int64_t channels() const { return static_cast<int64_t>(table_.size()) / 256; }
  // Of all values of a channel: 256 of them.
  const float* table(int64_t channel) const {
    return table_.data() + 256 * channel;
  }

 private:
  std::vector<float> table_;
};

struct AugmentOptions {
  int64_t shift = 0;  // pixels, in 0..2^20
  bool flip = false;
  uint64_t seed = 0;  // its low 32 bits count, as in RandomStream

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class ImageAugmenter {
 public:
  // Errors: those of Validate() and of RandomStream::Create.
  static absl::StatusOr<ImageAugmenter> Create(
      const AugmentOptions& options, absl::string_view stream = "data/augment");

  // The images `items` of `images` u8 [N, H, W, C] in epoch `epoch` >= 0:
  // f32 [B, H, W, C]. Errors: InvalidArgument for other images, channels that
  // are not the scale's, an item or epoch out of range; ResourceExhausted.
  absl::StatusOr<Tensor> Batch(const Tensor& images, const ImageScale& scale,
                               absl::Span<const int64_t> items,
                               int64_t epoch) const;

  struct Change {
    int64_t down = 0;
    int64_t right = 0;
    bool mirrored = false;
  };
  // What is done to image `item` of `count` in an epoch.
  Change ChangeOf(int64_t item, int64_t count, int64_t epoch) const;

 private:
  ImageAugmenter(const AugmentOptions& options, RandomStream stream);

  AugmentOptions options_;
  RandomStream stream_;
};

// The same without changes.
absl::StatusOr<Tensor> PlainBatch(const Tensor& images, const ImageScale& scale,
                                  absl::Span<const int64_t> items);

}  // namespace septet

#endif  // SEPTET_CORE_DATA_AUGMENT_H_
