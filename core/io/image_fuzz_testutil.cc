// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/image_fuzz_testutil.h"

#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/io/image.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

void FuzzImage(absl::string_view input) {
  for (const ImageChannels channels :
       {ImageChannels::kAsStored, ImageChannels::kGrey, ImageChannels::kRgb}) {
    ImageOptions options;
    options.channels = channels;
    options.keep_16_bits = channels != ImageChannels::kRgb;
    options.max_bytes = 1 << 16;
    options.max_scans = 10;
    const absl::StatusOr<Tensor> image = ParseImage(input, options);
    if (!image.ok()) {
      const absl::StatusCode code = image.status().code();
      SEPTET_CHECK(code == absl::StatusCode::kDataLoss ||
                   code == absl::StatusCode::kUnimplemented ||
                   code == absl::StatusCode::kResourceExhausted)
          << image.status();
      continue;
    }
    if (channels != ImageChannels::kAsStored) {
      SEPTET_CHECK_EQ(image->dim(2), channels == ImageChannels::kGrey ? 1 : 3);
    }
    const absl::StatusOr<std::string> written = SerializePng(*image);
    SEPTET_CHECK(written.ok()) << written.status();
    ImageOptions exact;
    exact.keep_16_bits = true;
    const absl::StatusOr<Tensor> again = ParseImage(*written, exact);
    SEPTET_CHECK(again.ok()) << again.status();
    SEPTET_CHECK_EQ(again->DebugString(), image->DebugString());
    SEPTET_CHECK(
        std::memcmp(again->raw_data(), image->raw_data(),
                    image->num_elements() * DTypeSize(image->dtype())) == 0);
  }
}

}  // namespace septet
