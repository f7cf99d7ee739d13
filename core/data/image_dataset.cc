// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/image_dataset.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/data/augment.h"
#include "septet/core/io/idx.h"
#include "septet/core/io/image.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

namespace fs = std::filesystem;

// Images a block of the histogram: some hundred microseconds for small ones.
constexpr int64_t kGrain = 256;
// Blocks of it, each of which counts 2 KiB a channel.
constexpr int64_t kMostBlocks = 64;

absl::Status Wrong(absl::string_view path, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", problem));
}

// Names in the folder at `path`, bytewise sorted, without those that begin with
// a dot: folders, or files.
absl::StatusOr<std::vector<std::string>> Names(const std::string& path,
                                               bool folders) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return absl::NotFoundError(absl::StrCat(path, ": no such folder"));
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(), path);
  }
  if (status.type() != fs::file_type::directory) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": expected a folder"));
  }
  std::vector<std::string> names;
  fs::directory_iterator at(path, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    std::error_code ignored;  // what is gone meanwhile is neither
    const std::string name = at->path().filename().string();
    if (name[0] == '.') continue;
    if (folders ? at->is_directory(ignored) : at->is_regular_file(ignored)) {
      names.push_back(name);
    }
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(), path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool IsImageName(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  return absl::EndsWith(lower, ".png") || absl::EndsWith(lower, ".jpg") ||
         absl::EndsWith(lower, ".jpeg");
}

// "'a', 'b', ...": of many the first ten.
std::string QuoteList(const std::vector<std::string>& names) {
  std::vector<std::string> quoted;
  for (size_t i = 0; i < names.size() && i < 10; ++i) {
    quoted.push_back(QuoteName(names[i]));
  }
  if (names.size() > quoted.size()) quoted.push_back("...");
  return absl::StrJoin(quoted, ", ");
}

// What is in `a` and not in `b`, both sorted.
std::vector<std::string> Without(const std::vector<std::string>& a,
                                 const std::vector<std::string>& b) {
  std::vector<std::string> result;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(),
                      std::back_inserter(result));
  return result;
}

struct ImageFile {
  std::string path;
  int64_t label = 0;
};

}  // namespace

absl::StatusOr<ImageDataset> ReadIdxImages(absl::string_view images_path,
                                           absl::string_view labels_path,
                                           const ImageDatasetOptions& options) {
  IdxOptions idx;
  idx.max_bytes = options.max_bytes;
  ImageDataset dataset;
  SEPTET_ASSIGN_OR_RETURN(Tensor images, ReadIdx(images_path, idx));
  if (images.dtype() != DType::kU8 ||
      (images.rank() != 3 && images.rank() != 4)) {
    return Wrong(images_path,
                 absl::StrCat("the images are ", images.DebugString(),
                              ", expected u8 [N, H, W] or [N, H, W, C]"));
  }
  if (images.num_elements() == 0) {
    return Wrong(images_path,
                 absl::StrCat("the images are ", images.DebugString(),
                              ", expected at least one pixel"));
  }
  if (images.rank() == 4 && images.dim(3) > kMaxImageChannels) {
    return Wrong(images_path,
                 absl::StrCat("the images are ", images.DebugString(),
                              ", expected ", "at most ", kMaxImageChannels,
                              " channels, the last extent"));
  }
  SEPTET_ASSIGN_OR_RETURN(Tensor labels, ReadIdx(labels_path, idx));
  if ((labels.dtype() != DType::kU8 && labels.dtype() != DType::kI32) ||
      labels.rank() != 1) {
    return Wrong(labels_path,
                 absl::StrCat("the labels are ", labels.DebugString(),
                              ", expected u8 or i32 [N]"));
  }
  if (labels.dim(0) != images.dim(0)) {
    return Wrong(
        labels_path,
        absl::StrCat("there are ", labels.dim(0), " labels, expected ",
                     images.dim(0), ", one for each image of ", images_path));
  }
  SEPTET_ASSIGN_OR_RETURN(dataset.labels, labels.To(DType::kI64));
  // Without names, as many as a program can show.
  const int64_t most = options.classes.empty()
                           ? 1 << 16
                           : static_cast<int64_t>(options.classes.size());
  int64_t largest = 0;
  const int64_t* const values = dataset.labels.data<int64_t>();
  for (int64_t i = 0; i < labels.dim(0); ++i) {
    if (values[i] < 0 || values[i] >= most) {
      return Wrong(labels_path, absl::StrCat("label ", i, " is ", values[i],
                                             ", expected 0 to ", most - 1));
    }
    largest = std::max(largest, values[i]);
  }
  dataset.classes = options.classes;
  if (dataset.classes.empty()) {
    for (int64_t i = 0; i <= largest; ++i) {
      dataset.classes.push_back(absl::StrCat(i));
    }
  }
  SEPTET_ASSIGN_OR_RETURN(
      dataset.images,
      images.Reshape({images.dim(0), images.dim(1), images.dim(2),
                      images.rank() == 4 ? images.dim(3) : 1}));
  return dataset;
}

absl::StatusOr<ImageDataset> ReadImageFolder(
    absl::string_view path, const ImageDatasetOptions& options) {
  const std::string root(path);
  ImageDataset dataset;
  SEPTET_ASSIGN_OR_RETURN(const std::vector<std::string> found,
                          Names(root, /*folders=*/true));
  if (found.empty()) {
    return Wrong(root,
                 "there are no folders in it, expected one for each class");
  }
  dataset.classes = options.classes;
  if (dataset.classes.empty()) {
    dataset.classes = found;
  } else {
    std::vector<std::string> wanted = dataset.classes;
    std::sort(wanted.begin(), wanted.end());
    if (wanted != found) {
      const std::vector<std::string> missing = Without(wanted, found);
      const std::vector<std::string> unknown = Without(found, wanted);
      return Wrong(root,
                   absl::StrCat("there are folders for ", found.size(),
                                " classes, expected those of ", wanted.size(),
                                missing.empty() ? "" : "; there is none for ",
                                QuoteList(missing),
                                unknown.empty() ? "" : "; no class is named ",
                                QuoteList(unknown)));
    }
  }
  std::vector<ImageFile> files;
  for (size_t label = 0; label < dataset.classes.size(); ++label) {
    const std::string folder = absl::StrCat(root, "/", dataset.classes[label]);
    SEPTET_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                            Names(folder, /*folders=*/false));
    const size_t before = files.size();
    for (const std::string& name : names) {
      if (IsImageName(name)) {
        files.push_back(
            {absl::StrCat(folder, "/", name), static_cast<int64_t>(label)});
      }
    }
    if (files.size() == before) {
      return Wrong(folder,
                   "there are no images in it, expected at least one file that "
                   "ends in .png, .jpg or .jpeg");
    }
  }
  ImageOptions image_options;
  image_options.channels = options.channels;
  image_options.max_bytes = std::min(image_options.max_bytes,
                                     std::max<int64_t>(options.max_bytes, 1));
  const int64_t count = static_cast<int64_t>(files.size());
  SEPTET_ASSIGN_OR_RETURN(dataset.labels, Tensor::Empty({count}, DType::kI64));
  Shape first;
  for (int64_t i = 0; i < count; ++i) {
    const ImageFile& file = files[static_cast<size_t>(i)];
    SEPTET_ASSIGN_OR_RETURN(const Tensor image,
                            ReadImage(file.path, image_options));
    if (i == 0) {
      first = image.shape();
      if (first.num_elements() > options.max_bytes / count) {
        return absl::ResourceExhaustedError(
            absl::StrCat(root, ": ", count, " images like ", file.path, ", ",
                         image.DebugString(), ", are more than the ",
                         options.max_bytes, " bytes that are allowed"));
      }
      SEPTET_ASSIGN_OR_RETURN(
          const Shape shape,
          Shape::Create({count, first[0], first[1], first[2]}));
      SEPTET_ASSIGN_OR_RETURN(dataset.images, Tensor::Empty(shape, DType::kU8));
    }
    if (image.shape() != first) {
      return Wrong(file.path,
                   absl::StrCat("the image is ", image.shape().ToString(),
                                " (rows, columns, channels), expected ",
                                first.ToString(), " as ", files[0].path));
    }
    std::memcpy(
        dataset.images.mutable_data<uint8_t>() + i * first.num_elements(),
        image.data<uint8_t>(), static_cast<size_t>(first.num_elements()));
    dataset.labels.mutable_data<int64_t>()[i] = file.label;
  }
  return dataset;
}

absl::StatusOr<ChannelMoments> MomentsOfChannels(const Tensor& images) {
  if (!images.defined() || images.dtype() != DType::kU8 || images.rank() != 4 ||
      !images.IsContiguous() || images.num_elements() == 0 ||
      images.dim(3) > kMaxImageChannels) {
    return absl::InvalidArgumentError(absl::StrCat(
        "moments of channels: the images are ",
        images.defined() ? images.DebugString() : "no tensor",
        ", expected contiguous u8 [N, H, W, C] of at least one element and at "
        "most ",
        kMaxImageChannels, " channels"));
  }
  const int64_t channels = images.dim(3);
  const int64_t pixels = images.num_elements() / channels;
  const int64_t per_image = images.dim(1) * images.dim(2);
  const uint8_t* const data = images.data<uint8_t>();
  using Counts = std::vector<int64_t>;  // [channels, 256]
  const Counts counts = ParallelReduce(
      CurrentThreadPool(), images.dim(0),
      std::max(kGrain, images.dim(0) / kMostBlocks + 1), Counts(),
      [&](int64_t begin, int64_t end) {
        Counts part(static_cast<size_t>(channels) * 256);
        const uint8_t* at = data + begin * per_image * channels;
        for (int64_t p = begin * per_image; p < end * per_image; ++p) {
          for (int64_t c = 0; c < channels; ++c) ++part[c * 256 + *at++];
        }
        return part;
      },
      [](Counts a, const Counts& b) {
        for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
        return a;
      });
  ChannelMoments moments;
  const double n = static_cast<double>(pixels);
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t* const count = counts.data() + c * 256;
    double sum = 0;
    for (int v = 0; v < 256; ++v) sum += static_cast<double>(count[v]) * v;
    const double mean = sum / n;
    double squares = 0;
    for (int v = 0; v < 256; ++v) {
      squares += static_cast<double>(count[v]) * (v - mean) * (v - mean);
    }
    moments.mean.push_back(mean / 255);
    moments.std.push_back(std::sqrt(squares / n) / 255);
  }
  return moments;
}

absl::StatusOr<Tensor> LabelsOf(const ImageDataset& dataset,
                                absl::Span<const int64_t> items) {
  SEPTET_ASSIGN_OR_RETURN(
      Tensor labels,
      Tensor::Empty({static_cast<int64_t>(items.size())}, DType::kI64));
  const int64_t* const from = dataset.labels.data<int64_t>();
  int64_t* to = labels.mutable_data<int64_t>();
  for (const int64_t item : items) {
    if (item < 0 || item >= dataset.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("labels: item ", item, ", expected 0 to ",
                       dataset.size() - 1, ", the last image"));
    }
    *to++ = from[item];
  }
  return labels;
}

}  // namespace septet
