// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/pool.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/highway.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/random/philox.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Few different values, so that there are ties.
template <typename T>
std::vector<T> Numbers(int64_t n, uint32_t stream, int levels = 7) {
  std::vector<T> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const auto words =
        Philox4x32({13, stream}, {static_cast<uint32_t>(i), 0, 0, 0});
    values[static_cast<size_t>(i)] = static_cast<T>(words[0] % levels) - 3;
  }
  return values;
}

// Calls fn(n, i, j, c, out element, the padded window [r0, r1) x [c0, c1)).
template <class Fn>
void ForOutputs(const Pool2dShape& s, const Fn& fn) {
  int64_t at = 0;
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t i = 0; i < s.OutH(); ++i) {
      for (int64_t j = 0; j < s.OutW(); ++j) {
        for (int64_t c = 0; c < s.c; ++c, ++at) {
          fn(n, i * s.stride_h - s.pad_h, j * s.stride_w - s.pad_w, c, at);
        }
      }
    }
  }
}
// Calls fn(place) for the pixels of a window in order.
template <class Fn>
void ForPixels(const Pool2dShape& s, int64_t row, int64_t col, const Fn& fn) {
  for (int64_t h = row; h < row + s.kh; ++h) {
    for (int64_t w = col; w < col + s.kw; ++w) {
      if (h >= 0 && h < s.h && w >= 0 && w < s.w) fn(h * s.w + w);
    }
  }
}

Pool2dShape Make(int64_t n, int64_t h, int64_t w, int64_t c, int64_t k,
                 int64_t stride, int64_t pad, bool ceil_mode = false) {
  Pool2dShape s;
  s.n = n;
  s.h = h;
  s.w = w;
  s.c = c;
  s.kh = s.kw = k;
  s.stride_h = s.stride_w = stride;
  s.pad_h = s.pad_w = pad;
  s.ceil_mode = ceil_mode;
  return s;
}

std::vector<Pool2dShape> Shapes() {
  std::vector<Pool2dShape> shapes;
  for (const int64_t c : {1, 3, 7, 8, 16, 17, 35}) {
    for (const int64_t k : {1, 2, 3}) {
      for (const int64_t stride : {1, 2, 3}) {
        for (const int64_t pad : {0, 1}) {
          if (pad >= k) continue;
          for (const bool ceil_mode : {false, true}) {
            shapes.push_back(Make(2, 5, 6, c, k, stride, pad, ceil_mode));
          }
        }
      }
    }
  }
  // Windows of their own along each axis, larger than the image, all of it.
  Pool2dShape s = Make(2, 4, 9, 5, 2, 2, 1, true);
  s.kw = 5;
  s.stride_w = 4;
  s.pad_w = 3;
  shapes.push_back(s);
  shapes.push_back(Make(1, 2, 3, 4, 4, 1, 2));
  shapes.push_back(Make(3, 6, 6, 20, 6, 6, 0));
  shapes.push_back(Make(0, 5, 5, 3, 2, 2, 0));
  shapes.push_back(Make(2, 5, 5, 0, 2, 2, 0));
  return shapes;
}

template <typename T>
class PoolTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(PoolTest, Types);

TYPED_TEST(PoolTest, MaximumAndItsPlaceByDefinition) {
  using T = TypeParam;
  for (const Pool2dShape& s : Shapes()) {
    SEPTET_ASSERT_OK(ValidatePool2d(s));
    const int64_t in = s.n * s.h * s.w * s.c;
    const int64_t out = s.n * s.OutH() * s.OutW() * s.c;
    const auto x = Numbers<T>(in, 1);
    const auto dy = Numbers<T>(out, 2);
    std::vector<T> y(out), dx(in, T(77)), want_dx(in), gathered(out);
    std::vector<int64_t> argmax(out);
    SEPTET_ASSERT_OK(MaxPool2dForward(s, x.data(), y.data(), argmax.data()));
    SEPTET_ASSERT_OK(MaxPool2dBackward(s, dy.data(), argmax.data(), dx.data()));
    SEPTET_ASSERT_OK(
        MaxPool2dGather(s, x.data(), argmax.data(), gathered.data()));
    ForOutputs(s,
               [&](int64_t n, int64_t row, int64_t col, int64_t c, int64_t at) {
                 T best = -std::numeric_limits<T>::infinity();
                 int64_t place = -1;
                 ForPixels(s, row, col, [&](int64_t pixel) {
                   const T v = x[(n * s.h * s.w + pixel) * s.c + c];
                   if (v > best) {
                     best = v;
                     place = pixel;
                   }
                 });
                 ASSERT_EQ(y[at], best);
                 ASSERT_EQ(argmax[at], place);
                 ASSERT_EQ(gathered[at], best);
                 want_dx[(n * s.h * s.w + place) * s.c + c] += dy[at];
               });
    // Sums of small integers are exact.
    EXPECT_EQ(dx, want_dx);
    std::vector<T> alone(out);
    SEPTET_ASSERT_OK(MaxPool2dForward(s, x.data(), alone.data(), nullptr));
    EXPECT_EQ(alone, y);
  }
}

TYPED_TEST(PoolTest, AverageByDefinition) {
  using T = TypeParam;
  for (const Pool2dShape& s : Shapes()) {
    for (const bool include_pad : {false, true}) {
      const int64_t in = s.n * s.h * s.w * s.c;
      const int64_t out = s.n * s.OutH() * s.OutW() * s.c;
      const auto x = Numbers<T>(in, 1);
      const auto dy = Numbers<T>(out, 2);
      std::vector<T> y(out), dx(in, T(77));
      std::vector<double> want_dx(in);
      SEPTET_ASSERT_OK(AvgPool2dForward(s, include_pad, x.data(), y.data()));
      SEPTET_ASSERT_OK(AvgPool2dBackward(s, include_pad, dy.data(), dx.data()));
      ForOutputs(s, [&](int64_t n, int64_t row, int64_t col, int64_t c,
                        int64_t at) {
        double sum = 0;
        int64_t inside = 0;
        ForPixels(s, row, col, [&](int64_t pixel) {
          sum += x[(n * s.h * s.w + pixel) * s.c + c];
          ++inside;
        });
        // Ends within the image and its padding.
        const int64_t padded = (std::min(row + s.kh, s.h + s.pad_h) - row) *
                               (std::min(col + s.kw, s.w + s.pad_w) - col);
        const double count = static_cast<double>(include_pad ? padded : inside);
        // The sum of small integers is exact, the quotient rounded once.
        ASSERT_EQ(y[at],
                  static_cast<T>(static_cast<T>(sum) / static_cast<T>(count)));
        ForPixels(s, row, col, [&](int64_t pixel) {
          want_dx[(n * s.h * s.w + pixel) * s.c + c] += dy[at] / count;
        });
      });
      // At most 36 windows hold a pixel; |dy| is at most 3.
      for (int64_t i = 0; i < in; ++i) {
        ASSERT_NEAR(dx[i], want_dx[i],
                    36 * 3 * std::numeric_limits<T>::epsilon());
      }
    }
  }
}

TYPED_TEST(PoolTest, NaNsAndInfinitiesAsInPyTorch) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const T inf = std::numeric_limits<T>::infinity();
  // Nine channels of four pixels: vectors and single elements alike.
  const T values[4][5] = {{1, nan, -inf, nan, 2},
                          {nan, 2, -inf, 1, inf},
                          {3, 1, -inf, nan, inf},
                          {2, 5, -inf, 4, -1}};
  for (const int64_t repeats : {1, 9}) {
    const int64_t c = 5 * repeats;
    std::vector<T> x;
    for (const auto& pixel : values) {
      for (int64_t i = 0; i < c; ++i) x.push_back(pixel[i % 5]);
    }
    std::vector<T> y(c);
    std::vector<int64_t> argmax(c);
    SEPTET_ASSERT_OK(MaxPool2dForward(Make(1, 2, 2, c, 2, 2, 0), x.data(),
                                      y.data(), argmax.data()));
    const int64_t places[] = {1, 0, 0, 2, 1};
    for (int64_t i = 0; i < c; ++i) {
      EXPECT_EQ(argmax[i], places[i % 5]) << i;
      EXPECT_EQ(std::isnan(y[i]), i % 5 == 0 || i % 5 == 1 || i % 5 == 3);
    }
    EXPECT_EQ(y[2], -inf);
    EXPECT_EQ(y[4], inf);
  }
}

TYPED_TEST(PoolTest, BitsDependNeitherOnThreadsNorOnVectors) {
  using T = TypeParam;
  const Pool2dShape s = Make(5, 33, 34, 19, 3, 2, 1, true);
  const int64_t in = s.n * s.h * s.w * s.c;
  const int64_t out = s.n * s.OutH() * s.OutW() * s.c;
  auto x = Numbers<T>(in, 1, 1000);
  auto dy = Numbers<T>(out, 2, 1000);
  for (T& v : dy) v /= 7;
  struct Results {
    std::vector<T> y, dx, average, daverage;
    std::vector<int64_t> argmax;
  };
  const auto run = [&](int threads) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    Results r{std::vector<T>(out), std::vector<T>(in), std::vector<T>(out),
              std::vector<T>(in), std::vector<int64_t>(out)};
    SEPTET_EXPECT_OK(
        MaxPool2dForward(s, x.data(), r.y.data(), r.argmax.data()));
    SEPTET_EXPECT_OK(
        MaxPool2dBackward(s, dy.data(), r.argmax.data(), r.dx.data()));
    SEPTET_EXPECT_OK(AvgPool2dForward(s, true, x.data(), r.average.data()));
    SEPTET_EXPECT_OK(AvgPool2dBackward(s, true, dy.data(), r.daverage.data()));
    return r;
  };
  const Results one = run(1);
  // Nor on the vectors.
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    const Results other = run(1);
    EXPECT_EQ(other.y, one.y);
    EXPECT_EQ(other.argmax, one.argmax);
    EXPECT_EQ(other.average, one.average);
    EXPECT_EQ(other.daverage, one.daverage);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  for (const int threads : {2, 3}) {
    const Results more = run(threads);
    EXPECT_EQ(more.y, one.y);
    EXPECT_EQ(more.argmax, one.argmax);
    EXPECT_EQ(more.dx, one.dx);
    EXPECT_EQ(more.average, one.average);
    EXPECT_EQ(more.daverage, one.daverage);
  }
}

TEST(PoolShapeTest, CeilModeLeavesOutWindowsBeyondTheImage) {
  const auto out = [](int64_t h, int64_t k, int64_t stride, int64_t pad,
                      bool ceil_mode) {
    return Make(1, h, h, 1, k, stride, pad, ceil_mode).OutH();
  };
  EXPECT_EQ(out(8, 3, 2, 0, false), 3);
  EXPECT_EQ(out(8, 3, 2, 0, true), 4);
  EXPECT_EQ(out(5, 3, 2, 1, true), 3);
  // ceil((3 + 2 - 2) / 2) + 1 = 3 windows; the third would start at 4 = 3 + 1.
  EXPECT_EQ(out(3, 2, 2, 1, true), 2);
  EXPECT_EQ(out(6, 1, 4, 0, true), 2);
}

TEST(PoolErrorsTest, EachFieldIsNamed) {
  const Pool2dShape good = Make(1, 4, 4, 2, 3, 2, 1);
  const auto expect = [&](int64_t Pool2dShape::*field, int64_t value,
                          const char* message) {
    Pool2dShape s = good;
    s.*field = value;
    EXPECT_THAT(ValidatePool2d(s), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr(message)));
  };
  expect(&Pool2dShape::n, -1, "n is -1, expected at least 0");
  expect(&Pool2dShape::h, 0, "h is 0, expected at least 1");
  expect(&Pool2dShape::c, -4, "c is -4, expected at least 0");
  expect(&Pool2dShape::kw, 0, "kw is 0, expected at least 1");
  expect(&Pool2dShape::stride_h, 0, "stride_h is 0, expected at least 1");
  expect(&Pool2dShape::pad_w, -1, "pad_w is -1, expected at least 0");
  expect(&Pool2dShape::pad_h, 3, "pad_h is 3, expected below 3");
  expect(&Pool2dShape::kh, 7,
         "kh is 7, expected at most 6, the image's 4 and twice 1 of padding");
  expect(&Pool2dShape::stride_w, int64_t{1} << 31,
         "stride_w is 2147483648, expected at most 2^31 - 1");
  Pool2dShape large = good;
  large.h = large.w = 1 << 16;
  EXPECT_THAT(ValidatePool2d(large),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("65536 x 65536 pixels")));
  float x[32] = {};
  int64_t argmax[8] = {0, 0, 0, 16, 0, 0, 0, 0};
  EXPECT_THAT(MaxPool2dForward(Make(1, 4, 4, 2, 5, 1, 0), x, x, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("max_pool2d: kh is 5")));
  float dx[32];
  EXPECT_THAT(MaxPool2dBackward(Make(1, 4, 4, 2, 2, 2, 0), x, argmax, dx),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("argmax is 16 at element 3, expected 0 to "
                                 "15")));
}

TEST(PoolExampleTest, SmallExample) {
  const float x[] = {1, 5, 2, 0,   //
                     3, 5, 8, -1,  //
                     0, 0, 4, 4};
  float y[2];
  int64_t argmax[2];
  const Pool2dShape s = Make(1, 3, 4, 1, 2, 2, 0);
  SEPTET_ASSERT_OK(MaxPool2dForward(s, x, y, argmax));
  EXPECT_THAT(y, ElementsAre(5, 8));
  EXPECT_THAT(argmax, ElementsAre(1, 6));
  SEPTET_ASSERT_OK(AvgPool2dForward(s, false, x, y));
  EXPECT_THAT(y, ElementsAre(3.5, 2.25));
}

}  // namespace
}  // namespace septet
