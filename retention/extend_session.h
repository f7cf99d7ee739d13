// SPDX-License-Identifier: Apache-2.0
// Models that are continued by Extend(), with a cache or a state whose rows can
// be selected, as sessions that write (retention/generate.h): the Transformer
// of core/nn/transformer.h with a KvCache, and the recurrent baselines with a
// RecurrentState.
//
//   ExtendSession<Transformer, KvCache> session(
//       &model, &p, [&](int64_t rows) {
//         return model.MakeCache(rows, /*capacity=*/512, DType::kF32);
//       });
//   SEPTET_ASSIGN_OR_RETURN(GenerationResult result,
//                           Generate(&session, {prompt}, options));
//
// Errors are those of Extend(), Select() and what makes the state.
#ifndef SEPTET_RETENTION_EXTEND_SESSION_H_
#define SEPTET_RETENTION_EXTEND_SESSION_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/generate.h"

namespace septet {

template <class Model, class State>
class ExtendSession : public GenerationSession {
 public:
  // Model and parameters, which are on no tape, must outlive this. `make` makes
  // the state of so many rows that have read nothing.
  ExtendSession(const Model* model, const BoundParameters* p,
                std::function<absl::StatusOr<State>(int64_t rows)> make)
      : model_(model), p_(p), make_(std::move(make)) {}

  int64_t vocab_size() const override { return model_->options().vocab_size; }

  absl::StatusOr<Tensor> Begin(
      absl::Span<const std::vector<int64_t>> prompts) override {
    const auto rows = static_cast<int64_t>(prompts.size());
    size_t time = 0;
    for (const std::vector<int64_t>& prompt : prompts) {
      time = std::max(time, prompt.size());
    }
    std::vector<int64_t> tokens, lengths;
    for (const std::vector<int64_t>& prompt : prompts) {
      tokens.insert(tokens.end(), prompt.begin(), prompt.end());
      tokens.insert(tokens.end(), time - prompt.size(), 0);
      lengths.push_back(static_cast<int64_t>(prompt.size()));
    }
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor ids,
        Tensor::FromValues<int64_t>(Shape({rows, static_cast<int64_t>(time)}),
                                    tokens));
    ExtendOptions options;
    if (std::any_of(prompts.begin(), prompts.end(),
                    [&](const auto& prompt) { return prompt.size() < time; })) {
      SEPTET_ASSIGN_OR_RETURN(
          options.lengths, Tensor::FromValues<int64_t>(Shape({rows}), lengths));
    }
    SEPTET_ASSIGN_OR_RETURN(State state, make_(rows));
    state_.emplace(std::move(state));
    return model_->Extend(*p_, ids, &*state_, options);
  }

  absl::StatusOr<Tensor> Step(const Tensor& tokens) override {
    SEPTET_RETURN_IF_ERROR(CheckBegun());
    return model_->Extend(*p_, tokens, &*state_);
  }

  absl::Status Select(absl::Span<const int64_t> rows) override {
    SEPTET_RETURN_IF_ERROR(CheckBegun());
    SEPTET_ASSIGN_OR_RETURN(State selected, state_->Select(rows));
    state_.emplace(std::move(selected));
    return absl::OkStatus();
  }

  // Null before Begin().
  const State* state() const { return state_.has_value() ? &*state_ : nullptr; }

 private:
  absl::Status CheckBegun() const {
    if (state_.has_value()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "session: no prompt has been read, expected Begin() first");
  }

  const Model* model_;
  const BoundParameters* p_;
  std::function<absl::StatusOr<State>(int64_t rows)> make_;
  std::optional<State> state_;
};

}  // namespace septet

#endif  // SEPTET_RETENTION_EXTEND_SESSION_H_
