// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/open_checkpoint.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/npy.h"
#include "septet/core/io/quote.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/io/sharded_safetensors.h"
#include "septet/core/io/torch_checkpoint.h"
#include "septet/core/io/zip_impl.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using Tensors = std::map<std::string, Tensor>;

enum class Format { kSafetensors, kIndex, kNpz, kNpy, kTorch };

absl::StatusOr<Format> FormatOf(absl::string_view file) {
  if (file.empty()) return absl::DataLossError("the file is empty");
  if (absl::StartsWith(file, "\x93NUMPY")) return Format::kNpy;
  // An archive without entries has no other record than its last.
  if (absl::StartsWith(file, "PK\x05\x06")) return Format::kNpz;
  if (absl::StartsWith(file, "PK\x03\x04")) {
    SEPTET_ASSIGN_OR_RETURN(const io_internal::ZipArchive zip,
                            io_internal::ZipArchive::Open(file));
    for (const io_internal::ZipEntry& entry : zip.entries()) {
      if (absl::EndsWith(entry.name, "/data.pkl")) return Format::kTorch;
    }
    return Format::kNpz;
  }
  if (LooksLikeTorchCheckpoint(file)) return Format::kTorch;
  // The length of the header, which is JSON; the largest has four bytes, so
  // that the others are zero and none of a text.
  if (file.size() > 8 && file[8] == '{') {
    uint64_t length;
    std::memcpy(&length, file.data(), sizeof(length));
    if (length <= kMaxSafetensorsHeaderBytes) return Format::kSafetensors;
  }
  const size_t first = file.find_first_not_of(" \t\r\n");
  if (first != absl::string_view::npos && file[first] == '{') {
    return Format::kIndex;
  }
  return absl::DataLossError(absl::StrCat(
      "begins with ", QuoteName(file.substr(0, 16)),
      ", as no file of safetensors, torch.save or NumPy does, and no index of "
      "safetensors"));
}

// All that `file`, a SafetensorsFile or ShardedSafetensors, has.
template <typename File>
absl::StatusOr<Tensors> All(const File& file) {
  Tensors tensors;
  for (const std::string& name : file.names()) {
    SEPTET_ASSIGN_OR_RETURN(Tensor tensor, file.Get(name));
    tensors.emplace(name, std::move(tensor));
  }
  return tensors;
}

}  // namespace

absl::StatusOr<Tensors> OpenCheckpoint(absl::string_view path) {
  Format format;
  {
    SEPTET_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
    SEPTET_ASSIGN_OR_RETURN(format, FormatOf(file.data()), _ << path);
  }
  switch (format) {
    case Format::kSafetensors: {
      SEPTET_ASSIGN_OR_RETURN(const SafetensorsFile file,
                              SafetensorsFile::Open(path));
      return All(file);
    }
    case Format::kIndex: {
      SEPTET_ASSIGN_OR_RETURN(const ShardedSafetensors file,
                              ShardedSafetensors::Open(path));
      return All(file);
    }
    case Format::kNpz:
      return ReadNpz(path);
    case Format::kNpy: {
      SEPTET_ASSIGN_OR_RETURN(Tensor tensor, ReadNpy(path));
      return Tensors{{"", std::move(tensor)}};
    }
    case Format::kTorch:
      break;
  }
  return ReadTorchCheckpoint(path);
}

}  // namespace septet
