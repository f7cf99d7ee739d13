// SPDX-License-Identifier: Apache-2.0
// The entries of a zip archive in memory, and their bytes. Private to core/io.
//
//   SEPTET_ASSIGN_OR_RETURN(const ZipArchive zip, ZipArchive::Open(bytes));
//   for (const ZipEntry& entry : zip.entries()) {
//     SEPTET_ASSIGN_OR_RETURN(const ZipBytes data, zip.Read(entry, limits));
//     Use(data.bytes);
//   }
//
// The directory is read by minizip (zip64 too), which sees the archive through
// bounds-checked functions. Stored and deflated entries; encrypted ones and
// those of other methods open the archive and are refused by name when read.
//
// Cost: Open is linear in the directory. A stored entry is a view of the
// archive; a deflated one is inflated into memory of its own.
#ifndef SEPTET_CORE_IO_ZIP_IMPL_H_
#define SEPTET_CORE_IO_ZIP_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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
  // Where its row of the directory is.
  uint64_t directory_offset = 0;
  uint64_t number = 0;
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
  // archive or its directory is damaged.
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
  std::vector<ZipEntry> entries_;
};

}  // namespace io_internal
}  // namespace septet

#endif  // SEPTET_CORE_IO_ZIP_IMPL_H_
