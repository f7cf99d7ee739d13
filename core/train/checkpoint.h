// SPDX-License-Identifier: Apache-2.0
// The state of a run after a step, in one file.
//
//   Checkpoint checkpoint;
//   checkpoint.step = 120;
//   checkpoint.tensors = store.Export("model.");
//   SEPTET_RETURN_IF_ERROR(SaveCheckpoint(dir, checkpoint, /*keep=*/2));
//
//   absl::StatusOr<Checkpoint> newest = LoadLatestCheckpoint(dir);
//
// A checkpoint is the safetensors file DIR/step_<n>.safetensors, which
// PyTorch's and other readers open. Its metadata hold the texts, the step as
// "septet.step" and a CRC-32C over all names, types, shapes, elements and texts
// as "septet.crc32c", which is checked when the file is read.
//
// A file appears complete and on disk, or not at all: a full disk or a killed
// process leaves the checkpoints that were there. Older ones are removed only
// after that.
//
// Cost: one pass over the tensors for the checksum (some 20 GB/s), one to
// write.
#ifndef SEPTET_CORE_TRAIN_CHECKPOINT_H_
#define SEPTET_CORE_TRAIN_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct Checkpoint {
  int64_t step = 0;  // updates done
  // Read ones are read only and share the mapping of the file.
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> text;
};

// DIR/step_<n>.safetensors.
std::string CheckpointPath(absl::string_view dir, int64_t step);

// Writes the checkpoint to its path in `dir`, which is made where it is
// missing. When it is on disk, all but the `keep` newest up to its step are
// removed, and so are those of later steps, which a run that went back to an
// earlier one has given up, and temporary files of processes that were killed.
// One process at a time a folder.
// Errors: InvalidArgument for keep < 1, a negative step, a text whose name
// begins with "septet.", and what WriteSafetensors says of names and tensors;
// those of core/base/file.h (ResourceExhausted for a full disk). No checkpoint
// is removed then.
absl::Status SaveCheckpoint(absl::string_view dir, const Checkpoint& checkpoint,
                            int keep);

// The checkpoint at `path`. Errors: those of core/base/file.h; DataLoss that
// names the file and what is wrong with it: cut short, other bytes than were
// written, a name that is not that of its step.
absl::StatusOr<Checkpoint> LoadCheckpoint(absl::string_view path);

// The same for the bytes of a file; `name` stands for the path in messages.
absl::StatusOr<Checkpoint> ParseCheckpoint(std::string bytes,
                                           absl::string_view name);

// The newest checkpoint in `dir` that is whole. Each damaged one that is newer
// is named by a line on `warnings` (standard error if null).
// Errors: NotFound if the folder has none or is not there; DataLoss, naming
// them all, if none is whole; those of core/base/file.h for others.
absl::StatusOr<Checkpoint> LoadLatestCheckpoint(
    absl::string_view dir, std::ostream* warnings = nullptr);

// The steps of the checkpoints in `dir`, whole or not, in ascending order;
// empty if it is not there.
absl::StatusOr<std::vector<int64_t>> ListCheckpoints(absl::string_view dir);

}  // namespace septet

#endif  // SEPTET_CORE_TRAIN_CHECKPOINT_H_
