// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/sentencepiece_library_testutil.h"

#include <memory>
#include <string>
#include <vector>

#include "sentencepiece_processor.h"
#include "septet/core/base/check.h"

namespace septet {

struct SentencePieceLibrary::Processor {
  sentencepiece::SentencePieceProcessor library;
};

SentencePieceLibrary::SentencePieceLibrary(const std::string& path)
    : processor_(std::make_unique<Processor>()) {
  const auto status = processor_->library.Load(path);
  SEPTET_CHECK(status.ok()) << status.ToString();
}

SentencePieceLibrary::~SentencePieceLibrary() = default;

std::vector<int> SentencePieceLibrary::Encode(const std::string& text) const {
  std::vector<int> ids;
  const auto status = processor_->library.Encode(text, &ids);
  SEPTET_CHECK(status.ok()) << status.ToString();
  return ids;
}

std::string SentencePieceLibrary::Decode(const std::vector<int>& ids) const {
  std::string text;
  const auto status = processor_->library.Decode(ids, &text);
  SEPTET_CHECK(status.ok()) << status.ToString();
  return text;
}

}  // namespace septet
