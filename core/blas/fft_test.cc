// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/fft.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/random/philox.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;
using Complex = std::complex<double>;

// 1, powers, products, primes that have a radix of their own, and those above
// that have not (37, 101, 2 * 67).
const std::vector<int64_t>& TestLengths() {
  static const auto* lengths = new std::vector<int64_t>{
      1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,  15,  16,
      21, 25, 31, 32, 34, 37, 49, 60, 64, 65, 75, 77, 101, 128, 134};
  return *lengths;
}

Tensor Random(const Shape& shape, uint32_t stream, DType dtype = DType::kF64) {
  std::vector<double> values(shape.num_elements());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] =
        Philox4x32({0xff7, stream}, {static_cast<uint32_t>(i), 0, 0, 0})[0] *
            0x1p-31 -
        1;
  }
  return Tensor::FromValues<double>(shape, values).value().To(dtype).value();
}

// The lines of a tensor [..] along an axis, replaced by fn(line).
template <typename T, typename Fn>
std::vector<T> OverLines(const std::vector<T>& x, std::vector<int64_t>* dims,
                         int axis, const Fn& fn) {
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= (*dims)[i];
  for (size_t i = axis + 1; i < dims->size(); ++i) inner *= (*dims)[i];
  const int64_t n = (*dims)[axis];
  std::vector<T> y;
  int64_t m = 0;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t j = 0; j < inner; ++j) {
      std::vector<T> line(n);
      for (int64_t e = 0; e < n; ++e) line[e] = x[(o * n + e) * inner + j];
      const std::vector<T> out = fn(line);
      m = static_cast<int64_t>(out.size());
      y.resize(outer * m * inner);
      for (int64_t e = 0; e < m; ++e) y[(o * m + e) * inner + j] = out[e];
    }
  }
  (*dims)[axis] = m;
  return y;
}

// By the definition, in long double. cos(2 pi m / n) for m < n:
std::vector<long double> Cosines(int64_t n) {
  std::vector<long double> c(n);
  for (int64_t m = 0; m < n; ++m) {
    c[m] = std::cos(2 * 3.14159265358979323846L * static_cast<long double>(m) /
                    static_cast<long double>(n));
  }
  return c;
}
std::vector<Complex> NaiveDft(const std::vector<Complex>& x, bool inverse) {
  const int64_t n = static_cast<int64_t>(x.size());
  const std::vector<long double> cosines = Cosines(4 * n);
  std::vector<Complex> y(n);
  for (int64_t k = 0; k < n; ++k) {
    long double re = 0, im = 0;
    for (int64_t j = 0; j < n; ++j) {
      const int64_t m = 4 * (j * k % n);
      const long double c = cosines[m];
      // sin(a) = cos(a - pi / 2)
      const long double s = (inverse ? 1 : -1) * cosines[(m + 3 * n) % (4 * n)];
      re += x[j].real() * c - x[j].imag() * s;
      im += x[j].real() * s + x[j].imag() * c;
    }
    y[k] = Complex(static_cast<double>(re), static_cast<double>(im));
  }
  return y;
}
std::vector<double> NaiveDct(const std::vector<double>& x) {
  const int64_t n = static_cast<int64_t>(x.size());
  const std::vector<long double> cosines = Cosines(4 * n);
  std::vector<double> y(n);
  for (int64_t k = 0; k < n; ++k) {
    long double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      sum += 2 * x[j] * cosines[k * (2 * j + 1) % (4 * n)];
    }
    y[k] = static_cast<double>(sum);
  }
  return y;
}

std::vector<Complex> ToComplex(const Tensor& x) {
  const std::vector<double> v = x.ToVector<double>();
  std::vector<Complex> c(v.size() / 2);
  for (size_t i = 0; i < c.size(); ++i) c[i] = {v[2 * i], v[2 * i + 1]};
  return c;
}

void ExpectClose(const std::vector<Complex>& got,
                 const std::vector<Complex>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(got[i] - want[i]), tolerance)
        << "element " << i << ": got " << got[i] << ", want " << want[i];
  }
}
void ExpectClose(const Tensor& got, const Tensor& want, double tolerance) {
  ASSERT_EQ(got.shape(), want.shape());
  const std::vector<double> g = got.ToVector<double>();
  const std::vector<double> w = want.ToVector<double>();
  for (size_t i = 0; i < g.size(); ++i) {
    ASSERT_LE(std::abs(g[i] - w[i]), tolerance)
        << "element " << i << ": got " << g[i] << ", want " << w[i];
  }
}

// A few eps of the norm, sqrt(n) for elements of about 1.
double ToleranceOf(int64_t n) {
  return 2e-15 * std::sqrt(n) * (2 + std::log2(n));
}

TEST(FftTest, MatchesTheDefinitionForAllLengthsAndLanes) {
  for (const int64_t n : TestLengths()) {
    // One line, a few, more than fill a vector, along either axis.
    for (const Shape& shape : {Shape({n, 2}), Shape({2, n, 2}),
                               Shape({n, 11, 2}), Shape({3, n, 5, 2})}) {
      SCOPED_TRACE(shape.ToString());
      const int axis = shape.rank() == 2 || shape[0] == n ? 0 : 1;
      const Tensor x = Random(shape, 1);
      std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end() - 1);
      SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor y, Fft(x, {axis}));
      EXPECT_EQ(y.shape(), shape);
      ExpectClose(ToComplex(y),
                  OverLines(ToComplex(x), &dims, axis,
                            [](const auto& l) { return NaiveDft(l, false); }),
                  ToleranceOf(n));
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor inverse,
          InverseFft(x, {axis - shape.rank() + 1}, FftNorm::kForward));
      ExpectClose(ToComplex(inverse),
                  OverLines(ToComplex(x), &dims, axis,
                            [](const auto& l) { return NaiveDft(l, true); }),
                  ToleranceOf(n));
    }
  }
}

TEST(FftTest, RealTransformsAreHalfOfTheComplexOnes) {
  for (const int64_t n : TestLengths()) {
    for (const Shape& shape : {Shape({n}), Shape({9, n}), Shape({2, n, 3})}) {
      SCOPED_TRACE(shape.ToString());
      const int axis = shape.rank() == 1 ? 0 : 1;
      const Tensor x = Random(shape, 2);
      std::vector<Complex> want;
      for (const double v : x.ToVector<double>()) want.push_back(v);
      std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
      want = OverLines(want, &dims, axis, [&](const auto& line) {
        std::vector<Complex> all = NaiveDft(line, false);
        all.resize(n / 2 + 1);
        return all;
      });
      SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor y, RealFft(x, {axis}));
      dims.push_back(2);
      EXPECT_EQ(y.shape(), *Shape::Create(dims));
      ExpectClose(ToComplex(y), want, ToleranceOf(n));
      SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor back,
                                  InverseRealFft(y, {axis}, n));
      ExpectClose(back, x, ToleranceOf(n));
    }
  }
}

TEST(FftTest, ImaginaryPartsThatNoRealSignalHasAreIgnored) {
  for (const int64_t n : {1, 2, 5, 8}) {
    Tensor y = RealFft(Random({n}, 3), {0}).value();
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor want, InverseRealFft(y, {0}, n));
    y = y.Clone().value();
    y.mutable_data<double>()[1] = 7;
    if (n % 2 == 0) y.mutable_data<double>()[n + 1] = 7;
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor got, InverseRealFft(y, {0}, n));
    EXPECT_EQ(got.ToVector<double>(), want.ToVector<double>());
  }
}

TEST(FftTest, SeveralAxesAreOneAfterTheOther) {
  const Tensor x = Random({3, 4, 6, 5, 2}, 4);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor all, Fft(x, {0, -1, 2}));
  ExpectClose(all, *Fft(*Fft(*Fft(x, {2}), {3}), {0}), 1e-12);
  ExpectClose(*InverseFft(all, {0, 3, 2}), x, 1e-13);
  const Tensor real = Random({3, 4, 7}, 5);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor half, RealFft(real, {2, 0}));
  EXPECT_EQ(half.shape(), Shape({2, 4, 7, 2}));
  ExpectClose(half, *Fft(*RealFft(real, {0}), {2}), 1e-13);
  ExpectClose(*InverseRealFft(half, {2, 0}, 3), real, 1e-13);
}

TEST(FftTest, ScalesByNorm) {
  const Tensor x = Random({6, 10, 2}, 6);
  const auto scaled = [](const Tensor& t, double factor) {
    std::vector<double> v = t.ToVector<double>();
    for (double& e : v) e *= factor;
    return Tensor::FromValues<double>(t.shape(), v).value();
  };
  const Tensor plain = *Fft(x, {0, 1});
  ExpectClose(*Fft(x, {0, 1}, FftNorm::kOrtho),
              scaled(plain, 1 / std::sqrt(60)), 1e-14);
  ExpectClose(*Fft(x, {0, 1}, FftNorm::kForward), scaled(plain, 1.0 / 60),
              1e-14);
  for (const FftNorm norm :
       {FftNorm::kBackward, FftNorm::kOrtho, FftNorm::kForward}) {
    ExpectClose(*InverseFft(*Fft(x, {1, 0}, norm), {0, 1}, norm), x, 1e-14);
    const Tensor real = Random({6, 9}, 7);
    ExpectClose(*InverseRealFft(*RealFft(real, {0, 1}, norm), {0, 1}, 9, norm),
                real, 1e-14);
  }
}

TEST(FftTest, ParsevalLinearityAndShift) {
  const int64_t n = 96;
  const Tensor x = Random({n, 2}, 8), z = Random({n, 2}, 9);
  const auto cx = ToComplex(x), cz = ToComplex(z);
  const auto y = ToComplex(*Fft(x, {0}, FftNorm::kOrtho));
  double before = 0, after = 0;
  for (int64_t i = 0; i < n; ++i) {
    before += std::norm(cx[i]);
    after += std::norm(y[i]);
  }
  EXPECT_NEAR(after, before, 1e-13 * before);
  std::vector<double> mixed, shifted;
  for (int64_t i = 0; i < n; ++i) {
    const Complex m = 2.0 * cx[i] - 0.5 * cz[i];
    mixed.insert(mixed.end(), {m.real(), m.imag()});
    const Complex s = cx[(i + 5) % n];
    shifted.insert(shifted.end(), {s.real(), s.imag()});
  }
  const auto fx = ToComplex(*Fft(x, {0})), fz = ToComplex(*Fft(z, {0}));
  const auto fm =
      ToComplex(*Fft(Tensor::FromValues<double>({n, 2}, mixed).value(), {0}));
  const auto fs =
      ToComplex(*Fft(Tensor::FromValues<double>({n, 2}, shifted).value(), {0}));
  for (int64_t k = 0; k < n; ++k) {
    EXPECT_LE(std::abs(fm[k] - (2.0 * fx[k] - 0.5 * fz[k])), 1e-13);
    EXPECT_LE(std::abs(fs[k] - fx[k] * std::polar(1.0, 2 * M_PI * 5 * k / n)),
              2e-13);
  }
}

TEST(FftTest, LongLinesKeepTheirDigits) {
  // A wave falls on one place; nothing else may rise above rounding.
  for (const int64_t n : {1 << 16, 3 * 5 * 7 * 11 * 13, 10007}) {
    std::vector<double> wave(2 * n);
    for (int64_t j = 0; j < n; ++j) {
      const double angle =
          2 * M_PI * static_cast<double>(j * 17 % n) / static_cast<double>(n);
      wave[2 * j] = std::cos(angle);
      wave[2 * j + 1] = std::sin(angle);
    }
    const auto y =
        ToComplex(*Fft(Tensor::FromValues<double>({n, 2}, wave).value(), {0}));
    for (int64_t k = 0; k < n; ++k) {
      ASSERT_LE(std::abs(y[k] - Complex(k == 17 ? n : 0)),
                1e-15 * static_cast<double>(n));
    }
  }
}

TEST(DctTest, MatchesTheDefinitionAndBack) {
  for (const int64_t n : TestLengths()) {
    for (const Shape& shape : {Shape({n}), Shape({9, n}), Shape({2, n, 3})}) {
      SCOPED_TRACE(shape.ToString());
      const int axis = shape.rank() == 1 ? 0 : 1;
      const Tensor x = Random(shape, 10);
      std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
      const std::vector<double> want =
          OverLines(x.ToVector<double>(), &dims, axis, &NaiveDct);
      SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor y, Dct(x, {axis}));
      ExpectClose(y, Tensor::FromValues<double>(shape, want).value(),
                  2 * ToleranceOf(n));
      for (const DctNorm norm : {DctNorm::kNone, DctNorm::kOrtho}) {
        ExpectClose(*InverseDct(*Dct(x, {axis}, norm), {axis}, norm), x,
                    ToleranceOf(n));
      }
    }
  }
}

TEST(DctTest, OrthonormalFormKeepsLengthsAndSeveralAxes) {
  const Tensor x = Random({6, 10}, 11);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor y, Dct(x, {0, 1}, DctNorm::kOrtho));
  double before = 0, after = 0, sum = 0;
  for (const double v : x.ToVector<double>()) {
    before += v * v;
    sum += v;
  }
  for (const double v : y.ToVector<double>()) after += v * v;
  EXPECT_NEAR(after, before, 1e-14 * before);
  EXPECT_NEAR(y.ToVector<double>()[0], sum / std::sqrt(60), 1e-14);
  ExpectClose(y, *Dct(*Dct(x, {1}, DctNorm::kOrtho), {0}, DctNorm::kOrtho),
              1e-14);
  ExpectClose(*InverseDct(y, {1, 0}, DctNorm::kOrtho), x, 1e-14);
  // A cosine falls on one place.
  const int64_t n = 12;
  std::vector<double> wave(n);
  for (int64_t j = 0; j < n; ++j) wave[j] = std::cos(M_PI * 3 * (j + 0.5) / n);
  const auto c = Dct(Tensor::FromValues<double>({n}, wave).value(), {0})
                     ->ToVector<double>();
  for (int64_t k = 0; k < n; ++k) EXPECT_NEAR(c[k], k == 3 ? n : 0, 1e-14);
}

TEST(FftTest, SinglePrecisionHasItsOwnRoundingAlone) {
  const Tensor x = Random({5, 60, 2}, 12, DType::kF32);
  const Tensor r = Random({5, 60}, 13, DType::kF32);
  const auto wide = [](const Tensor& t) { return t.To(DType::kF64).value(); };
  const auto expect_rounded = [](const Tensor& got, const Tensor& exact) {
    EXPECT_EQ(got.dtype(), DType::kF32);
    EXPECT_EQ(got.ToVector<float>(),
              exact.To(DType::kF32).value().ToVector<float>());
  };
  expect_rounded(*Fft(x, {1}), *Fft(wide(x), {1}));
  expect_rounded(*InverseFft(x, {0, 1}), *InverseFft(wide(x), {0, 1}));
  expect_rounded(*RealFft(r, {0, 1}), *RealFft(wide(r), {0, 1}));
  expect_rounded(*InverseRealFft(x, {1}, 119),
                 *InverseRealFft(wide(x), {1}, 119));
  expect_rounded(*Dct(r, {1, 0}), *Dct(wide(r), {1, 0}));
  expect_rounded(*InverseDct(r, {1}), *InverseDct(wide(r), {1}));
}

TEST(FftTest, LinesStandForThemselvesAndThreadsChangeNoBit) {
  const Tensor x = Random({50, 24, 2}, 14);
  const Tensor r = Random({50, 24}, 15);
  std::vector<double> first;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    std::vector<double> bits = Fft(x, {0, 1})->ToVector<double>();
    for (const Tensor& more : {*RealFft(r, {1, 0}), *Dct(r, {0, 1})}) {
      const std::vector<double> v = more.ToVector<double>();
      bits.insert(bits.end(), v.begin(), v.end());
    }
    if (threads == 1) first = bits;
    EXPECT_EQ(bits, first);
  }
  // What lies beside a line does not change its bits, nor do strides.
  const Tensor whole = *Fft(x, {1});
  EXPECT_EQ(Fft(x.Slice(0, 7, 40).value(), {1})->ToVector<double>(),
            whole.Slice(0, 7, 40)->ToVector<double>());
  const Tensor turned = r.Permute({1, 0}).value();
  EXPECT_EQ(Dct(turned, {0})->ToVector<double>(),
            Dct(r, {1})->Permute({1, 0})->ToVector<double>());
  // Inputs are left alone.
  EXPECT_EQ(x.ToVector<double>(), Random({50, 24, 2}, 14).ToVector<double>());
}

TEST(FftTest, EmptyTensors) {
  const auto zeros = [](const Shape& shape) {
    return Tensor::Zeros(shape, DType::kF32).value();
  };
  EXPECT_EQ(Fft(zeros({0, 4, 2}), {1})->shape(), Shape({0, 4, 2}));
  EXPECT_EQ(RealFft(zeros({4, 0}), {0})->shape(), Shape({3, 0, 2}));
  EXPECT_EQ(InverseRealFft(zeros({3, 0, 2}), {0}, 5)->shape(), Shape({5, 0}));
  EXPECT_EQ(Dct(zeros({0, 4}), {1})->shape(), Shape({0, 4}));
}

TEST(FftTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const Tensor x = Random({3, 4, 2}, 1);
  EXPECT_THAT(Fft(Tensor(), {0}), invalid("fft: x is not given"));
  EXPECT_THAT(Fft(Tensor::Zeros({4, 2}, DType::kI32).value(), {0}),
              invalid("fft: x is i32 [4, 2], expected f32 or f64"));
  EXPECT_THAT(Fft(Random({4, 3}, 1), {0}),
              invalid("fft: x is f64 [4, 3], expected pairs of real and "
                      "imaginary part, [..., 2]"));
  EXPECT_THAT(InverseFft(Random({2}, 1), {0}),
              invalid("inverse_fft: x is f64 [2], expected pairs"));
  EXPECT_THAT(Fft(x, {}), invalid("fft: axes are {} of x, f64 [3, 4, 2], "
                                  "expected at least one"));
  EXPECT_THAT(Fft(x, {2}), invalid("axes are {2} of x, f64 [3, 4, 2], expected "
                                   "-2 <= axis < 2"));
  EXPECT_THAT(RealFft(x, {0, -4}), invalid("real_fft: axes are {0, -4}"));
  EXPECT_THAT(Dct(x, {1, -2}), invalid("dct: axes are {1, -2} of x, f64 [3, 4, "
                                       "2], expected each at most once"));
  EXPECT_THAT(InverseDct(Tensor::Zeros({2, 0}, DType::kF64).value(), {1}),
              invalid("inverse_dct: axes are {1} of x, f64 [2, 0], expected "
                      "axes of length >= 1"));
  for (const int64_t length : {0, -1, 5, 8}) {
    EXPECT_THAT(
        InverseRealFft(x, {1}, length),
        invalid("inverse_real_fft: length is " + std::to_string(length) +
                ", axis 1 of x, f64 [3, 4, 2], expected a length >= 1 "
                "and length / 2 + 1 places"));
  }
}

}  // namespace
}  // namespace septet
