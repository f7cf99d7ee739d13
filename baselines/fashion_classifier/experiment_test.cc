// SPDX-License-Identifier: Apache-2.0
// What the experiment declares, and its pictures. That it meets its thresholds
// is shown by running it (//tools:reproduce).
#include "septet/core/experiment/experiment.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/baselines/fashion_classifier/figures.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/baselines/fashion_classifier/model_options.pb.h"
#include "septet/baselines/fashion_classifier/options.pb.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/registry.h"
#include "septet/core/plot/figure.h"
#include "septet/core/train/metrics.h"

namespace septet {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(FashionClassifierExperimentTest, DeclaresWhatItDoes) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const auto found,
      ExperimentRegistry::Global().Select("baselines/fashion_classifier"));
  ASSERT_EQ(found.size(), 1);
  const Experiment& experiment = *found[0];
  EXPECT_TRUE(experiment.flagship);
  const Check& accuracy = experiment.checks[0];
  EXPECT_EQ(accuracy.quick, 86);
  EXPECT_EQ(accuracy.standard, 90);
  EXPECT_EQ(accuracy.judged, Statistic::kWorst);
  EXPECT_EQ(accuracy.acceptance, Acceptance::kGated);
  // FLOPs are those of all seeds' steps and evaluations.
  for (const Preset preset : AllPresets()) {
    const auto made = experiment.make_options(preset);
    const auto& options = dynamic_cast<const ImageClassifierOptions&>(*made);
    const double steps =
        static_cast<double>(options.train().steps()) *
        ImageClassifierStepFlops(options.model(), {28, 28, 1, 10}, 128);
    const Effort& effort = experiment.EffortOf(preset);
    EXPECT_GT(effort.flops, effort.seeds * steps);
    EXPECT_LT(effort.flops, 1.5 * effort.seeds * steps);
  }
}

MetricRow Row(int64_t step, double value, bool evaluation) {
  MetricRow row;
  row.step = step;
  if (evaluation) {
    row.values = {{"test_loss", value}, {"test_accuracy", value}};
  } else {
    row.values = {{"loss", value}, {"accuracy", value}};
  }
  return row;
}

TEST(FashionClassifierFiguresTest, CurvesHaveMeanAndBandByEpoch) {
  const std::vector<std::vector<MetricRow>> seeds = {
      {Row(50, 0.25, false), Row(100, 0.5, false), Row(100, 0.5, true)},
      {Row(50, 0.75, false), Row(100, 0.5, false), Row(100, 1, true)}};
  SEPTET_ASSERT_OK_AND_ASSIGN(const Figure figure, CurvesFigure(seeds, 100));
  // Epoch 0.5: mean 0.5 nats, from 0.25 to 0.75; in percent a hundred times.
  EXPECT_THAT(figure.Csv(), HasSubstr("0.5,0.5,0.25,0.75"));
  EXPECT_THAT(figure.Csv(), HasSubstr("0.5,50,25,75"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string png, figure.Png());
  EXPECT_THAT(png, StartsWith("\x89PNG"));
  EXPECT_THAT(
      CurvesFigure({seeds[0], {seeds[1][0], seeds[1][2]}}, 100),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("curves: metric 'loss' has 1 rows in one seed, "
                         "expected those of the first, 2")));
  EXPECT_THAT(CurvesFigure({{Row(50, 1, false)}}, 100),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("metric 'test_loss' has 0 rows")));
}

TEST(FashionClassifierFiguresTest, FiltersOfAnyNumberOfChannels) {
  for (const int64_t channels : {1, 3, 5}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const std::unique_ptr<ImageClassifier> model,
        ImageClassifier::Create({}, {8, 8, channels, 4}, 1));
    SEPTET_ASSERT_OK_AND_ASSIGN(const Figure figure, FilterFigure(*model));
    SEPTET_ASSERT_OK(figure.Png());
  }
}

TEST(FashionClassifierFiguresTest, ConfusionHasTheCounts) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Figure figure,
      ConfusionFigure({40, 2, 3, 55}, {"left", "right"}, "95 % right"));
  for (const char* text : {"40", "55", "left", "right"}) {
    EXPECT_THAT(figure.Csv(), HasSubstr(text));
  }
  SEPTET_ASSERT_OK(figure.Png());
}

}  // namespace
}  // namespace septet
