// SPDX-License-Identifier: Apache-2.0
// RetNet, and what it is compared with, as language models of bytes:
//
//   bazel run //tools:retnet -- train --out=run --set train.steps=1500
//   bazel run //tools:retnet -- train --out=peer --set kind=transformer
//   bazel run //tools:retnet -- eval run --positions
//   bazel run //tools:retnet -- generate run --prompt="Q: "
//   bazel run //tools:retnet -- inspect --preset=7b
#include <iostream>
#include <string>
#include <vector>

#include "septet/core/config/command_line.h"
#include "septet/retention/lm/commands.h"
#include "septet/retention/lm/flags.pb.h"
#include "septet/retention/lm/options.pb.h"

int main(int argc, char** argv) {
  septet::RetNetTrainFlags train_flags;
  septet::RetentionLmOptions train_options;
  septet::ToolSpec train;
  train.name = "train";
  train.summary =
      "Trains a model, and keeps metrics and checkpoints in a folder.\n"
      "Ctrl-C saves; --resume goes on, bit for bit.";
  train.flags = &train_flags;
  train.options = &train_options;

  septet::RetNetEvalFlags eval_flags;
  septet::ToolSpec eval;
  eval.name = "eval";
  eval.summary =
      "Measures bits a byte of held-out text, or of any, at several contexts.";
  eval.arguments = "FOLDER|CHECKPOINT";
  eval.flags = &eval_flags;

  septet::RetNetGenerateFlags generate_flags;
  septet::ToolSpec generate;
  generate.name = "generate";
  generate.summary = "Writes texts that go on with prompts.";
  generate.arguments = "FOLDER|CHECKPOINT";
  generate.flags = &generate_flags;

  septet::RetNetInspectFlags inspect_flags;
  septet::RetentionLmOptions inspect_options;
  septet::ToolSpec inspect;
  inspect.name = "inspect";
  inspect.summary =
      "Says how many parameters a model has, how fast its heads forget, and "
      "what decoding keeps.";
  inspect.arguments = "[FOLDER|CHECKPOINT]";
  inspect.flags = &inspect_flags;
  inspect.options = &inspect_options;

  using Arguments = std::vector<std::string>;
  return septet::RunTools(
      "retnet",
      "Language models of bytes: RetNet, a transformer, a linear transformer "
      "and RWKV-4.",
      {{train,
        [&](const Arguments&) {
          return septet::TrainRetNet(train_flags, train_options, std::cout);
        }},
       {eval,
        [&](const Arguments& arguments) {
          return septet::EvalRetNet(eval_flags, arguments, std::cout);
        }},
       {generate,
        [&](const Arguments& arguments) {
          return septet::GenerateRetNet(generate_flags, arguments, std::cout);
        }},
       {inspect,
        [&](const Arguments& arguments) {
          return septet::InspectRetNet(inspect_flags, inspect_options,
                                       arguments, std::cout);
        }}},
      argc, argv);
}
