// SPDX-License-Identifier: Apache-2.0
// What every recurrent language model must do, for tests: a model has
// Forward(), MakeState() and Extend() as LinearTransformer and Rwkv have them.
#ifndef SEPTET_RETENTION_RECURRENT_MODEL_TESTUTIL_H_
#define SEPTET_RETENTION_RECURRENT_MODEL_TESTUTIL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/loss.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/clip.h"
#include "septet/core/random/philox.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/recurrent_state.h"

namespace septet {

// i64, in 0..vocab-1.
inline Tensor RandomTokens(const Shape& shape, int64_t vocab) {
  Tensor tokens = Tensor::Empty(shape, DType::kI64).value();
  for (int64_t i = 0; i < tokens.num_elements(); ++i) {
    tokens.mutable_data<int64_t>()[i] =
        Philox4x32({1, 2}, {static_cast<uint32_t>(i), 0, 0, 0})[0] % vocab;
  }
  return tokens;
}

// Every parameter uniform in [-range, range]: first values that are 0 hide what
// stands behind them.
inline void Randomise(const ParameterStore& store, double range) {
  uint32_t stream = 100;
  for (const Tensor& x : store.trained()) {
    SEPTET_ASSERT_OK(x.CopyFrom(
        RandomTensor(x.shape(), x.dtype(), stream++, -range, range)));
  }
}

// Rows of x [B, T, V] or of [B, V] by what was computed alone.
inline Tensor Columns(const Tensor& x, int64_t begin, int64_t end) {
  return x.Slice(1, begin, end).value();
}

// In whatever pieces the tokens come, the logits are those of Forward(), and
// the state has the same size.
template <class Model>
void ExpectPiecesGiveTheWhole(const Model& model, const ParameterStore& store,
                              int64_t vocab, DType dtype, double tolerance) {
  constexpr int64_t kBatch = 2, kTime = 23;
  const BoundParameters p = store.Bind();
  const Tensor tokens = RandomTokens({kBatch, kTime}, vocab);
  const Var whole = model.Forward(p, Pass(), tokens);
  SEPTET_ASSERT_OK(whole);
  ExtendOptions all;
  all.all_logits = true;
  for (const int64_t step : {1, 4, 19, 23}) {
    SCOPED_TRACE(step);
    SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState state,
                                model.MakeState(kBatch, dtype));
    const int64_t bytes = state.bytes();
    for (int64_t t = 0; t < kTime; t += step) {
      const int64_t end = std::min(kTime, t + step);
      SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState before, state.Clone());
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor logits,
          model.Extend(p, Columns(tokens, t, end), &state, all));
      ExpectNear(logits, Columns(whole.tensor(), t, end), tolerance);
      // The last token's alone.
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor last, model.Extend(p, Columns(tokens, t, end), &before));
      ExpectNear(last,
                 *Columns(logits, end - t - 1, end - t)
                      .Contiguous()
                      ->Reshape({kBatch, vocab}),
                 tolerance);
      EXPECT_EQ(state.length(), end);
      EXPECT_EQ(before.length(), end);
    }
    EXPECT_EQ(state.bytes(), bytes);
  }
}

// Prompts of several lengths, and what follows them, are as each row alone.
template <class Model>
void ExpectRaggedPrompts(const Model& model, const ParameterStore& store,
                         int64_t vocab, DType dtype, double tolerance) {
  constexpr int64_t kBatch = 3, kTime = 9;
  const std::vector<int64_t> lengths = {4, 9, 1};
  const BoundParameters p = store.Bind();
  const Tensor tokens = RandomTokens({kBatch, kTime}, vocab);
  const Tensor next = RandomTokens({kBatch}, vocab);
  ExtendOptions options;
  options.lengths = *Tensor::FromValues<int64_t>({kBatch}, lengths);
  options.all_logits = true;
  SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState state,
                              model.MakeState(kBatch, dtype));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor logits,
                              model.Extend(p, tokens, &state, options));
  ASSERT_EQ(logits.shape(), Shape({kBatch, kTime, vocab}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor after,
                              model.Extend(p, next, &state));
  // The same for the last two rows, exchanged.
  SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState fresh,
                              model.MakeState(kBatch, dtype));
  options.all_logits = false;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor last,
                              model.Extend(p, tokens, &fresh, options));
  SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState selected, fresh.Select({2, 1}));
  EXPECT_EQ(selected.batch(), 2);
  EXPECT_EQ(selected.length(), kTime);
  EXPECT_EQ(selected.bytes() * kBatch, fresh.bytes() * 2);
  const std::vector<int64_t> ids = next.ToVector<int64_t>();
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor exchanged,
      model.Extend(p, *Tensor::FromValues<int64_t>({2}, {ids[2], ids[1]}),
                   &selected));
  for (int64_t b = 0; b < kBatch; ++b) {
    SCOPED_TRACE(b);
    const int64_t length = lengths[static_cast<size_t>(b)];
    const Tensor row = *tokens.Slice(0, b, b + 1);
    SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState alone,
                                model.MakeState(1, dtype));
    ExtendOptions all;
    all.all_logits = true;
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor want,
        model.Extend(p, Columns(row, 0, length), &alone, all));
    const Tensor got = *logits.Slice(0, b, b + 1);
    ExpectNear(Columns(got, kTime - length, kTime), want, tolerance);
    for (const double x :
         Columns(got, 0, kTime - length).template ToVector<double>()) {
      ASSERT_EQ(x, 0);
    }
    ExpectNear(
        *last.Slice(0, b, b + 1),
        *Columns(want, length - 1, length).Contiguous()->Reshape({1, vocab}),
        tolerance);
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor following,
        model.Extend(p, *next.Slice(0, b, b + 1), &alone));
    ExpectNear(*after.Slice(0, b, b + 1), following, tolerance);
    if (b > 0) {
      ExpectNear(*exchanged.Slice(0, 2 - b, 3 - b), following, tolerance);
    }
  }
}

// What Extend() and the state answer to wrong arguments, `other` being the
// state of another model of the same batch.
template <class Model>
void ExpectExtendErrors(const Model& model, const ParameterStore& store,
                        int64_t vocab, DType dtype, const std::string& name,
                        RecurrentState* other) {
  using ::testing::HasSubstr;
  const BoundParameters p = store.Bind();
  const auto expect = [&](const absl::Status& status, absl::StatusCode code,
                          const std::string& text) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const auto failed = absl::StatusCode::kFailedPrecondition;
  expect(model.MakeState(0, dtype).status(), invalid,
         name + ": batch is 0, expected >= 1");
  expect(model.MakeState(1, DType::kI64).status(), invalid,
         name + ": dtype of the state is i64, expected f32 or f64");
  expect(model.MakeState(int64_t{1} << 61, dtype).status(), invalid, "");
  SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState state, model.MakeState(2, dtype));
  const auto extend = [&](const Tensor& tokens,
                          const ExtendOptions& options = {}) {
    return model.Extend(p, tokens, &state, options).status();
  };
  expect(extend({}), invalid,
         name + ": tokens are not given, expected [2, T] or [2]");
  expect(extend(RandomTokens({3, 2}, vocab)), invalid,
         "expected [2, T] or [2], as the state has");
  expect(extend(RandomTokens({2, 0}, vocab)), invalid, "expected [2, T]");
  expect(extend(RandomTokens({2, 1, 1}, vocab)), invalid, "expected [2, T]");
  expect(extend(*RandomTokens({2, 1}, vocab).To(DType::kF32)), invalid,
         "expected i32 or i64");
  expect(extend(*Tensor::FromValues<int64_t>({2}, {0, vocab})), invalid,
         std::to_string(vocab));
  const Tensor tokens = RandomTokens({2, 3}, vocab);
  ExtendOptions options;
  options.lengths = *Tensor::FromValues<int64_t>({2}, {3, 4});
  expect(extend(tokens, options), invalid,
         name + ": lengths[1] is 4, expected 1 to 3");
  options.lengths = *Tensor::FromValues<int64_t>({2}, {0, 3});
  expect(extend(tokens, options), invalid, "lengths[0] is 0");
  options.lengths = *Tensor::FromValues<int64_t>({3}, {1, 1, 1});
  expect(extend(tokens, options), invalid, "expected i64 [2]");
  SEPTET_ASSERT_OK_AND_ASSIGN(
      RecurrentState wide,
      model.MakeState(2, dtype == DType::kF64 ? DType::kF32 : DType::kF64));
  expect(model.Extend(p, tokens, &wide).status(), invalid, "dtypes differ");
  EXPECT_EQ(wide.length(), 0);
  EXPECT_EQ(state.length(), 0);
  // Nothing of all this has changed the state.
  SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState fresh, model.MakeState(2, dtype));
  for (size_t i = 0; i < state.tensors().size(); ++i) {
    EXPECT_EQ(state.tensors()[i].ToVector<double>(),
              fresh.tensors()[i].ToVector<double>());
  }
  SEPTET_EXPECT_OK(extend(tokens));
  options.lengths = *Tensor::FromValues<int64_t>({2}, {1, 1});
  expect(extend(tokens, options), failed,
         name + ": lengths are for the first tokens, but the state has read 3");
  Tape tape;
  const BoundParameters watched = store.Watch(&tape);
  expect(model.Extend(watched, tokens, &state).status(), failed,
         name + ": parameters are on a tape");
  expect(model.Extend(p, tokens, other).status(), invalid, "of the state");
  RecurrentState empty(2, {});
  expect(model.Extend(p, tokens, &empty).status(), invalid,
         name + ": the state has 0 tensors, expected ");
  expect(state.Select({}).status(), invalid, "no rows are selected");
  expect(state.Select({0, 2}).status(), invalid,
         "rows[1] is 2, expected 0 to 1");
  expect(state.Select({-1}).status(), invalid, "rows[0] is -1");
  expect(model.Forward(p, Pass(), {}).status(), invalid,
         name + ": tokens are not given, expected [B, T]");
  expect(model.Forward(p, Pass(), RandomTokens({2}, vocab)).status(), invalid,
         "expected [B, T]");
}

struct LearningResult {
  double first_loss = 0;
  double last_loss = 0;
  std::string written;
  std::vector<float> parameters;
};

// Trains a model of the bytes below 128 on one sentence, and lets it write from
// the first two bytes on, always the likeliest.
template <class Model>
absl::StatusOr<LearningResult> LearnASentence(const Model& model,
                                              ParameterStore* store,
                                              absl::string_view text, int steps,
                                              double lr) {
  const auto bytes = [](absl::string_view part) {
    const std::vector<int64_t> ids(part.begin(), part.end());
    return Tensor::FromValues<int64_t>({1, static_cast<int64_t>(ids.size())},
                                       ids);
  };
  SEPTET_ASSIGN_OR_RETURN(const Tensor tokens,
                          bytes(text.substr(0, text.size() - 1)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor targets, bytes(text.substr(1)));
  AdamOptions adam_options;
  adam_options.beta2 = 0.98;
  SEPTET_ASSIGN_OR_RETURN(
      Adam adam,
      Adam::Create(adam_options, store->trained(), store->trained_decay()));
  LearningResult result;
  Tape tape;
  BoundParameters p;
  for (int step = 0; step < steps; ++step) {
    tape.Reset();
    store->Watch(&tape, &p);
    const Var loss = CrossEntropy(
        model.Forward(p, Pass::Training(1, static_cast<uint64_t>(step)),
                      tokens),
        targets);
    SEPTET_ASSIGN_OR_RETURN(std::vector<Tensor> grads,
                            tape.Grad(loss, p.trained()));
    SEPTET_RETURN_IF_ERROR(ClipGradNorm(grads, {1.0}));
    SEPTET_RETURN_IF_ERROR(adam.Step(store->trained(), grads, lr));
    if (step == 0) result.first_loss = loss.tensor().item<float>();
  }
  store->Bind(&p);
  const Var loss = CrossEntropy(model.Forward(p, Pass(), tokens), targets);
  SEPTET_RETURN_IF_ERROR(loss.status());
  result.last_loss = loss.tensor().item<float>();

  SEPTET_ASSIGN_OR_RETURN(RecurrentState state,
                          model.MakeState(1, DType::kF32));
  result.written = std::string(text.substr(0, 2));
  SEPTET_ASSIGN_OR_RETURN(Tensor token, bytes(result.written));
  while (result.written.size() < text.size()) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor logits,
                            model.Extend(p, token, &state));
    token = ArgMax(logits).tensor();
    result.written.push_back(static_cast<char>(token.item<int64_t>()));
  }
  for (const Tensor& t : store->trained()) {
    const std::vector<float> values = t.ToVector<float>();
    result.parameters.insert(result.parameters.end(), values.begin(),
                             values.end());
  }
  return result;
}

// Vectors and matrices in plain loops, for models written down once more.
using TestVector = std::vector<double>;

inline TestVector Times(const TestVector& x, const TestVector& w) {
  const size_t out = w.size() / x.size();
  TestVector y(out);
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = 0; j < out; ++j) y[j] += x[i] * w[i * out + j];
  }
  return y;
}
// By a weight [out, in].
inline TestVector TimesTransposed(const TestVector& x, const TestVector& w) {
  TestVector y(w.size() / x.size());
  for (size_t j = 0; j < y.size(); ++j) {
    for (size_t i = 0; i < x.size(); ++i) y[j] += x[i] * w[j * x.size() + i];
  }
  return y;
}
inline TestVector Plus(const TestVector& x, const TestVector& y) {
  TestVector z(x.size());
  for (size_t i = 0; i < x.size(); ++i) z[i] = x[i] + y[i];
  return z;
}
inline double TestSigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The values of a parameter.
inline TestVector ValuesOf(const ParameterStore& store,
                           const std::string& name) {
  return store.tensor(store.Find(name).value()).ToVector<double>();
}

}  // namespace septet

#endif  // SEPTET_RETENTION_RECURRENT_MODEL_TESTUTIL_H_
