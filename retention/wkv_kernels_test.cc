// SPDX-License-Identifier: Apache-2.0
// Every vector target against the defining sums.
#include "septet/retention/wkv_kernels.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"

namespace septet {
namespace {

template <typename T>
class WkvKernelsTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(WkvKernelsTest, Types);

struct Extents {
  int64_t sequences;
  int64_t rows;
  int64_t channels;
};

template <typename T>
struct Case {
  explicit Case(const Extents& e, double key_range, bool with_state,
                int64_t misalign = 1)
      : k(e.sequences * e.rows * e.channels, misalign),
        v(k.size(), misalign),
        w(e.channels, misalign),
        u(e.channels, misalign),
        state(3 * e.sequences * e.channels, misalign),
        dy(k.size(), misalign),
        y(k.size(), misalign),
        state_out(state.size(), misalign),
        dk(k.size(), misalign),
        dv(k.size(), misalign),
        dw(e.sequences * e.channels, misalign),
        du(e.sequences * e.channels, misalign) {
    TestRandom random(static_cast<uint64_t>(e.rows * 1000 + e.channels));
    k.FillUniform(&random, -key_range, key_range);
    v.FillUniform(&random, -1, 1);
    w.FillUniform(&random, 0.001, 2);
    u.FillUniform(&random, -1, 1);
    state.FillUniform(&random, 0.1, 1);
    dy.FillUniform(&random, -1, 1);
    p.sequences = e.sequences;
    p.rows = e.rows;
    p.channels = e.channels;
    p.k = k.data();
    p.v = v.data();
    p.w = w.data();
    p.u = u.data();
    if (with_state) p.state = state.data();
    checkpoints.resize(
        static_cast<size_t>(e.sequences * WkvCheckpoints(p) * 4 * e.channels));
  }

  void Run() {
    WkvResult<T> result;
    result.y = y.data();
    result.checkpoints = checkpoints.data();
    result.state = state_out.data();
    WkvGradient<T> gradient;
    gradient.checkpoints = checkpoints.data();
    gradient.dy = dy.data();
    gradient.dk = dk.data();
    gradient.dv = dv.data();
    gradient.dw = dw.data();
    gradient.du = du.data();
    GuardedArray<T> workspace(kWkvWorkspace);
    for (int64_t task = 0; task < WkvTasks(p); ++task) {
      WkvForward(p, result, task);
    }
    for (int64_t task = 0; task < WkvTasks(p); ++task) {
      WkvBackward(p, gradient, task, workspace.data());
    }
    EXPECT_TRUE(workspace.GuardsAreIntact());
    for (const GuardedArray<T>* x : {&y, &state_out, &dk, &dv, &dw, &du}) {
      EXPECT_TRUE(x->GuardsAreIntact());
    }
  }

  WkvProblem<T> p;
  GuardedArray<T> k, v, w, u, state, dy, y, state_out, dk, dv, dw, du;
  std::vector<T> checkpoints;
};

// All results for one sequence and channel by the sums themselves.
struct Reference {
  std::vector<double> y, dk, dv;
  double dw = 0, du = 0;
  double n = 0, d = 0;  // behind the last row
};

template <typename T>
Reference Definition(const Case<T>& c, int64_t sequence, int64_t channel) {
  const WkvProblem<T>& p = c.p;
  const auto at = [&](int64_t t) {
    return static_cast<size_t>((sequence * p.rows + t) * p.channels + channel);
  };
  const double w = p.w[channel];
  const double u = p.u[channel];
  double a0 = 0, b0 = 0, m0 = 0;
  if (p.state != nullptr) {
    const T* const s = p.state + sequence * 3 * p.channels + channel;
    a0 = s[0];
    b0 = s[p.channels];
    m0 = s[2 * p.channels];
  }
  const auto rows = static_cast<size_t>(p.rows);
  Reference r;
  r.y.resize(rows);
  r.dk.resize(rows);
  r.dv.resize(rows);
  for (int64_t t = 0; t < p.rows; ++t) {
    double n = a0 * std::exp(m0 - static_cast<double>(t) * w);
    double d = b0 * std::exp(m0 - static_cast<double>(t) * w);
    double n_w = -static_cast<double>(t) * n;
    double d_w = -static_cast<double>(t) * d;
    const auto weight = [&](int64_t i) {
      const double k = p.k[at(i)];
      return i == t ? std::exp(u + k)
                    : std::exp(k - static_cast<double>(t - 1 - i) * w);
    };
    for (int64_t i = 0; i <= t; ++i) {
      const double e = weight(i);
      const double v = p.v[at(i)];
      n += e * v;
      d += e;
      if (i == t) continue;
      n_w -= static_cast<double>(t - 1 - i) * e * v;
      d_w -= static_cast<double>(t - 1 - i) * e;
    }
    const double y = n / d;
    const double g = c.dy[static_cast<int64_t>(at(t))];
    r.y[static_cast<size_t>(t)] = y;
    for (int64_t i = 0; i <= t; ++i) {
      const double e = weight(i) / d * g;
      const double from_key = e * (p.v[at(i)] - y);
      r.dv[static_cast<size_t>(i)] += e;
      r.dk[static_cast<size_t>(i)] += from_key;
      if (i == t) r.du += from_key;
    }
    r.dw += g * (n_w - y * d_w) / d;
  }
  const auto age = [&](int64_t i) {
    return static_cast<double>(p.rows - 1 - i) * w;
  };
  r.n = a0 * std::exp(m0 - static_cast<double>(p.rows) * w);
  r.d = b0 * std::exp(m0 - static_cast<double>(p.rows) * w);
  for (int64_t i = 0; i < p.rows; ++i) {
    r.n += std::exp(p.k[at(i)] - age(i)) * p.v[at(i)];
    r.d += std::exp(p.k[at(i)] - age(i));
  }
  return r;
}

template <typename T>
void ExpectMatches(Case<T>& c) {
  c.Run();
  const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-12;
  for (int64_t s = 0; s < c.p.sequences; ++s) {
    for (int64_t channel = 0; channel < c.p.channels; ++channel) {
      SCOPED_TRACE(::testing::Message() << "channel " << channel);
      const Reference want = Definition(c, s, channel);
      for (int64_t t = 0; t < c.p.rows; ++t) {
        const auto i = static_cast<size_t>(t);
        const int64_t at = (s * c.p.rows + t) * c.p.channels + channel;
        ASSERT_NEAR(c.y[at], want.y[i], tolerance) << t;
        ASSERT_NEAR(c.dk[at], want.dk[i], tolerance) << t;
        ASSERT_NEAR(c.dv[at], want.dv[i], tolerance) << t;
      }
      const int64_t sum = s * c.p.channels + channel;
      ASSERT_NEAR(c.dw[sum], want.dw, tolerance * (10 + std::abs(want.dw)));
      ASSERT_NEAR(c.du[sum], want.du, tolerance * (1 + std::abs(want.du)));
      const T* const state =
          c.state_out.data() + 3 * s * c.p.channels + channel;
      const double scale = std::exp(double{state[2 * c.p.channels]});
      ASSERT_NEAR(state[0] * scale, want.n, tolerance * (1 + want.d));
      ASSERT_NEAR(state[c.p.channels] * scale, want.d,
                  tolerance * (1 + want.d));
    }
  }
}

TYPED_TEST(WkvKernelsTest, MatchesTheDefinition) {
  for (const Extents& e :
       {Extents{1, 1, 1}, Extents{2, 5, 3}, Extents{1, 16, 17},
        Extents{2, 17, 64}, Extents{1, 33, 65}, Extents{1, 70, 9}}) {
    for (const bool with_state : {false, true}) {
      SCOPED_TRACE(::testing::Message() << e.sequences << "x" << e.rows << "x"
                                        << e.channels << " " << with_state);
      ForEachTarget([&] {
        Case<TypeParam> c(e, 2, with_state);
        ExpectMatches(c);
      });
    }
  }
}

// Keys over a range whose exponentials overflow, after which the running
// exponent is all that keeps the numbers.
TYPED_TEST(WkvKernelsTest, LargeKeysOverflowNothing) {
  ForEachTarget([&] {
    Case<TypeParam> c({1, 40, 5}, 1, false);
    for (int64_t i = 0; i < c.k.size(); ++i) {
      c.k[i] = static_cast<TypeParam>(c.k[i] * 3 + 1e4);
    }
    Case<TypeParam> same({1, 40, 5}, 1, false);
    for (int64_t i = 0; i < same.k.size(); ++i) {
      same.k[i] = static_cast<TypeParam>(c.k[i] - TypeParam{10000});
    }
    c.Run();
    same.Run();
    // A common factor of all weights changes nothing but by rounding at 1e4.
    const double tolerance = sizeof(TypeParam) == 4 ? 1e-2 : 1e-10;
    for (int64_t i = 0; i < c.y.size(); ++i) {
      ASSERT_NEAR(c.y[i], same.y[i], tolerance);
      ASSERT_NEAR(c.dk[i], same.dk[i], tolerance);
      ASSERT_NEAR(c.dv[i], same.dv[i], tolerance);
    }
  });
}

// An exponent that decays for thousands of rows is rounded once, not in each.
TEST(WkvKernelsTest, LongScansDoNotDrift) {
  const Extents e{1, 4096, 1};
  Case<float> c(e, 0.5, false);
  c.w[0] = 0.001f;
  c.k[0] = 6;  // leads for 4096 rows
  Case<double> exact(e, 0.5, false);
  for (int64_t t = 0; t < e.rows; ++t) {
    exact.k[t] = double{c.k[t]};
    exact.v[t] = double{c.v[t]};
    exact.dy[t] = double{c.dy[t]};
  }
  exact.w[0] = double{c.w[0]};
  exact.u[0] = double{c.u[0]};
  c.Run();
  exact.Run();
  for (int64_t t = 0; t < e.rows; ++t) {
    ASSERT_NEAR(c.y[t], exact.y[t], 2e-6) << t;
  }
  EXPECT_NEAR(c.dw[0], exact.dw[0], 2e-4 * (1 + std::abs(exact.dw[0])));
}

TYPED_TEST(WkvKernelsTest, NotANumberStaysOne) {
  ForEachTarget([&] {
    Case<TypeParam> c({1, 6, 3}, 1, false);
    c.k[2 * 3 + 1] = std::numeric_limits<TypeParam>::quiet_NaN();
    c.Run();
    for (int64_t t = 0; t < 6; ++t) {
      EXPECT_EQ(std::isnan(c.y[t * 3 + 1]), t >= 2) << t;
      EXPECT_FALSE(std::isnan(c.y[t * 3])) << t;
    }
  });
}

}  // namespace
}  // namespace septet
