// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/conv.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/highway.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/random/philox.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

template <typename T>
std::vector<T> Numbers(int64_t n, uint32_t stream) {
  std::vector<T> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const auto words =
        Philox4x32({11, stream}, {static_cast<uint32_t>(i), 0, 0, 0});
    values[static_cast<size_t>(i)] = static_cast<T>(words[0] * 0x1p-32 * 2 - 1);
  }
  return values;
}

std::string Describe(const Conv2dShape& s) {
  return absl::StrCat(
      "n ", s.n, " h ", s.h, " w ", s.w, " c_in ", s.c_in, " c_out ", s.c_out,
      " k ", s.kh, "x", s.kw, " stride ", s.stride_h, ",", s.stride_w,
      absl::StrCat(" pad ", s.pad_top, ",", s.pad_bottom, ",", s.pad_left, ",",
                   s.pad_right, " dilation ", s.dilation_h, ",", s.dilation_w,
                   " groups ", s.groups));
}

// Inputs, and what the functions make of them.
template <typename T>
struct Run {
  std::vector<T> x, w, bias_out, bias_in, dy;
  std::vector<T> y, dx, dw, dbias;

  explicit Run(const Conv2dShape& s)
      : x(Numbers<T>(s.n * s.h * s.w * s.c_in, 1)),
        w(Numbers<T>(s.kh * s.kw * s.c_in / s.groups * s.c_out, 2)),
        bias_out(Numbers<T>(s.c_out, 3)),
        bias_in(Numbers<T>(s.c_in, 4)),
        dy(Numbers<T>(s.n * s.OutH() * s.OutW() * s.c_out, 5)),
        // What is overwritten may be anything.
        y(dy.size(), std::numeric_limits<T>::quiet_NaN()),
        dx(x.size(), std::numeric_limits<T>::quiet_NaN()),
        // What is added to is kept.
        dw(Numbers<T>(static_cast<int64_t>(w.size()), 6)),
        dbias(Numbers<T>(s.c_out, 7)) {}

  void Fast(const Conv2dShape& s, bool bias) {
    SEPTET_ASSERT_OK(Conv2dForward(s, x.data(), w.data(),
                                   bias ? bias_out.data() : nullptr, y.data()));
    SEPTET_ASSERT_OK(Conv2dBackwardData(
        s, dy.data(), w.data(), bias ? bias_in.data() : nullptr, dx.data()));
    SEPTET_ASSERT_OK(Conv2dBackwardWeights(s, x.data(), dy.data(), dw.data(),
                                           bias ? dbias.data() : nullptr));
  }
  void Plain(const Conv2dShape& s, bool bias) {
    SEPTET_ASSERT_OK(Conv2dReferenceForward(
        s, x.data(), w.data(), bias ? bias_out.data() : nullptr, y.data()));
    SEPTET_ASSERT_OK(Conv2dReferenceBackwardData(
        s, dy.data(), w.data(), bias ? bias_in.data() : nullptr, dx.data()));
    SEPTET_ASSERT_OK(Conv2dReferenceBackwardWeights(
        s, x.data(), dy.data(), dw.data(), bias ? dbias.data() : nullptr));
  }
};

// Each of `terms` products and sums of numbers below 1 is off by at most eps
// times the sum of magnitudes, which is at most terms + 1.
template <typename T>
void ExpectClose(const std::vector<T>& got, const std::vector<T>& want,
                 int64_t terms, const char* name) {
  ASSERT_EQ(got.size(), want.size());
  const double n = static_cast<double>(terms + 2);
  // Roundings add like a random walk: 8 standard deviations, at least 4 eps.
  const double tolerance = 8.0 * n * std::numeric_limits<T>::epsilon() + 1e-300;
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], tolerance) << name << " at " << i;
  }
}

template <typename T>
void Compare(const Conv2dShape& s, bool bias = true) {
  SCOPED_TRACE(Describe(s));
  SEPTET_ASSERT_OK(ValidateConv2d(s));
  Run<T> got(s);
  Run<T> want(s);
  got.Fast(s, bias);
  want.Plain(s, bias);
  ExpectClose(got.y, want.y, s.kh * s.kw * s.c_in / s.groups, "y");
  ExpectClose(got.dx, want.dx, s.kh * s.kw * s.c_out / s.groups, "dx");
  ExpectClose(got.dw, want.dw, s.n * s.OutH() * s.OutW(), "dw");
  ExpectClose(got.dbias, want.dbias, s.n * s.OutH() * s.OutW(), "dbias");
}

template <typename T>
class ConvTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ConvTest, Types);

Conv2dShape Square(int64_t n, int64_t h, int64_t w, int64_t c_in, int64_t c_out,
                   int64_t k, int64_t pad, int64_t stride) {
  Conv2dShape s;
  s.n = n;
  s.h = h;
  s.w = w;
  s.c_in = c_in;
  s.c_out = c_out;
  s.kh = s.kw = k;
  s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = pad;
  s.stride_h = s.stride_w = stride;
  return s;
}

// Kernels whose patch has few elements: all of them are one tile of the
// gradient of the weights, up to the size where they no longer are.
TYPED_TEST(ConvTest, FewChannelsAndSmallKernels) {
  for (const int64_t c_in : {1, 2, 3, 4}) {
    for (const int64_t c_out : {1, 7, 8, 16, 17, 32, 33}) {
      for (const int64_t k : {1, 2, 3}) {
        Compare<TypeParam>(Square(2, 7, 9, c_in, c_out, k, k / 2, 1));
      }
    }
  }
  // Runs that lie apart, by dilation and by groups.
  Conv2dShape s = Square(2, 9, 11, 2, 6, 3, 1, 1);
  s.dilation_h = s.dilation_w = 2;
  Compare<TypeParam>(s);
  s.groups = 2;
  Compare<TypeParam>(s);
}

TYPED_TEST(ConvTest, ChannelsOfAllKinds) {
  for (const int64_t c_in : {1, 3, 5, 15, 16, 17, 64}) {
    for (const int64_t c_out : {1, 3, 5, 15, 16, 17, 33, 64}) {
      Compare<TypeParam>(Square(2, 5, 7, c_in, c_out, 3, 1, 1));
    }
  }
}

TYPED_TEST(ConvTest, KernelsStridesPaddingsDilations) {
  for (const int64_t k : {1, 2, 3, 5}) {
    for (const int64_t stride : {1, 2, 3, 4}) {
      for (const int64_t pad : {0, 1, 2, 4}) {
        for (const int64_t dilation : {1, 2}) {
          Conv2dShape s = Square(2, 6, 9, 3, 4, k, pad, stride);
          s.dilation_h = dilation;
          s.dilation_w = 3 - dilation;
          if (!ValidateConv2d(s).ok()) continue;
          Compare<TypeParam>(s);
          s.kw = 1;
          s.stride_h = 1;
          Compare<TypeParam>(s, /*bias=*/false);
        }
      }
    }
  }
}

TYPED_TEST(ConvTest, SidesOfTheirOwn) {
  Conv2dShape s = Square(2, 5, 8, 3, 5, 3, 0, 2);
  s.kh = 4;
  s.stride_h = 1;
  for (int sides = 0; sides < 16; ++sides) {
    s.pad_top = sides & 1 ? 3 : 0;
    s.pad_bottom = sides & 2 ? 2 : 0;
    s.pad_left = sides & 4 ? 1 : 0;
    s.pad_right = sides & 8 ? 4 : 0;
    Compare<TypeParam>(s);
  }
}

TYPED_TEST(ConvTest, KernelLargerThanTheImage) {
  Compare<TypeParam>(Square(1, 2, 2, 1, 1, 5, 2, 1));
  Compare<TypeParam>(Square(2, 1, 1, 3, 17, 7, 3, 2));
  // Columns that no output sees, and a padding wider than the image.
  Compare<TypeParam>(Square(1, 3, 3, 2, 2, 1, 6, 5));
  Compare<TypeParam>(Square(1, 31, 29, 2, 5, 11, 2, 4));
}

TYPED_TEST(ConvTest, Groups) {
  for (const int64_t groups : {1, 2, 3, 6}) {
    Conv2dShape s = Square(2, 6, 5, 6, 12, 3, 1, 1);
    s.groups = groups;
    Compare<TypeParam>(s);
    s.stride_w = 2;
    s.dilation_h = 2;
    Compare<TypeParam>(s);
    s.c_in = 18;
    s.c_out = 36;
    Compare<TypeParam>(s);
  }
  // All channels are as many as a block of one group has places.
  for (const int64_t channels : {2, 4, 8, 16, 32}) {
    Conv2dShape s = Square(2, 6, 5, 2, channels, 3, 1, 1);
    s.groups = 2;
    Compare<TypeParam>(s);
  }
  for (const int64_t channels : {2, 7, 16, 33}) {
    Conv2dShape s = Square(2, 6, 5, channels, channels, 3, 1, 2);
    s.groups = channels;
    EXPECT_STREQ(Conv2dBackendName(s), "highway-depthwise");
    Compare<TypeParam>(s);
    Compare<TypeParam>(s, /*bias=*/false);
  }
}

TYPED_TEST(ConvTest, BandsAndParts) {
  // Several images a band, a band an image, several bands an image; channels
  // whose pixels would alias in the cache.
  Compare<TypeParam>(Square(37, 3, 3, 4, 6, 3, 1, 1));
  Compare<TypeParam>(Square(3, 40, 41, 3, 20, 3, 1, 1));
  Compare<TypeParam>(Square(1, 65, 130, 8, 8, 3, 1, 2));
  Compare<TypeParam>(Square(2, 3, 5, 512, 3, 3, 1, 1));
  Compare<TypeParam>(Square(2, 5, 3, 3, 512, 1, 0, 1));
}

TYPED_TEST(ConvTest, NothingToDo) {
  Compare<TypeParam>(Square(0, 5, 5, 3, 4, 3, 1, 1));
  Compare<TypeParam>(Square(2, 5, 5, 0, 4, 3, 1, 1));
  Compare<TypeParam>(Square(2, 5, 5, 4, 0, 3, 1, 1));
  // An image of padding alone.
  Compare<TypeParam>(Square(2, 0, 4, 3, 4, 3, 2, 1));
}

TYPED_TEST(ConvTest, BitsDoNotDependOnThreads) {
  Conv2dShape grouped = Square(5, 20, 22, 12, 40, 3, 1, 1);
  grouped.groups = 2;
  Conv2dShape depthwise = Square(6, 30, 30, 24, 24, 3, 1, 1);
  depthwise.groups = 24;
  for (const Conv2dShape& s :
       {Square(9, 24, 24, 16, 16, 3, 1, 1), Square(2, 40, 40, 8, 70, 3, 1, 2),
        grouped, depthwise}) {
    SCOPED_TRACE(Describe(s));
    Run<TypeParam> serial(s);
    serial.Fast(s, true);
    for (const int threads : {2, 3}) {
      ThreadPool pool(threads);
      ScopedThreadPool scope(&pool);
      Run<TypeParam> parallel(s);
      parallel.Fast(s, true);
      EXPECT_EQ(serial.y, parallel.y);
      EXPECT_EQ(serial.dx, parallel.dx);
      EXPECT_EQ(serial.dw, parallel.dw);
      EXPECT_EQ(serial.dbias, parallel.dbias);
    }
  }
}

// Calls test() once for each vector target that this machine has.
template <typename Test>
void ForEachTarget(const Test& test) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(hwy::TargetName(target));
    test();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TYPED_TEST(ConvTest, EveryVectorTarget) {
  Conv2dShape grouped = Square(2, 6, 5, 6, 14, 3, 1, 2);
  grouped.groups = 2;
  Conv2dShape depthwise = Square(2, 6, 5, 19, 19, 3, 1, 1);
  depthwise.groups = 19;
  ForEachTarget([&] {
    for (const int64_t c_out : {1, 4, 7, 16, 23, 40}) {
      Compare<TypeParam>(Square(1, 5, 7, 3, c_out, 3, 1, 1));
    }
    Compare<TypeParam>(grouped);
    Compare<TypeParam>(depthwise);
  });
}

TYPED_TEST(ConvTest, APixelsBitsDoNotDependOnItsPlace) {
  // The same image alone and among others.
  const Conv2dShape many = Square(7, 6, 5, 3, 17, 3, 1, 1);
  Conv2dShape one = many;
  one.n = 1;
  Run<TypeParam> all(many);
  all.Fast(many, true);
  Run<TypeParam> single(one);
  single.x.assign(all.x.end() - 6 * 5 * 3, all.x.end());
  single.Fast(one, true);
  EXPECT_EQ(single.y,
            std::vector<TypeParam>(all.y.end() - 6 * 5 * 17, all.y.end()));
}

TEST(ConvErrorsTest, EachFieldIsNamed) {
  const Conv2dShape good = Square(1, 4, 4, 4, 4, 3, 1, 1);
  SEPTET_EXPECT_OK(ValidateConv2d(good));
  const auto expect = [&](auto field, int64_t value, const char* message) {
    Conv2dShape s = good;
    s.*field = value;
    EXPECT_THAT(ValidateConv2d(s), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr(message)));
    float unused[1];
    EXPECT_THAT(Conv2dForward(s, unused, unused, nullptr, unused),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(absl::StrCat("conv2d: ", message))));
  };
  expect(&Conv2dShape::n, -1, "n is -1, expected at least 0");
  expect(&Conv2dShape::h, -2, "h is -2, expected at least 0");
  expect(&Conv2dShape::c_in, -1, "c_in is -1, expected at least 0");
  expect(&Conv2dShape::kh, 0, "kh is 0, expected at least 1");
  expect(&Conv2dShape::stride_w, 0, "stride_w is 0, expected at least 1");
  expect(&Conv2dShape::pad_left, -1, "pad_left is -1, expected at least 0");
  expect(&Conv2dShape::dilation_h, 0, "dilation_h is 0, expected at least 1");
  expect(&Conv2dShape::groups, 0, "groups is 0, expected at least 1");
  expect(&Conv2dShape::pad_top, int64_t{1} << 40,
         "pad_top is 1099511627776, expected at most 2^31 - 1");
  expect(&Conv2dShape::groups, 3,
         "groups is 3, expected a divisor of 4 input and 4 output channels");
  expect(&Conv2dShape::kw, 7,
         "the kernel's columns reach over 7 (7 with dilation 1), expected at "
         "most 6, the image's 4 and 2 of padding");
  expect(&Conv2dShape::dilation_h, 3,
         "the kernel's rows reach over 7 (3 with dilation 3)");
  Conv2dShape huge = good;
  huge.n = huge.h = huge.w = int64_t{1} << 30;
  EXPECT_THAT(ValidateConv2d(huge),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("more elements than can be counted")));
}

}  // namespace
}  // namespace septet
