// SPDX-License-Identifier: Apache-2.0
// Zip archives: read from memory, written piece by piece. Private to core/io.
//
//   SEPTET_ASSIGN_OR_RETURN(const ZipArchive zip, ZipArchive::Open(bytes));
//   for (const ZipEntry& entry : zip.entries()) {
//     SEPTET_ASSIGN_OR_RETURN(const ZipBytes data, zip.Read(entry, limits));
//     Use(data.bytes);
//   }
//
// Read are stored and deflated entries, zip64 or not; encrypted ones and those
// of other methods leave the archive readable and are refused by name when they
// are asked for. Not read: archives in several parts, or with other bytes
// before or behind them. Format: PKWARE's APPNOTE.TXT, 6.3.10.
//
//   ZipWriter writer([&](absl::string_view piece) {
//     return file.Append(piece);    // an AtomicFile
//   });
//   SEPTET_RETURN_IF_ERROR(writer.Add("x.npy", {header, elements}, {}));
//   SEPTET_RETURN_IF_ERROR(writer.Finish());
//
// minizip is the oracle of the test and no more: it takes what is missing at
// the end of a truncated archive for zeros, cannot open one without entries,
// and writes only where it can go back to fill in sizes.
//
// Cost: Open is linear in the directory. A stored entry is a view of the
// archive; a deflated one is inflated into memory of its own.
#ifndef SEPTET_CORE_IO_ZIP_IMPL_H_
#define SEPTET_CORE_IO_ZIP_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace io_internal {

struct ZipEntry {
  std::string name;
  int method = 0;  // 0 stored, 8 deflated
  bool encrypted = false;
  uint64_t compressed_bytes = 0;
  uint64_t bytes = 0;
  uint32_t crc32 = 0;
  uint64_t offset = 0;  // of its own header
};

struct ZipBytes {
  absl::string_view bytes;
  // Keeps `bytes` if they were inflated; else they are the archive's.
  std::optional<Tensor> owner;
};

struct ZipReadOptions {
  // The checksum of a stored entry is compared, which reads all of it. That of
  // a deflated one always is.
  bool check_stored = true;

  // Larger deflated entries are refused before memory is taken.
  int64_t max_inflated_bytes = 0;
};

class ZipArchive {
 public:
  // `file` must stay where it is. DataLoss, without a path, if it is not an
  // archive, its directory is damaged, or its entries have more bytes than it:
  // so what all of them hold is bounded, too.
  static absl::StatusOr<ZipArchive> Open(absl::string_view file);

  // In the order of the directory; names may repeat.
  const std::vector<ZipEntry>& entries() const { return entries_; }

  // Errors name the entry: Unimplemented if it is encrypted or compressed by
  // another method than deflate, ResourceExhausted if it is larger than the
  // options allow or there is no memory, DataLoss if it is damaged.
  absl::StatusOr<ZipBytes> Read(const ZipEntry& entry,
                                const ZipReadOptions& options) const;

 private:
  explicit ZipArchive(absl::string_view file) : file_(file) {}

  absl::string_view file_;
  uint64_t directory_ = 0;  // where it begins: entries end before
  std::vector<ZipEntry> entries_;
};

struct ZipWriteOptions {
  bool deflate = false;
  // The bytes of a stored entry begin at a multiple of this in the file; at
  // most 4096.
  size_t alignment = 1;
};

// The same entries give the same bytes: there are no times in them. zip64 where
// sizes need it.
class ZipWriter {
 public:
  explicit ZipWriter(std::function<absl::Status(absl::string_view)> append)
      : append_(std::move(append)) {}

  // An entry of these pieces. InvalidArgument for a name that is empty or
  // longer than 65535 bytes; ResourceExhausted if a deflated entry does not fit
  // into memory; the errors of `append`.
  absl::Status Add(absl::string_view name,
                   absl::Span<const absl::string_view> pieces,
                   const ZipWriteOptions& options);

  // Writes the directory.
  absl::Status Finish();

 private:
  absl::Status Append(absl::string_view bytes);

  std::function<absl::Status(absl::string_view)> append_;
  uint64_t position_ = 0;
  uint64_t entries_ = 0;
  std::string directory_;
};

}  // namespace io_internal
}  // namespace septet

#endif  // SEPTET_CORE_IO_ZIP_IMPL_H_
