// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/hdf5.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

using Tensors = std::map<std::string, Tensor>;

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

// Written by h5py 3 (libhdf5 1.14).
std::string TestData(absl::string_view name) {
  return absl::StrCat("core/io/testdata/hdf5/", name);
}

// Writes a file without waiting for the disk.
void WriteQuickly(const std::string& path, absl::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.flush());
}

TEST(Hdf5Test, LayoutOfD4rl) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors tensors,
                              ReadHdf5(TestData("d4rl.hdf5")));
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  EXPECT_THAT(names,
              ElementsAre("actions", "infos/goal", "infos/qpos",
                          "metadata/iteration", "metadata/policy/fc0/weight",
                          "observations", "rewards", "terminals", "timeouts"));
  const Tensor& observations = tensors.at("observations");
  EXPECT_EQ(observations.dtype(), DType::kF32);
  ASSERT_EQ(observations.shape(), Shape({12, 4}));
  for (int i = 0; i < 48; ++i) {
    EXPECT_EQ(observations.data<float>()[i], i * 0.25f - 3);
  }
  EXPECT_EQ(tensors.at("actions").ToVector<float>()[23], 11.5f);
  EXPECT_EQ(tensors.at("rewards").shape(), Shape({12}));
  EXPECT_EQ(tensors.at("rewards").ToVector<float>()[11], -1.375f);
  const Tensor& goal = tensors.at("infos/goal");
  EXPECT_EQ(goal.dtype(), DType::kF64);
  ASSERT_EQ(goal.shape(), Shape({12, 2}));
  EXPECT_EQ(goal.data<double>()[23], 34.5);
  for (int i = 0; i < 36; ++i) {
    EXPECT_EQ(tensors.at("infos/qpos").data<double>()[i], i / 8.0);
  }
  EXPECT_EQ(tensors.at("terminals").dtype(), DType::kBool);
  EXPECT_EQ(tensors.at("timeouts").dtype(), DType::kBool);
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(tensors.at("terminals").data<bool>()[i], i % 4 == 3);
    EXPECT_EQ(tensors.at("timeouts").data<bool>()[i], i % 6 == 5);
  }
  const Tensor& iteration = tensors.at("metadata/iteration");
  EXPECT_EQ(iteration.shape(), Shape());
  EXPECT_EQ(iteration.item<int64_t>(), 300);
}

TEST(Hdf5Test, List) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Hdf5Dataset> datasets,
                              ListHdf5(TestData("d4rl.hdf5")));
  std::vector<std::string> lines;
  for (const Hdf5Dataset& dataset : datasets) {
    lines.push_back(absl::StrCat(
        dataset.name, " ", dataset.type, " ",
        dataset.dtype.has_value() ? DTypeName(*dataset.dtype) : "-", " ",
        Shape(dataset.shape).ToString()));
  }
  EXPECT_THAT(
      lines, ElementsAre(
                 "actions f32 f32 [12, 2]", "infos/goal f64 f64 [12, 2]",
                 "infos/qpos f64 f64 [12, 3]", "metadata/algorithm string - []",
                 "metadata/fixed string - []", "metadata/iteration i64 i64 []",
                 "metadata/policy/fc0/weight f32 f32 [2, 3]",
                 "observations f32 f32 [12, 4]", "rewards f32 f32 [12]",
                 "terminals bool bool [12]", "timeouts bool bool [12]"));
}

TEST(Hdf5Test, Texts) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto texts,
                              ReadHdf5Texts(TestData("d4rl.hdf5")));
  EXPECT_THAT(texts,
              ElementsAre(Pair("@env", "hopper-medium"), Pair("@gamma", "0.99"),
                          Pair("@max_episode_steps", "1000"),
                          Pair("metadata/algorithm", "SAC"),
                          Pair("metadata/fixed", "tanh"),
                          Pair("observations@unit", "m")));
}

TEST(Hdf5Test, Rows) {
  const std::string path = TestData("d4rl.hdf5");
  const Tensor all = ReadHdf5(path)->at("observations");
  for (const int64_t begin : {0, 7, 12}) {
    for (const int64_t count : {int64_t{0}, int64_t{5}, int64_t{-1}}) {
      if (count > 12 - begin) continue;
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensors tensors,
          ReadHdf5Rows(path, {{"observations", begin, count}}));
      ASSERT_EQ(tensors.size(), 1u);
      const int64_t end = count < 0 ? 12 : begin + count;
      const Tensor expected = all.Slice(0, begin, end).value();
      const Tensor& read = tensors.at("observations");
      EXPECT_EQ(read.shape(), expected.shape());
      EXPECT_EQ(read.ToVector<float>(), expected.ToVector<float>());
    }
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensors two,
      ReadHdf5Rows(path, {{"rewards", 3, 2}, {"metadata/iteration"}}));
  EXPECT_EQ(two.size(), 2u);
  EXPECT_THAT(two.at("rewards").ToVector<float>(), ElementsAre(-0.375, -0.5));
  EXPECT_EQ(two.at("metadata/iteration").item<int64_t>(), 300);
  EXPECT_THAT(*ReadHdf5Rows(path, std::vector<Hdf5Rows>()), IsEmpty());
}

TEST(Hdf5Test, TypesAndByteOrders) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors tensors,
                              ReadHdf5(TestData("types.hdf5")));
  const std::pair<const char*, DType> types[] = {
      {"i1", DType::kI32},     {"i2", DType::kI32},     {"i4", DType::kI32},
      {"i8", DType::kI64},     {"u1", DType::kU8},      {"u2", DType::kU16},
      {"u4", DType::kI64},     {"f2", DType::kF16},     {"f4", DType::kF32},
      {"f8", DType::kF64},     {"big_i4", DType::kI32}, {"big_f8", DType::kF64},
      {"big_f2", DType::kF16}, {"big_u2", DType::kU16},
  };
  for (const auto& [name, dtype] : types) {
    SCOPED_TRACE(name);
    ASSERT_EQ(tensors.count(name), 1u);
    const Tensor& tensor = tensors.at(name);
    EXPECT_EQ(tensor.dtype(), dtype);
    EXPECT_EQ(tensor.shape(), Shape({2, 3}));
    EXPECT_THAT(tensor.ToVector<double>(), ElementsAre(0, 1, 100, 3, 4, 5));
  }
  EXPECT_THAT(tensors.at("negative_i1").ToVector<int32_t>(),
              ElementsAre(-128, 127));
  EXPECT_THAT(tensors.at("large_u4").ToVector<int64_t>(),
              ElementsAre(4294967295));
  EXPECT_EQ(tensors.at("scalar").shape(), Shape());
  EXPECT_EQ(tensors.at("scalar").item<float>(), 2.5f);
  EXPECT_EQ(tensors.at("empty").shape(), Shape({0, 3}));
  // Never written: the fill value.
  EXPECT_THAT(tensors.at("unwritten").ToVector<float>(), ElementsAre(7, 7, 7));
  for (const char* name : {"u8", "nine_axes", "null", "compound", "strings",
                           "complex", "enum", "vlen"}) {
    EXPECT_EQ(tensors.count(name), 0u) << name;
  }
}

TEST(Hdf5Test, WhatNoTensorHoldsIsNamed) {
  const std::string path = TestData("types.hdf5");
  const std::pair<const char*, const char*> refused[] = {
      {"u8", "no tensor holds u64"},
      {"nine_axes", "no tensor holds f32 of 9 axes"},
      {"null", "no tensor holds f32 without a value"},
      {"compound", "no tensor holds compound"},
      {"strings", "no tensor holds string"},
      {"enum", "no tensor holds enum"},
      {"vlen", "no tensor holds list of varying length"},
  };
  for (const auto& [name, what] : refused) {
    EXPECT_THAT(ReadHdf5Rows(path, {{name}}),
                StatusIs(kUnimplemented,
                         absl::StrCat(path, ": dataset '", name, "': ", what)));
  }
}

// h5py writes lzf by a filter of its own. Such a dataset is not damaged, and
// the others of its file can be read.
TEST(Hdf5Test, FiltersThatAreNotThere) {
  const std::string path = TestData("filters.hdf5");
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Hdf5Dataset> list,
                              ListHdf5(path));
  ASSERT_EQ(list.size(), 2);
  EXPECT_EQ(list[0].name, "lzf");
  EXPECT_EQ(list[0].type, "f32 with filter 32000 'lzf', which is not there");
  EXPECT_FALSE(list[0].dtype.has_value());
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors tensors, ReadHdf5(path));
  ASSERT_EQ(tensors.size(), 1);
  std::vector<float> expected;
  for (int i = 0; i < 40; ++i) expected.push_back(static_cast<float>(i));
  EXPECT_EQ(tensors.at("packed").ToVector<float>(), expected);
  EXPECT_THAT(ReadHdf5Rows(path, {{"lzf"}}),
              StatusIs(kUnimplemented,
                       absl::StrCat(path,
                                    ": dataset 'lzf': no tensor holds f32 with "
                                    "filter 32000 'lzf', which is not there")));
}

TEST(Hdf5Test, NewFormatOfFiles) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensors tensors,
      ReadHdf5Rows(TestData("version_110.hdf5"), {{"x", 2, 5}}));
  std::vector<int32_t> expected;
  for (int i = 8; i < 28; ++i) expected.push_back(i);
  EXPECT_EQ(tensors.at("x").ToVector<int32_t>(), expected);
}

TEST(Hdf5Test, OnlyHardLinksInTheFileAreFollowed) {
  const std::string path = TestData("links.hdf5");
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Hdf5Dataset> datasets,
                              ListHdf5(path));
  std::vector<std::string> lines;
  for (const Hdf5Dataset& dataset : datasets) {
    lines.push_back(absl::StrCat(dataset.name, " ", dataset.type));
    EXPECT_EQ(dataset.dtype.has_value(), dataset.type == "i32");
  }
  EXPECT_THAT(lines, ElementsAre("a/again i32", "external i32 in another file",
                                 "virtual i32 in another file"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors tensors, ReadHdf5(path));
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_THAT(tensors.at("a/again").ToVector<int32_t>(), ElementsAre(0, 1, 2));
  for (const char* name : {"external", "virtual"}) {
    EXPECT_THAT(ReadHdf5Rows(path, {{name}}),
                StatusIs(kUnimplemented,
                         HasSubstr("no tensor holds i32 in another file")));
  }
  for (const char* name : {"outside", "soft", "broken"}) {
    EXPECT_THAT(ReadHdf5Rows(path, {{name}}),
                StatusIs(kNotFound, HasSubstr(name)));
  }
}

TEST(Hdf5Test, NamesAndRowsThatAreNotThere) {
  const std::string path = TestData("d4rl.hdf5");
  EXPECT_THAT(ReadHdf5Rows(path, {{"observation"}}),
              StatusIs(kNotFound,
                       absl::StrCat(path,
                                    ": no dataset 'observation' among 11; the "
                                    "nearest name is 'observations'")));
  EXPECT_THAT(
      ReadHdf5Rows(path, {{"actions", 10, 3}}),
      StatusIs(kInvalid, absl::StrCat(path,
                                      ": dataset 'actions': 3 rows from 10 on "
                                      "were asked for, there are 12")));
  EXPECT_THAT(ReadHdf5Rows(path, {{"actions", 13}}),
              StatusIs(kInvalid, HasSubstr("0 rows from 13 on")));
  EXPECT_THAT(ReadHdf5Rows(path, {{"actions", INT64_MAX, INT64_MAX}}),
              StatusIs(kInvalid, HasSubstr("there are 12")));
  EXPECT_THAT(ReadHdf5Rows(path, {{"actions", -1, 2}}),
              StatusIs(kInvalid, HasSubstr("rows from -1 on")));
  EXPECT_THAT(ReadHdf5Rows(path, {{"metadata/iteration", 0, 1}}),
              StatusIs(kInvalid, HasSubstr("has no axis, and so no rows")));
  EXPECT_THAT(ReadHdf5Rows(path, {{"actions"}, {"actions", 2}}),
              StatusIs(kInvalid, HasSubstr("'actions' was asked for twice")));
  EXPECT_THAT(ReadHdf5Rows(path, {{std::string(5000, 'x')}}),
              StatusIs(kInvalid, HasSubstr("or its name is too long")));
}

TEST(Hdf5Test, FilesThatStandForMuch) {
  const std::string path = TestData("huge.hdf5");
  EXPECT_LT(ReadFileToString(path)->size(), 2000u);
  EXPECT_THAT(ReadHdf5(path),
              StatusIs(kExhausted,
                       absl::StrCat(path,
                                    ": dataset 'zeros': 4000000000000 bytes "
                                    "are asked for, Hdf5Options::max_bytes "
                                    "allows 17179869184 in all")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors some,
                              ReadHdf5Rows(path, {{"zeros", 999'999'990, 3}}));
  EXPECT_EQ(some.at("zeros").shape(), Shape({3, 1000}));
  Hdf5Options options;
  options.max_bytes = 11'999;
  EXPECT_THAT(ReadHdf5Rows(path, {{"zeros", 0, 3}}, options),
              StatusIs(kExhausted, HasSubstr("12000 bytes are asked for")));
  options.max_bytes = 12'000;
  SEPTET_EXPECT_OK(ReadHdf5Rows(path, {{"zeros", 0, 3}}, options));
}

TEST(Hdf5Test, RowsLargerThanABlock) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors all,
                              ReadHdf5(TestData("wide_rows.hdf5")));
  const Tensor& ordered = all.at("ordered");
  ASSERT_EQ(ordered.shape(), Shape({2, 2, 1'200'000}));
  const auto* const values = ordered.data<int32_t>();
  int64_t wrong = 0;
  for (int32_t i = 0; i < 4'800'000; ++i) wrong += values[i] != i;
  EXPECT_EQ(wrong, 0);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensors last,
      ReadHdf5Rows(TestData("wide_rows.hdf5"), {{"ordered", 1, 1}}));
  const Tensor& row = last.at("ordered");
  ASSERT_EQ(row.shape(), Shape({1, 2, 1'200'000}));
  EXPECT_EQ(std::memcmp(row.data<int32_t>(), values + 2'400'000,
                        2'400'000 * sizeof(int32_t)),
            0);
}

// 460 bytes, compressed twice, that stand for 200 MB.
TEST(Hdf5Test, LimitOfMemory) {
  const std::string path = TestData("bomb.hdf5");
  Hdf5Options options;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Sanitizers reserve more than any limit.
  options.reader_memory_bytes = 200 << 20;
  SEPTET_EXPECT_OK(ReadHdf5(TestData("d4rl.hdf5"), options));
  EXPECT_THAT(
      ReadHdf5Rows(path, {{"zeros", 0, 10}}, options),
      StatusIs(kExhausted, HasSubstr(": dataset 'zeros': the HDF5 reader has "
                                     "no memory: ")));
#endif
  options.max_bytes = 1 << 20;
  EXPECT_THAT(ReadHdf5(path, options),
              StatusIs(kExhausted, HasSubstr("200000000 bytes are asked for")));
}

TEST(Hdf5Test, LimitOfDatasets) {
  const std::string path = TestData("d4rl.hdf5");
  Hdf5Options options;
  options.max_datasets = 10;
  EXPECT_THAT(ListHdf5(path, options),
              StatusIs(kExhausted, HasSubstr("has more than 10 datasets "
                                             "(Hdf5Options::max_datasets)")));
  options.max_datasets = 11;
  SEPTET_EXPECT_OK(ReadHdf5(path, options));
}

TEST(Hdf5Test, OtherFiles) {
  const std::string path = TempPath("other.hdf5");
  EXPECT_THAT(ReadHdf5(path), StatusIs(kNotFound, HasSubstr(path)));
  SEPTET_ASSERT_OK(WriteFileAtomically(path, ""));
  EXPECT_THAT(ReadHdf5(path),
              StatusIs(kDataLoss,
                       absl::StrCat(path, ": not an HDF5 file: it is empty")));
  SEPTET_ASSERT_OK(WriteFileAtomically(path, std::string(5000, 'x')));
  EXPECT_THAT(ListHdf5(path),
              StatusIs(kDataLoss,
                       absl::StrCat(path,
                                    ": not an HDF5 file: none of the bytes 0, "
                                    "512, 1024, ... begins HDF5's signature")));
  EXPECT_THAT(ReadHdf5(TempPath(".")),
              StatusIs(kPrecondition, HasSubstr("is a directory")));
  const std::string pipe = TempPath("pipe.hdf5");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(ReadHdf5(pipe),
              StatusIs(kPrecondition, HasSubstr("is a special file")));
  // What stands in front of HDF5 may be the user's.
  const std::string bytes =
      ReadFileToString(TestData("version_110.hdf5")).value();
  SEPTET_ASSERT_OK(
      WriteFileAtomically(path, absl::StrCat(std::string(512, ' '), bytes)));
  SEPTET_EXPECT_OK(ListHdf5(path));
}

TEST(Hdf5Test, Truncated) {
  const std::string path = TempPath("truncated.hdf5");
  const std::string bytes = ReadFileToString(TestData("d4rl.hdf5")).value();
  for (size_t size = 8; size < bytes.size(); size += 3001) {
    WriteQuickly(path, bytes.substr(0, size));
    EXPECT_THAT(ReadHdf5(path), StatusIs(kDataLoss, StartsWith(path))) << size;
  }
}

TEST(Hdf5Test, DamagedDataAreNamed) {
  // The gzip stream of infos/qpos, found by its header; fletcher32 sees more.
  std::string bytes = ReadFileToString(TestData("d4rl.hdf5")).value();
  int damaged = 0;
  for (size_t place = bytes.find("\x78\x5e"); place != std::string::npos;
       place = bytes.find("\x78\x5e", place + 1)) {
    bytes[place + 4] ^= 0x55;
    ++damaged;
  }
  ASSERT_GT(damaged, 0);
  const std::string path = TempPath("damaged.hdf5");
  SEPTET_ASSERT_OK(WriteFileAtomically(path, bytes));
  EXPECT_THAT(
      ReadHdf5Rows(path, {{"observations"}}),
      StatusIs(kDataLoss, StartsWith(absl::StrCat(path,
                                                  ": dataset 'observations'"
                                                  ": damaged: HDF5 says: "))));
  // The others can still be had.
  SEPTET_EXPECT_OK(ReadHdf5Rows(path, {{"actions"}}));
}

// Whatever is changed in a file, the answer is a value or a Status. More than
// the 10 changed copies of each file: --test_env=SEPTET_HDF5_MUTATIONS=1000.
TEST(Hdf5Test, MutatedFiles) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream random,
                              RandomStream::Create(4, "hdf5_test/mutations"));
  uint64_t i = 0;
  const auto below = [&](size_t n) {
    return random.Below(i++, static_cast<uint32_t>(n));
  };
  Hdf5Options options;
  options.max_bytes = 1 << 20;
  options.max_datasets = 1000;
  options.reader_memory_bytes = 512 << 20;
  options.reader_cpu_seconds = 2;
  int rounds = 10;
  if (const char* const more = std::getenv("SEPTET_HDF5_MUTATIONS")) {
    ASSERT_TRUE(absl::SimpleAtoi(more, &rounds)) << more;
  }
  std::map<absl::StatusCode, int> codes;
  const std::string path = TempPath("mutated.hdf5");
  int crashes = 0;
  for (const char* name :
       {"d4rl.hdf5", "types.hdf5", "links.hdf5", "version_110.hdf5"}) {
    const std::string original = ReadFileToString(TestData(name)).value();
    for (int round = 0; round < rounds; ++round) {
      std::string bytes = original;
      for (uint32_t n = 1 + below(8); n > 0; --n) {
        // Half of them where the structure begins.
        const size_t place =
            below(below(2) == 0 ? std::min<size_t>(bytes.size(), 2048)
                                : bytes.size());
        if (below(4) == 0) {
          bytes[place] = '\xff';
        } else {
          bytes[place] = static_cast<char>(below(256));
        }
      }
      if (below(8) == 0) bytes.resize(1 + below(bytes.size()));
      WriteQuickly(path, bytes);
      absl::Status status = ReadHdf5(path, options).status();
      if (below(4) == 0) status.Update(ReadHdf5Texts(path, options).status());
      ++codes[status.code()];
      if (!status.ok()) {
        EXPECT_THAT(status.code(), AnyOf(kDataLoss, kExhausted, kUnimplemented))
            << status;
        EXPECT_THAT(std::string(status.message()), StartsWith(path));
      }
      crashes += absl::StrContains(status.message(), "crashed with signal");
    }
  }
  // Some changes are to data, or to what nobody looks at.
  EXPECT_GT(codes[absl::StatusCode::kOk], 5);
  EXPECT_GT(codes[kDataLoss], 5);
  for (const auto& [code, count] : codes) {
    std::printf("%s: %d\n", absl::StatusCodeToString(code).c_str(), count);
  }
  std::printf("crashes of the reader: %d\n", crashes);
}

// In place of the program, one that does what it should not.
class Misbehaving {
 public:
  explicit Misbehaving(const char* how) {
    setenv("SEPTET_TEST_READER", how, 1);
    options.reader = Runfile("core/io/hdf5_misbehaving_reader");
  }
  ~Misbehaving() { unsetenv("SEPTET_TEST_READER"); }

  absl::Status Read(const std::vector<Hdf5Rows>& rows = {{"x"}}) const {
    return ReadHdf5Rows(TestData("d4rl.hdf5"), rows, options).status();
  }

  Hdf5Options options;
};

TEST(Hdf5ReaderTest, Crash) {
  EXPECT_THAT(Misbehaving("crash").Read(),
              StatusIs(kDataLoss,
                       absl::StrCat(TestData("d4rl.hdf5"),
                                    ": the HDF5 reader crashed with signal 11 "
                                    "(Segmentation fault): the file is "
                                    "damaged")));
}

TEST(Hdf5ReaderTest, Hang) {
  constexpr char kSilent[] =
      "the HDF5 reader sent nothing for 0.2 s "
      "(Hdf5Options::reader_idle_seconds) and was stopped: the file is damaged";
  Misbehaving hanging("hang");
  hanging.options.reader_idle_seconds = 0.2;
  EXPECT_THAT(hanging.Read(), StatusIs(kDataLoss, HasSubstr(kSilent)));
  Misbehaving closing("close and hang");
  closing.options.reader_idle_seconds = 0.2;
  // The first where it takes more than that time to start.
  EXPECT_THAT(closing.Read(),
              StatusIs(kDataLoss, AnyOf(HasSubstr(kSilent),
                                        HasSubstr("the answer of the HDF5 "
                                                  "reader ends too early"))));
}

TEST(Hdf5ReaderTest, TooMuchTime) {
  Misbehaving reader("burn");
  reader.options.reader_cpu_seconds = 1;
  EXPECT_THAT(
      reader.Read(),
      StatusIs(kDataLoss, HasSubstr("the HDF5 reader took more than 1 s of "
                                    "processor time "
                                    "(Hdf5Options::reader_cpu_seconds)")));
}

TEST(Hdf5ReaderTest, Garbage) {
  const std::pair<const char*, const char*> cases[] = {
      {"exit",
       "the answer of the HDF5 reader ends too early; it exited with 3"},
      {"half a frame", "ends too early; it exited with 0"},
      {"text", "is garbage: a frame does not begin with its mark"},
      {"wrong checksum", "is garbage: the checksum of a frame is wrong"},
      {"other tensor", "is garbage: the tensor 'x' is not what was asked for"},
      {"other shape", "is garbage: the tensor 'x' is not what was asked for"},
      {"no tensor", "is garbage: the tensor 'x' is not what was asked for"},
      {"large tensor", "is garbage: the tensor 'x' has more bytes than was"},
      {"error", ": bad \\x01\\n things"},
  };
  for (const auto& [how, what] : cases) {
    EXPECT_THAT(Misbehaving(how).Read(),
                StatusIs(kDataLoss, AllOf(StartsWith(TestData("d4rl.hdf5: ")),
                                          HasSubstr(what))))
        << how;
  }
}

TEST(Hdf5ReaderTest, LongRequests) {
  std::vector<Hdf5Rows> rows;
  for (int i = 0; i < 30'000; ++i) {
    rows.push_back({absl::StrCat("dataset number ", i)});
  }
  EXPECT_THAT(ReadHdf5Rows(TestData("d4rl.hdf5"), rows),
              StatusIs(kNotFound, HasSubstr("no dataset 'dataset number 0'")));
  // Not even read.
  EXPECT_THAT(Misbehaving("error").Read(rows),
              StatusIs(kDataLoss, HasSubstr("bad \\x01\\n things")));
}

TEST(Hdf5ReaderTest, IsNotThere) {
  Hdf5Options options;
  options.reader = TempPath("no_such_program");
  EXPECT_THAT(ListHdf5(TestData("d4rl.hdf5"), options),
              StatusIs(kPrecondition, HasSubstr(absl::StrCat(
                                          "cannot start the program ",
                                          options.reader, ": No such file"))));
}

// Without some variables of the environment, until its end.
class Unset {
 public:
  explicit Unset(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const char* const value = std::getenv(name.c_str());
      if (value != nullptr) values_[name] = value;
      unsetenv(name.c_str());
    }
  }
  ~Unset() {
    for (const auto& [name, value] : values_) {
      setenv(name.c_str(), value.c_str(), 1);
    }
  }

 private:
  std::map<std::string, std::string> values_;
};

// A copy of a program of the tree, in a folder of this test.
std::string CopyProgram(absl::string_view program, const std::string& to) {
  EXPECT_TRUE(
      WriteFileAtomically(to, ReadFileToString(Runfile(program)).value()).ok());
  EXPECT_EQ(chmod(to.c_str(), 0700), 0);
  return to;
}

TEST(Hdf5ReaderTest, IsFound) {
  const std::string alone = TempPath("alone");
  SEPTET_ASSERT_OK(MakeDirectories(alone));
  const std::string program = CopyProgram("core/io/hdf5_list_testprogram",
                                          absl::StrCat(alone, "/list"));
  const std::string file = TestData("d4rl.hdf5");
  // Where a test of Bazel says that its files are.
  SEPTET_ASSERT_OK_AND_ASSIGN(ProgramResult result,
                              RunProgram({program, file}));
  EXPECT_EQ(result.out, "11 datasets\n") << result.err;

  const std::string bytes =
      ReadFileToString(Runfile("core/io/hdf5_reader")).value();
  const Unset unset({"RUNFILES_DIR", "TEST_SRCDIR"});
  SEPTET_ASSERT_OK_AND_ASSIGN(result, RunProgram({program, file}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(
      result.err,
      AllOf(StartsWith("FAILED_PRECONDITION: "),
            HasSubstr("the program hdf5_reader (//core/io:hdf5_reader), which "
                      "reads HDF5 files, is not there: looked for "),
            HasSubstr(absl::StrCat(program,
                                   ".runfiles/septet/core/io/hdf5_reader, ",
                                   alone, "/hdf5_reader"))));

  // Beside it, and before that among its own runfiles.
  for (const std::string& place :
       {absl::StrCat(alone, "/hdf5_reader"),
        absl::StrCat(program, ".runfiles/septet/core/io/hdf5_reader")}) {
    SEPTET_ASSERT_OK(MakeDirectories(place.substr(0, place.rfind('/'))));
    WriteQuickly(place, bytes);
    ASSERT_EQ(chmod(place.c_str(), 0700), 0);
    SEPTET_ASSERT_OK_AND_ASSIGN(result, RunProgram({program, file}));
    EXPECT_EQ(result.out, "11 datasets\n") << result.err;
    ASSERT_EQ(unlink(place.c_str()), 0);
  }
}

TEST(Hdf5ReaderTest, IsNotForUseByHand) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const ProgramResult result,
                              RunProgram({Runfile("core/io/hdf5_reader")}));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("not for use by hand"));
}

TEST(Hdf5OptionsTest, Validate) {
  const auto status = [](void (*change)(Hdf5Options*)) {
    Hdf5Options options;
    change(&options);
    return ListHdf5(TestData("d4rl.hdf5"), options).status();
  };
  EXPECT_THAT(status([](Hdf5Options* o) { o->max_bytes = 0; }),
              StatusIs(kInvalid, HasSubstr("Hdf5Options: max_bytes is 0, "
                                           "expected more than 0")));
  EXPECT_THAT(status([](Hdf5Options* o) { o->max_datasets = -1; }),
              StatusIs(kInvalid, HasSubstr("max_datasets is -1")));
  EXPECT_THAT(status([](Hdf5Options* o) { o->reader_memory_bytes = 0; }),
              StatusIs(kInvalid, HasSubstr("reader_memory_bytes is 0")));
  EXPECT_THAT(status([](Hdf5Options* o) { o->reader_cpu_seconds = 0; }),
              StatusIs(kInvalid, HasSubstr("reader_cpu_seconds is 0")));
  EXPECT_THAT(
      status([](Hdf5Options* o) { o->reader_idle_seconds = std::nan(""); }),
      StatusIs(kInvalid, HasSubstr("reader_idle_seconds is nan")));
}

}  // namespace
}  // namespace septet
