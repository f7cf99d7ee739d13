// SPDX-License-Identifier: Apache-2.0
// Any bytes as the files of a run folder: rows of metrics, events, a
// checkpoint, a manifest. Each gives an error that says why, or what was read
// can be written and read again.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/event_file.h"
#include "septet/core/train/kill_test_flags.pb.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/run_folder.h"

namespace septet {
namespace {

void CheckError(const absl::Status& status) {
  SEPTET_CHECK(absl::IsDataLoss(status)) << status;
  SEPTET_CHECK(!status.message().empty());
}

void FuzzMetrics(absl::string_view input) {
  const absl::StatusOr<std::vector<MetricRow>> rows =
      ParseMetrics(input, "input");
  if (!rows.ok()) return CheckError(rows.status());
  for (const MetricRow& row : *rows) SEPTET_CHECK_GE(row.step, 0);
  // A file that can be read can be read up to any of its lines.
  for (size_t end = input.find('\n'); end != absl::string_view::npos;
       end = input.find('\n', end + 1)) {
    SEPTET_CHECK(ParseMetrics(input.substr(0, end + 1), "input").ok());
    if (end > 200) break;
  }
}

void FuzzEvents(absl::string_view input) {
  const absl::StatusOr<EventFileContent> content = ParseEvents(input, "input");
  if (!content.ok()) return CheckError(content.status());
  SEPTET_CHECK_EQ(content->events.size(), content->ends.size());
  const size_t end = content->ends.empty() ? 0 : content->ends.back();
  SEPTET_CHECK_EQ(end + content->torn_bytes, input.size());
  std::string again;
  for (const events::Event& event : content->events) {
    again += EventRecord(event);
  }
  const absl::StatusOr<EventFileContent> second = ParseEvents(again, "again");
  SEPTET_CHECK(second.ok()) << second.status();
  SEPTET_CHECK_EQ(second->events.size(), content->events.size());
}

void FuzzCheckpoint(absl::string_view input) {
  const absl::StatusOr<Checkpoint> checkpoint =
      ParseCheckpoint(std::string(input), "input");
  if (checkpoint.ok()) {
    SEPTET_CHECK_GE(checkpoint->step, 0);
    return;
  }
  // Tensors of types that we do not have.
  if (absl::IsUnimplemented(checkpoint.status())) return;
  CheckError(checkpoint.status());
}

void FuzzManifest(absl::string_view input) {
  const KillTestOptions options;
  Manifest manifest;
  manifest.tool = "tool";
  manifest.options = &options;
  const absl::Status status = CheckManifestText(input, manifest);
  // Another run, or options that do not parse, are answered, too.
  if (status.ok() || absl::IsFailedPrecondition(status) ||
      absl::IsInvalidArgument(status)) {
    return;
  }
  CheckError(status);
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  septet::FuzzMetrics(input);
  septet::FuzzEvents(input);
  septet::FuzzCheckpoint(input);
  septet::FuzzManifest(input);
  return 0;
}
