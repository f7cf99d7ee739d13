// SPDX-License-Identifier: Apache-2.0
// result.json in the folder of a seed: that the seed is done, and what it
// measured. It is what lets a run that was stopped go on.
//
//   SEPTET_RETURN_IF_ERROR(WriteSeedRecord(path, record));
//   SEPTET_ASSIGN_OR_RETURN(SeedRecord record, ReadSeedRecord(path));
//   if (record.fingerprint != mine) ...   // of other options
#ifndef SEPTET_CORE_EXPERIMENT_SEED_RECORD_H_
#define SEPTET_CORE_EXPERIMENT_SEED_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "septet/core/experiment/experiment.h"

namespace septet {

struct SeedRecord {
  // Of what was run: RunFingerprint.
  std::string fingerprint;
  uint64_t seed = 0;
  std::string git;     // revision of the program that ran it
  double seconds = 0;  // wall time
  SeedResult result;
};

// The version that is written, and the only one that is read.
inline constexpr int kSeedRecordSchemaVersion = 1;

// 16 hexadecimal digits for the experiment, the preset and the options, which
// are complete or null: equal for equal ones, else most probably not.
std::string RunFingerprint(const Experiment& experiment, Preset preset,
                           const google::protobuf::Message* options);

// Writes the file atomically. Errors: those of core/base/file.h;
// InvalidArgument for a metric that is not named in UTF-8.
absl::Status WriteSeedRecord(absl::string_view path, const SeedRecord& record);

// The record in the text of a file; `name` stands for the path in messages.
// Errors: FailedPrecondition for another schema version; DataLoss, with the
// field, what was expected and what was found.
absl::StatusOr<SeedRecord> ParseSeedRecord(absl::string_view text,
                                           absl::string_view name);

// ParseSeedRecord of the file at `path`. Errors: also those of
// core/base/file.h; NotFound is that there is no such file.
absl::StatusOr<SeedRecord> ReadSeedRecord(absl::string_view path);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_SEED_RECORD_H_
