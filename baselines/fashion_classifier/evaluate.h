// SPDX-License-Identifier: Apache-2.0
// How well a classifier knows a set of images.
#ifndef SEPTET_BASELINES_FASHION_CLASSIFIER_EVALUATE_H_
#define SEPTET_BASELINES_FASHION_CLASSIFIER_EVALUATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/core/data/augment.h"
#include "septet/core/data/image_dataset.h"

namespace septet {

struct ImageClassifierResult {
  double accuracy = 0;  // share of the images, 0 to 1
  double loss = 0;      // mean cross-entropy in nats
  // [classes, classes]: images of class `row` that were taken for `column`.
  std::vector<int64_t> confusion;
  int64_t classes = 0;

  // Share of the images of a class that are known; NaN if there are none.
  double ClassAccuracy(int64_t label) const;
};

// Of all images, in batches; of equal logits the first wins. The same bits with
// any number of threads. Errors: InvalidArgument for other images than the
// model's; InterruptedError (core/base/signals.h) after a signal.
absl::StatusOr<ImageClassifierResult> EvaluateImageClassifier(
    const ImageClassifier& model, const ImageDataset& data,
    const ImageScale& scale);

}  // namespace septet

#endif  // SEPTET_BASELINES_FASHION_CLASSIFIER_EVALUATE_H_
