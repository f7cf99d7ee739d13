// SPDX-License-Identifier: Apache-2.0
// A classifier of small images, as a program:
//
//   bazel run //baselines/fashion_classifier -- train --out=run
//   bazel run //baselines/fashion_classifier -- eval run
#include <iostream>
#include <string>
#include <vector>

#include "septet/baselines/fashion_classifier/commands.h"
#include "septet/baselines/fashion_classifier/flags.pb.h"
#include "septet/baselines/fashion_classifier/options.pb.h"
#include "septet/core/config/command_line.h"

int main(int argc, char** argv) {
  septet::ImageClassifierTrainFlags train_flags;
  septet::ImageClassifierOptions options;
  septet::ToolSpec train;
  train.name = "train";
  train.summary =
      "Trains a model, and keeps metrics and checkpoints in a folder.\n"
      "Ctrl-C saves; --resume goes on, bit for bit.";
  train.flags = &train_flags;
  train.options = &options;

  septet::ImageClassifierEvalFlags eval_flags;
  septet::ToolSpec eval;
  eval.name = "eval";
  eval.summary = "Measures how well a model knows images, class by class.";
  eval.arguments = "FOLDER|CHECKPOINT";
  eval.flags = &eval_flags;

  using Arguments = std::vector<std::string>;
  return septet::RunTools(
      "fashion_classifier",
      "A classifier of small images: a convolutional network on Fashion-MNIST, "
      "or on your images.",
      {{train,
        [&](const Arguments&) {
          return septet::TrainFashionClassifier(train_flags, options,
                                                std::cout);
        }},
       {eval,
        [&](const Arguments& arguments) {
          return septet::EvalFashionClassifier(eval_flags, arguments,
                                               std::cout);
        }}},
      argc, argv);
}
