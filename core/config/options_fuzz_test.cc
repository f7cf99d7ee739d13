// SPDX-License-Identifier: Apache-2.0
// Any bytes as an options file, and as assignments for --set, one a line: what
// is accepted is valid and survives printing; what is refused changes nothing.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/config/setter.h"
#include "septet/core/config/test_options.pb.h"
#include "septet/core/config/text.h"

namespace septet {
namespace {

void CheckResult(const absl::Status& status, const TestOptions& options,
                 const TestOptions& before) {
  if (!status.ok()) {
    SEPTET_CHECK(!status.message().empty());
    SEPTET_CHECK_EQ(options.SerializeAsString(), before.SerializeAsString());
    return;
  }
  const absl::Status valid = ValidateOptions(options);
  SEPTET_CHECK(valid.ok()) << valid.message();
  const TestOptions complete = CompleteOptions(options);
  TestOptions back;
  const absl::Status read =
      ParseOptions(PrintOptions(complete), "printed", &back);
  SEPTET_CHECK(read.ok()) << read.message();
  SEPTET_CHECK_EQ(back.SerializeAsString(), complete.SerializeAsString());
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  septet::TestOptions before;
  before.set_layers(9);
  before.add_hidden()->set_width(5);
  septet::TestOptions options = before;
  septet::CheckResult(septet::ParseOptions(text, "input", &options), options,
                      before);
  options = before;
  const std::vector<std::string> assignments = absl::StrSplit(text, '\n');
  septet::CheckResult(septet::SetOptions(&options, assignments), options,
                      before);
  // One at a time, so that a bad one does not hide the rest.
  for (const std::string& assignment : assignments) {
    const septet::TestOptions previous = options;
    septet::CheckResult(septet::SetOption(&options, assignment), options,
                        previous);
  }
  return 0;
}
