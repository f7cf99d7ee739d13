// SPDX-License-Identifier: Apache-2.0
// What may be asked of image.h beyond a path.
#ifndef SEPTET_CORE_IO_IMAGE_OPTIONS_H_
#define SEPTET_CORE_IO_IMAGE_OPTIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace septet {

enum class ImageChannels {
  // 1 (grey), 2 (grey, alpha), 3 (red, green, blue) or 4 (and alpha), as the
  // file has them; a palette gives its colours, a transparent colour an alpha.
  kAsStored,
  // Always 1; alpha is left out. The luminance (19595 R + 38470 G + 7471 B) /
  // 65536, rounded: Rec. 601 as in Pillow's convert("L"); of a JPEG its
  // luminance as stored.
  kGrey,
  // Always 3; grey thrice, alpha left out.
  kRgb,
};

struct ImageOptions {
  ImageChannels channels = ImageChannels::kAsStored;

  // PNG files of 16 bits a sample: true gives u16, false rounds to u8. Others
  // are u8 either way.
  bool keep_16_bits = false;

  // Larger images are refused before memory is taken for them. 65535 is what
  // JPEG's header can say, and max_bytes counts the decoded pixels; beside them
  // a progressive JPEG takes up to four times as much while it is decoded.
  int64_t max_width = 65535;
  int64_t max_height = 65535;
  int64_t max_bytes = int64_t{1} << 30;

  // A progressive JPEG may go over all its pixels as often as it likes, in some
  // bytes each time; real ones do about ten times.
  int max_scans = 100;

  // InvalidArgument for limits below 1.
  absl::Status Validate() const;
};

struct JpegOptions {
  // 1 (small) to 100 (good).
  int quality = 90;

  // Colours at half the resolution in both directions, as is usual.
  bool subsample = true;

  // InvalidArgument for a quality out of range.
  absl::Status Validate() const;
};

namespace io_internal {

// ResourceExhausted, naming the limit, if an image of `width` x `height` pixels
// of `pixel_bytes` is more than `options` allow. `format` begins the message.
absl::Status CheckImageSize(absl::string_view format, int64_t width,
                            int64_t height, int64_t pixel_bytes,
                            const ImageOptions& options);

}  // namespace io_internal
}  // namespace septet

#endif  // SEPTET_CORE_IO_IMAGE_OPTIONS_H_
