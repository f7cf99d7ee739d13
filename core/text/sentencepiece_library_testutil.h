// SPDX-License-Identifier: Apache-2.0
// The library of SentencePiece, as an oracle. Its header puts a string_view
// into namespace absl, beside Abseil's, and so is kept out of all others.
#ifndef SEPTET_CORE_TEXT_SENTENCEPIECE_LIBRARY_TESTUTIL_H_
#define SEPTET_CORE_TEXT_SENTENCEPIECE_LIBRARY_TESTUTIL_H_

#include <memory>
#include <string>
#include <vector>

namespace septet {

// Aborts where the library reports an error. Models must be whole: damaged ones
// make it crash.
class SentencePieceLibrary {
 public:
  explicit SentencePieceLibrary(const std::string& path);
  ~SentencePieceLibrary();

  std::vector<int> Encode(const std::string& text) const;
  std::string Decode(const std::vector<int>& ids) const;

 private:
  struct Processor;
  std::unique_ptr<Processor> processor_;
};

}  // namespace septet

#endif  // SEPTET_CORE_TEXT_SENTENCEPIECE_LIBRARY_TESTUTIL_H_
