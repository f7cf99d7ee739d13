// SPDX-License-Identifier: Apache-2.0
// Tensors by name in a safetensors file: read without copying, written in one
// piece.
//
// The format (https://github.com/huggingface/safetensors): 8 bytes, the length
// N of the header, little endian; N bytes of JSON,
//   {"__metadata__": {"key": "text"},
//    "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
// possibly with spaces behind; then the elements, row-major, little endian.
// Offsets count from the end of the header; together they cover the rest of the
// file without overlap or gap.
//
//   SEPTET_RETURN_IF_ERROR(WriteSafetensors(path, {{"w", w}, {"b", b}},
//                                           {{"method", "demo"}}));
//
//   SEPTET_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
//   SEPTET_ASSIGN_OR_RETURN(Tensor w, file.Get("w"));
//   std::string method = file.metadata().at("method");
//
// dtypes: F64 F32 F16 BF16 I64 I32 U16 U8 BOOL. A file may hold others, and
// tensors of more than 8 axes: it opens, and only those tensors cannot be had.
//
// Stricter than the reference implementation in: unknown or repeated keys are
// errors, and so is a BOOL byte that is neither 0 nor 1.
//
// Cost: opening maps the file and reads the header (linear in it, plus a sort
// by offset); Get touches no element but those of BOOL tensors. A tensor whose
// bytes are misaligned for its type is copied. Files of several shards:
// sharded_safetensors.h.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_SAFETENSORS_H_
#define SEPTET_CORE_IO_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// Longer headers are refused, as by the reference implementation.
inline constexpr size_t kMaxSafetensorsHeaderBytes = 100'000'000;

// What the header says, checked against the size of the file.
struct SafetensorsHeader {
  struct Entry {
    std::string name;
    std::string dtype;           // as in the file: "F32", perhaps unknown to us
    std::vector<int64_t> shape;  // perhaps of more than kMaxRank extents
    size_t begin = 0;            // bytes from the start of the file
    size_t end = 0;
  };

  std::vector<Entry> entries;  // sorted by name
  std::map<std::string, std::string> metadata;
};

// Parses and checks the header of a whole file in memory. DataLoss, naming the
// tensor, what was expected and what was found, if the file is not as the
// format says.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::string_view file);

struct SafetensorsInfo {
  DType dtype;
  Shape shape;
};

// An open file. Copies are handles of the same mapping, which lives until the
// last of them and of the tensors that came from it is gone. May be used from
// several threads.
class SafetensorsFile {
 public:
  // Maps the file at `path` and checks its header. NotFound and the other
  // codes of core/base/file.h if it cannot be read; DataLoss if it is corrupt.
  // Messages begin with the path.
  static absl::StatusOr<SafetensorsFile> Open(absl::string_view path);

  // The same with the bytes of a file; `name` stands for the path in messages.
  static absl::StatusOr<SafetensorsFile> FromBytes(std::string bytes,
                                                   absl::string_view name);

  // All tensors, also those that Get refuses; sorted bytewise.
  const std::vector<std::string>& names() const;

  // "__metadata__"; empty where the file has none.
  const std::map<std::string, std::string>& metadata() const;

  bool Contains(absl::string_view name) const;

  // NotFound, with the nearest name, if there is no such tensor. Unimplemented
  // if its dtype or its number of axes is not ours.
  absl::StatusOr<SafetensorsInfo> Info(absl::string_view name) const;

  // The tensor, on the CPU and read only: its elements are the file's. Errors
  // as those of Info; DataLoss for a BOOL tensor with other bytes than 0 and 1;
  // ResourceExhausted if a misaligned tensor cannot be copied.
  absl::StatusOr<Tensor> Get(absl::string_view name) const;

  // As given to Open or FromBytes.
  const std::string& path() const;

 private:
  struct Content;

  explicit SafetensorsFile(std::shared_ptr<const Content> content);
  static absl::StatusOr<SafetensorsFile> Parse(
      std::shared_ptr<Content> content);

  absl::StatusOr<const SafetensorsHeader::Entry*> Find(
      absl::string_view name) const;

  std::shared_ptr<const Content> content_;
};

// The bytes of a file with these tensors. The same tensors and metadata give
// the same bytes. Elements are ordered by dtype, from wide to narrow (I64 F64
// F32 I32 BF16 F16 U16 U8 BOOL), then by name, so that all are aligned; this is
// the reference implementation's order, too. Tensors need not be contiguous.
// InvalidArgument, naming the tensor, if a name or a text is not UTF-8, a name
// is "__metadata__", a tensor is undefined or has no storage, or the header
// would be longer than kMaxSafetensorsHeaderBytes.
absl::StatusOr<std::string> SerializeSafetensors(
    const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, std::string>& metadata = {});

// Writes these bytes to `path`: the file is there complete, and on disk, or as
// it was before. Needs memory for one tensor at most, and only if that is not
// contiguous. Errors as above and those of AtomicFile (core/base/file.h).
absl::Status WriteSafetensors(
    absl::string_view path, const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, std::string>& metadata = {});

}  // namespace septet

#endif  // SEPTET_CORE_IO_SAFETENSORS_H_
