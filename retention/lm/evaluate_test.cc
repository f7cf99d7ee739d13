// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/lm/evaluate.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/data/bits_per_byte.h"
#include "septet/core/data/byte_corpus.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/lm/model.h"
#include "septet/retention/lm/options.pb.h"
#include "septet/retention/retention.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

class RetentionLmEvaluateTest : public ::testing::Test {
 protected:
  RetentionLmEvaluateTest() {
    RetentionLmOptions options;
    options.mutable_model()->set_dim(16);
    options.mutable_model()->set_layers(1);
    model_ = RetentionLm::Create(options, 3).value();
    std::string text;
    for (int i = 0; i < 300; ++i) {
      text.push_back(static_cast<char>('a' + i * i % 17));
    }
    tokens_ = ByteTokens(text).value();
    options_.context = 20;
    options_.windows = 7;
    options_.first = 50;
  }

  std::unique_ptr<RetentionLm> model_;
  Tensor tokens_;
  EvaluationOptions options_;
};

TEST_F(RetentionLmEvaluateTest, PositionsHaveTheMeanOfAll) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const double all,
                              BitsPerByte(*model_, tokens_, options_));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<double> positions,
                              BitsByPosition(*model_, tokens_, options_));
  ASSERT_EQ(positions.size(), 20u);
  double sum = 0;
  for (const double bits : positions) sum += bits;
  EXPECT_NEAR(sum / 20, all, 1e-12);
  // The last one is what a window's last target has.
  EvaluationOptions last = options_;
  last.last = 1;
  SEPTET_ASSERT_OK_AND_ASSIGN(const double end,
                              BitsPerByte(*model_, tokens_, last));
  EXPECT_NEAR(positions.back(), end, 1e-12);
  EXPECT_NE(positions[0], positions[1]);
}

// What a model sees changes, the targets do not.
TEST_F(RetentionLmEvaluateTest, LastBitsAreOfTheSameTargets) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::vector<double> got,
      LastBits(*model_, tokens_, options_, 5, {5, 20, 80}));
  ASSERT_EQ(got.size(), 3u);
  EvaluationOptions each = options_;
  each.last = 5;
  each.first = 80;
  size_t i = 0;
  for (const int64_t context : {5, 20, 80}) {
    each.context = context;
    EXPECT_EQ(BitsPerByte(*model_, tokens_, each).value_or(-1), got[i++]);
  }
  EXPECT_NE(got[0], got[1]);
}

TEST_F(RetentionLmEvaluateTest, FormsAgreeAndThreadsChangeNothing) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const double want,
                              BitsPerByte(*model_, tokens_, options_));
  for (const RetentionForm form :
       {RetentionForm::kParallel, RetentionForm::kChunkwise,
        RetentionForm::kRecurrent}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const double got,
                                BitsPerByte(*model_, tokens_, options_, form));
    EXPECT_NEAR(got, want, 1e-5);
  }
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(BitsPerByte(*model_, tokens_, options_).value_or(-1), want);
}

TEST_F(RetentionLmEvaluateTest, Errors) {
  EXPECT_THAT(
      LastBits(*model_, tokens_, options_, 5, {}),
      StatusIs(absl::StatusCode::kInvalidArgument, "contexts: there are none"));
  for (const int64_t last : {0, 6}) {
    EXPECT_THAT(
        LastBits(*model_, tokens_, options_, last, {5}),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("contexts: 5")));
  }
  EXPECT_THAT(
      LastBits(*model_, tokens_, options_, 5, {300}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("evaluation")));
  options_.context = 0;
  EXPECT_THAT(
      BitsPerByte(*model_, tokens_, options_),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("context")));
  EXPECT_THAT(
      BitsByPosition(*model_, tokens_, options_),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("context")));
}

}  // namespace
}  // namespace septet
