// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/activation_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/store_mode.h"

namespace septet {
namespace {

// Values and derivatives at tails, at 0 and near it, from an independent
// computation in float64.
constexpr double kGoldenX[] = {-40.0,
                               -8.0,
                               -3.0,
                               -1.5,
                               -1.0,
                               -0.5,
                               -0.001,
                               0.0,
                               0.001,
                               0.25,
                               1.0,
                               2.0,
                               3.141592653589793,
                               6.0,
                               40.0};
struct Golden {
  ActivationKind kind;
  double value[15];
  double derivative[15];
};
constexpr Golden kGolden[] = {
    {ActivationKind::kRelu,
     {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.001, 0.25, 1.0, 2.0,
      3.141592653589793, 6.0, 40.0},
     {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0,
      1.0}},
    {ActivationKind::kLeakyRelu,
     {-0.4, -0.08, -0.03, -0.015, -0.01, -0.005, -1e-05, 0.0, 0.001, 0.25, 1.0,
      2.0, 3.141592653589793, 6.0, 40.0},
     {0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 1.0, 1.0, 1.0, 1.0, 1.0,
      1.0, 1.0}},
    {ActivationKind::kGelu,
     {-0.0, -4.976768459417456e-15, -0.004049694094890287, -0.10021080190328713,
      -0.15865525393145707, -0.15426876936299347, -0.000499601057786089, 0.0,
      0.000500398942213911, 0.14967658142073093, 0.8413447460685429,
      1.9544997361036416, 3.138953218860524, 5.999999994080474, 40.0},
     {0.0, -3.9796072610868236e-14, -0.011945647204183937, -0.12746919222997954,
      -0.08331547058768632, 0.1325048753438372, 0.4992021157051586, 0.5,
      0.5007978842948414, 0.695373354883636, 1.0833154705876864,
      1.085231801078197, 1.008173530915518, 1.0000000354687093, 1.0}},
    {ActivationKind::kGeluTanh,
     {-0.0, -0.0, -0.0036373920817729943, -0.10042842301976707,
      -0.1588080093917233, -0.15428599017485606, -0.000499601057786418, 0.0,
      0.000500398942213582, 0.149675350701685, 0.8411919906082768,
      1.954597694087775, 3.139308366307892, 5.9999999999156035, 40.0},
     {0.0, 0.0, -0.011584166630969651, -0.12771079315143308,
      -0.08296408384578258, 0.13263009646535764, 0.499202115706475, 0.5,
      0.500797884293525, 0.6953540951510604, 1.0829640838457826,
      1.0860992566236183, 1.0077380098482542, 1.0000000007709977, 1.0}},
    {ActivationKind::kSwish,
     {-1.6993417021166355e-16, -0.002682801043731825, -0.14227761953270035,
      -0.2736382857095345, -0.2689414213699951, -0.1887703343990727,
      -0.0004997500000208334, 0.0, 0.0005002499999791667, 0.14054412522144952,
      0.7310585786300049, 1.7615941559557646, 3.0114558467724106,
      5.985164261060192, 40.0},
     {-1.6568581595637197e-16, -0.0023465512355853157, -0.08810410601516963,
      -0.04129415429914293, 0.07232948812851325, 0.2600388126973482,
      0.4995000000833333, 0.5, 0.5004999999166666, 0.6237100215701976,
      0.9276705118714867, 1.0907842487848955, 1.0833222094067498,
      1.0123264325915249, 1.0}},
    {ActivationKind::kSelu,
     {-1.7580993408473766, -1.7575095642223824, -1.6705687287671118,
      -1.3658143533672527, -1.1113307378125625, -0.6917581878028713,
      -0.0017572205841202171, 0.0, 0.0010507009873554805, 0.2626752468388701,
      1.0507009873554805, 2.101401974710961, 3.3008745029955193,
      6.304205924132883, 42.028039494219215},
     {7.46902881591429e-18, 0.0005897766249943349, 0.08753061208026487,
      0.392284987480124, 0.646768603034814, 1.0663411530445053,
      1.7563421202632563, 1.7580993408473766, 1.0507009873554805,
      1.0507009873554805, 1.0507009873554805, 1.0507009873554805,
      1.0507009873554805, 1.0507009873554805, 1.0507009873554805}},
    {ActivationKind::kElu,
     {-1.0, -0.9996645373720975, -0.950212931632136, -0.7768698398515702,
      -0.6321205588285577, -0.3934693402873666, -0.000999500166624978, 0.0,
      0.001, 0.25, 1.0, 2.0, 3.141592653589793, 6.0, 40.0},
     {4.248354255291589e-18, 0.00033546262790251185, 0.049787068367863944,
      0.22313016014842982, 0.36787944117144233, 0.6065306597126334,
      0.999000499833375, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0}},
    {ActivationKind::kSoftplus,
     {0.0, 0.0003354063728956624, 0.048587351573741965, 0.20141327798275246,
      0.31326168751822286, 0.4740769841801067, 0.6926473055599401,
      0.6931471805599453, 0.6936473055599401, 0.8259394198788437,
      1.3132616875182228, 2.1269280110429727, 3.1838989075849957,
      6.00247568513773, 40.0},
     {4.248354255291589e-18, 0.0003353501304664781, 0.04742587317756678,
      0.18242552380635635, 0.2689414213699951, 0.3775406687981454,
      0.4997500000208333, 0.5, 0.5002499999791666, 0.5621765008857981,
      0.7310585786300049, 0.8807970779778823, 0.9585761678336371,
      0.9975273768433653, 1.0}},
    {ActivationKind::kSigmoid,
     {4.248354255291589e-18, 0.0003353501304664781, 0.04742587317756678,
      0.18242552380635635, 0.2689414213699951, 0.3775406687981454,
      0.4997500000208333, 0.5, 0.5002499999791666, 0.5621765008857981,
      0.7310585786300049, 0.8807970779778823, 0.9585761678336371,
      0.9975273768433653, 1.0},
     {4.248354255291589e-18, 0.00033523767075647424, 0.04517665973091214,
      0.14914645207033286, 0.19661193324148185, 0.2350037122015945,
      0.24999993750001046, 0.25, 0.24999993750001043, 0.24613408273759835,
      0.19661193324148185, 0.10499358540350662, 0.03970789829501591,
      0.002466509291359931, 0.0}},
    {ActivationKind::kTanh,
     {-1.0, -0.9999997749296758, -0.9950547536867305, -0.9051482536448664,
      -0.7615941559557649, -0.46211715726000974, -0.0009999996666668, 0.0,
      0.0009999996666668, 0.24491866240370913, 0.7615941559557649,
      0.9640275800758169, 0.99627207622075, 0.9999877116507956, 1.0},
     {0.0, 4.5014059765485253e-07, 0.009866037165440166, 0.1807066389236486,
      0.41997434161402614, 0.7864477329659274, 0.9999990000006667, 1.0,
      0.9999990000006667, 0.940014848806378, 0.41997434161402614,
      0.07065082485316443, 0.007441950142796141, 2.4576547405302974e-05, 0.0}},
    {ActivationKind::kGaussian,
     {0.0, 1.2664165549094176e-14, 0.011108996538242306, 0.32465246735834974,
      0.6065306597126334, 0.8824969025845955, 0.999999500000125, 1.0,
      0.999999500000125, 0.9692332344763441, 0.6065306597126334,
      0.1353352832366127, 0.007191883355826368, 1.522997974471263e-08, 0.0},
     {0.0, 1.013133243927534e-13, 0.033326989614726917, 0.4869787010375246,
      0.6065306597126334, 0.4412484512922977, 0.000999999500000125, -0.0,
      -0.000999999500000125, -0.24230830861908603, -0.6065306597126334,
      -0.2706705664732254, -0.022593967916138824, -9.137987846827578e-08,
      -0.0}},
    {ActivationKind::kSin,
     {-0.7451131604793488, -0.9893582466233818, -0.1411200080598672,
      -0.9974949866040544, -0.8414709848078965, -0.479425538604203,
      -0.0009999998333333417, 0.0, 0.0009999998333333417, 0.24740395925452294,
      0.8414709848078965, 0.9092974268256817, 1.2246467991473532e-16,
      -0.27941549819892586, 0.7451131604793488},
     {-0.6669380616522619, -0.14550003380861354, -0.9899924966004454,
      0.0707372016677029, 0.5403023058681398, 0.8775825618903728,
      0.9999995000000417, 1.0, 0.9999995000000417, 0.9689124217106447,
      0.5403023058681398, -0.4161468365471424, -1.0, 0.960170286650366,
      -0.6669380616522619}},
    {ActivationKind::kIdentity,
     {-40.0, -8.0, -3.0, -1.5, -1.0, -0.5, -0.001, 0.0, 0.001, 0.25, 1.0, 2.0,
      3.141592653589793, 6.0, 40.0},
     {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0,
      1.0}},
};

template <typename T>
class ActivationTest : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ActivationTest, FloatTypes);

TYPED_TEST(ActivationTest, GoldenValues) {
  using T = TypeParam;
  const double tolerance = std::is_same<T, float>::value ? 1e-5 : 1e-9;
  constexpr int64_t kCount = 15;
  std::vector<T> x(std::begin(kGoldenX), std::end(kGoldenX));
  ForEachTarget([&] {
    size_t seen = 0;
    for (const Golden& golden : kGolden) {
      ++seen;
      std::vector<T> y(kCount), d(kCount);
      ActivationForward(golden.kind, kCount, x.data(), y.data());
      ActivationDerivative(golden.kind, kCount, x.data(), d.data());
      for (size_t i = 0; i < kCount; ++i) {
        EXPECT_NEAR(y[i], golden.value[i],
                    tolerance + tolerance * std::abs(golden.value[i]))
            << ActivationName(golden.kind) << "(" << x[i] << ")";
        EXPECT_NEAR(d[i], golden.derivative[i],
                    tolerance + tolerance * std::abs(golden.derivative[i]))
            << ActivationName(golden.kind) << "'(" << x[i] << ")";
      }
    }
    EXPECT_EQ(seen, std::size(kAllActivationKinds));
  });
}

long double Sigmoid(long double x) { return 1 / (1 + std::exp(-x)); }

// The definitions, in long double.
long double Value(ActivationKind kind, long double x) {
  const long double lambda = 1.0507009873554805L;
  const long double a = 1.6732632423543772L;
  const long double c = std::sqrt(2 / std::acos(-1.0L));
  switch (kind) {
    case ActivationKind::kRelu:
      return x > 0 ? x : 0;
    case ActivationKind::kLeakyRelu:
      return x > 0 ? x : 0.01L * x;
    case ActivationKind::kGelu:
      return 0.5L * x * std::erfc(-x / std::sqrt(2.0L));
    case ActivationKind::kGeluTanh:
      // 0.5 (1 + tanh w) = sigmoid(2 w)
      return x * Sigmoid(2 * c * (x + 0.044715L * x * x * x));
    case ActivationKind::kSwish:
      return x * Sigmoid(x);
    case ActivationKind::kSelu:
      return x > 0 ? lambda * x : lambda * a * std::expm1(x);
    case ActivationKind::kElu:
      return x > 0 ? x : std::expm1(x);
    case ActivationKind::kSoftplus:
      return std::max(x, 0.0L) + std::log1p(std::exp(-std::abs(x)));
    case ActivationKind::kSigmoid:
      return Sigmoid(x);
    case ActivationKind::kTanh:
      return std::tanh(x);
    case ActivationKind::kGaussian:
      return std::exp(-x * x / 2);
    case ActivationKind::kSin:
      return std::sin(x);
    case ActivationKind::kIdentity:
      return x;
  }
  return 0;
}

long double Derivative(ActivationKind kind, long double x) {
  const long double lambda = 1.0507009873554805L;
  const long double a = 1.6732632423543772L;
  const long double pi = std::acos(-1.0L);
  const long double c = std::sqrt(2 / pi);
  switch (kind) {
    case ActivationKind::kRelu:
      return x > 0 ? 1 : 0;
    case ActivationKind::kLeakyRelu:
      return x > 0 ? 1 : 0.01L;
    case ActivationKind::kGelu:
      return 0.5L * std::erfc(-x / std::sqrt(2.0L)) +
             x * std::exp(-x * x / 2) / std::sqrt(2 * pi);
    case ActivationKind::kGeluTanh: {
      const long double w = 2 * c * (x + 0.044715L * x * x * x);
      const long double dw = 2 * c * (1 + 3 * 0.044715L * x * x);
      return Sigmoid(w) * (1 + x * dw * Sigmoid(-w));
    }
    case ActivationKind::kSwish:
      return Sigmoid(x) * (1 + x * Sigmoid(-x));
    case ActivationKind::kSelu:
      return x > 0 ? lambda : lambda * a * std::exp(x);
    case ActivationKind::kElu:
      return x > 0 ? 1 : std::exp(x);
    case ActivationKind::kSoftplus:
      return Sigmoid(x);
    case ActivationKind::kSigmoid:
      return Sigmoid(x) * Sigmoid(-x);
    case ActivationKind::kTanh:
      return 4 * Sigmoid(2 * x) * Sigmoid(-2 * x);
    case ActivationKind::kGaussian:
      return -x * std::exp(-x * x / 2);
    case ActivationKind::kSin:
      return std::cos(x);
    case ActivationKind::kIdentity:
      return 1;
  }
  return 0;
}

template <typename T>
std::vector<T> Points(TestRandom* random) {
  std::vector<T> points;
  for (int k = 0; k < 6000; ++k) {
    points.push_back(static_cast<T>(random->Uniform(-3, 3)));
    points.push_back(static_cast<T>(random->Uniform(-45, 45)));
    points.push_back(static_cast<T>(random->Uniform(-800, 800)));
    points.push_back(static_cast<T>(std::exp2(random->Uniform(-100, 0)) *
                                    (k % 2 == 0 ? 1 : -1)));
  }
  for (double x : {0.0, -0.0, 1e6, -1e6, 1e30, -1e30, 12.0, -12.0, 24.0, -24.0,
                   0.41421356, 104.0, -104.0, 745.2, -745.2}) {
    points.push_back(static_cast<T>(x));
  }
  return points;
}

TYPED_TEST(ActivationTest, RelativeAccuracyIntoTheTails) {
  using T = TypeParam;
  constexpr long double kEpsilon = std::numeric_limits<T>::epsilon();
  TestRandom random(11);
  const std::vector<T> x = Points<T>(&random);
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<T> y(x.size()), d(x.size());
  for (ActivationKind kind : kAllActivationKinds) {
    std::vector<long double> value(x.size()), derivative(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      value[i] = Value(kind, x[i]);
      derivative[i] = Derivative(kind, x[i]);
    }
    ForEachTarget([&] {
      ActivationForward(kind, n, x.data(), y.data());
      ActivationDerivative(kind, n, x.data(), d.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const long double magnitude = std::abs(static_cast<long double>(x[i]));
        // A rounding of the argument of an exponential, w, is an error of
        // w eps: gelu_tanh's w is rounded (|w| grows with |x|^3), the others'
        // exponents are exact. A product with x in the subnormal range scales
        // the spacing there by x.
        const long double w =
            kind == ActivationKind::kGeluTanh
                ? 1.6L *
                      (magnitude + 0.0447L * magnitude * magnitude * magnitude)
                : 0;
        const long double smallest =
            4 * (1 + magnitude) * std::numeric_limits<T>::denorm_min();
        const long double relative = (8 + 2 * std::min(w, 800.0L)) * kEpsilon;
        ASSERT_LE(std::abs(y[i] - value[i]),
                  relative * std::abs(value[i]) + smallest)
            << ActivationName(kind) << "(" << x[i] << ") = " << y[i]
            << ", want " << value[i];
        // Terms of order 1 cancel at the zero of a derivative.
        const long double absolute = x[i] > -4 && x[i] < 0 ? 4 * kEpsilon : 0;
        ASSERT_LE(std::abs(d[i] - derivative[i]),
                  4 * relative * std::abs(derivative[i]) + absolute +
                      (1 + std::min(w, 800.0L)) * smallest)
            << ActivationName(kind) << "'(" << x[i] << ") = " << d[i]
            << ", want " << derivative[i];
      }
    });
  }
}

TEST(ActivationGradientTest, DerivativesAreTheLimitsOfDifferences) {
  TestRandom random(12);
  const int64_t n = 500;
  const double h = 1e-5;
  std::vector<double> x(n), low(n), high(n), y_low(n), y_high(n), d(n);
  for (size_t k = 0; k < x.size(); ++k) {
    x[k] = random.Uniform(-6, 6);
    if (std::abs(x[k]) < 2 * h) x[k] = 1;  // not across a kink
    low[k] = x[k] - h;
    high[k] = x[k] + h;
  }
  for (ActivationKind kind : kAllActivationKinds) {
    ActivationForward(kind, n, low.data(), y_low.data());
    ActivationForward(kind, n, high.data(), y_high.data());
    ActivationDerivative(kind, n, x.data(), d.data());
    for (size_t k = 0; k < x.size(); ++k) {
      // Truncation h^2 / 6 times a third derivative of at most 2, and rounding
      // eps |phi| / h.
      EXPECT_NEAR(d[k], (y_high[k] - y_low[k]) / (high[k] - low[k]), 3e-10)
          << ActivationName(kind) << " at " << x[k];
    }
  }
}

TYPED_TEST(ActivationTest, LeftBranchAtZero) {
  using T = TypeParam;
  ForEachTarget([] {
    for (T zero : {T{0}, -T{0}}) {
      const auto slope = [zero](ActivationKind kind) {
        T d;
        ActivationDerivative(kind, 1, &zero, &d);
        return d;
      };
      EXPECT_EQ(slope(ActivationKind::kRelu), T{0});
      EXPECT_EQ(slope(ActivationKind::kLeakyRelu), static_cast<T>(0.01));
      EXPECT_EQ(slope(ActivationKind::kSelu),
                static_cast<T>(1.0507009873554805 * 1.6732632423543772));
      EXPECT_EQ(slope(ActivationKind::kElu), T{1});
    }
  });
}

TYPED_TEST(ActivationTest, NonFiniteArguments) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  const T nan = std::numeric_limits<T>::quiet_NaN();
  ForEachTarget([&] {
    for (ActivationKind kind : kAllActivationKinds) {
      SCOPED_TRACE(std::string(ActivationName(kind)));
      T y;
      ActivationForward(kind, 1, &nan, &y);
      EXPECT_TRUE(std::isnan(y));
      const T ends[] = {-inf, inf};
      const T large[] = {T{-1000}, T{1000}};
      T at_inf[2], at_large[2];
      ActivationDerivative(kind, 2, ends, at_inf);
      ActivationDerivative(kind, 2, large, at_large);
      if (kind == ActivationKind::kSin) {
        EXPECT_TRUE(std::isnan(at_inf[0]) && std::isnan(at_inf[1]));
        continue;
      }
      EXPECT_EQ(at_inf[0], at_large[0]);
      EXPECT_EQ(at_inf[1], at_large[1]);
      ActivationForward(kind, 1, &inf, &y);
      EXPECT_EQ(y, kind == ActivationKind::kGaussian  ? T{0}
                   : kind == ActivationKind::kSigmoid ? T{1}
                   : kind == ActivationKind::kTanh    ? T{1}
                                                      : inf);
    }
  });
}

TYPED_TEST(ActivationTest, AllSizesAlignmentsAndInPlace) {
  using T = TypeParam;
  ForEachTarget([] {
    TestRandom random(13);
    for (int64_t n : TestSizes()) {
      for (int64_t misalign = 0; misalign < 2; ++misalign) {
        GuardedArray<T> x(n, misalign), dy(n, 1 - misalign), y(n, 2), dx(n, 3),
            d(n), single(1);
        x.FillUniform(&random, -5, 5);
        dy.FillUniform(&random, -2, 2);
        for (ActivationKind kind : kAllActivationKinds) {
          ActivationForward(kind, n, x.data(), y.data());
          ActivationBackward(kind, n, x.data(), dy.data(), dx.data());
          ActivationDerivative(kind, n, x.data(), d.data());
          for (int64_t i = 0; i < n; ++i) {
            ActivationForward(kind, 1, x.data() + i, single.data());
            ASSERT_TRUE(SameBits(y[i], single[0]));
            ASSERT_EQ(dx[i], dy[i] * d[i]) << ActivationName(kind);
          }
          GuardedArray<T> in_place(n), in_place_dy(n);
          for (int64_t i = 0; i < n; ++i) in_place[i] = x[i];
          ActivationBackward(kind, n, in_place.data(), dy.data(),
                             in_place.data());
          ASSERT_EQ(in_place.ToVector(), dx.ToVector());
          for (int64_t i = 0; i < n; ++i) in_place_dy[i] = dy[i];
          ActivationBackward(kind, n, x.data(), in_place_dy.data(),
                             in_place_dy.data());
          ASSERT_EQ(in_place_dy.ToVector(), dx.ToVector());
          ASSERT_TRUE(y.GuardsAreIntact() && dx.GuardsAreIntact() &&
                      d.GuardsAreIntact());
        }
      }
    }
  });
}

TEST(ActivationStoreTest, StreamingStoresChangeNoBit) {
  ForEachTarget([&] {
    TestRandom random(29);
    for (const ActivationKind kind :
         {ActivationKind::kRelu, ActivationKind::kGelu}) {
      for (int64_t n : TestSizes()) {
        GuardedArray<float> x(n), dy(n), y0(n), dx0(n);
        x.FillUniform(&random, -3, 3);
        dy.FillUniform(&random, -1, 1);
        ActivationForward(kind, n, x.data(), y0.data());
        ActivationBackward(kind, n, x.data(), dy.data(), dx0.data());
        for (const int64_t misalign : {0, 1, 15}) {
          GuardedArray<float> y(n, misalign), dx(n, misalign);
          ActivationForward(kind, n, x.data(), y.data(), StoreMode::kStreaming);
          ActivationBackward(kind, n, x.data(), dy.data(), dx.data(),
                             StoreMode::kStreaming);
          ASSERT_TRUE(y.GuardsAreIntact() && dx.GuardsAreIntact());
          ASSERT_EQ(y.ToVector(), y0.ToVector());
          ASSERT_EQ(dx.ToVector(), dx0.ToVector());
        }
      }
    }
  });
}

}  // namespace
}  // namespace septet
