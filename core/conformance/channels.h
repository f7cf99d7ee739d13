// SPDX-License-Identifier: Apache-2.0
// Golden files hold images as [N, C, H, W], our ops want [N, H, W, C]. Other
// ranks likewise: the second axis moves to the end, [N, C] stays.
#ifndef SEPTET_CORE_CONFORMANCE_CHANNELS_H_
#define SEPTET_CORE_CONFORMANCE_CHANNELS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/ops/shape_ops.h"

namespace septet {

// [N, C, ...] -> [N, ..., C]. InvalidArgument for rank 0 and 1.
inline Var ChannelsLast(const Var& x) {
  if (!x.ok()) return x;
  if (x.rank() < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(x.tensor().DebugString(),
                     " has no axis of channels, want [N, C, ...]"));
  }
  std::vector<int64_t> axes = {0};
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  axes.push_back(1);
  return Permute(x, axes);
}

// [N, ..., C] -> [N, C, ...]. InvalidArgument for rank 0 and 1.
inline Var ChannelsFirst(const Var& x) {
  if (!x.ok()) return x;
  if (x.rank() < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(x.tensor().DebugString(),
                     " has no axis of channels, want [N, ..., C]"));
  }
  std::vector<int64_t> axes = {0, x.rank() - 1};
  for (int i = 1; i + 1 < x.rank(); ++i) axes.push_back(i);
  return Permute(x, axes);
}

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_CHANNELS_H_
