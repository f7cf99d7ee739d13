// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/image.h"

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/image_options.h"
#include "septet/core/io/jpeg_impl.h"
#include "septet/core/io/png_impl.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

absl::StatusOr<Tensor> ParseImage(absl::string_view file,
                                  const ImageOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  if (io_internal::IsPng(file)) return io_internal::ParsePng(file, options);
  if (io_internal::IsJpeg(file)) return io_internal::ParseJpeg(file, options);
  return absl::DataLossError(
      file.empty() ? std::string("not an image: the file is empty")
                   : absl::StrCat("not an image: begins with ",
                                  QuoteName(file.substr(0, 8)),
                                  ", as neither PNG nor JPEG does"));
}

absl::StatusOr<Tensor> ReadImage(absl::string_view path,
                                 const ImageOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  SEPTET_ASSIGN_OR_RETURN(Tensor image, ParseImage(file.data(), options),
                          _ << path);
  return image;
}

absl::StatusOr<std::string> SerializePng(const Tensor& image) {
  return io_internal::SerializePng(image);
}

absl::StatusOr<std::string> SerializeJpeg(const Tensor& image,
                                          const JpegOptions& options) {
  return io_internal::SerializeJpeg(image, options);
}

absl::Status WritePng(absl::string_view path, const Tensor& image) {
  SEPTET_ASSIGN_OR_RETURN(const std::string bytes, SerializePng(image),
                          _ << path);
  return WriteFileAtomically(path, bytes);
}

absl::Status WriteJpeg(absl::string_view path, const Tensor& image,
                       const JpegOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const std::string bytes,
                          SerializeJpeg(image, options), _ << path);
  return WriteFileAtomically(path, bytes);
}

}  // namespace septet
