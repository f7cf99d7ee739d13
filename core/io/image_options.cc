// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/image_options.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace septet {
namespace {

absl::Status CheckLimit(absl::string_view name, int64_t value) {
  if (value >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "ImageOptions: ", name, " is ", value, ", expected at least 1"));
}

}  // namespace

absl::Status ImageOptions::Validate() const {
  absl::Status status = CheckLimit("max_width", max_width);
  status.Update(CheckLimit("max_height", max_height));
  status.Update(CheckLimit("max_bytes", max_bytes));
  status.Update(CheckLimit("max_scans", max_scans));
  return status;
}

absl::Status JpegOptions::Validate() const {
  if (quality >= 1 && quality <= 100) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("JpegOptions: quality is ", quality, ", expected 1 to 100"));
}

namespace io_internal {

absl::Status CheckImageSize(absl::string_view format, int64_t width,
                            int64_t height, int64_t pixel_bytes,
                            const ImageOptions& options) {
  if (width > options.max_width || height > options.max_height) {
    return absl::ResourceExhaustedError(absl::StrCat(
        format, ": has ", width, " x ", height, " pixels, options allow ",
        options.max_width, " x ", options.max_height));
  }
  int64_t bytes;
  if (__builtin_mul_overflow(width, height, &bytes) ||
      __builtin_mul_overflow(bytes, pixel_bytes, &bytes) ||
      bytes > options.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        format, ": has ", width, " x ", height, " pixels of ", pixel_bytes,
        " bytes, options.max_bytes allows ", options.max_bytes));
  }
  return absl::OkStatus();
}

}  // namespace io_internal
}  // namespace septet
