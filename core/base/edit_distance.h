// SPDX-License-Identifier: Apache-2.0
// The nearest of several names, for messages about names nobody knows.
//
//   NearestName("laeyrs", {"layers", "heads"})   // "layers"
//   NearestName("zebra", {"layers", "heads"})    // "": nothing is near
//
// The distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours, each at the cost of 1, on bytes.
// Time is the product of the lengths, memory three rows of the shorter name.
// Keywords: Levenshtein, Damerau, did you mean.
#ifndef SEPTET_CORE_BASE_EDIT_DISTANCE_H_
#define SEPTET_CORE_BASE_EDIT_DISTANCE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace septet {

// How many edits turn `a` into `b`; 0 where they are equal, at most the longer
// length. Symmetric. No errors.
int EditDistance(absl::string_view a, absl::string_view b);

// The candidate with the least distance to `name`, whatever the letter case;
// the first of several. Empty where the least is half of the longer length or
// more, since a far name misleads. Looks at the first 256 bytes of `name`,
// which may come from a file.
std::string NearestName(absl::string_view name,
                        const std::vector<std::string>& candidates);

}  // namespace septet

#endif  // SEPTET_CORE_BASE_EDIT_DISTANCE_H_
