// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/retention.h"

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
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::Eq;
using ::testing::HasSubstr;

constexpr ScoreNorm kExact[] = {ScoreNorm::kNone, ScoreNorm::kDecay,
                                ScoreNorm::kPaper};

Tensor Integers(std::vector<int64_t> values) {
  return *Tensor::FromValues<int64_t>(
      Shape({static_cast<int64_t>(values.size())}), values);
}

// Gammas 31/32, 63/64, ...
Tensor LogGamma(int64_t heads) { return *LogDecay({}, heads); }

struct Case {
  std::string name;
  // q, k, v, log_gamma, s.
  std::vector<Tensor> inputs;
  RetentionOptions options;
  RetentionState state;  // without s
  Tensor cu_seqlens;
  bool state_out = true;
};

Case MakeCase(std::string name, int64_t batch, int64_t rows, int64_t heads,
              int64_t key_dim, int64_t value_dim, ScoreNorm norm,
              RetentionForm form, int64_t chunk) {
  Case c;
  c.name = std::move(name);
  const DType f64 = DType::kF64;
  c.inputs = {RandomTensor({batch, rows, heads, key_dim}, f64, 1, -2, 2),
              RandomTensor({batch, rows, heads, key_dim}, f64, 2, -2, 2),
              RandomTensor({batch, rows, heads, value_dim}, f64, 3),
              RandomTensor({heads}, f64, 4, -0.5, -0.1),
              RandomTensor({batch, heads, key_dim, value_dim}, f64, 5)};
  c.options.score_norm = norm;
  c.options.form = form;
  c.options.chunk_size = chunk;
  c.options.scale = 0.6;
  for (int64_t i = 0; i < batch; ++i) c.state.position.push_back(3 + i);
  if (norm == ScoreNorm::kPaper) {
    c.state.key_sum = RandomTensor({batch, heads, key_dim}, f64, 6);
  }
  return c;
}

Case Torchscale(ScoreNorm norm, RetentionForm form) {
  Case c = MakeCase("torchscale", 1, 5, 2, 2, 3, norm, form, 2);
  c.inputs.resize(4);
  c.state = {};
  c.state_out = false;
  return c;
}

Case Packed(ScoreNorm norm) {
  Case c =
      MakeCase("packed", 3, 2, 2, 2, 2, norm, RetentionForm::kChunkwise, 2);
  for (size_t i = 0; i < 3; ++i) {
    c.inputs[i] = *c.inputs[i].Reshape({6, 2, 2});
  }
  c.cu_seqlens = Integers({0, 4, 4, 6});
  return c;
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const ScoreNorm norm : kExact) {
    cases.push_back(MakeCase("chunkwise", 2, 5, 2, 2, 3, norm,
                             RetentionForm::kChunkwise, 2));
    cases.push_back(
        MakeCase("parallel", 1, 4, 1, 3, 2, norm, RetentionForm::kParallel, 1));
    cases.push_back(MakeCase("recurrent", 1, 4, 2, 2, 1, norm,
                             RetentionForm::kRecurrent, 3));
    cases.push_back(Packed(norm));
  }
  return cases;
}

// out and the state's matrix, or out alone, in one row.
Var Call(const Case& c, absl::Span<const Var> in) {
  RetentionState state = c.state;
  if (in.size() > 4) state.s = in[4];
  const RetentionOutput result = Retention(
      in[0], in[1], in[2], in[3], c.options, state, c.state_out, c.cu_seqlens);
  if (!c.state_out || !result.out.ok()) return result.out;
  const std::vector<Var> parts = {
      Reshape(result.out, {result.out.tensor().num_elements()}),
      Reshape(result.state.s, {result.state.s.tensor().num_elements()})};
  return Concat(parts, 0);
}

TEST(RetentionTest, Gradients) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name +
                 std::to_string(static_cast<int>(c.options.score_norm)));
    std::vector<Tensor> inputs = c.inputs;
    if (c.options.score_norm == ScoreNorm::kPaper) {
      // The divisor is a constant in the gradient, not in differences: one of 1
      // is in both.
      inputs[0] = Affine(inputs[0], 0.01, 0).tensor();
    }
    // Second derivatives are the composite's, which has one form, and take the
    // square of the inputs' number.
    GradientCheckOptions options;
    options.check_second_order =
        c.name == "parallel" ||
        (c.name == "packed" && c.options.score_norm == ScoreNorm::kDecay);
    SEPTET_EXPECT_OK(
        CheckGradients([&](absl::Span<const Var> in) { return Call(c, in); },
                       inputs, options));
  }
}

// By the kernel and by the composite: outputs and first gradients.
void ExpectKernelMatchesComposite(const Case& c, DType dtype,
                                  double tolerance) {
  std::vector<Tensor> results[2];
  for (int reference = 0; reference < 2; ++reference) {
    Tape tape;
    std::vector<Var> in;
    for (size_t i = 0; i < c.inputs.size(); ++i) {
      // log_gamma is f64 always; torchscale's norms have no gradient of it.
      const Tensor x = i == 3 ? c.inputs[i] : *c.inputs[i].To(dtype);
      in.push_back(i == 3 && !c.state_out ? Var(x) : tape.Watch(x));
    }
    Case cast = c;
    if (c.state.key_sum.defined()) {
      cast.state.key_sum = *c.state.key_sum.tensor().To(dtype);
    }
    DispatchTrace trace;
    Var out;
    if (reference == 1) {
      ScopedReference scope;
      out = Call(cast, in);
    } else {
      out = Call(cast, in);
    }
    SEPTET_ASSERT_OK(out.status());
    EXPECT_THAT(
        trace.lines(),
        Contains(HasSubstr(std::string("retention cpu/") + DTypeName(dtype) +
                           (reference == 1 ? " composite" : " highway"))));
    const Var loss = Sum(Mul(out, RandomTensor(out.shape(), dtype, 9)));
    if (!c.state_out) in.erase(in.begin() + 3);
    if (reference == 1) {
      ScopedReference scope;
      SEPTET_ASSERT_OK_AND_ASSIGN(results[1], tape.Grad(loss, in));
    } else {
      SEPTET_ASSERT_OK_AND_ASSIGN(results[0], tape.Grad(loss, in));
    }
    results[reference].push_back(out.tensor());
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    SCOPED_TRACE(i);
    ExpectNear(results[0][i], results[1][i], tolerance);
  }
}

TEST(RetentionTest, KernelMatchesComposite) {
  std::vector<Case> cases = Cases();
  for (const ScoreNorm norm :
       {ScoreNorm::kTorchscale, ScoreNorm::kTorchscaleLegacy}) {
    for (const RetentionForm form :
         {RetentionForm::kParallel, RetentionForm::kChunkwise}) {
      cases.push_back(Torchscale(norm, form));
      // Divisors above 1, and scores that a scale turns.
      cases.push_back(Torchscale(norm, form));
      cases.back().options.scale = -6;
    }
  }
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name +
                 std::to_string(static_cast<int>(c.options.score_norm)));
    ExpectKernelMatchesComposite(c, DType::kF64, 1e-12);
    ExpectKernelMatchesComposite(c, DType::kF32, 2e-5);
  }
}

// Where a recurrence from position 0 would not end, and sums of powers have
// long been at their limit, or have not for gamma near 1.
TEST(RetentionTest, KernelMatchesCompositeFarAway) {
  for (const ScoreNorm norm : {ScoreNorm::kDecay, ScoreNorm::kPaper}) {
    Case c = MakeCase("far", 2, 5, 3, 2, 3, norm, RetentionForm::kChunkwise, 2);
    c.inputs[3] = *Tensor::FromValues<double>(Shape({3}), {-0.1, -1e-9, 0});
    c.state.position = {1000000007, (int64_t{1} << 53) - 5};
    ExpectKernelMatchesComposite(c, DType::kF64, 1e-12);
    c.options.form = RetentionForm::kRecurrent;
    ExpectKernelMatchesComposite(c, DType::kF64, 1e-12);
  }
}

TEST(RetentionTest, ChunksOfAnyLength) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const ScoreNorm norm : {ScoreNorm::kDecay, ScoreNorm::kTorchscale}) {
    for (const RetentionForm form :
         {RetentionForm::kAuto, RetentionForm::kChunkwise,
          RetentionForm::kRecurrent}) {
      Case c = Torchscale(norm, form);
      c.options.chunk_size = kMost;
      ExpectKernelMatchesComposite(c, DType::kF64, 1e-12);
    }
  }
}

// All forms, chunks and splits of a sequence of 37 rows.
TEST(RetentionTest, FormsChunksAndSplitsAgree) {
  const int64_t rows = 37;
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double tolerance = dtype == DType::kF64 ? 1e-12 : 5e-6;
    const Tensor q = RandomTensor({2, rows, 3, 4}, dtype, 1);
    const Tensor k = RandomTensor({2, rows, 3, 4}, dtype, 2);
    const Tensor v = RandomTensor({2, rows, 3, 6}, dtype, 3);
    const Tensor log_gamma = LogGamma(3);
    for (const ScoreNorm norm : kExact) {
      RetentionOptions options;
      options.score_norm = norm;
      options.form = RetentionForm::kRecurrent;
      const RetentionOutput want =
          Retention(q, k, v, log_gamma, options, {}, true);
      SEPTET_ASSERT_OK(want.out.status());
      const auto expect = [&](const Var& out, const RetentionState& state) {
        SEPTET_ASSERT_OK(out.status());
        ExpectNear(out.tensor(), want.out.tensor(), tolerance);
        ExpectNear(state.s.tensor(), want.state.s.tensor(), tolerance);
        EXPECT_EQ(state.position, want.state.position);
      };
      for (const int64_t chunk : {1, 5, 36, 37, 38, 64}) {
        options.form = RetentionForm::kChunkwise;
        options.chunk_size = chunk;
        const RetentionOutput got =
            Retention(q, k, v, log_gamma, options, {}, true);
        expect(got.out, got.state);
      }
      options.form = RetentionForm::kParallel;
      const RetentionOutput parallel =
          Retention(q, k, v, log_gamma, options, {}, true);
      expect(parallel.out, parallel.state);
      options.form = RetentionForm::kAuto;
      for (int64_t split = 1; split < rows; ++split) {
        RetentionState state;
        std::vector<Var> parts;
        for (const auto& [begin, end] :
             {std::pair<int64_t, int64_t>{0, split}, {split, rows}}) {
          RetentionOutput part = Retention(
              *q.Slice(1, begin, end), *k.Slice(1, begin, end),
              *v.Slice(1, begin, end), log_gamma, options, state, true);
          parts.push_back(part.out);
          state = part.state;
        }
        expect(Concat(parts, 1), state);
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

// All forms and chunks of a long sequence, and the gradients; those of
// log_gamma lose a digit where a chunk has all the rows.
TEST(RetentionTest, LongSequences) {
  const int64_t rows = 4096;
  const std::vector<Tensor> exact = {
      RandomTensor({1, rows, 2, 4}, DType::kF64, 1),
      RandomTensor({1, rows, 2, 4}, DType::kF64, 2),
      RandomTensor({1, rows, 2, 6}, DType::kF64, 3), LogGamma(2)};
  const Tensor weights = RandomTensor({1, rows, 2, 6}, DType::kF64, 4);
  // out, the last state and the gradients of q, k, v and log_gamma.
  const auto run = [&](DType dtype, RetentionForm form, int64_t chunk) {
    Tape tape;
    std::vector<Var> in;
    for (size_t i = 0; i < 4; ++i) {
      in.push_back(tape.Watch(i == 3 ? exact[i] : *exact[i].To(dtype)));
    }
    RetentionOptions options;
    options.form = form;
    options.chunk_size = chunk;
    const RetentionOutput got =
        Retention(in[0], in[1], in[2], in[3], options, {}, true);
    std::vector<Tensor> results =
        *tape.Grad(Sum(Mul(got.out, *weights.To(dtype))), in);
    results.push_back(got.out.tensor());
    results.push_back(got.state.s.tensor());
    return results;
  };
  const std::vector<Tensor> want =
      run(DType::kF64, RetentionForm::kChunkwise, 64);
  const std::pair<RetentionForm, int64_t> forms[] = {
      {RetentionForm::kChunkwise, 1},
      {RetentionForm::kChunkwise, 64},
      {RetentionForm::kChunkwise, 512},
      {RetentionForm::kParallel, 64},
      {RetentionForm::kRecurrent, 64}};
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const bool f64 = dtype == DType::kF64;
    for (const auto& [form, chunk] : forms) {
      SCOPED_TRACE(testing::Message()
                   << DTypeName(dtype) << " " << static_cast<int>(form) << " "
                   << chunk);
      const std::vector<Tensor> got = run(dtype, form, chunk);
      for (size_t i = 0; i < got.size(); ++i) {
        SCOPED_TRACE(i);
        double largest = 0, worst = 0;
        const std::vector<double> a = got[i].ToVector<double>();
        const std::vector<double> b = want[i].ToVector<double>();
        for (size_t j = 0; j < b.size(); ++j) {
          largest = std::max(largest, std::abs(b[j]));
          worst = std::max(worst, std::abs(a[j] - b[j]));
        }
        const double f32 = i == 3 ? 3e-6 : i < 3 ? 2e-5 : 5e-6;
        EXPECT_LE(worst, (f64 ? 1e-12 : f32) * largest);
      }
    }
  }
}

TEST(RetentionTest, StepsAreTheRecurrentForm) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double tolerance = dtype == DType::kF64 ? 1e-12 : 5e-6;
    const int64_t rows = 9, n = 2, heads = 2;
    for (const int64_t key_dim : {1, 3, 8}) {
      const Tensor q = RandomTensor({n, rows, heads, key_dim}, dtype, 1);
      const Tensor k = RandomTensor({n, rows, heads, key_dim}, dtype, 2);
      const Tensor v = RandomTensor({n, rows, heads, 19}, dtype, 3);
      for (const ScoreNorm norm : kExact) {
        RetentionOptions options;
        options.score_norm = norm;
        options.chunk_size = 4;
        options.form = RetentionForm::kChunkwise;
        const RetentionOutput want =
            Retention(q, k, v, LogGamma(heads), options, {}, true);
        Tensor s = *Tensor::Zeros({n, heads, key_dim, 19}, dtype);
        Tensor z = *Tensor::Zeros({n, heads, key_dim}, dtype);
        Tensor out = *Tensor::Empty({n, heads, 19}, dtype);
        std::vector<int64_t> positions = {0, 0};
        for (int64_t t = 0; t < rows; ++t) {
          const auto row = [&](const Tensor& x) {
            return *x.Slice(1, t, t + 1)
                        ->Reshape({x.dim(0), x.dim(2), x.dim(3)});
          };
          SEPTET_ASSERT_OK(RetentionStep(row(q), row(k), row(v),
                                         LogGamma(heads), options, &s, &z,
                                         absl::MakeSpan(positions), &out));
          ExpectNear(out, row(want.out.tensor()), tolerance);
        }
        ExpectNear(s, want.state.s.tensor(), tolerance);
        if (norm == ScoreNorm::kPaper) {
          ExpectNear(z, want.state.key_sum.tensor(), tolerance);
        }
        EXPECT_THAT(positions, testing::ElementsAre(rows, rows));
      }
    }
  }
}

TEST(RetentionTest, SameBitsForAnyNumberOfThreads) {
  const Tensor q = RandomTensor({3, 150, 5, 8}, DType::kF32, 1);
  const Tensor k = RandomTensor({3, 150, 5, 8}, DType::kF32, 2);
  const Tensor v = RandomTensor({3, 150, 5, 16}, DType::kF32, 3);
  std::vector<std::vector<Tensor>> results;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    Tape tape;
    const std::vector<Var> in = {tape.Watch(q), tape.Watch(k), tape.Watch(v),
                                 tape.Watch(LogGamma(5))};
    const Var out = Retention(in[0], in[1], in[2], in[3], {}).out;
    SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                tape.Grad(Sum(Square(out)), in));
    grads.push_back(out.tensor());
    results.push_back(grads);
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_EQ(results[0][i].ToVector<double>(),
              results[1][i].ToVector<double>());
  }
}

TEST(RetentionTest, ViewsAreReadWhereTheyLie) {
  // Heads of q, k and v side by side, as one projection gives them.
  const Tensor joint = RandomTensor({2, 9, 6, 4}, DType::kF64, 1);
  const Tensor q = *joint.Slice(2, 0, 2), k = *joint.Slice(2, 2, 4),
               v = *joint.Slice(2, 4, 6);
  const Var want = Retention(*q.Contiguous(), *k.Contiguous(), *v.Contiguous(),
                             LogGamma(2), {})
                       .out;
  const Var got = Retention(q, k, v, LogGamma(2), {}).out;
  SEPTET_ASSERT_OK(got.status());
  EXPECT_EQ(got.tensor().ToVector<double>(), want.tensor().ToVector<double>());
  // And with the last axis apart.
  const Tensor turned = *q.Permute({0, 1, 3, 2})->Contiguous();
  const Var strided =
      Retention(*turned.Permute({0, 1, 3, 2}), k, v, LogGamma(2), {}).out;
  SEPTET_ASSERT_OK(strided.status());
  EXPECT_EQ(strided.tensor().ToVector<double>(),
            want.tensor().ToVector<double>());
}

TEST(RetentionTest, OffsetsAreReadWhereTheyLie) {
  const Tensor q = RandomTensor({6, 2, 3}, DType::kF64, 1);
  const Tensor pairs =
      *Tensor::FromValues<int64_t>(Shape({4, 2}), {0, 9, 2, -7, 2, 8, 6, 6});
  const Tensor offsets = *(*pairs.Slice(1, 0, 1)).Reshape({4});
  ASSERT_FALSE(offsets.IsContiguous());
  RetentionState state;
  state.s = RandomTensor({3, 2, 3, 3}, DType::kF64, 2);
  state.position = {1, 2, 3};
  const RetentionOutput want =
      Retention(q, q, q, LogGamma(2), {}, state, true, Integers({0, 2, 2, 6}));
  const RetentionOutput got =
      Retention(q, q, q, LogGamma(2), {}, state, true, offsets);
  SEPTET_ASSERT_OK(got.out.status());
  EXPECT_EQ(got.out.tensor().ToVector<double>(),
            want.out.tensor().ToVector<double>());
  EXPECT_EQ(got.state.s.tensor().ToVector<double>(),
            want.state.s.tensor().ToVector<double>());
  EXPECT_THAT(got.state.position, testing::ElementsAre(3, 2, 7));
  // What lies between is not what is checked.
  const Tensor others = *(*pairs.Slice(1, 1, 2)).Reshape({4});
  EXPECT_THAT(
      Retention(q, q, q, LogGamma(2), {}, {}, false, others).out.status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               Eq("retention: cu_seqlens[0] is 9, expected 0")));
}

TEST(RetentionTest, TheKeySumIsAConstantInTheGradient) {
  Case c = MakeCase("", 1, 3, 2, 2, 2, ScoreNorm::kPaper,
                    RetentionForm::kChunkwise, 2);
  Tape tape;
  const Var key_sum = tape.Watch(c.state.key_sum.tensor());
  const Var q = tape.Watch(c.inputs[0]);
  c.state.key_sum = key_sum;
  c.state.s = c.inputs[4];
  const RetentionOutput got = Retention(q, c.inputs[1], c.inputs[2],
                                        c.inputs[3], c.options, c.state, true);
  SEPTET_ASSERT_OK(got.out.status());
  EXPECT_EQ(got.state.key_sum.tape(), nullptr);
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                              tape.Grad(Sum(got.out), {q, key_sum}));
  EXPECT_EQ(grads[1].ToVector<double>(), std::vector<double>(4, 0));
}

TEST(RetentionTest, RowsThatAreOneInMemory) {
  const Tensor one = RandomTensor({1, 1, 1, 4}, DType::kF64, 1);
  const Tensor q = *one.BroadcastTo(Shape({2, 5, 3, 4}));
  Tape tape;
  const Var all = tape.Watch(q), apart = tape.Watch(*q.Contiguous());
  const Var got = Retention(all, all, all, LogGamma(3), {}).out;
  const Var want = Retention(apart, apart, apart, LogGamma(3), {}).out;
  SEPTET_ASSERT_OK(got.status());
  EXPECT_EQ(got.tensor().ToVector<double>(), want.tensor().ToVector<double>());
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> a,
                              tape.Grad(Sum(got), {all}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> b,
                              tape.Grad(Sum(want), {apart}));
  EXPECT_EQ(a[0].ToVector<double>(), b[0].ToVector<double>());
}

TEST(RetentionTest, AnEmptySequenceKeepsItsState) {
  const Tensor s = RandomTensor({1, 1, 2, 2}, DType::kF64, 1);
  RetentionState state;
  state.s = s;
  state.position = {7};
  const Tensor rows = *Tensor::Zeros({1, 0, 1, 2}, DType::kF64);
  Tape tape;
  state.s = tape.Watch(s);
  const RetentionOutput got =
      Retention(rows, rows, rows, LogGamma(1), {}, state, true);
  SEPTET_ASSERT_OK(got.out.status());
  EXPECT_EQ(got.out.shape(), Shape({1, 0, 1, 2}));
  EXPECT_EQ(got.state.s.tensor().ToVector<double>(), s.ToVector<double>());
  EXPECT_THAT(got.state.position, testing::ElementsAre(7));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                              tape.Grad(Sum(got.state.s), {state.s}));
  EXPECT_EQ(grads[0].ToVector<double>(), std::vector<double>(4, 1));
}

TEST(RetentionTest, TheFormsThatAutoStandsFor) {
  EXPECT_EQ(ChooseRetentionForm(128, 64, true), RetentionForm::kParallel);
  EXPECT_EQ(ChooseRetentionForm(129, 64, true), RetentionForm::kChunkwise);
  EXPECT_EQ(ChooseRetentionForm(102, 64, true, 32, 48),
            RetentionForm::kParallel);
  EXPECT_EQ(ChooseRetentionForm(103, 64, true, 32, 48),
            RetentionForm::kChunkwise);
  EXPECT_EQ(ChooseRetentionForm(256, 64, true, 128, 128),
            RetentionForm::kParallel);
  EXPECT_EQ(ChooseRetentionForm(257, 64, true, 128, 128),
            RetentionForm::kChunkwise);
  EXPECT_EQ(ChooseRetentionForm(10, 64, false), RetentionForm::kChunkwise);
  EXPECT_EQ(ChooseRetentionForm(9, 64, false), RetentionForm::kRecurrent);
}

// In the two passes of Checkpoint() the form must be the same, which with
// torchscale's norms is another function.
TEST(RetentionTest, AutoForTrainingWithoutATape) {
  const Tensor q = RandomTensor({20, 2, 4}, DType::kF64, 1);
  RetentionOptions options;
  options.score_norm = ScoreNorm::kTorchscale;
  const auto run = [&](const Var& x, RetentionForm form, bool training) {
    options.form = form;
    options.training = training;
    const Var out = Retention(x, x, x, LogGamma(2), options, {}, false,
                              Integers({0, 12, 20}))
                        .out;
    SEPTET_EXPECT_OK(out.status());
    return out.tensor().ToVector<double>();
  };
  Tape tape;
  const std::vector<double> trained =
      run(tape.Watch(q), RetentionForm::kAuto, false);
  EXPECT_EQ(trained, run(q, RetentionForm::kAuto, true));
  EXPECT_EQ(trained, run(q, RetentionForm::kParallel, false));
  EXPECT_EQ(run(q, RetentionForm::kAuto, false),
            run(q, RetentionForm::kChunkwise, false));
}

TEST(RetentionTest, AutoWithAStateUnderTorchscaleIsRecurrent) {
  const Tensor q = RandomTensor({2, 20, 2, 4}, DType::kF64, 1);
  for (const ScoreNorm norm :
       {ScoreNorm::kTorchscale, ScoreNorm::kTorchscaleLegacy}) {
    RetentionOptions options;
    options.score_norm = norm;
    const auto run = [&](RetentionForm form, const RetentionState& state,
                         bool return_state) {
      options.form = form;
      RetentionOutput got =
          Retention(q, q, q, LogGamma(2), options, state, return_state);
      SEPTET_EXPECT_OK(got.out.status());
      return got;
    };
    const RetentionOutput first = run(RetentionForm::kAuto, {}, true);
    EXPECT_EQ(first.out.tensor().ToVector<double>(),
              run(RetentionForm::kRecurrent, {}, false)
                  .out.tensor()
                  .ToVector<double>());
    EXPECT_EQ(run(RetentionForm::kAuto, first.state, false)
                  .out.tensor()
                  .ToVector<double>(),
              run(RetentionForm::kRecurrent, first.state, false)
                  .out.tensor()
                  .ToVector<double>());
    EXPECT_EQ(
        run(RetentionForm::kAuto, {}, false).out.tensor().ToVector<double>(),
        run(RetentionForm::kChunkwise, {}, false)
            .out.tensor()
            .ToVector<double>());
  }
}

class RetentionErrorTest : public ::testing::Test {
 protected:
  void Expect(const std::string& message) {
    const RetentionOutput got = Retention(q_, k_, v_, log_gamma_, options_,
                                          state_, return_state_, cu_seqlens_);
    EXPECT_THAT(got.out.status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           Eq("retention: " + message)));
    if (return_state_) {
      EXPECT_EQ(got.state.s.status(), got.out.status());
    }
  }

  Var q_ = RandomTensor({2, 3, 2, 4}, DType::kF32, 1);
  Var k_ = RandomTensor({2, 3, 2, 4}, DType::kF32, 2);
  Var v_ = RandomTensor({2, 3, 2, 5}, DType::kF32, 3);
  Var log_gamma_ = LogGamma(2);
  RetentionOptions options_;
  RetentionState state_;
  bool return_state_ = true;
  Tensor cu_seqlens_;
};

TEST_F(RetentionErrorTest, Shapes) {
  k_ = RandomTensor({2, 3, 2, 5}, DType::kF32, 1);
  Expect("k is f32 [2, 3, 2, 5], expected axis 3 to be 4 (the width of q)");
  k_ = RandomTensor({2, 3, 1, 4}, DType::kF32, 1);
  Expect("k is f32 [2, 3, 1, 4], expected axis 2 to be 2 (as q has)");
  k_ = RandomTensor({2, 3, 2, 4}, DType::kF64, 1);
  Expect("dtypes differ: q is f32 [2, 3, 2, 4], k is f64 [2, 3, 2, 4]");
  k_ = q_;
  v_ = RandomTensor({2, 3, 2}, DType::kF32, 1);
  Expect("v is f32 [2, 3, 2], expected rank 4");
  v_ = Tensor::Zeros({2, 3, 2, 0}, DType::kF32);
  Expect("v is f32 [2, 3, 2, 0], expected axis 3 to be >= 1");
  q_ = Var();
  Expect("q is not given");
}

TEST_F(RetentionErrorTest, WhatIsNotGiven) {
  const Var k = k_;
  k_ = Var();
  Expect("k is not given");
  k_ = k;
  const Var v = v_;
  v_ = Var();
  Expect("v is not given");
  v_ = v;
  log_gamma_ = Var();
  Expect("log_gamma is not given");
  log_gamma_ = absl::InvalidArgumentError("retention: an earlier error");
  Expect("an earlier error");
}

TEST_F(RetentionErrorTest, AStateOfMoreElementsThanThereAre) {
  const Tensor one = *Tensor::Zeros({1, 1, 1, 1}, DType::kF32);
  const int64_t wide = int64_t{1} << 40;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor x,
                              one.BroadcastTo(Shape({1, 1, 1, wide})));
  q_ = k_ = v_ = x;
  log_gamma_ = LogGamma(1);
  Expect(
      "shape [1, 1, 1099511627776, 1099511627776] has more elements than fit "
      "into 63 bits");
}

TEST_F(RetentionErrorTest, Decay) {
  log_gamma_ = LogGamma(3);
  Expect("log_gamma is f64 [3], expected axis 0 to be 2 (the heads of q)");
  log_gamma_ = *Tensor::FromValues<double>(Shape({2}), {0, 0.1});
  Expect("log_gamma[1] is 0.1, expected the logarithm of a gamma in (0, 1]");
  log_gamma_ = *Tensor::FromValues<double>(Shape({2}), {-HUGE_VAL, 0});
  Expect("log_gamma[0] is -inf, expected the logarithm of a gamma in (0, 1]");
  log_gamma_ = *LogGamma(2).To(DType::kF32);
  Expect("log_gamma is f32 [2], expected f64");
}

TEST_F(RetentionErrorTest, Options) {
  options_.chunk_size = 0;
  Expect("chunk_size is 0, expected at least 1");
  options_.chunk_size = 1;
  options_.scale = std::numeric_limits<double>::infinity();
  Expect("scale is inf, expected a finite number");
  options_.scale = 1e300;
  Expect("scale is 1e+300, expected a finite number");
}

TEST_F(RetentionErrorTest, States) {
  state_.s = RandomTensor({2, 2, 4, 4}, DType::kF32, 1);
  Expect("state.position has 0 values, expected one for each of 2 sequences");
  state_.position = {0, 0};
  Expect("state.s is f32 [2, 2, 4, 4], expected [2, 2, 4, 5]");
  state_.position = {0, -1};
  Expect("state.position[1] is -1, expected 0 to 9007199254740992");
  state_.position = {std::numeric_limits<int64_t>::max(), 0};
  Expect(
      "state.position[0] is 9223372036854775807, expected 0 to "
      "9007199254740992");
  state_.position = {0, 0};
  state_.s = RandomTensor({2, 2, 4, 5}, DType::kF32, 1);
  options_.score_norm = ScoreNorm::kPaper;
  Expect("state.key_sum is not given, expected the one that kPaper left");
  state_.key_sum = RandomTensor({2, 2, 5}, DType::kF32, 1);
  Expect("state.key_sum is f32 [2, 2, 5], expected [2, 2, 4]");
  state_ = {};
  q_ = k_ = Tensor::Zeros({2, 0, 2, 4}, DType::kF32);
  v_ = Tensor::Zeros({2, 0, 2, 5}, DType::kF32);
  Expect(
      "q is f32 [2, 0, 2, 4]: no rows and no state, expected one of the two");
}

TEST_F(RetentionErrorTest, TorchscaleHasNoStates) {
  for (const ScoreNorm norm :
       {ScoreNorm::kTorchscale, ScoreNorm::kTorchscaleLegacy}) {
    for (const RetentionForm form :
         {RetentionForm::kParallel, RetentionForm::kChunkwise}) {
      options_.score_norm = norm;
      options_.form = form;
      Expect(
          "the parallel and chunkwise forms with the score norm of torchscale "
          "have no state before or behind them; its recurrent form has, and so "
          "have all forms with kDecay");
    }
  }
}

TEST_F(RetentionErrorTest, PackedSequences) {
  q_ = k_ = RandomTensor({6, 2, 4}, DType::kF32, 1);
  v_ = RandomTensor({6, 2, 5}, DType::kF32, 1);
  cu_seqlens_ = Integers({0, 4, 3, 6});
  Expect("cu_seqlens[2] is 3, expected at least 4, the one before");
  cu_seqlens_ = Integers({0, 4});
  Expect("cu_seqlens[1] is 4, expected the 6 rows of q");
  cu_seqlens_ = Integers({1, 6});
  Expect("cu_seqlens[0] is 1, expected 0");
  cu_seqlens_ = Integers({0});
  Expect("cu_seqlens is i64 [1], expected at least a beginning and an end");
  state_.position = {0};
  cu_seqlens_ = Integers({});
  Expect("cu_seqlens is i64 [0], expected at least a beginning and an end");
  state_ = {};
  cu_seqlens_ = RandomTensor({2}, DType::kF32, 1);
  Expect("cu_seqlens is f32 [2], expected i64");
  cu_seqlens_ = Integers({0, 6});
  q_ = RandomTensor({1, 6, 2, 4}, DType::kF32, 1);
  Expect("q is f32 [1, 6, 2, 4], expected rank 3");
}

TEST_F(RetentionErrorTest, LogGammaUnderTorchscale) {
  Tape tape;
  const Var log_gamma = tape.Watch(LogGamma(2));
  options_.score_norm = ScoreNorm::kTorchscale;
  const Var out = Retention(q_, k_, v_, log_gamma, options_).out;
  SEPTET_ASSERT_OK(out.status());
  EXPECT_THAT(tape.Grad(Sum(out), {log_gamma}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("log_gamma has no gradient with the score "
                                 "norms of torchscale")));
}

TEST_F(RetentionErrorTest, Steps) {
  Tensor q = RandomTensor({2, 2, 4}, DType::kF32, 1);
  Tensor v = RandomTensor({2, 2, 5}, DType::kF32, 1);
  Tensor s = *Tensor::Zeros({2, 2, 4, 5}, DType::kF32);
  Tensor out = *Tensor::Zeros({2, 2, 5}, DType::kF32);
  std::vector<int64_t> positions = {0, 0};
  const auto expect = [&](const Tensor& k, Tensor* state,
                          const std::string& message) {
    EXPECT_THAT(RetentionStep(q, k, v, LogGamma(2), options_, state, nullptr,
                              absl::MakeSpan(positions), &out),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         Eq("retention step: " + message)));
  };
  Tensor half = *s.To(DType::kBF16);
  expect(q, &half,
         "s is bf16 [2, 2, 4, 5], expected f32 [2, 2, 4, 5] without gaps");
  expect(v, &s,
         "k is f32 [2, 2, 5], expected f32 [2, 2, 4] with rows without gaps");
  options_.score_norm = ScoreNorm::kPaper;
  expect(q, &s, "key_sum is not given");
  options_.score_norm = ScoreNorm::kDecay;
  positions = {0};
  expect(q, &s,
         "state.position has 1 values, expected one for each of 2 sequences");
  positions = {0, -3};
  expect(q, &s, "state.position[1] is -3, expected 0 to 9007199254740992");
  positions = {0, 0};
  options_.scale = std::nan("");
  expect(q, &s, "scale is nan, expected a finite number");
  options_.scale = 0;
  v = *Tensor::Zeros({2, 2, 0}, DType::kF32);
  out = *Tensor::Zeros({2, 2, 0}, DType::kF32);
  Tensor none = *Tensor::Zeros({2, 2, 4, 0}, DType::kF32);
  expect(q, &none, "s is f32 [2, 2, 4, 0], expected no empty axis");
  EXPECT_EQ(s.ToVector<float>(), std::vector<float>(80, 0));
  EXPECT_THAT(positions, testing::ElementsAre(0, 0));
}

}  // namespace
}  // namespace septet
