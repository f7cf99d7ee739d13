// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/seed_record.h"

#include <cmath>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/fake_testutil.h"
#include "septet/core/experiment/test_options.pb.h"

namespace septet {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;

SeedRecord Example() {
  SeedRecord record;
  record.fingerprint = "0123456789abcdef";
  record.seed = 3;
  record.git = "v1-2-g3";
  record.seconds = 1.5;
  record.result.metrics = {{"accuracy", 0.1},
                           {"loss", std::nan("")},
                           {"time", std::numeric_limits<double>::infinity()}};
  return record;
}

TEST(SeedRecordTest, GoesToAFileAndBack) {
  const std::string path = ::testing::TempDir() + "/result.json";
  SEPTET_ASSERT_OK(WriteSeedRecord(path, Example()));
  SEPTET_ASSERT_OK_AND_ASSIGN(SeedRecord back, ReadSeedRecord(path));
  EXPECT_EQ(back.fingerprint, "0123456789abcdef");
  EXPECT_EQ(back.seed, 3u);
  EXPECT_EQ(back.git, "v1-2-g3");
  EXPECT_EQ(back.seconds, 1.5);
  ASSERT_EQ(back.result.metrics.size(), 3u);
  EXPECT_EQ(back.result.metrics["accuracy"], 0.1);
  EXPECT_TRUE(std::isnan(back.result.metrics["loss"]));
  EXPECT_EQ(back.result.metrics["time"],
            std::numeric_limits<double>::infinity());
}

TEST(SeedRecordTest, EveryTruncationIsAnErrorThatNamesTheFile) {
  const std::string path = ::testing::TempDir() + "/result.json";
  SEPTET_ASSERT_OK(WriteSeedRecord(path, Example()));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFileToString(path));
  // The last byte is a line feed.
  for (size_t size = 0; size + 1 < text.size(); ++size) {
    EXPECT_THAT(ParseSeedRecord(text.substr(0, size), "r.json"),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("r.json: ")))
        << size;
  }
}

TEST(SeedRecordTest, DamagedFieldsAreNamed) {
  const std::string path = ::testing::TempDir() + "/result.json";
  SEPTET_ASSERT_OK(WriteSeedRecord(path, Example()));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFileToString(path));
  const auto parse = [&](const char* from, const char* to) {
    const std::string damaged = absl::StrReplaceAll(text, {{from, to}});
    EXPECT_NE(damaged, text) << from;
    return ParseSeedRecord(damaged, "r.json");
  };
  EXPECT_THAT(parse("_version\": 1", "_version\": 2"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       Eq("r.json: field 'schema_version' is 2, this program "
                          "reads 1")));
  EXPECT_THAT(parse("schema_version", "version"),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("has no field 'schema_version'")));
  EXPECT_THAT(parse("\"seed\": 3", "\"seed\": -3"),
              StatusIs(absl::StatusCode::kDataLoss,
                       Eq("r.json: field 'seed' is -3, expected at least 0")));
  EXPECT_THAT(parse("\"NaN\"", "\"nan\""),
              StatusIs(absl::StatusCode::kDataLoss,
                       Eq("r.json: field 'metrics.loss' is 'nan', expected a "
                          "number, 'NaN', 'Infinity' or '-Infinity'")));
  EXPECT_THAT(ParseSeedRecord("[]", "r.json"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("r.json")));
  EXPECT_THAT(ParseSeedRecord(R"({"schema_version":1,"fingerprint":"a",)"
                              R"("seed":1,"git":"g","seconds":1,"metrics":[]})",
                              "r.json"),
              StatusIs(absl::StatusCode::kDataLoss,
                       Eq("r.json: field 'metrics': expected an object")));
}

TEST(SeedRecordTest, NoFileIsNotFound) {
  EXPECT_EQ(ReadSeedRecord("/nowhere/result.json").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(RunFingerprintTest, IsOfExperimentPresetAndOptions) {
  const Experiment one = FakeExperiment("a/one");
  ExperimentTestOptions options;
  options.set_steps(10);
  const std::string print = RunFingerprint(one, Preset::kQuick, &options);
  EXPECT_EQ(print.size(), 16u);
  EXPECT_EQ(print, RunFingerprint(one, Preset::kQuick, &options));
  EXPECT_NE(print, RunFingerprint(one, Preset::kFull, &options));
  EXPECT_NE(print, RunFingerprint(one, Preset::kQuick, nullptr));
  EXPECT_NE(print,
            RunFingerprint(FakeExperiment("a/two"), Preset::kQuick, &options));
  options.set_steps(11);
  EXPECT_NE(print, RunFingerprint(one, Preset::kQuick, &options));
}

}  // namespace
}  // namespace septet
