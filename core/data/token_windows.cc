// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/token_windows.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

template <typename T>
void CopyTokens(const void* tokens, int64_t begin, int64_t count,
                int64_t* out) {
  std::copy_n(static_cast<const T*>(tokens) + begin, count, out);
}

using TokenCopier = void (*)(const void* tokens, int64_t begin, int64_t count,
                             int64_t* out);

// Null for what is no token.
TokenCopier CopierOf(DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return &CopyTokens<uint8_t>;
    case DType::kU16:
      return &CopyTokens<uint16_t>;
    case DType::kI32:
      return &CopyTokens<int32_t>;
    case DType::kI64:
      return &CopyTokens<int64_t>;
    default:
      return nullptr;
  }
}

}  // namespace

TokenWindows::TokenWindows(Tensor tokens, int64_t context, RandomStream stream)
    : tokens_(std::move(tokens)),
      context_(context),
      stream_(std::move(stream)) {}

absl::StatusOr<TokenWindows> TokenWindows::Create(
    Tensor tokens, const TokenWindowsOptions& options,
    absl::string_view stream) {
  if (!tokens.defined() || !tokens.has_storage()) {
    return absl::InvalidArgumentError(
        "token windows: the tokens are no tensor with elements");
  }
  if (CopierOf(tokens.dtype()) == nullptr || tokens.rank() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("token windows: the tokens are ", tokens.DebugString(),
                     ", expected u8, u16, i32 or i64 of one axis"));
  }
  if (!tokens.IsContiguous()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "token windows: the tokens, ", tokens.DebugString(), ", are ",
        tokens.stride(0), " elements apart, expected no gaps between them"));
  }
  if (options.context < 1) {
    return absl::InvalidArgumentError(absl::StrCat("token windows: context is ",
                                                   options.context,
                                                   ", expected at least 1"));
  }
  if (tokens.dim(0) <= options.context) {
    return absl::InvalidArgumentError(absl::StrCat(
        "token windows: there are ", tokens.dim(0),
        " tokens, expected more than the context, ", options.context,
        ": a window is its inputs and the token behind them"));
  }
  SEPTET_ASSIGN_OR_RETURN(RandomStream random,
                          RandomStream::Create(options.seed, stream));
  return TokenWindows(std::move(tokens), options.context, std::move(random));
}

int64_t TokenWindows::Start(int64_t step, int64_t row, int64_t rows) const {
  SEPTET_CHECK(step >= 0 && row >= 0 && row < rows)
      << "step " << step << ", row " << row << " of " << rows;
  const uint64_t element =
      static_cast<uint64_t>(step) * static_cast<uint64_t>(rows) +
      static_cast<uint64_t>(row);
  const auto places = static_cast<uint64_t>(size() - context_);
  if (places <= std::numeric_limits<uint32_t>::max()) {
    return stream_.Below(element, static_cast<uint32_t>(places));
  }
  const PhiloxBlock words = stream_.Element(element);
  const uint64_t random = uint64_t{words[1]} << 32 | words[0];
  return static_cast<int64_t>(
      absl::Uint128High64(absl::uint128(random) * places));
}

template <typename Starts>
absl::StatusOr<TokenBatch> TokenWindows::Gather(int64_t rows,
                                                const Starts& starts) const {
  SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create({rows, context_}),
                          _ << "token windows");
  TokenBatch batch;
  SEPTET_ASSIGN_OR_RETURN(batch.inputs, Tensor::Empty(shape, DType::kI64));
  SEPTET_ASSIGN_OR_RETURN(batch.targets, Tensor::Empty(shape, DType::kI64));
  const TokenCopier copy = CopierOf(tokens_.dtype());
  const void* const tokens = tokens_.raw_data();
  int64_t* inputs = batch.inputs.mutable_data<int64_t>();
  int64_t* targets = batch.targets.mutable_data<int64_t>();
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t start = starts(row);
    copy(tokens, start, context_, inputs);
    // Each token is read from the (perhaps mapped) text once.
    std::copy_n(inputs + 1, context_ - 1, targets);
    copy(tokens, start + context_, 1, targets + context_ - 1);
    inputs += context_;
    targets += context_;
  }
  return batch;
}

absl::StatusOr<TokenBatch> TokenWindows::Batch(int64_t step,
                                               int64_t rows) const {
  if (step < 0 || rows < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("token windows: step is ", step, " and rows is ", rows,
                     ", expected at least 0 and at least 1"));
  }
  return Gather(rows, [&](int64_t row) { return Start(step, row, rows); });
}

absl::StatusOr<TokenBatch> TokenWindows::EndingAt(
    absl::Span<const int64_t> last_targets) const {
  for (const int64_t place : last_targets) {
    if (place < context_ || place >= size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "token windows: a last target at place ", place, ", expected ",
          context_, " (the context) to ", size() - 1, " (the last token)"));
    }
  }
  return Gather(static_cast<int64_t>(last_targets.size()), [&](int64_t row) {
    return last_targets[static_cast<size_t>(row)] - context_;
  });
}

absl::StatusOr<std::vector<int64_t>> EvaluationTargets(
    int64_t size, const EvaluationTargetsOptions& options) {
  if (options.first < 1 || options.first >= size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "evaluation windows: first is ", options.first, ", expected 1 to ",
        size - 1, ", the place of the last of ", size, " tokens"));
  }
  if (options.windows < 1 || options.windows > size - options.first) {
    return absl::InvalidArgumentError(
        absl::StrCat("evaluation windows: windows is ", options.windows,
                     ", expected 1 to ", size - options.first,
                     ", the tokens from place ", options.first, " on"));
  }
  std::vector<int64_t> places(static_cast<size_t>(options.windows));
  const absl::int128 span = size - 1 - options.first;
  const int64_t last = std::max<int64_t>(options.windows - 1, 1);
  for (int64_t i = 0; i < options.windows; ++i) {
    places[static_cast<size_t>(i)] =
        options.first + static_cast<int64_t>(span * i / last);
  }
  return places;
}

}  // namespace septet
