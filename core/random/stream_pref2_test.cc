// SPDX-License-Identifier: Apache-2.0
// The prompts, texts and rewards of the benchmark pref2, whose integers are
// fixed: they hold the bits of streams, units and bounded integers from one
// end to the other.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/stream.h"
#include "septet/core/random/variates.h"

namespace septet {
namespace {

using ::testing::ElementsAre;

constexpr int kEos = 1;

// Number n is that of row n % 128 of a step: rows 0-63 are of task A, the
// others of task B.
bool IsTaskA(uint64_t n) { return n % 128 < 64; }

// The eight words of prompt n: a partial shuffle of the 15 of its task.
std::array<int, 8> PromptWords(const RandomStream& stream, uint64_t n) {
  std::array<int, 15> list;
  for (int k = 0; k < 15; ++k) list[k] = (IsTaskA(n) ? 15 : 25) + k;
  std::array<int, 8> words;
  for (uint32_t j = 0; j < 8; ++j) {
    std::swap(list[j], list[j + stream.Below(8 * n + j, 15 - j)]);
    words[j] = list[j];
  }
  return words;
}

std::vector<int> Text(const RandomStream& length, const RandomStream& token,
                      uint64_t n, const std::array<int, 8>& words) {
  std::vector<int> text(4 + length.Below(n, 9));
  for (uint64_t t = 0; t < text.size(); ++t) {
    const PhiloxBlock w = token.Element(16 * n + t);
    const double u = UnitFromWord(w[0]);
    const auto below = [&](uint32_t k) {
      return static_cast<int>(BelowFromWord(w[1], k));
    };
    text[t] = u < 0.6    ? words[below(8)]
              : u < 0.75 ? 5 + below(5)
              : u < 0.9  ? 10 + below(5)
                         : 15 + below(25);
  }
  text.push_back(kEos);
  return text;
}

double Gold(const std::vector<int>& text, const std::array<int, 8>& words,
            bool task_a) {
  const auto in_prompt = [&](int id) {
    return std::find(words.begin(), words.end(), id) != words.end();
  };
  const int len = static_cast<int>(text.size()) - 1;
  std::set<int> distinct;
  int covered = 0, outside = 0, x = 0, y = 0;
  for (int t = 0; t < len; ++t) {
    const int id = text[t];
    if (distinct.insert(id).second && in_prompt(id)) ++covered;
    if (id >= 15 && !in_prompt(id)) ++outside;
    if (id >= 5 && id < 10) ++x;
    if (id >= 10 && id < 15) ++y;
  }
  const double cov = covered / 8.0;
  const double hall = outside / 4.0;
  const double rep = (len - static_cast<int>(distinct.size())) / 4.0;
  const double style = (std::min(x, 3) - std::min(y, 3)) / 3.0;
  if (task_a) return 2 * cov - hall - rep + 1.5 * style;
  return cov - hall - rep - 1.5 * style - std::abs(len - 6) / 6.0;
}

TEST(Pref2Test, PromptsTextsAndRewardsOfSeedZero) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream prompt,
                              RandomStream::Create(0, "pref2/sft/prompt"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream length,
                              RandomStream::Create(0, "pref2/sft/length"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream token,
                              RandomStream::Create(0, "pref2/sft/token"));

  const std::array<int, 8> words_a = PromptWords(prompt, 0);
  EXPECT_THAT(words_a, ElementsAre(25, 27, 21, 20, 16, 28, 29, 19));
  const std::vector<int> text_a = Text(length, token, 0, words_a);
  EXPECT_THAT(text_a,
              ElementsAre(30, 28, 20, 10, 19, 10, 28, 25, 27, 13, kEos));
  EXPECT_NEAR(Gold(text_a, words_a, true), -1.0, 1e-12);

  const std::array<int, 8> words_b = PromptWords(prompt, 64);
  EXPECT_THAT(words_b, ElementsAre(27, 33, 38, 28, 30, 26, 32, 37));
  const std::vector<int> text_b = Text(length, token, 64, words_b);
  EXPECT_THAT(text_b, ElementsAre(33, 27, 33, 38, 14, 28, 7, kEos));
  EXPECT_NEAR(Gold(text_b, words_b, false), 1.0 / 12, 1e-12);

  double sum_a = 0, sum_b = 0;
  for (uint64_t n = 0; n < 40 * 128; ++n) {
    const std::array<int, 8> words = PromptWords(prompt, n);
    const double gold = Gold(Text(length, token, n, words), words, IsTaskA(n));
    (IsTaskA(n) ? sum_a : sum_b) += gold;
  }
  EXPECT_NEAR(sum_a / 2560, 0.3939453125, 1e-10);
  EXPECT_NEAR(sum_b / 2560, -0.4877115885, 1e-10);
}

}  // namespace
}  // namespace septet
