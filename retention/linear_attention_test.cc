// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/linear_attention.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retention.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// q, k, v, s, z.
std::vector<Tensor> Inputs(int64_t batch, int64_t time, int64_t heads,
                           int64_t key_dim, int64_t value_dim, DType dtype) {
  return {RandomTensor({batch, time, heads, key_dim}, dtype, 1, -2, 2),
          RandomTensor({batch, time, heads, key_dim}, dtype, 2, -2, 2),
          RandomTensor({batch, time, heads, value_dim}, dtype, 3),
          RandomTensor({batch, heads, key_dim, value_dim}, dtype, 4),
          RandomTensor({batch, heads, key_dim}, dtype, 5, 0, 1)};
}

// By the defining sums, computed elsewhere with 40 decimal digits, derivatives
// by dual numbers.
TEST(LinearAttentionTest, Golden) {
  const auto f64 = [](std::vector<double> values) {
    return *Tensor::FromValues<double>({1, 3, 1, 2}, values);
  };
  const std::vector<Tensor> inputs = {
      f64({-1.162, -1.138, 1.93, 1.49, -0.843, 1.846}),
      f64({0.157, 0.711, -1.181, 1.764, 0.763, 1.866}),
      f64({0.787, -0.402, -0.278, -0.668, -0.709, -0.87})};
  const Tensor weights = f64({-0.397, 0.206, -0.993, 0.356, -0.324, -0.38});
  const std::vector<Tensor> want = {
      f64({0.78699913543626199, -0.40199955838040319, 0.24996637580629702,
           -0.53613230303058945, -0.19390205778771721, -0.6847479325390442}),
      f64({-1.7266356994383363e-07, -2.6154139400210289e-07,
           -0.026906424823864503, 0.031660962362137314, -0.0012995373998055261,
           0.00045662399770181415}),
      f64({-0.10039782247813857, -0.1326577264706498, 0.027943582750680814,
           0.079684458726227148, 0.0045837566983704132, 0.030308657609831566}),
      f64({-0.96732259640672635, 0.2909439739990195, -0.61703487668484647,
           0.04310506689368937, -0.12964201189432684, -0.15204927320939568})};
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double tolerance = dtype == DType::kF64 ? 1e-14 : 1e-6;
    for (const RetentionForm form :
         {RetentionForm::kParallel, RetentionForm::kChunkwise,
          RetentionForm::kRecurrent}) {
      Tape tape;
      std::vector<Var> in;
      for (const Tensor& x : inputs) in.push_back(tape.Watch(*x.To(dtype)));
      LinearAttentionOptions options;
      options.form = form;
      options.chunk_size = 2;
      DispatchTrace trace;
      const Var out = LinearAttention(in[0], in[1], in[2], options).out;
      SEPTET_ASSERT_OK(out);
      EXPECT_THAT(trace.lines(),
                  Contains(std::string("linear_attention_features cpu/") +
                           DTypeName(dtype) + " highway"));
      ExpectNear(out.tensor(), want[0], tolerance);
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const std::vector<Tensor> grads,
          tape.Grad(Sum(Mul(out, Var(*weights.To(dtype)))), in));
      for (size_t i = 0; i < 3; ++i) {
        SCOPED_TRACE(i);
        ExpectNear(grads[i], want[i + 1], tolerance);
      }
    }
  }
}

TEST(LinearAttentionTest, GradientsThroughTheState) {
  for (const bool rotated : {false, true}) {
    LinearAttentionOptions options;
    options.form = RetentionForm::kChunkwise;
    options.chunk_size = 2;
    options.position = 3;
    if (rotated) options.frequencies = *RotaryFrequencies(2);
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) -> Var {
          const LinearAttentionOutput result = LinearAttention(
              in[0], in[1], in[2], options, {in[3], in[4]}, true);
          if (!result.out.ok()) return result.out;
          return Concat({Reshape(result.out, {1 * 4 * 2 * 3}),
                         Reshape(result.state.s, {1 * 2 * 2 * 3}),
                         Reshape(result.state.z, {1 * 2 * 2})},
                        0);
        },
        Inputs(1, 4, 2, 2, 3, DType::kF64)));
  }
}

// Outputs, states and first gradients of the kernel and of the composite.
TEST(LinearAttentionTest, KernelMatchesComposite) {
  struct Extents {
    int64_t batch, time, heads, key_dim, value_dim;
  };
  for (const Extents& e :
       {Extents{1, 1, 1, 1, 1}, Extents{2, 7, 3, 5, 2},
        Extents{1, 65, 2, 16, 9}, Extents{2, 130, 1, 17, 33}}) {
    for (const DType dtype : {DType::kF64, DType::kF32}) {
      for (const bool with_state : {false, true}) {
        std::vector<Tensor> results[2];
        for (int reference = 0; reference < 2; ++reference) {
          std::vector<Tensor> inputs =
              Inputs(e.batch, e.time, e.heads, e.key_dim, e.value_dim, dtype);
          Tape tape;
          std::vector<Var> in;
          for (size_t i = 0; i < (with_state ? 5u : 3u); ++i) {
            in.push_back(tape.Watch(inputs[i]));
          }
          LinearAttentionState state;
          if (with_state) state = {in[3], in[4]};
          LinearAttentionOutput result;
          if (reference == 1) {
            ScopedReference scope;
            result = LinearAttention(in[0], in[1], in[2], {}, state, true);
          } else {
            result = LinearAttention(in[0], in[1], in[2], {}, state, true);
          }
          SEPTET_ASSERT_OK(result.out);
          std::vector<Tensor>& all = results[reference];
          all = {result.out.tensor(), result.state.s.tensor(),
                 result.state.z.tensor()};
          const Var loss = Add(
              Add(Sum(Mul(result.out, RandomTensor(all[0].shape(), dtype, 7))),
                  Sum(Mul(result.state.s,
                          RandomTensor(all[1].shape(), dtype, 8)))),
              Sum(Mul(result.state.z, RandomTensor(all[2].shape(), dtype, 9))));
          SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                                      tape.Grad(loss, in));
          all.insert(all.end(), grads.begin(), grads.end());
        }
        for (size_t i = 0; i < results[0].size(); ++i) {
          SCOPED_TRACE(i);
          ExpectNear(results[0][i], results[1][i],
                     dtype == DType::kF64 ? 1e-12 : 3e-5);
        }
      }
    }
  }
}

// Views with gaps, as a joint projection gives them.
TEST(LinearAttentionTest, StridedInputs) {
  const Tensor joint = RandomTensor({2, 6, 3 * 2, 5}, DType::kF64, 1, -2, 2);
  const std::vector<Var> views = Split(joint, {2, 2, 2}, 2);
  std::vector<Var> copies;
  for (const Var& x : views) copies.push_back(*x.tensor().Contiguous());
  // Gaps in the last axis, too.
  const Var transposed = Permute(
      *Permute(views[0], {0, 1, 3, 2}).tensor().Contiguous(), {0, 1, 3, 2});
  const Var want = LinearAttention(copies[0], copies[1], copies[2]).out;
  SEPTET_ASSERT_OK(want);
  for (const Var& q : {views[0], transposed}) {
    const Var got = LinearAttention(q, views[1], views[2]).out;
    SEPTET_ASSERT_OK(got);
    EXPECT_EQ(got.tensor().ToVector<double>(),
              want.tensor().ToVector<double>());
  }
}

TEST(LinearAttentionTest, PartsGiveTheWhole) {
  for (const bool rotated : {false, true}) {
    for (const DType dtype : {DType::kF64, DType::kF32}) {
      const std::vector<Tensor> in = Inputs(2, 45, 2, 4, 3, dtype);
      LinearAttentionOptions options;
      if (rotated) options.frequencies = *RotaryFrequencies(4);
      const LinearAttentionOutput whole =
          LinearAttention(in[0], in[1], in[2], options, {}, true);
      SEPTET_ASSERT_OK(whole.out);
      for (const int64_t step : {1, 7, 20}) {
        LinearAttentionState state;
        std::vector<Var> parts;
        for (int64_t t = 0; t < 45; t += step) {
          const int64_t end = std::min<int64_t>(45, t + step);
          options.position = static_cast<double>(t);
          LinearAttentionOutput part =
              LinearAttention(Slice(in[0], 1, t, end), Slice(in[1], 1, t, end),
                              Slice(in[2], 1, t, end), options, state, true);
          SEPTET_ASSERT_OK(part.out);
          parts.push_back(part.out);
          state = part.state;
        }
        options.position = 0;
        const double tolerance = dtype == DType::kF64 ? 1e-13 : 5e-6;
        ExpectNear(Concat(parts, 1).tensor(), whole.out.tensor(), tolerance);
        ExpectNear(state.s.tensor(), whole.state.s.tensor(), tolerance);
        ExpectNear(state.z.tensor(), whole.state.z.tensor(), tolerance);
      }
    }
  }
}

// Weights are positive and add up to one; they do not see later rows.
TEST(LinearAttentionTest, IsACausalMean) {
  std::vector<Tensor> in = Inputs(1, 30, 2, 4, 3, DType::kF64);
  LinearAttentionOptions exact;
  exact.eps = 0;
  const Tensor constant = *Tensor::Full(in[2].shape(), 0.25, DType::kF64);
  const Var mean = LinearAttention(in[0], in[1], constant, exact).out;
  SEPTET_ASSERT_OK(mean);
  ExpectNear(mean.tensor(), constant, 1e-14);

  const Var before = LinearAttention(in[0], in[1], in[2], exact).out;
  Tensor k = *in[1].Clone();
  k.mutable_data<double>()[20 * 2 * 4] += 1;
  const Var after = LinearAttention(in[0], k, in[2], exact).out;
  const Tensor difference = Sub(after, before).tensor();
  for (int64_t t = 0; t < 30; ++t) {
    double largest = 0;
    for (int64_t i = 0; i < 3; ++i) {
      largest =
          std::max(largest, std::abs(difference.data<double>()[t * 2 * 3 + i]));
    }
    EXPECT_EQ(largest > 0, t >= 20) << t;
  }
}

// Features that underflow leave a row of zeros, not of NaN.
TEST(LinearAttentionTest, RowsWithoutFeaturesAreZero) {
  const std::vector<Tensor> in = Inputs(1, 3, 1, 4, 2, DType::kF32);
  const Tensor low = *Tensor::Full(in[0].shape(), -200.0, DType::kF32);
  const Var out = LinearAttention(low, in[1], in[2]).out;
  SEPTET_ASSERT_OK(out);
  EXPECT_THAT(out.tensor().ToVector<float>(), ::testing::Each(0.0f));
}

TEST(LinearAttentionTest, ThreadsDoNotChangeBits) {
  const std::vector<Tensor> inputs = Inputs(2, 300, 3, 33, 17, DType::kF32);
  const auto evaluate = [&inputs] {
    Tape tape;
    const std::vector<Var> in = {tape.Watch(inputs[0]), tape.Watch(inputs[1]),
                                 tape.Watch(inputs[2])};
    const Var out = LinearAttention(in[0], in[1], in[2]).out;
    std::vector<Tensor> results = *tape.Grad(Sum(Square(out)), in);
    results.push_back(out.tensor());
    return results;
  };
  const std::vector<Tensor> one = evaluate();
  for (const int threads : {2, 5}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    const std::vector<Tensor> many = evaluate();
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(many[i].ToVector<float>(), one[i].ToVector<float>()) << i;
    }
  }
}

TEST(LinearAttentionTest, Errors) {
  const std::vector<Tensor> in = Inputs(2, 3, 2, 4, 5, DType::kF64);
  const auto random = [](std::vector<int64_t> dims, DType dtype = DType::kF64) {
    return RandomTensor(Shape(dims), dtype, 9);
  };
  const auto expect = [](const LinearAttentionOutput& result,
                         const std::string& text) {
    EXPECT_EQ(result.out.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(result.out.status().message()), HasSubstr(text));
    EXPECT_FALSE(result.state.s.defined() || result.state.z.defined());
  };
  const Tensor &q = in[0], &k = in[1], &v = in[2], &s = in[3], &z = in[4];
  expect(LinearAttention({}, k, v),
         "linear_attention_features: input 0 is not given");
  expect(LinearAttention(q, random({2, 3, 2, 5}), v),
         "expected axis 3 to be 4 (as q has)");
  expect(LinearAttention(random({2, 3, 2}), k, v), "expected rank 4");
  expect(LinearAttention(q, random({2, 3, 2, 4}, DType::kF32), v),
         "dtypes differ");
  expect(LinearAttention(q, k, random({2, 4, 2, 5})),
         "retention: v is f64 [2, 4, 2, 5]");
  expect(LinearAttention(q, k, v, {}, {s, {}}), "state.z is not given");
  expect(LinearAttention(q, k, v, {}, {{}, z}, true), "state.s is not given");
  expect(LinearAttention(q, k, v, {}, {s, random({2, 2, 5})}),
         "state.z is f64 [2, 2, 5], expected [2, 2, 4]");
  expect(LinearAttention(q, k, v, {}, {random({2, 2, 4, 4}), z}),
         "state.s is f64 [2, 2, 4, 4]");
  LinearAttentionOptions options;
  for (const double eps : {-1.0, std::nan(""), 1e300}) {
    options.eps = eps;
    expect(LinearAttention(q, k, v, options), "expected a finite number >= 0");
  }
  options = {};
  options.chunk_size = 0;
  expect(LinearAttention(q, k, v, options), "chunk_size is 0");
  options = {};
  options.frequencies = random({3});
  expect(LinearAttention(q, k, v, options), "frequencies");
  options.frequencies = *RotaryFrequencies(4);
  options.position = std::numeric_limits<double>::infinity();
  expect(LinearAttention(q, k, v, options), "offset");
  expect(LinearAttention(random({2, 0, 2, 4}), random({2, 0, 2, 4}),
                         random({2, 0, 2, 5})),
         "no rows and no state");
}

}  // namespace
}  // namespace septet
