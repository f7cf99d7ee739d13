// SPDX-License-Identifier: Apache-2.0
// What the commands of byte_lm do, for the program and its tests.
#ifndef SEPTET_BASELINES_BYTE_LM_COMMANDS_H_
#define SEPTET_BASELINES_BYTE_LM_COMMANDS_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "septet/baselines/byte_lm/flags.pb.h"
#include "septet/baselines/byte_lm/options.pb.h"

namespace septet {

// Trains in flags.out(), with a summary (a line of JSON) on `out`; progress
// goes to standard error.
absl::Status TrainByteLm(const ByteLmTrainFlags& flags,
                         const ByteLmOptions& options, std::ostream& out);

// Prints bits a byte of the model in arguments[0], a run folder or a
// checkpoint, as a table and a line of JSON.
absl::Status EvalByteLm(const ByteLmEvalFlags& flags,
                        const std::vector<std::string>& arguments,
                        std::ostream& out);

// Writes prompt and text of the model in arguments[0] to `out`, a byte at a
// time, and how fast it was to standard error.
absl::Status GenerateByteLm(const ByteLmGenerateFlags& flags,
                            const std::vector<std::string>& arguments,
                            std::ostream& out);

}  // namespace septet

#endif  // SEPTET_BASELINES_BYTE_LM_COMMANDS_H_
