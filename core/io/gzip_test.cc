// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/gzip.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

std::string Compress(absl::string_view text, int level = 6) {
  std::string out;
  GzipWriter writer(
      [&out](absl::string_view piece) {
        out.append(piece.data(), piece.size());
        return absl::OkStatus();
      },
      level);
  EXPECT_TRUE(writer.Append(text).ok());
  EXPECT_TRUE(writer.Finish().ok());
  return out;
}

// All of it, `step` bytes at a time.
absl::StatusOr<std::string> Decompress(absl::string_view bytes, size_t step) {
  GzipReader reader(bytes);
  std::string text;
  std::string piece(step, '\0');
  while (true) {
    absl::StatusOr<size_t> size = reader.Read(&piece[0], step);
    if (!size.ok()) return size.status();
    text.append(piece, 0, *size);
    if (*size < step) return text;
  }
}

std::string SomeText() {
  std::string text;
  for (int i = 0; i < 20000; ++i) absl::StrAppend(&text, i * i % 9973, " ");
  return text;
}

TEST(GzipTest, RoundTrip) {
  const std::string text = SomeText();
  for (const int level : {1, 6, 9}) {
    const std::string bytes = Compress(text, level);
    EXPECT_LT(bytes.size(), text.size());
    EXPECT_TRUE(IsGzip(bytes));
    for (const size_t step :
         {size_t{1}, size_t{7}, size_t{4096}, text.size(), text.size() + 1}) {
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::string read,
                                  Decompress(bytes, step));
      EXPECT_EQ(read, text) << level << " " << step;
    }
  }
  EXPECT_EQ(*Decompress(Compress(""), 10), "");
}

TEST(GzipTest, PiecesAndNoTimeGiveTheSameBytes) {
  std::string out;
  GzipWriter writer([&out](absl::string_view piece) {
    out.append(piece.data(), piece.size());
    return absl::OkStatus();
  });
  const std::string text = SomeText();
  for (size_t i = 0; i < text.size(); i += 1000) {
    SEPTET_ASSERT_OK(writer.Append(absl::string_view(text).substr(i, 1000)));
  }
  SEPTET_ASSERT_OK(writer.Finish());
  EXPECT_EQ(out, Compress(text));
  EXPECT_EQ(out.substr(4, 4), std::string(4, '\0'));
}

TEST(GzipTest, MembersAreOneText) {
  const std::string bytes =
      absl::StrCat(Compress("one "), Compress(""), Compress("two"));
  for (const size_t step : {1, 3, 4, 100}) {
    EXPECT_EQ(*Decompress(bytes, step), "one two");
  }
}

TEST(GzipTest, NothingIsMadeThatWasNotAskedFor) {
  // 10 MB of zeros in some 10 KB; the ratio is the one that the format allows.
  const std::string bytes = Compress(std::string(10'000'000, '\0'), 9);
  EXPECT_LT(bytes.size(), 10'500u);
  EXPECT_GT(bytes.size() * kMaxDeflateRatio, 10'000'000u);
  GzipReader reader(bytes);
  char piece[10];
  SEPTET_ASSERT_OK_AND_ASSIGN(const size_t size, reader.Read(piece, 10));
  EXPECT_EQ(size, 10u);
  EXPECT_LT(reader.position(), 200u);
}

TEST(GzipTest, MovedReaderAndWriterGoOn) {
  std::string out;
  GzipWriter first([&out](absl::string_view piece) {
    out.append(piece.data(), piece.size());
    return absl::OkStatus();
  });
  SEPTET_ASSERT_OK(first.Append("moved "));
  GzipWriter second = std::move(first);
  SEPTET_ASSERT_OK(second.Append("on"));
  SEPTET_ASSERT_OK(second.Finish());
  GzipReader reader(out);
  char text[8];
  EXPECT_EQ(*reader.Read(text, 3), 3u);
  GzipReader moved = std::move(reader);
  EXPECT_EQ(*moved.Read(text + 3, 5), 5u);
  EXPECT_EQ(absl::string_view(text, 8), "moved on");
}

TEST(GzipTest, EveryTruncationIsSeen) {
  const std::string bytes = Compress("some text, some text, some text");
  for (size_t size = 2; size < bytes.size(); ++size) {
    EXPECT_THAT(
        Decompress(bytes.substr(0, size), 100),
        StatusIs(kDataLoss, HasSubstr(absl::StrCat(
                                "gzip: truncated: the file ends after ", size,
                                " bytes within the member that "
                                "begins at byte 0"))));
  }
}

TEST(GzipTest, DamageIsSeen) {
  const std::string good = Compress("some text, some text, some text");
  std::string bytes = good;
  bytes[good.size() - 8] ^= 1;
  EXPECT_THAT(Decompress(bytes, 100),
              StatusIs(kDataLoss, HasSubstr("incorrect data check")));
  bytes = good;
  bytes[good.size() - 4] ^= 1;
  EXPECT_THAT(Decompress(bytes, 100),
              StatusIs(kDataLoss, HasSubstr("incorrect length check")));
  bytes = good;
  bytes[2] = 7;
  EXPECT_THAT(Decompress(bytes, 100),
              StatusIs(kDataLoss, HasSubstr("unknown compression method")));
  bytes = good;
  bytes[10] = '\x07';
  EXPECT_THAT(Decompress(bytes, 100),
              StatusIs(kDataLoss, HasSubstr("gzip: damaged at byte")));
}

TEST(GzipTest, OtherBytesAreErrors) {
  EXPECT_THAT(Decompress("", 10),
              StatusIs(kDataLoss, "not gzip: does not begin with 1f 8b"));
  EXPECT_THAT(Decompress("plain", 10),
              StatusIs(kDataLoss, "not gzip: does not begin with 1f 8b"));
  const std::string member = Compress("text");
  EXPECT_THAT(
      Decompress(absl::StrCat(member, "rest"), 10),
      StatusIs(kDataLoss, absl::StrCat("gzip: ends at byte ", member.size(),
                                       ", but 4 other bytes follow")));
  EXPECT_FALSE(IsGzip("\x1f"));
  EXPECT_FALSE(IsGzip("PK"));
}

TEST(GzipTest, AnErrorStays) {
  GzipReader reader("plain");
  char text[4];
  const absl::Status first = reader.Read(text, 4).status();
  EXPECT_FALSE(first.ok());
  EXPECT_EQ(reader.Read(text, 4).status(), first);

  int calls = 0;
  GzipWriter writer([&calls](absl::string_view) {
    ++calls;
    return absl::ResourceExhaustedError("disk full");
  });
  // Enough for zlib to give something on.
  EXPECT_THAT(writer.Append(SomeText()),
              StatusIs(absl::StatusCode::kResourceExhausted, "disk full"));
  EXPECT_THAT(writer.Append("x"),
              StatusIs(absl::StatusCode::kResourceExhausted, "disk full"));
  EXPECT_THAT(writer.Finish(),
              StatusIs(absl::StatusCode::kResourceExhausted, "disk full"));
  EXPECT_EQ(calls, 1);
}

TEST(GzipTest, WrongUseOfTheWriter) {
  const auto ignore = [](absl::string_view) { return absl::OkStatus(); };
  for (const int level : {0, 10, -1}) {
    GzipWriter writer(ignore, level);
    EXPECT_THAT(writer.Append("x"),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         absl::StrCat("gzip: the level is ", level,
                                      ", expected 1 to 9")));
  }
  GzipWriter writer(ignore);
  SEPTET_ASSERT_OK(writer.Finish());
  EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        "gzip: Finish has been called before"));
  EXPECT_THAT(writer.Append("x"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "gzip: Finish has been called before"));
}

}  // namespace
}  // namespace septet
