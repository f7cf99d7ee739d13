// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/validate.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr const char* kName = "sampling";

absl::Status CheckLogits(const Tensor& logits) {
  if (!logits.defined() || logits.rank() != 2 || logits.dim(1) < 1 ||
      (logits.dtype() != DType::kF32 && logits.dtype() != DType::kF64)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": logits are ",
                     logits.defined() ? logits.DebugString() : "not given",
                     ", expected f32 or f64 [B, V] with V >= 1"));
  }
  return absl::OkStatus();
}

absl::Status CheckHistory(const Tensor& history, const Tensor& logits) {
  if (!history.defined()) return absl::OkStatus();
  if (history.dtype() != DType::kI64 || history.rank() != 2 ||
      history.dim(0) != logits.dim(0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": history is ", history.DebugString(),
                     ", expected i64 [", logits.dim(0), ", T]"));
  }
  return absl::OkStatus();
}

// Divides or multiplies the logits of the tokens of a row's history, each once.
// What a penalty far from 1 makes infinite stays a number, so that it can be
// compared and subtracted; -infinity is the token that is never drawn.
absl::Status Penalize(absl::Span<const int64_t> history, int64_t row,
                      double penalty, std::vector<double>& logits) {
  const auto vocab = static_cast<int64_t>(logits.size());
  std::vector<bool> seen(logits.size(), false);
  for (size_t t = 0; t < history.size(); ++t) {
    const int64_t token = history[t];
    if (token < 0 || token >= vocab) {
      return absl::InvalidArgumentError(
          absl::StrCat(kName, ": history[", row, ", ", t, "] is ", token,
                       ", expected 0 to ", vocab - 1));
    }
    const auto id = static_cast<size_t>(token);
    if (seen[id]) continue;
    seen[id] = true;
    double& logit = logits[id];
    if (logit == -INFINITY) continue;
    logit = logit > 0 ? logit / penalty : logit * penalty;
    constexpr double kLargest = std::numeric_limits<double>::max();
    logit = std::clamp(logit, -kLargest, kLargest);
  }
  return absl::OkStatus();
}

// What shaping a row works with; kept from row to row.
struct Scratch {
  struct Candidate {
    double logit;
    int64_t id;
  };
  std::vector<Candidate> candidates;
  std::vector<double> logits;
};

// Whether a comes before b: the larger logit, the lower id on ties.
bool Before(const Scratch::Candidate& a, const Scratch::Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// Logits of one row to probabilities, in place.
void ShapeRow(const SamplingOptions& options, Scratch& scratch,
              std::vector<double>& x) {
  // The first of the largest.
  const auto best = std::max_element(x.begin(), x.end());
  if (options.temperature == 0) {
    const auto id = best - x.begin();
    std::fill(x.begin(), x.end(), 0.0);
    x[static_cast<size_t>(id)] = 1;
    return;
  }
  const double maximum = *best;
  const auto vocab = static_cast<int64_t>(x.size());
  const bool top_k = options.top_k > 0 && options.top_k < vocab;
  const bool top_p = options.top_p < 1;
  // The difference first: a small temperature cannot make infinity of it but
  // minus infinity, whose exponential is 0.
  const auto weight = [&](double logit) {
    return std::exp((logit - maximum) / options.temperature);
  };
  const auto normalize = [&x] {
    const double sum = std::accumulate(x.begin(), x.end(), 0.0);
    for (double& value : x) value /= sum;
  };
  auto& candidates = scratch.candidates;
  candidates.clear();
  if (top_k) {
    // A heap of the best so far, the last of them in front: what does not come
    // before that one, which is most, costs one comparison.
    for (int64_t id = 0; id < vocab; ++id) {
      const double logit = x[static_cast<size_t>(id)];
      if (id >= options.top_k) {
        // Of equal ones the lower id is there.
        if (!(logit > candidates.front().logit)) continue;
        std::pop_heap(candidates.begin(), candidates.end(), Before);
        candidates.pop_back();
      }
      candidates.push_back({logit, id});
      std::push_heap(candidates.begin(), candidates.end(), Before);
    }
    std::fill(x.begin(), x.end(), 0.0);
    for (const Scratch::Candidate& kept : candidates) {
      x[static_cast<size_t>(kept.id)] = weight(kept.logit);
    }
    normalize();
    if (!top_p) return;
  } else {
    if (top_p) scratch.logits = x;
    for (double& value : x) value = weight(value);
    normalize();
    if (!top_p) return;
    // All tokens below this have together less than half of what top_p leaves
    // out. Not where rounding is as large as that.
    const double rest = 1 - options.top_p;
    const double least = rest > 1e-9 ? 0.5 * rest / vocab : 0;
    for (int64_t id = 0; id < vocab; ++id) {
      double& value = x[static_cast<size_t>(id)];
      if (value >= least) {
        candidates.push_back({scratch.logits[static_cast<size_t>(id)], id});
      } else {
        value = 0;
      }
    }
  }
  // Off a heap, so that what is not kept is never sorted.
  const auto after = [](const Scratch::Candidate& a,
                        const Scratch::Candidate& b) { return Before(b, a); };
  std::make_heap(candidates.begin(), candidates.end(), after);
  auto end = candidates.end();  // of the heap; behind it what is kept
  double before = 0;
  do {
    before += x[static_cast<size_t>(candidates.front().id)];
    std::pop_heap(candidates.begin(), end, after);
    --end;
  } while (end != candidates.begin() && before < options.top_p);
  std::for_each(candidates.begin(), end, [&x](const Scratch::Candidate& cut) {
    x[static_cast<size_t>(cut.id)] = 0;
  });
  normalize();
}

}  // namespace

absl::Status SamplingOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(
      RequireFiniteAtLeast(kName, "temperature", temperature, 0));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "top_k", top_k, 0));
  if (!(top_p >= 0 && top_p <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": top_p is ", top_p, ", expected a number in [0, 1]"));
  }
  if (!(repetition_penalty > 0) || !std::isfinite(repetition_penalty)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": repetition_penalty is ", repetition_penalty,
                     ", expected a finite number above 0"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Tensor> SamplingProbabilities(const Tensor& logits,
                                             const Tensor& history,
                                             const SamplingOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  SEPTET_RETURN_IF_ERROR(CheckLogits(logits));
  SEPTET_RETURN_IF_ERROR(CheckHistory(history, logits));
  const int64_t rows = logits.dim(0);
  const int64_t vocab = logits.dim(1);
  SEPTET_ASSIGN_OR_RETURN(const Tensor exact, logits.To(DType::kF64));
  SEPTET_ASSIGN_OR_RETURN(const Tensor dense, exact.Contiguous());
  SEPTET_ASSIGN_OR_RETURN(const Tensor past,
                          history.defined() ? history.Contiguous()
                                            : absl::StatusOr<Tensor>(Tensor()));
  SEPTET_ASSIGN_OR_RETURN(Tensor result,
                          Tensor::Empty(Shape({rows, vocab}), DType::kF64));
  std::vector<double> x(static_cast<size_t>(vocab));
  Scratch scratch;
  for (int64_t row = 0; row < rows; ++row) {
    const double* from = dense.data<double>() + row * vocab;
    bool any = false;
    for (int64_t id = 0; id < vocab; ++id) {
      any |= from[id] > -INFINITY;
      if (from[id] < INFINITY) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(kName, ": logits[", row, ", ", id, "] is ", from[id],
                       ", expected a number below infinity"));
    }
    if (!any) {
      return absl::InvalidArgumentError(
          absl::StrCat(kName, ": all logits of row ", row, " are -infinity"));
    }
    x.assign(from, from + vocab);
    if (past.defined() && options.repetition_penalty != 1) {
      const int64_t time = past.dim(1);
      SEPTET_RETURN_IF_ERROR(Penalize(
          {past.data<int64_t>() + row * time, static_cast<size_t>(time)}, row,
          options.repetition_penalty, x));
    }
    ShapeRow(options, scratch, x);
    std::copy(x.begin(), x.end(), result.mutable_data<double>() + row * vocab);
  }
  return result;
}

absl::StatusOr<Tensor> SampleTokens(const Tensor& logits, const Tensor& history,
                                    const SamplingOptions& options,
                                    const RandomStream& stream,
                                    absl::Span<const int64_t> elements,
                                    Tensor* log_probabilities) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor probabilities,
                          SamplingProbabilities(logits, history, options));
  const int64_t rows = probabilities.dim(0);
  const int64_t vocab = probabilities.dim(1);
  if (static_cast<int64_t>(elements.size()) != rows) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": ", elements.size(), " elements, expected ", rows,
                     ", one a row of logits, ", logits.DebugString()));
  }
  SEPTET_ASSIGN_OR_RETURN(Tensor tokens,
                          Tensor::Empty(Shape({rows}), DType::kI64));
  Tensor logs;
  if (log_probabilities != nullptr) {
    SEPTET_ASSIGN_OR_RETURN(logs, Tensor::Empty(Shape({rows}), DType::kF64));
  }
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t element = elements[static_cast<size_t>(row)];
    if (element < 0) {
      return absl::InvalidArgumentError(absl::StrCat(kName, ": elements[", row,
                                                     "] is ", element,
                                                     ", expected at least 0"));
    }
    const double u = stream.Unit(static_cast<uint64_t>(element));
    const double* p = probabilities.data<double>() + row * vocab;
    double sum = 0;
    // The last that can be drawn, should the sum round to less than u.
    int64_t token = 0;
    for (int64_t id = 0; id < vocab; ++id) {
      if (p[id] == 0) continue;
      token = id;
      sum += p[id];
      if (sum > u) break;
    }
    tokens.mutable_data<int64_t>()[row] = token;
    if (log_probabilities != nullptr) {
      logs.mutable_data<double>()[row] = std::log(p[token]);
    }
  }
  if (log_probabilities != nullptr) *log_probabilities = logs;
  return tokens;
}

}  // namespace septet
