// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/prefix_trie_impl.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"

namespace septet {
namespace text_internal {

PrefixTrie::PrefixTrie(absl::Span<const absl::string_view> keys) {
  std::vector<uint32_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [keys](uint32_t a, uint32_t b) { return keys[a] < keys[b]; });
  // The sorted keys that go through a node, and how many bytes lead there.
  struct Range {
    size_t begin;
    size_t end;
    size_t depth;
  };
  std::vector<Range> ranges = {{0, keys.size(), 0}};
  nodes_.emplace_back();
  labels_.push_back(0);
  for (size_t node = 0; node < ranges.size(); ++node) {
    Range range = ranges[node];
    if (range.begin < range.end &&
        keys[order[range.begin]].size() == range.depth) {
      SEPTET_DCHECK(range.depth > 0);
      nodes_[node].value = static_cast<int32_t>(order[range.begin]);
      ++range.begin;
    }
    nodes_[node].first = static_cast<uint32_t>(nodes_.size());
    while (range.begin < range.end) {
      const char label = keys[order[range.begin]][range.depth];
      size_t end = range.begin + 1;
      while (end < range.end && keys[order[end]][range.depth] == label) ++end;
      ranges.push_back({range.begin, end, range.depth + 1});
      nodes_.emplace_back();
      labels_.push_back(static_cast<uint8_t>(label));
      range.begin = end;
    }
    nodes_[node].count =
        static_cast<uint32_t>(nodes_.size()) - nodes_[node].first;
  }
  root_.fill(kRoot);
  for (uint32_t i = 0; i < nodes_[kRoot].count; ++i) {
    const uint32_t child = nodes_[kRoot].first + i;
    root_[labels_[child]] = child;
  }
}

}  // namespace text_internal
}  // namespace septet
