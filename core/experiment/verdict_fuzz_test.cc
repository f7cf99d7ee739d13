// SPDX-License-Identifier: Apache-2.0
// Any bytes as a verdict.json: an error, or a verdict whose tables can be made
// and that is read again as it is written.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/experiment/verdict.h"
#include "septet/core/experiment/verdict_table.h"

namespace septet {
namespace {

void Fuzz(absl::string_view input) {
  const absl::StatusOr<Verdict> verdict = ParseVerdict(input, "input");
  if (!verdict.ok()) {
    SEPTET_CHECK(verdict.status().code() == absl::StatusCode::kDataLoss ||
                 verdict.status().code() ==
                     absl::StatusCode::kFailedPrecondition)
        << verdict.status();
    return;
  }
  for (const JudgedCheck& check : verdict->checks) {
    SEPTET_CHECK_EQ(check.by_seed.size(), verdict->seeds.size());
  }
  SEPTET_CHECK(!VerdictText(*verdict).empty());
  SEPTET_CHECK(!VerdictMarkdown(*verdict).empty());
  SEPTET_CHECK(!VerdictCsv(*verdict).empty());
  const absl::StatusOr<std::string> text = VerdictJson(*verdict);
  SEPTET_CHECK(text.ok()) << text.status();
  const absl::StatusOr<Verdict> again = ParseVerdict(*text, "again");
  SEPTET_CHECK(again.ok()) << again.status();
  SEPTET_CHECK_EQ(VerdictJson(*again).value(), *text);
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
