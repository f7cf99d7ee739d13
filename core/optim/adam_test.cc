// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/adam.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

template <typename T>
Tensor Make(const Shape& shape, const std::vector<T>& values) {
  return *Tensor::FromValues<T>(shape, values);
}

template <typename T>
Tensor Uniform(const Shape& shape, TestRandom* random, double size) {
  std::vector<T> values(shape.num_elements());
  for (T& x : values) x = static_cast<T>(random->Uniform(-size, size));
  return Make<T>(shape, values);
}

// Algorithm 1 (and 2 of AdamW) as the papers write it, in extended precision.
struct NaiveAdam {
  std::vector<long double> p, m, v;
  int t = 0;

  void Step(const std::vector<double>& g, const AdamOptions& o, double lr) {
    ++t;
    m.resize(p.size());
    v.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      const long double gi = g[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * gi;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * gi * gi;
      const long double m_hat =
          m[i] / (1 - std::pow(static_cast<long double>(o.beta1), t));
      const long double v_hat =
          v[i] / (1 - std::pow(static_cast<long double>(o.beta2), t));
      p[i] -= lr * o.weight_decay * p[i];
      p[i] -= lr * m_hat / (std::sqrt(v_hat) + o.eps);
    }
  }
};

template <typename T>
class AdamTypedTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(AdamTypedTest, Types);

TYPED_TEST(AdamTypedTest, AgreesWithThePaperForAllSizes) {
  using T = TypeParam;
  TestRandom random(1);
  for (const int64_t n : TestSizes()) {
    SCOPED_TRACE(n);
    // With and without decay.
    const AdamOptions options{3e-3, 0.8, 0.99, 1e-6, n % 2 == 0 ? 0.0 : 4.0};
    Tensor p = Uniform<T>({n}, &random, 1);
    NaiveAdam naive;
    for (double x : p.ToVector<double>()) naive.p.push_back(x);
    SEPTET_ASSERT_OK_AND_ASSIGN(Adam adam, Adam::Create(options, {p}));
    const Schedule schedule = Schedule::Cosine(options.lr, 8);
    for (int k = 0; k < 10; ++k) {
      // From vanishing to enormous.
      const Tensor g = Uniform<T>({n}, &random, std::pow(10.0, k - 3));
      SEPTET_ASSERT_OK(adam.Step({p}, {g}, schedule(k)));
      naive.Step(g.template ToVector<double>(), options, schedule(k));
    }
    EXPECT_EQ(adam.step(), 10);
    const std::vector<double> got = p.ToVector<double>();
    for (size_t i = 0; i < got.size(); ++i) {
      // Each step rounds |p| <= 2 once and is itself good to some 10 units.
      const double bound = 10 * (2 + 0.02) * std::numeric_limits<T>::epsilon();
      EXPECT_NEAR(got[i], static_cast<double>(naive.p[i]), bound);
    }
  }
}

TYPED_TEST(AdamTypedTest, DecayTakesItsShareOfMaskedParametersOnly) {
  using T = TypeParam;
  const Tensor a = Make<T>({3}, {T(1), T(-2), T(4)});
  const Tensor b = Make<T>({2}, {T(1), T(-0.0)});
  const Tensor zero_a = *Tensor::Zeros({3}, kDTypeOf<T>);
  const Tensor zero_b = *Tensor::Zeros({2}, kDTypeOf<T>);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      Adam adam,
      Adam::Create({0.5, 0.9, 0.999, 1e-8, 0.25}, {a, b}, {true, false}));
  SEPTET_ASSERT_OK(adam.Step({a, b}, {zero_a, zero_b}));
  EXPECT_EQ(a.ToVector<T>(), (std::vector<T>{T(0.875), T(-1.75), T(3.5)}));
  EXPECT_EQ(b.ToVector<T>()[0], T(1));
  // The step's rate scales it; a rate of 0 moves nothing.
  SEPTET_ASSERT_OK(adam.Step({a, b}, {zero_a, zero_b}, 0));
  EXPECT_EQ(a.ToVector<T>()[2], T(3.5));
  SEPTET_ASSERT_OK(adam.Step({a, b}, {zero_a, zero_b}, 1));
  EXPECT_EQ(a.ToVector<T>()[2], T(2.625));
}

TYPED_TEST(AdamTypedTest, FirstStepIsLrInTheGradientsDirection) {
  using T = TypeParam;
  const Tensor p = Make<T>({4}, {T(1), T(1), T(1), T(1)});
  const Tensor g = Make<T>({4}, {T(1e-12), T(-1e6), T(3), T(-1e-3)});
  SEPTET_ASSERT_OK_AND_ASSIGN(Adam adam,
                              Adam::Create({0.25, 0.9, 0.999, /*eps=*/0}, {p}));
  SEPTET_ASSERT_OK(adam.Step({p}, {g}));
  const double eps = 4 * std::numeric_limits<T>::epsilon();
  const std::vector<double> got = p.ToVector<double>();
  EXPECT_NEAR(got[0], 0.75, eps);
  EXPECT_NEAR(got[1], 1.25, eps);
  EXPECT_NEAR(got[2], 0.75, eps);
  EXPECT_NEAR(got[3], 1.25, eps);
}

TYPED_TEST(AdamTypedTest, ZeroGradientMovesOnlyByMomentum) {
  using T = TypeParam;
  const Tensor p = Make<T>({2}, {T(1), T(1)});
  const Tensor zero = Make<T>({2}, {T(0), T(0)});
  SEPTET_ASSERT_OK_AND_ASSIGN(Adam adam, Adam::Create({}, {p}));
  SEPTET_ASSERT_OK(adam.Step({p}, {zero}));
  EXPECT_EQ(p.ToVector<T>(), (std::vector<T>{1, 1}));
  SEPTET_ASSERT_OK(adam.Step({p}, {Make<T>({2}, {T(1), T(0)})}));
  const T after = p.ToVector<T>()[0];
  SEPTET_ASSERT_OK(adam.Step({p}, {zero}));
  EXPECT_LT(p.ToVector<T>()[0], after);
  EXPECT_EQ(p.ToVector<T>()[1], T(1));
}

TYPED_TEST(AdamTypedTest, ZeroLearningRateLeavesParametersAndFillsMoments) {
  using T = TypeParam;
  const Tensor p = Make<T>({1}, {T(1)});
  SEPTET_ASSERT_OK_AND_ASSIGN(Adam adam, Adam::Create({}, {p}));
  SEPTET_ASSERT_OK(adam.Step({p}, {Make<T>({1}, {T(2)})}, 0));
  EXPECT_EQ(p.ToVector<T>()[0], T(1));
  SEPTET_ASSERT_OK_AND_ASSIGN(auto state, adam.State());
  EXPECT_NEAR(state[1].second.template item<double>(), 0.2, 1e-7);
  EXPECT_NEAR(state[2].second.template item<double>(), 0.004, 1e-9);
}

TEST(AdamTest, HugeGradientsDoNotOverflowSingles) {
  const Tensor p = Make<float>({1}, {1.0f});
  SEPTET_ASSERT_OK_AND_ASSIGN(Adam adam,
                              Adam::Create({0.1, 0.9, 0.999, 1e-8}, {p}));
  // v = 1e35, and corrected 1e38.
  SEPTET_ASSERT_OK(adam.Step({p}, {Make<float>({1}, {1e19f})}));
  EXPECT_NEAR(p.item<float>(), 0.9f, 1e-6f);
}

TEST(AdamTest, CorrectionsKeepTheirDigitsForBetasNearOne) {
  // One step with beta2 = 1 - 1e-12: lost digits would show in the step.
  const Tensor p = Make<double>({1}, {0.0});
  SEPTET_ASSERT_OK_AND_ASSIGN(
      Adam adam, Adam::Create({1.0, 1 - 1e-12, 1 - 1e-12, 0}, {p}));
  SEPTET_ASSERT_OK(adam.Step({p}, {Make<double>({1}, {5.0})}));
  EXPECT_NEAR(p.item<double>(), -1.0, 1e-14);
}

// Everything below runs on this: parameters of both dtypes, one empty, one
// over several blocks.
struct Problem {
  std::vector<Tensor> params;
  std::vector<std::vector<Tensor>> grads;  // a step

  explicit Problem(int steps, uint64_t seed = 7) {
    TestRandom random(seed);
    const auto all = [&](double size) {
      return std::vector<Tensor>{Uniform<float>({3, 5}, &random, size),
                                 Uniform<double>({0, 4}, &random, size),
                                 Uniform<double>({40000}, &random, size),
                                 Uniform<float>({}, &random, size),
                                 Uniform<float>({17, 1021}, &random, size)};
    };
    params = all(1);
    for (int k = 0; k < steps; ++k) grads.push_back(all(2));
  }
};

void ExpectSameBits(const std::vector<Tensor>& a,
                    const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    const auto x = a[i].ToVector<double>();
    const auto y = b[i].ToVector<double>();
    ASSERT_EQ(x.size(), y.size());
    for (size_t j = 0; j < x.size(); ++j) {
      ASSERT_TRUE(SameBits(x[j], y[j])) << i << ", " << j;
    }
  }
}

std::vector<Tensor> Train(int steps) {
  Problem problem(steps);
  AdamOptions options;
  options.weight_decay = 0.1;
  const std::vector<bool> decay = {true, true, false, false, true};
  Adam adam = *Adam::Create(options, problem.params, decay);
  for (const auto& grads : problem.grads) {
    SEPTET_EXPECT_OK(adam.Step(problem.params, grads));
  }
  return problem.params;
}

TEST(AdamTest, BitsDependNeitherOnThreadsNorOnInstructionSet) {
  const std::vector<Tensor> expected = Train(3);
  for (const int threads : {2, 5}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    ExpectSameBits(Train(3), expected);
  }
  ForEachTarget([&] { ExpectSameBits(Train(3), expected); });
}

TEST(AdamTest, FusedIsTheSameAsOneByOne) {
  Problem fused(2);
  Problem single(2);
  Adam adam = *Adam::Create({}, fused.params);
  for (const auto& grads : fused.grads) {
    SEPTET_ASSERT_OK(adam.Step(fused.params, grads));
  }
  for (size_t i = 0; i < single.params.size(); ++i) {
    Adam one = *Adam::Create({}, {single.params[i]});
    for (const auto& grads : single.grads) {
      SEPTET_ASSERT_OK(one.Step({single.params[i]}, {grads[i]}));
    }
  }
  ExpectSameBits(fused.params, single.params);
}

TEST(AdamTest, SavedAndRestoredContinuesWithTheSameBits) {
  const std::vector<Tensor> expected = Train(4);
  Problem problem(4);
  AdamOptions options;
  options.weight_decay = 0.1;
  const std::vector<bool> decay = {true, true, false, false, true};
  Adam first = *Adam::Create(options, problem.params, decay);
  for (int k = 0; k < 2; ++k) {
    SEPTET_ASSERT_OK(first.Step(problem.params, problem.grads[k]));
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(auto state, first.State());
  EXPECT_EQ(state.size(), 11u);
  std::swap(state.front(), state.back());
  Adam second = *Adam::Create(options, problem.params, decay);
  SEPTET_ASSERT_OK(second.SetState(state));
  EXPECT_EQ(second.step(), 2);
  // The first one's next step must not reach the second one's moments.
  std::vector<Tensor> others = Problem(0).params;
  SEPTET_ASSERT_OK(first.Step(others, problem.grads[3]));
  for (int k = 2; k < 4; ++k) {
    SEPTET_ASSERT_OK(second.Step(problem.params, problem.grads[k]));
  }
  ExpectSameBits(problem.params, expected);
}

TEST(AdamTest, NoParametersIsNoWork) {
  SEPTET_ASSERT_OK_AND_ASSIGN(Adam adam, Adam::Create({}, {}));
  SEPTET_EXPECT_OK(adam.Step({}, {}));
  EXPECT_EQ(adam.step(), 1);
}

TEST(AdamTest, RefusesOptionsOutOfRange) {
  const auto error = [](AdamOptions options) { return options.Validate(); };
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_THAT(
      error({-1, 0.9, 0.999, 1e-8}),
      StatusIs(kInvalid, HasSubstr("lr is -1, expected a finite lr >= 0")));
  EXPECT_THAT(error({inf, 0.9, 0.999, 1e-8}),
              StatusIs(kInvalid, HasSubstr("lr is inf")));
  EXPECT_THAT(
      error({1, 1, 0.999, 1e-8}),
      StatusIs(kInvalid, HasSubstr("beta1 is 1, expected 0 <= beta1 < 1")));
  EXPECT_THAT(error({1, 0.9, -0.1, 1e-8}),
              StatusIs(kInvalid, HasSubstr("beta2 is -0.1")));
  EXPECT_THAT(error({1, 0.9, std::nan(""), 1e-8}),
              StatusIs(kInvalid, HasSubstr("beta2 is nan")));
  EXPECT_THAT(error({1, 0.9, 0.999, -1e-8}),
              StatusIs(kInvalid, HasSubstr("eps is -1e-08")));
  EXPECT_THAT(
      error({1, 0.9, 0.9, 1e-8, -1}),
      StatusIs(kInvalid, HasSubstr("weight_decay is -1, expected a finite "
                                   "weight_decay >= 0")));
  EXPECT_THAT(error({1, 0.9, 0.9, 1e-8, inf}),
              StatusIs(kInvalid, HasSubstr("weight_decay is inf")));
  const Tensor p = *Tensor::Zeros({2}, DType::kF32);
  EXPECT_THAT(Adam::Create({}, {p, p}, {true}),
              StatusIs(kInvalid, HasSubstr("adam: decay has 1 entries for 2 "
                                           "parameters")));
  EXPECT_THAT(Adam::Create({1, 2, 3, 4}, {}),
              StatusIs(kInvalid, HasSubstr("beta1")));
}

TEST(AdamTest, RefusesTensorsItCannotUpdate) {
  const Tensor f32 = *Tensor::Zeros({2, 3}, DType::kF32);
  const Tensor bf16 = *Tensor::Zeros({2, 3}, DType::kBF16);
  const Tensor transposed = *f32.Permute({1, 0});
  EXPECT_THAT(
      Adam::Create({}, {f32, bf16}),
      StatusIs(
          kInvalid,
          HasSubstr("parameter 1 is bf16 [2, 3], expected dtype f32 or f64")));
  EXPECT_THAT(Adam::Create({}, {transposed}),
              StatusIs(kInvalid, HasSubstr("parameter 0 (f32 [3, 2]) is not "
                                           "contiguous")));
  EXPECT_THAT(Adam::Create({}, {f32, Tensor()}),
              StatusIs(kInvalid, HasSubstr("parameter 1 has no elements")));

  Adam adam = *Adam::Create({}, {f32, f32});
  const Tensor other = *Tensor::Zeros({3, 2}, DType::kF32);
  const Tensor f64 = *Tensor::Zeros({2, 3}, DType::kF64);
  EXPECT_THAT(adam.Step({f32}, {f32}),
              StatusIs(kInvalid, HasSubstr("1 parameters given, expected 2")));
  EXPECT_THAT(adam.Step({f32, f32}, {f32}),
              StatusIs(kInvalid, HasSubstr("1 gradients given, expected 2")));
  EXPECT_THAT(
      adam.Step({f32, f32}, {f32, other}),
      StatusIs(kInvalid,
               HasSubstr("gradient 1 is f32 [3, 2], expected f32 [2, 3]")));
  EXPECT_THAT(
      adam.Step({f32, f64}, {f32, f32}),
      StatusIs(kInvalid, HasSubstr("parameter 1 is f64 [2, 3], expected "
                                   "f32 [2, 3]")));
  EXPECT_THAT(adam.Step({f32, f32}, {Tensor(), f32}),
              StatusIs(kInvalid, HasSubstr("gradient 0 has no elements")));
  EXPECT_THAT(adam.Step({f32, f32}, {f32, transposed}),
              StatusIs(kInvalid, HasSubstr("gradient 1 (f32 [3, 2]) is not")));
  EXPECT_THAT(adam.Step({f32, f32}, {f32, f32}, std::nan("")),
              StatusIs(kInvalid, HasSubstr("lr is nan")));

  const float mapped[6] = {};
  const Tensor read_only = *Tensor::FromExternal(mapped, {2, 3}, DType::kF32,
                                                 /*read_only=*/true, nullptr);
  EXPECT_THAT(adam.Step({f32, read_only}, {f32, f32}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("parameter 1 (f32 [2, 3]) is read-only")));
  EXPECT_EQ(adam.step(), 0);
}

TEST(AdamTest, RefusesAStateThatIsNotItsOwn) {
  const Tensor p = *Tensor::Zeros({2}, DType::kF32);
  Adam adam = *Adam::Create({}, {p});
  const auto good = *adam.State();
  auto state = good;
  state.pop_back();
  EXPECT_THAT(adam.SetState(state),
              StatusIs(kInvalid, HasSubstr("state has no \"v.0\"")));
  state = good;
  state.emplace_back("m.1", p);
  EXPECT_THAT(adam.SetState(state),
              StatusIs(kInvalid, HasSubstr("unknown entry \"m.1\"; there are "
                                           "1 parameters")));
  state = good;
  state.push_back(good[1]);
  EXPECT_THAT(adam.SetState(state),
              StatusIs(kInvalid, HasSubstr("has \"m.0\" twice")));
  state = good;
  state[1].second = *Tensor::Zeros({3}, DType::kF32);
  EXPECT_THAT(
      adam.SetState(state),
      StatusIs(kInvalid, HasSubstr("\"m.0\" is f32 [3], expected f32 [2]")));
  state = good;
  state[0].second = *Tensor::Full({}, -1, DType::kI64);
  EXPECT_THAT(adam.SetState(state),
              StatusIs(kInvalid, HasSubstr("\"step\" is -1, expected >= 0")));
  state[0].second = *Tensor::Full({}, 1, DType::kF32);
  EXPECT_THAT(
      adam.SetState(state),
      StatusIs(kInvalid, HasSubstr("\"step\" is f32 [], expected i64 []")));
  EXPECT_EQ(adam.step(), 0);
}

}  // namespace
}  // namespace septet
