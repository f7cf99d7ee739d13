// SPDX-License-Identifier: Apache-2.0
//
// libjpeg leaves by longjmp. It does so only into functions of this file that
// have no object with a destructor, and through frames that have none; what
// they need is in a struct of the caller, and the messages in an array there.
#include "septet/core/io/jpeg_impl.h"

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

// After <cstdio> and <cstddef>, which it needs and does not include.
#include "jpeglib.h"
// After jpeglib.h.
#include "jerror.h"

namespace septet {
namespace io_internal {
namespace {

// libjpeg's own memory: for a progressive file two bytes a coefficient, of
// which there are as many as bytes of pixels, and up to as many again for
// blocks at the edges and reduced colours; and rows.
constexpr int64_t kCoefficientBytes = 4;
constexpr int64_t kRowsBytes = int64_t{64} << 20;

// What libjpeg says when it gives up, and where it goes then.
struct Trouble {
  jpeg_error_mgr manager;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "";
  int code = 0;
  bool truncated = false;
  bool too_many_scans = false;
};

// The manager is the first member.
Trouble* TroubleOf(j_common_ptr common) {
  return reinterpret_cast<Trouble*>(common->err);
}

void OnError(j_common_ptr common) {
  Trouble* const trouble = TroubleOf(common);
  trouble->code = common->err->msg_code;
  common->err->format_message(common, trouble->message);
  std::longjmp(trouble->jump, 1);
}

// libjpeg goes on after warnings, with grey where there were no data.
void OnMessage(j_common_ptr common, int level) {
  if (level >= 0) return;
  switch (common->err->msg_code) {
    case JWRN_ADOBE_XFORM:      // takes the usual colours
    case JWRN_EXTRANEOUS_DATA:  // between markers; some cameras write them
    case JWRN_JFIF_MAJOR:
      return;
    default:
      OnError(common);
  }
}

void OnOutput(j_common_ptr) {}

void InitTrouble(Trouble* trouble) {
  jpeg_std_error(&trouble->manager);
  trouble->manager.error_exit = OnError;
  trouble->manager.emit_message = OnMessage;
  trouble->manager.output_message = OnOutput;
}

struct Reader {
  jpeg_decompress_struct jpeg;
  Trouble trouble;
  jpeg_source_mgr source;
  jpeg_progress_mgr progress;
  absl::string_view file;
  int max_scans = 0;
  // Which components have been in a scan, of a file with several.
  bool seen[MAX_COMPONENTS] = {};

  ~Reader() { jpeg_destroy_decompress(&jpeg); }

  size_t position() const { return file.size() - source.bytes_in_buffer; }
};

Reader* ReaderOf(void* jpeg) {
  return static_cast<Reader*>(
      static_cast<jpeg_decompress_struct*>(jpeg)->client_data);
}

void Truncated(j_decompress_ptr jpeg) {
  ReaderOf(jpeg)->trouble.truncated = true;
  ERREXIT(jpeg, JERR_INPUT_EOF);
}

void OnInitSource(j_decompress_ptr) {}
void OnTermSource(j_decompress_ptr) {}

// All bytes have been given from the start.
boolean OnFill(j_decompress_ptr jpeg) {
  Truncated(jpeg);
  return FALSE;
}

void OnSkip(j_decompress_ptr jpeg, long count) {
  if (count <= 0) return;
  if (static_cast<size_t>(count) > jpeg->src->bytes_in_buffer) {
    jpeg->src->bytes_in_buffer = 0;
    Truncated(jpeg);
  }
  jpeg->src->next_input_byte += count;
  jpeg->src->bytes_in_buffer -= static_cast<size_t>(count);
}

void OnProgress(j_common_ptr common) {
  Reader* const reader = ReaderOf(common);
  for (int i = 0; i < reader->jpeg.comps_in_scan; ++i) {
    reader->seen[reader->jpeg.cur_comp_info[i]->component_index] = true;
  }
  if (reader->jpeg.input_scan_number > reader->max_scans) {
    reader->trouble.too_many_scans = true;
    ERREXIT(common, JERR_NOTIMPL);
  }
}

absl::Status ToStatus(const Reader& reader) {
  const Trouble& trouble = reader.trouble;
  if (trouble.truncated) {
    return absl::DataLossError(absl::StrCat(
        "JPEG: truncated: the file ends after ", reader.file.size(), " bytes"));
  }
  if (trouble.too_many_scans) {
    return absl::ResourceExhaustedError(
        absl::StrCat("JPEG: has more scans than options.max_scans allows, ",
                     reader.max_scans));
  }
  switch (trouble.code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
      return absl::ResourceExhaustedError(
          absl::StrCat("JPEG: no memory for the decoder: ", trouble.message));
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED:
      return absl::UnimplementedError(absl::StrCat("JPEG: ", trouble.message));
    default:
      return absl::DataLossError(absl::StrCat("JPEG: damaged before byte ",
                                              reader.position(), ": ",
                                              trouble.message));
  }
}

// False on trouble.
bool ReadHeader(Reader* reader) {
  if (setjmp(reader->trouble.jump)) return false;
  jpeg_decompress_struct* const jpeg = &reader->jpeg;
  jpeg_create_decompress(jpeg);
  jpeg->client_data = reader;
  reader->source.init_source = OnInitSource;
  reader->source.fill_input_buffer = OnFill;
  reader->source.skip_input_data = OnSkip;
  reader->source.resync_to_restart = jpeg_resync_to_restart;
  reader->source.term_source = OnTermSource;
  reader->source.next_input_byte =
      reinterpret_cast<const JOCTET*>(reader->file.data());
  reader->source.bytes_in_buffer = reader->file.size();
  jpeg->src = &reader->source;
  reader->progress.progress_monitor = OnProgress;
  jpeg->progress = &reader->progress;
  jpeg_read_header(jpeg, TRUE);
  return true;
}

// False on trouble.
bool Start(Reader* reader, J_COLOR_SPACE colours, int64_t memory_bytes) {
  if (setjmp(reader->trouble.jump)) return false;
  reader->jpeg.mem->max_memory_to_use = static_cast<long>(memory_bytes);
  reader->jpeg.out_color_space = colours;
  jpeg_start_decompress(&reader->jpeg);
  return true;
}

// False on trouble.
bool ReadPixels(Reader* reader, uint8_t* pixels, size_t row_bytes) {
  if (setjmp(reader->trouble.jump)) return false;
  jpeg_decompress_struct* const jpeg = &reader->jpeg;
  while (jpeg->output_scanline < jpeg->output_height) {
    JSAMPROW row = pixels + row_bytes * jpeg->output_scanline;
    jpeg_read_scanlines(jpeg, &row, 1);
  }
  jpeg_finish_decompress(jpeg);
  return true;
}

struct Writer {
  jpeg_compress_struct jpeg;
  Trouble trouble;
  unsigned char* bytes = nullptr;  // libjpeg's, from malloc
  unsigned long size = 0;

  ~Writer() {
    jpeg_destroy_compress(&jpeg);
    std::free(bytes);
  }
};

// False on trouble.
bool WritePixels(Writer* writer, const uint8_t* pixels, int width, int height,
                 int channels, const JpegOptions* options) {
  if (setjmp(writer->trouble.jump)) return false;
  jpeg_compress_struct* const jpeg = &writer->jpeg;
  jpeg_create_compress(jpeg);
  jpeg_mem_dest(jpeg, &writer->bytes, &writer->size);
  jpeg->image_width = static_cast<JDIMENSION>(width);
  jpeg->image_height = static_cast<JDIMENSION>(height);
  jpeg->input_components = channels;
  jpeg->in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(jpeg);
  jpeg_set_quality(jpeg, options->quality, TRUE);
  if (!options->subsample) {
    jpeg->comp_info[0].h_samp_factor = 1;
    jpeg->comp_info[0].v_samp_factor = 1;
  }
  jpeg_start_compress(jpeg, TRUE);
  while (jpeg->next_scanline < jpeg->image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(
        pixels + static_cast<size_t>(width) * channels * jpeg->next_scanline);
    jpeg_write_scanlines(jpeg, &row, 1);
  }
  jpeg_finish_compress(jpeg);
  return true;
}

const char* ColourSpaceName(J_COLOR_SPACE space) {
  switch (space) {
    case JCS_CMYK:
      return "CMYK";
    case JCS_YCCK:
      return "YCCK, a form of CMYK";
    default:
      return "unknown";
  }
}

}  // namespace

bool IsJpeg(absl::string_view file) {
  return file.size() >= 3 && file[0] == '\xff' && file[1] == '\xd8' &&
         file[2] == '\xff';
}

absl::StatusOr<Tensor> ParseJpeg(absl::string_view file,
                                 const ImageOptions& options) {
  Reader reader = {};
  reader.file = file;
  reader.max_scans = options.max_scans;
  InitTrouble(&reader.trouble);
  reader.jpeg.err = &reader.trouble.manager;
  if (!ReadHeader(&reader)) return ToStatus(reader);

  const J_COLOR_SPACE stored = reader.jpeg.jpeg_color_space;
  if (stored != JCS_GRAYSCALE && stored != JCS_YCbCr && stored != JCS_RGB) {
    return absl::UnimplementedError(absl::StrCat(
        "JPEG: the colours are ", ColourSpaceName(stored), ", of ",
        reader.jpeg.num_components, " components; there are grey and RGB"));
  }
  const bool grey =
      options.channels == ImageChannels::kGrey ||
      (options.channels == ImageChannels::kAsStored && stored == JCS_GRAYSCALE);
  const int64_t width = reader.jpeg.image_width;
  const int64_t height = reader.jpeg.image_height;
  const int channels = grey ? 1 : 3;
  // Also of what a progressive file has beside the luminance.
  const int64_t stored_channels = reader.jpeg.num_components;
  SEPTET_RETURN_IF_ERROR(CheckImageSize(
      "JPEG", width, height,
      stored_channels > channels ? stored_channels : channels, options));
  if (!Start(
          &reader, grey ? JCS_GRAYSCALE : JCS_RGB,
          kCoefficientBytes * width * height * stored_channels + kRowsBytes)) {
    return ToStatus(reader);
  }
  // libjpeg makes up what is missing. Without further scans all is in the
  // first.
  if (jpeg_has_multiple_scans(&reader.jpeg)) {
    for (int i = 0; i < reader.jpeg.num_components; ++i) {
      if (!reader.seen[i]) {
        return absl::DataLossError(
            absl::StrCat("JPEG: component ", i + 1, " of ",
                         reader.jpeg.num_components, " is in no scan"));
      }
    }
  }
  SEPTET_ASSIGN_OR_RETURN(Tensor image,
                          Tensor::Empty({height, width, channels}, DType::kU8),
                          _ << "JPEG");
  if (!ReadPixels(&reader, image.mutable_data<uint8_t>(),
                  static_cast<size_t>(width) * channels)) {
    return ToStatus(reader);
  }
  return image;
}

absl::StatusOr<std::string> SerializeJpeg(const Tensor& image,
                                          const JpegOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  if (!image.defined() || !image.has_storage() || image.rank() != 3 ||
      image.dtype() != DType::kU8 || (image.dim(2) != 1 && image.dim(2) != 3) ||
      image.dim(0) < 1 || image.dim(1) < 1 ||
      image.dim(0) > JPEG_MAX_DIMENSION || image.dim(1) > JPEG_MAX_DIMENSION) {
    return absl::InvalidArgumentError(
        absl::StrCat("JPEG: the image is ", image.DebugString(),
                     ", expected u8 [H, W, C] with H and W from 1 to ",
                     JPEG_MAX_DIMENSION, " and C 1 or 3"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor dense, image.Contiguous(), _ << "JPEG");
  Writer writer = {};
  InitTrouble(&writer.trouble);
  writer.jpeg.err = &writer.trouble.manager;
  if (!WritePixels(&writer, dense.data<uint8_t>(),
                   static_cast<int>(image.dim(1)),
                   static_cast<int>(image.dim(0)),
                   static_cast<int>(image.dim(2)), &options)) {
    return writer.trouble.code == JERR_OUT_OF_MEMORY
               ? absl::ResourceExhaustedError("JPEG: no memory for the encoder")
               : absl::InternalError(
                     absl::StrCat("JPEG: ", writer.trouble.message));
  }
  return std::string(reinterpret_cast<const char*>(writer.bytes), writer.size);
}

}  // namespace io_internal
}  // namespace septet
