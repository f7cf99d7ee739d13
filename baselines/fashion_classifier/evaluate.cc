// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/fashion_classifier/evaluate.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/data/augment.h"
#include "septet/core/data/image_dataset.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/ops/loss.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Images at a time: the memory of a small training step.
constexpr int64_t kBatch = 256;

}  // namespace

double ImageClassifierResult::ClassAccuracy(int64_t label) const {
  const int64_t* const row = confusion.data() + label * classes;
  const int64_t count = std::accumulate(row, row + classes, int64_t{0});
  if (count == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(row[label]) / static_cast<double>(count);
}

absl::StatusOr<ImageClassifierResult> EvaluateImageClassifier(
    const ImageClassifier& model, const ImageDataset& data,
    const ImageScale& scale) {
  const ImageClassifierShape& shape = model.shape();
  if (data.height() != shape.height || data.width() != shape.width ||
      data.channels() != shape.channels ||
      data.num_classes() != shape.classes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the images are ", data.images.DebugString(), " in ",
        data.num_classes(), " classes, expected the model's ", shape.height,
        " x ", shape.width, " x ", shape.channels, " in ", shape.classes));
  }
  const BoundParameters p = model.parameters().Bind();
  ImageClassifierResult result;
  result.classes = shape.classes;
  result.confusion.resize(static_cast<size_t>(shape.classes * shape.classes));
  const int64_t* const labels = data.labels.data<int64_t>();
  int64_t right = 0;
  for (int64_t begin = 0; begin < data.size(); begin += kBatch) {
    if (InterruptRequested()) return InterruptedError("evaluation ended early");
    std::vector<int64_t> items(
        static_cast<size_t>(std::min(kBatch, data.size() - begin)));
    std::iota(items.begin(), items.end(), begin);
    SEPTET_ASSIGN_OR_RETURN(const Tensor images,
                            PlainBatch(data.images, scale, items));
    SEPTET_ASSIGN_OR_RETURN(const Tensor targets, LabelsOf(data, items));
    const Var logits = model.Logits(p, images);
    const Var loss = CrossEntropy(logits, targets, {LossReduction::kSum});
    SEPTET_RETURN_IF_ERROR(loss.status());
    result.loss += loss.tensor().item<double>();
    const float* row = logits.tensor().data<float>();
    for (size_t i = 0; i < items.size(); ++i, row += shape.classes) {
      const int64_t guess = std::max_element(row, row + shape.classes) - row;
      const int64_t label = labels[items[i]];
      ++result.confusion[static_cast<size_t>(label * shape.classes + guess)];
      right += guess == label ? 1 : 0;
    }
  }
  const double count = static_cast<double>(data.size());
  result.loss /= count;
  result.accuracy = static_cast<double>(right) / count;
  return result;
}

}  // namespace septet
