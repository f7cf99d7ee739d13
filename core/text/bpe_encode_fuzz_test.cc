// SPDX-License-Identifier: Apache-2.0
// Any bytes as a text: pieces cover it, ids are in range, and decode to it at
// once and one by one. The vocabulary joins what is not a trained order:
// letters a and b, spaces, quotes.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/text/bpe_tokenizer.h"
#include "septet/core/text/gpt2_pieces.h"
#include "septet/core/text/tokenizer.h"

namespace septet {
namespace {

const BpeTokenizer& Tokenizer() {
  static const auto* const tokenizer = [] {
    std::string ranks;
    int rank = 0;
    const auto add = [&](absl::string_view token) {
      absl::StrAppend(&ranks, absl::Base64Escape(token), " ", rank++, "\n");
    };
    for (const absl::string_view token :
         {"bab", "aa", "ab", "ba", "aaaa", " a", " ab", "  ", "''", "'s",
          "\xc3\xa9", "\xe2\x82\xac", "\xe2\x82"}) {
      add(token);
    }
    for (int byte = 0; byte < 256; ++byte) {
      add(std::string(1, static_cast<char>(byte)));
    }
    return new BpeTokenizer(BpeTokenizer::ParseRanks(ranks, "ranks").value());
  }();
  return *tokenizer;
}

void Fuzz(absl::string_view input) {
  absl::string_view rest = input;
  while (!rest.empty()) {
    const size_t bytes = Gpt2PieceBytes(rest);
    SEPTET_CHECK(bytes >= 1 && bytes <= rest.size());
    rest.remove_prefix(bytes);
  }
  const BpeTokenizer& tokenizer = Tokenizer();
  const absl::StatusOr<std::vector<int32_t>> ids = tokenizer.Encode(input);
  SEPTET_CHECK(ids.ok());
  SEPTET_CHECK(*tokenizer.Decode(*ids) == input);
  StreamDecoder decoder(&tokenizer);
  std::string text;
  for (const int32_t id : *ids) text += *decoder.Add(id);
  SEPTET_CHECK(text + decoder.Finish() == input);
  // What is remembered changes nothing.
  SEPTET_CHECK(*tokenizer.Encode(input) == *ids);
  const absl::StatusOr<std::vector<int32_t>> special =
      tokenizer.EncodeWithSpecial(input);
  SEPTET_CHECK(special.ok());
  SEPTET_CHECK(*tokenizer.Decode(*special) == input);
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
