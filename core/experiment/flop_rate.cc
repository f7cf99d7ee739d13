// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/flop_rate.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "septet/core/base/check.h"

namespace septet {
namespace {

// Two arrays of this many floats are half of a first-level cache of 32 KiB.
constexpr int kFloats = 2048;
constexpr double kFlopsPerPass = 2.0 * kFloats;

void Pass(const float* __restrict x, float* __restrict y) {
  // Converges to 2 x: never large, never denormal.
  for (int i = 0; i < kFloats; ++i) y[i] = 0.5f * y[i] + x[i];
}

}  // namespace

double MeasureFlopRate() {
  constexpr int kStretches = 10;
  constexpr int kPassesBetweenClocks = 64;
  constexpr double kStretchSeconds = 2e-3;
  using Clock = std::chrono::steady_clock;
  std::vector<float> x(kFloats, 1.0f), y(kFloats, 1.0f);
  double best = 0;
  for (int stretch = 0; stretch < kStretches; ++stretch) {
    const auto start = Clock::now();
    double seconds = 0;
    double flops = 0;
    while (seconds < kStretchSeconds) {
      for (int pass = 0; pass < kPassesBetweenClocks; ++pass) {
        Pass(x.data(), y.data());
      }
      flops += kFlopsPerPass * kPassesBetweenClocks;
      seconds = std::chrono::duration<double>(Clock::now() - start).count();
    }
    best = std::max(best, flops / seconds);
  }
  // Also keeps the passes from being optimised away.
  SEPTET_CHECK(y[0] >= 1 && y[kFloats - 1] <= 2) << y[0];
  return best;
}

}  // namespace septet
