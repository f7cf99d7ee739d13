// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/zip_impl.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "ioapi.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/gzip.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "unzip.h"
#include "zlib.h"

namespace septet {
namespace io_internal {
namespace {

constexpr int kStored = 0;
constexpr int kDeflated = 8;

// How much is inflated, or added to a checksum, in one call.
constexpr size_t kPieceBytes = size_t{1} << 26;

// The archive as minizip reads it.
struct MemoryFile {
  absl::string_view bytes;
  uint64_t position = 0;
};

voidpf OpenMemory(voidpf opaque, const void*, int) { return opaque; }

uLong ReadMemory(voidpf, voidpf stream, void* buffer, uLong size) {
  auto* file = static_cast<MemoryFile*>(stream);
  const uint64_t rest = file->bytes.size() -
                        std::min<uint64_t>(file->position, file->bytes.size());
  const auto count = static_cast<size_t>(std::min<uint64_t>(size, rest));
  if (count > 0) {
    std::memcpy(buffer, file->bytes.data() + file->position, count);
  }
  file->position += count;
  return count;
}

uLong WriteMemory(voidpf, voidpf, const void*, uLong) { return 0; }

ZPOS64_T TellMemory(voidpf, voidpf stream) {
  return static_cast<MemoryFile*>(stream)->position;
}

long SeekMemory(voidpf, voidpf stream, ZPOS64_T offset, int origin) {
  auto* file = static_cast<MemoryFile*>(stream);
  uint64_t base = 0;
  if (origin == ZLIB_FILEFUNC_SEEK_CUR) base = file->position;
  if (origin == ZLIB_FILEFUNC_SEEK_END) base = file->bytes.size();
  uint64_t target;
  if (__builtin_add_overflow(base, static_cast<uint64_t>(offset), &target) ||
      target > file->bytes.size()) {
    return -1;
  }
  file->position = target;
  return 0;
}

int CloseMemory(voidpf, voidpf) { return 0; }
int ErrorOfMemory(voidpf, voidpf) { return 0; }

struct CloseUnzip {
  void operator()(void* file) const { unzClose(file); }
};
using UnzFile = std::unique_ptr<void, CloseUnzip>;

UnzFile OpenUnzip(MemoryFile* file) {
  zlib_filefunc64_def functions;
  functions.zopen64_file = OpenMemory;
  functions.zread_file = ReadMemory;
  functions.zwrite_file = WriteMemory;
  functions.ztell64_file = TellMemory;
  functions.zseek64_file = SeekMemory;
  functions.zclose_file = CloseMemory;
  functions.zerror_file = ErrorOfMemory;
  functions.opaque = file;
  return UnzFile(unzOpen2_64("archive", &functions));
}

uint32_t Checksum(absl::string_view bytes) {
  uLong sum = crc32(0, nullptr, 0);
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), kPieceBytes);
    sum = crc32(sum, reinterpret_cast<const Bytef*>(bytes.data()),
                static_cast<uInt>(size));
    bytes.remove_prefix(size);
  }
  return static_cast<uint32_t>(sum);
}

absl::Status CheckSum(absl::string_view bytes, const ZipEntry& entry,
                      absl::string_view where) {
  const uint32_t sum = Checksum(bytes);
  if (sum == entry.crc32) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrFormat("%sits bytes have the CRC-32 %08x, the archive says %08x",
                      where, sum, entry.crc32));
}

// Inflates all of `compressed` to just `size` bytes at `out`.
absl::Status Inflate(absl::string_view compressed, char* out, uint64_t size,
                     absl::string_view where) {
  z_stream stream = {};
  // Negative: without the header and checksum of zlib.
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
    return absl::ResourceExhaustedError(
        absl::StrCat(where, "no memory to inflate"));
  }
  uint64_t read = 0, written = 0;
  int code = Z_OK;
  // One byte more than is expected, so that more is seen.
  char beyond;
  while (code == Z_OK) {
    const auto in = static_cast<uInt>(
        std::min<uint64_t>(compressed.size() - read, kPieceBytes));
    const bool full = written >= size;
    const auto room = static_cast<uInt>(
        full ? 1 : std::min<uint64_t>(size - written, kPieceBytes));
    stream.next_in =
        reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data() + read));
    stream.avail_in = in;
    stream.next_out = reinterpret_cast<Bytef*>(full ? &beyond : out + written);
    stream.avail_out = room;
    code = inflate(&stream, Z_NO_FLUSH);
    read += in - stream.avail_in;
    written += room - stream.avail_out;
    if (written > size) break;
  }
  const std::string reason = stream.msg == nullptr ? "" : stream.msg;
  inflateEnd(&stream);
  if (written > size) {
    return absl::DataLossError(absl::StrCat(where, "inflates to more than the ",
                                            size, " bytes the archive says"));
  }
  if (code == Z_BUF_ERROR) {
    return absl::DataLossError(absl::StrCat(
        where, "its compressed data end after ", compressed.size(),
        " bytes, with ", written, " of ", size, " bytes inflated"));
  }
  if (code != Z_STREAM_END) {
    return absl::DataLossError(
        absl::StrCat(where, "byte ", read, " of its ", compressed.size(),
                     " compressed bytes is not deflate's",
                     reason.empty() ? "" : absl::StrCat(": ", reason)));
  }
  if (written != size) {
    return absl::DataLossError(absl::StrCat(where, "inflates to ", written,
                                            " bytes, the archive says ", size));
  }
  if (read != compressed.size()) {
    return absl::DataLossError(
        absl::StrCat(where, "its deflated data end after ", read, " of ",
                     compressed.size(), " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ZipArchive> ZipArchive::Open(absl::string_view file) {
  ZipArchive archive(file);
  MemoryFile memory{file};
  const UnzFile zip = OpenUnzip(&memory);
  if (zip == nullptr) {
    return absl::DataLossError(absl::StrCat(
        "no zip archive, or a truncated one: its ", file.size(),
        " bytes do not end with the record that tells of its directory"));
  }
  unz_global_info64 info;
  unzGetGlobalInfo64(zip.get(), &info);
  if (info.number_entry == 0) return archive;
  // The fixed part of a row of the directory has 46 bytes.
  if (info.number_entry > file.size() / 46) {
    return absl::DataLossError(absl::StrCat(
        "the archive says it has ", info.number_entry,
        " entries, more than its ", file.size(), " bytes can name"));
  }
  std::vector<char> name(std::numeric_limits<uint16_t>::max());
  int code = unzGoToFirstFile(zip.get());
  while (code == UNZ_OK) {
    unz_file_info64 row;
    code = unzGetCurrentFileInfo64(zip.get(), &row, name.data(), name.size(),
                                   nullptr, 0, nullptr, 0);
    if (code != UNZ_OK) break;
    unz64_file_pos position;
    code = unzGetFilePos64(zip.get(), &position);
    if (code != UNZ_OK) break;
    ZipEntry entry;
    entry.name.assign(name.data(), row.size_filename);
    entry.method = static_cast<int>(row.compression_method);
    entry.encrypted = (row.flag & 1) != 0;
    entry.compressed_bytes = row.compressed_size;
    entry.bytes = row.uncompressed_size;
    entry.crc32 = static_cast<uint32_t>(row.crc);
    entry.directory_offset = position.pos_in_zip_directory;
    entry.number = position.num_of_file;
    archive.entries_.push_back(std::move(entry));
    if (archive.entries_.size() == info.number_entry) {
      return archive;
    }
    code = unzGoToNextFile(zip.get());
  }
  return absl::DataLossError(absl::StrCat(
      "the directory of the archive is damaged at entry ",
      archive.entries_.size(), " of ", info.number_entry,
      archive.entries_.empty()
          ? ""
          : absl::StrCat(", behind ",
                         QuoteName(archive.entries_.back().name))));
}

absl::StatusOr<ZipBytes> ZipArchive::Read(const ZipEntry& entry,
                                          const ZipReadOptions& options) const {
  const std::string where = absl::StrCat("entry ", QuoteName(entry.name), ": ");
  if (entry.encrypted) {
    return absl::UnimplementedError(
        absl::StrCat(where, "is encrypted; only plain entries can be read"));
  }
  if (entry.method != kStored && entry.method != kDeflated) {
    return absl::UnimplementedError(
        absl::StrCat(where, "is compressed by method ", entry.method,
                     "; stored (0) and deflated (8) can be read"));
  }
  MemoryFile memory{file_};
  const UnzFile zip = OpenUnzip(&memory);
  unz64_file_pos position;
  position.pos_in_zip_directory = entry.directory_offset;
  position.num_of_file = entry.number;
  // Raw: only the local header is read, and compared with the directory.
  if (zip == nullptr || unzGoToFilePos64(zip.get(), &position) != UNZ_OK ||
      unzOpenCurrentFile2(zip.get(), nullptr, nullptr, 1) != UNZ_OK) {
    return absl::DataLossError(absl::StrCat(
        where, "its own header is not there or differs from the directory"));
  }
  const uint64_t begin = unzGetCurrentFileZStreamPos64(zip.get());
  if (begin > file_.size() || entry.compressed_bytes > file_.size() - begin) {
    return absl::DataLossError(
        absl::StrCat(where, "has ", entry.compressed_bytes, " bytes at ", begin,
                     ", beyond the end of the archive's ", file_.size()));
  }
  const absl::string_view compressed =
      file_.substr(begin, entry.compressed_bytes);
  ZipBytes result;
  if (entry.method == kStored) {
    if (entry.bytes != entry.compressed_bytes) {
      return absl::DataLossError(
          absl::StrCat(where, "is stored, yet has ", entry.compressed_bytes,
                       " bytes compressed and ", entry.bytes, " plain"));
    }
    if (options.check_stored) {
      SEPTET_RETURN_IF_ERROR(CheckSum(compressed, entry, where));
    }
    result.bytes = compressed;
    return result;
  }
  if (entry.bytes / kMaxDeflateRatio > entry.compressed_bytes) {
    return absl::DataLossError(
        absl::StrCat(where, "says it has ", entry.bytes, " bytes, more than ",
                     entry.compressed_bytes, " compressed bytes can hold"));
  }
  if (entry.bytes >
      static_cast<uint64_t>(std::max<int64_t>(options.max_inflated_bytes, 0))) {
    return absl::ResourceExhaustedError(
        absl::StrCat(where, "inflates to ", entry.bytes, " bytes, ",
                     options.max_inflated_bytes, " are allowed"));
  }
  SEPTET_ASSIGN_OR_RETURN(
      result.owner,
      Tensor::Empty(Shape{static_cast<int64_t>(entry.bytes)}, DType::kU8),
      _ << "entry " << QuoteName(entry.name));
  char* out = static_cast<char*>(result.owner->raw_mutable_data());
  SEPTET_RETURN_IF_ERROR(Inflate(compressed, out, entry.bytes, where));
  result.bytes = absl::string_view(out, entry.bytes);
  SEPTET_RETURN_IF_ERROR(CheckSum(result.bytes, entry, where));
  return result;
}

}  // namespace io_internal
}  // namespace septet
