// SPDX-License-Identifier: Apache-2.0
// Any bytes as a SentencePiece model: an error, or a tokenizer whose ids are in
// range and can be decoded; texts that its rules cannot be applied to are an
// error.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/text/sentencepiece_tokenizer.h"
#include "septet/core/text/tokenizer.h"

namespace septet {
namespace {

void Fuzz(absl::string_view input) {
  const absl::StatusOr<SentencePieceTokenizer> tokenizer =
      SentencePieceTokenizer::Parse(input, "model");
  if (!tokenizer.ok()) {
    const absl::StatusCode code = tokenizer.status().code();
    SEPTET_CHECK(code == absl::StatusCode::kDataLoss ||
                 code == absl::StatusCode::kUnimplemented)
        << tokenizer.status();
    return;
  }
  std::vector<std::string> texts = {"", " Hello  the world. ",
                                    "\xef\xbc\xa1\xe2\x96\x81\xef\xac\x81"};
  // The pieces themselves, which stand in the input.
  std::string all;
  for (const char c : input.substr(0, 400)) {
    if (static_cast<unsigned char>(c) < 128) all += c;
  }
  texts.push_back(all);
  for (const std::string& text : texts) {
    const absl::StatusOr<std::vector<int32_t>> ids = tokenizer->Encode(text);
    if (!ids.ok()) {
      SEPTET_CHECK(ids.status().code() == absl::StatusCode::kDataLoss)
          << ids.status();
      continue;
    }
    const absl::StatusOr<std::string> decoded = tokenizer->Decode(*ids);
    SEPTET_CHECK(decoded.ok()) << decoded.status();
    StreamDecoder decoder(&*tokenizer);
    std::string streamed;
    for (const int32_t id : *ids) streamed += *decoder.Add(id);
    SEPTET_CHECK(streamed + decoder.Finish() == *decoded);
  }
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
