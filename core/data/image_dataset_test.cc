// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/image_dataset.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/io/idx.h"
#include "septet/core/io/image.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Value i is 7 i + `first`, modulo 256.
Tensor Bytes(const Shape& shape, int first = 0) {
  Tensor x = Tensor::Empty(shape, DType::kU8).value();
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    x.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(7 * i + first);
  }
  return x;
}

class ImageDatasetTest : public ::testing::Test {
 protected:
  // A folder for each test.
  ImageDatasetTest()
      : root_(absl::StrCat(
            ::testing::TempDir(), "/",
            ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    EXPECT_TRUE(MakeDirectories(root_).ok());
  }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(root_, "/", name);
  }
  std::string Idx(absl::string_view name, const Tensor& tensor) const {
    EXPECT_TRUE(WriteIdx(Path(name), tensor).ok());
    return Path(name);
  }
  void Png(absl::string_view folder, absl::string_view name,
           const Tensor& image) const {
    EXPECT_TRUE(MakeDirectories(Path(folder)).ok());
    const absl::Status status =
        WritePng(Path(absl::StrCat(folder, "/", name)), image);
    EXPECT_TRUE(status.ok()) << status;
  }

  const std::string root_;
};

TEST_F(ImageDatasetTest, ReadsAPairOfIdxFiles) {
  const Tensor images = Bytes({3, 2, 4});
  const std::string path = Idx("images.gz", images);
  for (const DType dtype : {DType::kU8, DType::kI32}) {
    const std::string labels = Idx(
        "labels",
        Tensor::FromValues<uint8_t>({3}, {2, 0, 2}).value().To(dtype).value());
    SEPTET_ASSERT_OK_AND_ASSIGN(const ImageDataset got,
                                ReadIdxImages(path, labels));
    EXPECT_EQ(got.size(), 3);
    EXPECT_EQ(got.images.shape(), Shape({3, 2, 4, 1}));
    EXPECT_EQ(got.images.ToVector<int>(), images.ToVector<int>());
    EXPECT_EQ(got.labels.dtype(), DType::kI64);
    EXPECT_THAT(got.labels.ToVector<int64_t>(), ElementsAre(2, 0, 2));
    EXPECT_THAT(got.classes, ElementsAre("0", "1", "2"));
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor some, LabelsOf(got, {1, 2, 1}));
    EXPECT_THAT(some.ToVector<int64_t>(), ElementsAre(0, 2, 0));
    EXPECT_THAT(LabelsOf(got, {0, 3}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         "labels: item 3, expected 0 to 2, the last image"));
    EXPECT_THAT(
        LabelsOf(got, {-1}),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("item -1")));
  }
  ImageDatasetOptions options;
  options.classes = {"shirt", "coat", "bag", "boot"};
  const std::string labels =
      Idx("labels", Tensor::FromValues<uint8_t>({3}, {2, 0, 2}).value());
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageDataset named,
                              ReadIdxImages(path, labels, options));
  EXPECT_EQ(named.num_classes(), 4);
  // Colours.
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const ImageDataset colours,
      ReadIdxImages(Idx("colours", Bytes({3, 2, 4, 3})), labels));
  EXPECT_EQ(colours.channels(), 3);
}

TEST_F(ImageDatasetTest, IdxErrorsNameFileExpectedAndActual) {
  const std::string images = Idx("images", Bytes({3, 2, 4}));
  const std::string labels =
      Idx("labels", Tensor::FromValues<uint8_t>({3}, {2, 0, 9}).value());
  const auto expect = [](const std::string& i, const std::string& l,
                         const ImageDatasetOptions& options,
                         const std::string& want) {
    EXPECT_THAT(ReadIdxImages(i, l, options),
                StatusIs(absl::StatusCode::kInvalidArgument, want));
  };
  expect(labels, labels, {},
         labels +
             ": the images are u8 [3], expected u8 [N, H, W] or [N, H, W, C]");
  const std::string floats =
      Idx("floats", Tensor::Zeros({3, 2, 4}, DType::kF32).value());
  expect(floats, labels, {},
         floats +
             ": the images are f32 [3, 2, 4], expected u8 [N, H, W] or [N, H, "
             "W, C]");
  const std::string empty = Idx("empty", Bytes({0, 2, 4}));
  expect(empty, labels, {},
         empty + ": the images are u8 [0, 2, 4], expected at least one pixel");
  const std::string deep = Idx("deep", Bytes({3, 1, 1, 1025}));
  expect(deep, labels, {},
         deep +
             ": the images are u8 [3, 1, 1, 1025], expected at most 1024 "
             "channels, the last extent");
  expect(images, images, {},
         images + ": the labels are u8 [3, 2, 4], expected u8 or i32 [N]");
  const std::string few =
      Idx("few", Tensor::FromValues<uint8_t>({2}, {1, 0}).value());
  expect(images, few, {},
         few + ": there are 2 labels, expected 3, one for each image of " +
             images);
  ImageDatasetOptions options;
  options.classes = {"a", "b", "c"};
  expect(images, labels, options, labels + ": label 2 is 9, expected 0 to 2");
  const std::string negative =
      Idx("negative", Tensor::FromValues<int32_t>({3}, {1, -1, 0}).value());
  expect(images, negative, {},
         negative + ": label 1 is -1, expected 0 to 65535");
  EXPECT_THAT(ReadIdxImages(Path("gone"), labels),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(Path("gone"))));
  options.max_bytes = 23;
  EXPECT_THAT(
      ReadIdxImages(images, labels, options),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(images)));
}

TEST_F(ImageDatasetTest, ReadsAFolderOfClasses) {
  Png("rose", "b.png", Bytes({2, 3, 3}, 1));
  Png("rose", "a.PNG", Bytes({2, 3, 3}, 2));
  Png("daisy", "10.png", Bytes({2, 3, 3}, 3));
  SEPTET_ASSERT_OK(WriteJpeg(Path("daisy/9.jpeg"), Bytes({2, 3, 3}, 4)));
  // No images, and no classes.
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("rose/notes.txt"), "x"));
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("rose/.hidden.png"), "x"));
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("readme.md"), "x"));
  SEPTET_ASSERT_OK(MakeDirectories(Path(".cache")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageDataset got, ReadImageFolder(root_));
  EXPECT_THAT(got.classes, ElementsAre("daisy", "rose"));
  EXPECT_THAT(got.labels.ToVector<int64_t>(), ElementsAre(0, 0, 1, 1));
  EXPECT_EQ(got.images.shape(), Shape({4, 2, 3, 3}));
  const std::vector<int> values = got.images.ToVector<int>();
  EXPECT_EQ(values[0], 3);       // daisy/10.png
  EXPECT_EQ(values[2 * 18], 2);  // rose/a.PNG
  EXPECT_EQ(values[3 * 18], 1);  // rose/b.png
  ImageDatasetOptions options;
  options.channels = ImageChannels::kGrey;
  options.classes = {"rose", "daisy"};
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageDataset grey,
                              ReadImageFolder(root_, options));
  EXPECT_EQ(grey.images.shape(), Shape({4, 2, 3, 1}));
  EXPECT_THAT(grey.labels.ToVector<int64_t>(), ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(grey.classes, ElementsAre("rose", "daisy"));
}

TEST_F(ImageDatasetTest, FolderErrorsNameFileExpectedAndActual) {
  EXPECT_THAT(
      ReadImageFolder(Path("gone")),
      StatusIs(absl::StatusCode::kNotFound, Path("gone") + ": no such folder"));
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("file"), "x"));
  EXPECT_THAT(ReadImageFolder(Path("file")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       Path("file") + ": expected a folder"));
  EXPECT_THAT(
      ReadImageFolder(root_),
      StatusIs(absl::StatusCode::kInvalidArgument,
               root_ + ": there are no folders in it, expected one for each "
                       "class"));
  Png("a", "1.png", Bytes({2, 3, 1}));
  SEPTET_ASSERT_OK(MakeDirectories(Path("b")));
  EXPECT_THAT(
      ReadImageFolder(root_),
      StatusIs(absl::StatusCode::kInvalidArgument,
               Path("b") +
                   ": there are no images in it, expected at least one file "
                   "that ends in .png, .jpg or .jpeg"));
  Png("b", "2.png", Bytes({3, 2, 1}));
  EXPECT_THAT(ReadImageFolder(root_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Path("b/2.png") +
                           ": the image is [3, 2, 1] (rows, columns, "
                           "channels), expected [2, 3, 1] as " +
                           Path("a/1.png")));
  Png("b", "2.png", Bytes({2, 3, 3}));
  EXPECT_THAT(ReadImageFolder(root_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith(Path("b/2.png")),
                             HasSubstr("the image is [2, 3, 3]"))));
  ImageDatasetOptions options;
  options.classes = {"a", "c"};
  EXPECT_THAT(ReadImageFolder(root_, options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       root_ + ": there are folders for 2 classes, expected "
                               "those of 2; there is none for 'c'; no class "
                               "is named 'b'"));
  options.classes.clear();
  options.channels = ImageChannels::kGrey;
  options.max_bytes = 11;
  EXPECT_THAT(ReadImageFolder(root_, options),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       EndsWith("u8 [2, 3, 1], are more than the 11 bytes that "
                                "are allowed")));
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("b/2.png"), "no image"));
  EXPECT_THAT(ReadImageFolder(root_), StatusIs(absl::StatusCode::kDataLoss,
                                               StartsWith(Path("b/2.png"))));
}

TEST(MomentsOfChannelsTest, AreThoseOfTheDefinitionWithAnyNumberOfThreads) {
  const Tensor images = Bytes({700, 3, 5, 2}, 9);
  std::vector<double> mean(2), std(2);
  const std::vector<double> values = images.ToVector<double>();
  for (size_t i = 0; i < values.size(); ++i) {
    mean[i % 2] += values[i] / 255 / (values.size() / 2);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const double d = values[i] / 255 - mean[i % 2];
    std[i % 2] += d * d / (values.size() / 2);
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const ChannelMoments got,
                              MomentsOfChannels(images));
  ASSERT_EQ(got.mean.size(), 2);
  for (size_t c = 0; c < 2; ++c) {
    EXPECT_NEAR(got.mean[c], mean[c], 1e-12);
    EXPECT_NEAR(got.std[c], std::sqrt(std[c]), 1e-12);
  }
  ThreadPool pool(3);
  const ScopedThreadPool scope(&pool);
  SEPTET_ASSERT_OK_AND_ASSIGN(const ChannelMoments parallel,
                              MomentsOfChannels(images));
  EXPECT_EQ(parallel.mean, got.mean);
  EXPECT_EQ(parallel.std, got.std);
}

TEST(MomentsOfChannelsTest, InputIsChecked) {
  EXPECT_THAT(MomentsOfChannels(Tensor()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the images are no tensor")));
  for (const Tensor& wrong :
       {Bytes({2, 3, 4}), Bytes({0, 2, 2, 1}), Bytes({1, 1, 1, 1025}),
        Tensor::Zeros({1, 2, 2, 1}, DType::kF32).value(),
        Bytes({2, 4, 4, 1}).Slice(2, 0, 4, 2).value()}) {
    EXPECT_THAT(MomentsOfChannels(wrong),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("moments of channels: the images are " +
                                   wrong.DebugString())));
  }
}

}  // namespace
}  // namespace septet
