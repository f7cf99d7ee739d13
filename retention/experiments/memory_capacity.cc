// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/experiments/memory_capacity.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/random/distributions.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retention.h"

namespace septet {
namespace {

// Inner products of one batch of trials: 16 MiB.
constexpr int64_t kBatchProducts = int64_t{1} << 22;

constexpr int64_t kMostTrials = int64_t{1} << 30;
constexpr int64_t kMostExtent = 65536;
constexpr int64_t kMostShares = int64_t{1} << 24;

absl::Status CheckRange(const char* name, int64_t value, int64_t least,
                        int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "recall: ", name, " is ", value, ", expected ", least, " to ", most));
}

absl::Status Check(const RecallOptions& options, const Tensor& log_gamma,
                   int64_t pairs) {
  SEPTET_RETURN_IF_ERROR(
      CheckRange("key_dim", options.key_dim, 1, kMostExtent));
  SEPTET_RETURN_IF_ERROR(
      CheckRange("value_dim", options.value_dim, 1, kMostExtent));
  SEPTET_RETURN_IF_ERROR(
      CheckRange("codewords", options.codewords, 2, kMostExtent));
  SEPTET_RETURN_IF_ERROR(CheckRange("trials", options.trials, 1, kMostTrials));
  if (log_gamma.dtype() != DType::kF64 || log_gamma.rank() != 1 ||
      log_gamma.dim(0) < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("recall: log_gamma is ", DTypeName(log_gamma.dtype()), " ",
                     log_gamma.shape().ToString(), ", expected f64 [H]"));
  }
  // What is counted is in memory.
  return CheckRange("pairs", pairs, 1, kMostShares / log_gamma.dim(0));
}

// What the trials first .. first + count - 1 are about.
struct Trials {
  Tensor keys;                  // [B, L, 1, dk]
  Tensor values;                // [B, L, 1, dv]
  Tensor codewords;             // [B, C, dv]
  std::vector<int64_t> tokens;  // [B, L]
};

class TrialMaker {
 public:
  static absl::StatusOr<TrialMaker> Create(const RecallOptions& options,
                                           int64_t pairs) {
    SEPTET_ASSIGN_OR_RETURN(
        RandomStream keys,
        RandomStream::Create(options.seed, "retention/recall/keys"));
    SEPTET_ASSIGN_OR_RETURN(
        RandomStream codewords,
        RandomStream::Create(options.seed, "retention/recall/codewords"));
    SEPTET_ASSIGN_OR_RETURN(
        RandomStream tokens,
        RandomStream::Create(options.seed, "retention/recall/tokens"));
    return TrialMaker(options, pairs, keys, codewords, tokens);
  }

  absl::StatusOr<Trials> Make(int64_t first, int64_t count) const {
    const int64_t dk = options_.key_dim;
    const int64_t dv = options_.value_dim;
    const int64_t c = options_.codewords;
    Trials trials;
    SEPTET_ASSIGN_OR_RETURN(
        trials.keys, Tensor::Empty(Shape({count, pairs_, 1, dk}), DType::kF32));
    SEPTET_ASSIGN_OR_RETURN(
        trials.values,
        Tensor::Empty(Shape({count, pairs_, 1, dv}), DType::kF32));
    SEPTET_ASSIGN_OR_RETURN(trials.codewords,
                            Tensor::Empty(Shape({count, c, dv}), DType::kF32));
    SEPTET_RETURN_IF_ERROR(Directions(keys_, dk, first * pairs_, trials.keys));
    SEPTET_RETURN_IF_ERROR(
        Directions(codewords_, dv, first * c, trials.codewords));
    const float* codewords = trials.codewords.data<float>();
    float* values = trials.values.mutable_data<float>();
    for (int64_t row = 0; row < count * pairs_; ++row) {
      const int64_t token =
          tokens_.Below(static_cast<uint64_t>(first * pairs_ + row),
                        static_cast<uint32_t>(c));
      trials.tokens.push_back(token);
      std::copy_n(codewords + (row / pairs_ * c + token) * dv, dv,
                  values + row * dv);
    }
    return trials;
  }

 private:
  TrialMaker(const RecallOptions& options, int64_t pairs, RandomStream keys,
             RandomStream codewords, RandomStream tokens)
      : options_(options),
        pairs_(pairs),
        keys_(keys),
        codewords_(codewords),
        tokens_(tokens) {}

  static absl::Status Directions(const RandomStream& stream, int64_t dim,
                                 int64_t first_row, const Tensor& out) {
    return FillUnitSphere(
        stream, dim,
        absl::MakeSpan(out.mutable_data<float>(),
                       static_cast<size_t>(out.num_elements())),
        static_cast<uint64_t>(first_row));
  }

  RecallOptions options_;
  int64_t pairs_;
  RandomStream keys_, codewords_, tokens_;
};

// The codeword nearest to what each head reads for each key, i64 [B, H, L].
absl::StatusOr<Tensor> Answers(const Trials& trials, const Tensor& log_gamma) {
  const int64_t b = trials.keys.dim(0);
  const int64_t length = trials.keys.dim(1);
  const int64_t dk = trials.keys.dim(3);
  const int64_t dv = trials.values.dim(3);
  const int64_t heads = log_gamma.dim(0);
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor k, trials.keys.BroadcastTo(Shape({b, length, heads, dk})));
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor v, trials.values.BroadcastTo(Shape({b, length, heads, dv})));
  RetentionOptions options;
  options.form = RetentionForm::kChunkwise;
  options.score_norm = ScoreNorm::kNone;
  options.scale = 1;
  const RetentionState state =
      Retention(k, k, v, log_gamma, options, {}, /*return_state=*/true).state;
  SEPTET_ASSIGN_OR_RETURN(const Tensor keys,
                          trials.keys.Reshape({b, 1, length, dk}));
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor codewords,
      trials.codewords.Reshape({b, 1, trials.codewords.dim(1), dv}));
  const Var read = MatMul(keys, state.s);  // [B, H, L, dv]
  const Var nearest = ArgMax(MatMul(read, codewords, {false, true}));
  SEPTET_RETURN_IF_ERROR(nearest.status()) << "recall";
  return nearest.tensor();
}

}  // namespace

absl::StatusOr<std::vector<std::vector<double>>> RecallByDelay(
    const RecallOptions& options, const Tensor& log_gamma, int64_t pairs) {
  SEPTET_RETURN_IF_ERROR(Check(options, log_gamma, pairs));
  const int64_t heads = log_gamma.dim(0);
  SEPTET_ASSIGN_OR_RETURN(const TrialMaker maker,
                          TrialMaker::Create(options, pairs));
  std::vector<std::vector<double>> recalled(
      static_cast<size_t>(heads),
      std::vector<double>(static_cast<size_t>(pairs)));
  const int64_t batch =
      std::max<int64_t>(1, kBatchProducts / options.codewords / pairs / heads);
  for (int64_t first = 0; first < options.trials; first += batch) {
    if (InterruptRequested()) return InterruptedError("recall");
    const int64_t count = std::min(batch, options.trials - first);
    SEPTET_ASSIGN_OR_RETURN(const Trials trials, maker.Make(first, count));
    SEPTET_ASSIGN_OR_RETURN(const Tensor answers, Answers(trials, log_gamma));
    const int64_t* answer = answers.data<int64_t>();
    for (int64_t b = 0; b < count; ++b) {
      const int64_t* tokens = trials.tokens.data() + b * pairs;
      for (std::vector<double>& head : recalled) {
        for (int64_t j = 0; j < pairs; ++j) {
          if (*answer++ == tokens[j]) head[pairs - 1 - j] += 1;
        }
      }
    }
  }
  for (std::vector<double>& head : recalled) {
    for (double& share : head) share /= static_cast<double>(options.trials);
  }
  return recalled;
}

absl::StatusOr<double> RecallAccuracy(const RecallOptions& options,
                                      int64_t pairs) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor no_decay,
                          Tensor::FromValues<double>({1}, {0.0}));
  SEPTET_ASSIGN_OR_RETURN(const std::vector<std::vector<double>> by_delay,
                          RecallByDelay(options, no_decay, pairs));
  double sum = 0;
  for (const double share : by_delay[0]) sum += share;
  return sum / static_cast<double>(pairs);
}

double CapacityAt(double level, absl::Span<const int64_t> pairs,
                  absl::Span<const double> accuracy) {
  SEPTET_CHECK(pairs.size() == accuracy.size());
  for (size_t i = 1; i < pairs.size(); ++i) {
    if (!(accuracy[i - 1] >= level && accuracy[i] < level)) continue;
    const double t =
        (accuracy[i - 1] - level) / (accuracy[i - 1] - accuracy[i]);
    const double low = std::log(static_cast<double>(pairs[i - 1]));
    const double high = std::log(static_cast<double>(pairs[i]));
    return std::exp(low + t * (high - low));
  }
  return std::numeric_limits<double>::quiet_NaN();
}

int64_t HorizonAt(double level, absl::Span<const double> by_delay) {
  // Pool adjacent violators: blocks whose means fall.
  struct Block {
    double sum;
    int64_t size;
    double Mean() const { return sum / static_cast<double>(size); }
  };
  std::vector<Block> blocks;
  for (const double share : by_delay) {
    blocks.push_back({share, 1});
    while (blocks.size() > 1 &&
           blocks[blocks.size() - 2].Mean() <= blocks.back().Mean()) {
      blocks[blocks.size() - 2].sum += blocks.back().sum;
      blocks[blocks.size() - 2].size += blocks.back().size;
      blocks.pop_back();
    }
  }
  int64_t horizon = 0;
  for (const Block& block : blocks) {
    if (!(block.Mean() >= level)) break;
    horizon += block.size;
  }
  return horizon;
}

int64_t ExpectedHorizon(double log_gamma, double capacity, int64_t pairs) {
  const auto length = static_cast<double>(pairs);
  if (log_gamma == 0) return length <= capacity ? pairs : 0;
  const double weights =
      std::expm1(2 * length * log_gamma) / std::expm1(2 * log_gamma);
  if (!(weights <= capacity)) return 0;
  const double delay = std::log(capacity / weights) / (-2 * log_gamma);
  // Compared as numbers: there are decays and capacities for which it is beyond
  // any integer.
  if (delay >= length) return pairs;
  return std::min(pairs, static_cast<int64_t>(delay) + 1);
}

}  // namespace septet
