// SPDX-License-Identifier: Apache-2.0
// The definitions of conv.h in plain loops.
#include <cstdint>

#include "absl/status/status.h"
#include "septet/core/blas/conv.h"

namespace septet {
namespace {

// Calls fn(x, w, y) with the indices of each product of the definition, outputs
// in the outer loops.
template <class Fn>
void ForProducts(const Conv2dShape& s, const Fn& fn) {
  const int64_t in = s.c_in / s.groups;
  const int64_t out = s.c_out / s.groups;
  int64_t y = 0;
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t i = 0; i < s.OutH(); ++i) {
      for (int64_t j = 0; j < s.OutW(); ++j) {
        for (int64_t o = 0; o < s.c_out; ++o, ++y) {
          for (int64_t a = 0; a < s.kh; ++a) {
            const int64_t row = i * s.stride_h - s.pad_top + a * s.dilation_h;
            if (row < 0 || row >= s.h) continue;
            for (int64_t b = 0; b < s.kw; ++b) {
              const int64_t col =
                  j * s.stride_w - s.pad_left + b * s.dilation_w;
              if (col < 0 || col >= s.w) continue;
              for (int64_t c = 0; c < in; ++c) {
                fn(((n * s.h + row) * s.w + col) * s.c_in + o / out * in + c,
                   ((a * s.kw + b) * in + c) * s.c_out + o, y);
              }
            }
          }
        }
      }
    }
  }
}

template <typename T>
void SetBias(int64_t pixels, int64_t channels, const T* bias, T* y) {
  for (int64_t i = 0; i < pixels; ++i) {
    for (int64_t c = 0; c < channels; ++c) {
      *y++ = bias == nullptr ? T(0) : bias[c];
    }
  }
}

}  // namespace

template <typename T>
absl::Status Conv2dReferenceForward(const Conv2dShape& s, const T* x,
                                    const T* w, const T* bias, T* y) {
  if (absl::Status status = ValidateConv2d(s); !status.ok()) return status;
  SetBias(s.n * s.OutH() * s.OutW(), s.c_out, bias, y);
  ForProducts(
      s, [&](int64_t ix, int64_t iw, int64_t iy) { y[iy] += x[ix] * w[iw]; });
  return absl::OkStatus();
}

template <typename T>
absl::Status Conv2dReferenceBackwardData(const Conv2dShape& s, const T* dy,
                                         const T* w, const T* bias, T* dx) {
  if (absl::Status status = ValidateConv2d(s); !status.ok()) return status;
  SetBias(s.n * s.h * s.w, s.c_in, bias, dx);
  ForProducts(
      s, [&](int64_t ix, int64_t iw, int64_t iy) { dx[ix] += dy[iy] * w[iw]; });
  return absl::OkStatus();
}

template <typename T>
absl::Status Conv2dReferenceBackwardWeights(const Conv2dShape& s, const T* x,
                                            const T* dy, T* dw, T* dbias) {
  if (absl::Status status = ValidateConv2d(s); !status.ok()) return status;
  ForProducts(
      s, [&](int64_t ix, int64_t iw, int64_t iy) { dw[iw] += x[ix] * dy[iy]; });
  const int64_t outputs = s.n * s.OutH() * s.OutW() * s.c_out;
  for (int64_t i = 0; dbias != nullptr && i < outputs; ++i) {
    dbias[i % s.c_out] += dy[i];
  }
  return absl::OkStatus();
}

template absl::Status Conv2dReferenceForward(const Conv2dShape&, const float*,
                                             const float*, const float*,
                                             float*);
template absl::Status Conv2dReferenceForward(const Conv2dShape&, const double*,
                                             const double*, const double*,
                                             double*);
template absl::Status Conv2dReferenceBackwardData(const Conv2dShape&,
                                                  const float*, const float*,
                                                  const float*, float*);
template absl::Status Conv2dReferenceBackwardData(const Conv2dShape&,
                                                  const double*, const double*,
                                                  const double*, double*);
template absl::Status Conv2dReferenceBackwardWeights(const Conv2dShape&,
                                                     const float*, const float*,
                                                     float*, float*);
template absl::Status Conv2dReferenceBackwardWeights(const Conv2dShape&,
                                                     const double*,
                                                     const double*, double*,
                                                     double*);

}  // namespace septet
