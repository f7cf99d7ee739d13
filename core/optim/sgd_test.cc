// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/sgd.h"

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

// PyTorch's loop, statement by statement, in extended precision; with
// start_from_zero the buffer is there from the beginning.
struct NaiveSgd {
  std::vector<long double> p, buffer;
  bool has_buffer = false;

  void Step(const std::vector<double>& grad, const SgdOptions& o, double lr) {
    if (o.start_from_zero && !has_buffer) {
      buffer.assign(p.size(), 0);
      has_buffer = true;
    }
    buffer.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      long double d_p = grad[i];
      if (o.decay_kind == SgdDecay::kGradient) d_p += o.weight_decay * p[i];
      if (o.momentum != 0) {
        if (!has_buffer) {
          buffer[i] = d_p;
        } else {
          buffer[i] = o.momentum * buffer[i] + (1 - o.dampening) * d_p;
        }
        d_p = o.nesterov ? d_p + o.momentum * buffer[i] : buffer[i];
      }
      if (o.decay_kind == SgdDecay::kDecoupled) {
        p[i] *= 1 - static_cast<long double>(lr) * o.weight_decay;
      }
      if (o.decay_kind == SgdDecay::kUnscaled) {
        p[i] *= 1 - static_cast<long double>(o.weight_decay);
      }
      p[i] -= lr * d_p;
    }
    has_buffer = true;
  }
};

std::vector<SgdOptions> Variants() {
  std::vector<SgdOptions> all;
  for (const SgdDecay kind :
       {SgdDecay::kGradient, SgdDecay::kDecoupled, SgdDecay::kUnscaled}) {
    for (const double weight_decay : {0.0, 0.125}) {
      SgdOptions options;
      options.lr = 0.1;
      options.decay_kind = kind;
      options.weight_decay = weight_decay;
      all.push_back(options);
      options.momentum = 0.9;
      all.push_back(options);
      options.nesterov = true;
      all.push_back(options);
      options.nesterov = false;
      options.dampening = 0.5;
      all.push_back(options);
      options.dampening = 0.9;
      options.start_from_zero = true;
      all.push_back(options);
    }
  }
  return all;
}

template <typename T>
class SgdTypedTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(SgdTypedTest, Types);

TYPED_TEST(SgdTypedTest, AgreesWithPyTorchsLoopInAllVariantsAndSizes) {
  using T = TypeParam;
  TestRandom random(1);
  for (const SgdOptions& options : Variants()) {
    for (const int64_t n : {1, 7, 16, 33, 64, 127}) {
      Tensor p = Uniform<T>({n}, &random, 1);
      NaiveSgd naive;
      for (double x : p.ToVector<double>()) naive.p.push_back(x);
      SEPTET_ASSERT_OK_AND_ASSIGN(Sgd sgd, Sgd::Create(options, {p}));
      for (int k = 0; k < 6; ++k) {
        const Tensor g = Uniform<T>({n}, &random, 1);
        const double lr = 0.1 / (k + 1);
        SEPTET_ASSERT_OK(sgd.Step({p}, {g}, lr));
        naive.Step(g.template ToVector<double>(), options, lr);
      }
      EXPECT_EQ(sgd.step(), 6);
      const std::vector<double> got = p.template ToVector<double>();
      for (size_t i = 0; i < got.size(); ++i) {
        // |p| <= 3, |lr u| <= 1: some four roundings of either a step.
        EXPECT_NEAR(got[i], static_cast<double>(naive.p[i]),
                    6 * 8 * 0.5 * std::numeric_limits<T>::epsilon());
      }
    }
  }
}

TYPED_TEST(SgdTypedTest, FirstMomentumIsTheGradientUnlessFromZero) {
  using T = TypeParam;
  SgdOptions options;
  options.lr = 1;
  options.momentum = options.dampening = 0.5;
  for (const bool from_zero : {false, true}) {
    options.start_from_zero = from_zero;
    const Tensor p = Make<T>({1}, {T(1)});
    const Tensor g = Make<T>({1}, {T(0.25)});
    SEPTET_ASSERT_OK_AND_ASSIGN(Sgd sgd, Sgd::Create(options, {p}));
    SEPTET_ASSERT_OK(sgd.Step({p}, {g}));
    EXPECT_EQ(p.ToVector<T>()[0], from_zero ? T(0.875) : T(0.75));
  }
}

TYPED_TEST(SgdTypedTest, DecayIsOfMaskedParametersOnly) {
  using T = TypeParam;
  for (const auto& [kind, want] : {std::pair(SgdDecay::kGradient, T(0.875)),
                                   std::pair(SgdDecay::kDecoupled, T(0.875)),
                                   std::pair(SgdDecay::kUnscaled, T(0.75))}) {
    SgdOptions options;
    options.lr = 0.5;
    options.weight_decay = 0.25;
    options.decay_kind = kind;
    const Tensor a = Make<T>({2}, {T(1), T(-1)});
    const Tensor b = Make<T>({1}, {T(1)});
    SEPTET_ASSERT_OK_AND_ASSIGN(Sgd sgd,
                                Sgd::Create(options, {a, b}, {true, false}));
    SEPTET_ASSERT_OK(
        sgd.Step({a, b}, {Make<T>({2}, {0, 0}), Make<T>({1}, {0})}));
    EXPECT_EQ(a.ToVector<T>(), (std::vector<T>{want, -want}));
    EXPECT_EQ(b.ToVector<T>()[0], T(1));
  }
}

// Parameters of both dtypes, one empty, one over several blocks.
struct Problem {
  std::vector<Tensor> params;
  std::vector<std::vector<Tensor>> grads;  // a step
  std::vector<bool> decay = {true, true, false, false, true};

  explicit Problem(int steps) {
    TestRandom random(7);
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

SgdOptions Nesterov() {
  SgdOptions options;
  options.lr = 0.03;
  options.momentum = 0.9;
  options.nesterov = true;
  options.weight_decay = 0.01;
  return options;
}

std::vector<Tensor> Train(int steps, const SgdOptions& options) {
  Problem problem(steps);
  Sgd sgd = *Sgd::Create(options, problem.params, problem.decay);
  for (const auto& grads : problem.grads) {
    SEPTET_EXPECT_OK(sgd.Step(problem.params, grads));
  }
  return problem.params;
}

TEST(SgdTest, BitsDependNeitherOnThreadsNorOnInstructionSet) {
  SgdOptions averaged;
  averaged.momentum = averaged.dampening = 0.9;
  averaged.start_from_zero = true;
  averaged.weight_decay = 0.001;
  averaged.decay_kind = SgdDecay::kUnscaled;
  for (const SgdOptions& options : {SgdOptions(), Nesterov(), averaged}) {
    const std::vector<Tensor> expected = Train(3, options);
    for (const int threads : {2, 3}) {
      ThreadPool pool(threads);
      ScopedThreadPool scope(&pool);
      ExpectSameBits(Train(3, options), expected);
    }
    ForEachTarget([&] { ExpectSameBits(Train(3, options), expected); });
  }
}

TEST(SgdTest, SavedAndRestoredContinuesWithTheSameBits) {
  // With dampening the first step is another than the rest: the number of
  // steps is part of the state.
  SgdOptions options = Nesterov();
  options.nesterov = false;
  options.dampening = 0.3;
  const std::vector<Tensor> expected = Train(4, options);
  for (const int saved_at : {0, 2}) {
    Problem problem(4);
    Sgd first = *Sgd::Create(options, problem.params, problem.decay);
    for (int k = 0; k < saved_at; ++k) {
      SEPTET_ASSERT_OK(first.Step(problem.params, problem.grads[k]));
    }
    SEPTET_ASSERT_OK_AND_ASSIGN(auto state, first.State());
    EXPECT_EQ(state.size(), 6u);
    std::swap(state.front(), state.back());
    Sgd second = *Sgd::Create(options, problem.params, problem.decay);
    SEPTET_ASSERT_OK(second.SetState(state));
    EXPECT_EQ(second.step(), saved_at);
    // The first one's next step must not reach the second one's momentum.
    std::vector<Tensor> others = Problem(0).params;
    SEPTET_ASSERT_OK(first.Step(others, problem.grads[3]));
    for (int k = saved_at; k < 4; ++k) {
      SEPTET_ASSERT_OK(second.Step(problem.params, problem.grads[k]));
    }
    ExpectSameBits(problem.params, expected);
  }
}

TEST(SgdTest, WithoutMomentumTheStateIsTheNumberOfSteps) {
  const Tensor p = *Tensor::Zeros({2}, DType::kF32);
  Sgd sgd = *Sgd::Create({}, {p});
  SEPTET_ASSERT_OK(sgd.Step({p}, {p}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto state, sgd.State());
  ASSERT_EQ(state.size(), 1u);
  EXPECT_EQ(state[0].first, "step");
  EXPECT_EQ(state[0].second.item<int64_t>(), 1);
}

TEST(SgdTest, NoParametersIsNoWork) {
  SEPTET_ASSERT_OK_AND_ASSIGN(Sgd sgd, Sgd::Create({}, {}));
  SEPTET_EXPECT_OK(sgd.Step({}, {}));
  EXPECT_EQ(sgd.step(), 1);
}

TEST(SgdTest, RefusesOptionsOutOfRange) {
  const auto with = [](auto change) {
    SgdOptions options;
    change(options);
    return options.Validate();
  };
  EXPECT_THAT(with([](SgdOptions& o) { o.lr = -1; }),
              StatusIs(kInvalid,
                       HasSubstr("sgd: lr is -1, expected a finite lr >= 0")));
  EXPECT_THAT(with([](SgdOptions& o) { o.momentum = 1; }),
              StatusIs(kInvalid, HasSubstr("momentum is 1, expected 0 <=")));
  EXPECT_THAT(with([](SgdOptions& o) { o.dampening = 1.5; }),
              StatusIs(kInvalid, HasSubstr("dampening is 1.5, expected 0 <=")));
  EXPECT_THAT(
      with([](SgdOptions& o) { o.nesterov = true; }),
      StatusIs(kInvalid, HasSubstr("nesterov with momentum 0 and "
                                   "dampening 0, expected momentum > 0")));
  EXPECT_THAT(with([](SgdOptions& o) {
                o.nesterov = true;
                o.momentum = 0.9;
                o.dampening = 0.5;
              }),
              StatusIs(kInvalid, HasSubstr("and dampening 0.5, expected")));
  EXPECT_THAT(with([](SgdOptions& o) { o.weight_decay = std::nan(""); }),
              StatusIs(kInvalid, HasSubstr("weight_decay is nan")));
  EXPECT_THAT(with([](SgdOptions& o) {
                o.weight_decay = 1;
                o.decay_kind = SgdDecay::kUnscaled;
              }),
              StatusIs(kInvalid, HasSubstr("expected weight_decay < 1")));
  const Tensor p = *Tensor::Zeros({2}, DType::kF32);
  EXPECT_THAT(Sgd::Create({}, {p}, {true, true}),
              StatusIs(kInvalid, HasSubstr("sgd: decay has 2 entries for 1 "
                                           "parameters")));
}

TEST(SgdTest, RefusesTensorsItCannotUpdate) {
  const Tensor f32 = *Tensor::Zeros({2, 3}, DType::kF32);
  const Tensor i64 = *Tensor::Zeros({2, 3}, DType::kI64);
  EXPECT_THAT(Sgd::Create({}, {f32, i64}),
              StatusIs(kInvalid, HasSubstr("sgd: parameter 1 is i64 [2, 3], "
                                           "expected dtype f32 or f64")));
  Sgd sgd = *Sgd::Create({}, {f32, f32});
  const Tensor other = *Tensor::Zeros({3, 2}, DType::kF32);
  EXPECT_THAT(
      sgd.Step({f32}, {f32}),
      StatusIs(kInvalid, HasSubstr("sgd: 1 parameters given, expected 2")));
  EXPECT_THAT(
      sgd.Step({f32, f32}, {f32}),
      StatusIs(kInvalid, HasSubstr("sgd: 1 gradients given, expected 2")));
  EXPECT_THAT(sgd.Step({f32, f32}, {f32, other}),
              StatusIs(kInvalid, HasSubstr("sgd: gradient 1 is f32 [3, 2], "
                                           "expected f32 [2, 3]")));
  EXPECT_THAT(sgd.Step({f32, other}, {f32, f32}),
              StatusIs(kInvalid, HasSubstr("sgd: parameter 1 is f32 [3, 2]")));
  EXPECT_THAT(sgd.Step({f32, f32}, {f32, f32}, std::nan("")),
              StatusIs(kInvalid, HasSubstr("lr is nan")));
  const float mapped[6] = {};
  const Tensor read_only = *Tensor::FromExternal(mapped, {2, 3}, DType::kF32,
                                                 /*read_only=*/true, nullptr);
  EXPECT_THAT(sgd.Step({f32, read_only}, {f32, f32}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("sgd: parameter 1 (f32 [2, 3]) is "
                                 "read-only")));
  EXPECT_EQ(sgd.step(), 0);
}

TEST(SgdTest, RefusesAStateThatIsNotItsOwn) {
  const Tensor p = *Tensor::Zeros({2}, DType::kF32);
  SgdOptions options;
  options.momentum = 0.9;
  Sgd sgd = *Sgd::Create(options, {p});
  const auto good = *sgd.State();
  auto state = good;
  state.pop_back();
  EXPECT_THAT(sgd.SetState(state),
              StatusIs(kInvalid, HasSubstr("sgd: state has no \"m.0\"")));
  state = good;
  state.emplace_back("v.0", p);
  EXPECT_THAT(sgd.SetState(state),
              StatusIs(kInvalid, HasSubstr("sgd: state has an unknown entry "
                                           "\"v.0\"; there are 1 parameters")));
  state = good;
  state[0].second = *Tensor::Full({}, -1, DType::kI64);
  EXPECT_THAT(sgd.SetState(state),
              StatusIs(kInvalid, HasSubstr("\"step\" is -1, expected >= 0")));
  EXPECT_EQ(sgd.step(), 0);
}

}  // namespace
}  // namespace septet
