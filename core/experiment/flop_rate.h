// SPDX-License-Identifier: Apache-2.0
// How fast this machine will calculate, for the ETA of a plan: the peak of its
// multiply-adds, measured, times the part of it that training here reaches.
//
//   const double rate = MeasureFlopRate(/*threads=*/2);   // e.g. 8e10
//
// The jobs of baselines/ at quick reach 0.65 of the peak in a second of a
// core's time (5.0e12 operations in 66 s at a peak of 117 GFLOP/s, AMD EPYC of
// the Zen 4 kind); less of it is left with a second thread, and with networks
// that are smaller. An ETA is right within a factor of two or so, on an idle
// machine.
#ifndef SEPTET_CORE_EXPERIMENT_FLOP_RATE_H_
#define SEPTET_CORE_EXPERIMENT_FLOP_RATE_H_

namespace septet {

// The part of the peak that is counted on.
inline constexpr double kExpectedEfficiency = 0.35;

// Floating-point operations a second of that many threads, >= 1: always above
// 0. Takes about 10 ms. See PeakFlops in core/blas/peak.h.
double MeasureFlopRate(int threads);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_FLOP_RATE_H_
