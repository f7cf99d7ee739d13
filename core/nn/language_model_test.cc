// SPDX-License-Identifier: Apache-2.0
// A whole training run, as an example and as a test: a transformer of two
// layers learns one sentence byte by byte, and then writes it down.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/nn/rotary_positions.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/loss.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/clip.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr absl::string_view kText =
    "In the beginning there was nothing, which exploded.\n";

absl::StatusOr<Tensor> Bytes(absl::string_view text) {
  const std::vector<int64_t> ids(text.begin(), text.end());
  return Tensor::FromValues<int64_t>({1, static_cast<int64_t>(ids.size())},
                                     ids);
}

struct Result {
  double first_loss = 0;
  double last_loss = 0;
  std::string written;
  std::vector<float> parameters;
};

absl::StatusOr<Result> LearnAndWrite(uint64_t seed) {
  TransformerOptions options = RotarySwiGluOptions(
      /*vocab_size=*/128, /*dim=*/32, /*layers=*/2, /*heads=*/2);
  options.attention_out_dropout = 0.05;
  options.ffn_dropout = 0.05;
  RotaryPositionsOptions rotary;
  SEPTET_ASSIGN_OR_RETURN(rotary.frequencies, RotaryFrequencies(16));
  ParameterStore store;
  SEPTET_ASSIGN_OR_RETURN(
      const Transformer model,
      Transformer::Create(options, std::make_unique<RotaryPositions>(rotary),
                          ParameterScope(&store, {seed, DType::kF32})));

  TransformerInput input;
  SEPTET_ASSIGN_OR_RETURN(input.tokens,
                          Bytes(kText.substr(0, kText.size() - 1)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor targets, Bytes(kText.substr(1)));
  AdamOptions adam_options;
  adam_options.beta2 = 0.98;
  adam_options.weight_decay = 0.01;
  SEPTET_ASSIGN_OR_RETURN(Adam adam, Adam::Create(adam_options, store.trained(),
                                                  store.trained_decay()));

  Result result;
  Tape tape;
  BoundParameters p;
  for (int step = 0; step < 80; ++step) {
    tape.Reset();
    store.Watch(&tape, &p);
    const Var logits = model.Forward(p, Pass::Training(seed, step), input);
    const Var loss = CrossEntropy(logits, targets);
    SEPTET_ASSIGN_OR_RETURN(std::vector<Tensor> grads,
                            tape.Grad(loss, p.trained()));
    SEPTET_RETURN_IF_ERROR(ClipGradNorm(grads, {1.0}));
    SEPTET_RETURN_IF_ERROR(adam.Step(store.trained(), grads, 1e-2));
    if (step == 0) result.first_loss = loss.tensor().item<float>();
  }
  store.Bind(&p);
  const Var loss = CrossEntropy(model.Forward(p, Pass(), input), targets);
  SEPTET_RETURN_IF_ERROR(loss.status());
  result.last_loss = loss.tensor().item<float>();

  // Writes from the first two bytes on, always taking the likeliest.
  const int64_t length = static_cast<int64_t>(kText.size());
  SEPTET_ASSIGN_OR_RETURN(KvCache cache,
                          model.MakeCache(1, length, DType::kF32));
  result.written = std::string(kText.substr(0, 2));
  SEPTET_ASSIGN_OR_RETURN(Tensor token, Bytes(result.written));
  while (static_cast<int64_t>(result.written.size()) < length) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor logits,
                            model.Extend(p, token, &cache));
    token = ArgMax(logits).tensor();
    result.written.push_back(static_cast<char>(token.item<int64_t>()));
  }
  for (const Tensor& t : store.trained()) {
    const std::vector<float> values = t.ToVector<float>();
    result.parameters.insert(result.parameters.end(), values.begin(),
                             values.end());
  }
  return result;
}

TEST(LanguageModelTest, LearnsASentenceAndWritesIt) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Result result, LearnAndWrite(1));
  // Nothing is known at first: log 128 = 4.85 and what the first values add.
  EXPECT_GT(result.first_loss, 4.5);
  EXPECT_LT(result.last_loss, 0.1);
  EXPECT_EQ(result.written, kText);
}

TEST(LanguageModelTest, SeedsDecideTheBitsAndThreadsDoNot) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Result one, LearnAndWrite(1));
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    SEPTET_ASSERT_OK_AND_ASSIGN(const Result other, LearnAndWrite(1));
    EXPECT_EQ(other.parameters, one.parameters);
    EXPECT_EQ(other.last_loss, one.last_loss);
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const Result two, LearnAndWrite(2));
  EXPECT_NE(two.parameters, one.parameters);
}

}  // namespace
}  // namespace septet
