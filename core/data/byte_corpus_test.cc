// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/byte_corpus.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/runfile.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string TempFolder(const std::string& name) {
  const std::string folder =
      absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
  SEPTET_EXPECT_OK(MakeDirectories(folder));
  return folder;
}

TEST(ByteCorpusTest, EntriesAreWhatStandsBetweenPercentSigns) {
  EXPECT_THAT(FortuneEntries("one\n%\ntwo\n  lines\n%\n \n%\n%%\n%\n"),
              ElementsAre("one\n", "two\n  lines\n", "%%\n"));
  // Only a line of its own cuts; a text may end without one.
  EXPECT_THAT(FortuneEntries("50 %\n% of\n%x\n%\nlast"),
              ElementsAre("50 %\n% of\n%x\n", "last\n"));
  EXPECT_THAT(FortuneEntries(""), IsEmpty());
  EXPECT_THAT(FortuneEntries("\n%\n\t\n"), IsEmpty());
}

TEST(ByteCorpusTest, EveryTwentiethEntryIsHeldOut) {
  std::vector<std::string> entries;
  for (int i = 0; i < 41; ++i) entries.push_back(absl::StrCat(i, ","));
  const ByteCorpus corpus = SplitEntries(entries);
  EXPECT_EQ(corpus.held_out, "0,20,40,");
  EXPECT_THAT(corpus.train, testing::StartsWith("1,2,3,"));
  EXPECT_THAT(corpus.train, HasSubstr(",19,21,"));
  EXPECT_EQ(corpus.entries, 41);
  EXPECT_EQ(corpus.ToString(), absl::StrCat("41 entries: ", corpus.train.size(),
                                            " bytes to train on, 8 held out"));
}

TEST(ByteCorpusTest, FortunesAreTheFilesInByteOrder) {
  const std::string folder = TempFolder("fortunes");
  for (const auto& [name, text] :
       std::vector<std::pair<std::string, std::string>>{{"b", "b1\n%\nb2\n%\n"},
                                                        {"B", "B1\n%\n"},
                                                        {"a", "a1\n%\n"},
                                                        {"a.dat", "index"},
                                                        {"a.u8", "a1\n%\n"}}) {
    SEPTET_ASSERT_OK(WriteFileAtomically(folder + "/" + name, text));
  }
  SEPTET_ASSERT_OK(MakeDirectories(folder + "/folder"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ByteCorpus corpus, ReadFortunes(folder));
  EXPECT_EQ(corpus.held_out, "B1\n");
  EXPECT_EQ(corpus.train, "a1\nb1\nb2\n");
}

TEST(ByteCorpusTest, FortunesThatAreNotThere) {
  EXPECT_THAT(ReadFortunes("/no/such/folder"),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("/no/such/folder: No such file")));
  const std::string folder = TempFolder("empty");
  EXPECT_THAT(ReadFortunes(folder),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("/empty: no fortunes in 0 files")));
}

TEST(ByteCorpusTest, TheDistributionsFortunes) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string folder,
                              FindRunfile("dataset_fortunes/fortunes"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ByteCorpus corpus, ReadFortunes(folder));
  // Releases differ, but not by much.
  EXPECT_GT(corpus.entries, 10000);
  EXPECT_GT(corpus.train.size(), 1500000u);
  EXPECT_NEAR(static_cast<double>(corpus.held_out.size()) /
                  static_cast<double>(corpus.train.size()),
              1 / 19.0, 0.01);
}

TEST(ByteCorpusTest, OfFilesTheEndIsHeldOut) {
  const std::string folder = TempFolder("files");
  SEPTET_ASSERT_OK(WriteFileAtomically(folder + "/x", "0123456789"));
  SEPTET_ASSERT_OK(WriteFileAtomically(folder + "/y", "abcd"));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const ByteCorpus corpus,
      ReadTextFiles({folder + "/x", folder + "/y"}, 0.25));
  EXPECT_EQ(corpus.train, "01234567abc");
  EXPECT_EQ(corpus.held_out, "89d");
  EXPECT_EQ(corpus.ToString(), "11 bytes to train on, 3 held out");
  EXPECT_NE(corpus.Fingerprint(), ByteCorpus().Fingerprint());
  EXPECT_THAT(ReadTextFiles({folder + "/z"}, 0.5),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/z")));
  EXPECT_THAT(ReadTextFiles({}, 0.5),
              StatusIs(absl::StatusCode::kInvalidArgument, "no files"));
  for (const double share : {0.0, 1.0, -1.0}) {
    EXPECT_THAT(ReadTextFiles({folder + "/x"}, share),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("expected above 0 and below 1")));
  }
}

TEST(ByteCorpusTest, TokensAreBytes) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor tokens, ByteTokens("a\xff"));
  EXPECT_EQ(tokens.dtype(), DType::kU8);
  EXPECT_THAT(tokens.ToVector<uint8_t>(), ElementsAre(97, 255));
}

}  // namespace
}  // namespace septet
