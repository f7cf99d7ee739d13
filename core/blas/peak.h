// SPDX-License-Identifier: Apache-2.0
// What one core of this machine can do at most, measured: fused multiply-adds
// in registers, and reading memory. The limits that benchmarks name.
//
//   const double peak = PeakFlops<float>();            // FLOP/s
//   const double bandwidth = PeakReadBandwidth(64 << 20);   // bytes/s
//
// Both run for about 10 ms in the calling thread and count its CPU time, so
// that other load on the machine disturbs them little. Frequencies change:
// measure before and after what is compared.
#ifndef SEPTET_CORE_BLAS_PEAK_H_
#define SEPTET_CORE_BLAS_PEAK_H_

#include <cstdint>

namespace septet {

// CPU time of the calling thread, in seconds.
double ThreadCpuSeconds();

// Multiplications and additions per second, T = float or double, with the
// widest vectors of the machine. A fused multiply-add counts as two.
template <typename T>
double PeakFlops();

// Bytes per second read by sums over a buffer of that many bytes (which is
// allocated and filled), best of several passes.
double PeakReadBandwidth(int64_t bytes);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_PEAK_H_
