// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of torch.save: they give an error or tensors whose every
// element can be read.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/io/torch_checkpoint.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

void Fuzz(absl::string_view input) {
  TorchCheckpointOptions options;
  options.max_inflated_bytes = 1 << 20;
  options.max_copied_bytes = 1 << 20;
  const absl::StatusOr<TorchCheckpoint> checkpoint =
      ParseTorchCheckpoint(std::string(input), "input", options);
  if (!checkpoint.ok()) {
    const absl::StatusCode code = checkpoint.status().code();
    SEPTET_CHECK(code == absl::StatusCode::kDataLoss ||
                 code == absl::StatusCode::kUnimplemented ||
                 code == absl::StatusCode::kResourceExhausted)
        << checkpoint.status();
    return;
  }
  for (const auto& [name, tensor] : checkpoint->tensors) {
    // An expanded axis may have any extent.
    if (tensor.num_elements() > 1 << 20) continue;
    const absl::StatusOr<Tensor> copy = tensor.Clone();
    SEPTET_CHECK(copy.ok()) << name << copy.status();
  }
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
