// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/augment.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor Images(const Shape& shape) {
  Tensor x = Tensor::Empty(shape, DType::kU8).value();
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    x.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(37 * i + i / 7 + 1);
  }
  return x;
}

AugmentOptions Options(int64_t shift, bool flip) {
  AugmentOptions options;
  options.shift = shift;
  options.flip = flip;
  options.seed = 20240229;
  return options;
}

TEST(ImageScaleTest, IsTheFormulaRoundedOnce) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageScale scale,
                              ImageScale::Create({0.25, 0.5}, {0.5, 0}));
  ASSERT_EQ(scale.channels(), 2);
  for (int v = 0; v < 256; ++v) {
    ASSERT_EQ(scale.table(0)[v], static_cast<float>((v / 255.0 - 0.25) / 0.5));
    // All pixels equal: nothing to divide by.
    ASSERT_EQ(scale.table(1)[v], static_cast<float>(v / 255.0 - 0.5));
    ASSERT_EQ(ImageScale::Unit(1).table(0)[v], static_cast<float>(v / 255.0));
  }
}

TEST(ImageScaleTest, NumbersAreChecked) {
  EXPECT_THAT(ImageScale::Create({}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "image scale: 0 means and 0 deviations, expected one of "
                       "both for each of 1 to 1024 channels"));
  EXPECT_THAT(ImageScale::Create({1, 2}, {1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("2 means and 1 deviations")));
  const std::vector<double> many(1025, 1.0);
  EXPECT_THAT(ImageScale::Create(many, many),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("1025 means and 1025 deviations")));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const auto& [mean, std] :
       {std::pair(nan, 1.0), std::pair(0.0, nan), std::pair(0.0, -1.0)}) {
    EXPECT_THAT(ImageScale::Create({0, mean}, {1, std}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("image scale: channel 1 has mean")));
  }
}

TEST(PlainBatchTest, TakesTheItemsInTheirOrder) {
  const Tensor images = Images({5, 2, 3, 2});
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageScale scale,
                              ImageScale::Create({0.1, 0.2}, {0.3, 0.4}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor batch,
                              PlainBatch(images, scale, {4, 0, 4}));
  ASSERT_EQ(batch.shape(), Shape({3, 2, 3, 2}));
  const std::vector<int> from = images.ToVector<int>();
  const std::vector<float> got = batch.ToVector<float>();
  const int items[] = {4, 0, 4};
  for (int64_t i = 0; i < batch.num_elements(); ++i) {
    ASSERT_EQ(got[i], scale.table(i % 2)[from[items[i / 12] * 12 + i % 12]]);
  }
  EXPECT_EQ(PlainBatch(images, scale, {})->shape(), Shape({0, 2, 3, 2}));
}

// By the definition, pixel by pixel: the crop of a framed image, mirrored.
TEST(ImageAugmenterTest, ShiftsAndMirrors) {
  constexpr int64_t kHeight = 5, kWidth = 4, kChannels = 2;
  const Tensor images = Images({6, kHeight, kWidth, kChannels});
  const std::vector<int> from = images.ToVector<int>();
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageScale scale,
                              ImageScale::Create({0.1, 0.2}, {0.3, 0.4}));
  // Shifts that move an image out of sight, too.
  for (const auto& [shift, flip] : {std::pair(0, true), std::pair(1, false),
                                    std::pair(2, true), std::pair(9, true)}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const ImageAugmenter augment,
                                ImageAugmenter::Create(Options(shift, flip)));
    for (int64_t epoch = 0; epoch < 10; ++epoch) {
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor batch,
          augment.Batch(images, scale, {0, 1, 2, 3, 4, 5}, epoch));
      const std::vector<float> got = batch.ToVector<float>();
      int64_t at = 0;
      for (int64_t n = 0; n < 6; ++n) {
        const ImageAugmenter::Change change = augment.ChangeOf(n, 6, epoch);
        for (int64_t i = 0; i < kHeight; ++i) {
          for (int64_t j = 0; j < kWidth; ++j) {
            for (int64_t c = 0; c < kChannels; ++c, ++at) {
              const int64_t row = i - change.down;
              const int64_t col =
                  (change.mirrored ? kWidth - 1 - j : j) - change.right;
              const bool inside =
                  row >= 0 && row < kHeight && col >= 0 && col < kWidth;
              const int value =
                  inside
                      ? from[((n * kHeight + row) * kWidth + col) * kChannels +
                             c]
                      : 0;
              ASSERT_EQ(got[at], scale.table(c)[value])
                  << n << " " << i << " " << j << " epoch " << epoch;
            }
          }
        }
      }
    }
  }
}

TEST(ImageAugmenterTest, EveryChangeIsEquallyLikely) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageAugmenter augment,
                              ImageAugmenter::Create(Options(2, true)));
  std::map<std::pair<std::pair<int64_t, int64_t>, bool>, int64_t> counts;
  constexpr int64_t kItems = 1000, kEpochs = 20;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    for (int64_t item = 0; item < kItems; ++item) {
      const auto change = augment.ChangeOf(item, kItems, epoch);
      ASSERT_LE(std::abs(change.down), 2);
      ASSERT_LE(std::abs(change.right), 2);
      ++counts[{{change.down, change.right}, change.mirrored}];
    }
  }
  ASSERT_EQ(counts.size(), 50);
  const double expected = kItems * kEpochs / 50.0;
  double chi2 = 0;
  for (const auto& [change, count] : counts) {
    chi2 += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(std::abs(chi2 - 49), 4 * std::sqrt(2.0 * 49));
}

TEST(ImageAugmenterTest, AnImageIsChangedByItsNumberAndEpochAlone) {
  const Tensor images = Images({40, 9, 8, 3});
  const ImageScale scale = ImageScale::Unit(3);
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageAugmenter augment,
                              ImageAugmenter::Create(Options(3, true)));
  const auto batch = [&](std::vector<int64_t> items, int64_t epoch) {
    return augment.Batch(images, scale, items, epoch)->ToVector<float>();
  };
  // Whatever else is in the batch, and wherever it stands.
  std::vector<float> all = batch({7, 3, 7, 39}, 5);
  EXPECT_EQ(std::vector<float>(all.begin() + 216, all.begin() + 432),
            batch({3}, 5));
  EXPECT_EQ(std::vector<float>(all.begin(), all.begin() + 216),
            std::vector<float>(all.begin() + 432, all.begin() + 648));
  EXPECT_NE(batch({3}, 5), batch({3}, 6));
  EXPECT_NE(batch({3}, 5), ImageAugmenter::Create(Options(3, true), "other")
                               ->Batch(images, scale, {3}, 5)
                               ->ToVector<float>());
  // Several blocks of images, several threads.
  std::vector<int64_t> many;
  for (int64_t i = 0; i < 1000; ++i) many.push_back(i * 17 % 40);
  const std::vector<float> serial = batch(many, 2);
  for (const int threads : {2, 5}) {
    ThreadPool pool(threads);
    const ScopedThreadPool scope(&pool);
    EXPECT_EQ(batch(many, 2), serial);
  }
}

TEST(ImageAugmenterTest, InputIsChecked) {
  for (const int64_t shift : {int64_t{-1}, int64_t{1} << 21}) {
    EXPECT_THAT(ImageAugmenter::Create(Options(shift, false)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("expected 0 to 2^20")));
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageAugmenter augment,
                              ImageAugmenter::Create(Options(1, true)));
  const Tensor images = Images({4, 3, 3, 1});
  const ImageScale scale = ImageScale::Unit(1);
  const auto expect = [](const absl::StatusOr<Tensor>& got,
                         const char* message) {
    EXPECT_THAT(
        got, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  expect(augment.Batch(images, scale, {0}, -1),
         "batch: epoch is -1, expected at least 0");
  expect(augment.Batch(images, scale, {0, 4}, 0),
         "batch: item 4, expected 0 to 3, the last image");
  expect(PlainBatch(images, ImageScale::Unit(3), {0}),
         "the images are u8 [4, 3, 3, 1], expected the 3 channels of the "
         "scale");
  expect(PlainBatch(Tensor(), scale, {0}), "the images are no tensor");
  expect(
      PlainBatch(Tensor::Zeros({4, 3, 3, 1}, DType::kF32).value(), scale, {0}),
      "expected contiguous u8 [N, H, W, C]");
}

}  // namespace
}  // namespace septet
