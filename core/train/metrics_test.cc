// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/metrics.h"

#include <signal.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdint>
#include <limits>
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
#include "septet/core/train/event_file.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string Folder(absl::string_view name) {
  const std::string path =
      absl::StrCat(::testing::TempDir(), "/metrics_test_", name);
  EXPECT_THAT(MakeDirectories(path), IsOk());
  return path;
}

std::string Rows(const std::string& folder) {
  return absl::StrCat(folder, "/", MetricWriter::kRowsName);
}
std::string Events(const std::string& folder) {
  return absl::StrCat(folder, "/", MetricWriter::kEventsName);
}

MetricWriter Open(const std::string& folder, int64_t resume_step) {
  absl::StatusOr<MetricWriter> writer = MetricWriter::Open(folder, resume_step);
  EXPECT_THAT(writer, IsOk());
  return *std::move(writer);
}

std::vector<int64_t> StepsOf(const std::string& folder) {
  std::vector<int64_t> steps;
  const auto rows = ReadMetrics(Rows(folder));
  EXPECT_THAT(rows, IsOk());
  for (const MetricRow& row : *rows) steps.push_back(row.step);
  return steps;
}

std::vector<int64_t> EventStepsOf(const std::string& folder) {
  std::vector<int64_t> steps;
  const auto content = ReadEvents(Events(folder));
  EXPECT_THAT(content, IsOk());
  EXPECT_EQ(content->torn_bytes, 0);
  EXPECT_EQ(content->events[0].file_version(), "brain.Event:2");
  for (size_t i = 1; i < content->events.size(); ++i) {
    steps.push_back(content->events[i].step());
  }
  return steps;
}

TEST(MetricsTest, RowsHaveOneForm) {
  const std::string folder = Folder("form");
  MetricWriter writer = Open(folder, -1);
  SEPTET_ASSERT_OK(writer.Write(0, {{"loss", 2.5}, {"lr", 1e-3}}));
  SEPTET_ASSERT_OK(writer.Write(10, {{"valid \"loss\"", 0.1}}));
  SEPTET_ASSERT_OK(writer.Write(10, {}));
  SEPTET_ASSERT_OK(writer.Sync());
  EXPECT_EQ(ReadFileToString(Rows(folder)).value(),
            "{\"step\":0,\"loss\":2.5,\"lr\":0.001}\n"
            "{\"step\":10,\"valid \\\"loss\\\"\":0.1}\n"
            "{\"step\":10}\n");
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<MetricRow> rows,
                              ReadMetrics(Rows(folder)));
  ASSERT_EQ(rows.size(), 3);
  EXPECT_EQ(rows[0].step, 0);
  EXPECT_THAT(rows[0].values, ElementsAre(Pair("loss", 2.5), Pair("lr", 1e-3)));
  EXPECT_THAT(rows[1].values, ElementsAre(Pair("valid \"loss\"", 0.1)));
  EXPECT_EQ(rows[2].step, 10);
}

TEST(MetricsTest, EveryDoubleComesBack) {
  const std::string folder = Folder("doubles");
  const double values[] = {0.0,
                           -0.0,
                           1.0 / 3,
                           -1e-310,
                           5e-324,
                           1.7976931348623157e308,
                           9007199254740993.0,
                           9223372036854775808.0,
                           18446744073709551616.0,
                           1e22,
                           1e-5,
                           100000,
                           std::nan(""),
                           kInfinity,
                           -kInfinity};
  MetricWriter writer = Open(folder, -1);
  int64_t step = 0;
  for (const double value : values) {
    SEPTET_ASSERT_OK(writer.Write(step++, {{"x", value}}));
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<MetricRow> rows,
                              ReadMetrics(Rows(folder)));
  ASSERT_EQ(rows.size(), std::size(values));
  for (size_t i = 0; i < rows.size(); ++i) {
    const double x = rows[i].values.at("x");
    if (std::isnan(values[i])) {
      EXPECT_TRUE(std::isnan(x));
      continue;
    }
    EXPECT_EQ(x, values[i]) << i;
    EXPECT_EQ(std::signbit(x), std::signbit(values[i])) << i;
  }
  // Each line is JSON to any reader.
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text,
                              ReadFileToString(Rows(folder)));
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    EXPECT_TRUE(
        nlohmann::json::accept(text.begin() + begin, text.begin() + end))
        << text.substr(begin, end - begin);
    begin = end + 1;
  }
  EXPECT_THAT(text, AllOf(HasSubstr("\"NaN\""), HasSubstr("\"-Infinity\"")));
}

TEST(MetricsTest, ResumingCutsBoth) {
  const std::string folder = Folder("resume");
  {
    MetricWriter writer = Open(folder, -1);
    for (const int64_t step : {1, 2, 2, 3, 4}) {
      SEPTET_ASSERT_OK(writer.Write(step, {{"x", step}}));
    }
  }
  {
    MetricWriter writer = Open(folder, 2);
    EXPECT_THAT(StepsOf(folder), ElementsAre(1, 2, 2));
    EXPECT_THAT(EventStepsOf(folder), ElementsAre(1, 2, 2));
    SEPTET_ASSERT_OK(writer.Write(5, {{"x", 5}}));
  }
  EXPECT_THAT(StepsOf(folder), ElementsAre(1, 2, 2, 5));
  EXPECT_THAT(EventStepsOf(folder), ElementsAre(1, 2, 2, 5));
  Open(folder, 100);
  EXPECT_THAT(StepsOf(folder), ElementsAre(1, 2, 2, 5));
  Open(folder, -1);
  EXPECT_THAT(StepsOf(folder), ElementsAre());
  EXPECT_THAT(EventStepsOf(folder), ElementsAre());
}

TEST(MetricsTest, ResumesAtAPosition) {
  const std::string folder = Folder("position");
  MetricWriter::Position position;
  {
    MetricWriter writer = Open(folder, -1);
    SEPTET_ASSERT_OK(writer.Write(1, {{"x", 1}}));
    SEPTET_ASSERT_OK(writer.WriteText(1, "note", "text"));
    position = writer.position();
    SEPTET_ASSERT_OK(writer.Write(1, {{"y", 2}}));
  }
  EXPECT_EQ(position.rows, 1);
  EXPECT_EQ(position.events, 3);
  SEPTET_ASSERT_OK_AND_ASSIGN(const MetricWriter writer,
                              MetricWriter::Open(folder, 1, position));
  EXPECT_THAT(StepsOf(folder), ElementsAre(1));
  EXPECT_THAT(EventStepsOf(folder), ElementsAre(1, 1));
  EXPECT_EQ(writer.position().rows, 1);
  EXPECT_EQ(writer.position().events, 3);
}

TEST(MetricsTest, TornEndsAreCut) {
  const std::string folder = Folder("torn");
  {
    MetricWriter writer = Open(folder, -1);
    SEPTET_ASSERT_OK(writer.Write(1, {{"x", 1}}));
    SEPTET_ASSERT_OK(writer.Write(2, {{"x", 2}}));
  }
  std::string rows = ReadFileToString(Rows(folder)).value();
  std::string events = ReadFileToString(Events(folder)).value();
  const size_t rows_end = rows.size();
  const size_t events_end = events.size();
  for (size_t cut = 1; cut < 14; ++cut) {
    SEPTET_ASSERT_OK(
        WriteFileAtomically(Rows(folder), rows.substr(0, rows_end - cut)));
    SEPTET_ASSERT_OK(WriteFileAtomically(Events(folder),
                                         events.substr(0, events_end - cut)));
    EXPECT_THAT(StepsOf(folder), ElementsAre(1));
    MetricWriter writer = Open(folder, 2);
    SEPTET_ASSERT_OK(writer.Write(3, {{"x", 3}}));
    EXPECT_THAT(StepsOf(folder), ElementsAre(1, 3));
    EXPECT_THAT(EventStepsOf(folder), ElementsAre(1, 3));
  }
}

TEST(MetricsTest, DamageIsNamedAndNothingIsCut) {
  const std::string folder = Folder("damage");
  {
    MetricWriter writer = Open(folder, -1);
    SEPTET_ASSERT_OK(writer.Write(1, {{"x", 1}}));
  }
  const std::string good = ReadFileToString(Rows(folder)).value();
  const auto damaged = [&](const std::string& line, const std::string& what) {
    const std::string text = good + line + "\n" + good;
    SEPTET_ASSERT_OK(WriteFileAtomically(Rows(folder), text));
    const auto expected =
        StatusIs(absl::StatusCode::kDataLoss,
                 AllOf(HasSubstr(Rows(folder) + ":2: "), HasSubstr(what)));
    EXPECT_THAT(ReadMetrics(Rows(folder)), expected);
    EXPECT_THAT(MetricWriter::Open(folder, 1).status(), expected);
    EXPECT_EQ(ReadFileToString(Rows(folder)).value(), text);
  };
  damaged("", "expected a JSON object, found ''");
  damaged("{\"step\":2,\"x\":", "expected a JSON object");
  damaged("[2]", "expected a JSON object, found '[2]'");
  damaged("{\"x\":2}", "has no 'step'");
  damaged("{\"step\":-2}", "expected a number of steps as 'step'");
  damaged("{\"step\":1.5}", "expected a number of steps as 'step'");
  damaged("{\"step\":18446744073709551615}", "expected a number of steps");
  damaged("{\"step\":2,\"x\":\"nan\"}", "expected a number as 'x'");
  damaged("{\"step\":2,\"x\":1e999}", "expected a JSON object");
  damaged("{\"step\":2,\"x\":null}", "expected a number as 'x'");
}

TEST(MetricsTest, DamageBehindTheRowsThatAreKeptIsCut) {
  const std::string folder = Folder("tail");
  {
    MetricWriter writer = Open(folder, -1);
    for (const int64_t step : {1, 2, 3}) {
      SEPTET_ASSERT_OK(writer.Write(step, {{"x", step}}));
    }
  }
  const std::string rows = ReadFileToString(Rows(folder)).value();
  SEPTET_ASSERT_OK(WriteFileAtomically(
      Rows(folder), rows + std::string(10, '\0') + "\n" + "{\"step\":9}\n"));
  // The second of four records and what follows cannot be read.
  std::string events = ReadFileToString(Events(folder)).value();
  events[EventRecord(VersionEvent(1)).size() + 20] ^= 1;
  SEPTET_ASSERT_OK(WriteFileAtomically(Events(folder), events));
  MetricWriter writer = Open(folder, 3);
  EXPECT_THAT(StepsOf(folder), ElementsAre(1, 2, 3));
  EXPECT_THAT(EventStepsOf(folder), ElementsAre());
  SEPTET_ASSERT_OK(writer.Write(4, {{"x", 4}}));
  EXPECT_THAT(StepsOf(folder), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(EventStepsOf(folder), ElementsAre(4));
}

TEST(MetricsTest, WhatIsNoRow) {
  const std::string folder = Folder("bad");
  MetricWriter writer = Open(folder, -1);
  SEPTET_ASSERT_OK(writer.Write(3, {{"x", 1}}));
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(writer.Write(2, {{"x", 1}}), invalid("step 2 after step 3"));
  EXPECT_THAT(writer.Write(4, {{"", 1}}), invalid("the name '' is empty"));
  EXPECT_THAT(writer.Write(4, {{"step", 1}}),
              invalid("the name 'step' is there already"));
  EXPECT_THAT(writer.Write(4, {{"x", 1}, {"y", 1}, {"x", 2}}),
              invalid("the name 'x' is there already"));
  EXPECT_THAT(writer.Write(4, {{"\xff", 1}}), invalid("\\xff"));
  EXPECT_THAT(writer.WriteText(2, "t", "text"), invalid("step 2 after step 3"));
  EXPECT_THAT(writer.WriteImage(3, "i", "GIF89a"), invalid("picture 'i'"));
  EXPECT_THAT(StepsOf(folder), ElementsAre(3));
  EXPECT_THAT(MetricWriter::Open(folder + "/none", -1).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_THAT(ReadMetrics(folder + "/none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST(MetricsTest, AFullDiskLeavesWholeRows) {
  const std::string folder = Folder("full");
  MetricWriter writer = Open(folder, -1);
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small = {1000, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  absl::Status status;
  int64_t step = 0;
  while (status.ok() && step < 1000) {
    status = writer.Write(step, {{"loss", 1.0 / 3}});
    if (status.ok()) ++step;
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               HasSubstr("write " + folder)));
  // It does not go on behind a hole.
  EXPECT_FALSE(writer.Write(step + 1, {{"loss", 1}}).ok());
  const std::string text = ReadFileToString(Rows(folder)).value();
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(EventStepsOf(folder).size(), static_cast<size_t>(step));
}

TEST(MetricsTest, FindsByName) {
  const Metrics metrics = {{"a", 1}, {"b", 2}};
  ASSERT_NE(FindMetric(metrics, "b"), nullptr);
  EXPECT_EQ(*FindMetric(metrics, "b"), 2);
  EXPECT_EQ(FindMetric(metrics, "c"), nullptr);
}

}  // namespace
}  // namespace septet
