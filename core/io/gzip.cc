// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/gzip.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "zlib.h"

namespace septet {
namespace {

// 15 is the window of the format, 16 more asks zlib for gzip's header and
// checksums.
constexpr int kGzipWindowBits = 15 + 16;

// zlib counts in unsigned int.
constexpr size_t kMaxStepBytes = size_t{1} << 30;

// Compressed bytes are handed on in pieces of this size.
constexpr size_t kPieceBytes = 32 << 10;

}  // namespace

bool IsGzip(absl::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

struct GzipReader::State {
  // Where a decoder begins, `stream.zalloc` and its like are null: zlib's own.
  z_stream stream = {};
  absl::string_view compressed;
  size_t begin = 0;   // of the member
  size_t given = 0;   // bytes of `compressed` that zlib has been given
  bool open = false;  // a member has begun
  bool ready = false;
  bool ended = false;
  absl::Status status;

  ~State() {
    if (ready) inflateEnd(&stream);
  }

  size_t position() const { return given - stream.avail_in; }

  absl::Status BeginMember() {
    const absl::string_view rest = compressed.substr(position());
    if (!IsGzip(rest)) {
      return absl::DataLossError(
          position() == 0
              ? std::string("not gzip: does not begin with 1f 8b")
              : absl::StrCat("gzip: ends at byte ", position(), ", but ",
                             rest.size(), " other bytes follow"));
    }
    begin = position();
    const int result =
        ready ? inflateReset(&stream) : inflateInit2(&stream, kGzipWindowBits);
    if (result != Z_OK) {
      return absl::ResourceExhaustedError(
          "gzip: no memory for the decoder, about 40 KiB");
    }
    ready = open = true;
    return absl::OkStatus();
  }

  // One call of zlib, which takes or makes something.
  absl::Status Step() {
    if (stream.avail_in == 0 && given < compressed.size()) {
      const size_t size = std::min(compressed.size() - given, kMaxStepBytes);
      stream.next_in = reinterpret_cast<Bytef*>(
          const_cast<char*>(compressed.data() + given));
      stream.avail_in = static_cast<uInt>(size);
      given += size;
    }
    switch (const int result = inflate(&stream, Z_NO_FLUSH)) {
      case Z_OK:
        return absl::OkStatus();
      case Z_STREAM_END:
        open = false;
        ended = position() == compressed.size();
        return absl::OkStatus();
      case Z_BUF_ERROR:
        return absl::DataLossError(absl::StrCat(
            "gzip: truncated: the file ends after ", compressed.size(),
            " bytes within the member that begins at byte ", begin));
      case Z_MEM_ERROR:
        return absl::ResourceExhaustedError(
            "gzip: no memory for the decoder, about 40 KiB");
      default:
        return absl::DataLossError(
            absl::StrCat("gzip: damaged at byte ", position(), ": ",
                         stream.msg != nullptr   ? stream.msg
                         : result == Z_NEED_DICT ? "needs a preset dictionary"
                                                 : "wrong data"));
    }
  }

  absl::StatusOr<size_t> Read(char* out, size_t size) {
    size_t made = 0;
    while (made < size && !ended) {
      if (!open) {
        SEPTET_RETURN_IF_ERROR(BeginMember());
      }
      const size_t room = std::min(size - made, kMaxStepBytes);
      stream.next_out = reinterpret_cast<Bytef*>(out + made);
      stream.avail_out = static_cast<uInt>(room);
      SEPTET_RETURN_IF_ERROR(Step());
      made += room - stream.avail_out;
    }
    return made;
  }
};

GzipReader::GzipReader(absl::string_view compressed)
    : state_(std::make_unique<State>()) {
  state_->compressed = compressed;
}

GzipReader::GzipReader(GzipReader&& other) noexcept = default;
GzipReader& GzipReader::operator=(GzipReader&& other) noexcept = default;
GzipReader::~GzipReader() = default;

absl::StatusOr<size_t> GzipReader::Read(char* out, size_t size) {
  SEPTET_RETURN_IF_ERROR(state_->status);
  absl::StatusOr<size_t> made = state_->Read(out, size);
  state_->status = made.status();
  return made;
}

size_t GzipReader::position() const { return state_->position(); }

struct GzipWriter::State {
  z_stream stream = {};
  std::function<absl::Status(absl::string_view)> sink;
  bool ready = false;
  absl::Status status;

  ~State() {
    if (ready) deflateEnd(&stream);
  }

  absl::Status Begin(int level) {
    if (level < 1 || level > 9) {
      return absl::InvalidArgumentError(
          absl::StrCat("gzip: the level is ", level, ", expected 1 to 9"));
    }
    // 8 is zlib's own choice of memory.
    if (deflateInit2(&stream, level, Z_DEFLATED, kGzipWindowBits, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
      return absl::ResourceExhaustedError(
          "gzip: no memory for the encoder, about 270 KiB");
    }
    ready = true;
    return absl::OkStatus();
  }

  absl::Status Deflate(absl::string_view text, int flush) {
    char piece[kPieceBytes];
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(piece);
      stream.avail_out = kPieceBytes;
      // It cannot fail: there is room, and Finish comes last.
      deflate(&stream, flush);
      const size_t made = kPieceBytes - stream.avail_out;
      if (made > 0) {
        SEPTET_RETURN_IF_ERROR(sink({piece, made}));
      }
    } while (stream.avail_out == 0);
    return absl::OkStatus();
  }

  absl::Status Append(absl::string_view text) {
    while (!text.empty()) {
      const absl::string_view part = text.substr(0, kMaxStepBytes);
      SEPTET_RETURN_IF_ERROR(Deflate(part, Z_NO_FLUSH));
      text.remove_prefix(part.size());
    }
    return absl::OkStatus();
  }
};

GzipWriter::GzipWriter(std::function<absl::Status(absl::string_view)> sink,
                       int level)
    : state_(std::make_unique<State>()) {
  state_->sink = std::move(sink);
  state_->status = state_->Begin(level);
}

GzipWriter::GzipWriter(GzipWriter&& other) noexcept = default;
GzipWriter& GzipWriter::operator=(GzipWriter&& other) noexcept = default;
GzipWriter::~GzipWriter() = default;

absl::Status GzipWriter::Append(absl::string_view text) {
  if (state_->status.ok()) state_->status = state_->Append(text);
  return state_->status;
}

absl::Status GzipWriter::Finish() {
  SEPTET_RETURN_IF_ERROR(state_->status);
  state_->status =
      absl::FailedPreconditionError("gzip: Finish has been called before");
  const absl::Status status = state_->Deflate({}, Z_FINISH);
  if (!status.ok()) state_->status = status;
  return status;
}

}  // namespace septet
