// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/byte_lm/generate.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/baselines/byte_lm/model.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/sampling.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::StatusOr<Tensor> Row(absl::string_view text) {
  std::vector<int64_t> ids;
  ids.reserve(text.size());
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return Tensor::FromValues<int64_t>({1, static_cast<int64_t>(ids.size())},
                                     ids);
}

}  // namespace

absl::Status Generate(const ByteLm& model, absl::string_view prompt,
                      const GenerateOptions& options,
                      absl::FunctionRef<bool(char)> write) {
  if (options.length < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "generate: length is ", options.length, ", expected at least 0"));
  }
  if (options.context < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "generate: context is ", options.context, ", expected at least 2"));
  }
  SEPTET_RETURN_IF_ERROR(options.sampling.Validate()) << "generate";
  SEPTET_ASSIGN_OR_RETURN(const RandomStream stream,
                          RandomStream::Create(options.seed, "generate"));
  const BoundParameters p = model.parameters().Bind();
  SEPTET_ASSIGN_OR_RETURN(KvCache cache, model.transformer().MakeCache(
                                             1, options.context, DType::kF32));
  // What the penalty looks at, and what the cache is filled with again.
  std::string text(prompt.empty() ? absl::string_view("\n") : prompt);
  // What the cache has not seen yet.
  std::string fresh = text.substr(
      text.size() -
      std::min(text.size(), static_cast<size_t>(options.context / 2)));
  for (int64_t i = 0; i < options.length; ++i) {
    if (cache.length() == options.context) {
      SEPTET_RETURN_IF_ERROR(cache.Truncate(0));
      fresh = text.substr(
          text.size() -
          std::min(text.size(), static_cast<size_t>(options.context / 2)));
    }
    SEPTET_ASSIGN_OR_RETURN(const Tensor tokens, Row(fresh));
    SEPTET_ASSIGN_OR_RETURN(const Tensor logits,
                            model.transformer().Extend(p, tokens, &cache));
    Tensor history;
    if (options.sampling.repetition_penalty != 1) {
      const size_t seen =
          std::min(text.size(), static_cast<size_t>(options.context));
      SEPTET_ASSIGN_OR_RETURN(
          history, Row(absl::string_view(text).substr(text.size() - seen)));
    }
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor next,
        SampleTokens(logits, history, options.sampling, stream, {i}));
    const auto byte = static_cast<char>(next.item<int64_t>());
    text.push_back(byte);
    fresh.assign(1, byte);
    if (!write(byte)) break;
  }
  return absl::OkStatus();
}

}  // namespace septet
