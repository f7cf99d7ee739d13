// SPDX-License-Identifier: Apache-2.0
// How fast this machine calculates, roughly, for the ETA of a plan.
//
//   const double rate = MeasureFlopRate();   // e.g. 1.6e10
//
// The loop is y = a y + x over 2,048 floats in the first-level cache, compiled
// for the plainest processor of the architecture, on the calling thread. Matrix
// products reach several times this rate, code that is bound by memory or by
// overhead a part of it; declared FLOPs over this rate is an estimate within a
// small factor, and no measure of the machine's peak.
#ifndef SEPTET_CORE_EXPERIMENT_FLOP_RATE_H_
#define SEPTET_CORE_EXPERIMENT_FLOP_RATE_H_

namespace septet {

// Floating-point operations a second, always above 0: the best of 10 stretches
// of about 2 ms each.
double MeasureFlopRate();

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_FLOP_RATE_H_
