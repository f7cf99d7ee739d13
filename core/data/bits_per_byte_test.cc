// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/bits_per_byte.h"

#include <cmath>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/data/byte_corpus.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Token i of the text is i.
Tensor Counting(int64_t size) {
  std::string text;
  for (int64_t i = 0; i < size; ++i) text.push_back(static_cast<char>(i));
  return ByteTokens(text).value();
}

// A model that takes as many bits to guess a token as its number says.
absl::StatusOr<Tensor> TokenBits(const TokenBatch& batch) {
  std::vector<double> losses = batch.targets.ToVector<double>();
  for (double& loss : losses) loss *= std::log(2.0);
  return Tensor::FromValues<double>(batch.targets.shape(), losses);
}

EvaluationOptions Options(int64_t context, int64_t last) {
  EvaluationOptions options;
  options.context = context;
  options.windows = 4;
  options.first = 20;
  options.last = last;
  return options;
}

TEST(BitsPerByteTest, TheMeanOverTheTargetsThatCount) {
  // Last targets are 20, 46, 72, 99.
  const Tensor tokens = Counting(100);
  SEPTET_ASSERT_OK_AND_ASSIGN(const double last,
                              BitsPerByte(tokens, Options(8, 1), TokenBits));
  EXPECT_NEAR(last, (20 + 46 + 72 + 99) / 4.0, 1e-12);
  // All eight of each: 3.5 less. Three: 1 less.
  SEPTET_ASSERT_OK_AND_ASSIGN(const double all,
                              BitsPerByte(tokens, Options(8, 0), TokenBits));
  EXPECT_NEAR(all, last - 3.5, 1e-12);
  SEPTET_ASSERT_OK_AND_ASSIGN(const double three,
                              BitsPerByte(tokens, Options(8, 3), TokenBits));
  EXPECT_NEAR(three, last - 1, 1e-12);
}

TEST(BitsPerByteTest, TargetsAreTheSameForEveryContext) {
  const Tensor tokens = Counting(100);
  SEPTET_ASSERT_OK_AND_ASSIGN(const double want,
                              BitsPerByte(tokens, Options(3, 3), TokenBits));
  for (const int64_t context : {4, 17, 20}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const double bits, BitsPerByte(tokens, Options(context, 3), TokenBits));
    EXPECT_EQ(bits, want) << context;
  }
  // A longer one than `first` moves them: 30, 53, 76, 99.
  SEPTET_ASSERT_OK_AND_ASSIGN(const double longer,
                              BitsPerByte(tokens, Options(30, 1), TokenBits));
  EXPECT_NEAR(longer, (30 + 53 + 76 + 99) / 4.0, 1e-12);
}

TEST(BitsPerByteTest, RowsAtOnceChangeNothingButTheBatches) {
  const Tensor tokens = Counting(100);
  EvaluationOptions options = Options(5, 0);
  SEPTET_ASSERT_OK_AND_ASSIGN(const double want,
                              BitsPerByte(tokens, options, TokenBits));
  options.rows = 3;
  std::vector<int64_t> rows;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const double bits,
      BitsPerByte(tokens, options, [&](const TokenBatch& batch) {
        EXPECT_EQ(batch.inputs.dim(1), 5);
        rows.push_back(batch.inputs.dim(0));
        return TokenBits(batch);
      }));
  EXPECT_EQ(bits, want);
  EXPECT_THAT(rows, ElementsAre(3, 1));
}

// [B, T] as a view of [T, B], in f32.
TEST(BitsPerByteTest, LossesOfAnyLayout) {
  const auto transposed = [](const TokenBatch& batch) {
    const int64_t rows = batch.targets.dim(0);
    const int64_t context = batch.targets.dim(1);
    const std::vector<int64_t> targets = batch.targets.ToVector<int64_t>();
    std::vector<float> losses(targets.size());
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t t = 0; t < context; ++t) {
        // Only the first target counts.
        losses[t * rows + row] =
            t == 0 ? static_cast<float>(targets[row * context]) : 0;
      }
    }
    return Tensor::FromValues<float>({context, rows}, losses)
        .value()
        .Permute({1, 0});
  };
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const double bits, BitsPerByte(Counting(100), Options(2, 0), transposed));
  EXPECT_NEAR(bits, (19 + 45 + 71 + 98) / 8.0 / std::log(2.0), 1e-6);
}

TEST(BitsPerByteTest, Errors) {
  const auto code = absl::StatusCode::kInvalidArgument;
  const Tensor tokens = Counting(100);
  EXPECT_THAT(
      BitsPerByte(tokens, Options(1, 2), TokenBits),
      StatusIs(code, "evaluation: last is 2, expected 0 to 1, the context"));
  EXPECT_THAT(CheckEvaluation(tokens, Options(8, -1)),
              StatusIs(code, HasSubstr("last is -1, expected 0 to 8")));
  EvaluationOptions options = Options(8, 0);
  options.rows = 0;
  EXPECT_THAT(CheckEvaluation(tokens, options),
              StatusIs(code, "evaluation: rows is 0, expected at least 1"));
  EXPECT_THAT(CheckEvaluation(tokens, Options(0, 0)),
              StatusIs(code, HasSubstr("evaluation")));
  EXPECT_THAT(CheckEvaluation(tokens, Options(100, 0)),
              StatusIs(code, AllOf(HasSubstr("evaluation"), HasSubstr("100"))));
  EXPECT_THAT(
      CheckEvaluation(Counting(20), Options(8, 0)),
      StatusIs(code, AllOf(HasSubstr("evaluation"), HasSubstr("first is 20"))));
  SEPTET_EXPECT_OK(CheckEvaluation(tokens, Options(8, 8)));
}

TEST(BitsPerByteTest, ErrorsOfTheModel) {
  const Tensor tokens = Counting(100);
  EXPECT_THAT(BitsPerByte(tokens, Options(8, 0),
                          [](const TokenBatch&) -> absl::StatusOr<Tensor> {
                            return absl::ResourceExhaustedError("no memory");
                          }),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("evaluation"), HasSubstr("no memory"))));
  EXPECT_THAT(
      BitsPerByte(
          tokens, Options(8, 0),
          [](const TokenBatch& batch) {
            return Tensor::Zeros(Shape({batch.targets.dim(0), 7}), DType::kF32);
          }),
      StatusIs(absl::StatusCode::kInternal,
               "evaluation: losses are f32 [4, 7], expected f32 or f64 "
               "[4, 8]"));
  EXPECT_THAT(
      BitsPerByte(tokens, Options(8, 0),
                  [](const TokenBatch& batch) -> absl::StatusOr<Tensor> {
                    return batch.targets;
                  }),
      StatusIs(absl::StatusCode::kInternal,
               HasSubstr("losses are i64 [4, 8], expected f32 or f64")));
}

TEST(BitsPerByteTest, StopsAfterASignal) {
  auto scope = std::make_unique<InterruptScope>();
  EvaluationOptions options = Options(8, 0);
  options.rows = 1;
  int batches = 0;
  EXPECT_THAT(BitsPerByte(Counting(100), options,
                          [&](const TokenBatch& batch) {
                            if (++batches == 2) std::raise(SIGTERM);
                            return TokenBits(batch);
                          }),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("evaluation")));
  EXPECT_EQ(batches, 2);
  // Another scope forgets the signal, for the tests that follow.
  scope.reset();
  scope = std::make_unique<InterruptScope>();
}

}  // namespace
}  // namespace septet
