// SPDX-License-Identifier: Apache-2.0
// A language model of bytes, as a program:
//
//   bazel run //baselines/byte_lm -- train --out=run --set train.steps=1500
//   bazel run //baselines/byte_lm -- eval run
//   bazel run //baselines/byte_lm -- generate run --prompt="Q: "
#include <iostream>
#include <string>
#include <vector>

#include "septet/baselines/byte_lm/commands.h"
#include "septet/baselines/byte_lm/flags.pb.h"
#include "septet/baselines/byte_lm/options.pb.h"
#include "septet/core/config/command_line.h"

int main(int argc, char** argv) {
  septet::ByteLmTrainFlags train_flags;
  septet::ByteLmOptions options;
  septet::ToolSpec train;
  train.name = "train";
  train.summary =
      "Trains a model, and keeps metrics and checkpoints in a folder.\n"
      "Ctrl-C saves; --resume goes on, bit for bit.";
  train.flags = &train_flags;
  train.options = &options;

  septet::ByteLmEvalFlags eval_flags;
  septet::ToolSpec eval;
  eval.name = "eval";
  eval.summary = "Measures bits a byte of held-out text, or of any.";
  eval.arguments = "FOLDER|CHECKPOINT";
  eval.flags = &eval_flags;

  septet::ByteLmGenerateFlags generate_flags;
  septet::ToolSpec generate;
  generate.name = "generate";
  generate.summary = "Writes text that goes on with a prompt.";
  generate.arguments = "FOLDER|CHECKPOINT";
  generate.flags = &generate_flags;

  using Arguments = std::vector<std::string>;
  return septet::RunTools(
      "byte_lm",
      "A language model of bytes: a small transformer on Debian's fortunes, or "
      "on your text.",
      {{train,
        [&](const Arguments&) {
          return septet::TrainByteLm(train_flags, options, std::cout);
        }},
       {eval,
        [&](const Arguments& arguments) {
          return septet::EvalByteLm(eval_flags, arguments, std::cout);
        }},
       {generate,
        [&](const Arguments& arguments) {
          return septet::GenerateByteLm(generate_flags, arguments, std::cout);
        }}},
      argc, argv);
}
