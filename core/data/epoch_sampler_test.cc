// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/epoch_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/random/distributions.h"
#include "septet/core/random/stream.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;

EpochSamplerOptions Options(int64_t size, int64_t batch) {
  EpochSamplerOptions options;
  options.size = size;
  options.batch = batch;
  options.seed = 20240229;
  return options;
}

std::vector<int64_t> Copy(absl::Span<const int64_t> items) {
  return {items.begin(), items.end()};
}

TEST(EpochSamplerTest, EveryEpochIsAPermutationCutIntoBatches) {
  for (const int64_t size : {1, 2, 7, 64, 1000}) {
    for (const int64_t batch : {int64_t{1}, int64_t{3}, size}) {
      EpochSamplerOptions options = Options(size, batch);
      options.drop_last = false;
      SEPTET_ASSERT_OK_AND_ASSIGN(EpochSampler sampler,
                                  EpochSampler::Create(options));
      const int64_t per_epoch = (size + batch - 1) / batch;
      ASSERT_EQ(sampler.batches_per_epoch(), per_epoch);
      for (int64_t epoch = 0; epoch < 3; ++epoch) {
        std::vector<int64_t> seen;
        for (int64_t b = 0; b < per_epoch; ++b) {
          ASSERT_EQ(sampler.Epoch(epoch * per_epoch + b), epoch);
          const absl::Span<const int64_t> items =
              sampler.Batch(epoch * per_epoch + b);
          if (b + 1 < per_epoch) {
            ASSERT_EQ(items.size(), batch);
          }
          seen.insert(seen.end(), items.begin(), items.end());
        }
        // The permutation that core/random defines, so that other programs
        // can have the same order.
        SEPTET_ASSERT_OK_AND_ASSIGN(
            const RandomStream stream,
            RandomStream::Create(options.seed, "data/shuffle"));
        SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> want,
                                    Permutation(stream, epoch, size));
        ASSERT_EQ(seen, want);
        std::sort(seen.begin(), seen.end());
        for (int64_t i = 0; i < size; ++i) ASSERT_EQ(seen[i], i);
      }
    }
  }
}

TEST(EpochSamplerTest, WithoutShuffleItemsAscend) {
  EpochSamplerOptions options = Options(5, 2);
  options.shuffle = false;
  options.drop_last = false;
  SEPTET_ASSERT_OK_AND_ASSIGN(EpochSampler sampler,
                              EpochSampler::Create(options));
  EXPECT_THAT(sampler.Batch(0), ElementsAre(0, 1));
  EXPECT_THAT(sampler.Batch(2), ElementsAre(4));
  EXPECT_THAT(sampler.Batch(3), ElementsAre(0, 1));
  EXPECT_THAT(sampler.Batch(5), ElementsAre(4));
}

TEST(EpochSamplerTest, DropsTheLastItemsOfAnEpochIfAsked) {
  SEPTET_ASSERT_OK_AND_ASSIGN(EpochSampler sampler,
                              EpochSampler::Create(Options(10, 4)));
  EXPECT_EQ(sampler.batches_per_epoch(), 2);
  std::vector<int64_t> left_out(10);
  for (int64_t epoch = 0; epoch < 50; ++epoch) {
    std::vector<bool> seen(10);
    for (const int64_t b : {2 * epoch, 2 * epoch + 1}) {
      const absl::Span<const int64_t> items = sampler.Batch(b);
      ASSERT_EQ(items.size(), 4);
      for (const int64_t item : items) {
        ASSERT_FALSE(seen[item]);
        seen[item] = true;
      }
    }
    for (int64_t i = 0; i < 10; ++i) left_out[i] += seen[i] ? 0 : 1;
  }
  // Others each epoch: 10 of 50 expected for each item.
  for (const int64_t count : left_out) EXPECT_GT(count, 0);
  EXPECT_EQ(std::accumulate(left_out.begin(), left_out.end(), int64_t{0}), 100);
}

TEST(EpochSamplerTest, ABatchDependsOnItsNumberAlone) {
  SEPTET_ASSERT_OK_AND_ASSIGN(EpochSampler forward,
                              EpochSampler::Create(Options(100, 8)));
  std::vector<std::vector<int64_t>> want;
  for (int64_t b = 0; b < 60; ++b) want.push_back(Copy(forward.Batch(b)));
  EXPECT_NE(want[0], want[12]);  // another epoch, another order
  // A sampler made anew at any place, as by a program that resumes.
  for (const int64_t first : {1, 11, 12, 35}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(EpochSampler resumed,
                                EpochSampler::Create(Options(100, 8)));
    for (int64_t b = first; b < 60; ++b) {
      ASSERT_EQ(Copy(resumed.Batch(b)), want[b]) << "from " << first;
    }
  }
  // And in any order.
  for (int64_t b = 59; b >= 0; b -= 7) {
    ASSERT_EQ(Copy(forward.Batch(b)), want[b]);
  }
}

TEST(EpochSamplerTest, SeedsAndStreamsDiffer) {
  EpochSamplerOptions options = Options(1000, 1000);
  const auto order = [&](absl::string_view stream) {
    return Copy(EpochSampler::Create(options, stream)->Batch(0));
  };
  const std::vector<int64_t> plain = order("data/shuffle");
  EXPECT_NE(order("data/shuffle/other"), plain);
  options.seed = 1;
  EXPECT_NE(order("data/shuffle"), plain);
}

TEST(EpochSamplerTest, EveryItemComesToEveryPlaceEquallyOften) {
  constexpr int64_t kSize = 12, kEpochs = 6000;
  SEPTET_ASSERT_OK_AND_ASSIGN(EpochSampler sampler,
                              EpochSampler::Create(Options(kSize, kSize)));
  std::vector<int64_t> counts(kSize * kSize);
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const absl::Span<const int64_t> items = sampler.Batch(epoch);
    for (int64_t place = 0; place < kSize; ++place) {
      ++counts[place * kSize + items[place]];
    }
  }
  const double expected = double{kEpochs} / kSize;
  double chi2 = 0;
  for (const int64_t count : counts) {
    chi2 += (count - expected) * (count - expected) / expected;
  }
  // Rows and columns have fixed sums: (kSize - 1)^2 degrees of freedom, and,
  // as a permutation's entries are negatively correlated, a mean of
  // kSize (kSize - 1).
  const double freedom = (kSize - 1) * (kSize - 1);
  EXPECT_LT(std::abs(chi2 - kSize * (kSize - 1)), 5 * std::sqrt(2 * freedom));
}

TEST(EpochSamplerTest, FarBatchesAreThere) {
  SEPTET_ASSERT_OK_AND_ASSIGN(EpochSampler sampler,
                              EpochSampler::Create(Options(3, 1)));
  const int64_t last = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(sampler.Batch(last).size(), 1);
  EXPECT_LT(sampler.Batch(last)[0], 3);
}

TEST(EpochSamplerTest, OptionsAreChecked) {
  const auto message = [](const EpochSamplerOptions& options,
                          const std::string& want) {
    EXPECT_THAT(EpochSampler::Create(options),
                StatusIs(absl::StatusCode::kInvalidArgument, Eq(want)));
  };
  message(Options(0, 1), "epoch sampler: size is 0, expected 1 to 2^32 - 1");
  message(Options(int64_t{1} << 32, 1),
          "epoch sampler: size is 4294967296, expected 1 to 2^32 - 1");
  message(Options(5, 0), "epoch sampler: batch is 0, expected at least 1");
  message(Options(5, 6),
          "epoch sampler: batch is 6, expected at most the 5 items that there "
          "are, as incomplete batches are dropped");
  EpochSamplerOptions keep = Options(5, 6);
  keep.drop_last = false;
  SEPTET_ASSERT_OK_AND_ASSIGN(EpochSampler sampler, EpochSampler::Create(keep));
  EXPECT_EQ(sampler.Batch(1).size(), 5);
  EXPECT_THAT(EpochSampler::Create(Options(5, 1), ""),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_));
}

}  // namespace
}  // namespace septet
