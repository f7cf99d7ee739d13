// SPDX-License-Identifier: Apache-2.0
// The template with modifiers of the scores, on every vector target, against
// the same formulas written a query at a time.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/attention_modifier_probe.h"
#include "septet/core/ops/attention_problem.h"
#include "septet/core/ops/attention_testutil.h"
#include "septet/core/ops/kernel_testutil.h"

namespace septet {
namespace {

using Doubles = std::vector<double>;
using Bools = std::vector<bool>;

template <typename T>
class AttentionModifierTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(AttentionModifierTest, Types);

std::vector<AttentionTestCase> Cases() {
  std::vector<AttentionTestCase> cases;
  struct Size {
    int64_t queries, keys;
  };
  for (const Size& size : {Size{1, 1}, {1, 70}, {17, 17}, {70, 150}}) {
    for (int bits = 0; bits < 8; ++bits) {
      AttentionTestCase c;
      c.batch = 2;
      c.heads = 2;
      c.kv_heads = bits % 2 + 1;
      c.queries = size.queries;
      c.keys = size.keys;
      c.head_dim = 5;
      c.value_dim = 3;
      c.causal = (bits & 1) != 0;
      c.mask = (bits & 2) != 0;
      c.keep_self = c.mask && (bits & 1) != 0;
      c.lengths = (bits & 4) != 0;
      c.dropout = bits == 3 || bits == 4 ? 0.25 : 0;
      cases.push_back(c);
    }
  }
  return cases;
}

template <typename T, typename Probe>
void Run(AttentionTestProblem<T>* test, const Probe& probe) {
  const AttentionProblem<T>& p = test->p;
  T* workspace = test->Workspace(AttentionForwardWorkspace(p));
  for (int64_t task = 0; task < AttentionForwardTasks(p); ++task) {
    ProbeForward(p, test->result, task, workspace, probe);
  }
  workspace = test->Workspace(AttentionBackwardWorkspace(p));
  // In any order.
  for (int64_t task = AttentionBackwardTasks(p); task-- > 0;) {
    ProbeBackward(p, test->gradient, task, workspace, probe);
  }
  for (int64_t kv = 0; kv < p.batch * p.kv_heads; ++kv) {
    ProbeFinish(p, test->gradient, kv);
  }
}

// The sum over the tasks of [tasks, n] against `want`.
template <typename T>
void ExpectParameterGradient(const AttentionProblem<T>& p,
                             const std::vector<T>& got, const Doubles& want,
                             double size) {
  const double tolerance =
      size * std::numeric_limits<T>::epsilon() *
      static_cast<double>(p.batch * p.queries + p.keys + p.head_dim);
  for (size_t i = 0; i < want.size(); ++i) {
    double sum = 0;
    for (size_t at = i; at < got.size(); at += want.size()) {
      sum += static_cast<double>(got[at]);
    }
    ASSERT_NEAR(sum, want[i], tolerance * (1 + std::abs(want[i]))) << i;
  }
}

TYPED_TEST(AttentionModifierTest, BiasByDistanceWithItsGradient) {
  using T = TypeParam;
  const std::vector<T> slopes = {T{0.25}, T{-0.125}};
  for (const AttentionTestCase& c : Cases()) {
    SCOPED_TRACE(::testing::Message() << c);
    AttentionTestProblem<T> test(c);
    Doubles want_dslopes(2);
    const auto distance = [&](int64_t t, size_t s) {
      return std::abs(
          static_cast<double>(t + test.p.offset() - static_cast<int64_t>(s)));
    };
    const AttentionReference want = ReferenceAttention<T>(
        test.p, test.gradient.dout,
        [&](int64_t, int64_t h, int64_t t, const Doubles& products,
            const Bools&, Doubles* logits) {
          for (size_t s = 0; s < products.size(); ++s) {
            (*logits)[s] = 0.5 * products[s] -
                           static_cast<double>(slopes[static_cast<size_t>(h)]) *
                               distance(t, s);
          }
        },
        [&](int64_t, int64_t h, int64_t t, const Doubles&, const Bools&,
            const Doubles& dlogits, Doubles* dproducts) {
          for (size_t s = 0; s < dlogits.size(); ++s) {
            (*dproducts)[s] = 0.5 * dlogits[s];
            want_dslopes[static_cast<size_t>(h)] -= dlogits[s] * distance(t, s);
          }
        });
    ForEachTarget([&] {
      std::vector<T> dslopes(
          static_cast<size_t>(AttentionBackwardTasks(test.p) * c.heads));
      Run(&test, BiasProbe<T>{T{0.5}, slopes.data(), dslopes.data()});
      ExpectMatchesReference(test, want);
      ExpectParameterGradient(test.p, dslopes, want_dslopes,
                              static_cast<double>(c.keys));
    });
    if (::testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(AttentionModifierTest, PositionsThatCountGatesFromTheRight) {
  using T = TypeParam;
  // Fewer positions than keys: the sums are cut off.
  constexpr int64_t kPositions = 9;
  for (const AttentionTestCase& c : Cases()) {
    SCOPED_TRACE(::testing::Message() << c);
    AttentionTestProblem<T> test(c);
    const AttentionProblem<T>& p = test.p;
    TestRandom random(5);
    std::vector<T> table(static_cast<size_t>(c.head_dim * kPositions));
    for (T& x : table) x = static_cast<T>(random.Uniform(-1, 1));
    Doubles want_dtable(table.size());
    Doubles dq(static_cast<size_t>(c.batch * c.heads * c.queries * c.head_dim));
    const double scale = 0.5;

    // Of one query: z, and for each key gate, sum, floor, ceiling and weight.
    struct Positions {
      Doubles z, gate, sum, w;
      std::vector<size_t> f, c;
    };
    const auto positions_of = [&](int64_t b, int64_t h, int64_t t,
                                  const Doubles& products, const Bools& seen) {
      Positions r;
      const size_t keys = products.size();
      r.z.resize(kPositions);
      for (int64_t m = 0; m < kPositions; ++m) {
        for (int64_t d = 0; d < c.head_dim; ++d) {
          r.z[static_cast<size_t>(m)] +=
              static_cast<double>(p.q.At(b, h, t)[d]) *
              static_cast<double>(
                  table[static_cast<size_t>(d * kPositions + m)]);
        }
      }
      r.gate.resize(keys);
      r.sum.resize(keys);
      r.w.resize(keys);
      r.f.resize(keys);
      r.c.resize(keys);
      double sum = 0;
      for (size_t s = keys; s-- > 0;) {
        r.gate[s] = seen[s] ? 1 / (1 + std::exp(-scale * products[s])) : 0;
        sum += r.gate[s];
        r.sum[s] = sum;
        const double position = std::min(sum, kPositions - 1.0);
        r.f[s] = static_cast<size_t>(position);
        r.c[s] = std::min<size_t>(r.f[s] + 1, kPositions - 1);
        r.w[s] = position - static_cast<double>(r.f[s]);
      }
      return r;
    };
    const AttentionReference reference = ReferenceAttention<T>(
        p, test.gradient.dout,
        [&](int64_t b, int64_t h, int64_t t, const Doubles& products,
            const Bools& seen, Doubles* logits) {
          const Positions r = positions_of(b, h, t, products, seen);
          for (size_t s = 0; s < products.size(); ++s) {
            (*logits)[s] = scale * (products[s] + (1 - r.w[s]) * r.z[r.f[s]] +
                                    r.w[s] * r.z[r.c[s]]);
          }
        },
        [&](int64_t b, int64_t h, int64_t t, const Doubles& products,
            const Bools& seen, const Doubles& dlogits, Doubles* dproducts) {
          const Positions r = positions_of(b, h, t, products, seen);
          Doubles dz(kPositions);
          double dsum = 0;
          for (size_t s = 0; s < dlogits.size(); ++s) {
            (*dproducts)[s] = 0;
            if (!seen[s]) continue;
            const double db = scale * dlogits[s];
            dz[r.f[s]] += (1 - r.w[s]) * db;
            dz[r.c[s]] += r.w[s] * db;
            if (r.sum[s] <= kPositions - 1.0) {
              dsum += db * (r.z[r.c[s]] - r.z[r.f[s]]);
            }
            (*dproducts)[s] =
                scale * (dlogits[s] + dsum * r.gate[s] * (1 - r.gate[s]));
          }
          for (int64_t d = 0; d < c.head_dim; ++d) {
            for (int64_t m = 0; m < kPositions; ++m) {
              const size_t at = static_cast<size_t>(d * kPositions + m);
              dq[static_cast<size_t>(
                  ((b * c.heads + h) * c.queries + t) * c.head_dim + d)] +=
                  dz[static_cast<size_t>(m)] * static_cast<double>(table[at]);
              want_dtable[at] += dz[static_cast<size_t>(m)] *
                                 static_cast<double>(p.q.At(b, h, t)[d]);
            }
          }
        });
    AttentionReference want = reference;
    for (size_t i = 0; i < dq.size(); ++i) want.dq[i] += dq[i];

    const int64_t tiles = (c.keys + kAttentionKeys - 1) / kAttentionKeys;
    std::vector<T> carries(
        static_cast<size_t>(c.batch * c.heads * c.queries * tiles));
    std::vector<T> scratch(
        static_cast<size_t>(CopeProbeScratch<T>(kPositions)));
    ForEachTarget([&] {
      std::vector<T> dtable(table.size() *
                            static_cast<size_t>(AttentionBackwardTasks(p)));
      CopeProbe<T> probe;
      probe.scale = T{0.5};
      probe.positions = kPositions;
      probe.table = table.data();
      probe.dtable = dtable.data();
      probe.carries = carries.data();
      probe.scratch = scratch.data();
      Run(&test, probe);
      ExpectMatchesReference(test, want);
      ExpectParameterGradient(p, dtable, want_dtable, 4.0);
    });
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace septet
