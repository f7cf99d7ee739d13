// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/wkv.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
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
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// k, v, w, u.
std::vector<Tensor> Inputs(int64_t batch, int64_t time, int64_t channels,
                           DType dtype) {
  return {RandomTensor({batch, time, channels}, dtype, 1, -3, 3),
          RandomTensor({batch, time, channels}, dtype, 2),
          RandomTensor({channels}, dtype, 3, 0.01, 1.5),
          RandomTensor({channels}, dtype, 4)};
}

Tensor RandomState(int64_t batch, int64_t channels, DType dtype) {
  const Tensor sums = RandomTensor({batch, 3, channels}, DType::kF64, 5, 0, 1);
  return sums.To(dtype).value();
}

// Output and gradients of a weighted sum.
std::vector<Tensor> Evaluate(const std::vector<Tensor>& inputs,
                             const Tensor& state) {
  Tape tape;
  std::vector<Var> in;
  for (const Tensor& x : inputs) in.push_back(tape.Watch(x));
  const Var y = Wkv(in[0], in[1], in[2], in[3], state).out;
  SEPTET_EXPECT_OK(y);
  if (!y.ok()) return {};
  const Tensor weights = RandomTensor(y.shape(), y.dtype(), 6);
  std::vector<Tensor> results = {y.tensor()};
  auto grads = tape.Grad(Sum(Mul(y, weights)), in);
  SEPTET_EXPECT_OK(grads.status());
  if (!grads.ok()) return {};
  results.insert(results.end(), grads->begin(), grads->end());
  return results;
}

// By the defining sums, computed elsewhere with 40 decimal digits, derivatives
// by dual numbers.
TEST(WkvTest, Golden) {
  const auto f64 = [](std::vector<int64_t> dims, std::vector<double> values) {
    return Tensor::FromValues<double>(Shape(dims), values).value();
  };
  const std::vector<Tensor> inputs = {
      f64({1, 4, 2}, {0.492, 0.967, 1.181, 1.77, 0.96, 1.689, -1.884, -0.138}),
      f64({1, 4, 2},
          {0.887, 0.298, 0.802, -0.774, -0.062, -0.507, 0.088, 0.148}),
      f64({2}, {0.069, 0.364}), f64({2}, {-0.441, 0.833})};
  const Tensor weights = f64(
      {1, 4, 2}, {0.531, -0.681, 0.594, -0.722, 0.235, -0.747, -0.996, 0.743});
  const std::vector<Tensor> want = {
      f64({1, 4, 2},
          {0.88700000000000001, 0.29799999999999999, 0.83925684540874568,
           -0.59925319599210969, 0.59748894941362229, -0.51177895718939426,
           0.49463820252914736, -0.4094459073461581}),
      f64({1, 4, 2},
          {-0.049107819788493746, -0.10817490673740893, -0.11794242339971622,
           0.076115904393212058, 0.16153034562625629, -0.032942777261608075,
           0.0055198975619536773, 0.065001779605804944}),
      f64({1, 4, 2},
          {0.64906566521489617, -0.79253250008938647, 0.029984575909180921,
           -0.58451620761373702, -0.30147577240072093, -0.14655772665973688,
           -0.013574468723356155, 0.1166064343628604}),
      f64({2}, {0.26887300431387939, 0.036839354150445092}),
      f64({2}, {-0.04719504377522199, 0.16839633453696567})};
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double tolerance = dtype == DType::kF64 ? 1e-14 : 1e-6;
    Tape tape;
    std::vector<Var> in;
    for (const Tensor& x : inputs) in.push_back(tape.Watch(*x.To(dtype)));
    DispatchTrace trace;
    const Var y = Wkv(in[0], in[1], in[2], in[3]).out;
    SEPTET_ASSERT_OK(y);
    EXPECT_THAT(trace.lines(), Contains(std::string("wkv cpu/") +
                                        DTypeName(dtype) + " highway"));
    ExpectNear(y.tensor(), want[0], tolerance);
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const std::vector<Tensor> grads,
        tape.Grad(Sum(Mul(y, Var(*weights.To(dtype)))), in));
    for (size_t i = 0; i < 4; ++i) {
      SCOPED_TRACE(i);
      ExpectNear(grads[i], want[i + 1], tolerance);
    }
  }
}

TEST(WkvTest, Gradients) {
  const Tensor state = RandomState(2, 3, DType::kF64);
  for (const Tensor& before : {Tensor(), state}) {
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return Wkv(in[0], in[1], in[2], in[3], before).out;
        },
        Inputs(2, 4, 3, DType::kF64)));
  }
}

TEST(WkvTest, KernelMatchesComposite) {
  for (const Shape& shape :
       {Shape({1, 1, 1}), Shape({2, 15, 3}), Shape({1, 17, 65}),
        Shape({3, 33, 7}), Shape({1, 16, 128})}) {
    for (const bool with_state : {false, true}) {
      for (const DType dtype : {DType::kF64, DType::kF32}) {
        const std::vector<Tensor> inputs =
            Inputs(shape.dim(0), shape.dim(1), shape.dim(2), dtype);
        const Tensor state =
            with_state ? RandomState(shape.dim(0), shape.dim(2), dtype)
                       : Tensor();
        const std::vector<Tensor> got = Evaluate(inputs, state);
        const WkvOutput got_state =
            Wkv(inputs[0], inputs[1], inputs[2], inputs[3], state, true);
        ScopedReference reference;
        const std::vector<Tensor> want = Evaluate(inputs, state);
        const WkvOutput want_state =
            Wkv(inputs[0], inputs[1], inputs[2], inputs[3], state, true);
        const double tolerance = dtype == DType::kF64 ? 1e-12 : 2e-5;
        ASSERT_EQ(got.size(), 5);
        ASSERT_EQ(want.size(), 5);
        for (size_t i = 0; i < 5; ++i) {
          SCOPED_TRACE(shape.ToString() + std::to_string(i));
          ExpectNear(got[i], want[i], tolerance);
        }
        ExpectNear(got_state.state, want_state.state, tolerance);
      }
    }
  }
}

// A sequence in parts is the sequence, whatever the parts.
TEST(WkvTest, PartsGiveTheWhole) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double tolerance = dtype == DType::kF64 ? 1e-13 : 2e-6;
    const std::vector<Tensor> in = Inputs(2, 37, 5, dtype);
    const WkvOutput whole = Wkv(in[0], in[1], in[2], in[3], {}, true);
    SEPTET_ASSERT_OK(whole.out);
    for (const int64_t step : {1, 5, 16, 36}) {
      Tensor state;
      std::vector<Var> parts;
      for (int64_t t = 0; t < 37; t += step) {
        const int64_t end = std::min<int64_t>(37, t + step);
        const WkvOutput part =
            Wkv(Slice(in[0], 1, t, end), Slice(in[1], 1, t, end), in[2], in[3],
                state, true);
        SEPTET_ASSERT_OK(part.out);
        parts.push_back(part.out);
        state = part.state;
      }
      ExpectNear(Concat(parts, 1).tensor(), whole.out.tensor(), tolerance);
      ExpectNear(state, whole.state, tolerance);
    }
  }
}

TEST(WkvTest, TheEmptyStateIsNoRows) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const std::vector<Tensor> in = Inputs(2, 5, 3, dtype);
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor empty, EmptyWkvState(2, 3, dtype));
    const WkvOutput want = Wkv(in[0], in[1], in[2], in[3], {}, true);
    const WkvOutput got = Wkv(in[0], in[1], in[2], in[3], empty, true);
    SEPTET_ASSERT_OK(got.out);
    EXPECT_EQ(got.out.tensor().ToVector<double>(),
              want.out.tensor().ToVector<double>());
    EXPECT_EQ(got.state.ToVector<double>(), want.state.ToVector<double>());
  }
}

// A mean: within its values, equal to a constant, and by the bonus alone its
// own row's.
TEST(WkvTest, IsAWeightedMean) {
  std::vector<Tensor> in = Inputs(2, 20, 6, DType::kF64);
  in[1] = Tensor::Full(in[0].shape(), 0.75, DType::kF64).value();
  const Var constant = Wkv(in[0], in[1], in[2], in[3]).out;
  SEPTET_ASSERT_OK(constant);
  ExpectNear(constant.tensor(), in[1], 1e-14);
  in = Inputs(2, 20, 6, DType::kF64);
  in[3] = Tensor::Full(Shape({6}), 300.0, DType::kF64).value();
  const Var own = Wkv(in[0], in[1], in[2], in[3]).out;
  SEPTET_ASSERT_OK(own);
  ExpectNear(own.tensor(), in[1], 1e-14);
}

TEST(WkvTest, ThreadsDoNotChangeBits) {
  const std::vector<Tensor> inputs = Inputs(3, 600, 130, DType::kF32);
  const std::vector<Tensor> one = Evaluate(inputs, {});
  for (const int threads : {2, 5}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    const std::vector<Tensor> many = Evaluate(inputs, {});
    ASSERT_EQ(many.size(), one.size());
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(many[i].ToVector<float>(), one[i].ToVector<float>()) << i;
    }
  }
}

TEST(WkvTest, Errors) {
  const std::vector<Tensor> in = Inputs(2, 3, 4, DType::kF64);
  const auto expect = [&](const WkvOutput& result, const std::string& text) {
    EXPECT_EQ(result.out.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(result.out.status().message()), HasSubstr(text));
    EXPECT_FALSE(result.state.defined());
  };
  const auto random = [](std::vector<int64_t> dims, DType dtype = DType::kF64) {
    return RandomTensor(Shape(dims), dtype, 9);
  };
  expect(Wkv({}, in[1], in[2], in[3], {}, true), "wkv: input 0 is not given");
  expect(Wkv(random({2, 3}), in[1], in[2], in[3]), "expected rank 3");
  expect(Wkv(random({2, 0, 4}), random({2, 0, 4}), in[2], in[3]),
         "expected at least one row");
  expect(Wkv(in[0], random({2, 2, 4}), in[2], in[3]),
         "expected the shape of k, [2, 3, 4]");
  expect(Wkv(in[0], random({2, 3, 4}, DType::kF32), in[2], in[3]),
         "dtypes differ: k is");
  expect(Wkv(in[0], in[1], random({3}), in[3]),
         "expected axis 0 to be 4 (the channels of k)");
  expect(Wkv(in[0], in[1], in[2], random({4, 1})), "u is f64 [4, 1]");
  expect(Wkv(in[0], in[1], in[2], in[3], random({2, 2, 4}), true),
         "state is f64 [2, 2, 4], expected [2, 3, 4]");
  expect(Wkv(in[0], in[1], in[2], in[3], random({2, 3, 4}, DType::kF32)),
         "state is f32 [2, 3, 4]");
}

}  // namespace
}  // namespace septet
