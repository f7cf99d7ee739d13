// SPDX-License-Identifier: Apache-2.0
// The frame of the tools: command lines into protobuf messages, --help, and
// exit codes.
//
//   int main(int argc, char** argv) {
//     septet::TrainFlags flags;      // fields: preset, all, run_dir
//     septet::TrainOptions options;  // fields: layers, attention.kind, ...
//     septet::ToolSpec tool;
//     tool.name = "train";
//     tool.summary = "Trains a model.";
//     tool.arguments = "[FILE]...";
//     tool.flags = &flags;
//     tool.options = &options;
//     return septet::RunTool(tool, argc, argv,
//                            [&](const std::vector<std::string>& files) {
//                              return Train(flags, options, files);
//                            });
//   }
//
//   bazel run //tools:train -- --preset=quick --set layers=6 --all a.txt
//
// Each field of the flags message is a flag of its name. `--name=value` and
// `--name value` set it, in the syntax of setter.h; a bool also as --name and
// --noname, and its value only behind "=". A flag given again replaces the
// value, or adds to the list where the field is repeated. A value that begins
// with "--" needs "=". Behind "--" everything is an argument; so is a single
// "-".
//
// A tool with options also has --config=FILE (text format; read first, wherever
// it stands) and --set NAME=VALUE, any number of times. --help prints all flags
// and options with defaults, whatever else is on the line.
//
// A program of several commands, each with flags, options and help of its own:
//
//   return septet::RunTools(
//       "byte_lm", "A language model of bytes.",
//       {{train, [&](const auto& files) { return Train(flags, files); }},
//        {eval, [&](const auto& files) { return Eval(eval_flags, files); }}},
//       argc, argv);
//
//   bazel run //baselines/byte_lm -- train --seed=2
//   bazel run //baselines/byte_lm -- eval --help
//
// Exit codes: 0 it worked, 1 the run failed, 2 the command line was wrong, 130
// and 143 for InterruptedError after SIGINT and SIGTERM (core/base/signals.h).
#ifndef SEPTET_CORE_CONFIG_COMMAND_LINE_H_
#define SEPTET_CORE_CONFIG_COMMAND_LINE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace septet {

// What a tool's command line may hold.
struct ToolSpec {
  std::string name;       // as in "See `name --help`"
  std::string summary;    // what it does: a sentence or a few lines
  std::string arguments;  // how --help shows the arguments; empty: takes none
  // Both are filled in, and follow the rules of options.proto; flags has no
  // messages inside. Null: there are none.
  google::protobuf::Message* flags = nullptr;
  google::protobuf::Message* options = nullptr;
};

// What is left of a command line when flags and options are filled in.
struct CommandLine {
  std::vector<std::string> arguments;
  bool help = false;  // --help was there; nothing else has been looked at
};

// Reads `args` (without the program's name) into tool.flags and tool.options.
// Errors: InvalidArgument with a line for each thing that is wrong, unknown
// flags with the nearest name; or what ReadOptionsFile says of --config. flags
// and options are then unspecified, but valid.
absl::StatusOr<CommandLine> ParseCommandLine(
    const ToolSpec& tool, const std::vector<std::string>& args);

// What --help prints.
std::string ToolHelp(const ToolSpec& tool);

// InvalidArgument that RunTool takes for a fault in the command line, for what
// only the tool itself can find out (an argument that names nothing).
absl::Status UsageError(absl::string_view message);

// True for what UsageError has made.
bool IsUsageError(const absl::Status& status);

// The body of a main(): parses the command line, calls `run` with the arguments
// and returns the exit code. Messages go to standard error, --help to standard
// output.
int RunTool(
    const ToolSpec& tool, int argc, const char* const* argv,
    absl::FunctionRef<absl::Status(const std::vector<std::string>&)> run);

// One command of a program: its name in `tool` is the word that chooses it.
struct ToolCommand {
  ToolSpec tool;
  std::function<absl::Status(const std::vector<std::string>&)> run;
};

// What --help prints in place of a command: `summary`, and each command with
// the first line of its own.
std::string ToolsHelp(absl::string_view name, absl::string_view summary,
                      const std::vector<ToolCommand>& commands);

// The body of a main() of several commands. The first word chooses one, and
// RunTool takes the rest, under the name "<name> <command>". --help in place of
// a command lists them. A first word that is none is a fault in the command
// line, with the nearest name. `commands` has at least one, and no two of one
// name.
int RunTools(absl::string_view name, absl::string_view summary,
             const std::vector<ToolCommand>& commands, int argc,
             const char* const* argv);

}  // namespace septet

#endif  // SEPTET_CORE_CONFIG_COMMAND_LINE_H_
