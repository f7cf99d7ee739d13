// SPDX-License-Identifier: Apache-2.0
// PNG for image.h, which says what these mean; private to it.
#ifndef SEPTET_CORE_IO_PNG_IMPL_H_
#define SEPTET_CORE_IO_PNG_IMPL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace io_internal {

// Whether `file` begins as a PNG file does.
bool IsPng(absl::string_view file);

absl::StatusOr<Tensor> ParsePng(absl::string_view file,
                                const ImageOptions& options);

absl::StatusOr<std::string> SerializePng(const Tensor& image);

}  // namespace io_internal
}  // namespace septet

#endif  // SEPTET_CORE_IO_PNG_IMPL_H_
