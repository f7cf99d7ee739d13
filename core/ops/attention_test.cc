// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/attention.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
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

struct Case {
  const char* name;
  std::vector<Tensor> inputs;  // q, k, v, f64
  AttentionMask mask;
  AttentionOptions options;
};

Tensor Lengths(std::vector<int64_t> values) {
  return Tensor::FromValues<int64_t>({static_cast<int64_t>(values.size())},
                                     values)
      .value();
}

// bool [B, S]: about two thirds are true.
Tensor Mask(int64_t batch, int64_t keys) {
  Tensor mask = Tensor::Empty({batch, keys}, DType::kBool).value();
  for (int64_t i = 0; i < batch * keys; ++i) {
    mask.mutable_data<bool>()[i] = i % 3 != 1;
  }
  return mask;
}

std::vector<Tensor> Inputs(int64_t batch, int64_t heads, int64_t kv_heads,
                           int64_t queries, int64_t keys, int64_t dim,
                           int64_t value_dim, bool time_first) {
  const auto shape = [&](int64_t h, int64_t t, int64_t d) {
    return time_first ? Shape({batch, t, h, d}) : Shape({batch, h, t, d});
  };
  return {RandomTensor(shape(heads, queries, dim), DType::kF64, 1, -2, 2),
          RandomTensor(shape(kv_heads, keys, dim), DType::kF64, 2, -2, 2),
          RandomTensor(shape(kv_heads, keys, value_dim), DType::kF64, 3)};
}

// Small enough for whole Jacobians.
std::vector<Case> Cases() {
  AttentionOptions causal, full, time_first, dropped;
  full.causal = false;
  full.scale = -0.3;
  time_first.layout = AttentionLayout::kBTHD;
  dropped.dropout = 0.4;
  dropped.dropout_key = {3, 4};
  AttentionMask keep_self{Lengths({1, 3}), Mask(2, 3), true};
  return {
      {"causal", Inputs(1, 2, 2, 3, 3, 2, 3, false), {}, causal},
      {"cache", Inputs(1, 1, 1, 2, 5, 2, 1, false), {}, causal},
      {"one query", Inputs(2, 2, 1, 1, 4, 3, 2, false), {}, causal},
      {"more queries than keys", Inputs(1, 1, 1, 4, 2, 2, 2, false), {}, full},
      {"groups, time first", Inputs(1, 4, 2, 2, 3, 2, 2, true), {}, time_first},
      {"lengths",
       Inputs(2, 1, 1, 3, 3, 2, 2, false),
       {Lengths({0, 2}), Var()},
       full},
      {"mask",
       Inputs(2, 1, 1, 3, 3, 2, 2, true),
       {Var(), Mask(2, 3)},
       time_first},
      {"keep self", Inputs(2, 1, 1, 3, 3, 2, 2, false), keep_self, causal},
      {"dropout", Inputs(1, 2, 1, 3, 5, 2, 2, false), {}, dropped},
  };
}

Var Call(const Case& c, absl::Span<const Var> in) {
  return Attention(in[0], in[1], in[2], c.mask, c.options);
}

// By the kernel and by the composite: outputs and first gradients.
void ExpectKernelMatchesComposite(const Case& c, DType dtype,
                                  double tolerance) {
  std::vector<Tensor> results[2];
  for (int reference = 0; reference < 2; ++reference) {
    Tape tape;
    std::vector<Var> in;
    for (const Tensor& x : c.inputs) {
      in.push_back(tape.Watch(x.To(dtype).value()));
    }
    DispatchTrace trace;
    Var out;
    if (reference == 1) {
      ScopedReference scope;
      out = Call(c, in);
    } else {
      out = Call(c, in);
    }
    SEPTET_ASSERT_OK(out);
    EXPECT_THAT(
        trace.lines(),
        Contains(HasSubstr(std::string("attention cpu/") +
                           (dtype == DType::kF32 ? "f32 " : "f64 ") +
                           (reference == 1 ? "composite" : "highway"))));
    const Var weights = RandomTensor(out.shape(), dtype, 9);
    const Var loss = Sum(Mul(out, weights));
    if (reference == 1) {
      ScopedReference scope;
      SEPTET_ASSERT_OK_AND_ASSIGN(results[1], tape.Grad(loss, in));
    } else {
      SEPTET_ASSERT_OK_AND_ASSIGN(results[0], tape.Grad(loss, in));
      EXPECT_THAT(trace.lines(), Contains(HasSubstr("attention_grad cpu/")));
    }
    results[reference].push_back(out.tensor());
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    SCOPED_TRACE(i);
    ExpectNear(results[0][i], results[1][i], tolerance);
  }
}

TEST(AttentionTest, KernelMatchesComposite) {
  std::vector<Case> cases = Cases();
  AttentionOptions dropped;
  dropped.dropout = 0.2;
  dropped.dropout_key = {1, 2};
  cases.push_back({"larger",
                   Inputs(2, 4, 2, 67, 131, 16, 24, false),
                   {Lengths({130, 70}), Mask(2, 131)},
                   dropped});
  dropped.layout = AttentionLayout::kBTHD;
  cases.push_back(
      {"one head", Inputs(1, 1, 1, 200, 200, 7, 5, true), {}, dropped});
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ExpectKernelMatchesComposite(c, DType::kF64, 1e-12);
    ExpectKernelMatchesComposite(c, DType::kF32, 2e-5);
  }
}

TEST(AttentionTest, DerivativesOfBothModesAndOrders) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    SEPTET_EXPECT_OK(
        CheckGradients([&](absl::Span<const Var> in) { return Call(c, in); },
                       c.inputs, {1e-5, 2e-6}));
  }
}

// Every axis of every input is a part of a larger tensor.
TEST(AttentionTest, ViewsGiveTheBitsOfCopies) {
  for (const bool time_first : {false, true}) {
    SCOPED_TRACE(time_first);
    for (const int64_t queries : {1, 5}) {
      const std::vector<Tensor> large =
          Inputs(4, 8, 4, 2 * queries, 16, 12, 8, time_first);
      AttentionOptions options;
      if (time_first) options.layout = AttentionLayout::kBTHD;
      // Every second element along one axis or all of them; the first half of
      // the others.
      for (int stepped = 0; stepped <= 4; ++stepped) {
        std::vector<Tensor> views;
        for (const Tensor& x : large) {
          Tensor view = x;
          for (int axis = 0; axis < 4; ++axis) {
            const bool step = stepped == axis || stepped == 4;
            const int64_t end = x.dim(axis);
            view = view.Slice(axis, step ? 1 : 0, step ? end : end / 2,
                              step ? 2 : 1)
                       .value();
          }
          views.push_back(view);
        }
        const Tensor lengths = Lengths({8, 0, 5, 0}).Slice(0, 0, 4, 2).value();
        const Tensor mask = Mask(2, 16).Slice(1, 0, 16, 2).value();
        std::vector<std::vector<double>> results[2];
        for (const bool copy : {false, true}) {
          Tape tape;
          std::vector<Var> in;
          for (const Tensor& view : views) {
            in.push_back(tape.Watch(copy ? view.Clone().value() : view));
          }
          const Var out = Attention(in[0], in[1], in[2],
                                    {copy ? lengths.Clone().value() : lengths,
                                     copy ? mask.Clone().value() : mask},
                                    options);
          SEPTET_ASSERT_OK(out);
          results[copy].push_back(out.tensor().ToVector<double>());
          SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                      tape.Grad(Sum(Square(out)), in));
          for (const Tensor& grad : grads) {
            results[copy].push_back(grad.ToVector<double>());
          }
        }
        EXPECT_EQ(results[0], results[1]) << "axis " << stepped;
      }
    }
  }
}

// Some of q, k and v are constants.
TEST(AttentionTest, DerivativesBySomeOfTheInputs) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    for (unsigned subset = 1; subset < 7; ++subset) {
      std::vector<Tensor> watched;
      for (size_t i = 0; i < 3; ++i) {
        if ((subset >> i & 1) != 0) watched.push_back(c.inputs[i]);
      }
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) {
            std::vector<Var> all;
            size_t n = 0;
            for (size_t i = 0; i < 3; ++i) {
              all.push_back((subset >> i & 1) != 0 ? in[n++]
                                                   : Var(c.inputs[i]));
            }
            return Call(c, all);
          },
          watched, {1e-5, 2e-6}))
          << subset;
    }
  }
}

TEST(AttentionTest, BitsDoNotDependOnThreads) {
  // One head alone, whose gradient is added up of several tasks, and several.
  for (const int64_t heads : {1, 4}) {
    const std::vector<Tensor> inputs =
        Inputs(2, heads, heads == 1 ? 1 : 2, 300, 310, 16, 16, true);
    std::vector<std::vector<float>> want;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      ScopedThreadPool scope(&pool);
      Tape tape;
      std::vector<Var> in;
      for (const Tensor& x : inputs) {
        in.push_back(tape.Watch(x.To(DType::kF32).value()));
      }
      AttentionOptions options;
      options.layout = AttentionLayout::kBTHD;
      options.dropout = 0.1;
      const Var out = Attention(in[0], in[1], in[2], {}, options);
      SEPTET_ASSERT_OK(out);
      SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                  tape.Grad(Sum(Square(out)), in));
      std::vector<std::vector<float>> got = {out.tensor().ToVector<float>()};
      for (const Tensor& grad : grads) got.push_back(grad.ToVector<float>());
      if (want.empty()) want = got;
      EXPECT_EQ(got, want) << threads;
    }
  }
}

// One query of one key head: its keys are cut.
TEST(AttentionTest, BitsOfOneQueryDoNotDependOnThreads) {
  const std::vector<Tensor> in = Inputs(1, 2, 1, 1, 9000, 24, 16, false);
  std::vector<double> want;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    const Var out = Attention(in[0], in[1], in[2]);
    SEPTET_ASSERT_OK(out);
    if (want.empty()) want = out.tensor().ToVector<double>();
    EXPECT_EQ(out.tensor().ToVector<double>(), want) << threads;
    ScopedReference reference;
    ExpectNear(out.tensor(), Attention(in[0], in[1], in[2]).tensor(), 1e-13);
  }
}

TEST(AttentionTest, WhatComesLaterChangesNothing) {
  const std::vector<Tensor> in = Inputs(1, 2, 2, 70, 70, 8, 8, false);
  const Tensor before = Attention(in[0], in[1], in[2]).tensor();
  Tensor k = in[1].Clone().value(), v = in[2].Clone().value();
  const int64_t from = 37;
  for (const Tensor& x : {k, v}) {
    SEPTET_ASSERT_OK(x.Slice(2, from, 70)
                         .value()
                         .CopyFrom(RandomTensor({1, 2, 70 - from, 8},
                                                DType::kF64, 8, -5, 5)));
  }
  const Tensor after = Attention(in[0], k, v).tensor();
  EXPECT_EQ(after.Slice(2, 0, from).value().ToVector<double>(),
            before.Slice(2, 0, from).value().ToVector<double>());
  EXPECT_NE(after.Slice(2, from, 70).value().ToVector<double>(),
            before.Slice(2, from, 70).value().ToVector<double>());
}

TEST(AttentionTest, AConstantInEveryRowOfVComesOut) {
  std::vector<Tensor> in = Inputs(1, 1, 1, 20, 20, 4, 3, false);
  in[2] = Tensor::FromValues<double>({1, 1, 1, 3}, {1, -2, 0.5})
              .value()
              .BroadcastTo({1, 1, 20, 3})
              .value();
  ExpectNear(Attention(in[0], in[1], in[2]).tensor(), in[2], 1e-14);
}

// A step at a time, and some steps at a time, from views of a cache that has
// room for more.
TEST(AttentionTest, CacheGivesWhatTheWholeSequenceGives) {
  for (const bool time_first : {false, true}) {
    AttentionOptions options;
    options.layout =
        time_first ? AttentionLayout::kBTHD : AttentionLayout::kBHTD;
    const int axis = time_first ? 1 : 2;
    const int64_t length = 75;
    const std::vector<Tensor> in =
        Inputs(2, 4, 2, length, length, 8, 8, time_first);
    const Tensor whole = Attention(in[0], in[1], in[2], {}, options).tensor();
    std::vector<Tensor> caches;
    for (int i = 1; i < 3; ++i) {
      std::vector<int64_t> dims(in[i].shape().dims().begin(),
                                in[i].shape().dims().end());
      dims[static_cast<size_t>(axis)] = 128;
      caches.push_back(Tensor::Full(Shape(dims),
                                    std::numeric_limits<double>::quiet_NaN(),
                                    DType::kF64)
                           .value());
    }
    int64_t begin = 0;
    for (const int64_t steps : {30, 1, 1, 40, 3}) {
      const int64_t end = begin + steps;
      for (size_t i = 0; i < 2; ++i) {
        SEPTET_ASSERT_OK(
            caches[i]
                .Slice(axis, begin, end)
                .value()
                .CopyFrom(in[i + 1].Slice(axis, begin, end).value()));
      }
      const Var out =
          Attention(in[0].Slice(axis, begin, end).value(),
                    caches[0].Slice(axis, 0, end).value(),
                    caches[1].Slice(axis, 0, end).value(), {}, options);
      SEPTET_ASSERT_OK(out);
      ExpectNear(out.tensor(), whole.Slice(axis, begin, end).value(), 1e-14);
      // The same with the whole cache and a length: queries that are not
      // causal, because they are aligned with the end of the cache.
      AttentionOptions full = options;
      full.causal = false;
      if (steps == 1) {
        ExpectNear(Attention(in[0].Slice(axis, begin, end).value(), caches[0],
                             caches[1], {Lengths({end, end}), Var()}, full)
                       .tensor(),
                   whole.Slice(axis, begin, end).value(), 1e-14);
      }
      begin = end;
    }
    ASSERT_EQ(begin, length);
  }
}

TEST(AttentionTest, QueriesWithoutKeysGiveZeroAndSendNoGradient) {
  for (const int64_t queries : {1, 3}) {
    Tape tape;
    const std::vector<Tensor> in = Inputs(2, 1, 1, queries, 4, 2, 2, false);
    const Var q = tape.Watch(in[0]);
    const Var k = tape.Watch(in[1]);
    const Var v = tape.Watch(in[2]);
    AttentionOptions options;
    options.causal = false;
    const Var out = Attention(q, k, v, {Lengths({0, 4}), Var()}, options);
    SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                tape.Grad(Sum(out), {q, k, v}));
    for (const Tensor& x : {out.tensor(), grads[0], grads[1], grads[2]}) {
      const Tensor first = x.Slice(0, 0, 1).value();
      EXPECT_EQ(
          first.ToVector<double>(),
          std::vector<double>(static_cast<size_t>(first.num_elements()), 0.0));
    }
    // No keys at all.
    const Var none = Attention(
        in[0], Tensor::Zeros({2, 1, 0, 2}, DType::kF64).value(),
        Tensor::Zeros({2, 1, 0, 3}, DType::kF64).value(), {}, options);
    SEPTET_ASSERT_OK(none);
    EXPECT_EQ(none.tensor().ToVector<double>(),
              std::vector<double>(static_cast<size_t>(6 * queries), 0.0));
  }
}

TEST(AttentionTest, NoQueries) {
  Tape tape;
  const std::vector<Tensor> in = Inputs(1, 1, 1, 0, 4, 2, 3, false);
  const Var k = tape.Watch(in[1]);
  const Var out = Attention(in[0], k, in[2]);
  SEPTET_ASSERT_OK(out);
  EXPECT_EQ(out.shape(), Shape({1, 1, 0, 3}));
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                              tape.Grad(Sum(out), {k}));
  EXPECT_EQ(grads[0].ToVector<double>(), std::vector<double>(8, 0.0));
}

TEST(AttentionTest, DropoutKeepsTheMean) {
  // Of the weights 1 / 64 of 64 keys with the values 1: the number kept, over
  // the number expected.
  const Tensor zeros = Tensor::Zeros({1, 1, 1000, 2}, DType::kF32).value();
  const Tensor keys = Tensor::Zeros({1, 1, 64, 2}, DType::kF32).value();
  const Tensor ones = Tensor::Full({1, 1, 64, 1}, 1, DType::kF32).value();
  AttentionOptions options;
  options.causal = false;
  options.dropout = 0.25;
  const Var out = Attention(zeros, keys, ones, {}, options);
  SEPTET_ASSERT_OK(out);
  // Standard deviation sqrt(p / (1 - p) / 64000) = 0.0023.
  EXPECT_NEAR(Mean(out).tensor().item<double>(), 1.0, 0.01);
  options.dropout_key = {0, 1};
  EXPECT_NE(
      Attention(zeros, keys, ones, {}, options).tensor().ToVector<float>(),
      out.tensor().ToVector<float>());
}

// Values and gradients of q, k and v side by side, and of the three parts.
TEST(JointAttentionTest, GivesTheBitsOfThreeParts) {
  AttentionOptions options;
  options.layout = AttentionLayout::kBTHD;
  for (const auto& [heads, kv_heads] :
       {std::pair<int64_t, int64_t>{1, 1}, {2, 2}, {4, 2}, {6, 1}}) {
    for (const int64_t time : {1, 7, 33}) {
      for (const double dropout : {0.0, 0.3}) {
        options.dropout = dropout;
        const Tensor lengths =
            Tensor::FromValues<int64_t>({2}, {time, time / 2}).value();
        const AttentionMask mask = {lengths, Var(), true};
        for (const DType dtype : {DType::kF32, DType::kF64}) {
          const Tensor x =
              RandomTensor(Shape({2, time, heads + 2 * kv_heads, 8}), dtype, 1);
          const Tensor dout =
              RandomTensor(Shape({2, time, heads, 8}), dtype, 2);
          const auto run = [&](bool joint) {
            Tape tape;
            const Var qkv = tape.Watch(x);
            Var out;
            if (joint) {
              out = JointAttention(qkv, heads, kv_heads, mask, options);
            } else {
              const std::vector<Var> parts =
                  Split(qkv, {heads, kv_heads, kv_heads}, 2);
              out = Attention(parts[0], parts[1], parts[2], mask, options);
            }
            SEPTET_EXPECT_OK(out);
            const auto grads = tape.GradVars({out}, {Var(dout)}, {qkv}, false);
            SEPTET_EXPECT_OK(grads);
            return std::pair(out.tensor().ToVector<double>(),
                             (*grads)[0].tensor().ToVector<double>());
          };
          EXPECT_EQ(run(true), run(false));
        }
      }
    }
  }
}

TEST(JointAttentionTest, DerivativesOfBothModesAndOrders) {
  AttentionOptions options;
  options.layout = AttentionLayout::kBTHD;
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) {
        return JointAttention(in[0], 2, 1, {}, options);
      },
      {RandomTensor({2, 3, 4, 3}, DType::kF64, 1)}));
}

TEST(JointAttentionTest, Errors) {
  const Tensor qkv = RandomTensor({2, 3, 4, 8}, DType::kF32, 1);
  AttentionOptions options;
  const auto expect = [&](const Var& x, int64_t heads, int64_t kv_heads,
                          const char* message) {
    EXPECT_THAT(
        JointAttention(x, heads, kv_heads, {}, options),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  expect(qkv, 2, 1, "layout is kBHTD, expected kBTHD");
  options.layout = AttentionLayout::kBTHD;
  const char* const kHeads =
      "qkv is f32 [2, 3, 4, 8], expected axis 2 to be heads + 2 kv_heads, of ";
  expect(qkv, 1, 1, kHeads);
  expect(qkv, 4, 0, kHeads);
  expect(qkv, 0, 2, kHeads);
  expect(qkv, INT64_MAX, INT64_MAX, kHeads);
  expect(RandomTensor({2, 3, 32}, DType::kF32, 1), 2, 1, "expected rank 4");
  expect(RandomTensor({2, 3, 7, 8}, DType::kF32, 1), 3, 2,
         "3 heads of q are not a multiple of 2 heads of k");
  options.dropout = 1;
  expect(qkv, 2, 1, "dropout is 1");
}

TEST(AttentionTest, Errors) {
  const auto zeros = [](const Shape& shape, DType dtype = DType::kF32) {
    return Tensor::Zeros(shape, dtype).value();
  };
  const Tensor q = zeros({2, 4, 5, 8});
  const Tensor k = zeros({2, 2, 6, 8});
  const Tensor v = zeros({2, 2, 6, 3});
  SEPTET_ASSERT_OK(Attention(q, k, v));
  const auto error = [](const char* text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(Attention(zeros({2, 4, 5}), k, v),
              error("attention: q is f32 [2, 4, 5], expected rank 4"));
  EXPECT_THAT(Attention(zeros({2, 4, 5, 8}, DType::kI64), k, v),
              error("attention: q is i64 [2, 4, 5, 8], expected f32 or f64"));
  EXPECT_THAT(Attention(q, k.To(DType::kF64).value(), v),
              error("dtypes differ: q is f32 [2, 4, 5, 8], k is f64"));
  EXPECT_THAT(Attention(q, k, v.To(DType::kF64).value()),
              error("dtypes differ: q is f32 [2, 4, 5, 8], v is f64"));
  EXPECT_THAT(Attention(q, Var(), v), error("k is not given"));
  EXPECT_THAT(Attention(q, zeros({1, 2, 6, 8}), v),
              error("k is f32 [1, 2, 6, 8], expected axis 0 to be 2 (the batch "
                    "of q)"));
  EXPECT_THAT(Attention(q, zeros({2, 2, 6, 7}), v),
              error("expected axis 3 to be 8 (the width of q)"));
  EXPECT_THAT(Attention(q, k, zeros({2, 4, 6, 3})),
              error("v is f32 [2, 4, 6, 3], expected axis 1 to be 2 (the heads "
                    "of k)"));
  EXPECT_THAT(Attention(q, k, zeros({2, 2, 7, 3})),
              error("expected axis 2 to be 6 (the keys of k)"));
  EXPECT_THAT(Attention(q, zeros({2, 3, 6, 8}), zeros({2, 3, 6, 8})),
              error("4 heads of q are not a multiple of 3 heads of k"));
  EXPECT_THAT(Attention(q, zeros({2, 2, 4, 8}), zeros({2, 2, 4, 8})),
              error("4 keys, expected at least the 5 of q because attention is "
                    "causal"));
  EXPECT_THAT(Attention(zeros({2, 0, 5, 8}), k, v),
              error("q is f32 [2, 0, 5, 8], expected axis 1 to be >= 1"));
  EXPECT_THAT(Attention(q, k, zeros({2, 2, 6, 0})),
              error("v is f32 [2, 2, 6, 0], expected axis 3 to be >= 1"));
  EXPECT_THAT(Attention(q, k, v, {zeros({2}, DType::kI32), Var()}),
              error("key_lengths is i32 [2], expected i64"));
  EXPECT_THAT(Attention(q, k, v, {zeros({3}, DType::kI64), Var()}),
              error("key_lengths is i64 [3], expected axis 0 to be 2"));
  EXPECT_THAT(Attention(q, k, v, {Lengths({6, 7}), Var()}),
              error("key_lengths[1] is 7, expected 0 to 6"));
  EXPECT_THAT(Attention(q, k, v, {Lengths({-1, 6}), Var()}),
              error("key_lengths[0] is -1, expected 0 to 6"));
  {
    ScopedReference reference;
    EXPECT_THAT(Attention(q, k, v, {Lengths({6, 7}), Var()}),
                error("key_lengths[1] is 7, expected 0 to 6"));
  }
  EXPECT_THAT(Attention(q, k, v, {Var(), zeros({2, 6})}),
              error("key_mask is f32 [2, 6], expected bool"));
  EXPECT_THAT(Attention(q, k, v, {Var(), zeros({2, 5}, DType::kBool)}),
              error("key_mask is bool [2, 5], expected axis 1 to be 6"));
  AttentionOptions options;
  options.scale = HUGE_VAL;
  EXPECT_THAT(Attention(q, k, v, {}, options),
              error("scale is inf, expected a finite number"));
  // Finite, but not as a float.
  options.scale = 1e39;
  EXPECT_THAT(Attention(q, k, v, {}, options),
              error("scale is 1e+39, expected a finite f32"));
  options = {};
  for (const double dropout : {-0.1, 1.0, std::nan("")}) {
    options.dropout = dropout;
    EXPECT_THAT(Attention(q, k, v, {}, options),
                error("expected a number in [0, 1)"));
  }
}

}  // namespace
}  // namespace septet
