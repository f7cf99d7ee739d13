// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/elementwise_kernels.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/store_mode.h"

namespace septet {
namespace {

template <typename T>
T ReferenceBinary(BinaryKind kind, T a, T b) {
  using U = std::conditional_t<
      std::is_floating_point<T>::value, T,
      std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>;
  const U ua = static_cast<U>(a);
  const U ub = static_cast<U>(b);
  switch (kind) {
    case BinaryKind::kAdd:
      return static_cast<T>(ua + ub);
    case BinaryKind::kSub:
      return static_cast<T>(ua - ub);
    case BinaryKind::kMul:
      return static_cast<T>(ua * ub);
    case BinaryKind::kDiv:
      return a / b;
    case BinaryKind::kMaximum:
      return a != a ? a : b != b ? b : a >= b ? a : b;
    case BinaryKind::kMinimum:
      return a != a ? a : b != b ? b : a <= b ? a : b;
  }
  return T{0};
}

template <typename T>
bool ReferenceCompare(CompareKind kind, T a, T b) {
  switch (kind) {
    case CompareKind::kEqual:
      return a == b;
    case CompareKind::kNotEqual:
      return a != b;
    case CompareKind::kLess:
      return a < b;
    case CompareKind::kLessEqual:
      return a <= b;
    case CompareKind::kGreater:
      return a > b;
    case CompareKind::kGreaterEqual:
      return a >= b;
  }
  return false;
}

template <typename T>
void FillMixed(TestRandom* random, GuardedArray<T>* x) {
  if constexpr (std::is_floating_point<T>::value) {
    x->FillUniform(random, -10, 10);
    for (int64_t i = 0; i < x->size(); i += 7) {
      const T values[] = {T{0},
                          -T{0},
                          std::numeric_limits<T>::infinity(),
                          -std::numeric_limits<T>::infinity(),
                          std::numeric_limits<T>::quiet_NaN(),
                          std::numeric_limits<T>::denorm_min(),
                          std::numeric_limits<T>::max(),
                          T{1}};
      (*x)[i] = values[random->Below(8)];
    }
  } else {
    for (int64_t i = 0; i < x->size(); ++i) {
      (*x)[i] = static_cast<T>(random->Next());
      if (i % 3 == 0) (*x)[i] = static_cast<T>(random->Below(5));
    }
  }
}

template <typename T>
class ElementwiseTest : public ::testing::Test {
 protected:
  static bool Supports(BinaryKind kind) {
    return std::is_floating_point<T>::value || kind != BinaryKind::kDiv;
  }
};
using AllTypes = ::testing::Types<float, double, int32_t, int64_t>;
TYPED_TEST_SUITE(ElementwiseTest, AllTypes);

TYPED_TEST(ElementwiseTest, BinaryEqualsTheOperatorsAtAllSizesAndAlignments) {
  using T = TypeParam;
  ForEachTarget([] {
    TestRandom random(1);
    for (int64_t n : TestSizes()) {
      for (int64_t misalign = 0; misalign < 3; ++misalign) {
        GuardedArray<T> a(n, misalign), b(n, 2 - misalign), out(n, 1);
        FillMixed(&random, &a);
        FillMixed(&random, &b);
        for (BinaryKind kind : kAllBinaryKinds) {
          if (!TestFixture::Supports(kind)) continue;
          SCOPED_TRACE("kind " + std::to_string(static_cast<int>(kind)) +
                       " n " + std::to_string(n));
          const auto check = [&](T sa, T sb, int64_t i) {
            const T want = ReferenceBinary(kind, sa, sb);
            ASSERT_TRUE(SameBits(out[i], want) ||
                        (want != want && out[i] != out[i]))
                << i << ": " << sa << ", " << sb << " -> " << out[i]
                << ", want " << want;
          };
          BinaryKernel(kind, n, a.data(), b.data(), out.data());
          for (int64_t i = 0; i < n; ++i) check(a[i], b[i], i);
          BinaryScalarAKernel(kind, n, T{3}, b.data(), out.data());
          for (int64_t i = 0; i < n; ++i) check(T{3}, b[i], i);
          BinaryScalarBKernel(kind, n, a.data(), T{3}, out.data());
          for (int64_t i = 0; i < n; ++i) check(a[i], T{3}, i);
          // In place.
          for (int64_t i = 0; i < n; ++i) out[i] = a[i];
          BinaryKernel(kind, n, out.data(), b.data(), out.data());
          for (int64_t i = 0; i < n; ++i) check(a[i], b[i], i);
          for (int64_t i = 0; i < n; ++i) out[i] = b[i];
          BinaryKernel(kind, n, a.data(), out.data(), out.data());
          for (int64_t i = 0; i < n; ++i) check(a[i], b[i], i);
          ASSERT_TRUE(out.GuardsAreIntact());
        }
      }
    }
  });
}

TYPED_TEST(ElementwiseTest, ComparisonsAndWhere) {
  using T = TypeParam;
  ForEachTarget([] {
    TestRandom random(2);
    for (int64_t n : TestSizes()) {
      GuardedArray<T> a(n), b(n, 2), selected(n);
      GuardedArray<uint8_t> out(n, 3);
      FillMixed(&random, &a);
      FillMixed(&random, &b);
      for (int64_t i = 0; i < n; i += 4) b[i] = a[i];
      for (CompareKind kind : kAllCompareKinds) {
        CompareKernel(kind, n, a.data(), b.data(), out.data());
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(out[i], ReferenceCompare(kind, a[i], b[i]) ? 1 : 0)
              << a[i] << " " << b[i];
        }
      }
      for (int64_t i = 0; i < n; ++i) out[i] = random.Below(3);
      WhereKernel(n, out.data(), a.data(), b.data(), selected.data());
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_TRUE(SameBits(selected[i], out[i] != 0 ? a[i] : b[i])) << i;
      }
      ASSERT_TRUE(selected.GuardsAreIntact());
      ASSERT_TRUE(out.GuardsAreIntact());
    }
  });
}

// A random view: shape, and strides into a buffer that holds all of it.
struct View {
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  int64_t offset = 0;       // of the first element
  int64_t buffer_size = 0;  // elements

  int64_t At(const std::vector<int64_t>& index) const {
    int64_t at = offset;
    for (size_t k = 0; k < shape.size(); ++k) at += index[k] * strides[k];
    return at;
  }
};

View RandomView(const std::vector<int64_t>& shape, TestRandom* random) {
  View view;
  view.shape = shape;
  view.strides.resize(shape.size());
  std::vector<size_t> order(shape.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (random->Below(2) == 0) {
    for (size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[random->Below(static_cast<int64_t>(i))]);
    }
  }
  int64_t pitch = 1 + (random->Below(4) == 0 ? 1 : 0);
  for (size_t k = order.size(); k > 0; --k) {
    const size_t axis = order[k - 1];
    const int64_t choice = random->Below(6);
    if (choice == 0) {
      view.strides[axis] = 0;
      continue;
    }
    const int64_t padding = choice == 1 ? 3 : 0;
    view.strides[axis] = choice == 2 ? -pitch : pitch;
    if (choice == 2) view.offset += pitch * (shape[axis] - 1);
    pitch *= shape[axis] + padding;
  }
  view.buffer_size = pitch + 8;
  return view;
}

template <typename Visit>
void ForEachIndex(const std::vector<int64_t>& shape, const Visit& visit) {
  int64_t size = 1;
  for (int64_t extent : shape) size *= extent;
  std::vector<int64_t> index(shape.size());
  for (int64_t flat = 0; flat < size; ++flat) {
    int64_t rest = flat;
    for (size_t k = shape.size(); k > 0; --k) {
      index[k - 1] = rest % shape[k - 1];
      rest /= shape[k - 1];
    }
    visit(flat, index);
  }
}

std::vector<int64_t> RandomShape(TestRandom* random) {
  std::vector<int64_t> shape(static_cast<size_t>(random->Below(6)));
  for (int64_t& extent : shape) {
    const int64_t extents[] = {1, 2, 3, 5, 7, 16, 17};
    extent = extents[random->Below(7)];
  }
  if (random->Below(10) == 0 && !shape.empty()) shape.back() = 600;
  if (random->Below(20) == 0 && !shape.empty()) shape[0] = 0;
  return shape;
}

template <typename T>
int64_t SizeOf(const std::vector<T>& shape) {
  int64_t size = 1;
  for (int64_t extent : shape) size *= extent;
  return size;
}

TYPED_TEST(ElementwiseTest, StridedFunctionsEqualTheContiguousOnes) {
  using T = TypeParam;
  TestRandom random(3);
  for (int trial = 0; trial < 300; ++trial) {
    const std::vector<int64_t> shape = RandomShape(&random);
    const int64_t size = SizeOf(shape);
    if (size > 100000) continue;
    const View va = RandomView(shape, &random);
    const View vb = RandomView(shape, &random);
    const View vc = RandomView(shape, &random);
    GuardedArray<T> a(va.buffer_size), b(vb.buffer_size);
    GuardedArray<uint8_t> c(vc.buffer_size);
    FillMixed(&random, &a);
    FillMixed(&random, &b);
    for (int64_t i = 0; i < c.size(); ++i) c[i] = random.Below(2);
    // The contiguous copies.
    GuardedArray<T> ca(size), cb(size), copied(size), want(size), out(size);
    GuardedArray<uint8_t> cc(size), compared(size), want_compared(size);
    ForEachIndex(shape, [&](int64_t flat, const std::vector<int64_t>& index) {
      ca[flat] = a[va.At(index)];
      cb[flat] = b[vb.At(index)];
      cc[flat] = c[vc.At(index)];
    });
    const T* pa = a.data() + va.offset;
    const T* pb = b.data() + vb.offset;
    CopyStridedKernel(sizeof(T), shape, va.strides, pa, copied.data());
    for (int64_t i = 0; i < size; ++i) {
      ASSERT_TRUE(SameBits(copied[i], ca[i])) << "trial " << trial;
    }
    for (BinaryKind kind : kAllBinaryKinds) {
      if (!TestFixture::Supports(kind)) continue;
      BinaryKernel(kind, size, ca.data(), cb.data(), want.data());
      BinaryStridedKernel(kind, shape, va.strides, vb.strides, pa, pb,
                          out.data());
      for (int64_t i = 0; i < size; ++i) {
        ASSERT_TRUE(SameBits(out[i], want[i]) ||
                    (want[i] != want[i] && out[i] != out[i]))
            << "trial " << trial << " at " << i;
      }
    }
    for (CompareKind kind : kAllCompareKinds) {
      CompareKernel(kind, size, ca.data(), cb.data(), want_compared.data());
      CompareStridedKernel(kind, shape, va.strides, vb.strides, pa, pb,
                           compared.data());
      ASSERT_EQ(compared.ToVector(), want_compared.ToVector());
    }
    WhereKernel(size, cc.data(), ca.data(), cb.data(), want.data());
    WhereStridedKernel(shape, vc.strides, va.strides, vb.strides,
                       c.data() + vc.offset, pa, pb, out.data());
    for (int64_t i = 0; i < size; ++i) {
      ASSERT_TRUE(SameBits(out[i], want[i])) << "trial " << trial;
    }
    if constexpr (std::is_floating_point<T>::value) {
      UnaryKernel(UnaryKind::kTanh, size, ca.data(), want.data());
      UnaryStridedKernel(UnaryKind::kTanh, shape, va.strides, pa, out.data());
      for (int64_t i = 0; i < size; ++i) {
        ASSERT_TRUE(SameBits(out[i], want[i]) || want[i] != want[i]);
      }
    }
    ASSERT_TRUE(out.GuardsAreIntact());
    ASSERT_TRUE(copied.GuardsAreIntact());
    ASSERT_TRUE(compared.GuardsAreIntact());
  }
}

TYPED_TEST(ElementwiseTest, Accumulate) {
  using T = TypeParam;
  std::vector<T> x = {T{1}, T{2}, T{3}};
  std::vector<T> y = {T{10}, T{20}, T{30}};
  AccumulateKernel(3, x.data(), y.data());
  EXPECT_EQ(y, (std::vector<T>{T{11}, T{22}, T{33}}));
}

TEST(CopyStridedTest, TransposesInTilesForEveryElementSize) {
  // [5, 33, 40] from a buffer whose contiguous axis is the first, the middle
  // or the last.
  const std::vector<int64_t> shape = {5, 33, 40};
  const std::vector<std::vector<int64_t>> all_strides = {
      {33 * 40, 40, 1}, {1, 5, 5 * 33}, {33 * 40, 1, 33},
      {40, 200, 1},     {1, 200, 5},    {33, 1, 165}};
  const auto check = [&](auto element) {
    using T = decltype(element);
    std::vector<T> x(5 * 33 * 40), out(x.size());
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i * 2654435761);
    for (const std::vector<int64_t>& strides : all_strides) {
      CopyStridedKernel(sizeof(T), shape, strides, x.data(), out.data());
      ForEachIndex(shape, [&](int64_t flat, const std::vector<int64_t>& index) {
        const int64_t at = index[0] * strides[0] + index[1] * strides[1] +
                           index[2] * strides[2];
        ASSERT_EQ(out[static_cast<size_t>(flat)], x[static_cast<size_t>(at)]);
      });
    }
  };
  check(uint8_t{});
  check(uint16_t{});
  check(uint32_t{});
  check(uint64_t{});
}

TEST(BinaryKernelDeathTest, IntegersDoNotDivide) {
  const int32_t a = 4, b = 2;
  int32_t out;
  EXPECT_DEATH(BinaryKernel(BinaryKind::kDiv, 1, &a, &b, &out),
               "no kernel for binary kind 3 on integers");
}

TEST(BinaryKernelDeathTest, RankIsLimited) {
  const std::vector<int64_t> ones(9, 1);
  const float a = 1;
  float out;
  EXPECT_DEATH(
      BinaryStridedKernel(BinaryKind::kAdd, ones, ones, ones, &a, &a, &out),
      "rank 9 of a strided kernel");
}

// -------------------------------------------------------------------- unary

long double ReferenceUnary(UnaryKind kind, long double x) {
  switch (kind) {
    case UnaryKind::kNeg:
      return -x;
    case UnaryKind::kAbs:
      return std::abs(x);
    case UnaryKind::kSquare:
      return x * x;
    case UnaryKind::kSqrt:
      return std::sqrt(x);
    case UnaryKind::kRsqrt:
      return 1 / std::sqrt(x);
    case UnaryKind::kReciprocal:
      return 1 / x;
    case UnaryKind::kExp:
      return std::exp(x);
    case UnaryKind::kLog:
      return std::log(x);
    case UnaryKind::kLog1p:
      return std::log1p(x);
    case UnaryKind::kExpm1:
      return std::expm1(x);
    case UnaryKind::kSin:
      return std::sin(x);
    case UnaryKind::kCos:
      return std::cos(x);
    case UnaryKind::kTanh:
      return std::tanh(x);
    case UnaryKind::kErf:
      return std::erf(x);
    case UnaryKind::kErfc:
      return std::erfc(x);
    case UnaryKind::kSign:
      return x > 0 ? 1 : x < 0 ? -1 : x;
  }
  return 0;
}

const char* UnaryName(UnaryKind kind) {
  static const char* const kNames[] = {"neg",   "abs",        "square", "sqrt",
                                       "rsqrt", "reciprocal", "exp",    "log",
                                       "log1p", "expm1",      "sin",    "cos",
                                       "tanh",  "erf",        "erfc",   "sign"};
  return kNames[static_cast<int>(kind)];
}

// The bound of each function, in ULP, with and without fused multiply-add.
double MaxUlp(UnaryKind kind, bool fused) {
  switch (kind) {
    case UnaryKind::kNeg:
    case UnaryKind::kAbs:
    case UnaryKind::kSign:
      return 0;
    case UnaryKind::kSquare:
    case UnaryKind::kSqrt:
    case UnaryKind::kReciprocal:
      return 0.5001;  // long double rounds, too
    case UnaryKind::kExp:
    case UnaryKind::kLog:
    case UnaryKind::kLog1p:
    case UnaryKind::kExpm1:
    case UnaryKind::kRsqrt:
      return 2.0;
    case UnaryKind::kSin:
    case UnaryKind::kCos:
    case UnaryKind::kTanh:
    case UnaryKind::kErf:
      return kUnaryMaxUlp;
    case UnaryKind::kErfc:
      return fused ? kErfcMaxUlp : kErfcMaxUlpUnfused;
  }
  return 0;
}

template <typename T>
std::vector<T> UnaryPoints(TestRandom* random) {
  constexpr bool kF32 = std::is_same<T, float>::value;
  const T inf = std::numeric_limits<T>::infinity();
  std::vector<T> points = {T{0},
                           inf,
                           std::numeric_limits<T>::quiet_NaN(),
                           std::numeric_limits<T>::min(),
                           std::numeric_limits<T>::denorm_min(),
                           std::numeric_limits<T>::denorm_min() * 5,
                           std::numeric_limits<T>::max(),
                           std::numeric_limits<T>::epsilon(),
                           std::numeric_limits<T>::epsilon() / 2,
                           T{1},
                           T{2},
                           static_cast<T>(0.5),
                           static_cast<T>(0.65),
                           static_cast<T>(100),
                           static_cast<T>(1e4),
                           static_cast<T>(1e5),
                           static_cast<T>(1.5e5),
                           static_cast<T>(1e10),
                           static_cast<T>(1e30)};
  // Where exp, expm1, erfc and tanh leave their ranges.
  for (double edge :
       {88.0,  88.5,  88.7228, 88.73,   89.0,   87.3,  103.2, 103.97, 104.0,
        104.6, 709.0, 709.7,   709.782, 709.79, 710.4, 745.1, 745.13, 745.2,
        746.0, 747.0, 26.5,    27.2,    27.3,   28.0,  9.19,  10.05,  10.06,
        11.0,  18.7,  19.06,   20.0,    36.7,   37.5}) {
    points.push_back(static_cast<T>(edge));
  }
  for (int k = 1; k < 2000; ++k) {  // beside the zeros of sin and cos
    const T zero = static_cast<T>(k * 1.5707963267948966);
    points.push_back(zero);
    points.push_back(std::nextafter(zero, inf));
    points.push_back(static_cast<T>(random->Below(63661) * 1.5707963267948966));
  }
  for (int k = 0; k < 4000; ++k) {
    points.push_back(static_cast<T>(random->Uniform(0, 1)));
    points.push_back(static_cast<T>(random->Uniform(0, 6)));
    points.push_back(static_cast<T>(random->Uniform(0, kF32 ? 105 : 750)));
    points.push_back(static_cast<T>(random->Uniform(0, 30)));
    points.push_back(static_cast<T>(1 + random->Uniform(-1e-3, 1e-3)));
    points.push_back(static_cast<T>(std::exp2(
        random->Uniform(kF32 ? -149 : -1074, kF32 ? 127.99 : 1023.99))));
    points.push_back(static_cast<T>(std::exp2(random->Uniform(-60, 60))));
  }
  const size_t n = points.size();
  for (size_t i = 0; i < n; ++i) points.push_back(-points[i]);
  return points;
}

template <typename T>
class UnaryTest : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(UnaryTest, FloatTypes);

TYPED_TEST(UnaryTest, WithinTheBoundEverywhere) {
  using T = TypeParam;
  TestRandom random(4);
  const std::vector<T> x = UnaryPoints<T>(&random);
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<T> y(x.size());
  for (UnaryKind kind : kAllUnaryKinds) {
    std::vector<long double> want(x.size());
    for (size_t i = 0; i < x.size(); ++i) want[i] = ReferenceUnary(kind, x[i]);
    ForEachTarget([&] {
      UnaryKernel(kind, n, x.data(), y.data());
      double worst = 0;
      size_t worst_at = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double error = UlpError(y[i], want[i]);
        if (!(error <= worst)) {
          worst = error;
          worst_at = i;
        }
        // The sign of zero.
        if (want[i] == 0) {
          EXPECT_EQ(std::signbit(y[i]), std::signbit(want[i]))
              << UnaryName(kind) << "(" << x[i] << ")";
        }
      }
      this->RecordProperty(UnaryName(kind), std::to_string(worst));
      const bool fused = TargetFusesMultiplyAdd();
      EXPECT_LE(worst, MaxUlp(kind, fused))
          << UnaryName(kind) << "(" << static_cast<double>(x[worst_at])
          << ") = " << y[worst_at] << ", want " << want[worst_at];
    });
  }
}

TYPED_TEST(UnaryTest, BitsDoNotDependOnPositionOrLength) {
  using T = TypeParam;
  ForEachTarget([] {
    TestRandom random(5);
    for (int64_t n : TestSizes()) {
      GuardedArray<T> x(n), y(n, 2), single(1);
      x.FillUniform(&random, -30, 30);
      for (int64_t i = 5; i < n; i += 11) x[i] = static_cast<T>(1e6 + i);
      for (UnaryKind kind : kAllUnaryKinds) {
        UnaryKernel(kind, n, x.data(), y.data());
        ASSERT_TRUE(y.GuardsAreIntact());
        for (int64_t i = 0; i < n; ++i) {
          UnaryKernel(kind, 1, x.data() + i, single.data());
          ASSERT_TRUE(SameBits(y[i], single[0]) ||
                      (y[i] != y[i] && single[0] != single[0]))
              << UnaryName(kind) << "(" << x[i] << ") at " << i << " of " << n;
        }
        GuardedArray<T> in_place(n);
        for (int64_t i = 0; i < n; ++i) in_place[i] = x[i];
        UnaryKernel(kind, n, in_place.data(), in_place.data());
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_TRUE(SameBits(y[i], in_place[i]) || y[i] != y[i]);
        }
      }
    }
  });
}

TYPED_TEST(UnaryTest, ScaleAndAxpyRoundTwiceOnEveryTarget) {
  using T = TypeParam;
  ForEachTarget([] {
    TestRandom random(6);
    for (int64_t n : TestSizes()) {
      GuardedArray<T> x(n), y(n, 2), out(n);
      x.FillUniform(&random, -3, 3);
      y.FillUniform(&random, -3, 3);
      const T a = static_cast<T>(0.3);
      ScaleKernel(n, a, x.data(), out.data());
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(out[i], a * x[i]);
      const std::vector<T> before = y.ToVector();
      AxpyKernel(n, a, x.data(), y.data());
      for (int64_t i = 0; i < n; ++i) {
        const volatile T product = a * x[i];
        ASSERT_EQ(y[i], before[static_cast<size_t>(i)] + product);
      }
      ASSERT_TRUE(y.GuardsAreIntact());
    }
  });
}

TEST(StoreModeTest, StreamingStoresChangeNoBit) {
  ForEachTarget([&] {
    TestRandom random(91);
    for (int64_t n : TestSizes()) {
      GuardedArray<double> a(n), b(n), sum0(n), exp0(n);
      a.FillUniform(&random, -3, 3);
      b.FillUniform(&random, -3, 3);
      BinaryKernel(BinaryKind::kSub, n, a.data(), b.data(), sum0.data());
      UnaryKernel(UnaryKind::kExp, n, a.data(), exp0.data());
      for (const int64_t misalign : {0, 1, 7}) {
        GuardedArray<double> sum(n, misalign), exp(n, misalign);
        BinaryKernel(BinaryKind::kSub, n, a.data(), b.data(), sum.data(),
                     StoreMode::kStreaming);
        UnaryKernel(UnaryKind::kExp, n, a.data(), exp.data(),
                    StoreMode::kStreaming);
        ASSERT_TRUE(sum.GuardsAreIntact() && exp.GuardsAreIntact());
        ASSERT_EQ(sum.ToVector(), sum0.ToVector());
        ASSERT_EQ(exp.ToVector(), exp0.ToVector());
      }
      GuardedArray<int32_t> i(n), j(n);
      for (int64_t k = 0; k < n; ++k) i[k] = static_cast<int32_t>(k);
      BinaryKernel(BinaryKind::kAdd, n, i.data(), i.data(), j.data(),
                   StoreMode::kStreaming);
      for (int64_t k = 0; k < n; ++k) ASSERT_EQ(j[k], 2 * k);
    }
  });
}

}  // namespace
}  // namespace septet
