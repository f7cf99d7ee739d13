// SPDX-License-Identifier: Apache-2.0
// Copies of rows at a distance from each other, as bytes. Internal to core/ops.
#ifndef SEPTET_CORE_OPS_COPY_ROWS_H_
#define SEPTET_CORE_OPS_COPY_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace septet {
namespace ops_internal {

template <int64_t kBytes>
inline void CopyRowsOf(int64_t rows, const char* from, int64_t from_pitch,
                       char* to, int64_t to_pitch) {
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(to + r * to_pitch, from + r * from_pitch, kBytes);
  }
}

// Row r: `bytes` bytes from + r from_pitch to to + r to_pitch. A row of one
// element is a move, not a call. Pitches may be negative.
inline void CopyRows(int64_t rows, int64_t bytes, const char* from,
                     int64_t from_pitch, char* to, int64_t to_pitch) {
  if (from_pitch == bytes && to_pitch == bytes) {
    if (rows * bytes > 0) {
      std::memcpy(to, from, static_cast<size_t>(rows * bytes));
    }
    return;
  }
  switch (bytes) {
    case 0:
      return;
    case 1:
      return CopyRowsOf<1>(rows, from, from_pitch, to, to_pitch);
    case 2:
      return CopyRowsOf<2>(rows, from, from_pitch, to, to_pitch);
    case 4:
      return CopyRowsOf<4>(rows, from, from_pitch, to, to_pitch);
    case 8:
      return CopyRowsOf<8>(rows, from, from_pitch, to, to_pitch);
    case 16:
      return CopyRowsOf<16>(rows, from, from_pitch, to, to_pitch);
    default:
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(to + r * to_pitch, from + r * from_pitch,
                    static_cast<size_t>(bytes));
      }
  }
}

}  // namespace ops_internal
}  // namespace septet

#endif  // SEPTET_CORE_OPS_COPY_ROWS_H_
