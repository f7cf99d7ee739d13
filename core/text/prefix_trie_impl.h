// SPDX-License-Identifier: Apache-2.0
// Which of many strings a text begins with, byte by byte.
//
// Children of a node are numbered one after the other, so that a node is a few
// bytes whatever the strings are: at most 13 bytes for each of theirs.
#ifndef SEPTET_CORE_TEXT_PREFIX_TRIE_IMPL_H_
#define SEPTET_CORE_TEXT_PREFIX_TRIE_IMPL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace septet {
namespace text_internal {

class PrefixTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr int32_t kNone = -1;

  // A trie without strings.
  PrefixTrie() : PrefixTrie(absl::Span<const absl::string_view>()) {}

  // `keys` are distinct and not empty; they are needed only here. The value of
  // a key is its index. Cost: that of sorting them.
  explicit PrefixTrie(absl::Span<const absl::string_view> keys);

  // The node after `byte`; kRoot if no key goes on like this.
  uint32_t Child(uint32_t node, uint8_t byte) const {
    if (node == kRoot) return root_[byte];
    const Node& n = nodes_[node];
    // Most nodes have one child or none.
    for (uint32_t i = n.first; i < n.first + n.count; ++i) {
      if (labels_[i] >= byte) return labels_[i] == byte ? i : kRoot;
    }
    return kRoot;
  }

  // The key that ends at a node; kNone if none does.
  int32_t Value(uint32_t node) const { return nodes_[node].value; }

  // The longest key that `text` begins with and, if there is one, its bytes.
  int32_t Longest(absl::string_view text, size_t* bytes) const {
    int32_t value = kNone;
    uint32_t node = kRoot;
    for (size_t i = 0; i < text.size(); ++i) {
      node = Child(node, static_cast<uint8_t>(text[i]));
      if (node == kRoot) break;
      if (nodes_[node].value == kNone) continue;
      value = nodes_[node].value;
      *bytes = i + 1;
    }
    return value;
  }

 private:
  struct Node {
    uint32_t first = 0;  // child
    uint32_t count = 0;
    int32_t value = kNone;
  };

  std::vector<Node> nodes_;
  std::vector<uint8_t> labels_;  // by node: the byte that leads there
  std::array<uint32_t, 256> root_;
};

}  // namespace text_internal
}  // namespace septet

#endif  // SEPTET_CORE_TEXT_PREFIX_TRIE_IMPL_H_
