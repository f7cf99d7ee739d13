// SPDX-License-Identifier: Apache-2.0
// Any bytes as an IDX file, plain or compressed: they give an error or a
// tensor; and what was read, written and read again is the same.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/io/gzip.h"
#include "septet/core/io/idx.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

void Fuzz(absl::string_view input) {
  IdxOptions options;
  options.max_bytes = 1 << 20;
  const absl::StatusOr<Tensor> tensor = ParseIdx(input, options);
  if (!tensor.ok()) {
    const absl::StatusCode code = tensor.status().code();
    SEPTET_CHECK(code == absl::StatusCode::kDataLoss ||
                 code == absl::StatusCode::kUnimplemented ||
                 code == absl::StatusCode::kResourceExhausted)
        << tensor.status();
    return;
  }
  const absl::StatusOr<std::string> written = SerializeIdx(*tensor);
  SEPTET_CHECK(written.ok()) << written.status();
  if (!IsGzip(input)) SEPTET_CHECK(*written == input);
  const absl::StatusOr<Tensor> again = ParseIdx(*written, options);
  SEPTET_CHECK(again.ok()) << again.status();
  SEPTET_CHECK_EQ(again->DebugString(), tensor->DebugString());
  SEPTET_CHECK(
      std::memcmp(again->raw_data(), tensor->raw_data(),
                  tensor->num_elements() * DTypeSize(tensor->dtype())) == 0);
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
