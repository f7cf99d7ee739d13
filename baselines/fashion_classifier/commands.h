// SPDX-License-Identifier: Apache-2.0
// What the commands of fashion_classifier do, for the program and its tests.
#ifndef SEPTET_BASELINES_FASHION_CLASSIFIER_COMMANDS_H_
#define SEPTET_BASELINES_FASHION_CLASSIFIER_COMMANDS_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "septet/baselines/fashion_classifier/flags.pb.h"
#include "septet/baselines/fashion_classifier/options.pb.h"

namespace septet {

// Trains in flags.out(), with a summary (a line of JSON) on `out`; progress
// goes to standard error.
absl::Status TrainFashionClassifier(const ImageClassifierTrainFlags& flags,
                                    const ImageClassifierOptions& options,
                                    std::ostream& out);

// Prints how well the model in arguments[0], a run folder or a checkpoint,
// knows each class, as a table and a line of JSON.
absl::Status EvalFashionClassifier(const ImageClassifierEvalFlags& flags,
                                   const std::vector<std::string>& arguments,
                                   std::ostream& out);

}  // namespace septet

#endif  // SEPTET_BASELINES_FASHION_CLASSIFIER_COMMANDS_H_
