// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/fashion_classifier/data.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/baselines/fashion_classifier/options.pb.h"
#include "septet/core/base/crc32c.h"
#include "septet/core/base/file.h"
#include "septet/core/base/runfile.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/data/image_dataset.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

const std::vector<std::string>& FashionClasses() {
  static const auto& classes = *new std::vector<std::string>{
      "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
      "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  return classes;
}

absl::StatusOr<ImageDataset> ReadFashion(absl::string_view part) {
  SEPTET_ASSIGN_OR_RETURN(const std::string folder,
                          FindRunfile("dataset_fashion_mnist/fashion-mnist"));
  ImageDatasetOptions options;
  options.classes = FashionClasses();
  return ReadIdxImages(absl::StrCat(folder, "/", part, "-images-idx3-ubyte.gz"),
                       absl::StrCat(folder, "/", part, "-labels-idx1-ubyte.gz"),
                       options);
}

ImageChannels ChannelsOf(ImageClassifierDataOptions::Channels channels) {
  switch (channels) {
    case ImageClassifierDataOptions::grey:
      return ImageChannels::kGrey;
    case ImageClassifierDataOptions::rgb:
      return ImageChannels::kRgb;
    default:
      return ImageChannels::kAsStored;
  }
}

absl::Status Missing(absl::string_view name, absl::string_view given) {
  return absl::InvalidArgumentError(
      absl::StrCat("data.", name, " is empty, expected a path, as data.", given,
                   " has one"));
}

uint32_t Checksum(const Tensor& x) {
  return Crc32c(absl::string_view(
      static_cast<const char*>(x.raw_data()),
      static_cast<size_t>(x.num_elements()) * DTypeSize(x.dtype())));
}

}  // namespace

ImageClassifierShape ImageClassifierData::Shape() const {
  return {train.height(), train.width(), train.channels(), train.num_classes()};
}

std::string ImageClassifierData::Fingerprint() const {
  std::string text;
  for (const ImageDataset* set : {&train, &test}) {
    absl::StrAppend(
        &text, text.empty() ? "" : ", ", set->images.DebugString(),
        absl::StrFormat(" crc32c %08x labels crc32c %08x",
                        Checksum(set->images), Checksum(set->labels)));
  }
  return text;
}

std::string ImageClassifierData::ToString() const {
  return absl::StrCat(train.size(), " images of ", train.height(), " x ",
                      train.width(), " x ", train.channels(), " in ",
                      train.num_classes(), " classes to train on, ",
                      test.size(), " held out");
}

absl::StatusOr<ImageDataset> ReadLabelledImages(
    const std::string& images, const std::string& labels,
    const std::string& folder, ImageClassifierDataOptions::Channels channels,
    const std::vector<std::string>& classes) {
  ImageDatasetOptions options;
  options.classes = classes;
  options.channels = ChannelsOf(channels);
  if (!folder.empty()) return ReadImageFolder(ResolveUserPath(folder), options);
  return ReadIdxImages(ResolveUserPath(images), ResolveUserPath(labels),
                       options);
}

absl::StatusOr<ImageClassifierData> ReadImageClassifierData(
    const ImageClassifierDataOptions& options) {
  const bool folders =
      !options.train_folder().empty() || !options.test_folder().empty();
  const struct {
    const char* name;
    const std::string& value;
  } kFiles[] = {{"train_images", options.train_images()},
                {"train_labels", options.train_labels()},
                {"test_images", options.test_images()},
                {"test_labels", options.test_labels()}};
  const char* given = nullptr;
  for (const auto& file : kFiles) {
    if (!file.value.empty()) given = file.name;
  }
  ImageClassifierData data;
  if (folders) {
    if (given != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "data.", given, " and folders are given, expected one of both"));
    }
    if (options.train_folder().empty()) {
      return Missing("train_folder", "test_folder");
    }
    if (options.test_folder().empty()) {
      return Missing("test_folder", "train_folder");
    }
    SEPTET_ASSIGN_OR_RETURN(data.train,
                            ReadLabelledImages("", "", options.train_folder(),
                                               options.channels(), {}));
    SEPTET_ASSIGN_OR_RETURN(
        data.test, ReadLabelledImages("", "", options.test_folder(),
                                      options.channels(), data.train.classes));
  } else if (given != nullptr) {
    for (const auto& file : kFiles) {
      if (file.value.empty()) return Missing(file.name, given);
    }
    SEPTET_ASSIGN_OR_RETURN(
        data.train,
        ReadLabelledImages(options.train_images(), options.train_labels(), "",
                           options.channels(), {}));
    SEPTET_ASSIGN_OR_RETURN(
        data.test,
        ReadLabelledImages(options.test_images(), options.test_labels(), "",
                           options.channels(), data.train.classes));
  } else {
    SEPTET_ASSIGN_OR_RETURN(data.train, ReadFashion("train"));
    SEPTET_ASSIGN_OR_RETURN(data.test, ReadFashion("t10k"));
  }
  if (data.test.height() != data.train.height() ||
      data.test.width() != data.train.width() ||
      data.test.channels() != data.train.channels()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the images held out are ", data.test.images.DebugString(),
        ", expected the size and the channels of those to train on, ",
        data.train.images.DebugString()));
  }
  if (options.normalize()) {
    SEPTET_ASSIGN_OR_RETURN(data.moments, MomentsOfChannels(data.train.images));
  } else {
    const auto channels = static_cast<size_t>(data.train.channels());
    data.moments = {std::vector<double>(channels, 0.0),
                    std::vector<double>(channels, 1.0)};
  }
  return data;
}

}  // namespace septet
