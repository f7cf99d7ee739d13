// SPDX-License-Identifier: Apache-2.0
// A RetNet that writes (retention/generate.h): prompts of any lengths are read
// packed, in chunks, then a token costs the same at every position.
//
//   RetNetSession session(&model, &p);
//   SEPTET_ASSIGN_OR_RETURN(GenerationResult result,
//                           Generate(&session, {prompt}, options));
//
// A prompt read once, perhaps in another program (DecodeCache::Import):
//
//   SEPTET_ASSIGN_OR_RETURN(RetNetPrefill read, model.Prefill(p, {prompt}));
//   SEPTET_ASSIGN_OR_RETURN(DecodeCache branch, read.cache.Clone());
//   RetNetSession session(&model, &p, std::move(branch));
//   SEPTET_ASSIGN_OR_RETURN(
//       GenerationResult result,
//       ContinueGeneration(&session, read.logits, {prompt}, options));
#ifndef SEPTET_RETENTION_RETNET_SESSION_H_
#define SEPTET_RETENTION_RETNET_SESSION_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decode_cache.h"
#include "septet/retention/generate.h"
#include "septet/retention/retnet.h"

namespace septet {

class RetNetSession : public GenerationSession {
 public:
  // Model and parameters, which are on no tape, must outlive this.
  RetNetSession(const RetNet* model, const BoundParameters* p)
      : RetNetSession(model, p, DecodeCache()) {}
  // Of rows that have read something.
  RetNetSession(const RetNet* model, const BoundParameters* p,
                DecodeCache cache)
      : model_(model), p_(p), cache_(std::move(cache)) {}

  int64_t vocab_size() const override { return model_->options().vocab_size; }
  // Errors: those of RetNet::Prefill(), RetNet::DecodeStep() and
  // DecodeCache::Select().
  absl::StatusOr<Tensor> Begin(
      absl::Span<const std::vector<int64_t>> prompts) override;
  absl::StatusOr<Tensor> Step(const Tensor& tokens) override;
  absl::Status Select(absl::Span<const int64_t> rows) override;

  const DecodeCache& cache() const { return cache_; }

 private:
  const RetNet* model_;
  const BoundParameters* p_;
  DecodeCache cache_;
};

}  // namespace septet

#endif  // SEPTET_RETENTION_RETNET_SESSION_H_
