// SPDX-License-Identifier: Apache-2.0
// Any bytes as an .npy file, and as an .npz archive: they give an error or
// arrays; and what was read, written and read again is the same.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/io/npy.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

void CheckError(const absl::Status& status) {
  const absl::StatusCode code = status.code();
  SEPTET_CHECK(code == absl::StatusCode::kDataLoss ||
               code == absl::StatusCode::kUnimplemented ||
               code == absl::StatusCode::kResourceExhausted)
      << status;
}

void CheckSame(const Tensor& a, const Tensor& b) {
  SEPTET_CHECK(a.dtype() == b.dtype());
  SEPTET_CHECK(a.shape() == b.shape());
  const absl::StatusOr<Tensor> x = a.Contiguous();
  const absl::StatusOr<Tensor> y = b.Contiguous();
  SEPTET_CHECK(x.ok() && y.ok());
  const size_t bytes = x->num_elements() * DTypeSize(x->dtype());
  if (bytes == 0) return;
  SEPTET_CHECK(std::memcmp(x->raw_data(), y->raw_data(), bytes) == 0);
}

void Fuzz(absl::string_view input) {
  const absl::StatusOr<Tensor> array = ParseNpy(std::string(input), "input");
  if (array.ok()) {
    const absl::StatusOr<std::string> written = SerializeNpy(*array);
    SEPTET_CHECK(written.ok()) << written.status();
    const absl::StatusOr<Tensor> again = ParseNpy(*written, "again");
    SEPTET_CHECK(again.ok()) << again.status();
    CheckSame(*array, *again);
  } else {
    CheckError(array.status());
  }

  NpzOptions options;
  options.max_inflated_bytes = 1 << 20;
  const absl::StatusOr<std::map<std::string, Tensor>> arrays =
      ParseNpz(std::string(input), "input", options);
  if (!arrays.ok()) {
    CheckError(arrays.status());
    return;
  }
  // Names without letters, or too long ones, can be read and not written.
  const absl::StatusOr<std::string> written = SerializeNpz(*arrays);
  if (!written.ok()) {
    SEPTET_CHECK(absl::IsInvalidArgument(written.status())) << written.status();
    return;
  }
  const absl::StatusOr<std::map<std::string, Tensor>> again =
      ParseNpz(*written, "again", options);
  SEPTET_CHECK(again.ok()) << again.status();
  SEPTET_CHECK_EQ(again->size(), arrays->size());
  for (const auto& [name, tensor] : *arrays) CheckSame(tensor, again->at(name));
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
