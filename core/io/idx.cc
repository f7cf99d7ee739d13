// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/idx.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/gzip.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "elements of IDX files are big endian and are turned round"
#endif

namespace septet {
namespace {

constexpr size_t kMagicBytes = 4;
constexpr size_t kExtentBytes = 4;

// Elements are turned round and written in pieces of this size.
constexpr size_t kPieceBytes = 64 << 10;

struct TypeRow {
  uint8_t code;
  absl::string_view name;
  bool ours;
  DType dtype;  // where it is ours
};

constexpr TypeRow kTypes[] = {
    {0x08, "u8", true, DType::kU8},   {0x09, "i8", false, DType::kU8},
    {0x0b, "i16", false, DType::kU8}, {0x0c, "i32", true, DType::kI32},
    {0x0d, "f32", true, DType::kF32}, {0x0e, "f64", true, DType::kF64},
};

std::string OurTypes() {
  return absl::StrJoin(kTypes, ", ", [](std::string* out, const TypeRow& row) {
    absl::StrAppend(out, row.name);
    if (!row.ours) absl::StrAppend(out, " (not here)");
  });
}

std::string HexByte(uint8_t byte) {
  return absl::StrCat("0x", absl::Hex(byte, absl::kZeroPad2));
}

uint32_t BigEndian32(const char* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return __builtin_bswap32(value);
}

// Turns each element of `size` bytes round.
void SwapElements(char* bytes, size_t count, size_t size) {
  if (size == 4) {
    for (size_t i = 0; i < count; ++i) {
      uint32_t value;
      std::memcpy(&value, bytes + 4 * i, 4);
      value = __builtin_bswap32(value);
      std::memcpy(bytes + 4 * i, &value, 4);
    }
  } else if (size == 8) {
    for (size_t i = 0; i < count; ++i) {
      uint64_t value;
      std::memcpy(&value, bytes + 8 * i, 8);
      value = __builtin_bswap64(value);
      std::memcpy(bytes + 8 * i, &value, 8);
    }
  }
}

// What a file says, decompressed where it must be.
class Source {
 public:
  explicit Source(absl::string_view file)
      : file_(file), gzip_(file), compressed_(IsGzip(file)) {}

  bool compressed() const { return compressed_; }

  // How many bytes there can be at most; uncompressed, there are.
  uint64_t MostBytes() const {
    return compressed_ ? file_.size() * uint64_t{kMaxDeflateRatio}
                       : file_.size();
  }

  // The next `size` bytes, or fewer where the content ends.
  absl::StatusOr<size_t> Read(char* out, size_t size) {
    if (compressed_) return gzip_.Read(out, size);
    const absl::string_view piece = file_.substr(position_, size);
    if (!piece.empty()) std::memcpy(out, piece.data(), piece.size());
    position_ += piece.size();
    return piece.size();
  }

 private:
  absl::string_view file_;
  GzipReader gzip_;
  bool compressed_;
  size_t position_ = 0;
};

struct Header {
  DType dtype;
  Shape shape;
  size_t header_bytes;
  int64_t data_bytes;
};

absl::StatusOr<Header> ReadHeader(Source& source, const IdxOptions& options) {
  char magic[kMagicBytes];
  SEPTET_ASSIGN_OR_RETURN(const size_t magic_bytes,
                          source.Read(magic, kMagicBytes));
  if (magic_bytes < kMagicBytes) {
    return absl::DataLossError(absl::StrCat(
        "not an IDX file: has ", magic_bytes, " bytes, needs at least ",
        kMagicBytes, " for the type and the number of axes"));
  }
  if (magic[0] != 0 || magic[1] != 0) {
    return absl::DataLossError(absl::StrCat(
        "not an IDX file: begins with ",
        HexByte(static_cast<uint8_t>(magic[0])), " ",
        HexByte(static_cast<uint8_t>(magic[1])), ", expected two zero bytes"));
  }
  const auto code = static_cast<uint8_t>(magic[2]);
  const auto* const row =
      std::find_if(std::begin(kTypes), std::end(kTypes),
                   [code](const TypeRow& r) { return r.code == code; });
  if (row == std::end(kTypes)) {
    return absl::DataLossError(
        absl::StrCat("not an IDX file: the type is ", HexByte(code),
                     ", expected 0x08, 0x09 or 0x0b to 0x0e"));
  }
  if (!row->ours) {
    return absl::UnimplementedError(
        absl::StrCat("IDX: no elements of type ", row->name,
                     " here; the format has ", OurTypes()));
  }
  const auto rank = static_cast<uint8_t>(magic[3]);
  if (rank == 0) {
    return absl::DataLossError("IDX: has 0 axes, expected at least 1");
  }
  if (rank > kMaxRank) {
    return absl::UnimplementedError(
        absl::StrCat("IDX: has ", static_cast<int>(rank), " axes, at most ",
                     kMaxRank, " are supported"));
  }
  char extents[kMaxRank * kExtentBytes];
  const size_t extents_bytes = rank * kExtentBytes;
  SEPTET_ASSIGN_OR_RETURN(const size_t got,
                          source.Read(extents, extents_bytes));
  if (got < extents_bytes) {
    return absl::DataLossError(
        absl::StrCat("IDX: truncated: the extents of ", static_cast<int>(rank),
                     " axes need ", extents_bytes, " bytes, there are ", got));
  }
  int64_t dims[kMaxRank];
  for (int i = 0; i < rank; ++i) {
    dims[i] = BigEndian32(extents + i * kExtentBytes);
  }
  const absl::Span<const int64_t> span(dims, rank);
  const std::string described =
      absl::StrCat(row->name, " [", absl::StrJoin(span, ", "), "]");
  const absl::StatusOr<Shape> shape = Shape::Create(span);
  int64_t bytes;
  if (!shape.ok() || __builtin_mul_overflow(
                         shape->num_elements(),
                         static_cast<int64_t>(DTypeSize(row->dtype)), &bytes)) {
    return absl::DataLossError(absl::StrCat(
        "IDX: ", described, " needs more bytes than a file can have"));
  }
  const size_t header_bytes = kMagicBytes + extents_bytes;
  if (bytes > options.max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("IDX: ", described, " needs ", bytes,
                     " bytes, options.max_bytes allows ", options.max_bytes));
  }
  const uint64_t most = source.MostBytes();
  if (header_bytes > most ||
      static_cast<uint64_t>(bytes) > most - header_bytes) {
    return absl::DataLossError(absl::StrCat(
        "IDX: truncated: ", described, " needs ", bytes,
        " bytes after the header of ", header_bytes, ", the file has ",
        source.compressed()
            ? absl::StrCat("no more than ", most, " even if decompressed")
            : absl::StrCat(most - header_bytes)));
  }
  return Header{row->dtype, *shape, header_bytes, bytes};
}

// Gives the file to `append`, piece by piece.
absl::Status Serialize(
    const Tensor& tensor,
    absl::FunctionRef<absl::Status(absl::string_view)> append) {
  if (!tensor.defined() || !tensor.has_storage()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "IDX: the tensor is ", tensor.DebugString(),
        tensor.defined() ? " without storage" : "", ", expected elements"));
  }
  const auto* const row = std::find_if(
      std::begin(kTypes), std::end(kTypes), [&tensor](const TypeRow& r) {
        return r.ours && r.dtype == tensor.dtype();
      });
  if (row == std::end(kTypes)) {
    return absl::UnimplementedError(absl::StrCat("IDX: the format has no ",
                                                 DTypeName(tensor.dtype()),
                                                 ", only ", OurTypes()));
  }
  if (tensor.rank() == 0) {
    return absl::InvalidArgumentError(
        "IDX: the tensor has 0 axes, expected at least 1");
  }
  std::string header = {'\0', '\0', static_cast<char>(row->code),
                        static_cast<char>(tensor.rank())};
  for (int axis = 0; axis < tensor.rank(); ++axis) {
    const int64_t extent = tensor.dim(axis);
    if (extent > int64_t{UINT32_MAX}) {
      return absl::InvalidArgumentError(absl::StrCat(
          "IDX: axis ", axis, " of ", tensor.shape().ToString(), " has ",
          extent, " elements, the format allows ", UINT32_MAX));
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
      header += static_cast<char>(extent >> shift);
    }
  }
  SEPTET_RETURN_IF_ERROR(append(header));
  SEPTET_ASSIGN_OR_RETURN(const Tensor dense, tensor.Contiguous(), _ << "IDX");
  const size_t size = DTypeSize(tensor.dtype());
  absl::string_view bytes(static_cast<const char*>(dense.raw_data()),
                          static_cast<size_t>(dense.num_elements()) * size);
  if (size == 1) return append(bytes);
  std::string piece;
  while (!bytes.empty()) {
    const absl::string_view next = bytes.substr(0, kPieceBytes);
    piece.assign(next.data(), next.size());
    SwapElements(&piece[0], piece.size() / size, size);
    SEPTET_RETURN_IF_ERROR(append(piece));
    bytes.remove_prefix(next.size());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Tensor> ParseIdx(absl::string_view file,
                                const IdxOptions& options) {
  Source source(file);
  SEPTET_ASSIGN_OR_RETURN(const Header header, ReadHeader(source, options));
  SEPTET_ASSIGN_OR_RETURN(
      Tensor tensor, Tensor::Empty(header.shape, header.dtype), _ << "IDX");
  char* const data = static_cast<char*>(tensor.raw_mutable_data());
  const auto wanted = static_cast<size_t>(header.data_bytes);
  SEPTET_ASSIGN_OR_RETURN(const size_t got, source.Read(data, wanted));
  const auto described = [&header] {
    return absl::StrCat("IDX: ", DTypeName(header.dtype), " ",
                        header.shape.ToString(), " needs ", header.data_bytes,
                        " bytes after the header of ", header.header_bytes);
  };
  if (got < wanted) {
    return absl::DataLossError(
        absl::StrCat(described(), ", the file has ", got, ": truncated"));
  }
  // One byte more sees what follows, and lets gzip compare its checksum.
  char more;
  SEPTET_ASSIGN_OR_RETURN(const size_t rest, source.Read(&more, 1));
  if (rest > 0) {
    return absl::DataLossError(
        absl::StrCat(described(), ", the file has ", "more"));
  }
  const size_t size = DTypeSize(header.dtype);
  SwapElements(data, wanted / size, size);
  return tensor;
}

absl::StatusOr<Tensor> ReadIdx(absl::string_view path,
                               const IdxOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  SEPTET_ASSIGN_OR_RETURN(Tensor tensor, ParseIdx(file.data(), options),
                          _ << path);
  return tensor;
}

absl::StatusOr<std::string> SerializeIdx(const Tensor& tensor) {
  std::string bytes;
  SEPTET_RETURN_IF_ERROR(Serialize(tensor, [&bytes](absl::string_view piece) {
    bytes.append(piece.data(), piece.size());
    return absl::OkStatus();
  }));
  return bytes;
}

absl::Status WriteIdx(absl::string_view path, const Tensor& tensor) {
  SEPTET_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  // What AtomicFile says names the path already.
  absl::Status written = absl::OkStatus();
  const auto write = [&](absl::string_view piece) {
    return written = file.Append(piece);
  };
  absl::Status serialized;
  if (absl::EndsWith(path, ".gz")) {
    GzipWriter gzip(write);
    serialized = Serialize(
        tensor, [&](absl::string_view piece) { return gzip.Append(piece); });
    if (serialized.ok()) serialized = gzip.Finish();
  } else {
    serialized = Serialize(tensor, write);
  }
  SEPTET_RETURN_IF_ERROR(written);
  SEPTET_RETURN_IF_ERROR(serialized) << path;
  return file.Commit();
}

}  // namespace septet
