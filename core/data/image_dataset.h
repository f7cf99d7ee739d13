// SPDX-License-Identifier: Apache-2.0
// Labelled images in memory, from a pair of IDX files or from a folder that has
// a folder of PNG and JPEG files for each class.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       ImageDataset train, ReadIdxImages("train-images-idx3-ubyte.gz",
//                                         "train-labels-idx1-ubyte.gz"));
//   SEPTET_ASSIGN_OR_RETURN(ImageDataset photos,
//                           ReadImageFolder("flowers/train"));
//   // flowers/train/daisy/001.jpg, flowers/train/rose/1.png, ...
//
// All images have one size and number of channels. Batches are made of them by
// core/data/augment.h, indices by core/data/epoch_sampler.h.
//
// Memory: a byte a sample, refused beyond options.max_bytes before it is taken.
// What the readers of the files refuse, they say: core/io/idx.h,
// core/io/image.h.
#ifndef SEPTET_CORE_DATA_IMAGE_DATASET_H_
#define SEPTET_CORE_DATA_IMAGE_DATASET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct ImageDataset {
  Tensor images;                     // u8 [N, H, W, C], row-major
  Tensor labels;                     // i64 [N], each in 0..classes.size()-1
  std::vector<std::string> classes;  // their names

  int64_t size() const { return images.dim(0); }
  int64_t height() const { return images.dim(1); }
  int64_t width() const { return images.dim(2); }
  int64_t channels() const { return images.dim(3); }
  int64_t num_classes() const { return static_cast<int64_t>(classes.size()); }
};

struct ImageDatasetOptions {
  // IDX: the names of the classes; labels are below their number. Empty: "0",
  // "1", ... to the largest label. Folders: the folders that are wanted, in
  // this order, which must be all that there are: those of the training set,
  // for the test set. Empty: all, bytewise sorted.
  std::vector<std::string> classes;
  // Folders: what images are converted to.
  ImageChannels channels = ImageChannels::kAsStored;
  // Of all images together.
  int64_t max_bytes = int64_t{4} << 30;
};

// Of u8 images [N, H, W] or [N, H, W, C] and u8 or i32 labels [N], N >= 1.
// Errors, each with the path, what was expected and what was found: those of
// ReadIdx; InvalidArgument for another dtype or rank, no image, more than
// kMaxImageChannels channels (augment.h), other numbers of images and labels, a
// label that is out of range (with its index).
absl::StatusOr<ImageDataset> ReadIdxImages(
    absl::string_view images_path, absl::string_view labels_path,
    const ImageDatasetOptions& options = {});

// Of the files below `path`/CLASS/ whose names end in .png, .jpg or .jpeg (in
// any case), bytewise sorted within a class; other files, and names that begin
// with a dot, are ignored.
// Errors, each with the path, what was expected and what was found: NotFound if
// there is no such folder; FailedPrecondition for a file in its place;
// InvalidArgument for a folder without classes, a class without images, other
// classes than options.classes, and an image whose size or channels are not
// those of the first; ResourceExhausted beyond options.max_bytes; those of
// ReadImage.
absl::StatusOr<ImageDataset> ReadImageFolder(
    absl::string_view path, const ImageDatasetOptions& options = {});

// Mean and standard deviation of each channel over all pixels, in units of 255
// (so 0 to 1). Exact sums: the bits depend on the images alone.
struct ChannelMoments {
  std::vector<double> mean;
  std::vector<double> std;
};
// images u8 [N, H, W, C], contiguous, with at least one element and at most
// kMaxImageChannels channels: InvalidArgument otherwise. One pass.
absl::StatusOr<ChannelMoments> MomentsOfChannels(const Tensor& images);

// The labels of these items, i64 [B]. InvalidArgument for an index that is out
// of range.
absl::StatusOr<Tensor> LabelsOf(const ImageDataset& dataset,
                                absl::Span<const int64_t> items);

}  // namespace septet

#endif  // SEPTET_CORE_DATA_IMAGE_DATASET_H_
