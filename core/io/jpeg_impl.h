// SPDX-License-Identifier: Apache-2.0
// JPEG for image.h, which says what these mean; private to it.
#ifndef SEPTET_CORE_IO_JPEG_IMPL_H_
#define SEPTET_CORE_IO_JPEG_IMPL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace io_internal {

// Whether `file` begins as a JPEG file does.
bool IsJpeg(absl::string_view file);

absl::StatusOr<Tensor> ParseJpeg(absl::string_view file,
                                 const ImageOptions& options);

absl::StatusOr<std::string> SerializeJpeg(const Tensor& image,
                                          const JpegOptions& options);

}  // namespace io_internal
}  // namespace septet

#endif  // SEPTET_CORE_IO_JPEG_IMPL_H_
