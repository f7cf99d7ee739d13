// SPDX-License-Identifier: Apache-2.0
// Rotation of pairs by angles that grow with time, on the CPU: the table of
// cosines and sines, and the rotation itself.
//
//   std::vector<float> table(times * RotaryTableWidth(layout, pairs));
//   RotaryTable(layout, 0, times, pairs, frequencies, /*offset=*/0,
//   /*scale=*/1,
//               /*inverse=*/false, table.data());
//   RotaryRows(layout, times, inner, width, pairs, x, table.data(), y);
//
// Plain functions: no allocation, no threads. Angles are computed in double
// whatever the type of the table, sines and cosines too, and rounded once.
// Products and sums of the rotation are rounded each: its bits are the same on
// every machine for equal tables.
#ifndef SEPTET_CORE_OPS_ROTARY_KERNELS_H_
#define SEPTET_CORE_OPS_ROTARY_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/rotary_layout.h"
#include "septet/core/ops/store_mode.h"

namespace septet {

// Elements that the table has a time step.
inline int64_t RotaryTableWidth(RotaryLayout layout, int64_t pairs) {
  return (layout == RotaryLayout::kInterleaved ? 4 : 2) * pairs;
}

// For t in [begin, end): table[t - begin] of the angles
// (offset + t) scale frequencies[i], i < pairs. kHalf: all cosines, then all
// sines. kInterleaved: each cosine twice, then each sine negated and as it is.
// `inverse` negates the angles.
void RotaryTable(RotaryLayout layout, int64_t begin, int64_t end, int64_t pairs,
                 const double* frequencies, double offset, double scale,
                 bool inverse, float* table);
void RotaryTable(RotaryLayout layout, int64_t begin, int64_t end, int64_t pairs,
                 const double* frequencies, double offset, double scale,
                 bool inverse, double* table);

// x, y [times, inner, width]: the first 2 pairs elements of each row are
// rotated by the table of its time, the others copied. y must not overlap x.
void RotaryRows(RotaryLayout layout, int64_t times, int64_t inner,
                int64_t width, int64_t pairs, const float* x,
                const float* table, float* y,
                StoreMode mode = StoreMode::kCached);
void RotaryRows(RotaryLayout layout, int64_t times, int64_t inner,
                int64_t width, int64_t pairs, const double* x,
                const double* table, double* y,
                StoreMode mode = StoreMode::kCached);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ROTARY_KERNELS_H_
