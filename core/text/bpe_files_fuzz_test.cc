// SPDX-License-Identifier: Apache-2.0
// Any bytes as vocab.json and merges.txt, a line "%%" between them, and as a
// file of ranks: an error, or a tokenizer that gives texts back.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/text/bpe_tokenizer.h"

namespace septet {
namespace {

void Check(const absl::StatusOr<BpeTokenizer>& tokenizer,
           absl::string_view input) {
  if (!tokenizer.ok()) {
    SEPTET_CHECK(tokenizer.status().code() == absl::StatusCode::kDataLoss)
        << tokenizer.status();
    return;
  }
  for (const auto& ids :
       {tokenizer->Encode(input), tokenizer->EncodeWithSpecial(input)}) {
    SEPTET_CHECK(ids.ok()) << ids.status();
    const absl::StatusOr<std::string> text = tokenizer->Decode(*ids);
    SEPTET_CHECK(text.ok()) << text.status();
    SEPTET_CHECK(*text == input);
  }
}

void Fuzz(absl::string_view input) {
  constexpr absl::string_view kBetween = "\n%%\n";
  const size_t end = input.find(kBetween);
  const absl::string_view merges = end == absl::string_view::npos
                                       ? absl::string_view()
                                       : input.substr(end + kBetween.size());
  Check(BpeTokenizer::Parse(input.substr(0, end), "vocab", merges, "merges"),
        input);
  Check(BpeTokenizer::ParseRanks(input, "ranks"), input);
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
