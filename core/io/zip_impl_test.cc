// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/zip_impl.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace io_internal {
namespace {

using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;

struct Item {
  std::string name;
  std::vector<absl::string_view> pieces;
  ZipWriteOptions options;
};

std::string Archive(const std::vector<Item>& items) {
  std::string file;
  ZipWriter writer([&file](absl::string_view piece) {
    absl::StrAppend(&file, piece);
    return absl::OkStatus();
  });
  for (const Item& item : items) {
    EXPECT_THAT(writer.Add(item.name, item.pieces, item.options), IsOk());
  }
  EXPECT_THAT(writer.Finish(), IsOk());
  return file;
}

ZipReadOptions Limit(int64_t bytes) {
  ZipReadOptions options;
  options.max_inflated_bytes = bytes;
  return options;
}

ZipWriteOptions Deflated() {
  ZipWriteOptions options;
  options.deflate = true;
  return options;
}

// The status of reading the only entry of `file`.
absl::Status ReadStatus(const std::string& file, int64_t limit = 1 << 20) {
  const absl::StatusOr<ZipArchive> zip = ZipArchive::Open(file);
  if (!zip.ok()) return zip.status();
  EXPECT_EQ(zip->entries().size(), 1);
  return zip->Read(zip->entries()[0], Limit(limit)).status();
}

// `file`, with the number at `local` behind the signature of the local header
// and `directory` behind that of the row of the directory set to `value`.
std::string Patch(std::string file, int local, int directory, int bytes,
                  uint64_t value) {
  std::memcpy(&file[file.find("PK\x03\x04") + local], &value, bytes);
  std::memcpy(&file[file.find("PK\x01\x02") + directory], &value, bytes);
  return file;
}

TEST(ZipTest, RoundTrip) {
  const std::string text(100000, 'x');
  ZipWriteOptions aligned;
  aligned.alignment = 4096;
  const std::string file = Archive({{"a", {"one ", "", "two"}, {}},
                                    {"dir/b", {text, text}, Deflated()},
                                    {"empty", {}, {}},
                                    {"empty deflated", {}, Deflated()},
                                    {"aligned", {"x"}, aligned}});
  SEPTET_ASSERT_OK_AND_ASSIGN(const ZipArchive zip, ZipArchive::Open(file));
  std::vector<std::string> contents;
  for (const ZipEntry& entry : zip.entries()) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const ZipBytes bytes,
                                zip.Read(entry, Limit(200000)));
    EXPECT_EQ(bytes.owner.has_value(), entry.method == 8);
    contents.emplace_back(bytes.bytes);
    if (entry.name == "aligned") {
      EXPECT_EQ((bytes.bytes.data() - file.data()) % 4096, 0);
    }
  }
  EXPECT_THAT(contents,
              testing::ElementsAre("one two", text + text, "", "", "x"));
}

TEST(ZipTest, MoreEntriesThanTheOldFormatCounts) {
  std::vector<Item> items;
  for (int i = 0; i < 70000; ++i) items.push_back({absl::StrCat(i), {"x"}, {}});
  const std::string file = Archive(items);
  SEPTET_ASSERT_OK_AND_ASSIGN(const ZipArchive zip, ZipArchive::Open(file));
  ASSERT_EQ(zip.entries().size(), items.size());
  EXPECT_EQ(zip.entries()[69999].name, "69999");
  SEPTET_ASSERT_OK_AND_ASSIGN(const ZipBytes bytes,
                              zip.Read(zip.entries()[69999], Limit(0)));
  EXPECT_EQ(bytes.bytes, "x");
}

TEST(ZipTest, InflatesWithinLimits) {
  const std::string zeros(100000, '\0');
  const std::string file = Archive({{"zeros", {zeros}, Deflated()}});
  SEPTET_EXPECT_OK(ReadStatus(file, 100000));
  EXPECT_THAT(ReadStatus(file, 99999),
              StatusIs(kExhausted,
                       "entry 'zeros': inflates to 100000 bytes, "
                       "99999 are allowed"));
  EXPECT_THAT(ReadStatus(file, -1), StatusIs(kExhausted, HasSubstr("allowed")));
  EXPECT_THAT(ReadStatus(Patch(file, 22, 24, 4, 99999)),
              StatusIs(kDataLoss,
                       "entry 'zeros': inflates to more than the "
                       "99999 bytes the archive says"));
  EXPECT_THAT(ReadStatus(Patch(file, 22, 24, 4, 100001)),
              StatusIs(kDataLoss,
                       "entry 'zeros': inflates to 100000 bytes, the "
                       "archive says 100001"));
  EXPECT_THAT(ReadStatus(Patch(file, 22, 24, 4, 0xfffffff0), int64_t{1} << 40),
              StatusIs(kDataLoss, HasSubstr("says it has 4294967280 bytes, "
                                            "more than")));
}

TEST(ZipTest, DamagedDeflate) {
  std::string file = Archive({{"x", {"some text"}, Deflated()}});
  const size_t begin = 31;
  ASSERT_EQ(file[begin - 1], 'x');
  std::string changed = file;
  changed[begin] = '\xff';
  EXPECT_THAT(
      ReadStatus(changed),
      StatusIs(kDataLoss, HasSubstr("compressed bytes is not deflate's: "
                                    "invalid block type")));
  const int64_t size = ZipArchive::Open(file)->entries()[0].compressed_bytes;
  EXPECT_THAT(ReadStatus(Patch(file, 18, 20, 4, size - 1)),
              StatusIs(kDataLoss, HasSubstr("its compressed data end after")));
  EXPECT_THAT(ReadStatus(Patch(file, 18, 20, 4, size + 1)),
              StatusIs(kDataLoss, HasSubstr("its deflated data end after")));
}

TEST(ZipTest, DamagedDirectory) {
  const std::string file = Archive({{"x", {"some text"}, {}}});
  EXPECT_THAT(ZipArchive::Open(""), StatusIs(kDataLoss, HasSubstr("0 bytes")));
  EXPECT_THAT(ZipArchive::Open(file.substr(0, file.size() - 1)),
              StatusIs(kDataLoss, HasSubstr("no zip archive")));
  std::string changed = file;
  changed[file.find("PK\x01\x02")] = 'Q';
  EXPECT_THAT(ZipArchive::Open(changed),
              StatusIs(kDataLoss, HasSubstr("damaged at entry 0 of 1")));
  changed = file;
  // Both counts of the record at the end.
  changed[file.size() - 14] = changed[file.size() - 12] = 2;
  EXPECT_THAT(ZipArchive::Open(changed),
              StatusIs(kDataLoss, HasSubstr("damaged at entry 1 of 2, behind "
                                            "'x'")));
  changed[file.size() - 13] = changed[file.size() - 11] = 0x7f;
  EXPECT_THAT(ZipArchive::Open(changed),
              StatusIs(kDataLoss, HasSubstr("says it has 32514 entries")));
  changed = file;
  changed[0] = 'Q';
  EXPECT_THAT(ReadStatus(changed),
              StatusIs(kDataLoss, HasSubstr("entry 'x': its own header")));
  EXPECT_THAT(
      ReadStatus(Patch(file, 22, 24, 4, 8)),
      StatusIs(kDataLoss, HasSubstr("is stored, yet has 9 bytes compressed")));
  EXPECT_THAT(ReadStatus(Patch(file, 18, 20, 4, 1000)),
              StatusIs(kDataLoss, HasSubstr("they overlap")));
  // Behind its entry are the directory's 47 bytes and the record's 22.
  const std::string beyond = Patch(Patch(file, 18, 20, 4, 79), 22, 24, 4, 79);
  EXPECT_THAT(ReadStatus(beyond),
              StatusIs(kDataLoss, HasSubstr("has 79 bytes at 31, beyond")));
}

TEST(ZipTest, EntriesThatOverlapAreRefused) {
  // Two rows of the directory for one entry.
  const std::string text(1000, 'x');
  std::string file = Archive({{"a", {text}, {}}, {"a", {text}, {}}});
  const size_t second = file.find("PK\x03\x04", 4);
  const size_t directory = file.find("PK\x01\x02");
  file.erase(second, directory - second);
  const size_t row = file.find("PK\x01\x02", file.find("PK\x01\x02") + 4);
  const uint32_t zero = 0;
  std::memcpy(&file[row + 42], &zero, 4);
  const uint32_t at = static_cast<uint32_t>(second);
  std::memcpy(&file[file.size() - 6], &at, 4);
  EXPECT_THAT(ZipArchive::Open(file),
              StatusIs(kDataLoss, HasSubstr("they overlap")));
}

TEST(ZipTest, NamesOfAllLengths) {
  ZipWriter writer([](absl::string_view) { return absl::OkStatus(); });
  EXPECT_THAT(writer.Add("", {}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("names of 1 to 65535")));
  EXPECT_THAT(writer.Add(std::string(65536, 'x'), {}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("has 65536 bytes")));
  ZipWriter full(
      [](absl::string_view) { return absl::ResourceExhaustedError("full"); });
  EXPECT_THAT(full.Add("x", {"x"}, {}), StatusIs(kExhausted, "full"));
}

}  // namespace
}  // namespace io_internal
}  // namespace septet
