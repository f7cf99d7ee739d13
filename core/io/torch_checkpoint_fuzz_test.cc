// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of torch.save, and as the pickle in one with a storage of
// 64 bytes, which no search would get past the archive around it: they give an
// error or tensors that can be read to the last byte, within limits of memory.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/io/pickle_impl.h"
#include "septet/core/io/torch_checkpoint.h"
#include "septet/core/io/zip_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr int64_t kLimit = 1 << 16;

bool IsExpected(const absl::Status& status) {
  return status.code() == absl::StatusCode::kDataLoss ||
         status.code() == absl::StatusCode::kUnimplemented ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

void Parse(const std::string& file) {
  TorchCheckpointOptions options;
  options.max_inflated_bytes = kLimit;
  options.max_copied_bytes = kLimit;
  options.max_object_bytes = kLimit;
  const absl::StatusOr<TorchCheckpoint> all =
      ParseTorchCheckpoint(file, "input", options);
  if (!all.ok()) {
    SEPTET_CHECK(IsExpected(all.status())) << all.status();
    return;
  }
  SEPTET_CHECK(all->tensors.size() + all->values.size() +
                   all->unsupported.size() <=
               1000 + 16 * (file.size() + kLimit));
  for (const auto& [name, tensor] : all->tensors) {
    SEPTET_CHECK(all->values.count(name) + all->unsupported.count(name) == 0)
        << name;
    // Stride 0 may stand for any number of elements.
    if (tensor.num_elements() > kLimit) continue;
    const absl::StatusOr<Tensor> dense = tensor.Contiguous();
    SEPTET_CHECK(dense.ok()) << dense.status();
    const auto* bytes = static_cast<const unsigned char*>(dense->raw_data());
    const size_t count = dense->num_elements() * DTypeSize(dense->dtype());
    unsigned char all_bits = 0;
    for (size_t i = 0; i < count; ++i) all_bits |= bytes[i];
    SEPTET_CHECK(tensor.dtype() != DType::kBool || all_bits <= 1) << name;
  }
}

void Fuzz(absl::string_view input) {
  const std::string text(input);
  Parse(text);

  const absl::StatusOr<io_internal::Pickle> pickle =
      io_internal::ReadPickle(text, kLimit);
  if (!pickle.ok()) {
    SEPTET_CHECK(IsExpected(pickle.status())) << pickle.status();
    return;
  }
  std::string file;
  io_internal::ZipWriter writer([&file](absl::string_view piece) {
    absl::StrAppend(&file, piece);
    return absl::OkStatus();
  });
  const absl::string_view used = input.substr(0, pickle->bytes);
  const std::string storage(64, '\1');
  SEPTET_CHECK(writer.Add("m/data.pkl", {used}, {}).ok());
  SEPTET_CHECK(writer.Add("m/data/0", {storage}, {}).ok());
  SEPTET_CHECK(writer.Finish().ok());
  Parse(file);
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
