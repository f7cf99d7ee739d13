// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/image.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/image_options.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

constexpr int kHeight = 5;
constexpr int kWidth = 7;

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

std::string TestData(absl::string_view name) {
  return absl::StrCat("core/io/testdata/", name);
}

std::string TestBytes(absl::string_view name) {
  return ReadFileToString(TestData(name)).value();
}

// What the files of testdata/png_corpus were made of, by a few lines of Python
// that know zlib and the five filters, but no PNG library.
int Sample(int y, int x, int c, int depth) {
  const int value = y * 7 + x * 3 + c * 5 + 1;
  return value * (depth == 16 ? 4099 : depth == 8 ? 37 : 1) % (1 << depth);
}
int PaletteColour(int index, int c) { return (index * 11 + c * 80) % 256; }

ImageOptions Options(ImageChannels channels, bool keep_16_bits = false) {
  ImageOptions options;
  options.channels = channels;
  options.keep_16_bits = keep_16_bits;
  return options;
}

int At(const Tensor& image, int y, int x, int c) {
  const int64_t i = (y * image.dim(1) + x) * image.dim(2) + c;
  return image.dtype() == DType::kU16 ? image.data<uint16_t>()[i]
                                      : image.data<uint8_t>()[i];
}

void ExpectSame(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(actual.DebugString(), expected.DebugString());
  EXPECT_EQ(std::memcmp(actual.raw_data(), expected.raw_data(),
                        actual.num_elements() * DTypeSize(actual.dtype())),
            0);
}

struct PngKind {
  const char* name;
  int depth;
  int channels;
};

constexpr PngKind kPngKinds[] = {
    {"grey1", 1, 1},         {"grey2", 2, 1},   {"grey4", 4, 1},
    {"grey8", 8, 1},         {"grey16", 16, 1}, {"grey_alpha8", 8, 2},
    {"grey_alpha16", 16, 2}, {"rgb8", 8, 3},    {"rgb16", 16, 3},
    {"rgba8", 8, 4},         {"rgba16", 16, 4},
};

TEST(ImageTest, PngOfEveryColourTypeAndDepth) {
  for (const PngKind& kind : kPngKinds) {
    for (const char* interlaced : {"", "_interlaced"}) {
      for (const bool keep : {false, true}) {
        SCOPED_TRACE(absl::StrCat(kind.name, interlaced, keep));
        SEPTET_ASSERT_OK_AND_ASSIGN(
            const Tensor image,
            ReadImage(
                TestData(absl::StrCat("png_corpus/", kind.name, interlaced)),
                Options(ImageChannels::kAsStored, keep)));
        const bool wide = kind.depth == 16 && keep;
        EXPECT_EQ(image.dtype(), wide ? DType::kU16 : DType::kU8);
        ASSERT_EQ(image.shape(), Shape({kHeight, kWidth, kind.channels}));
        for (int y = 0; y < kHeight; ++y) {
          for (int x = 0; x < kWidth; ++x) {
            for (int c = 0; c < kind.channels; ++c) {
              const int sample = Sample(y, x, c, kind.depth);
              const int scaled =
                  wide ? sample
                       : static_cast<int>(std::lround(sample * 255.0 /
                                                      ((1 << kind.depth) - 1)));
              ASSERT_EQ(At(image, y, x, c), scaled) << y << " " << x;
            }
          }
        }
      }
    }
  }
}

TEST(ImageTest, PngWithPalette) {
  for (const int depth : {1, 2, 4, 8}) {
    for (const char* interlaced : {"", "_interlaced"}) {
      SCOPED_TRACE(absl::StrCat(depth, interlaced));
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor image, ReadImage(TestData(absl::StrCat(
                                  "png_corpus/palette", depth, interlaced))));
      ASSERT_EQ(image.shape(), Shape({kHeight, kWidth, 3}));
      for (int y = 0; y < kHeight; ++y) {
        for (int x = 0; x < kWidth; ++x) {
          for (int c = 0; c < 3; ++c) {
            ASSERT_EQ(At(image, y, x, c),
                      PaletteColour(Sample(y, x, 0, depth), c));
          }
        }
      }
    }
  }
}

TEST(ImageTest, PngWithTransparentColour) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor grey,
                              ReadImage(TestData("png_corpus/grey8_trns")));
  ASSERT_EQ(grey.shape(), Shape({kHeight, kWidth, 2}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor rgb,
                              ReadImage(TestData("png_corpus/rgb16_trns")));
  ASSERT_EQ(rgb.shape(), Shape({kHeight, kWidth, 4}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor palette,
                              ReadImage(TestData("png_corpus/palette4_trns")));
  ASSERT_EQ(palette.shape(), Shape({kHeight, kWidth, 4}));
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      EXPECT_EQ(At(grey, y, x, 1),
                Sample(y, x, 0, 8) == Sample(0, 0, 0, 8) ? 0 : 255);
      EXPECT_EQ(At(rgb, y, x, 3),
                Sample(y, x, 0, 16) == Sample(1, 2, 0, 16) ? 0 : 255);
      const int index = Sample(y, x, 0, 4);
      EXPECT_EQ(At(palette, y, x, 3), index < 3 ? index * 50 : 255);
      EXPECT_EQ(At(palette, y, x, 2), PaletteColour(index, 2));
    }
  }
  // Forced, there is no alpha.
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor luminance,
                              ReadImage(TestData("png_corpus/palette4_trns"),
                                        Options(ImageChannels::kGrey)));
  ASSERT_EQ(luminance.shape(), Shape({kHeight, kWidth, 1}));
  EXPECT_EQ(At(luminance, 2, 3, 0),
            (19595 * At(palette, 2, 3, 0) + 38470 * At(palette, 2, 3, 1) +
             7471 * At(palette, 2, 3, 2) + 32768) /
                65536);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor opaque,
                              ReadImage(TestData("png_corpus/palette4_trns"),
                                        Options(ImageChannels::kRgb)));
  EXPECT_EQ(opaque.shape(), Shape({kHeight, kWidth, 3}));
}

int Luminance(int r, int g, int b) {
  return static_cast<int>(
      std::floor((19595.0 * r + 38470.0 * g + 7471.0 * b) / 65536 + 0.5));
}

TEST(ImageTest, ForcedChannelsOfPng) {
  for (const PngKind& kind : kPngKinds) {
    for (const bool keep : {false, true}) {
      SCOPED_TRACE(absl::StrCat(kind.name, keep));
      const std::string path = TestData(absl::StrCat("png_corpus/", kind.name));
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor stored,
          ReadImage(path, Options(ImageChannels::kAsStored, keep)));
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor grey,
          ReadImage(path, Options(ImageChannels::kGrey, keep)));
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor rgb,
          ReadImage(path, Options(ImageChannels::kRgb, keep)));
      EXPECT_EQ(grey.dtype(), stored.dtype());
      EXPECT_EQ(rgb.dtype(), stored.dtype());
      ASSERT_EQ(grey.shape(), Shape({kHeight, kWidth, 1}));
      ASSERT_EQ(rgb.shape(), Shape({kHeight, kWidth, 3}));
      const bool colour = kind.channels >= 3;
      for (int y = 0; y < kHeight; ++y) {
        for (int x = 0; x < kWidth; ++x) {
          for (int c = 0; c < 3; ++c) {
            ASSERT_EQ(At(rgb, y, x, c), At(stored, y, x, colour ? c : 0));
          }
          ASSERT_EQ(At(grey, y, x, 0),
                    colour ? Luminance(At(stored, y, x, 0), At(stored, y, x, 1),
                                       At(stored, y, x, 2))
                           : At(stored, y, x, 0));
        }
      }
    }
  }
}

TEST(ImageTest, PngTextsAndProfilesChangeNothing) {
  ExpectSame(ReadImage(TestData("png_corpus/texts")).value(),
             ReadImage(TestData("png_corpus/rgb8")).value());
}

// The PNG files were made from the JPEG ones by Pillow.
TEST(ImageTest, JpegAsAnotherProgramReadsIt) {
  for (const char* name : {"rgb420", "rgb422", "rgb444", "progressive", "grey",
                           "restarts", "rgb_stored"}) {
    SCOPED_TRACE(name);
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor image,
        ReadImage(TestData(absl::StrCat("jpeg_corpus/", name))));
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor expected,
        ReadImage(TestData(absl::StrCat("jpeg_", name, ".png"))));
    EXPECT_EQ(image.shape(),
              Shape({37, 50, absl::string_view(name) == "grey" ? 1 : 3}));
    ExpectSame(image, expected);
  }
}

TEST(ImageTest, ForcedChannelsOfJpeg) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor grey,
                              ReadImage(TestData("jpeg_corpus/grey")));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor grey_rgb,
      ReadImage(TestData("jpeg_corpus/grey"), Options(ImageChannels::kRgb)));
  ASSERT_EQ(grey_rgb.shape(), Shape({37, 50, 3}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor rgb,
                              ReadImage(TestData("jpeg_corpus/rgb444")));
  for (const char* name : {"rgb444", "rgb_stored"}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor rgb_grey,
        ReadImage(TestData(absl::StrCat("jpeg_corpus/", name)),
                  Options(ImageChannels::kGrey)));
    ASSERT_EQ(rgb_grey.shape(), Shape({37, 50, 1}));
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor colours,
        ReadImage(TestData(absl::StrCat("jpeg_corpus/", name))));
    for (int y = 0; y < 37; ++y) {
      for (int x = 0; x < 50; ++x) {
        for (int c = 0; c < 3; ++c) {
          ASSERT_EQ(At(grey_rgb, y, x, c), At(grey, y, x, 0));
        }
        // The stored luminance of colours that were not cut off at 0 or 255 is
        // theirs, but for the rounding of each of them.
        bool cut = false;
        for (int c = 0; c < 3; ++c) {
          const int value = At(colours, y, x, c);
          cut |= value == 0 || value == 255;
        }
        if (!cut) {
          ASSERT_NEAR(At(rgb_grey, y, x, 0),
                      Luminance(At(colours, y, x, 0), At(colours, y, x, 1),
                                At(colours, y, x, 2)),
                      1);
        }
      }
    }
  }
}

Tensor Gradient(int height, int width, int channels) {
  std::vector<uint8_t> pixels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        pixels.push_back(static_cast<uint8_t>(40 + 2 * y + 3 * x + 20 * c));
      }
    }
  }
  return Tensor::FromValues<uint8_t>({height, width, channels}, pixels).value();
}

TEST(ImageTest, PngRoundTrip) {
  const std::string path = TempPath("round_trip.png");
  for (const PngKind& kind : kPngKinds) {
    SCOPED_TRACE(kind.name);
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor image,
        ReadImage(TestData(absl::StrCat("png_corpus/", kind.name)),
                  Options(ImageChannels::kAsStored, true)));
    SEPTET_ASSERT_OK(WritePng(path, image));
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor read,
        ReadImage(path, Options(ImageChannels::kAsStored, true)));
    ExpectSame(read, image);
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializePng(image));
    EXPECT_EQ(bytes, ReadFileToString(path).value());
  }
}

TEST(ImageTest, WrittenImagesNeedNotBeContiguous) {
  const Tensor image = Gradient(6, 9, 3);
  const Tensor turned = image.Permute({1, 0, 2}).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string png, SerializePng(turned));
  ExpectSame(ParseImage(png).value(), turned.Contiguous().value());
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string jpeg, SerializeJpeg(turned));
  EXPECT_EQ(jpeg, SerializeJpeg(turned.Contiguous().value()).value());
}

TEST(ImageTest, JpegIsNearTheImage) {
  const std::string path = TempPath("near.jpg");
  for (const int channels : {1, 3}) {
    const Tensor image = Gradient(23, 31, channels);
    size_t last_size = 0;
    double last_error = 1e9;
    for (const int quality : {10, 50, 95}) {
      JpegOptions options;
      options.quality = quality;
      SEPTET_ASSERT_OK(WriteJpeg(path, image, options));
      SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor read, ReadImage(path));
      ASSERT_EQ(read.DebugString(), image.DebugString());
      double error = 0;
      for (int64_t i = 0; i < image.num_elements(); ++i) {
        error += std::abs(read.data<uint8_t>()[i] - image.data<uint8_t>()[i]);
      }
      error /= static_cast<double>(image.num_elements());
      const size_t size = ReadFileToString(path)->size();
      EXPECT_GT(size, last_size);
      EXPECT_LT(error, last_error);
      last_size = size;
      last_error = error;
    }
    EXPECT_LT(last_error, 1.0);
  }
}

TEST(ImageTest, JpegWithoutSubsamplingKeepsEdgesOfColour) {
  // Columns of red and blue in turn, whose mean is what subsampling keeps.
  Tensor image = Tensor::Zeros({16, 16, 3}, DType::kU8).value();
  for (int i = 0; i < 256; ++i) {
    image.mutable_data<uint8_t>()[3 * i + (i % 2 == 0 ? 0 : 2)] = 200;
  }
  JpegOptions options;
  options.quality = 100;
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string coarse,
                              SerializeJpeg(image, options));
  options.subsample = false;
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string fine,
                              SerializeJpeg(image, options));
  EXPECT_LT(At(ParseImage(coarse).value(), 8, 8, 0), 150);
  EXPECT_NEAR(At(ParseImage(fine).value(), 8, 8, 0), 200, 3);
}

TEST(ImageTest, EveryTruncationIsAnError) {
  for (const char* name : {"png_corpus/rgb8", "png_corpus/rgba16_interlaced",
                           "png_corpus/palette4_trns", "jpeg_corpus/rgb420",
                           "jpeg_corpus/progressive", "jpeg_corpus/grey"}) {
    const std::string bytes = TestBytes(name);
    SEPTET_ASSERT_OK(ParseImage(bytes));
    const bool png = absl::StrContains(name, "png");
    for (size_t size = 0; size < bytes.size(); ++size) {
      const std::string expected =
          size == 0 ? std::string("not an image: the file is empty")
          : size < (png ? 8 : 3)
              ? std::string("as neither PNG nor JPEG does")
              : absl::StrCat(png ? "PNG" : "JPEG",
                             ": truncated: the file ends after ", size,
                             " bytes");
      EXPECT_THAT(ParseImage(bytes.substr(0, size)),
                  StatusIs(kDataLoss, HasSubstr(expected)))
          << name;
    }
  }
}

TEST(ImageTest, DamagedPng) {
  EXPECT_THAT(
      ReadImage(TestData("png_corpus/bad_crc")),
      StatusIs(kDataLoss, AllOf(HasSubstr("PNG: damaged before byte"),
                                StartsWith(TestData("png_corpus/bad_crc: ")))));
  EXPECT_THAT(ReadImage(TestData("png_corpus/too_few_rows")),
              StatusIs(kDataLoss, HasSubstr("Not enough image data")));
  EXPECT_THAT(ReadImage(TestData("png_corpus/too_many_rows")),
              StatusIs(kDataLoss, HasSubstr("PNG: damaged before byte")));
  EXPECT_THAT(
      ReadImage(TestData("png_corpus/short_palette")),
      StatusIs(kDataLoss, HasSubstr("PNG: the pixel in row 0 and column 1 has "
                                    "colour 4 of a palette of 3")));
  EXPECT_THAT(
      ReadImage(TestData("png_corpus/no_data")),
      StatusIs(kDataLoss,
               HasSubstr("PNG: damaged before byte 41: IEND: out of place")));
  EXPECT_THAT(ReadImage(TestData("png_corpus/zero_width")),
              StatusIs(kDataLoss, HasSubstr("PNG: damaged before byte")));
}

TEST(ImageTest, DamagedJpeg) {
  // A rest that is missing is not made up, though the end is marked.
  EXPECT_THAT(
      ReadImage(TestData("jpeg_corpus/truncated_closed")),
      StatusIs(kDataLoss, HasSubstr("JPEG: damaged before byte 623: Corrupt "
                                    "JPEG data: premature end of data")));
  // A grey image that says that it has colours.
  EXPECT_THAT(
      ReadImage(TestData("jpeg_corpus/no_colours")),
      StatusIs(kDataLoss, HasSubstr("JPEG: component 2 of 3 is in no scan")));
  std::string bytes = TestBytes("jpeg_corpus/restarts");
  const size_t restart = bytes.rfind("\xff\xd1");
  ASSERT_NE(restart, std::string::npos);
  bytes[restart + 1] = '\xd5';
  EXPECT_THAT(ParseImage(bytes),
              StatusIs(kDataLoss, HasSubstr("JPEG: damaged before byte")));
}

TEST(ImageTest, NothingIsPrinted) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  for (const char* name :
       {"jpeg_corpus/truncated_closed", "jpeg_corpus/trailing",
        "jpeg_corpus/cmyk", "png_corpus/texts", "png_corpus/bad_crc",
        "png_corpus/too_many_rows", "png_corpus/short_palette"}) {
    (void)ReadImage(TestData(name));
  }
  // Bytes between markers, of which libjpeg would warn.
  const std::string jpeg = TestBytes("jpeg_corpus/rgb420");
  const size_t table = jpeg.find("\xff\xdb");
  const absl::StatusOr<Tensor> noisy = ParseImage(
      absl::StrCat(jpeg.substr(0, table), "xyz", jpeg.substr(table)));
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  SEPTET_ASSERT_OK(noisy);
  ExpectSame(*noisy, ParseImage(jpeg).value());
}

TEST(ImageTest, WhatFollowsAnImageIsIgnored) {
  ExpectSame(ReadImage(TestData("jpeg_corpus/trailing")).value(),
             ReadImage(TestData("jpeg_corpus/rgb420")).value());
  const std::string png = TestBytes("png_corpus/rgb8");
  ExpectSame(ParseImage(absl::StrCat(png, "more")).value(),
             ParseImage(png).value());
}

TEST(ImageTest, WhatIsNotSupportedIsNamed) {
  EXPECT_THAT(ReadImage(TestData("jpeg_corpus/cmyk")),
              StatusIs(kUnimplemented,
                       HasSubstr("JPEG: the colours are CMYK, of 4 components; "
                                 "there are grey and RGB")));
  EXPECT_THAT(ReadImage(TestData("jpeg_corpus/twelve_bits")),
              StatusIs(kUnimplemented, HasSubstr("data precision 12")));
  EXPECT_THAT(ReadImage(TestData("jpeg_corpus/lossless")),
              StatusIs(kUnimplemented, HasSubstr("SOF type 0xc3")));
}

TEST(ImageTest, OtherFiles) {
  EXPECT_THAT(ParseImage("GIF89a......"),
              StatusIs(kDataLoss,
                       "not an image: begins with 'GIF89a..', as "
                       "neither PNG nor JPEG does"));
  const std::string gone = TempPath("gone.png");
  EXPECT_THAT(ReadImage(gone),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(gone)));
  const std::string empty = TempPath("empty.png");
  SEPTET_ASSERT_OK(WriteFileAtomically(empty, ""));
  EXPECT_THAT(
      ReadImage(empty),
      StatusIs(kDataLoss,
               absl::StrCat(empty, ": not an image: the file is empty")));
}

TEST(ImageTest, LyingHeadersAllocateNothing) {
  const AllocatorStats before = CpuAllocator().Stats();
  ImageOptions all;
  all.max_bytes = int64_t{1} << 40;
  EXPECT_THAT(
      ReadImage(TestData("png_corpus/huge"), all),
      StatusIs(kDataLoss,
               HasSubstr("PNG: truncated: 60000 x 60000 pixels of 24 bits need "
                         "10800060000 bytes, which cannot be compressed into "
                         "the file's 178")));
  EXPECT_THAT(ReadImage(TestData("png_corpus/huge")),
              StatusIs(kExhausted,
                       HasSubstr("PNG: has 60000 x 60000 pixels of 3 bytes, "
                                 "options.max_bytes allows 1073741824")));
  EXPECT_THAT(ReadImage(TestData("jpeg_corpus/huge")),
              StatusIs(kExhausted,
                       HasSubstr("JPEG: has 65500 x 65500 pixels of 3 bytes, "
                                 "options.max_bytes allows 1073741824")));
  EXPECT_EQ(CpuAllocator().Stats().system_allocations,
            before.system_allocations);
}

TEST(ImageTest, Limits) {
  for (const char* name : {"png_corpus/rgb8", "jpeg_corpus/rgb420"}) {
    SCOPED_TRACE(name);
    const Tensor image = ReadImage(TestData(name)).value();
    const int64_t height = image.dim(0), width = image.dim(1);
    ImageOptions options;
    options.max_height = height;
    options.max_width = width;
    options.max_bytes = height * width * 3;
    SEPTET_EXPECT_OK(ReadImage(TestData(name), options));
    ImageOptions small = options;
    small.max_height = height - 1;
    EXPECT_THAT(ReadImage(TestData(name), small),
                StatusIs(kExhausted,
                         HasSubstr(absl::StrCat(width, " x ", height,
                                                " pixels, options allow ",
                                                width, " x ", height - 1))));
    small = options;
    small.max_width = width - 1;
    EXPECT_THAT(
        ReadImage(TestData(name), small),
        StatusIs(kExhausted, HasSubstr(absl::StrCat("options allow ", width - 1,
                                                    " x ", height))));
    small = options;
    small.max_bytes = options.max_bytes - 1;
    EXPECT_THAT(
        ReadImage(TestData(name), small),
        StatusIs(kExhausted, HasSubstr(absl::StrCat(
                                 "pixels of 3 bytes, options.max_bytes allows ",
                                 options.max_bytes - 1))));
  }
  ImageOptions scans;
  scans.max_scans = 3;
  EXPECT_THAT(ReadImage(TestData("jpeg_corpus/progressive"), scans),
              StatusIs(kExhausted,
                       HasSubstr("JPEG: has more scans than options.max_scans "
                                 "allows, 3")));
  scans.max_scans = 10;
  SEPTET_EXPECT_OK(ReadImage(TestData("jpeg_corpus/progressive"), scans));
}

TEST(ImageTest, WrongOptions) {
  ImageOptions options;
  options.max_width = 0;
  EXPECT_THAT(ParseImage("", options),
              StatusIs(kInvalid,
                       "ImageOptions: max_width is 0, expected at "
                       "least 1"));
  options = ImageOptions();
  options.max_height = -1;
  EXPECT_THAT(ParseImage("", options),
              StatusIs(kInvalid, HasSubstr("max_height is -1")));
  options = ImageOptions();
  options.max_bytes = 0;
  EXPECT_THAT(ParseImage("", options),
              StatusIs(kInvalid, HasSubstr("max_bytes is 0")));
  options = ImageOptions();
  options.max_scans = 0;
  EXPECT_THAT(ParseImage("", options),
              StatusIs(kInvalid, HasSubstr("max_scans is 0")));
  for (const int quality : {0, 101}) {
    JpegOptions jpeg;
    jpeg.quality = quality;
    EXPECT_THAT(
        SerializeJpeg(Gradient(1, 1, 1), jpeg),
        StatusIs(kInvalid, absl::StrCat("JpegOptions: quality is ", quality,
                                        ", expected 1 to 100")));
  }
}

TEST(ImageTest, TensorsThatCannotBeWritten) {
  const std::string path = TempPath("unwritten.png");
  const Tensor wrong[] = {
      Tensor(),
      Tensor::Zeros({4, 4}, DType::kU8).value(),
      Tensor::Zeros({4, 4, 5}, DType::kU8).value(),
      Tensor::Zeros({4, 4, 0}, DType::kU8).value(),
      Tensor::Zeros({0, 4, 1}, DType::kU8).value(),
      Tensor::Zeros({4, 0, 1}, DType::kU8).value(),
      Tensor::Zeros({4, 4, 3}, DType::kF32).value(),
      Tensor::Zeros({1}, DType::kU8)
          ->BroadcastTo({1, int64_t{1} << 31, 1})
          .value(),
  };
  for (const Tensor& image : wrong) {
    EXPECT_THAT(
        WritePng(path, image),
        StatusIs(kInvalid, AllOf(StartsWith(absl::StrCat(path,
                                                         ": PNG: the image "
                                                         "is ")),
                                 HasSubstr("expected u8 or u16 [H, W, C]"))));
    EXPECT_THAT(
        WriteJpeg(path, image),
        StatusIs(kInvalid, HasSubstr("expected u8 [H, W, C] with H and W from "
                                     "1 to 65500 and C 1 or 3")));
  }
  for (const Tensor& image :
       {Tensor::Zeros({4, 4, 2}, DType::kU8).value(),
        Tensor::Zeros({4, 4, 1}, DType::kU16).value(),
        Tensor::Zeros({1, 65501, 1}, DType::kU8).value()}) {
    EXPECT_THAT(WriteJpeg(path, image),
                StatusIs(kInvalid, HasSubstr("JPEG: the image is ")));
    SEPTET_EXPECT_OK(SerializePng(image));
  }
  EXPECT_FALSE(ReadFileToString(path).ok());
  EXPECT_THAT(WritePng(TempPath("no/folder.png"), Gradient(2, 2, 1)),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/folder")));
}

}  // namespace
}  // namespace septet
