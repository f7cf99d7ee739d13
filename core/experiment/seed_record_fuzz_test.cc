// SPDX-License-Identifier: Apache-2.0
// Any bytes as a result.json: an error, or a record.
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/experiment/seed_record.h"

namespace septet {
namespace {

void Fuzz(absl::string_view input) {
  const absl::StatusOr<SeedRecord> record = ParseSeedRecord(input, "input");
  if (record.ok()) {
    SEPTET_CHECK(!record->fingerprint.empty());
    SEPTET_CHECK(!record->git.empty());
    return;
  }
  SEPTET_CHECK(record.status().code() == absl::StatusCode::kDataLoss ||
               record.status().code() == absl::StatusCode::kFailedPrecondition)
      << record.status();
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
