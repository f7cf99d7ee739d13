// SPDX-License-Identifier: Apache-2.0
// Pictures of a classifier of small images: what it confuses, what its first
// layer looks for, how it learnt.
#ifndef SEPTET_BASELINES_FASHION_CLASSIFIER_FIGURES_H_
#define SEPTET_BASELINES_FASHION_CLASSIFIER_FIGURES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/core/plot/figure.h"
#include "septet/core/train/metrics.h"

namespace septet {

// counts [C, C] as ImageClassifierResult::confusion has them, C names.
absl::StatusOr<Figure> ConfusionFigure(const std::vector<int64_t>& counts,
                                       const std::vector<std::string>& classes,
                                       const std::string& title);

// The kernels of the first convolution, the strongest first. Of one channel:
// red where a bright pixel speaks for it, blue where it speaks against, on one
// scale for all. Of three: colours around grey. Of other numbers: the mean over
// the channels.
absl::StatusOr<Figure> FilterFigure(const ImageClassifier& model);

// Loss and accuracy by epoch, in training (means over the steps of a row) and
// held out, of the metrics of one or several seeds: their mean, and the band
// from the worst to the best. Errors: InvalidArgument if seeds have rows of
// other steps, or none.
absl::StatusOr<Figure> CurvesFigure(
    const std::vector<std::vector<MetricRow>>& seeds, double steps_per_epoch);

}  // namespace septet

#endif  // SEPTET_BASELINES_FASHION_CLASSIFIER_FIGURES_H_
