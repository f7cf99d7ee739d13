// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/retnet_session.h"

#include "septet/core/base/status_macros.h"

namespace septet {

absl::StatusOr<Tensor> RetNetSession::Begin(
    absl::Span<const std::vector<int64_t>> prompts) {
  SEPTET_ASSIGN_OR_RETURN(RetNetPrefill read, model_->Prefill(*p_, prompts));
  cache_ = std::move(read.cache);
  return read.logits;
}

absl::StatusOr<Tensor> RetNetSession::Step(const Tensor& tokens) {
  return model_->DecodeStep(*p_, tokens, &cache_);
}

absl::Status RetNetSession::Select(absl::Span<const int64_t> rows) {
  SEPTET_ASSIGN_OR_RETURN(DecodeCache selected, cache_.Select(rows));
  cache_ = std::move(selected);
  return absl::OkStatus();
}

}  // namespace septet
