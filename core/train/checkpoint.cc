// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/checkpoint.h"

#include <dirent.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "septet/core/base/crc32c.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr char kReservedPrefix[] = "septet.";
constexpr char kStepKey[] = "septet.step";
constexpr char kChecksumKey[] = "septet.crc32c";

// A piece of text with its length, so that no two lists of pieces are alike.
uint32_t ExtendWithPiece(uint32_t crc, absl::string_view piece) {
  return Crc32cExtend(Crc32cExtend(crc, absl::StrCat(piece.size(), ":")),
                      piece);
}

// Over everything that a checkpoint says, in the order of names. Tensors are
// contiguous.
std::string Checksum(int64_t step, const std::map<std::string, Tensor>& tensors,
                     const std::map<std::string, std::string>& text) {
  uint32_t crc = Crc32c(absl::StrCat("step ", step, "\n"));
  for (const auto& [name, tensor] : tensors) {
    crc = ExtendWithPiece(crc, name);
    crc = ExtendWithPiece(crc, tensor.DebugString());
    crc = Crc32cExtend(crc, {static_cast<const char*>(tensor.raw_data()),
                             static_cast<size_t>(tensor.num_elements()) *
                                 DTypeSize(tensor.dtype())});
  }
  for (const auto& [name, value] : text) {
    crc = ExtendWithPiece(ExtendWithPiece(crc, name), value);
  }
  return absl::StrFormat("%08x", crc);
}

// The step that the name of a file says, or -1.
int64_t StepOfName(absl::string_view name) {
  int64_t step = -1;
  absl::string_view digits = name;
  if (!absl::ConsumePrefix(&digits, "step_") ||
      !absl::ConsumeSuffix(&digits, ".safetensors") ||
      !absl::SimpleAtoi(digits, &step) || step < 0 ||
      absl::StrCat(step) != digits) {
    return -1;
  }
  return step;
}

absl::Status Damaged(absl::string_view path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

absl::StatusOr<Checkpoint> FromFile(const SafetensorsFile& file) {
  const absl::string_view path = file.path();
  Checkpoint checkpoint;
  checkpoint.text = file.metadata();
  const auto take = [&](const char* key) -> absl::StatusOr<std::string> {
    const auto found = checkpoint.text.find(key);
    if (found == checkpoint.text.end()) {
      return Damaged(path, absl::StrCat("not a checkpoint: has no '", key,
                                        "' in its metadata"));
    }
    std::string value = std::move(found->second);
    checkpoint.text.erase(found);
    return value;
  };
  SEPTET_ASSIGN_OR_RETURN(const std::string step, take(kStepKey));
  SEPTET_ASSIGN_OR_RETURN(const std::string checksum, take(kChecksumKey));
  if (!absl::SimpleAtoi(step, &checkpoint.step) || checkpoint.step < 0) {
    return Damaged(path, absl::StrCat(kStepKey, " is ", QuoteName(step),
                                      ", expected a number of steps"));
  }
  for (const std::string& name : file.names()) {
    absl::StatusOr<Tensor> tensor = file.Get(name);
    // A type of elements that is not known here was not written here.
    if (absl::IsUnimplemented(tensor.status())) {
      return absl::DataLossError(tensor.status().message());
    }
    SEPTET_RETURN_IF_ERROR(tensor.status());
    checkpoint.tensors[name] = *std::move(tensor);
  }
  const std::string actual =
      Checksum(checkpoint.step, checkpoint.tensors, checkpoint.text);
  if (actual != checksum) {
    return Damaged(path, absl::StrCat("damaged: its checksum is ", actual,
                                      ", expected ", QuoteName(checksum)));
  }
  const absl::string_view name = path.substr(
      path.rfind('/') == absl::string_view::npos ? 0 : path.rfind('/') + 1);
  if (StepOfName(name) >= 0 && StepOfName(name) != checkpoint.step) {
    return Damaged(path, absl::StrCat("is the checkpoint of step ",
                                      checkpoint.step, " under another name"));
  }
  return checkpoint;
}

}  // namespace

std::string CheckpointPath(absl::string_view dir, int64_t step) {
  return absl::StrCat(dir, "/step_", step, ".safetensors");
}

absl::StatusOr<std::vector<int64_t>> ListCheckpoints(absl::string_view dir) {
  std::vector<int64_t> steps;
  const std::string name(dir);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(name.c_str()),
                                                   &closedir);
  if (folder == nullptr) {
    if (errno == ENOENT) return steps;
    return absl::ErrnoToStatus(errno, absl::StrCat("open directory ", dir));
  }
  while (true) {
    errno = 0;
    const dirent* entry = readdir(folder.get());
    if (entry == nullptr) break;
    const int64_t step = StepOfName(entry->d_name);
    if (step >= 0) steps.push_back(step);
  }
  if (errno != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("read directory ", dir));
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

absl::Status SaveCheckpoint(absl::string_view dir, const Checkpoint& checkpoint,
                            int keep) {
  if (keep < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint: keep is ", keep, ", expected at least 1"));
  }
  if (checkpoint.step < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "checkpoint: step is ", checkpoint.step, ", expected at least 0"));
  }
  std::map<std::string, std::string> text = checkpoint.text;
  for (const auto& [name, value] : text) {
    if (absl::StartsWith(name, kReservedPrefix)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "checkpoint: the text ", QuoteName(name), " begins with '",
          kReservedPrefix, "', which is kept for the format"));
    }
  }
  const std::string path = CheckpointPath(dir, checkpoint.step);
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (!tensor.defined() || !tensor.has_storage()) {
      return absl::InvalidArgumentError(
          absl::StrCat("checkpoint: the tensor ", QuoteName(name),
                       " has no elements that could be saved"));
    }
    SEPTET_ASSIGN_OR_RETURN(tensors[name], tensor.Contiguous(),
                            _ << "checkpoint: tensor " << QuoteName(name));
  }
  text[kChecksumKey] = Checksum(checkpoint.step, tensors, checkpoint.text);
  text[kStepKey] = absl::StrCat(checkpoint.step);

  SEPTET_RETURN_IF_ERROR(MakeDirectories(dir));
  // What killed processes have left takes room that may be needed now.
  SEPTET_RETURN_IF_ERROR(RemoveTemporaryFiles(dir));
  SEPTET_RETURN_IF_ERROR(WriteSafetensors(path, tensors, text));

  SEPTET_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                          ListCheckpoints(dir));
  int kept = 0;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (*step <= checkpoint.step && kept++ < keep) continue;
    const std::string old = CheckpointPath(dir, *step);
    if (unlink(old.c_str()) != 0 && errno != ENOENT) {
      return absl::ErrnoToStatus(errno, absl::StrCat("remove ", old));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> LoadCheckpoint(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const SafetensorsFile file,
                          SafetensorsFile::Open(path));
  return FromFile(file);
}

absl::StatusOr<Checkpoint> ParseCheckpoint(std::string bytes,
                                           absl::string_view name) {
  SEPTET_ASSIGN_OR_RETURN(const SafetensorsFile file,
                          SafetensorsFile::FromBytes(std::move(bytes), name));
  return FromFile(file);
}

absl::StatusOr<Checkpoint> LoadLatestCheckpoint(absl::string_view dir,
                                                std::ostream* warnings) {
  SEPTET_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                          ListCheckpoints(dir));
  if (steps.empty()) {
    return absl::NotFoundError(absl::StrCat(dir, ": has no checkpoint"));
  }
  std::vector<std::string> damages;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::string path = CheckpointPath(dir, *step);
    absl::StatusOr<Checkpoint> checkpoint = LoadCheckpoint(path);
    if (checkpoint.ok()) {
      for (const std::string& damage : damages) {
        (warnings == nullptr ? std::cerr : *warnings)
            << "warning: " << damage << "; going back to step " << *step
            << std::endl;
      }
      return checkpoint;
    }
    // A file that cannot be read is another matter than one that is damaged.
    if (!absl::IsDataLoss(checkpoint.status())) return checkpoint.status();
    damages.push_back(std::string(checkpoint.status().message()));
  }
  return absl::DataLossError(absl::StrCat(
      dir, ": no checkpoint is whole: ", absl::StrJoin(damages, "; ")));
}

}  // namespace septet
