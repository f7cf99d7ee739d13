// SPDX-License-Identifier: Apache-2.0
// How far the three forms of a RetNet are apart (Sun et al., 2023, arXiv
// 2307.08621, eq. 5 to 7 claim that they are one function), layer by layer:
// parallel, in chunks of several sizes, recurrent row by row, and prompts that
// are read and decoded from a token at a time.
//
//   ParityOptions options;
//   options.chunk_sizes = {1, 7, 64};
//   options.splits = {0, 100};
//   SEPTET_ASSIGN_OR_RETURN(const ParityReport report,
//                           CompareForms(model, store, tokens, options));
//   std::cout << report.ToString();
//   if (!report.Met()) ...
//
// Two things are compared with what the parallel form gives. First the core of
// each layer, on the same q, k and v, those of the parallel pass: what it
// gives, the state behind the last row, and the gradients of q, k, v and
// log_gamma for an upstream gradient of random normals. Second the whole model,
// each form with its own layers below: what each layer gives, logits, which
// logit is the largest, and the gradients of the mean cross-entropy of the next
// token with respect to all parameters.
//
// A difference is the largest of all elements over the largest value that the
// parallel form has in the same tensor; of several tensors, the worst.
// Tolerances are those of retnet.md 4.
//
// Cost: forward, and backward with gradients, of the model and of the core in
// each form; T - n steps of decoding for a split at n. Dropout is off.
#ifndef SEPTET_RETENTION_PARITY_H_
#define SEPTET_RETENTION_PARITY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retnet.h"

namespace septet {

enum class ParityQuantity {
  kCoreOutput,
  kCoreState,     // and key sums, of ScoreNorm::kPaper
  kCoreGradient,  // of q, k, v and log_gamma
  kLayerOutput,
  kLogits,
  kArgmax,  // the share of positions whose largest logit is the same
  kGradient,
};

// "core output", ..., "same argmax", "gradients".
std::string ParityQuantityName(ParityQuantity quantity);

struct ParityTolerances {
  double core = 0;       // outputs and states, at most
  double gradients = 0;  // of the core and of parameters, at most
  double logits = 0;     // and outputs of layers, at most
  double argmax = 0;     // at least

  // f64: 1e-12, 1e-11, 1e-10, else 5e-6, 2e-5, 1e-4, which hold up to 4096
  // rows; 99.9 %.
  static ParityTolerances Of(DType dtype);
};

struct ParityOptions {
  // Of the chunkwise form, >= 1 each.
  std::vector<int64_t> chunk_sizes = {1, 7, 64};
  // Tokens that a prompt has, 0 <= n < T; the rest is decoded.
  std::vector<int64_t> splits = {0};
  bool gradients = true;
  // Of the upstream gradients.
  uint64_t seed = 1;
};

// One form and one quantity.
struct ParityRow {
  // "chunks of 7", "recurrent", "steps" (a split at 0), "prefill, steps" (all
  // others).
  std::string form;
  ParityQuantity quantity = ParityQuantity::kCoreOutput;
  // One a layer; of kGradient, one more for parameters of no layer. Empty for
  // logits and argmax.
  std::vector<double> by_layer;
  double worst = 0;  // of all
  double tolerance = 0;

  // NaN is not.
  bool Met() const;
};

struct ParityReport {
  DType dtype = DType::kF32;
  int64_t batch = 0;   // B
  int64_t time = 0;    // T
  int64_t layers = 0;  // L
  std::vector<ParityRow> rows;

  bool Met() const;
  // The worst of all forms; the least share for kArgmax. NaN if there is none.
  double Worst(ParityQuantity quantity) const;
  // A heading, a line for each row with a column for each layer, a verdict.
  std::string ToString() const;
};

// i64 [batch, time], each token drawn uniformly from 0..vocab_size - 1.
// InvalidArgument for an argument below 1, or a vocabulary of 2^32 or more.
absl::StatusOr<Tensor> RandomTokens(uint64_t seed, int64_t batch, int64_t time,
                                    int64_t vocab_size);

// tokens: i32 or i64 [B, T], B >= 1, T >= 1. `store` has the parameters of
// `model`, f32 or f64. The score norms of torchscale, which are another
// function in each form, are compared without states and without the gradient
// of log_gamma.
// Errors: InvalidArgument naming the argument, what was expected and what came;
// those of RetNet; Cancelled after SIGINT or SIGTERM.
absl::StatusOr<ParityReport> CompareForms(const RetNet& model,
                                          const ParameterStore& store,
                                          const Tensor& tokens,
                                          const ParityOptions& options = {});

struct GreedyParityOptions {
  int64_t length = 256;  // tokens that are written, >= 1
  std::vector<int64_t> chunk_sizes = {1, 7, 64};
  // A step whose two best logits, of prefill and decoding, are closer than this
  // is the last one that counts: a form may go on with either. Finite, >= 0.
  double tie = 1e-4;
};

// What the form wrote, token by token until it left the text of decoding.
struct GreedyParityRow {
  std::string form;             // "parallel", "chunks of 7", "recurrent"
  std::vector<int64_t> agreed;  // for each prompt: tokens that are the same
};

struct GreedyParity {
  // By prefill and decoding.
  std::vector<std::vector<int64_t>> texts;
  // For each prompt, tokens before the first tie.
  std::vector<int64_t> decided;
  std::vector<GreedyParityRow> rows;

  // Every form agrees up to the first tie.
  bool Met() const;
  // The most tokens that a form is short of that; 0 if Met().
  int64_t Missing() const;
};

// Text of the largest logit (the lowest token of several), from prefill and
// steps, and from each form by a pass over all that is there for each token.
// Prompts are of one length, >= 1. Cost: O(length^2) for these.
// Errors: as above.
absl::StatusOr<GreedyParity> CompareGreedyTexts(
    const RetNet& model, const ParameterStore& store,
    absl::Span<const std::vector<int64_t>> prompts,
    const GreedyParityOptions& options = {});

}  // namespace septet

#endif  // SEPTET_RETENTION_PARITY_H_
