// SPDX-License-Identifier: Apache-2.0
// Images in PNG and JPEG files.
//
//   SEPTET_ASSIGN_OR_RETURN(Tensor image, ReadImage(path));
//
//   ImageOptions options;
//   options.channels = ImageChannels::kGrey;
//   SEPTET_ASSIGN_OR_RETURN(Tensor grey, ReadImage(path, options));
//
//   SEPTET_RETURN_IF_ERROR(WritePng("copy.png", image));
//
// Which of the two a file is, is seen from its content, not from its name.
//
// PNG (ISO/IEC 15948): all colour types, depths of 1 to 16 bits, interlaced or
// not. Samples of less than 8 bits are scaled to 0 to 255, those of 16 rounded
// to u8 unless options.keep_16_bits. Colour profiles, gamma and whatever else
// is in a file do not change its samples.
//
// JPEG (ITU T.81), by libjpeg-turbo: baseline and progressive, grey and colours
// (YCbCr, RGB), decoded with the accurate integer transform and smooth
// upsampling, so that the bits are the same everywhere. CMYK and 12 bits a
// sample are refused. An Exif orientation is not applied.
//
// A file that is damaged or ends too early is an error, not an image that is
// grey from there on. What stands behind the end of the image is ignored.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_IMAGE_H_
#define SEPTET_CORE_IO_IMAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// The image of the file at `path`: u8 [H, W, C], contiguous, C as
// options.channels says; u16 for 16 bits with options.keep_16_bits. Errors,
// which begin with the path: NotFound and the other codes of core/base/file.h
// if the file cannot be read; DataLoss if it is damaged, truncated or neither
// PNG nor JPEG; Unimplemented for what is not supported; ResourceExhausted
// beyond the limits of `options`, before memory is taken, or without memory;
// InvalidArgument for wrong options.
absl::StatusOr<Tensor> ReadImage(absl::string_view path,
                                 const ImageOptions& options = {});

// The same of the bytes of a file.
absl::StatusOr<Tensor> ParseImage(absl::string_view file,
                                  const ImageOptions& options = {});

// Writes u8 or u16 [H, W, C], C from 1 to 4, as a PNG; nothing is lost. The
// file is there complete, and on disk, or as it was before. The same image
// gives the same bytes (with the same zlib). InvalidArgument for other tensors,
// else the errors of AtomicFile (core/base/file.h).
absl::Status WritePng(absl::string_view path, const Tensor& image);

// Writes u8 [H, W, 1] or [H, W, 3] as a JPEG, in the same way.
absl::Status WriteJpeg(absl::string_view path, const Tensor& image,
                       const JpegOptions& options = {});

// The bytes of such files.
absl::StatusOr<std::string> SerializePng(const Tensor& image);
absl::StatusOr<std::string> SerializeJpeg(const Tensor& image,
                                          const JpegOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_IO_IMAGE_H_
