// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/zip_impl.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/gzip.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "zlib.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers of archives are little endian and are copied as they are"
#endif

namespace septet {
namespace io_internal {
namespace {

constexpr int kStored = 0;
constexpr int kDeflated = 8;

// How much is inflated, or added to a checksum, in one call.
constexpr size_t kPieceBytes = size_t{1} << 26;

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kDirectorySignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;

// Bytes of these records without names and comments.
constexpr uint64_t kLocalBytes = 30;
constexpr uint64_t kRowBytes = 46;
constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kEnd64Bytes = 56;
constexpr uint64_t kLocator64Bytes = 20;

constexpr uint64_t kZip64Id = 1;
// Numbers that stand in zip64's records instead.
constexpr uint64_t kMax16 = 0xffff;
constexpr uint64_t kMax32 = 0xffffffff;

// The number of `bytes` bytes at `offset`, which must be there; little endian.
uint64_t NumberAt(absl::string_view file, uint64_t offset, int bytes) {
  uint64_t value = 0;
  std::memcpy(&value, file.data() + offset, bytes);
  return value;
}

// The directory, as the records at the end tell of it.
struct Directory {
  uint64_t entries = 0;
  uint64_t begin = 0;
  uint64_t bytes = 0;
};

absl::StatusOr<Directory> FindDirectory(absl::string_view file) {
  // The last record, behind which only its comment is.
  uint64_t end = 0;
  bool found = false;
  for (uint64_t comment = 0;
       comment <= kMax16 && comment + kEndBytes <= file.size(); ++comment) {
    end = file.size() - kEndBytes - comment;
    found = NumberAt(file, end, 4) == kEndSignature &&
            NumberAt(file, end + 20, 2) == comment;
    if (found) break;
  }
  if (!found) {
    return absl::DataLossError(absl::StrCat(
        "no zip archive, or a truncated one: its ", file.size(),
        " bytes do not end with the record that tells of its directory"));
  }
  Directory directory;
  uint64_t disk = NumberAt(file, end + 4, 2);
  uint64_t first_disk = NumberAt(file, end + 6, 2);
  uint64_t entries_here = NumberAt(file, end + 8, 2);
  directory.entries = NumberAt(file, end + 10, 2);
  directory.bytes = NumberAt(file, end + 12, 4);
  directory.begin = NumberAt(file, end + 16, 4);
  if (directory.entries == kMax16 || directory.bytes == kMax32 ||
      directory.begin == kMax32) {
    // A record for large numbers, and in front of this one where it is.
    const uint64_t locator = end - std::min(end, kLocator64Bytes);
    if (end >= kLocator64Bytes &&
        NumberAt(file, locator, 4) == kLocator64Signature) {
      const uint64_t end64 = NumberAt(file, locator + 8, 8);
      if (locator < kEnd64Bytes || end64 > locator - kEnd64Bytes ||
          NumberAt(file, end64, 4) != kEnd64Signature) {
        return absl::DataLossError(
            absl::StrCat("the zip64 record of the archive is not at byte ",
                         end64, ", where byte ", locator, " says it is"));
      }
      disk = NumberAt(file, end64 + 16, 4);
      first_disk = NumberAt(file, end64 + 20, 4);
      entries_here = NumberAt(file, end64 + 24, 8);
      directory.entries = NumberAt(file, end64 + 32, 8);
      directory.bytes = NumberAt(file, end64 + 40, 8);
      directory.begin = NumberAt(file, end64 + 48, 8);
      end = end64;
    }
  }
  if (disk != 0 || first_disk != 0 || entries_here != directory.entries) {
    return absl::UnimplementedError(
        "an archive in several parts; whole ones are read");
  }
  if (directory.begin > end || directory.bytes > end - directory.begin) {
    return absl::DataLossError(
        absl::StrCat("the directory of the archive has ", directory.bytes,
                     " bytes at ", directory.begin, ", beyond byte ", end,
                     " where the record that tells of it is"));
  }
  if (directory.entries > directory.bytes / kRowBytes) {
    return absl::DataLossError(
        absl::StrCat("the archive says it has ", directory.entries,
                     " entries, more than the ", directory.bytes,
                     " bytes of its directory can name"));
  }
  return directory;
}

// Sets the sizes and the offset of `entry` that are in the zip64 part of its
// extra fields.
void ReadZip64(absl::string_view extra, ZipEntry* entry) {
  while (extra.size() >= 4) {
    const uint64_t id = NumberAt(extra, 0, 2);
    const uint64_t bytes = NumberAt(extra, 2, 2);
    extra.remove_prefix(4);
    absl::string_view field = extra.substr(0, bytes);
    extra.remove_prefix(field.size());
    if (id != kZip64Id) continue;
    for (uint64_t* value :
         {&entry->bytes, &entry->compressed_bytes, &entry->offset}) {
      if (*value != kMax32 || field.size() < 8) continue;
      *value = NumberAt(field, 0, 8);
      field.remove_prefix(8);
    }
    return;
  }
}

uLong AddToChecksum(uLong sum, absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), kPieceBytes);
    sum = crc32(sum, reinterpret_cast<const Bytef*>(bytes.data()),
                static_cast<uInt>(size));
    bytes.remove_prefix(size);
  }
  return sum;
}

absl::Status CheckSum(absl::string_view bytes, const ZipEntry& entry,
                      absl::string_view where) {
  const auto sum =
      static_cast<uint32_t>(AddToChecksum(crc32(0, nullptr, 0), bytes));
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
  SEPTET_ASSIGN_OR_RETURN(const Directory directory, FindDirectory(file));
  archive.directory_ = directory.begin;
  absl::string_view rows = file.substr(directory.begin, directory.bytes);
  uint64_t compressed = 0;
  while (archive.entries_.size() < directory.entries) {
    const auto damaged = [&](absl::string_view what) {
      return absl::DataLossError(absl::StrCat(
          "the directory of the archive is damaged at entry ",
          archive.entries_.size(), " of ", directory.entries,
          archive.entries_.empty()
              ? ""
              : absl::StrCat(", behind ",
                             QuoteName(archive.entries_.back().name)),
          ": ", what));
    };
    if (rows.size() < kRowBytes ||
        NumberAt(rows, 0, 4) != kDirectorySignature) {
      return damaged("no row is there");
    }
    const uint64_t name_bytes = NumberAt(rows, 28, 2);
    const uint64_t extra_bytes = NumberAt(rows, 30, 2);
    const uint64_t comment_bytes = NumberAt(rows, 32, 2);
    const uint64_t row_bytes =
        kRowBytes + name_bytes + extra_bytes + comment_bytes;
    if (row_bytes > rows.size()) {
      return damaged(absl::StrCat("its row has ", row_bytes, " bytes, ",
                                  rows.size(), " are left"));
    }
    ZipEntry entry;
    entry.name = std::string(rows.substr(kRowBytes, name_bytes));
    entry.encrypted = (NumberAt(rows, 8, 2) & 1) != 0;
    entry.method = static_cast<int>(NumberAt(rows, 10, 2));
    entry.crc32 = static_cast<uint32_t>(NumberAt(rows, 16, 4));
    entry.compressed_bytes = NumberAt(rows, 20, 4);
    entry.bytes = NumberAt(rows, 24, 4);
    entry.offset = NumberAt(rows, 42, 4);
    ReadZip64(rows.substr(kRowBytes + name_bytes, extra_bytes), &entry);
    if (__builtin_add_overflow(compressed, entry.compressed_bytes,
                               &compressed) ||
        compressed > file.size()) {
      return absl::DataLossError(absl::StrCat(
          "the entries of the archive up to ", QuoteName(entry.name),
          " have more than its ", file.size(), " bytes together"));
    }
    archive.entries_.push_back(std::move(entry));
    rows.remove_prefix(row_bytes);
  }
  if (!rows.empty()) {
    return absl::DataLossError(absl::StrCat("the directory of the archive has ",
                                            rows.size(), " bytes behind its ",
                                            directory.entries, " entries"));
  }
  return archive;
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
  if (entry.offset > directory_ || directory_ - entry.offset < kLocalBytes ||
      NumberAt(file_, entry.offset, 4) != kLocalSignature) {
    return absl::DataLossError(
        absl::StrCat(where, "its own header is not at byte ", entry.offset));
  }
  const uint64_t name_bytes = NumberAt(file_, entry.offset + 26, 2);
  const uint64_t begin = entry.offset + kLocalBytes + name_bytes +
                         NumberAt(file_, entry.offset + 28, 2);
  if (begin > directory_ || entry.compressed_bytes > directory_ - begin) {
    return absl::DataLossError(
        absl::StrCat(where, "has ", entry.compressed_bytes, " bytes at ", begin,
                     ", beyond the directory at ", directory_));
  }
  const absl::string_view name =
      file_.substr(entry.offset + kLocalBytes, name_bytes);
  if (name != entry.name) {
    return absl::DataLossError(
        absl::StrCat(where, "its own header has the name ", QuoteName(name)));
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

namespace {

constexpr uint16_t kVersion = 20;
constexpr uint16_t kVersion64 = 45;
// The padding of Android's zipalign; the alignment is its content.
constexpr uint16_t kAlignmentId = 0xd935;
constexpr uint16_t kUtf8Flag = 1 << 11;
// 1 January 1980, the first day that there is.
constexpr uint16_t kDate = 0x0021;

// The lowest `bytes` bytes, at most 8, little endian.
void Put(std::string* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) {
    *out += static_cast<char>(value >> (8 * i));
  }
}

// Sizes of 32 bits, as far as they fit.
uint64_t Field32(uint64_t value) { return std::min(value, kMax32); }

absl::StatusOr<std::string> Deflate(
    absl::Span<const absl::string_view> pieces) {
  z_stream stream = {};
  constexpr int kMemoryLevel = 8;  // zlib's own choice
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS,
                   kMemoryLevel, Z_DEFAULT_STRATEGY) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to deflate");
  }
  std::string result;
  char buffer[1 << 16];
  const auto run = [&](int flush) {
    do {
      stream.next_out = reinterpret_cast<Bytef*>(buffer);
      stream.avail_out = sizeof(buffer);
      deflate(&stream, flush);
      result.append(buffer, sizeof(buffer) - stream.avail_out);
    } while (stream.avail_out == 0);
  };
  for (absl::string_view piece : pieces) {
    while (!piece.empty()) {
      const size_t size = std::min(piece.size(), kPieceBytes);
      stream.next_in =
          reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
      stream.avail_in = static_cast<uInt>(size);
      run(Z_NO_FLUSH);
      piece.remove_prefix(size);
    }
  }
  run(Z_FINISH);
  deflateEnd(&stream);
  return result;
}

}  // namespace

absl::Status ZipWriter::Append(absl::string_view bytes) {
  position_ += bytes.size();
  return append_(bytes);
}

absl::Status ZipWriter::Add(absl::string_view name,
                            absl::Span<const absl::string_view> pieces,
                            const ZipWriteOptions& options) {
  if (name.empty() || name.size() > kMax16) {
    return absl::InvalidArgumentError(
        absl::StrCat("the name ", QuoteName(name), " has ", name.size(),
                     " bytes; an archive can have names of 1 to ", kMax16));
  }
  uint64_t bytes = 0;
  uLong sum = crc32(0, nullptr, 0);
  for (absl::string_view piece : pieces) {
    bytes += piece.size();
    sum = AddToChecksum(sum, piece);
  }
  std::string deflated;
  if (options.deflate) {
    SEPTET_ASSIGN_OR_RETURN(deflated, Deflate(pieces));
  }
  const uint64_t compressed = options.deflate ? deflated.size() : bytes;
  const uint64_t offset = position_;
  const bool large = bytes >= kMax32 || compressed >= kMax32;
  const uint16_t version = large || offset >= kMax32 ? kVersion64 : kVersion;
  const bool ascii = std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x80;
  });
  // What a local header and a row of the directory share.
  std::string common;
  Put(&common, version, 2);
  Put(&common, ascii ? 0 : kUtf8Flag, 2);
  Put(&common, options.deflate ? kDeflated : kStored, 2);
  Put(&common, 0, 2);
  Put(&common, kDate, 2);
  Put(&common, sum, 4);
  Put(&common, large ? kMax32 : compressed, 4);
  Put(&common, large ? kMax32 : bytes, 4);
  Put(&common, name.size(), 2);

  std::string local_extra;
  if (large) {
    Put(&local_extra, kZip64Id, 2);
    Put(&local_extra, 16, 2);
    Put(&local_extra, bytes, 8);
    Put(&local_extra, compressed, 8);
  }
  std::string local;
  Put(&local, kLocalSignature, 4);
  local += common;
  const uint64_t begin =
      offset + local.size() + 2 + name.size() + local_extra.size();
  if (!options.deflate && begin % options.alignment != 0) {
    // The padding's own head has 6 bytes.
    const uint64_t padding =
        options.alignment - (begin + 6) % options.alignment;
    Put(&local_extra, kAlignmentId, 2);
    Put(&local_extra, 2 + padding % options.alignment, 2);
    Put(&local_extra, options.alignment, 2);
    local_extra.append(padding % options.alignment, '\0');
  }
  Put(&local, local_extra.size(), 2);
  absl::StrAppend(&local, name, local_extra);
  SEPTET_RETURN_IF_ERROR(Append(local));
  if (options.deflate) {
    SEPTET_RETURN_IF_ERROR(Append(deflated));
  } else {
    for (absl::string_view piece : pieces) {
      SEPTET_RETURN_IF_ERROR(Append(piece));
    }
  }

  std::string extra;
  if (large) {
    Put(&extra, bytes, 8);
    Put(&extra, compressed, 8);
  }
  if (offset >= kMax32) Put(&extra, offset, 8);
  Put(&directory_, kDirectorySignature, 4);
  Put(&directory_, version, 2);
  directory_ += common;
  Put(&directory_, extra.empty() ? 0 : extra.size() + 4, 2);
  // No comment, on the first disk, no attributes.
  directory_.append(2 + 2 + 2 + 4, '\0');
  Put(&directory_, Field32(offset), 4);
  absl::StrAppend(&directory_, name);
  if (!extra.empty()) {
    Put(&directory_, kZip64Id, 2);
    Put(&directory_, extra.size(), 2);
    directory_ += extra;
  }
  ++entries_;
  return absl::OkStatus();
}

absl::Status ZipWriter::Finish() {
  const uint64_t begin = position_;
  const uint64_t size = directory_.size();
  SEPTET_RETURN_IF_ERROR(Append(directory_));
  std::string end;
  if (entries_ >= kMax16 || begin >= kMax32 || size >= kMax32) {
    const uint64_t end64 = position_;
    Put(&end, kEnd64Signature, 4);
    Put(&end, 44, 8);  // bytes of this record from here
    Put(&end, kVersion64, 2);
    Put(&end, kVersion64, 2);
    Put(&end, 0, 8);  // the only disk
    Put(&end, entries_, 8);
    Put(&end, entries_, 8);
    Put(&end, size, 8);
    Put(&end, begin, 8);
    Put(&end, kLocator64Signature, 4);
    Put(&end, 0, 4);
    Put(&end, end64, 8);
    Put(&end, 1, 4);
  }
  Put(&end, kEndSignature, 4);
  Put(&end, 0, 4);
  Put(&end, std::min(entries_, kMax16), 2);
  Put(&end, std::min(entries_, kMax16), 2);
  Put(&end, Field32(size), 4);
  Put(&end, Field32(begin), 4);
  Put(&end, 0, 2);
  return Append(end);
}

}  // namespace io_internal
}  // namespace septet
