// SPDX-License-Identifier: Apache-2.0
#include "septet/core/random/stream.h"

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"

namespace septet {
namespace {

using ::testing::Eq;
using ::testing::UnorderedElementsAreArray;

TEST(Fnv1a32Test, KnownValues) {
  EXPECT_EQ(Fnv1a32(""), 0x811c9dc5u);
  EXPECT_EQ(Fnv1a32("a"), 0xe40c292cu);
  EXPECT_EQ(Fnv1a32("foobar"), 0xbf9cf968u);
  EXPECT_EQ(Fnv1a32("pref2/sft/prompt"), 0x25c6a4d5u);
  static_assert(Fnv1a32("a") == 0xe40c292cu);
}

TEST(RandomStreamTest, TheKeyIsTheSeedAndTheHashOfTheName) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const RandomStream stream,
      RandomStream::Create(0xabcdef0112345678u, "pref2/sft/prompt"));
  EXPECT_EQ(stream.key(), (PhiloxKey{0x12345678u, 0x25c6a4d5u}));
  EXPECT_EQ(stream.name(), "pref2/sft/prompt");
  EXPECT_EQ(stream.Element(uint64_t{5} << 32),
            Philox4x32(stream.key(), {0, 5, 0, 0}));
}

TEST(RandomStreamTest, NumbersAreMadeOfTheFirstWords) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(3, "numbers"));
  for (const uint64_t i : {uint64_t{0}, uint64_t{17}, ~uint64_t{0}}) {
    const PhiloxBlock words = stream.Element(i);
    EXPECT_EQ(stream.Unit(i), words[0] / 4294967296.0);
    EXPECT_EQ(stream.Below(i, 1000), (uint64_t{words[0]} * 1000) >> 32);
    EXPECT_EQ(stream.Normal(i), NormalFromWords(words[0], words[1]));
  }
}

TEST(RandomStreamTest, OneNameMayBeUsedAgainAndWithOtherSeeds) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream a,
                              RandomStream::Create(1, "again"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream b,
                              RandomStream::Create(1, std::string("again")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream c,
                              RandomStream::Create(2, "again"));
  EXPECT_EQ(a.Element(9), b.Element(9));
  EXPECT_NE(a.Element(9), c.Element(9));
}

TEST(RandomStreamTest, TwoNamesWithOneHashAreAnError) {
  const char first[] = "shuffle/epoch159800";
  const char second[] = "dropout/layer87378";
  ASSERT_EQ(Fnv1a32(first), Fnv1a32(second));
  SEPTET_ASSERT_OK(RandomStream::Create(1, first));
  for (int repeat = 0; repeat < 2; ++repeat) {
    EXPECT_THAT(
        RandomStream::Create(2, second),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 Eq("random streams 'dropout/layer87378' and "
                    "'shuffle/epoch159800' have the same hash 1a774c53 and "
                    "would be the same numbers: rename one of them")));
    SEPTET_ASSERT_OK(RandomStream::Create(1, first));
  }
}

TEST(RandomStreamTest, NamesAreNotEmpty) {
  EXPECT_THAT(RandomStream::Create(1, ""),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("the name of a random stream is empty")));
}

TEST(RandomStreamTest, ThreadsMayCreateStreams) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 500; ++i) {
        const auto stream = RandomStream::Create(1, absl::StrCat("thread/", i));
        SEPTET_ASSERT_OK(stream);
        ASSERT_EQ(stream->name(), absl::StrCat("thread/", i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(RandomStreamTest, ShuffleIsTheRule) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(7, "shuffle"));
  for (const uint64_t n : {0, 1, 2, 10, 257}) {
    for (const uint64_t e : {0, 1, 1000}) {
      std::vector<int> got(n), want(n);
      std::iota(got.begin(), got.end(), 0);
      want = got;
      SEPTET_ASSERT_OK(stream.Shuffle(e, absl::MakeSpan(got)));
      for (int j = static_cast<int>(n) - 1; j >= 1; --j) {
        const uint64_t word = stream.Element(n * e + j)[0];
        std::swap(want[j], want[(word * (j + 1)) >> 32]);
      }
      EXPECT_EQ(got, want);
    }
  }
}

TEST(RandomStreamTest, ShuffleKeepsTheItemsAndDiffersByNumber) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(7, "shuffle"));
  std::vector<int> sorted(100), a, b;
  std::iota(sorted.begin(), sorted.end(), 0);
  a = b = sorted;
  SEPTET_ASSERT_OK(stream.Shuffle(0, absl::MakeSpan(a)));
  SEPTET_ASSERT_OK(stream.Shuffle(1, absl::MakeSpan(b)));
  EXPECT_THAT(a, UnorderedElementsAreArray(sorted));
  EXPECT_THAT(b, UnorderedElementsAreArray(sorted));
  EXPECT_NE(a, sorted);
  EXPECT_NE(a, b);
}

TEST(RandomStreamTest, ShuffleRefusesTooManyItems) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(7, "shuffle"));
  // Never touched.
  char item = 0;
  const absl::Span<char> items(&item, size_t{1} << 32);
  EXPECT_THAT(stream.Shuffle(0, items),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("shuffle of stream 'shuffle': 4294967296 items, "
                          "want fewer than 2^32")));
}

}  // namespace
}  // namespace septet
