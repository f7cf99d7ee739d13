// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/zip_impl.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "unzip.h"
#include "zip.h"
#include "zlib.h"

namespace septet {
namespace io_internal {
namespace {

using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
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

// The status of reading the first entry of `file`.
absl::Status ReadStatus(const std::string& file, int64_t limit = 1 << 20) {
  const absl::StatusOr<ZipArchive> zip = ZipArchive::Open(file);
  if (!zip.ok()) return zip.status();
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
  const std::string file =
      Archive({{"x", {"some text"}, Deflated()}, {"y", {}, {}}});
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
  const size_t row = file.find("PK\x01\x02");
  const size_t end = file.find("PK\x05\x06");
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_THAT(ZipArchive::Open(file.substr(0, size)),
                StatusIs(kDataLoss, HasSubstr("no zip archive")));
  }
  EXPECT_THAT(ZipArchive::Open(file + "x"),
              StatusIs(kDataLoss, HasSubstr("no zip archive")));
  const auto changed = [&file](size_t at, int bytes, uint64_t value) {
    std::string result = file;
    std::memcpy(&result[at], &value, bytes);
    return result;
  };
  const auto open_status = [](const std::string& bytes) {
    return ZipArchive::Open(bytes).status();
  };
  EXPECT_THAT(open_status(changed(row, 1, 'Q')),
              StatusIs(kDataLoss,
                       "the directory of the archive is damaged at "
                       "entry 0 of 1: no row is there"));
  EXPECT_THAT(open_status(changed(row + 28, 2, 9)),
              StatusIs(kDataLoss, HasSubstr("has 55 bytes, 47 are left")));
  EXPECT_THAT(open_status(changed(row + 28, 2, 0)),
              StatusIs(kDataLoss, HasSubstr("1 bytes behind its 1 entries")));
  EXPECT_THAT(open_status(changed(end + 8, 4, 0x00020002)),
              StatusIs(kDataLoss, HasSubstr("says it has 2 entries, more than "
                                            "the 47 bytes")));
  EXPECT_THAT(open_status(changed(end + 4, 2, 1)),
              StatusIs(kUnimplemented, HasSubstr("in several parts")));
  EXPECT_THAT(open_status(changed(end + 10, 2, 2)),
              StatusIs(kUnimplemented, HasSubstr("in several parts")));
  EXPECT_THAT(open_status(changed(end + 12, 4, 48)),
              StatusIs(kDataLoss,
                       "the directory of the archive has 48 bytes at "
                       "40, beyond byte 87 where the record that "
                       "tells of it is"));
  EXPECT_THAT(
      ReadStatus(changed(0, 1, 'Q')),
      StatusIs(kDataLoss, "entry 'x': its own header is not at byte 0"));
  EXPECT_THAT(
      ReadStatus(changed(row + 42, 4, 11)),
      StatusIs(kDataLoss, "entry 'x': its own header is not at byte 11"));
  EXPECT_THAT(
      ReadStatus(changed(30, 1, 'y')),
      StatusIs(kDataLoss, "entry 'x': its own header has the name 'y'"));
  EXPECT_THAT(ReadStatus(changed(row + 24, 4, 8)),
              StatusIs(kDataLoss,
                       "entry 'x': is stored, yet has 9 bytes "
                       "compressed and 8 plain"));
  EXPECT_THAT(ReadStatus(changed(row + 20, 4, 10)),
              StatusIs(kDataLoss,
                       "entry 'x': has 10 bytes at 31, beyond the "
                       "directory at 40"));
  EXPECT_THAT(
      ReadStatus(changed(row + 20, 4, 1000)),
      StatusIs(kDataLoss, HasSubstr("more than its 109 bytes together")));
  EXPECT_THAT(ReadStatus(changed(31, 1, 'S')),
              StatusIs(kDataLoss, HasSubstr("its bytes have the CRC-32")));
}

// A small archive whose numbers stand in the records of zip64.
std::string SmallZip64() {
  const std::string plain = Archive({{"x", {"some text"}, {}}, {"y", {}, {}}});
  const size_t end = plain.find("PK\x05\x06");
  const auto number = [](uint64_t value, int bytes) {
    return std::string(reinterpret_cast<const char*>(&value), bytes);
  };
  uint64_t bytes = 0, begin = 0;
  std::memcpy(&bytes, &plain[end + 12], 4);
  std::memcpy(&begin, &plain[end + 16], 4);
  return absl::StrCat(plain.substr(0, end), "PK\x06\x06", number(44, 8),
                      number(45, 2), number(45, 2), number(0, 8), number(2, 8),
                      number(2, 8), number(bytes, 8), number(begin, 8),
                      "PK\x06\x07", number(0, 4), number(end, 8), number(1, 4),
                      "PK\x05\x06", number(0, 4), std::string(12, '\xff'),
                      number(0, 2));
}

TEST(ZipTest, DamagedZip64) {
  const std::string file = SmallZip64();
  SEPTET_ASSERT_OK_AND_ASSIGN(const ZipArchive whole, ZipArchive::Open(file));
  ASSERT_EQ(whole.entries().size(), 2);
  EXPECT_EQ(whole.Read(whole.entries()[0], Limit(0))->bytes, "some text");
  const size_t end64 = file.find("PK\x06\x06");
  std::string changed = file;
  changed[end64] = 'Q';
  EXPECT_THAT(ZipArchive::Open(changed),
              StatusIs(kDataLoss,
                       absl::StrCat("the zip64 record of the archive is not at "
                                    "byte ",
                                    end64, ", where byte ", end64 + 56,
                                    " says it is")));
  changed = file;
  changed[end64 + 56] = 'Q';
  EXPECT_THAT(ZipArchive::Open(changed),
              StatusIs(kDataLoss, HasSubstr("has 4294967295 bytes at")));
  for (size_t at = end64; at < file.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      changed = file;
      changed[at] ^= static_cast<char>(1 << bit);
      // What is left is not read: sizes of the records and versions.
      const absl::StatusOr<ZipArchive> zip = ZipArchive::Open(changed);
      EXPECT_TRUE(!zip.ok() || zip->entries().size() == 2) << at;
    }
  }
}

TEST(ZipTest, SizesAndOffsetsOfZip64) {
  const std::string plain =
      Archive({{"first", {"x"}, {}}, {"x", {"text"}, {}}});
  const auto number = [](uint64_t value, int bytes) {
    return std::string(reinterpret_cast<const char*>(&value), bytes);
  };
  // The second row says that its sizes and offset are in its extra field,
  // behind one that is not zip64's.
  const size_t offset = plain.find("PK\x03\x04", 4);
  const size_t row = plain.find("PK\x01\x02", plain.find("PK\x01\x02") + 4);
  const size_t end = plain.find("PK\x05\x06");
  const auto archive = [&](const std::string& extra) {
    std::string file = plain;
    file.replace(row + 20, 8, std::string(8, '\xff'));
    file.replace(row + 42, 4, std::string(4, '\xff'));
    file.replace(row + 30, 2, number(extra.size(), 2));
    uint64_t bytes = 0;
    std::memcpy(&bytes, &file[end + 12], 4);
    file.replace(end + 12, 4, number(bytes + extra.size(), 4));
    return file.insert(row + 46 + 1, extra);
  };
  const std::string other = number(7, 2) + number(3, 2) + "abc";
  const std::string file =
      archive(other + number(1, 2) + number(24, 2) + number(4, 8) +
              number(4, 8) + number(offset, 8));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ZipArchive zip, ZipArchive::Open(file));
  ASSERT_EQ(zip.entries().size(), 2);
  SEPTET_ASSERT_OK_AND_ASSIGN(const ZipBytes bytes,
                              zip.Read(zip.entries()[1], Limit(0)));
  EXPECT_EQ(bytes.bytes, "text");
  // Without the field, or with half of it, the sizes are what they say.
  EXPECT_THAT(ZipArchive::Open(archive("")),
              StatusIs(kDataLoss, HasSubstr("bytes together")));
  EXPECT_THAT(
      ZipArchive::Open(archive(number(1, 2) + number(24, 2) + number(4, 8))),
      StatusIs(kDataLoss, HasSubstr("bytes together")));
  EXPECT_THAT(ZipArchive::Open(archive(number(1, 2) + number(8, 2) +
                                       number(~uint64_t{0}, 8))),
              StatusIs(kDataLoss, HasSubstr("bytes together")));
}

// The bytes of an entry as minizip reads them.
std::string OracleRead(unzFile zip) {
  std::string bytes;
  EXPECT_EQ(unzOpenCurrentFile(zip), UNZ_OK);
  char buffer[1000];
  int count;
  while ((count = unzReadCurrentFile(zip, buffer, sizeof(buffer))) > 0) {
    bytes.append(buffer, count);
  }
  EXPECT_EQ(count, 0);
  EXPECT_EQ(unzCloseCurrentFile(zip), UNZ_OK);
  return bytes;
}

TEST(ZipTest, MinizipReadsTheSame) {
  const std::string path =
      absl::StrCat(std::getenv("TEST_TMPDIR"), "/oracle.zip");
  ZipWriteOptions aligned;
  aligned.alignment = 64;
  const std::string text(5000, 'x');
  const std::string file = Archive({{"a", {"one ", "two"}, aligned},
                                    {"caf\xc3\xa9", {text, "y"}, Deflated()},
                                    {"empty", {}, {}}});
  SEPTET_ASSERT_OK(WriteFileAtomically(path, file));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ZipArchive ours, ZipArchive::Open(file));
  unzFile zip = unzOpen64(path.c_str());
  ASSERT_NE(zip, nullptr);
  for (const ZipEntry& entry : ours.entries()) {
    ASSERT_EQ(unzLocateFile(zip, entry.name.c_str(), 1), UNZ_OK);
    EXPECT_EQ(OracleRead(zip), ours.Read(entry, Limit(10000))->bytes);
  }
  unzClose(zip);
}

TEST(ZipTest, ReadsWhatMinizipWrote) {
  const std::string path =
      absl::StrCat(std::getenv("TEST_TMPDIR"), "/minizip.zip");
  const std::string text(5000, 'z');
  zipFile zip = zipOpen64(path.c_str(), APPEND_STATUS_CREATE);
  ASSERT_NE(zip, nullptr);
  for (int zip64 : {0, 1}) {
    for (int method : {0, Z_DEFLATED}) {
      const zip_fileinfo info = {};
      ASSERT_EQ(
          zipOpenNewFileInZip64(zip, absl::StrCat(zip64, ".", method).c_str(),
                                &info, nullptr, 0, nullptr, 0, nullptr, method,
                                Z_DEFAULT_COMPRESSION, zip64),
          ZIP_OK);
      ASSERT_EQ(zipWriteInFileInZip(zip, text.data(), text.size()), ZIP_OK);
      ASSERT_EQ(zipCloseFileInZip(zip), ZIP_OK);
    }
  }
  ASSERT_EQ(zipClose(zip, "a comment"), ZIP_OK);
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string file, ReadFileToString(path));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ZipArchive archive, ZipArchive::Open(file));
  ASSERT_EQ(archive.entries().size(), 4);
  for (const ZipEntry& entry : archive.entries()) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const ZipBytes bytes,
                                archive.Read(entry, Limit(5000)));
    EXPECT_EQ(bytes.bytes, text) << entry.name;
  }
}

// Four gigabytes and more, in pieces of the same memory, so that only offsets
// and sizes are large.
TEST(ZipTest, SizesOf64Bits) {
  std::string tail;
  uint64_t position = 0;
  std::vector<uint64_t> begins;
  ZipWriter writer([&](absl::string_view piece) {
    if (piece.size() < 1000) {
      tail.append(piece.data(), piece.size());
      begins.push_back(position);
    }
    position += piece.size();
    return absl::OkStatus();
  });
  const std::string block(size_t{1} << 26, '\0');
  const std::vector<absl::string_view> pieces(64, block);
  ZipWriteOptions aligned;
  aligned.alignment = 64;
  SEPTET_ASSERT_OK(writer.Add("large", pieces, aligned));
  // The header says that sizes stand elsewhere.
  EXPECT_EQ(tail.substr(18, 8), std::string(8, '\xff'));
  EXPECT_EQ(tail.size() % 64, 0);
  SEPTET_ASSERT_OK(writer.Add("beyond", {"x"}, aligned));
  SEPTET_ASSERT_OK(writer.Finish());
  const auto number = [&tail](size_t at, int bytes) {
    uint64_t value = 0;
    std::memcpy(&value, &tail[at], bytes);
    return value;
  };
  const size_t row = tail.find("PK\x01\x02");
  EXPECT_EQ(number(row + 20, 8), ~uint64_t{0});
  EXPECT_EQ(number(row + 46 + 5, 2), 1);
  EXPECT_EQ(number(row + 46 + 5 + 4, 8), uint64_t{1} << 32);
  const size_t second = tail.find("PK\x01\x02", row + 4);
  EXPECT_EQ(number(second + 42, 4), 0xffffffff);
  EXPECT_EQ(number(second + 46 + 6 + 4, 8), begins[1]);
  const size_t end64 = tail.find("PK\x06\x06");
  EXPECT_EQ(number(end64 + 48, 8), begins[3]);
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
  const auto at = static_cast<uint32_t>(second);
  std::memcpy(&file[file.size() - 6], &at, 4);
  EXPECT_THAT(ZipArchive::Open(file),
              StatusIs(kDataLoss, HasSubstr("bytes together")));
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
