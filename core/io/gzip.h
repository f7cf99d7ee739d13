// SPDX-License-Identifier: Apache-2.0
// gzip (RFC 1952), piece by piece: the reader never makes more than it is asked
// for, so that a small file which stands for a huge one does no harm.
//
//   if (IsGzip(file)) {
//     GzipReader reader(file);
//     SEPTET_ASSIGN_OR_RETURN(size_t size, reader.Read(buffer, kBufferBytes));
//   }
//
//   GzipWriter writer([&](absl::string_view piece) {
//     return file.Append(piece);    // an AtomicFile
//   });
//   SEPTET_RETURN_IF_ERROR(writer.Append(text));
//   SEPTET_RETURN_IF_ERROR(writer.Finish());
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_GZIP_H_
#define SEPTET_CORE_IO_GZIP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace septet {

// No deflate stream gives more bytes than this for each of its own: a match of
// 258 bytes takes at least 2 bits.
inline constexpr int64_t kMaxDeflateRatio = 1032;

// Whether `bytes` begin as a gzip file does, with 1f 8b.
bool IsGzip(absl::string_view bytes);

// Decompresses a gzip file in memory. A file may have several members; together
// they are one text. One thread at a time; movable.
class GzipReader {
 public:
  // `compressed` must stay as it is while the reader lives.
  explicit GzipReader(absl::string_view compressed);

  GzipReader(GzipReader&& other) noexcept;
  GzipReader& operator=(GzipReader&& other) noexcept;
  ~GzipReader();

  // The next `size` bytes; fewer only where the text ends. That it ends is
  // known, and the last checksum seen to be right, when Read has returned less
  // than it was asked for. DataLoss, with the place in the compressed bytes, if
  // they are not gzip, damaged, end too early, or another file's bytes follow;
  // ResourceExhausted without memory for the decoder (40 KiB). After an error,
  // the same error again.
  absl::StatusOr<size_t> Read(char* out, size_t size);

  // Compressed bytes taken so far.
  size_t position() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Compresses into one member, without a name or a time, so that the same text
// gives the same bytes. One thread at a time; movable.
class GzipWriter {
 public:
  // `sink` takes the compressed bytes. `level`: 1 (fast) to 9 (small).
  explicit GzipWriter(std::function<absl::Status(absl::string_view)> sink,
                      int level = 6);

  GzipWriter(GzipWriter&& other) noexcept;
  GzipWriter& operator=(GzipWriter&& other) noexcept;
  ~GzipWriter();

  // Errors of the sink; InvalidArgument for a level out of range;
  // ResourceExhausted without memory for the encoder (270 KiB). After an error,
  // the same error again.
  absl::Status Append(absl::string_view text);

  // Writes the end, with the checksum. At most once; FailedPrecondition after
  // it.
  absl::Status Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace septet

#endif  // SEPTET_CORE_IO_GZIP_H_
