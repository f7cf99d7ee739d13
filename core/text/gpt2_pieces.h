// SPDX-License-Identifier: Apache-2.0
// Text cut into pieces as GPT-2 does before it merges bytes (Radford et al.,
// Language models are unsupervised multitask learners, 2019; encoder.py):
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|
//   \s+(?!\S)|\s+
//
// Contractions in lower case; letters (Unicode categories L*), digits (N*) or
// other characters, each with at most one space (U+0020) before; white space
// (Unicode White_Space), whose last character goes to what follows it.
//
//   for (absl::string_view rest = text; !rest.empty();) {
//     const size_t bytes = Gpt2PieceBytes(rest);
//     Use(rest.substr(0, bytes));
//     rest.remove_prefix(bytes);
//   }
//
// A byte that belongs to no character of UTF-8 counts as an "other character".
// Unicode's version is utf8proc's.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_TEXT_GPT2_PIECES_H_
#define SEPTET_CORE_TEXT_GPT2_PIECES_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace septet {

// How many bytes the first piece of `text`, which is not empty, has: at least
// one. Reads that piece and one character more.
size_t Gpt2PieceBytes(absl::string_view text);

}  // namespace septet

#endif  // SEPTET_CORE_TEXT_GPT2_PIECES_H_
