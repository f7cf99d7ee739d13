// SPDX-License-Identifier: Apache-2.0
//
// libpng leaves by longjmp. It does so only into functions of this file that
// have no object with a destructor, and through frames that have none; what
// they need is in a struct of the caller, and the messages in an array there.
#include "septet/core/io/png_impl.h"

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "png.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/gzip.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace io_internal {
namespace {

constexpr size_t kSignatureBytes = 8;

// What libpng says when it gives up, and why.
struct Trouble {
  char message[256] = "";
  bool truncated = false;
  bool no_memory = false;
};

void OnError(png_structp png, png_const_charp message) {
  auto* const trouble = static_cast<Trouble*>(png_get_error_ptr(png));
  std::snprintf(trouble->message, sizeof(trouble->message), "%s", message);
  png_longjmp(png, 1);
}

void OnWarning(png_structp, png_const_charp) {}

png_voidp OnMalloc(png_structp png, png_alloc_size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) {
    static_cast<Trouble*>(png_get_mem_ptr(png))->no_memory = true;
  }
  return memory;
}

void OnFree(png_structp, png_voidp memory) { std::free(memory); }

absl::Status ToStatus(const Trouble& trouble, size_t position) {
  if (trouble.no_memory) {
    return absl::ResourceExhaustedError(
        absl::StrCat("PNG: no memory: ", trouble.message));
  }
  if (trouble.truncated) {
    return absl::DataLossError(absl::StrCat(
        "PNG: truncated: the file ends after ", position, " bytes"));
  }
  return absl::DataLossError(absl::StrCat("PNG: damaged before byte ", position,
                                          ": ", trouble.message));
}

struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Trouble trouble;
  absl::string_view file;
  size_t position = 0;

  // What the header says.
  png_uint_32 width = 0;
  png_uint_32 height = 0;
  int bit_depth = 0;
  int color_type = 0;
  int interlace = 0;
  // What comes out.
  int channels = 0;
  int sample_bytes = 0;
  size_t row_bytes = 0;

  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void OnRead(png_structp png, png_bytep out, size_t size) {
  auto* const reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (size > reader->file.size() - reader->position) {
    reader->position = reader->file.size();
    reader->trouble.truncated = true;
    png_error(png, "truncated");
  }
  std::memcpy(out, reader->file.data() + reader->position, size);
  reader->position += size;
}

// Everything before the pixels. False on trouble.
bool ReadHeader(Reader* reader) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_set_read_fn(reader->png, reader, OnRead);
  // Sizes are checked against our own limits.
  png_set_user_limits(reader->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  // Colour profiles, texts, times: nothing here uses them, so that none of the
  // code which would decompress and parse them is run.
  png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(reader->png, reader->info);
  png_get_IHDR(reader->png, reader->info, &reader->width, &reader->height,
               &reader->bit_depth, &reader->color_type, &reader->interlace,
               nullptr, nullptr);
  return true;
}

// Says what the pixels are to become. False on trouble.
bool SetTransformations(Reader* reader, bool with_alpha, bool to_rgb,
                        bool keep_16_bits) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_structp const png = reader->png;
  if (reader->bit_depth == 16) {
    if (keep_16_bits) {
      png_set_swap(png);
    } else {
      png_set_scale_16(png);
    }
  }
  if (reader->color_type == PNG_COLOR_TYPE_PALETTE) {
    // The colours are looked up here: libpng takes those that the palette does
    // not have for black.
    png_set_packing(png);
    png_set_check_for_invalid_index(png, 0);
  } else {
    if (reader->color_type == PNG_COLOR_TYPE_GRAY && reader->bit_depth < 8) {
      png_set_expand_gray_1_2_4_to_8(png);
    }
    if (!with_alpha) {
      png_set_strip_alpha(png);
    } else if (png_get_valid(png, reader->info, PNG_INFO_tRNS)) {
      png_set_tRNS_to_alpha(png);
    }
    if (to_rgb && (reader->color_type & PNG_COLOR_MASK_COLOR) == 0) {
      png_set_gray_to_rgb(png);
    }
  }
  png_set_interlace_handling(png);
  png_read_update_info(png, reader->info);
  reader->channels = png_get_channels(png, reader->info);
  reader->sample_bytes = png_get_bit_depth(png, reader->info) / 8;
  reader->row_bytes = png_get_rowbytes(png, reader->info);
  // From here on, what libpng would overlook is an error: too few or too many
  // pixels.
  png_set_benign_errors(png, 0);
  return true;
}

// False on trouble.
bool ReadPixels(Reader* reader, png_bytepp rows) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_read_image(reader->png, rows);
  png_read_end(reader->png, nullptr);
  return true;
}

// The pixels of indices into the palette: rgb, and alpha where there are
// 4 channels.
absl::Status LookUp(const Reader& reader, const uint8_t* indices, int channels,
                    uint8_t* pixels) {
  png_colorp palette = nullptr;
  int colours = 0;
  png_get_PLTE(reader.png, reader.info, &palette, &colours);
  png_bytep alphas = nullptr;
  int alpha_count = 0;
  png_get_tRNS(reader.png, reader.info, &alphas, &alpha_count, nullptr);
  for (size_t y = 0; y < reader.height; ++y) {
    for (size_t x = 0; x < reader.width; ++x, ++indices, pixels += channels) {
      const int index = *indices;
      if (index >= colours) {
        return absl::DataLossError(
            absl::StrCat("PNG: the pixel in row ", y, " and column ", x,
                         " has colour ", index, " of a palette of ", colours));
      }
      pixels[0] = palette[index].red;
      pixels[1] = palette[index].green;
      pixels[2] = palette[index].blue;
      if (channels == 4) pixels[3] = index < alpha_count ? alphas[index] : 255;
    }
  }
  return absl::OkStatus();
}

template <typename T>
void Luminance(const T* rgb, int64_t pixels, T* grey) {
  for (int64_t i = 0; i < pixels; ++i, rgb += 3) {
    // At most 65535 * 65536 + 32768, which 32 bits hold.
    grey[i] = static_cast<T>(
        (rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
  }
}

struct Writer {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Trouble trouble;
  std::string bytes;

  ~Writer() { png_destroy_write_struct(&png, &info); }
};

void OnWrite(png_structp png, png_bytep data, size_t size) {
  static_cast<Writer*>(png_get_io_ptr(png))
      ->bytes.append(reinterpret_cast<const char*>(data), size);
}

void OnFlush(png_structp) {}

// False on trouble.
bool WritePixels(Writer* writer, png_uint_32 width, png_uint_32 height,
                 int bit_depth, int color_type, png_bytepp rows) {
  if (setjmp(png_jmpbuf(writer->png))) return false;
  png_structp const png = writer->png;
  png_set_write_fn(png, writer, OnWrite, OnFlush);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_IHDR(png, writer->info, width, height, bit_depth, color_type,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, writer->info);
  if (bit_depth == 16) png_set_swap(png);
  png_write_image(png, rows);
  png_write_end(png, nullptr);
  return true;
}

constexpr int kColorTypes[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA,
                               PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};

}  // namespace

bool IsPng(absl::string_view file) {
  return file.size() >= kSignatureBytes &&
         png_sig_cmp(reinterpret_cast<png_const_bytep>(file.data()), 0,
                     kSignatureBytes) == 0;
}

absl::StatusOr<Tensor> ParsePng(absl::string_view file,
                                const ImageOptions& options) {
  Reader reader;
  reader.file = file;
  reader.png =
      png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader.trouble, OnError,
                               OnWarning, &reader.trouble, OnMalloc, OnFree);
  if (reader.png != nullptr) reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) {
    return absl::ResourceExhaustedError("PNG: no memory for the decoder");
  }
  if (!ReadHeader(&reader)) return ToStatus(reader.trouble, reader.position);

  const bool grey = options.channels == ImageChannels::kGrey;
  const bool rgb = options.channels == ImageChannels::kRgb;
  // Of the pixels as they are in the file; no transformation of ours makes
  // them larger than 4 samples of 1 or, where they have 16 bits, 2 bytes.
  const int file_channels = png_get_channels(reader.png, reader.info);
  const uint64_t row_bits =
      uint64_t{reader.width} * reader.bit_depth * file_channels;
  uint64_t needed;
  if (__builtin_mul_overflow((row_bits + 7) / 8 + 1, uint64_t{reader.height},
                             &needed)) {
    needed = UINT64_MAX;
  }
  const bool colour = (reader.color_type & PNG_COLOR_MASK_COLOR) != 0;
  const bool alpha = (reader.color_type & PNG_COLOR_MASK_ALPHA) != 0 ||
                     png_get_valid(reader.png, reader.info, PNG_INFO_tRNS) != 0;
  const int pixel_bytes =
      ((colour || rgb ? 3 : 1) + (alpha && !grey && !rgb ? 1 : 0)) *
      (reader.bit_depth == 16 && options.keep_16_bits ? 2 : 1);
  SEPTET_RETURN_IF_ERROR(
      CheckImageSize("PNG", reader.width, reader.height, pixel_bytes, options));
  if (needed / kMaxDeflateRatio > file.size()) {
    return absl::DataLossError(absl::StrCat(
        "PNG: truncated: ", reader.width, " x ", reader.height, " pixels of ",
        reader.bit_depth * file_channels, " bits need ", needed,
        " bytes, which cannot be compressed into the file's ", file.size()));
  }

  if (!SetTransformations(&reader, /*with_alpha=*/!grey && !rgb, rgb,
                          options.keep_16_bits)) {
    return ToStatus(reader.trouble, reader.position);
  }
  const DType dtype = reader.sample_bytes == 2 ? DType::kU16 : DType::kU8;
  SEPTET_ASSIGN_OR_RETURN(
      Tensor image,
      Tensor::Empty({reader.height, reader.width, reader.channels}, dtype),
      _ << "PNG");
  auto* const pixels = static_cast<png_bytep>(image.raw_mutable_data());
  std::vector<png_bytep> rows(reader.height);
  for (size_t y = 0; y < rows.size(); ++y) {
    rows[y] = pixels + y * reader.row_bytes;
  }
  if (!ReadPixels(&reader, rows.data())) {
    return ToStatus(reader.trouble, reader.position);
  }
  if (reader.color_type == PNG_COLOR_TYPE_PALETTE) {
    const int channels = alpha && !grey && !rgb ? 4 : 3;
    SEPTET_ASSIGN_OR_RETURN(
        Tensor colours,
        Tensor::Empty({reader.height, reader.width, channels}, DType::kU8),
        _ << "PNG");
    SEPTET_RETURN_IF_ERROR(LookUp(reader, image.data<uint8_t>(), channels,
                                  colours.mutable_data<uint8_t>()));
    image = colours;
  }
  if (!grey || image.dim(2) == 1) return image;
  SEPTET_ASSIGN_OR_RETURN(
      Tensor luminance, Tensor::Empty({reader.height, reader.width, 1}, dtype),
      _ << "PNG");
  if (dtype == DType::kU16) {
    Luminance(image.data<uint16_t>(), luminance.num_elements(),
              luminance.mutable_data<uint16_t>());
  } else {
    Luminance(image.data<uint8_t>(), luminance.num_elements(),
              luminance.mutable_data<uint8_t>());
  }
  return luminance;
}

absl::StatusOr<std::string> SerializePng(const Tensor& image) {
  if (!image.defined() || !image.has_storage() || image.rank() != 3 ||
      (image.dtype() != DType::kU8 && image.dtype() != DType::kU16) ||
      image.dim(2) < 1 || image.dim(2) > 4 || image.dim(0) < 1 ||
      image.dim(1) < 1 || image.dim(0) > int64_t{PNG_UINT_31_MAX} ||
      image.dim(1) > int64_t{PNG_UINT_31_MAX}) {
    return absl::InvalidArgumentError(absl::StrCat(
        "PNG: the image is ", image.DebugString(),
        ", expected u8 or u16 [H, W, C] with H and W from 1 to 2147483647 and "
        "C from 1 to 4"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor dense, image.Contiguous(), _ << "PNG");
  Writer writer;
  writer.png =
      png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &writer.trouble, OnError,
                                OnWarning, &writer.trouble, OnMalloc, OnFree);
  if (writer.png != nullptr) writer.info = png_create_info_struct(writer.png);
  if (writer.info == nullptr) {
    return absl::ResourceExhaustedError("PNG: no memory for the encoder");
  }
  const size_t row_bytes = static_cast<size_t>(image.dim(1)) * image.dim(2) *
                           DTypeSize(image.dtype());
  // libpng takes rows of what it only reads as writable.
  auto* const pixels = static_cast<png_bytep>(
      const_cast<void*>(static_cast<const void*>(dense.raw_data())));
  std::vector<png_bytep> rows(image.dim(0));
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = pixels + y * row_bytes;
  if (!WritePixels(&writer, static_cast<png_uint_32>(image.dim(1)),
                   static_cast<png_uint_32>(image.dim(0)),
                   static_cast<int>(8 * DTypeSize(image.dtype())),
                   kColorTypes[image.dim(2) - 1], rows.data())) {
    return writer.trouble.no_memory
               ? absl::ResourceExhaustedError("PNG: no memory for the encoder")
               : absl::InternalError(
                     absl::StrCat("PNG: ", writer.trouble.message));
  }
  return std::move(writer.bytes);
}

}  // namespace io_internal
}  // namespace septet
