// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/checkpoint.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::string Folder(absl::string_view name) {
  return absl::StrCat(::testing::TempDir(), "/checkpoint_test_", name);
}

Checkpoint Make(int64_t step, int64_t elements = 3) {
  Checkpoint checkpoint;
  checkpoint.step = step;
  checkpoint.tensors["w"] =
      Tensor::Full({elements}, static_cast<double>(step), DType::kF32).value();
  checkpoint.tensors["n"] = Tensor::Scalar(7, DType::kI64).value();
  checkpoint.text["note"] = absl::StrCat("after ", step);
  return checkpoint;
}

std::string Read(const std::string& path) {
  return ReadFileToString(path).value_or("");
}

std::vector<int64_t> Steps(const std::string& dir) {
  const auto steps = ListCheckpoints(dir);
  EXPECT_THAT(steps, IsOk());
  return steps.value_or(std::vector<int64_t>{-1});
}

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

TEST(CheckpointTest, ChecksumsOfOldFilesStay) {
  const std::string dir = Folder("format");
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(12), 1));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::Open(CheckpointPath(dir, 12)));
  EXPECT_EQ(file.metadata().at("septet.crc32c"), "5cbf1348");
}

TEST(CheckpointTest, ComesBackAsItWas) {
  const std::string dir = Folder("back/made/on/the/way");
  Checkpoint saved = Make(12);
  // A view that is not contiguous.
  saved.tensors["t"] = Tensor::FromValues<double>({2, 3}, {1, 2, 3, 4, 5, 6})
                           ->Permute({1, 0})
                           .value();
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, saved, 2));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Checkpoint loaded,
                              LoadLatestCheckpoint(dir));
  EXPECT_EQ(loaded.step, 12);
  EXPECT_EQ(loaded.text, saved.text);
  ASSERT_EQ(loaded.tensors.size(), 3);
  EXPECT_THAT(loaded.tensors.at("w").ToVector<float>(),
              ElementsAre(12, 12, 12));
  EXPECT_EQ(loaded.tensors.at("n").item<int64_t>(), 7);
  EXPECT_THAT(loaded.tensors.at("t").ToVector<double>(),
              ElementsAre(1, 4, 2, 5, 3, 6));
  // Other programs can read it.
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::Open(CheckpointPath(dir, 12)));
  EXPECT_THAT(file.names(), ElementsAre("n", "t", "w"));
  EXPECT_EQ(file.metadata().at("septet.step"), "12");
}

TEST(CheckpointTest, KeepsTheNewest) {
  const std::string dir = Folder("keep");
  for (const int64_t step : {9, 10, 11, 100}) {
    SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(step), 2));
  }
  EXPECT_THAT(Steps(dir), ElementsAre(11, 100));
  // Back from 11: what came after it then is of another future.
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(12), 2));
  EXPECT_THAT(Steps(dir), ElementsAre(11, 12));
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(13), 1));
  EXPECT_THAT(Steps(dir), ElementsAre(13));
}

TEST(CheckpointTest, OtherFilesAreNoCheckpoints) {
  const std::string dir = Folder("others");
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(5), 1));
  for (const char* name :
       {"step_007.safetensors", "step_-1.safetensors", "step_6.safetensors.bak",
        "step_.safetensors", "step_99999999999999999999.safetensors"}) {
    SEPTET_ASSERT_OK(WriteFileAtomically(absl::StrCat(dir, "/", name), "x"));
  }
  EXPECT_THAT(Steps(dir), ElementsAre(5));
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(6), 1));
  EXPECT_THAT(Steps(dir), ElementsAre(6));
  EXPECT_TRUE(Exists(dir + "/step_007.safetensors"));
}

TEST(CheckpointTest, NoneIsNotFound) {
  EXPECT_THAT(LoadLatestCheckpoint(Folder("nowhere")),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("nowhere: has no checkpoint")));
  EXPECT_THAT(Steps(Folder("nowhere")), IsEmpty());
  EXPECT_THAT(LoadCheckpoint(Folder("nowhere/step_1.safetensors")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("step_1")));
}

TEST(CheckpointTest, TheOneBeforeADamagedOneIsTaken) {
  const std::string dir = Folder("damaged");
  for (const int64_t step : {1, 2, 3}) {
    SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(step), 3));
  }
  // One bit in the elements, which no header knows of.
  const std::string third = CheckpointPath(dir, 3);
  std::string bytes = Read(third);
  bytes[bytes.size() - 1] ^= 1;
  SEPTET_ASSERT_OK(WriteFileAtomically(third, bytes));
  std::ostringstream warnings;
  SEPTET_ASSERT_OK_AND_ASSIGN(Checkpoint loaded,
                              LoadLatestCheckpoint(dir, &warnings));
  EXPECT_EQ(loaded.step, 2);
  EXPECT_THAT(warnings.str(),
              AllOf(HasSubstr("warning: " + third + ": damaged: its checksum"),
                    HasSubstr("going back to step 2\n")));

  // Cut short.
  const std::string second = CheckpointPath(dir, 2);
  bytes = Read(second);
  SEPTET_ASSERT_OK(
      WriteFileAtomically(second, bytes.substr(0, bytes.size() - 4)));
  warnings.str("");
  SEPTET_ASSERT_OK_AND_ASSIGN(loaded, LoadLatestCheckpoint(dir, &warnings));
  EXPECT_EQ(loaded.step, 1);
  EXPECT_THAT(warnings.str(), AllOf(HasSubstr(third), HasSubstr(second)));

  // Nothing at all, twice.
  SEPTET_ASSERT_OK(WriteFileAtomically(second, ""));
  SEPTET_ASSERT_OK(WriteFileAtomically(CheckpointPath(dir, 1), ""));
  EXPECT_THAT(
      LoadLatestCheckpoint(dir),
      StatusIs(absl::StatusCode::kDataLoss,
               AllOf(HasSubstr("no checkpoint is whole"), HasSubstr(third),
                     HasSubstr(second), HasSubstr(CheckpointPath(dir, 1)))));
}

TEST(CheckpointTest, EveryChangedByteAndEveryCutIsSeen) {
  const std::string dir = Folder("bytes");
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(4), 1));
  const std::string path = CheckpointPath(dir, 4);
  const std::string good = Read(path);
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = good;
      bytes[i] = static_cast<char>(bytes[i] ^ 1 << bit);
      const absl::StatusOr<Checkpoint> loaded = ParseCheckpoint(bytes, "name");
      if (loaded.ok()) {
        // White space at the end of the header, which says nothing.
        EXPECT_EQ(good[i], ' ') << "byte " << i;
        continue;
      }
      EXPECT_THAT(loaded.status(),
                  StatusIs(absl::StatusCode::kDataLoss, HasSubstr("name")))
          << "byte " << i << ", bit " << bit;
    }
    EXPECT_THAT(ParseCheckpoint(good.substr(0, i), "name").status(),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("name")));
  }
}

TEST(CheckpointTest, OfAnotherProgramOrName) {
  const std::string dir = Folder("foreign");
  SEPTET_ASSERT_OK(MakeDirectories(dir));
  const std::string path = CheckpointPath(dir, 1);
  SEPTET_ASSERT_OK(WriteSafetensors(path, Make(1).tensors));
  EXPECT_THAT(LoadCheckpoint(path),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("not a checkpoint: has no 'septet.step'")));
  SEPTET_ASSERT_OK(
      WriteSafetensors(path, Make(1).tensors, {{"septet.step", "1"}}));
  EXPECT_THAT(LoadCheckpoint(path),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("has no 'septet.crc32c'")));
  SEPTET_ASSERT_OK(WriteSafetensors(
      path, Make(1).tensors, {{"septet.step", "-1"}, {"septet.crc32c", "0"}}));
  EXPECT_THAT(LoadCheckpoint(path),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("septet.step is '-1', expected")));
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(2), 1));
  SEPTET_ASSERT_OK(WriteFileAtomically(CheckpointPath(dir, 3),
                                       Read(CheckpointPath(dir, 2))));
  EXPECT_THAT(LoadCheckpoint(CheckpointPath(dir, 3)),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("checkpoint of step 2 under another name")));
}

TEST(CheckpointTest, WhatCannotBeSaved) {
  const std::string dir = Folder("refused");
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(1), 1));
  const auto invalid = [&](const Checkpoint& checkpoint, int keep,
                           const std::string& text) {
    EXPECT_THAT(SaveCheckpoint(dir, checkpoint, keep),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
    EXPECT_THAT(Steps(dir), ElementsAre(1));
  };
  invalid(Make(2), 0, "keep is 0, expected at least 1");
  invalid(Make(-2), 1, "step is -2, expected at least 0");
  Checkpoint checkpoint = Make(2);
  checkpoint.text["septet.step"] = "3";
  invalid(checkpoint, 1, "the text 'septet.step' begins with 'septet.'");
  checkpoint = Make(2);
  checkpoint.tensors["gone"] = Tensor();
  invalid(checkpoint, 1, "the tensor 'gone' has no elements");
  checkpoint = Make(2);
  checkpoint.tensors["\xff"] = checkpoint.tensors["w"];
  invalid(checkpoint, 1, "\\xff");
  SEPTET_ASSERT_OK(WriteFileAtomically(Folder("file"), ""));
  EXPECT_THAT(SaveCheckpoint(Folder("file"), Make(2), 1),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is not a directory")));
}

TEST(CheckpointTest, AFullDiskLeavesThePreviousOne) {
  const std::string dir = Folder("full");
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(1), 1));
  const std::string before = Read(CheckpointPath(dir, 1));
  // Writing beyond the limit is an error only where the signal is ignored.
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small = {1 << 20, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = SaveCheckpoint(dir, Make(2, 1 << 20), 1);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               HasSubstr(CheckpointPath(dir, 2))));
  EXPECT_THAT(Steps(dir), ElementsAre(1));
  EXPECT_EQ(Read(CheckpointPath(dir, 1)), before);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Checkpoint loaded,
                              LoadLatestCheckpoint(dir));
  EXPECT_EQ(loaded.step, 1);
  // And there is room again.
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(2, 1 << 20), 1));
  EXPECT_THAT(Steps(dir), ElementsAre(2));
}

TEST(CheckpointTest, WhatAKilledSaveHasLeftIsSwept) {
  const std::string dir = Folder("killed");
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(1), 2));
  // A child dies with half a file written.
  const pid_t child = fork();
  if (child == 0) {
    absl::StatusOr<AtomicFile> file =
        AtomicFile::Create(CheckpointPath(dir, 2));
    if (file.ok()) {
      file->Append(std::string(1 << 20, 'x')).IgnoreError();
    }
    kill(getpid(), SIGKILL);
  }
  ASSERT_GT(child, 0);
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  ASSERT_TRUE(WIFSIGNALED(state));
  const auto left = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      const std::string name = entry.path().filename();
      if (name[0] == '.') names.push_back(name);
    }
    return names;
  };
  ASSERT_THAT(left(), ElementsAre(StartsWith(absl::StrCat(
                          ".step_2.safetensors.tmp.", child, "."))));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Checkpoint loaded,
                              LoadLatestCheckpoint(dir));
  EXPECT_EQ(loaded.step, 1);
  SEPTET_ASSERT_OK(SaveCheckpoint(dir, Make(3), 2));
  EXPECT_THAT(Steps(dir), ElementsAre(1, 3));
  EXPECT_THAT(left(), IsEmpty());
}

}  // namespace
}  // namespace septet
