// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of token ids in each format: an error, or ids that can be
// read, of which there are as many as the size says.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/io/token_bin.h"

namespace septet {
namespace {

void Fuzz(absl::string_view input) {
  for (const TokenBinFormat format :
       {TokenBinFormat::kAuto, TokenBinFormat::kRawU16, TokenBinFormat::kRawU32,
        TokenBinFormat::kLlmCGpt2, TokenBinFormat::kLlmCLlama3}) {
    TokenBinOptions options;
    options.format = format;
    options.vocab_size = 50257;
    const absl::StatusOr<TokenBin> tokens =
        TokenBin::FromBytes(std::string(input), "input", options);
    if (!tokens.ok()) {
      SEPTET_CHECK(tokens.status().code() == absl::StatusCode::kDataLoss)
          << tokens.status();
      continue;
    }
    SEPTET_CHECK(tokens->format() != TokenBinFormat::kAuto);
    SEPTET_CHECK(static_cast<size_t>(tokens->size()) <= input.size() / 2);
    std::vector<int32_t> ids(tokens->size());
    const absl::Status read = tokens->Read(0, absl::MakeSpan(ids));
    SEPTET_CHECK(read == tokens->CheckAll());
    if (read.ok()) {
      for (const int32_t id : ids) SEPTET_CHECK(id >= 0 && id < 50257);
    } else {
      SEPTET_CHECK(read.code() == absl::StatusCode::kDataLoss) << read;
    }
    SEPTET_CHECK(!tokens->Read(1, absl::MakeSpan(ids)).ok());
  }
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
