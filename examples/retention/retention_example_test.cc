// SPDX-License-Identifier: Apache-2.0
// The snippet of retention/README.md: a RetNet learns a text that repeats,
// reads a prompt in chunks, and goes on with it a token at a time.
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/optim/adam.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

absl::Status LearnAndContinue(std::vector<int64_t>* continuation) {
  // Tokens 0 1 2 3 4 0 1 2 ...; each one's target is the next.
  std::vector<int64_t> text, next;
  for (int64_t t = 0; t < 64; ++t) {
    text.push_back(t % 5);
    next.push_back((t + 1) % 5);
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor tokens,
                          Tensor::FromValues<int64_t>(Shape({2, 32}), text));
  SEPTET_ASSIGN_OR_RETURN(const Tensor targets,
                          Tensor::FromValues<int64_t>(Shape({2, 32}), next));

  ParameterStore store;
  SEPTET_ASSIGN_OR_RETURN(
      const RetNet model,
      RetNet::Create(DefaultRetNetOptions(/*vocab_size=*/5, /*dim=*/32,
                                          /*layers=*/2, /*heads=*/2),
                     ParameterScope(&store, {/*seed=*/1})));
  AdamOptions adam_options;
  adam_options.lr = 1e-2;
  SEPTET_ASSIGN_OR_RETURN(Adam adam,
                          Adam::Create(adam_options, store.trained()));
  Tape tape;
  for (uint64_t step = 0; step < 40; ++step) {
    tape.Reset();
    const BoundParameters p = store.Watch(&tape);
    RetNetInput input;
    input.tokens = tokens;
    const Var loss =
        model.Loss(p, Pass::Training(/*seed=*/1, step), input, targets);
    SEPTET_ASSIGN_OR_RETURN(const std::vector<Tensor> grads,
                            tape.Grad(loss, p.trained()));
    SEPTET_RETURN_IF_ERROR(adam.Step(store.trained(), grads));
  }

  const BoundParameters p = store.Bind();
  SEPTET_ASSIGN_OR_RETURN(RetNetPrefill prompt,
                          model.Prefill(p, {{0, 1, 2, 3, 4, 0, 1}}));
  Tensor logits = prompt.logits;  // [1, 5]
  for (int i = 0; i < 8; ++i) {
    const float* const row = logits.data<float>();
    int64_t best = 0;
    for (int64_t v = 1; v < 5; ++v) {
      if (row[v] > row[best]) best = v;
    }
    continuation->push_back(best);
    SEPTET_ASSIGN_OR_RETURN(const Tensor token,
                            Tensor::FromValues<int64_t>(Shape({1}), {best}));
    SEPTET_ASSIGN_OR_RETURN(logits, model.DecodeStep(p, token, &prompt.cache));
  }
  return absl::OkStatus();
}

TEST(RetentionExampleTest, GoesOnAsItLearned) {
  std::vector<int64_t> continuation;
  SEPTET_ASSERT_OK(LearnAndContinue(&continuation));
  EXPECT_EQ(continuation, (std::vector<int64_t>{2, 3, 4, 0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace septet
