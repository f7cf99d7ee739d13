// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/token_windows.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;

// Token i is 7 i + 3, within the type.
template <typename T>
Tensor Tokens(int64_t size) {
  std::vector<T> values(size);
  for (int64_t i = 0; i < size; ++i) values[i] = static_cast<T>(7 * i + 3);
  return Tensor::FromValues<T>({size}, values).value();
}

TokenWindowsOptions Options(int64_t context) {
  TokenWindowsOptions options;
  options.context = context;
  options.seed = 20240229;
  return options;
}

template <typename T>
class TokenWindowsOfTypeTest : public ::testing::Test {};
using TokenTypes = ::testing::Types<uint8_t, uint16_t, int32_t, int64_t>;
TYPED_TEST_SUITE(TokenWindowsOfTypeTest, TokenTypes);

TYPED_TEST(TokenWindowsOfTypeTest, TargetsFollowInputs) {
  using T = TypeParam;
  for (const int64_t context : {1, 2, 31, 199}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const TokenWindows windows,
        TokenWindows::Create(Tokens<T>(200), Options(context)));
    EXPECT_EQ(windows.size(), 200);
    EXPECT_EQ(windows.context(), context);
    SEPTET_ASSERT_OK_AND_ASSIGN(const TokenBatch batch, windows.Batch(3, 5));
    for (const Tensor& part : {batch.inputs, batch.targets}) {
      ASSERT_EQ(part.dtype(), DType::kI64);
      ASSERT_EQ(part.shape(), Shape({5, context}));
      ASSERT_TRUE(part.IsContiguous());
    }
    for (int64_t row = 0; row < 5; ++row) {
      const int64_t start = windows.Start(3, row, 5);
      ASSERT_GE(start, 0);
      ASSERT_LE(start + context, 199);
      for (int64_t t = 0; t < context; ++t) {
        const int64_t at = row * context + t;
        ASSERT_EQ(batch.inputs.data<int64_t>()[at],
                  static_cast<T>(7 * (start + t) + 3));
        ASSERT_EQ(batch.targets.data<int64_t>()[at],
                  static_cast<T>(7 * (start + t + 1) + 3));
      }
    }
  }
}

TEST(TokenWindowsTest, EveryPlaceIsEquallyLikelyAndBothEndsAreReached) {
  constexpr int64_t kSize = 40, kContext = 8;
  constexpr int64_t kPlaces = kSize - kContext;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TokenWindows windows,
      TokenWindows::Create(Tokens<uint8_t>(kSize), Options(kContext)));
  std::vector<int64_t> counts(kPlaces);
  constexpr int64_t kSteps = 2000, kRows = 16;
  for (int64_t step = 0; step < kSteps; ++step) {
    for (int64_t row = 0; row < kRows; ++row) {
      ++counts.at(windows.Start(step, row, kRows));
    }
  }
  const double expected = double{kSteps * kRows} / kPlaces;
  double chi2 = 0;
  for (const int64_t count : counts) {
    chi2 += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(std::abs(chi2 - (kPlaces - 1)), 4 * std::sqrt(2.0 * (kPlaces - 1)));
}

TEST(TokenWindowsTest, AStepDependsOnItsNumberAlone) {
  const auto make = [](absl::string_view stream, uint64_t seed) {
    TokenWindowsOptions options = Options(16);
    options.seed = seed;
    return TokenWindows::Create(Tokens<uint16_t>(10000), options, stream)
        .value();
  };
  const TokenWindows one = make("data/windows", 1);
  const TokenWindows again = make("data/windows", 1);
  std::vector<std::vector<int64_t>> steps;
  for (int64_t step = 0; step < 20; ++step) {
    steps.push_back(one.Batch(step, 4)->inputs.ToVector<int64_t>());
    for (int64_t earlier = 0; earlier < step; ++earlier) {
      ASSERT_NE(steps[earlier], steps[step]);
    }
  }
  for (int64_t step = 19; step >= 0; step -= 3) {
    EXPECT_EQ(again.Batch(step, 4)->inputs.ToVector<int64_t>(), steps[step]);
  }
  EXPECT_NE(
      make("data/windows/other", 1).Batch(0, 4)->inputs.ToVector<int64_t>(),
      steps[0]);
  EXPECT_NE(make("data/windows", 2).Batch(0, 4)->inputs.ToVector<int64_t>(),
            steps[0]);
}

TEST(TokenWindowsTest, ReadsAMappedFileWhereItLies) {
  const std::string path = ::testing::TempDir() + "/tokens.bin";
  std::string bytes;
  for (int i = 0; i < 1000; ++i) {
    bytes.push_back(static_cast<char>(i & 0xff));
    bytes.push_back(static_cast<char>(i >> 8));
  }
  SEPTET_ASSERT_OK(WriteFileAtomically(path, bytes));
  SEPTET_ASSERT_OK_AND_ASSIGN(MappedFile opened, MappedFile::Open(path));
  auto mapping = std::make_shared<MappedFile>(std::move(opened));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor tokens,
      Tensor::FromExternal(mapping->data().data(), {1000}, DType::kU16,
                           /*read_only=*/true, [mapping] {}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const TokenWindows windows,
                              TokenWindows::Create(tokens, Options(3)));
  SEPTET_ASSERT_OK_AND_ASSIGN(const TokenBatch batch,
                              windows.EndingAt({3, 999}));
  EXPECT_THAT(batch.inputs.ToVector<int64_t>(),
              ElementsAre(0, 1, 2, 996, 997, 998));
  EXPECT_THAT(batch.targets.ToVector<int64_t>(),
              ElementsAre(1, 2, 3, 997, 998, 999));
}

TEST(TokenWindowsTest, TextsBeyondFourBillionTokensAreReached) {
  // Never read: only the places are asked for.
  alignas(64) static const uint8_t kByte = 0;
  const int64_t size = int64_t{1} << 40;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor tokens, Tensor::FromExternal(&kByte, {size}, DType::kU8,
                                                /*read_only=*/true, nullptr));
  SEPTET_ASSERT_OK_AND_ASSIGN(const TokenWindows windows,
                              TokenWindows::Create(tokens, Options(128)));
  double mean = 0;
  constexpr int64_t kRows = 4000;
  for (int64_t row = 0; row < kRows; ++row) {
    const int64_t start = windows.Start(0, row, kRows);
    ASSERT_GE(start, 0);
    ASSERT_LT(start, size - 128);
    mean += static_cast<double>(start) / kRows;
  }
  EXPECT_NEAR(mean / static_cast<double>(size), 0.5,
              4 * std::sqrt(1.0 / 12 / kRows));
}

TEST(TokenWindowsTest, InputIsChecked) {
  const auto message = [](Tensor tokens, int64_t context,
                          const std::string& want) {
    EXPECT_THAT(TokenWindows::Create(std::move(tokens), Options(context)),
                StatusIs(absl::StatusCode::kInvalidArgument, Eq(want)));
  };
  message(Tensor(), 1, "token windows: the tokens are no tensor with elements");
  message(Tensor::Zeros({9}, DType::kF32).value(), 1,
          "token windows: the tokens are f32 [9], expected u8, u16, i32 or i64 "
          "of one axis");
  message(Tensor::Zeros({3, 3}, DType::kU8).value(), 1,
          "token windows: the tokens are u8 [3, 3], expected u8, u16, i32 or "
          "i64 of one axis");
  message(Tensor::Zeros({9}, DType::kU8).value().Slice(0, 0, 9, 2).value(), 1,
          "token windows: the tokens, u8 [5], are 2 elements apart, expected "
          "no gaps between them");
  message(Tokens<uint8_t>(9), 0,
          "token windows: context is 0, expected at least 1");
  message(Tokens<uint8_t>(9), 9,
          "token windows: there are 9 tokens, expected more than the context, "
          "9: a window is its inputs and the token behind them");
  message(Tokens<uint8_t>(0), 1,
          "token windows: there are 0 tokens, expected more than the context, "
          "1: a window is its inputs and the token behind them");

  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TokenWindows windows,
      TokenWindows::Create(Tokens<uint8_t>(9), Options(4)));
  for (const auto& [step, rows] : {std::pair(-1, 1), std::pair(0, 0)}) {
    EXPECT_THAT(windows.Batch(step, rows),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         Eq("token windows: step is " + std::to_string(step) +
                            " and rows is " + std::to_string(rows) +
                            ", expected at least 0 and at least 1")));
  }
  EXPECT_THAT(
      windows.Batch(0, std::numeric_limits<int64_t>::max()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("token windows")));
  for (const int64_t place : {3, 9}) {
    EXPECT_THAT(windows.EndingAt({4, place}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         Eq("token windows: a last target at place " +
                            std::to_string(place) +
                            ", expected 4 (the context) to 8 (the last "
                            "token)")));
  }
}

TEST(EvaluationTargetsTest, AreEvenlySpacedFromTheFirstToTheEnd) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> places,
                              EvaluationTargets(130343, {}));
  ASSERT_EQ(places.size(), 96);
  EXPECT_EQ(places.front(), 512);
  EXPECT_EQ(places.back(), 130342);
  // (130342 - 512) / 95 = 1366.63
  for (size_t i = 1; i < places.size(); ++i) {
    EXPECT_THAT(places[i] - places[i - 1], ::testing::AnyOf(1366, 1367));
  }
  EvaluationTargetsOptions options;
  options.first = 4;
  options.windows = 3;
  EXPECT_THAT(*EvaluationTargets(10, options), ElementsAre(4, 6, 9));
  options.windows = 6;
  EXPECT_THAT(*EvaluationTargets(10, options), ElementsAre(4, 5, 6, 7, 8, 9));
  options.windows = 1;
  EXPECT_THAT(*EvaluationTargets(10, options), ElementsAre(4));
  // No overflow where products of the extents would have one.
  options.windows = 3;
  const int64_t far = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(EvaluationTargets(far, options)->back(), far - 1);
}

TEST(EvaluationTargetsTest, OptionsAreChecked) {
  const auto message = [](int64_t size, int64_t first, int64_t windows,
                          const std::string& want) {
    EvaluationTargetsOptions options;
    options.first = first;
    options.windows = windows;
    EXPECT_THAT(EvaluationTargets(size, options),
                StatusIs(absl::StatusCode::kInvalidArgument, Eq(want)));
  };
  message(10, 0, 1,
          "evaluation windows: first is 0, expected 1 to 9, the place of the "
          "last of 10 tokens");
  message(10, 10, 1,
          "evaluation windows: first is 10, expected 1 to 9, the place of the "
          "last of 10 tokens");
  message(10, 4, 0,
          "evaluation windows: windows is 0, expected 1 to 6, the tokens from "
          "place 4 on");
  message(10, 4, 7,
          "evaluation windows: windows is 7, expected 1 to 6, the tokens from "
          "place 4 on");
}

}  // namespace
}  // namespace septet
