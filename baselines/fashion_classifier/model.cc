// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/fashion_classifier/model.h"

#include <cstdint>
#include <memory>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/baselines/fashion_classifier/model_options.pb.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/data/augment.h"
#include "septet/core/nn/conv_layer.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/conv.h"
#include "septet/core/ops/conv_pool.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"

namespace septet {
namespace {

absl::StatusOr<Conv2dLayer> MakeConv(int64_t in, int64_t out,
                                     const ParameterScope& scope) {
  Conv2dLayerOptions options;
  options.in = in;
  options.out = out;
  options.conv = Conv2dOptions::Uniform(/*stride=*/1, /*padding=*/1);
  options.weight_init = Initializer::KaimingUniform();
  return Conv2dLayer::Create(options, scope);
}

}  // namespace

absl::Status CheckImageClassifierShape(const ImageClassifierShape& shape) {
  const struct {
    const char* name;
    int64_t value;
    int64_t least;
    int64_t most;
  } kFields[] = {{"height", shape.height, 4, 1 << 14},
                 {"width", shape.width, 4, 1 << 14},
                 {"channels", shape.channels, 1, kMaxImageChannels},
                 // A confusion matrix can be drawn of them.
                 {"classes", shape.classes, 2, 2048}};
  for (const auto& field : kFields) {
    if (field.value < field.least || field.value > field.most) {
      return absl::InvalidArgumentError(absl::StrCat(
          "image classifier: ", field.name, " of the data is ", field.value,
          ", expected ", field.least, " to ", field.most));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ImageClassifier>> ImageClassifier::Create(
    const ImageClassifierModelOptions& options,
    const ImageClassifierShape& shape, uint64_t seed) {
  SEPTET_RETURN_IF_ERROR(CheckImageClassifierShape(shape));
  auto model = absl::WrapUnique(new ImageClassifier(shape));
  const ParameterScope scope(&model->parameters_, {seed, DType::kF32});
  SEPTET_ASSIGN_OR_RETURN(
      model->conv1_,
      MakeConv(shape.channels, options.conv1(), scope.Sub("conv1")));
  SEPTET_ASSIGN_OR_RETURN(
      model->conv2_,
      MakeConv(options.conv1(), options.conv2(), scope.Sub("conv2")));
  LinearLayerOptions hidden;
  hidden.in = (shape.height / 4) * (shape.width / 4) * options.conv2();
  hidden.out = options.hidden();
  hidden.weight_init = Initializer::KaimingUniform();
  SEPTET_ASSIGN_OR_RETURN(model->hidden_,
                          LinearLayer::Create(hidden, scope.Sub("hidden")));
  LinearLayerOptions head;
  head.in = options.hidden();
  head.out = shape.classes;
  SEPTET_ASSIGN_OR_RETURN(model->head_,
                          LinearLayer::Create(head, scope.Sub("head")));
  return model;
}

Var ImageClassifier::Logits(const BoundParameters& p, const Var& images) const {
  const Conv2dOptions same =
      Conv2dOptions::Uniform(/*stride=*/1, /*padding=*/1);
  Var x = Conv2dMaxPoolRelu(images, p[conv1_.weight()], p[conv1_.bias()], same);
  x = Conv2dMaxPoolRelu(x, p[conv2_.weight()], p[conv2_.bias()], same);
  if (!x.ok()) return x;
  x = Reshape(x, {x.dim(0), x.dim(1) * x.dim(2) * x.dim(3)});
  return head_.Forward(p, Relu(hidden_.Forward(p, x)));
}

int64_t NumImageClassifierParameters(const ImageClassifierModelOptions& options,
                                     const ImageClassifierShape& shape) {
  const int64_t c1 = options.conv1();
  const int64_t c2 = options.conv2();
  const int64_t h = options.hidden();
  return (9 * shape.channels + 1) * c1 + (9 * c1 + 1) * c2 +
         ((shape.height / 4) * (shape.width / 4) * c2 + 1) * h +
         (h + 1) * shape.classes;
}

double ImageClassifierStepFlops(const ImageClassifierModelOptions& options,
                                const ImageClassifierShape& shape,
                                int64_t batch) {
  const double pixels = static_cast<double>(shape.height * shape.width);
  return 3 * ImageClassifierForwardFlops(options, shape, batch) -
         2 * static_cast<double>(batch) * pixels * 9 *
             static_cast<double>(shape.channels) * options.conv1();
}

double ImageClassifierForwardFlops(const ImageClassifierModelOptions& options,
                                   const ImageClassifierShape& shape,
                                   int64_t batch) {
  const auto pixels = [&](int64_t parts) {
    return static_cast<double>((shape.height / parts) * (shape.width / parts));
  };
  const double c1 = options.conv1();
  const double c2 = options.conv2();
  const double h = options.hidden();
  return 2 * static_cast<double>(batch) *
         (pixels(1) * 9 * static_cast<double>(shape.channels) * c1 +
          pixels(2) * 9 * c1 * c2 + pixels(4) * c2 * h +
          h * static_cast<double>(shape.classes));
}

}  // namespace septet
