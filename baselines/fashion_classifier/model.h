// SPDX-License-Identifier: Apache-2.0
// A classifier of small images: two convolutions, each with a maximum over 2 x
// 2, and two fully connected layers.
//
//   conv 3x3 -> 32, pad 1; maximum of 2 x 2; ReLU
//   conv 3x3 -> 64, pad 1; maximum of 2 x 2; ReLU
//   linear -> 128; ReLU; linear -> classes
//
//   ImageClassifierModelOptions options;
//   SEPTET_ASSIGN_OR_RETURN(
//       std::unique_ptr<ImageClassifier> model,
//       ImageClassifier::Create(options, {28, 28, 1, 10}, /*seed=*/1));
//   Var loss = CrossEntropy(model->Logits(p, images), labels);
//
// Convolution, maximum and ReLU are one op (core/ops/conv_pool.h): ReLU and the
// maximum can be exchanged, so that it is the usual conv, ReLU, maximum, too.
//
// First values: weights He's uniform for ReLU (KaimingUniform, fan in), the
// last layer's and all biases U(+-1/sqrt(fan in)), PyTorch's default; functions
// of the seed and the parameters' names.
#ifndef SEPTET_BASELINES_FASHION_CLASSIFIER_MODEL_H_
#define SEPTET_BASELINES_FASHION_CLASSIFIER_MODEL_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/baselines/fashion_classifier/model_options.pb.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/conv_layer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/parameters.h"

namespace septet {

// Of the data. Height and width 4 to 2^14, so that a pixel is left; 1 to
// kMaxImageChannels channels (core/data/augment.h); 2 to 2048 classes, of which
// a confusion matrix can be drawn.
struct ImageClassifierShape {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  int64_t classes = 0;
};

// InvalidArgument naming what is out of its range.
absl::Status CheckImageClassifierShape(const ImageClassifierShape& shape);

class ImageClassifier {
 public:
  // Errors: InvalidArgument naming what is out of its range.
  static absl::StatusOr<std::unique_ptr<ImageClassifier>> Create(
      const ImageClassifierModelOptions& options,
      const ImageClassifierShape& shape, uint64_t seed);

  // images f32 [N, H, W, C]: logits [N, classes].
  Var Logits(const BoundParameters& p, const Var& images) const;

  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }
  const ImageClassifierShape& shape() const { return shape_; }
  // Of the first convolution, [3, 3, C, conv1].
  ParameterId filters() const { return conv1_.weight(); }

 private:
  explicit ImageClassifier(const ImageClassifierShape& shape) : shape_(shape) {}

  const ImageClassifierShape shape_;
  ParameterStore parameters_;
  Conv2dLayer conv1_, conv2_;
  LinearLayer hidden_, head_;
};

// The elements of a model's parameters, without making it. shape: in its
// ranges.
int64_t NumImageClassifierParameters(const ImageClassifierModelOptions& options,
                                     const ImageClassifierShape& shape);

// Floating-point operations of the products of a training step on `batch`
// images: two for each multiply-add, forward, for the gradient of the weights
// and, but for the first layer, which needs none, for that of the input. With
// pixels P = H W, P2 = (H/2)(W/2), P4 = (H/4)(W/4) rounded down, an image has
//   2 (2 P 9 C c1 + 3 (P2 9 c1 c2 + P4 c2 h + h classes)).
double ImageClassifierStepFlops(const ImageClassifierModelOptions& options,
                                const ImageClassifierShape& shape,
                                int64_t batch);
// The same for the forward pass alone: 2 (P 9 C c1 + P2 9 c1 c2 + ...).
double ImageClassifierForwardFlops(const ImageClassifierModelOptions& options,
                                   const ImageClassifierShape& shape,
                                   int64_t batch);

}  // namespace septet

#endif  // SEPTET_BASELINES_FASHION_CLASSIFIER_MODEL_H_
