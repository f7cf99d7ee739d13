// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/score.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/loss.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/retention/decode_cache.h"
#include "septet/retention/retention.h"

namespace septet {
namespace {

constexpr const char* kName = "score";

absl::StatusOr<Tensor> Vector(const std::vector<int64_t>& values) {
  return Tensor::FromValues<int64_t>(
      Shape({static_cast<int64_t>(values.size())}), values);
}

// The form that takes a state and gives one.
RetentionForm FormOf(const RetNet& model) {
  const ScoreNorm norm = model.options().retention.score_norm;
  return norm == ScoreNorm::kTorchscale || norm == ScoreNorm::kTorchscaleLegacy
             ? RetentionForm::kRecurrent
             : RetentionForm::kAuto;
}

absl::Status CheckTokens(absl::string_view name,
                         const std::vector<int64_t>& tokens, int64_t vocab) {
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] >= 0 && tokens[t] < vocab) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": ", name, "[", t, "] is ", tokens[t],
                     ", expected a token in 0 to ", vocab - 1));
  }
  return absl::OkStatus();
}

absl::Status CheckParameters(const BoundParameters& p) {
  for (const Var& var : p.trained()) {
    if (var.tape() == nullptr) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(kName,
                     ": parameters are on a tape, but nothing is "
                     "differentiated"));
  }
  return absl::OkStatus();
}

// Texts one behind the other, and what is asked of them.
struct Packed {
  std::vector<int64_t> tokens;
  std::vector<int64_t> offsets = {0};
  // Rows whose next token's loss counts, and that token.
  std::vector<int64_t> rows;
  std::vector<int64_t> targets;

  void Add(int64_t token) { tokens.push_back(token); }
  void Count(int64_t target) {
    rows.push_back(static_cast<int64_t>(tokens.size()) - 1);
    targets.push_back(target);
  }
  void End() { offsets.push_back(static_cast<int64_t>(tokens.size())); }
};

struct Answer {
  std::vector<double> losses;
  std::vector<int64_t> best;  // the likeliest token
};

absl::StatusOr<Answer> Judge(const Tensor& logits,
                             const std::vector<int64_t>& targets) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor classes, Vector(targets));
  CrossEntropyOptions options;
  options.reduction = LossReduction::kNone;
  options.ignore_index = -1;
  const Var losses = CrossEntropy(logits, classes, options);
  SEPTET_RETURN_IF_ERROR(losses.status()) << kName;
  const Var best = ArgMax(logits);
  SEPTET_RETURN_IF_ERROR(best.status()) << kName;
  SEPTET_ASSIGN_OR_RETURN(const Tensor exact, losses.tensor().To(DType::kF64));
  return Answer{exact.ToVector<double>(), best.tensor().ToVector<int64_t>()};
}

// Reads `text` behind *state, where it is left if that is not null.
absl::StatusOr<Answer> Read(const RetNet& model, const BoundParameters& p,
                            const Packed& text,
                            std::vector<RetentionState> state,
                            std::vector<RetentionState>* final_state) {
  RetNetInput input;
  SEPTET_ASSIGN_OR_RETURN(input.tokens, Vector(text.tokens));
  SEPTET_ASSIGN_OR_RETURN(input.cu_seqlens, Vector(text.offsets));
  input.form = FormOf(model);
  input.state = state;
  input.final_state = final_state;
  const Var h = model.Hidden(p, Pass(), input);
  SEPTET_RETURN_IF_ERROR(h.status()) << kName;
  SEPTET_ASSIGN_OR_RETURN(const Tensor rows, Vector(text.rows));
  // Of what counts alone: the head is most of a small model.
  const Var logits = model.Logits(p, IndexSelect(h, 0, rows));
  SEPTET_RETURN_IF_ERROR(logits.status()) << kName;
  return Judge(logits.tensor(), text.targets);
}

absl::Status CheckLoss(double loss, absl::string_view name, size_t place) {
  if (!std::isnan(loss)) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(kName, ": the loss of ", name, "[",
                                          place, "] is not a number"));
}

}  // namespace

absl::Status TokenLossOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "segment", segment, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "rows", rows, 1));
  if (stride >= 0 && stride <= segment) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      kName, ": stride is ", stride, ", expected 0 to segment, ", segment));
}

absl::StatusOr<Tensor> TokenLosses(const RetNet& model,
                                   const BoundParameters& p,
                                   const Tensor& tokens,
                                   const TokenLossOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  if (!tokens.defined() || tokens.rank() != 1 || tokens.dim(0) < 2 ||
      (tokens.dtype() != DType::kI32 && tokens.dtype() != DType::kI64)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": tokens are ",
                     tokens.defined() ? tokens.DebugString() : "not given",
                     ", expected i32 or i64 [T], of at least two"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor wide, tokens.To(DType::kI64));
  const std::vector<int64_t> ids = wide.ToVector<int64_t>();
  SEPTET_RETURN_IF_ERROR(
      CheckTokens("tokens", ids, model.options().vocab_size));
  SEPTET_RETURN_IF_ERROR(CheckParameters(p));
  const int64_t count = static_cast<int64_t>(ids.size()) - 1;
  const bool carried = options.stride == 0;
  const int64_t stride = carried ? options.segment : options.stride;
  const int64_t at_once = carried ? 1 : options.rows;
  std::vector<double> losses;
  std::vector<RetentionState> state;
  int64_t begin = 0, done = 0;  // of the segment; losses asked for
  while (done < count) {
    Packed text;
    for (int64_t row = 0; row < at_once && done < count; ++row) {
      // Not begin + segment, which may be too large a number.
      const int64_t size = std::min(options.segment, count - begin);
      for (int64_t t = begin; t < begin + size; ++t) {
        text.Add(ids[static_cast<size_t>(t)]);
        if (t >= done) text.Count(ids[static_cast<size_t>(t) + 1]);
      }
      text.End();
      done = begin + size;
      begin = done < count ? begin + stride : begin;
    }
    std::vector<RetentionState> after;
    SEPTET_ASSIGN_OR_RETURN(
        const Answer answer,
        Read(model, p, text, std::move(state), carried ? &after : nullptr));
    state = std::move(after);
    for (const double loss : answer.losses) {
      SEPTET_RETURN_IF_ERROR(CheckLoss(loss, "tokens", losses.size() + 1));
      losses.push_back(loss);
    }
  }
  return Tensor::FromValues<double>(Shape({count}), losses);
}

absl::StatusOr<std::vector<ContinuationScore>> ScoreContinuations(
    const RetNet& model, const BoundParameters& p,
    const std::vector<int64_t>& context,
    absl::Span<const std::vector<int64_t>> continuations) {
  const int64_t vocab = model.options().vocab_size;
  if (context.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": the context is empty, expected at least one token"));
  }
  SEPTET_RETURN_IF_ERROR(CheckTokens("context", context, vocab));
  if (continuations.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": there are no continuations, expected at least one"));
  }
  const auto name = [](size_t i) {
    return absl::StrCat("continuations[", i, "]");
  };
  for (size_t i = 0; i < continuations.size(); ++i) {
    if (continuations[i].empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          kName, ": ", name(i), " is empty, expected at least one token"));
    }
    SEPTET_RETURN_IF_ERROR(CheckTokens(name(i), continuations[i], vocab));
  }
  SEPTET_RETURN_IF_ERROR(CheckParameters(p));
  SEPTET_ASSIGN_OR_RETURN(RetNetPrefill read, model.Prefill(p, {context}),
                          _ << kName);
  std::vector<ContinuationScore> scores(continuations.size());
  const auto add = [&](size_t i, size_t t, double loss,
                       int64_t best) -> absl::Status {
    SEPTET_RETURN_IF_ERROR(CheckLoss(loss, name(i), t));
    ContinuationScore& score = scores[i];
    score.greedy = best == continuations[i][t] && (t == 0 || score.greedy);
    score.log_probability -= loss;
    ++score.tokens;
    return absl::OkStatus();
  };

  // The first tokens, all behind the context.
  std::vector<int64_t> repeated(continuations.size(), 0), first;
  for (const std::vector<int64_t>& tokens : continuations) {
    first.push_back(tokens[0]);
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor rows, Vector(repeated));
  const Var logits = IndexSelect(read.logits, 0, rows);
  SEPTET_RETURN_IF_ERROR(logits.status()) << kName;
  SEPTET_ASSIGN_OR_RETURN(const Answer answer, Judge(logits.tensor(), first));
  for (size_t i = 0; i < continuations.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(add(i, 0, answer.losses[i], answer.best[i]));
  }

  // The others, each behind those before it.
  Packed text;
  for (const std::vector<int64_t>& tokens : continuations) {
    for (size_t t = 0; t + 1 < tokens.size(); ++t) {
      text.Add(tokens[t]);
      text.Count(tokens[t + 1]);
    }
    text.End();
  }
  if (text.tokens.empty()) return scores;
  SEPTET_ASSIGN_OR_RETURN(DecodeCache cache, read.cache.Select(repeated));
  std::vector<RetentionState> state;
  for (int64_t layer = 0; layer < cache.options().layers; ++layer) {
    RetentionState one;
    one.s = *cache.state(layer);
    if (cache.key_sum(layer)->defined()) one.key_sum = *cache.key_sum(layer);
    one.position.assign(cache.positions().begin(), cache.positions().end());
    state.push_back(std::move(one));
  }
  SEPTET_ASSIGN_OR_RETURN(const Answer rest,
                          Read(model, p, text, std::move(state), nullptr));
  size_t row = 0;
  for (size_t i = 0; i < continuations.size(); ++i) {
    for (size_t t = 1; t < continuations[i].size(); ++t, ++row) {
      SEPTET_RETURN_IF_ERROR(add(i, t, rest.losses[row], rest.best[row]));
    }
  }
  return scores;
}

}  // namespace septet
