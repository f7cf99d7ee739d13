// SPDX-License-Identifier: Apache-2.0
// Every vector target against the definition.
#include "septet/core/ops/attention_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/attention_problem.h"
#include "septet/core/ops/attention_testutil.h"
#include "septet/core/ops/kernel_testutil.h"

namespace septet {
namespace {

template <typename T>
class AttentionKernelsTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(AttentionKernelsTest, Types);

template <typename T>
void Run(AttentionTestProblem<T>* test) {
  const AttentionProblem<T>& p = test->p;
  std::vector<T> partials(static_cast<size_t>(AttentionForwardPartials(p)),
                          std::numeric_limits<T>::quiet_NaN());
  AttentionResult<T> result = test->result;
  result.partials = partials.data();
  T* workspace = test->Workspace(AttentionWorkspace(p));
  for (int64_t task = 0; task < AttentionTasks(p); ++task) {
    AttentionForward(p, result, task, workspace);
  }
  for (int64_t kv = 0; kv < p.batch * p.kv_heads; ++kv) {
    AttentionFinish(p, result, kv);
  }
  workspace = test->Workspace(AttentionBackwardWorkspace(p));
  for (int64_t task = 0; task < AttentionBackwardTasks(p); ++task) {
    AttentionBackward(p, test->gradient, task, workspace);
  }
  if (AttentionPartials(p) == 0) return;
  for (int64_t kv = 0; kv < p.batch * p.kv_heads; ++kv) {
    AttentionFinish(p, test->gradient, kv, 0, p.keys / 2);
    AttentionFinish(p, test->gradient, kv, p.keys / 2, p.keys);
  }
}

template <typename T>
AttentionReference Reference(const AttentionTestProblem<T>& test) {
  const double scale = test.p.scale;
  return ReferenceAttention<T>(
      test.p, test.gradient.dout,
      [scale](int64_t, int64_t, int64_t, const std::vector<double>& products,
              const std::vector<bool>&, std::vector<double>* logits) {
        for (size_t s = 0; s < products.size(); ++s) {
          (*logits)[s] = scale * products[s];
        }
      },
      [scale](int64_t, int64_t, int64_t, const std::vector<double>&,
              const std::vector<bool>&, const std::vector<double>& dlogits,
              std::vector<double>* dproducts) {
        for (size_t s = 0; s < dlogits.size(); ++s) {
          (*dproducts)[s] = scale * dlogits[s];
        }
      });
}

template <typename T>
void CheckCases(const std::vector<AttentionTestCase>& cases) {
  for (const AttentionTestCase& c : cases) {
    SCOPED_TRACE(::testing::Message() << c);
    AttentionTestProblem<T> test(c);
    const AttentionReference want = Reference(test);
    ForEachTarget([&] {
      Run(&test);
      ExpectMatchesReference(test, want);
    });
    if (::testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(AttentionKernelsTest, EveryLengthOfQueriesAndKeys) {
  std::vector<AttentionTestCase> cases;
  for (const int64_t t : {1, 2, 15, 16, 17, 63, 64, 65, 130}) {
    for (const int64_t s : {1, 2, 15, 16, 17, 63, 64, 65, 130}) {
      for (const bool causal : {false, true}) {
        if (causal && s < t) continue;
        AttentionTestCase c;
        c.queries = t;
        c.keys = s;
        c.causal = causal;
        c.head_dim = 5;
        c.value_dim = 4;
        cases.push_back(c);
      }
    }
  }
  CheckCases<TypeParam>(cases);
}

// One query whose keys are several tasks.
TYPED_TEST(AttentionKernelsTest, PartsOfManyKeys) {
  std::vector<AttentionTestCase> cases;
  for (const int64_t keys : {-1, 0, 1, 1500}) {
    for (int bits = 0; bits < 8; ++bits) {
      AttentionTestCase c;
      c.batch = c.heads = 2;
      c.kv_heads = bits % 2 + 1;
      c.keys = kAttentionDecodePart + keys;
      c.head_dim = 3;
      c.value_dim = 2;
      c.lengths = (bits & 1) != 0;
      c.mask = (bits & 2) != 0;
      c.keep_self = (bits & 4) != 0;
      cases.push_back(c);
    }
  }
  CheckCases<TypeParam>(cases);
}

// Which part a key belongs to does not depend on how many come after it.
TYPED_TEST(AttentionKernelsTest, BitsOfOneQueryDoNotDependOnTheRoomBehind) {
  using T = TypeParam;
  AttentionTestCase c;
  c.keys = 2 * kAttentionDecodePart + 40;
  AttentionTestProblem<T> test(c);
  ForEachTarget([&] {
    for (const int64_t length :
         {int64_t{7}, kAttentionDecodePart - 1, kAttentionDecodePart,
          kAttentionDecodePart + 20, 2 * kAttentionDecodePart}) {
      std::vector<T> out[2];
      for (const bool room : {false, true}) {
        AttentionProblem<T> p = test.p;
        if (room) {
          p.key_lengths = &length;
        } else {
          p.keys = length;
        }
        T lse;
        out[room].resize(static_cast<size_t>(c.value_dim));
        std::vector<T> partials(
            static_cast<size_t>(AttentionForwardPartials(p)));
        AttentionResult<T> result;
        result.out = {out[room].data(), 0, 0, 0};
        result.log_sum_exp = &lse;
        result.partials = partials.data();
        T* workspace = test.Workspace(AttentionWorkspace(p));
        for (int64_t task = 0; task < AttentionTasks(p); ++task) {
          AttentionForward(p, result, task, workspace);
        }
        AttentionFinish(p, result, 0);
        out[room].push_back(lse);
      }
      EXPECT_EQ(out[0], out[1]) << length;
    }
  });
}

TYPED_TEST(AttentionKernelsTest, EveryWidth) {
  std::vector<AttentionTestCase> cases;
  for (const int64_t d : {1, 7, 16, 32, 64, 80}) {
    for (const int64_t dv : {d, int64_t{3}, int64_t{48}}) {
      for (const bool time_first : {false, true}) {
        AttentionTestCase c;
        c.queries = 19;
        c.keys = 35;
        c.head_dim = d;
        c.value_dim = dv;
        c.heads = c.kv_heads = 2;
        c.time_first = time_first;
        c.scale = time_first ? -0.2 : 0.1;
        cases.push_back(c);
        c.queries = 1;
        cases.push_back(c);
      }
    }
  }
  CheckCases<TypeParam>(cases);
}

TYPED_TEST(AttentionKernelsTest, LengthsMasksGroupsAndDropout) {
  struct Size {
    int64_t queries, keys;
  };
  std::vector<AttentionTestCase> cases;
  for (const Size& size : {Size{1, 1}, {1, 70}, {3, 130}, {33, 33}, {66, 80}}) {
    for (int bits = 0; bits < 32; ++bits) {
      AttentionTestCase c;
      c.batch = 2;
      c.heads = 4;
      c.kv_heads = bits % 3 == 0 ? 4 : bits % 3 == 1 ? 2 : 1;
      c.queries = size.queries;
      c.keys = size.keys;
      c.head_dim = 4;
      c.value_dim = 6;
      c.causal = (bits & 1) != 0;
      c.lengths = (bits & 2) != 0;
      c.mask = (bits & 4) != 0;
      c.keep_self = (bits & 8) != 0;
      c.dropout = (bits & 16) != 0 ? 0.3 : 0;
      c.time_first = (bits & 5) == 5;
      // Without anything to keep, keeping changes nothing.
      if (c.keep_self && !c.lengths && !c.mask) continue;
      cases.push_back(c);
    }
  }
  CheckCases<TypeParam>(cases);
}

TYPED_TEST(AttentionKernelsTest, DropoutNearlyAllAndNearlyNothing) {
  std::vector<AttentionTestCase> cases;
  for (const double dropout : {1e-12, 0x1p-32, 0.5, 1 - 0x1p-32, 1 - 0x1p-40}) {
    AttentionTestCase c;
    c.queries = 20;
    c.keys = 22;
    c.dropout = dropout;
    // 1 / (1 - dropout) would blow up what little is left.
    if (dropout > 0.9) c.lengths = true;
    cases.push_back(c);
  }
  CheckCases<TypeParam>(cases);
}

TYPED_TEST(AttentionKernelsTest, LogitsFarApartDoNotOverflow) {
  std::vector<AttentionTestCase> cases;
  for (const double scale : {100.0, -300.0}) {
    AttentionTestCase c;
    c.queries = 33;
    c.keys = 150;
    c.head_dim = 3;
    c.scale = scale;
    cases.push_back(c);
    c.queries = 1;
    cases.push_back(c);
  }
  // Logits in the hundreds have as many times the rounding error.
  for (const AttentionTestCase& c : cases) {
    SCOPED_TRACE(::testing::Message() << c);
    AttentionTestProblem<TypeParam> test(c);
    const AttentionReference want = Reference(test);
    const double tolerance = 2000 * std::numeric_limits<TypeParam>::epsilon();
    ForEachTarget([&] {
      Run(&test);
      ExpectRowsNear("out", test.result.out, 1, 1, c.queries, c.value_dim,
                     want.out, tolerance);
      ExpectRowsNear("dv", test.gradient.dv, 1, 1, c.keys, c.value_dim, want.dv,
                     tolerance);
    });
  }
}

TYPED_TEST(AttentionKernelsTest, KeysBeyondTheLengthAreNotRead) {
  using T = TypeParam;
  AttentionTestCase c;
  c.batch = 2;
  c.lengths = true;
  c.causal = false;
  c.keys = 100;
  for (const int64_t queries : {1, 9}) {
    c.queries = queries;
    AttentionTestProblem<T> test(c);
    const AttentionReference want = Reference(test);
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t s = test.p.key_lengths[b]; s < c.keys; ++s) {
        std::fill_n(const_cast<T*>(test.p.k.At(b, 0, s)), c.head_dim,
                    std::numeric_limits<T>::quiet_NaN());
        std::fill_n(const_cast<T*>(test.p.v.At(b, 0, s)), c.value_dim,
                    std::numeric_limits<T>::quiet_NaN());
      }
    }
    ForEachTarget([&] {
      Run(&test);
      ExpectMatchesReference(test, want);
    });
  }
}

TYPED_TEST(AttentionKernelsTest, NaNIsNotHidden) {
  using T = TypeParam;
  AttentionTestCase c;
  c.keys = 20;
  for (const int64_t queries : {1, 20}) {
    c.queries = queries;
    AttentionTestProblem<T> test(c);
    const_cast<T*>(test.p.k.At(0, 0, 10))[2] =
        std::numeric_limits<T>::quiet_NaN();
    ForEachTarget([&] {
      Run(&test);
      for (int64_t t = 0; t < queries; ++t) {
        EXPECT_EQ(std::isnan(test.result.out.At(0, 0, t)[0]),
                  queries == 1 || t >= 10)
            << t;
      }
    });
  }
}

// Blocks and tiles are cut by the number of the key: a query's sums run over
// the same keys in the same order whatever comes after it.
TYPED_TEST(AttentionKernelsTest, BitsOfAQueryDoNotDependOnTheOthers) {
  using T = TypeParam;
  AttentionTestCase c;
  c.queries = c.keys = 150;
  c.head_dim = 16;
  AttentionTestProblem<T> test(c);
  ForEachTarget([&] {
    Run(&test);
    for (const int64_t begin : {1, 64, 70, 100}) {
      AttentionProblem<T> rest = test.p;
      rest.q.data = test.p.q.At(0, 0, begin);
      rest.queries = c.queries - begin;
      std::vector<T> out(static_cast<size_t>(rest.queries * c.value_dim));
      std::vector<T> lse(static_cast<size_t>(rest.queries));
      AttentionResult<T> result;
      result.out = {out.data(), 0, 0, c.value_dim};
      result.log_sum_exp = lse.data();
      T* workspace = test.Workspace(AttentionWorkspace(rest));
      for (int64_t task = 0; task < AttentionTasks(rest); ++task) {
        AttentionForward(rest, result, task, workspace);
      }
      for (int64_t t = 0; t < rest.queries; ++t) {
        for (int64_t d = 0; d < c.value_dim; ++d) {
          ASSERT_TRUE(SameBits(out[static_cast<size_t>(t * c.value_dim + d)],
                               test.result.out.At(0, 0, begin + t)[d]))
              << "query " << begin + t;
        }
      }
    }
  });
}

}  // namespace
}  // namespace septet
