// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/fashion_classifier/model.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/baselines/fashion_classifier/model_options.pb.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/config/schema.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/ops/loss.h"
#include "septet/core/random/distributions.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr ImageClassifierShape kFashion = {28, 28, 1, 10};

Tensor Noise(const Shape& shape) {
  Tensor x = Tensor::Empty(shape, DType::kF32).value();
  const RandomStream stream = RandomStream::Create(1, "noise").value();
  EXPECT_TRUE(
      FillNormal(stream, 0, 1,
                 absl::MakeSpan(x.mutable_data<float>(), x.num_elements()))
          .ok());
  return x;
}

TEST(ImageClassifierTest, OptionsFollowTheRules) {
  SEPTET_EXPECT_OK(
      CheckOptionsSchema(ImageClassifierModelOptions::descriptor()));
}

TEST(ImageClassifierTest, HasTheParametersThatItSays) {
  SEPTET_ASSERT_OK_AND_ASSIGN(std::unique_ptr<ImageClassifier> model,
                              ImageClassifier::Create({}, kFashion, 1));
  EXPECT_EQ(model->parameters().NumElements(),
            (9 * 32 + 32) + (9 * 32 * 64 + 64) + (7 * 7 * 64 * 128 + 128) +
                (128 * 10 + 10));
  EXPECT_EQ(NumImageClassifierParameters({}, kFashion),
            model->parameters().NumElements());
  EXPECT_EQ(model->parameters().tensor(model->filters()).shape(),
            Shape({3, 3, 1, 32}));
}

TEST(ImageClassifierTest, AnUntrainedModelKnowsLittle) {
  // Odd sizes, three channels.
  const ImageClassifierShape shape = {13, 10, 3, 7};
  SEPTET_ASSERT_OK_AND_ASSIGN(std::unique_ptr<ImageClassifier> model,
                              ImageClassifier::Create({}, shape, 1));
  const Var logits =
      model->Logits(model->parameters().Bind(), Noise({50, 13, 10, 3}));
  SEPTET_ASSERT_OK(logits);
  ASSERT_EQ(logits.shape(), Shape({50, 7}));
  std::vector<int64_t> labels(50);
  for (int64_t i = 0; i < 50; ++i) labels[i] = i % 7;
  const Var loss =
      CrossEntropy(logits, Tensor::FromValues<int64_t>({50}, labels).value());
  // Maxima make the logits of noise larger than N(0, 1), which adds half their
  // variance.
  EXPECT_NEAR(loss.tensor().item<float>(), std::log(7.0), 1.5);
}

TEST(ImageClassifierTest, AllParametersLearnAndImagesAreNotDifferentiated) {
  SEPTET_ASSERT_OK_AND_ASSIGN(std::unique_ptr<ImageClassifier> model,
                              ImageClassifier::Create({}, kFashion, 1));
  Tape tape;
  const BoundParameters p = model->parameters().Watch(&tape);
  const Var loss =
      CrossEntropy(model->Logits(p, Noise({2, 28, 28, 1})),
                   Tensor::FromValues<int64_t>({2}, {3, 9}).value());
  const DispatchTrace trace;
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                              tape.Grad(loss, p.trained()));
  for (const Tensor& grad : grads) {
    double sum = 0;
    for (const double g : grad.ToVector<double>()) sum += g * g;
    EXPECT_GT(sum, 0);
  }
  // The fused kernels are what ran.
  EXPECT_THAT(
      trace.lines(),
      ::testing::Not(::testing::Contains(::testing::HasSubstr("composite"))));
}

TEST(ImageClassifierTest, StepFlopsByHand) {
  // Multiply-adds of an image forward: 225792, 3612672, 401408, 1280.
  EXPECT_EQ(ImageClassifierForwardFlops({}, kFashion, 1),
            2.0 * (225792 + 3612672 + 401408 + 1280));
  EXPECT_EQ(ImageClassifierStepFlops({}, kFashion, 128),
            128 * 2.0 * (2 * 225792 + 3 * (3612672 + 401408 + 1280)));
}

TEST(ImageClassifierTest, ShapesAreChecked) {
  EXPECT_THAT(ImageClassifier::Create({}, {3, 28, 1, 10}, 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "image classifier: height of the data is 3, expected 4 "
                       "to 16384"));
  // One class has nothing to tell apart; of too many there is no confusion
  // matrix.
  for (const int64_t classes : {0, 1, 2049, 65536}) {
    EXPECT_THAT(
        ImageClassifier::Create({}, {28, 28, 1, classes}, 1),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 absl::StrCat("image classifier: classes of the data is ",
                              classes, ", expected 2 to 2048")));
  }
  EXPECT_THAT(ImageClassifier::Create({}, {28, 28, 1025, 10}, 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "image classifier: channels of the data is 1025, "
                       "expected 1 to 1024"));
}

}  // namespace
}  // namespace septet
