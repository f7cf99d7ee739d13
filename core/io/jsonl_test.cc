// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/jsonl.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/json_object.h"
#include "septet/core/io/json_value.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

std::string Slurp(const std::string& path) {
  return ReadFileToString(path).value();
}

// The field "a" of all lines, until the end or an error.
absl::StatusOr<std::vector<int64_t>> ReadA(std::string bytes,
                                           const JsonlOptions& options = {}) {
  absl::StatusOr<JsonlReader> reader =
      JsonlReader::FromBytes(std::move(bytes), "x.jsonl", options);
  if (!reader.ok()) return reader.status();
  std::vector<int64_t> values;
  while (true) {
    const absl::StatusOr<std::optional<JsonValue>> row = reader->Next();
    if (!row.ok()) return row.status();
    if (!row->has_value()) return values;
    const absl::StatusOr<int64_t> a = (*row)->GetInteger("a");
    if (!a.ok()) return a.status();
    values.push_back(*a);
  }
}

JsonlOptions IgnoreTorn() {
  JsonlOptions options;
  options.ignore_torn_last_line = true;
  return options;
}

JsonObject Row(int64_t a) {
  JsonObject row;
  row.SetInteger("a", a);
  return row;
}

TEST(JsonlTest, Lines) {
  EXPECT_THAT(*ReadA("{\"a\":1}\n{\"a\":2}\n"), ElementsAre(1, 2));
  EXPECT_THAT(*ReadA("{\"a\":1}\n{\"a\":2}"), ElementsAre(1, 2));
  EXPECT_THAT(*ReadA("{\"a\":1}\r\n{\"a\":2}\r\n"), ElementsAre(1, 2));
  EXPECT_THAT(*ReadA("\n \t\r\n{\"a\":1}\n\n"), ElementsAre(1));
  EXPECT_THAT(*ReadA(""), IsEmpty());
  EXPECT_THAT(*ReadA("\n"), IsEmpty());
}

TEST(JsonlTest, RowsOfAMethod) {
  const std::string path = TempPath("tasks.jsonl");
  SEPTET_ASSERT_OK(WriteFileAtomically(
      path,
      "{\"task\": \"add\", \"prompt\": [1, 2], \"response\": [3], \"gold\": "
      "\"3\"}\n"
      "{\"task\": \"add\", \"prompt\": [1, 2.5], \"response\": [], \"gold\": "
      "4}\n"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<JsonValue> rows,
                              ReadJsonl(path));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(*rows[0].GetString("task"), "add");
  EXPECT_THAT(*rows[0].GetIntegers("prompt"), ElementsAre(1, 2));
  EXPECT_THAT(*rows[0].GetIntegers("response"), ElementsAre(3));
  EXPECT_THAT(rows[1].GetIntegers("prompt"),
              StatusIs(kDataLoss, absl::StrCat(path,
                                               ":2: field 'prompt[1]' is 2.5, "
                                               "expected an integer")));
  EXPECT_THAT(
      rows[1].GetString("gold"),
      StatusIs(kDataLoss,
               absl::StrCat(path, ":2: field 'gold' is 4, expected a text")));
}

TEST(JsonlTest, ErrorsNameTheLine) {
  EXPECT_THAT(ReadA("{\"a\":1}\n\n{\"a\" 2}\n"),
              StatusIs(kDataLoss, "x.jsonl:3: not valid JSON at byte 6"));
  EXPECT_THAT(ReadA("{\"a\":1}\n{\"b\":2}\n"),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("x.jsonl:2: has no field 'a'")));
  EXPECT_THAT(ReadA("{\"a\":1,\"a\":2}\n"),
              StatusIs(kDataLoss, "x.jsonl:1: the key 'a' is there twice"));
  EXPECT_THAT(ReadA(absl::StrCat(std::string(100, '['), "\n")),
              StatusIs(kDataLoss, "x.jsonl:1: nested deeper than 64"));
  EXPECT_THAT(ReadA(std::string("{\"a\":1}\0\n", 9)),
              StatusIs(kDataLoss, "x.jsonl:1: not valid JSON at byte 8"));
}

TEST(JsonlTest, ReadingGoesOnAfterAnError) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      JsonlReader reader, JsonlReader::FromBytes("{\n{\"a\":2}\n", "x.jsonl"));
  EXPECT_EQ(reader.line(), 0);
  EXPECT_FALSE(reader.Next().ok());
  EXPECT_EQ(reader.line(), 1);
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::optional<JsonValue> row,
                              reader.Next());
  EXPECT_EQ(*row->GetInteger("a"), 2);
  EXPECT_EQ(reader.line(), 2);
  JsonlReader moved = std::move(reader);
  EXPECT_EQ(*moved.Next(), std::nullopt);
  EXPECT_EQ(*moved.Next(), std::nullopt);
}

TEST(JsonlTest, TornLastLine) {
  const std::string file = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}";
  for (size_t size = 0; size <= file.size(); ++size) {
    SCOPED_TRACE(size);
    const std::string cut = file.substr(0, size);
    std::vector<int64_t> whole;
    for (int64_t i = 1; i <= 3; ++i) {
      if (size >= static_cast<size_t>(8 * i - 1)) whole.push_back(i);
    }
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> read,
                                ReadA(cut, IgnoreTorn()));
    EXPECT_EQ(read, whole);
    const bool torn = size % 8 != 0 && size % 8 != 7;
    if (torn) {
      EXPECT_THAT(
          ReadA(cut),
          StatusIs(kDataLoss,
                   AllOf(StartsWith(absl::StrCat("x.jsonl:", size / 8 + 1,
                                                 ": not valid JSON")),
                         HasSubstr("it is the last line and has no end, "
                                   "perhaps torn"))));
    } else {
      EXPECT_EQ(*ReadA(cut), whole);
    }
  }
  // Digits may be missing.
  SEPTET_ASSERT_OK_AND_ASSIGN(
      JsonlReader reader,
      JsonlReader::FromBytes("12\n34", "x.jsonl", IgnoreTorn()));
  EXPECT_EQ(*(*reader.Next())->Integer(), 12);
  EXPECT_EQ(*reader.Next(), std::nullopt);
  EXPECT_EQ(reader.torn_bytes(), 2);
  EXPECT_EQ(reader.line(), 1);
  // Only the last line can be torn.
  EXPECT_THAT(ReadA("{\"a\n{\"a\":2}\n", IgnoreTorn()),
              StatusIs(kDataLoss, HasSubstr("x.jsonl:1: not valid JSON")));
}

TEST(JsonlTest, LimitOfALine) {
  const std::string line = "{\"a\":1}";
  JsonlOptions options;
  options.max_line_bytes = 7;
  EXPECT_THAT(*ReadA(absl::StrCat(line, "\r\n", line), options),
              ElementsAre(1, 1));
  options.max_line_bytes = 6;
  EXPECT_THAT(ReadA(absl::StrCat("\n", line, "\n"), options),
              StatusIs(kExhausted,
                       "x.jsonl:2: the line has 7 bytes, "
                       "options.max_line_bytes allows 6"));
  options.max_line_bytes = 0;
  EXPECT_THAT(ReadA("", options),
              StatusIs(kInvalid,
                       "x.jsonl: JsonlOptions: max_line_bytes is 0, "
                       "expected at least 1"));
}

TEST(JsonlTest, ByteOrderMarks) {
  EXPECT_THAT(ReadA("\xef\xbb\xbf{\"a\":1}\n"),
              StatusIs(kDataLoss,
                       "x.jsonl: begins with a byte order mark of "
                       "UTF-8, expected UTF-8 without one"));
  for (const char* mark : {"\xff\xfe", "\xfe\xff"}) {
    EXPECT_THAT(ReadA(absl::StrCat(mark, "{")),
                StatusIs(kDataLoss, HasSubstr("a byte order mark of UTF-16")));
  }
}

TEST(JsonlTest, PathsThatCannotBeRead) {
  const std::string gone = TempPath("gone.jsonl");
  EXPECT_THAT(JsonlReader::Open(gone),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(gone)));
  EXPECT_THAT(ReadJsonl(gone),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(gone)));
  EXPECT_THAT(ReadJsonl(TempPath(".")),
              StatusIs(kPrecondition, HasSubstr("is a directory")));
}

TEST(JsonlWriterTest, LinesAreAdded) {
  for (const bool sync : {true, false}) {
    const std::string path = TempPath(absl::StrCat("added", sync));
    JsonlWriterOptions options;
    options.sync = sync;
    {
      SEPTET_ASSERT_OK_AND_ASSIGN(JsonlWriter writer,
                                  JsonlWriter::Open(path, options));
      EXPECT_EQ(writer.path(), path);
      SEPTET_ASSERT_OK(writer.Append(Row(1)));
      EXPECT_EQ(Slurp(path), "{\"a\":1}\n");
      SEPTET_ASSERT_OK(writer.AppendLine("[2, 3]"));
      JsonlWriter moved = std::move(writer);
      SEPTET_ASSERT_OK(moved.Append(Row(4)));
      SEPTET_ASSERT_OK(moved.Sync());
    }
    SEPTET_ASSERT_OK_AND_ASSIGN(JsonlWriter again, JsonlWriter::Open(path));
    SEPTET_ASSERT_OK(again.Append(Row(5)));
    EXPECT_EQ(Slurp(path), "{\"a\":1}\n[2, 3]\n{\"a\":4}\n{\"a\":5}\n");
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<JsonValue> rows,
                                ReadJsonl(path));
    EXPECT_EQ(rows.size(), 4u);
  }
}

TEST(JsonlWriterTest, RowsThatCannotBeWritten) {
  const std::string path = TempPath("refused.jsonl");
  SEPTET_ASSERT_OK_AND_ASSIGN(JsonlWriter writer, JsonlWriter::Open(path));
  JsonObject row;
  row.SetNumber("loss", std::numeric_limits<double>::infinity());
  EXPECT_THAT(writer.Append(row),
              StatusIs(kInvalid, absl::StrCat("append to ", path,
                                              ": field 'loss': is inf, JSON "
                                              "has no such number")));
  for (const char* line : {"{\n}", "{}\n", "{\r}"}) {
    EXPECT_THAT(
        writer.AppendLine(line),
        StatusIs(kInvalid, HasSubstr("the line has a line break in it")));
  }
  EXPECT_EQ(Slurp(path), "");
}

TEST(JsonlWriterTest, TornLastLines) {
  const std::string path = TempPath("torn.jsonl");
  JsonlWriterOptions cut;
  cut.cut_torn_last_line = true;
  for (const char* torn : {"{\"a\":", "12", "x"}) {
    for (const char* before : {"", "{\"a\":1}\n"}) {
      SEPTET_ASSERT_OK(WriteFileAtomically(path, absl::StrCat(before, torn)));
      const size_t size = absl::string_view(torn).size();
      const size_t begin = absl::string_view(before).size();
      EXPECT_THAT(
          JsonlWriter::Open(path),
          StatusIs(kPrecondition,
                   absl::StrCat("append to ", path, ": the last line is torn: ",
                                size, " bytes without an end from byte ", begin,
                                "; cut it off, or open with "
                                "cut_torn_last_line")));
      EXPECT_EQ(Slurp(path), absl::StrCat(before, torn));
      SEPTET_ASSERT_OK_AND_ASSIGN(JsonlWriter writer,
                                  JsonlWriter::Open(path, cut));
      SEPTET_ASSERT_OK(writer.Append(Row(2)));
      EXPECT_EQ(Slurp(path), absl::StrCat(before, "{\"a\":2}\n"));
    }
  }
  // Whole but for its end: kept.
  SEPTET_ASSERT_OK(WriteFileAtomically(path, "{\"a\":1}"));
  SEPTET_ASSERT_OK_AND_ASSIGN(JsonlWriter writer, JsonlWriter::Open(path));
  SEPTET_ASSERT_OK(writer.Append(Row(2)));
  EXPECT_EQ(Slurp(path), "{\"a\":1}\n{\"a\":2}\n");
}

TEST(JsonlWriterTest, WithoutRoomTheFileIsAsBefore) {
  const std::string path = TempPath("full.jsonl");
  SEPTET_ASSERT_OK_AND_ASSIGN(JsonlWriter writer, JsonlWriter::Open(path));
  SEPTET_ASSERT_OK(writer.Append(Row(1)));
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 12;  // a line and a half
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = writer.Append(Row(2));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(status, StatusIs(kExhausted, HasSubstr(absl::StrCat(
                                               "append to ", path, ": File"))));
  EXPECT_EQ(Slurp(path), "{\"a\":1}\n");
  SEPTET_ASSERT_OK(writer.Append(Row(3)));
  EXPECT_EQ(Slurp(path), "{\"a\":1}\n{\"a\":3}\n");
}

TEST(JsonlWriterTest, PathsThatCannotBeWritten) {
  EXPECT_THAT(JsonlWriter::Open(""),
              StatusIs(kInvalid, HasSubstr("the path of a file is empty")));
  EXPECT_THAT(JsonlWriter::Open(TempPath("no/folder.jsonl")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/folder")));
  EXPECT_THAT(JsonlWriter::Open(TempPath("")),
              StatusIs(kPrecondition, HasSubstr("is a directory, want")));
  const std::string pipe = TempPath("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(JsonlWriter::Open(pipe),
              StatusIs(kPrecondition, HasSubstr("is a special file, want")));
}

}  // namespace
}  // namespace septet
