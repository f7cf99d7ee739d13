// SPDX-License-Identifier: Apache-2.0
// The images that the options of fashion_classifier name.
#ifndef SEPTET_BASELINES_FASHION_CLASSIFIER_DATA_H_
#define SEPTET_BASELINES_FASHION_CLASSIFIER_DATA_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/baselines/fashion_classifier/options.pb.h"
#include "septet/core/data/image_dataset.h"

namespace septet {

struct ImageClassifierData {
  ImageDataset train;
  ImageDataset test;
  ChannelMoments moments;  // of the training images; 0 and 1 without normalize

  ImageClassifierShape Shape() const;
  // Sizes and checksums of all images and labels, to know the data again.
  std::string Fingerprint() const;
  // "60000 images of 28 x 28 x 1 in 10 classes to train on, 10000 held out".
  std::string ToString() const;
};

// The four IDX files, the two folders, or, without either, Fashion-MNIST from
// Debian's dataset-fashion-mnist (Xiao, Rasul, Vollgraf, Fashion-MNIST: a Novel
// Image Dataset, 2017, arXiv 1708.07747). Paths are relative to where the user
// is. Held-out images are of the same size, channels and classes.
// Errors: InvalidArgument naming the option that is missing, and where sizes
// differ; those of ReadIdxImages and ReadImageFolder.
absl::StatusOr<ImageClassifierData> ReadImageClassifierData(
    const ImageClassifierDataOptions& options);

// A further set of images for a model of these classes: of IDX files, or of a
// folder if that is not empty. `channels` as the data option.
absl::StatusOr<ImageDataset> ReadLabelledImages(
    const std::string& images, const std::string& labels,
    const std::string& folder, ImageClassifierDataOptions::Channels channels,
    const std::vector<std::string>& classes);

}  // namespace septet

#endif  // SEPTET_BASELINES_FASHION_CLASSIFIER_DATA_H_
