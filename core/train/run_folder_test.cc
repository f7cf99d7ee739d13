// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/run_folder.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/config/schema.h"
#include "septet/core/config/text.h"
#include "septet/core/train/kill_test_flags.pb.h"
#include "septet/core/train/train.pb.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr RunFolderOptions kPlain;
constexpr RunFolderOptions kResume{/*resume=*/true, /*fresh=*/false};
constexpr RunFolderOptions kFresh{/*resume=*/false, /*fresh=*/true};

std::string Path(absl::string_view name) {
  return absl::StrCat(::testing::TempDir(), "/run_folder_test/", name);
}

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

struct ExampleRun {
  ExampleRun() {
    manifest.tool = "a tool";
    manifest.seed = uint64_t{1} << 63;
    manifest.options = &options;
  }
  KillTestOptions options;
  Manifest manifest;

  absl::StatusOr<RunFolder> Open(absl::string_view name,
                                 const RunFolderOptions& flags,
                                 std::ostream* warnings = nullptr) const {
    return RunFolder::Open(Path(name), manifest, flags, warnings);
  }
};

TEST(RunFolderTest, OptionsFollowTheRules) {
  SEPTET_EXPECT_OK(CheckOptionsSchema(TrainOptions::descriptor()));
}

TEST(RunFolderTest, TheManifestHasEverything) {
  ExampleRun run;
  run.options.set_width(8);
  run.manifest.facts["data"] = "sha256:\"12\"";
  SEPTET_ASSERT_OK_AND_ASSIGN(const RunFolder folder,
                              run.Open("new/with/parents", kPlain));
  EXPECT_FALSE(folder.resumed());
  EXPECT_EQ(folder.path(), Path("new/with/parents"));
  EXPECT_EQ(folder.Path("x/y"), Path("new/with/parents/x/y"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text,
                              ReadFileToString(folder.Path("manifest.json")));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  ASSERT_TRUE(json.is_object()) << text;
  EXPECT_EQ(json["manifest_version"], 1);
  EXPECT_EQ(json["tool"], "a tool");
  EXPECT_EQ(json["seed"], "9223372036854775808");
  EXPECT_EQ(json["facts"]["data"], "sha256:\"12\"");
  // Defaults are there, too, and the versions of the schemas.
  EXPECT_EQ(json["options"]["width"], 8);
  EXPECT_EQ(json["options"]["schema_version"], 1);
  EXPECT_EQ(json["options"]["train"]["keep_checkpoints"], 2);
  EXPECT_EQ(json["options"]["train"]["schema_version"], 1);
  KillTestOptions read;
  SEPTET_ASSERT_OK(ParseOptions(json["options_text"].get<std::string>(),
                                "options_text", &read));
  EXPECT_EQ(PrintOptions(read), PrintOptions(CompleteOptions(run.options)));
  ASSERT_EQ(json["runs"].size(), 1);
  for (const char* name :
       {"git", "compiler", "cpu", "threads", "openblas", "onednn", "protobuf",
        "abseil", "vector_target", "OPENBLAS_CORETYPE"}) {
    EXPECT_TRUE(json["runs"][0][name].is_string()) << name;
  }
  // Outside of a checkout.
  EXPECT_EQ(json["runs"][0]["git"], "unknown");
  EXPECT_EQ(json["runs"][0]["threads"], "1");
}

TEST(RunFolderTest, AnExistingRunNeedsAFlag) {
  const ExampleRun run;
  SEPTET_ASSERT_OK(run.Open("existing", kPlain));
  EXPECT_THAT(run.Open("existing", kPlain).status(),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       AllOf(HasSubstr(Path("existing") + ": holds a run"),
                             HasSubstr("--resume goes on"),
                             HasSubstr("--fresh removes it"))));
  EXPECT_THAT(run.Open("existing", {true, true}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("give one of them")));
  std::ostringstream warnings;
  SEPTET_ASSERT_OK_AND_ASSIGN(const RunFolder folder,
                              run.Open("existing", kResume, &warnings));
  EXPECT_TRUE(folder.resumed());
  EXPECT_EQ(warnings.str(), "");
}

TEST(RunFolderTest, ResumeOfNothingStarts) {
  const ExampleRun run;
  {
    SEPTET_ASSERT_OK_AND_ASSIGN(const RunFolder folder,
                                run.Open("nothing", kResume));
    EXPECT_FALSE(folder.resumed());
  }
  // A process that was killed while it wrote its first manifest.
  SEPTET_ASSERT_OK(MakeDirectories(Path("killed")));
  const std::string left = Path("killed/.manifest.json.tmp.123.0");
  SEPTET_ASSERT_OK(WriteFileAtomically(left, "{"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const RunFolder folder,
                              run.Open("killed", kPlain));
  EXPECT_FALSE(folder.resumed());
  EXPECT_FALSE(Exists(left));
}

TEST(RunFolderTest, FreshRemovesTheRun) {
  const ExampleRun run;
  {
    SEPTET_ASSERT_OK_AND_ASSIGN(const RunFolder folder,
                                run.Open("fresh", kFresh));
    SEPTET_ASSERT_OK(MakeDirectories(folder.Path("checkpoints/more")));
    SEPTET_ASSERT_OK(
        WriteFileAtomically(folder.Path("checkpoints/more/x"), "x"));
    SEPTET_ASSERT_OK(WriteFileAtomically(folder.Path("metrics.jsonl"), "x"));
  }
  ExampleRun other;
  other.options.set_width(9);
  SEPTET_ASSERT_OK_AND_ASSIGN(const RunFolder folder,
                              other.Open("fresh", kFresh));
  EXPECT_FALSE(folder.resumed());
  EXPECT_FALSE(Exists(folder.Path("checkpoints")));
  EXPECT_FALSE(Exists(folder.Path("metrics.jsonl")));
  EXPECT_THAT(ReadFileToString(folder.Path("manifest.json")).value(),
              HasSubstr("\"width\": 9"));
}

TEST(RunFolderTest, AFolderOfSomethingElseIsNotTouched) {
  const ExampleRun run;
  SEPTET_ASSERT_OK(MakeDirectories(Path("other")));
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("other/thesis.tex"), "x"));
  for (const RunFolderOptions& flags : {kPlain, kResume, kFresh}) {
    EXPECT_THAT(run.Open("other", flags).status(),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr("holds files but no manifest.json")));
  }
  EXPECT_EQ(ReadFileToString(Path("other/thesis.tex")).value(), "x");
  EXPECT_FALSE(Exists(Path("other/manifest.json")));
  // Programs of all kinds have files of this name.
  const std::string manifest =
      R"({"manifest_version": 3, "name": "x", "version": "1"})";
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("other/manifest.json"), manifest));
  for (const RunFolderOptions& flags : {kPlain, kFresh}) {
    EXPECT_THAT(run.Open("other", flags).status(),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr("is not that of a run")));
  }
  EXPECT_FALSE(run.Open("other", kResume).ok());
  EXPECT_EQ(ReadFileToString(Path("other/thesis.tex")).value(), "x");
  EXPECT_EQ(ReadFileToString(Path("other/manifest.json")).value(), manifest);
  EXPECT_THAT(run.Open("other/thesis.tex", kPlain).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is not a directory")));
}

TEST(RunFolderTest, AnotherRunIsNotResumed) {
  ExampleRun run;
  run.manifest.facts["data"] = "a";
  SEPTET_ASSERT_OK(run.Open("differs", kPlain));
  const auto differs = [&](const ExampleRun& other, const std::string& text) {
    EXPECT_THAT(other.Open("differs", kResume).status(),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr(Path("differs/manifest.json")),
                               HasSubstr("cannot resume"), HasSubstr(text),
                               HasSubstr("--fresh"))));
  };
  ExampleRun other = run;
  other.manifest.options = &other.options;
  other.options.set_width(64);
  other.options.mutable_train()->set_steps(7);
  differs(other, "width was 32, is now 64; train.steps was 1000, is now 7");
  other.options = run.options;
  other.manifest.seed = 2;
  differs(other, "seed was 9223372036854775808, is now 2");
  other.manifest.seed = run.manifest.seed;
  other.manifest.tool = "b tool";
  differs(other, "tool was a tool, is now b tool");
  other.manifest.tool = run.manifest.tool;
  other.manifest.facts = {{"data", "b"}, {"more", "c"}};
  differs(other, "data was a, is now b; more was missing, is now c");
  other.manifest.facts = run.manifest.facts;
  const TrainOptions train;
  other.manifest.options = &train;
  differs(other,
          "options were of the type 'septet.KillTestOptions', are now "
          "of 'septet.TrainOptions'");
}

TEST(RunFolderTest, WhatMayDiffer) {
  ExampleRun run;
  SEPTET_ASSERT_OK(run.Open("may_differ", kPlain));
  // How often to look and to save is nobody's business.
  run.options.mutable_train()->set_log_every(1);
  run.options.mutable_train()->set_evaluate_every(2);
  run.options.mutable_train()->set_checkpoint_every(3);
  run.options.mutable_train()->set_checkpoint_seconds(4);
  run.options.mutable_train()->set_keep_checkpoints(5);
  SEPTET_ASSERT_OK(run.Open("may_differ", kResume));
  EXPECT_THAT(ReadFileToString(Path("may_differ/manifest.json")).value(),
              HasSubstr("\"keep_checkpoints\": 5"));
  // More steps, where the tool says so.
  run.options.mutable_train()->set_steps(2000);
  EXPECT_THAT(run.Open("may_differ", kResume).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("train.steps was 1000, is now 2000. ")));
  run.manifest.may_grow = {"train.steps"};
  SEPTET_ASSERT_OK(run.Open("may_differ", kResume));
  EXPECT_THAT(ReadFileToString(Path("may_differ/manifest.json")).value(),
              HasSubstr("\"steps\": \"2000\""));
  run.options.mutable_train()->set_steps(1999);
  EXPECT_THAT(run.Open("may_differ", kResume).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("train.steps was 2000, is now 1999 (it may "
                                 "only grow)")));
}

TEST(RunFolderTest, AnotherEnvironmentIsAWarning) {
  const ExampleRun run;
  SEPTET_ASSERT_OK(run.Open("environment", kPlain));
  const std::string path = Path("environment/manifest.json");
  std::string text = ReadFileToString(path).value();
  const auto replace = [&](const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, from.size(), to);
    SEPTET_ASSERT_OK(WriteFileAtomically(path, text));
  };
  // The bits are the same with any number of threads.
  replace("\"threads\": \"1\"", "\"threads\": \"64\"");
  std::ostringstream warnings;
  SEPTET_ASSERT_OK(run.Open("environment", kResume, &warnings));
  EXPECT_EQ(warnings.str(), "");
  text = ReadFileToString(path).value();
  EXPECT_EQ(nlohmann::json::parse(text, nullptr, false)["runs"].size(), 2);

  const size_t last = text.rfind("\"git\": \"unknown\"");
  ASSERT_NE(last, std::string::npos) << text;
  text.replace(last, 16, "\"git\": \"v2\"");
  SEPTET_ASSERT_OK(WriteFileAtomically(path, text));
  for (const bool again : {false, true}) {
    warnings.str("");
    SEPTET_ASSERT_OK(run.Open("environment", kResume, &warnings));
    EXPECT_EQ(warnings.str(),
              again ? ""
                    : "warning: " + Path("environment") +
                          ": resumed in another environment, the numbers may "
                          "differ in their last bits: git was v2, is now "
                          "unknown\n");
  }
  const nlohmann::json json =
      nlohmann::json::parse(ReadFileToString(path).value(), nullptr, false);
  ASSERT_EQ(json["runs"].size(), 3);
  EXPECT_EQ(json["runs"][0]["threads"], "64");
  EXPECT_EQ(json["runs"][1]["git"], "v2");
  EXPECT_EQ(json["runs"][2]["git"], "unknown");
}

TEST(RunFolderTest, OneProcessAtATime) {
  const ExampleRun run;
  {
    SEPTET_ASSERT_OK_AND_ASSIGN(RunFolder folder, run.Open("locked", kPlain));
    EXPECT_THAT(run.Open("locked", kResume).status(),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr("another process is at work")));
    RunFolder moved = std::move(folder);
    EXPECT_THAT(run.Open("locked", kFresh).status(),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr("another process is at work")));
  }
  SEPTET_EXPECT_OK(run.Open("locked", kResume));
}

TEST(RunFolderTest, ADamagedManifestIsNamed) {
  const ExampleRun run;
  SEPTET_ASSERT_OK(run.Open("bad", kPlain));
  const std::string path = Path("bad/manifest.json");
  const std::string good = ReadFileToString(path).value();
  const auto bad = [&](const std::string& text, absl::StatusCode code,
                       const std::string& what) {
    SEPTET_ASSERT_OK(WriteFileAtomically(path, text));
    EXPECT_THAT(run.Open("bad", kResume).status(),
                StatusIs(code, AllOf(HasSubstr(path), HasSubstr(what))));
    EXPECT_EQ(ReadFileToString(path).value(), text);
  };
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  constexpr absl::StatusCode kLoss = absl::StatusCode::kDataLoss;
  bad("", kLoss, "is no JSON object");
  bad(good.substr(0, good.size() / 2), kLoss, "is no JSON object");
  bad("{}", kLoss, "has no 'manifest_version'");
  bad(replaced("_version\": 1,", "_version\": 2,"),
      absl::StatusCode::kFailedPrecondition,
      "manifest_version is 2, this program reads 1");
  bad(replaced("\"seed\": \"", "\"seed\": 1, \"x\": \""), kLoss,
      "expected a text as 'seed'");
  bad(replaced("\"facts\": {}", "\"facts\": {\"a\": 1}"), kLoss,
      "facts: 'a' is no text");
  bad(replaced("\"runs\": [", "\"runs\": 1, \"y\": ["), kLoss,
      "expected a list as 'runs'");
  bad(replaced("width: 32", "width: many"), absl::StatusCode::kInvalidArgument,
      "options_text");
  SEPTET_EXPECT_OK(CheckManifestText(good, run.manifest));
}

TEST(RunFolderTest, DifferencesOfARunAreNamed) {
  ExampleRun run;
  run.manifest.facts["data"] = "one";
  SEPTET_ASSERT_OK_AND_ASSIGN(const RunFolder folder,
                              run.Open("differences", kPlain));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text,
                              ReadFileToString(folder.Path("manifest.json")));
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<std::string> differences,
                              ManifestDifferences(text, run.manifest));
  EXPECT_THAT(differences, IsEmpty());
  run.options.set_width(run.options.width() + 1);
  run.manifest.facts["data"] = "two";
  SEPTET_ASSERT_OK_AND_ASSIGN(differences,
                              ManifestDifferences(text, run.manifest));
  EXPECT_THAT(differences,
              ElementsAre("data was one, is now two",
                          MatchesRegex("width was .*, is now .*")));
  // What CheckManifestText lets pass is none.
  ExampleRun other;
  other.manifest.facts["data"] = "one";
  other.options.mutable_train()->set_log_every(7);
  SEPTET_ASSERT_OK_AND_ASSIGN(differences,
                              ManifestDifferences(text, other.manifest));
  EXPECT_THAT(differences, IsEmpty());
  other.manifest.tool = "other";
  EXPECT_THAT(ManifestDifferences(text, other.manifest),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "is of a run of 'a tool', not of 'other'"));
  EXPECT_EQ(ManifestDifferences("{", other.manifest).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(RunFolderTest, TheCommandLineGoesOn) {
  // Of this test.
  EXPECT_THAT(ResumeCommand(),
              AllOf(HasSubstr("run_folder_test"), EndsWith(" --resume")));
}

}  // namespace
}  // namespace septet
