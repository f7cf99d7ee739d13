// SPDX-License-Identifier: Apache-2.0
// Every vector target against the definition.
#include "septet/retention/retention_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/retention/retention_problem.h"
#include "septet/retention/retention_testutil.h"

namespace septet {
namespace {

template <typename T>
class RetentionKernelsTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(RetentionKernelsTest, Types);

// The largest difference, relative to the largest value of the tensor.
template <typename T, typename At>
double Error(const TestRows& want, const At& at) {
  double error = 0, largest = 0;
  for (size_t t = 0; t < want.size(); ++t) {
    for (size_t i = 0; i < want[t].size(); ++i) {
      const double difference = std::abs(at(t)[i] - want[t][i]);
      error = std::isnan(difference) ? HUGE_VAL : std::max(error, difference);
      largest = std::max(largest, std::abs(want[t][i]));
    }
  }
  return error / (1 + largest);
}

template <typename T>
void ExpectMatches(const RetentionTestProblem<T>& test,
                   const std::vector<RetentionReferenceHead>& want) {
  const double allowed = sizeof(T) == 4 ? 5e-6 : 1e-12;
  const double allowed_gradient = sizeof(T) == 4 ? 2e-5 : 1e-11;
  const RetentionProblem<T>& p = test.p;
  for (int64_t s = 0; s < p.sequences; ++s) {
    for (int64_t h = 0; h < p.heads; ++h) {
      SCOPED_TRACE(::testing::Message() << "sequence " << s << ", head " << h);
      const RetentionReferenceHead& r =
          want[static_cast<size_t>(s * p.heads + h)];
      const auto operand = [&](const auto& x) {
        return [&x, &p, s, h](size_t t) {
          return p.At(x, s, h, static_cast<int64_t>(t));
        };
      };
      const auto matrix = [&](const T* x) {
        return [x, &p, s, h](size_t i) {
          return x + ((s * p.heads + h) * p.key_dim + int64_t(i)) * p.value_dim;
        };
      };
      EXPECT_LE(Error<T>(r.out, operand(test.result.out)), allowed);
      EXPECT_LE(Error<T>(r.dq, operand(test.gradient.dq)), allowed_gradient);
      EXPECT_LE(Error<T>(r.dk, operand(test.gradient.dk)), allowed_gradient);
      EXPECT_LE(Error<T>(r.dv, operand(test.gradient.dv)), allowed_gradient);
      if (test.result.state != nullptr) {
        EXPECT_LE(Error<T>(r.state, matrix(test.result.state)), allowed);
        EXPECT_LE(Error<T>(r.dinitial, matrix(test.gradient.dinitial)),
                  allowed_gradient);
        EXPECT_NEAR(test.gradient.dlog_gamma[s * p.heads + h], r.dlog_gamma,
                    allowed_gradient * (1 + std::abs(r.dlog_gamma)));
      }
      if (test.result.key_sum != nullptr) {
        const T* const z = test.result.key_sum + (s * p.heads + h) * p.key_dim;
        EXPECT_LE(Error<T>({r.key_sum}, [z](size_t) { return z; }), allowed);
      }
      if (!RetentionHasDivisors(p.norm)) continue;
      const T* const m =
          test.result.divisors + h * p.TotalRows() + p.FlatRow(s);
      EXPECT_LE(Error<T>({r.divisors}, [m](size_t) { return m; }), allowed);
    }
  }
  EXPECT_TRUE(test.GuardsAreIntact());
}

template <typename T>
void Check(const RetentionTestCase& c) {
  SCOPED_TRACE(::testing::Message() << c);
  RetentionTestProblem<T> test(c);
  std::vector<RetentionReferenceHead> want;
  for (int64_t s = 0; s < test.p.sequences; ++s) {
    for (int64_t h = 0; h < test.p.heads; ++h) {
      want.push_back(test.Reference(s, h));
    }
  }
  ForEachTarget([&] {
    test.Run();
    ExpectMatches(test, want);
  });
}

const RetentionNorm kStateful[] = {RetentionNorm::kNone, RetentionNorm::kDecay,
                                   RetentionNorm::kPaper};

TYPED_TEST(RetentionKernelsTest, ChunksOfAnyLengthAgreeWithTheDefinition) {
  for (const RetentionNorm norm : kStateful) {
    for (const int64_t chunk : {1, 3, 16, 33, 64, 1000}) {
      for (const bool state : {false, true}) {
        RetentionTestCase c;
        c.lengths = {33, 33};
        c.heads = 2;
        c.key_dim = 6;
        c.value_dim = 10;
        c.chunk = chunk;
        c.norm = norm;
        c.state = state;
        c.position = state ? 5 : 0;
        Check<TypeParam>(c);
      }
    }
  }
}

TYPED_TEST(RetentionKernelsTest, HeadsOfAnyWidth) {
  for (const int64_t key_dim : {1, 2, 17, 32}) {
    for (const int64_t value_dim : {1, 16, 27, 64}) {
      RetentionTestCase c;
      c.lengths = {20};
      c.heads = 4;
      c.key_dim = key_dim;
      c.value_dim = value_dim;
      c.chunk = 13;
      c.state = true;
      Check<TypeParam>(c);
    }
  }
}

TYPED_TEST(RetentionKernelsTest, BlocksOfAChunk) {
  for (const int64_t length : {71, 72, 73, 145, 200}) {
    RetentionTestCase c;
    c.lengths = {length};
    c.key_dim = 8;
    c.value_dim = 5;
    c.chunk = 150;
    c.norm = RetentionNorm::kPaper;
    c.state = true;
    c.position = 1000;
    Check<TypeParam>(c);
  }
}

TYPED_TEST(RetentionKernelsTest, PackedSequences) {
  for (const RetentionNorm norm : kStateful) {
    RetentionTestCase c;
    c.lengths = {0, 5, 1, 0, 17, 4, 0};
    c.packed = true;
    c.heads = 2;
    c.norm = norm;
    c.state = true;
    c.position = 2;
    Check<TypeParam>(c);
  }
}

TYPED_TEST(RetentionKernelsTest, RowByRow) {
  for (const RetentionNorm norm : kStateful) {
    for (const int64_t key_dim : {1, 7}) {
      // Up to three whole vectors behind the strips of four, and a part of one.
      for (const int64_t value_dim : {1, 3, 17, 33, 48, 63, 64, 90}) {
        RetentionTestCase c;
        c.row_by_row = true;
        c.lengths = {9, 9};
        c.heads = 2;
        c.key_dim = key_dim;
        c.value_dim = value_dim;
        c.norm = norm;
        c.state = value_dim % 2 == 0;
        c.position = c.state ? 5 : 0;
        Check<TypeParam>(c);
      }
    }
    RetentionTestCase packed;
    packed.row_by_row = true;
    packed.lengths = {0, 5, 1, 0, 4};
    packed.packed = true;
    packed.heads = 3;
    packed.norm = norm;
    packed.state = true;
    Check<TypeParam>(packed);
  }
}

TYPED_TEST(RetentionKernelsTest, NothingAtAll) {
  RetentionTestCase c;
  c.lengths = {0, 0};
  c.state = true;
  Check<TypeParam>(c);
  c.packed = true;
  Check<TypeParam>(c);
}

TYPED_TEST(RetentionKernelsTest, TorchscalesForms) {
  for (const double value : {0.1, 3.0, 300.0}) {
    for (const int64_t length : {1, 12, 30}) {
      RetentionTestCase c;
      c.lengths = {length, length};
      c.heads = 3;
      c.key_dim = 5;
      c.value_dim = 7;
      c.value = value;
      c.chunk = length;
      for (const RetentionNorm norm :
           {RetentionNorm::kTorchscaleParallel,
            RetentionNorm::kTorchscaleParallelLegacy}) {
        // A signed sum of large numbers that cancel is not known to f32.
        if (norm == RetentionNorm::kTorchscaleParallelLegacy && value > 3) {
          continue;
        }
        c.norm = norm;
        Check<TypeParam>(c);
      }
      for (const RetentionNorm norm :
           {RetentionNorm::kTorchscaleChunkwise,
            RetentionNorm::kTorchscaleChunkwiseLegacy}) {
        c.norm = norm;
        for (const int64_t chunk : {1, 4, 12, 64}) {
          c.chunk = chunk;
          Check<TypeParam>(c);
        }
      }
    }
  }
}

// Steps of every target against the definition in float64. Rows of q, k and v
// have gaps.
template <typename T>
void CheckSteps(int64_t sequences, int64_t heads, int64_t key_dim,
                int64_t value_dim, RetentionNorm norm, int steps) {
  SCOPED_TRACE(::testing::Message()
               << sequences << " sequences, " << heads << " heads of "
               << key_dim << " and " << value_dim << ", norm "
               << static_cast<int>(norm));
  TestRandom random(1);
  const int64_t tasks = sequences * heads;
  const int64_t key_gap = key_dim + 3, value_gap = value_dim + 5;
  GuardedArray<T> q(steps * tasks * key_gap), k(steps * tasks * key_gap);
  GuardedArray<T> v(steps * tasks * value_gap);
  GuardedArray<T> first(tasks * key_dim * value_dim),
      first_sum(tasks * key_dim);
  GuardedArray<T> state(tasks * key_dim * value_dim), sum(tasks * key_dim);
  GuardedArray<T> out(tasks * value_dim);
  for (GuardedArray<T>* x : {&q, &k, &v, &first, &first_sum}) {
    x->FillUniform(&random, -1, 1);
  }
  const std::vector<double> log_gamma = {std::log(31.0 / 32), 0,
                                         std::log(0.25)};
  std::vector<int64_t> start;
  for (int64_t s = 0; s < sequences; ++s) start.push_back(7 * s);
  const double scale = 0.7;

  // Of all steps and tasks: out; then the state and the key sum of each task.
  TestRows want(static_cast<size_t>(steps * tasks)), states, sums;
  for (int64_t task = 0; task < tasks; ++task) {
    const T* const s0 = first.data() + task * key_dim * value_dim;
    const T* const z0 = first_sum.data() + task * key_dim;
    std::vector<double> s(s0, s0 + key_dim * value_dim), z(z0, z0 + key_dim);
    const double gamma = std::exp(log_gamma[static_cast<size_t>(task % heads)]);
    for (int64_t step = 0; step < steps; ++step) {
      const T* const qs = q.data() + (step * tasks + task) * key_gap;
      const T* const ks = k.data() + (step * tasks + task) * key_gap;
      const T* const vs = v.data() + (step * tasks + task) * value_gap;
      std::vector<double> o(static_cast<size_t>(value_dim));
      double dot = 0, row_sum = 0;
      for (int64_t i = 0; i < key_dim; ++i) {
        const double key = scale * static_cast<double>(ks[i]);
        double& zi = z[static_cast<size_t>(i)];
        zi = gamma * zi + key;
        dot += static_cast<double>(qs[i]) * zi;
        for (int64_t j = 0; j < value_dim; ++j) {
          double& x = s[static_cast<size_t>(i * value_dim + j)];
          x = gamma * x + key * static_cast<double>(vs[j]);
          o[static_cast<size_t>(j)] += static_cast<double>(qs[i]) * x;
        }
      }
      const int64_t position = start[static_cast<size_t>(task / heads)] + step;
      for (int64_t i = 0; i <= position; ++i) row_sum = gamma * row_sum + 1;
      double divisor = norm == RetentionNorm::kNone ? 1 : std::sqrt(row_sum);
      if (norm == RetentionNorm::kPaper) {
        divisor *= std::max(std::abs(dot) / divisor, 1.0);
      }
      for (double& x : o) x /= divisor;
      want[static_cast<size_t>(step * tasks + task)] = o;
    }
    states.push_back(s);
    sums.push_back(z);
  }

  ForEachTarget([&] {
    std::copy_n(first.data(), tasks * key_dim * value_dim, state.data());
    std::copy_n(first_sum.data(), tasks * key_dim, sum.data());
    std::vector<int64_t> positions = start;
    const double allowed = sizeof(T) == 4 ? 5e-6 : 1e-12;
    RetentionStepProblem<T> p;
    p.sequences = sequences;
    p.heads = heads;
    p.key_dim = key_dim;
    p.value_dim = value_dim;
    p.log_gamma = log_gamma.data();
    p.scale = scale;
    p.norm = norm;
    p.state = state.data();
    p.key_sum = norm == RetentionNorm::kPaper ? sum.data() : nullptr;
    p.out = out.data();
    for (int64_t step = 0; step < steps; ++step) {
      p.positions = positions.data();
      p.q = {q.data() + step * tasks * key_gap, heads * key_gap, key_gap};
      p.k = {k.data() + step * tasks * key_gap, heads * key_gap, key_gap};
      p.v = {v.data() + step * tasks * value_gap, heads * value_gap, value_gap};
      std::fill_n(out.data(), tasks * value_dim, T{100});
      // In two parts, the later one first.
      RetentionStepTasks(p, tasks / 2, tasks);
      RetentionStepTasks(p, 0, tasks / 2);
      for (int64_t& position : positions) ++position;
      const TestRows expected(want.begin() + step * tasks,
                              want.begin() + (step + 1) * tasks);
      EXPECT_LE(Error<T>(expected,
                         [&](size_t task) {
                           return out.data() + int64_t(task) * value_dim;
                         }),
                allowed);
    }
    EXPECT_LE(Error<T>(states,
                       [&](size_t task) {
                         return state.data() +
                                int64_t(task) * key_dim * value_dim;
                       }),
              allowed);
    if (norm == RetentionNorm::kPaper) {
      EXPECT_LE(Error<T>(sums,
                         [&](size_t task) {
                           return sum.data() + int64_t(task) * key_dim;
                         }),
                allowed);
    }
    for (const GuardedArray<T>* x : {&state, &sum, &out}) {
      EXPECT_TRUE(x->GuardsAreIntact());
    }
  });
}

TYPED_TEST(RetentionKernelsTest, StepsOfAnyWidth) {
  for (const int64_t key_dim : {1, 2, 5, 32}) {
    for (const int64_t value_dim :
         {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 54, 63, 64, 65, 79, 81, 130}) {
      CheckSteps<TypeParam>(1, 3, key_dim, value_dim, RetentionNorm::kDecay, 3);
    }
  }
}

TYPED_TEST(RetentionKernelsTest, StepsOfSequencesAndNorms) {
  for (const RetentionNorm norm : kStateful) {
    CheckSteps<TypeParam>(3, 2, 6, 27, norm, 5);
  }
}

TYPED_TEST(RetentionKernelsTest, StepsOfStatesThatNoCacheHolds) {
  CheckSteps<TypeParam>(2, 1, 257, 2100, RetentionNorm::kPaper, 2);
}

}  // namespace
}  // namespace septet
