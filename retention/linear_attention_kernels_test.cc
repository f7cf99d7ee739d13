// SPDX-License-Identifier: Apache-2.0
// Every vector target against the formula.
#include "septet/retention/linear_attention_kernels.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/retention/retention_problem.h"

namespace septet {
namespace {

template <typename T>
class LinearAttentionKernelsTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(LinearAttentionKernelsTest, Types);

double Phi(double x) { return x > 0 ? x + 1 : std::exp(x); }
double PhiSlope(double x) { return x > 0 ? 1 : std::exp(x); }

constexpr int64_t kSequences = 2, kHeads = 2;

// q and k lie in one tensor, as projected by a joint product: heads of q, then
// those of k.
template <typename T>
struct Case {
  Case(int64_t rows_in, int64_t dim_in)
      : rows(rows_in),
        dim(dim_in),
        qk(kSequences * rows * 2 * kHeads * dim),
        z(kSequences * kHeads * dim),
        du(kSequences * rows * kHeads * dim),
        df(du.size()),
        dz(z.size()),
        u(du.size()),
        f(du.size()),
        d(kSequences * rows * kHeads),
        z_out(z.size()),
        dq(du.size()),
        dk(du.size()),
        dinitial(z.size()) {
    TestRandom random(static_cast<uint64_t>(rows * 100 + dim));
    qk.FillUniform(&random, -3, 3);
    z.FillUniform(&random, 0, 2);
    for (GuardedArray<T>* x : {&du, &df, &dz}) x->FillUniform(&random, -1, 1);
    p.sequences = kSequences;
    p.heads = kHeads;
    p.rows = rows;
    p.dim = dim;
    p.eps = static_cast<T>(1e-3);
    p.q = {qk.data(), rows * 2 * kHeads * dim, 2 * kHeads * dim, dim};
    p.k = p.q;
    p.k.data += kHeads * dim;
    p.z = z.data();
    result = {u.data(), f.data(), d.data(), z_out.data()};
    gradient.d = d.data();
    gradient.du = du.data();
    gradient.df = df.data();
    gradient.dz = dz.data();
    gradient.dq = dq.data();
    gradient.dk = dk.data();
    gradient.dinitial = dinitial.data();
  }

  void Compute() {
    GuardedArray<T> workspace(LinearFeaturesWorkspace(p));
    for (int64_t task = 0; task < kSequences * kHeads; ++task) {
      LinearFeaturesForward(p, result, task, workspace.data());
    }
    for (int64_t task = 0; task < kSequences * kHeads; ++task) {
      LinearFeaturesBackward(p, gradient, task, workspace.data());
    }
    EXPECT_TRUE(workspace.GuardsAreIntact());
    for (const GuardedArray<T>* x : {&u, &f, &d, &z_out, &dq, &dk, &dinitial}) {
      EXPECT_TRUE(x->GuardsAreIntact());
    }
  }

  // Compares all that was computed.
  void Check() {
    const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
    const auto near = [tolerance](double got, double want) {
      return std::abs(got - want) <= tolerance * (1 + std::abs(want));
    };
    for (int64_t task = 0; task < kSequences * kHeads; ++task) {
      const int64_t s = task / kHeads, h = task % kHeads;
      const auto row = [&](int64_t t) { return (s * rows + t) * kHeads + h; };
      const auto at = [&](const RetentionOperand<const T>& x, int64_t t,
                          int64_t i) {
        return double{x.data[s * x.batch + t * x.time + h * x.head + i]};
      };
      std::vector<double> sums(static_cast<size_t>(dim));
      std::vector<double> slopes(static_cast<size_t>(rows));
      for (int64_t i = 0; i < dim; ++i) {
        sums[static_cast<size_t>(i)] =
            p.z == nullptr ? 0 : double{z[task * dim + i]};
      }
      for (int64_t t = 0; t < rows; ++t) {
        double divisor = double{p.eps};
        double along = 0;
        for (int64_t i = 0; i < dim; ++i) {
          sums[static_cast<size_t>(i)] += Phi(at(p.k, t, i));
          divisor += Phi(at(p.q, t, i)) * sums[static_cast<size_t>(i)];
          if (gradient.du != nullptr) {
            along += double{du[row(t) * dim + i]} * Phi(at(p.q, t, i));
          }
        }
        slopes[static_cast<size_t>(t)] = -along / (divisor * divisor);
        ASSERT_PRED2(near, d[row(t)], divisor);
        for (int64_t i = 0; i < dim; ++i) {
          const int64_t e = row(t) * dim + i;
          const double q = at(p.q, t, i);
          ASSERT_PRED2(near, u[e], Phi(q) / divisor);
          ASSERT_PRED2(near, f[e], Phi(at(p.k, t, i)));
          const double of_u =
              gradient.du == nullptr ? 0 : double{du[e]} / divisor;
          ASSERT_PRED2(near, dq[e],
                       (of_u + slopes[static_cast<size_t>(t)] *
                                   sums[static_cast<size_t>(i)]) *
                           PhiSlope(q));
        }
      }
      for (int64_t i = 0; i < dim; ++i) {
        if (result.z != nullptr) {
          ASSERT_PRED2(near, z_out[task * dim + i],
                       sums[static_cast<size_t>(i)]);
        }
        double sum = gradient.dz == nullptr ? 0 : double{dz[task * dim + i]};
        for (int64_t t = rows - 1; t >= 0; --t) {
          sum += slopes[static_cast<size_t>(t)] * Phi(at(p.q, t, i));
          const int64_t e = row(t) * dim + i;
          const double of_f = gradient.df == nullptr ? 0 : double{df[e]};
          ASSERT_PRED2(near, dk[e], (sum + of_f) * PhiSlope(at(p.k, t, i)));
        }
        if (gradient.dinitial != nullptr) {
          ASSERT_PRED2(near, dinitial[task * dim + i], sum);
        }
      }
    }
  }

  int64_t rows;
  int64_t dim;
  GuardedArray<T> qk, z, du, df, dz, u, f, d, z_out, dq, dk, dinitial;
  LinearFeaturesProblem<T> p;
  LinearFeaturesResult<T> result;
  LinearFeaturesGradient<T> gradient;
};

TYPED_TEST(LinearAttentionKernelsTest, MatchesTheFormula) {
  ForEachTarget([] {
    for (const int64_t rows : {1, 3, 64, 65, 130}) {
      for (const int64_t dim : {1, 3, 8, 17, 32}) {
        SCOPED_TRACE(::testing::Message() << rows << "x" << dim);
        Case<TypeParam> c(rows, dim);
        c.Compute();
        c.Check();
      }
    }
  });
}

TYPED_TEST(LinearAttentionKernelsTest, WhatIsNotGivenIsZero) {
  ForEachTarget([] {
    for (int given = 0; given < 8; ++given) {
      SCOPED_TRACE(given);
      Case<TypeParam> c(5, 9);
      c.p.z = nullptr;
      c.result.z = nullptr;
      c.gradient.dinitial = nullptr;
      if ((given & 1) == 0) c.gradient.du = nullptr;
      if ((given & 2) == 0) c.gradient.df = nullptr;
      if ((given & 4) == 0) c.gradient.dz = nullptr;
      c.Compute();
      c.Check();
    }
  });
}

TYPED_TEST(LinearAttentionKernelsTest, NotANumberStaysOne) {
  ForEachTarget([] {
    Case<TypeParam> c(4, 3);
    // Element 1 of row 2 of the keys of sequence 0, head 0.
    c.qk[2 * 4 * 3 + 2 * 3 + 1] = std::numeric_limits<TypeParam>::quiet_NaN();
    c.Compute();
    for (int64_t t = 0; t < 4; ++t) {
      EXPECT_EQ(std::isnan(c.u[t * 2 * 3]), t >= 2) << t;
      EXPECT_FALSE(std::isnan(c.u[(t * 2 + 1) * 3])) << t;
    }
  });
}

}  // namespace
}  // namespace septet
