// SPDX-License-Identifier: Apache-2.0
// The folder of a run: what was run is in its manifest, and nobody writes over
// it by mistake.
//
//   Manifest manifest;
//   manifest.tool = "byte_lm train";
//   manifest.seed = flags.seed();
//   manifest.options = &options;
//   SEPTET_ASSIGN_OR_RETURN(
//       RunFolder folder,
//       RunFolder::Open(ResolveUserPath(flags.out()), manifest,
//                       {flags.resume(), flags.fresh()}));
//
//   FOLDER/manifest.json     tool, seed, every option, versions, machine
//   FOLDER/metrics.jsonl     core/train/metrics.h
//   FOLDER/events.out.tfevents.0
//   FOLDER/checkpoints/      core/train/checkpoint.h
//
// manifest.json holds each option with its value, also those that have their
// default, under "options" as JSON and under "options_text" as
// ReadOptionsFile() reads it, with the schema version; and under "runs" one
// entry for each time that the environment was another one: git revision,
// versions of libraries, compiler, CPU, vector target, OpenBLAS's kernels,
// threads.
#ifndef SEPTET_CORE_TRAIN_RUN_FOLDER_H_
#define SEPTET_CORE_TRAIN_RUN_FOLDER_H_

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace septet {

struct Manifest {
  std::string tool;  // "byte_lm train"
  uint64_t seed = 0;
  // Null: there are none. Not owned; must live until Open returns.
  const google::protobuf::Message* options = nullptr;
  // Options, by their full name ("train.steps"), with which --resume may differ
  // because what was done so far does not depend on them. A number may only
  // grow. Name "train.steps" if, and only if, no schedule depends on it. What a
  // septet.TrainOptions says about how often to log and to save may always
  // differ.
  std::vector<std::string> may_grow;
  // Other facts to record and to compare: {"data", "sha256:..."}.
  std::map<std::string, std::string> facts;
};

struct RunFolderOptions {
  bool resume = false;  // go on with what is there; start if there is nothing
  bool fresh = false;   // remove what is there
};

class RunFolder {
 public:
  // Makes the folder, and those above it, and writes the manifest; or opens an
  // existing one. Until the object is gone no other process can.
  // Errors: AlreadyExists if it has a run and neither flag is given (the
  // message names both); InvalidArgument if both are, and FailedPrecondition
  // with --resume if tool, seed, facts or options are not those of the manifest
  // (each that differs is named with both values); FailedPrecondition for a
  // folder that holds other files but no manifest.json, or one that is not of a
  // run, which is not touched even with --fresh, or that another process has
  // open; DataLoss for a damaged manifest; those of
  // core/base/file.h.
  // Warnings (on standard error if `warnings` is null): a resumed run in
  // another environment, which may give other bits.
  static absl::StatusOr<RunFolder> Open(absl::string_view path,
                                        const Manifest& manifest,
                                        const RunFolderOptions& options,
                                        std::ostream* warnings = nullptr);

  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&& other) noexcept;
  ~RunFolder();

  const std::string& path() const { return path_; }
  // The path of a file in the folder.
  std::string Path(absl::string_view relative) const;
  // Whether there was a run to go on with.
  bool resumed() const { return resumed_; }

 private:
  RunFolder(std::string path, int lock);

  std::string path_;
  int lock_ = -1;  // the folder itself, locked
  bool resumed_ = false;
};

// What a run depends on beside its options: "git", "compiler", "cpu",
// "threads", "openblas", ... A fact that cannot be had is "unknown".
std::map<std::string, std::string> RunEnvironment();

// OK if a run with `manifest` may go on with that of the manifest.json whose
// text is given; the errors of RunFolder::Open with --resume.
absl::Status CheckManifestText(absl::string_view text,
                               const Manifest& manifest);

// What differs between the run of that text and one with `manifest`, in words
// ("steps was 10, is now 20"): empty where CheckManifestText is OK. Errors:
// DataLoss and FailedPrecondition for a text that this program cannot read, or
// that is of another tool.
absl::StatusOr<std::vector<std::string>> ManifestDifferences(
    absl::string_view text, const Manifest& manifest);

// This process's command line for a shell, with --resume and without --fresh.
std::string ResumeCommand();

}  // namespace septet

#endif  // SEPTET_CORE_TRAIN_RUN_FOLDER_H_
