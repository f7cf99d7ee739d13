// SPDX-License-Identifier: Apache-2.0
// What the commands of tools/retnet do, for the program and its tests.
#ifndef SEPTET_RETENTION_LM_COMMANDS_H_
#define SEPTET_RETENTION_LM_COMMANDS_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "septet/retention/lm/flags.pb.h"
#include "septet/retention/lm/options.pb.h"

namespace septet {

// Trains in flags.out(), with a summary (a line of JSON) on `out`; progress
// goes to standard error. Unimplemented for --dtype=bf16.
absl::Status TrainRetNet(const RetNetTrainFlags& flags,
                         const RetentionLmOptions& options, std::ostream& out);

// Prints bits a byte of the model in arguments[0], a run folder or a
// checkpoint, as a table and a line of JSON.
absl::Status EvalRetNet(const RetNetEvalFlags& flags,
                        const std::vector<std::string>& arguments,
                        std::ostream& out);

// Writes prompts and texts of the model in arguments[0] to `out`, a single one
// a byte at a time, and how fast it was to standard error; with --json a line
// of JSON with all of it.
absl::Status GenerateRetNet(const RetNetGenerateFlags& flags,
                            const std::vector<std::string>& arguments,
                            std::ostream& out);

// Prints parameters, decays and the size of the state, and a line of JSON: of
// the model in arguments[0], with each tensor and its decays as they are, or
// without an argument of one that the options describe and that is not made.
absl::Status InspectRetNet(const RetNetInspectFlags& flags,
                           const RetentionLmOptions& options,
                           const std::vector<std::string>& arguments,
                           std::ostream& out);

}  // namespace septet

#endif  // SEPTET_RETENTION_LM_COMMANDS_H_
