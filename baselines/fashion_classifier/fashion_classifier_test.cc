// SPDX-License-Identifier: Apache-2.0
// Runs the program as a user does, on a few small images.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/baselines/fashion_classifier/stripes_testutil.h"
#include "septet/core/base/file.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/idx.h"

namespace septet {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ProgramResult RunTool(std::vector<std::string> args) {
  args.insert(args.begin(),
              Runfile("baselines/fashion_classifier/fashion_classifier"));
  const auto result = RunProgram(args);
  SEPTET_EXPECT_OK(result);
  return result.ok() ? *result : ProgramResult();
}

std::string Path(const std::string& name) {
  return ::testing::TempDir() + "/" + name;
}

// Training on stripes, in `out`.
std::vector<std::string> Train(const std::string& out) {
  EXPECT_TRUE(WriteIdx(Path("train-images"), StripeImages(100, 1)).ok());
  EXPECT_TRUE(WriteIdx(Path("train-labels"), StripeLabels(100)).ok());
  EXPECT_TRUE(WriteIdx(Path("test-images"), StripeImages(50, 2)).ok());
  EXPECT_TRUE(WriteIdx(Path("test-labels"), StripeLabels(50)).ok());
  std::vector<std::string> args = {"train", "--out=" + Path(out),
                                   "--threads=1"};
  for (const char* set :
       {"train.steps=40", "model.conv1=8", "model.conv2=16", "model.hidden=32",
        "optimizer.batch=32", "optimizer.lr=0.003"}) {
    args.push_back("--set");
    args.push_back(set);
  }
  for (const char* name :
       {"train_images", "train_labels", "test_images", "test_labels"}) {
    std::string file = name;
    file[file.find('_')] = '-';
    args.push_back("--set");
    args.push_back(absl::StrCat("data.", name, "=", Path(file)));
  }
  return args;
}

TEST(FashionClassifierTest, TrainsAndEvaluates) {
  const ProgramResult trained = RunTool(Train("run"));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(trained.out, StartsWith("{\"folder\":"));
  EXPECT_THAT(trained.out, HasSubstr("\"steps\":40,\"loss\":"));
  EXPECT_THAT(trained.out, HasSubstr("\"test_accuracy\":"));
  EXPECT_THAT(trained.err,
              HasSubstr("100 images of 12 x 10 x 1 in 3 classes to train on, "
                        "50 held out"));
  const ProgramResult result = RunTool({"eval", Path("run"), "--threads=1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("50 images; model of "));
  EXPECT_THAT(result.out, ContainsRegex("\nall +9[0-9.]+ %|\nall +100.00 %"));
  EXPECT_THAT(result.out, HasSubstr("{\"step\":40,\"images\":50,"));
  // Other images, for the same model, with pictures.
  const ProgramResult other =
      RunTool({"eval", Path("run"), "--images=" + Path("train-images"),
               "--labels=" + Path("train-labels"), "--threads=2",
               "--figures=" + Path("pictures")});
  ASSERT_EQ(other.exit_code, 0) << other.err;
  EXPECT_THAT(other.out, StartsWith("100 images; "));
  for (const char* name : {"confusion", "filters"}) {
    for (const char* suffix : {".png", ".svg", ".csv"}) {
      SEPTET_EXPECT_OK(
          ReadFileToString(absl::StrCat(Path("pictures/"), name, suffix)));
    }
  }
}

TEST(FashionClassifierTest, AFolderIsNotWrittenOverByMistake) {
  ASSERT_EQ(RunTool(Train("again")).exit_code, 0);
  std::vector<std::string> args = Train("again");
  const ProgramResult refused = RunTool(args);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("--resume"));
  args.push_back("--resume");
  EXPECT_EQ(RunTool(args).exit_code, 0);
  args.push_back("--set");
  args.push_back("optimizer.lr=0.004");
  const ProgramResult differs = RunTool(args);
  EXPECT_EQ(differs.exit_code, 1);
  EXPECT_THAT(differs.err, HasSubstr("optimizer.lr"));
}

TEST(FashionClassifierTest, WrongCommandLinesAndInputs) {
  EXPECT_EQ(RunTool({"eval"}).exit_code, 2);
  EXPECT_EQ(RunTool({"train", "--set", "model.conv1=0"}).exit_code, 2);
  const ProgramResult both =
      RunTool({"eval", Path("nowhere"), "--folder=x", "--images=y"});
  EXPECT_NE(both.exit_code, 0);
  const ProgramResult gone = RunTool({"eval", Path("nowhere")});
  EXPECT_EQ(gone.exit_code, 1);
  EXPECT_THAT(gone.err, HasSubstr(Path("nowhere")));
  std::vector<std::string> args = Train("bad");
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("test-labels"), "no labels"));
  const ProgramResult bad = RunTool(args);
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.err, HasSubstr(Path("test-labels")));
}

TEST(FashionClassifierTest, HelpNamesTheOptions) {
  const ProgramResult help = RunTool({"train", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("data.train_images"));
  EXPECT_THAT(help.out, HasSubstr("augment.shift"));
}

}  // namespace
}  // namespace septet
