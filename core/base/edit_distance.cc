// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/edit_distance.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"

namespace septet {

int EditDistance(absl::string_view a, absl::string_view b) {
  if (a.size() < b.size()) std::swap(a, b);
  const size_t width = b.size() + 1;
  // Distances between the prefixes of b and the last three prefixes of a.
  std::vector<int> before(width), previous(width), current(width);
  for (size_t j = 0; j < width; ++j) current[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, previous);
    std::swap(previous, current);
    current[0] = static_cast<int>(i);
    for (size_t j = 1; j < width; ++j) {
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1,
                             previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
  }
  return current[b.size()];
}

std::string NearestName(absl::string_view name,
                        const std::vector<std::string>& candidates) {
  const std::string wanted = absl::AsciiStrToLower(name.substr(0, 256));
  std::string nearest;
  int least = 0;
  for (const std::string& candidate : candidates) {
    const int distance = EditDistance(wanted, absl::AsciiStrToLower(candidate));
    const size_t longer = std::max(wanted.size(), candidate.size());
    if (static_cast<size_t>(2 * distance) >= longer) continue;
    if (nearest.empty() || distance < least) {
      nearest = candidate;
      least = distance;
    }
  }
  return nearest;
}

}  // namespace septet
