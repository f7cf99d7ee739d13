// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file and as the index of a sharded one: they give
// an error or can be read to the last byte; and what was read, written and read
// again is the same.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/io/sharded_safetensors.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::string_view Bytes(const Tensor& tensor) {
  return {static_cast<const char*>(tensor.raw_data()),
          tensor.num_elements() * DTypeSize(tensor.dtype())};
}

void Fuzz(absl::string_view input) {
  const absl::StatusOr<SafetensorsIndex> index = ParseSafetensorsIndex(input);
  SEPTET_CHECK(index.ok() ||
               index.status().code() == absl::StatusCode::kDataLoss)
      << index.status();

  const absl::StatusOr<SafetensorsFile> file =
      SafetensorsFile::FromBytes(std::string(input), "input");
  if (!file.ok()) {
    SEPTET_CHECK(file.status().code() == absl::StatusCode::kDataLoss)
        << file.status();
    return;
  }
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : file->names()) {
    SEPTET_CHECK(file->Contains(name));
    const absl::StatusOr<Tensor> tensor = file->Get(name);
    if (!tensor.ok()) {
      SEPTET_CHECK(tensor.status().code() == absl::StatusCode::kUnimplemented ||
                   tensor.status().code() == absl::StatusCode::kDataLoss)
          << tensor.status();
      continue;
    }
    tensors.emplace(name, *tensor);
  }
  const absl::StatusOr<std::string> written =
      SerializeSafetensors(tensors, file->metadata());
  SEPTET_CHECK(written.ok()) << written.status();
  const absl::StatusOr<SafetensorsFile> again =
      SafetensorsFile::FromBytes(*written, "again");
  SEPTET_CHECK(again.ok()) << again.status();
  SEPTET_CHECK(again->metadata() == file->metadata());
  SEPTET_CHECK_EQ(again->names().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const absl::StatusOr<Tensor> copy = again->Get(name);
    SEPTET_CHECK(copy.ok()) << copy.status();
    SEPTET_CHECK_EQ(copy->DebugString(), tensor.DebugString());
    SEPTET_CHECK(Bytes(*copy) == Bytes(tensor)) << name;
  }
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
