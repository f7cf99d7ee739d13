// SPDX-License-Identifier: Apache-2.0
// Rotation of pairs by angles that grow with time, on the CPU: the table of
// cosines and sines, and the rotation itself.
//
//   const int64_t width = RotaryTableWidth(layout, pairs);
//   std::vector<float> cos(times * width), sin(times * width);
//   RotaryTable(layout, 0, times, pairs, frequencies, /*offset=*/0,
//   /*scale=*/1,
//               /*inverse=*/false, cos.data(), sin.data());
//   RotaryRows(layout, times, inner, width, pairs, x, cos.data(), sin.data(),
//   y);
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

// Elements that each of the tables of cosines and sines has a time step.
inline int64_t RotaryTableWidth(RotaryLayout layout, int64_t pairs) {
  return (layout == RotaryLayout::kInterleaved ? 2 : 1) * pairs;
}

// For t in [begin, end): row t - begin of cos and sin, of the angles
// (offset + t) scale frequencies[i], i < pairs. kInterleaved: each cosine
// twice, each sine negated and as it is. `inverse` negates the angles.
void RotaryTable(RotaryLayout layout, int64_t begin, int64_t end, int64_t pairs,
                 const double* frequencies, double offset, double scale,
                 bool inverse, float* cos, float* sin);
void RotaryTable(RotaryLayout layout, int64_t begin, int64_t end, int64_t pairs,
                 const double* frequencies, double offset, double scale,
                 bool inverse, double* cos, double* sin);

// x, y [times, inner, width]: of the first `rows` of the `inner` rows of each
// time the first 2 pairs elements are rotated by the tables of its time, the
// others copied, and so are the other rows. y must not overlap x.
void RotaryFirstRows(RotaryLayout layout, int64_t times, int64_t inner,
                     int64_t rows, int64_t width, int64_t pairs, const float* x,
                     const float* cos, const float* sin, float* y,
                     StoreMode mode = StoreMode::kCached);
void RotaryFirstRows(RotaryLayout layout, int64_t times, int64_t inner,
                     int64_t rows, int64_t width, int64_t pairs,
                     const double* x, const double* cos, const double* sin,
                     double* y, StoreMode mode = StoreMode::kCached);

// The same for all rows.
template <typename T>
void RotaryRows(RotaryLayout layout, int64_t times, int64_t inner,
                int64_t width, int64_t pairs, const T* x, const T* cos,
                const T* sin, T* y, StoreMode mode = StoreMode::kCached) {
  RotaryFirstRows(layout, times, inner, inner, width, pairs, x, cos, sin, y,
                  mode);
}

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ROTARY_KERNELS_H_
