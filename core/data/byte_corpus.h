// SPDX-License-Identifier: Apache-2.0
// Text to learn from and text held out, as bytes.
//
//   SEPTET_ASSIGN_OR_RETURN(ByteCorpus corpus, ReadFortunes(folder));
//   SEPTET_ASSIGN_OR_RETURN(ByteCorpus corpus, ReadTextFiles({"a.txt"}, 0.05));
//
// Fortunes (retnet.md 8): the files of the folder in byte order without *.dat
// and *.u8, cut at "\n%\n"; blank entries are dropped, and "\n" is put after
// each other one. Every 20th entry (number i with i % 20 == 0, counted over all
// files) is held out.
#ifndef SEPTET_CORE_DATA_BYTE_CORPUS_H_
#define SEPTET_CORE_DATA_BYTE_CORPUS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct ByteCorpus {
  std::string train;
  std::string held_out;
  int64_t entries = 0;  // of both; 0 where text is not made of entries

  // "14397 entries: 2319153 bytes to train on, 130343 held out".
  std::string ToString() const;
  // CRC-32C of both, as a manifest's fact: whether two runs saw the same text.
  std::string Fingerprint() const;
};

// The entries of one text, and what becomes of those of several.
std::vector<std::string> FortuneEntries(absl::string_view text);
ByteCorpus SplitEntries(absl::Span<const std::string> entries);

// The fortunes in `folder`. Errors: NotFound if there are no entries; those of
// core/base/file.h.
absl::StatusOr<ByteCorpus> ReadFortunes(const std::string& folder);

// All of the files, one after the other; of each the last `held_out` of its
// bytes, rounded down, are held out; 0 < held_out < 1.
// Errors: InvalidArgument for no files or another share; those of
// core/base/file.h.
absl::StatusOr<ByteCorpus> ReadTextFiles(absl::Span<const std::string> paths,
                                         double held_out);

// The bytes as tokens, u8 [N].
absl::StatusOr<Tensor> ByteTokens(absl::string_view text);

}  // namespace septet

#endif  // SEPTET_CORE_DATA_BYTE_CORPUS_H_
