// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/text/utf8.h"

namespace septet {

absl::Status Tokenizer::CheckId(int32_t id, size_t position) const {
  if (id >= 0 && id < vocab_size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("Decode: ids[", position, "] is ", id, ", expected 0 to ",
                   vocab_size() - 1));
}

absl::StatusOr<std::string> Tokenizer::Decode(
    absl::Span<const int32_t> ids) const {
  DecodeState state;
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(CheckId(ids[i], i));
    DecodeToken(ids[i], &state, &text);
  }
  DecodeEnd(&state, &text);
  return text;
}

void Tokenizer::DecodeEnd(DecodeState* /*state*/, std::string* /*out*/) const {}

absl::StatusOr<std::string> StreamDecoder::Add(int32_t id) {
  SEPTET_RETURN_IF_ERROR(tokenizer_->CheckId(id, count_));
  ++count_;
  tokenizer_->DecodeToken(id, &state_, &pending_);
  std::string rest =
      pending_.substr(pending_.size() - UnfinishedUtf8(pending_));
  pending_.resize(pending_.size() - rest.size());
  return std::exchange(pending_, std::move(rest));
}

std::string StreamDecoder::Finish() {
  tokenizer_->DecodeEnd(&state_, &pending_);
  state_ = {};
  count_ = 0;
  return std::exchange(pending_, std::string());
}

}  // namespace septet
