// SPDX-License-Identifier: Apache-2.0
// bazel run -c opt //core/blas:conv_benchmark
//
// Convolutions on one thread: forward, gradient of the input, gradient of the
// weights. Counters: FLOP/s, and "of_limit", the part of the peak of
// multiply-adds that was reached: the median over rounds of a few calls, each
// between two measurements of the peak, all by the thread's CPU time.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/blas/conv.h"
#include "septet/core/blas/peak.h"

namespace septet {
namespace {

template <typename T>
std::vector<T> Values(int64_t n) {
  std::vector<T> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) {
    const double u = static_cast<double>(i) * 0.6180339887498949;
    x[i] = static_cast<T>(2 * (u - std::floor(u)) - 1);
  }
  return x;
}

enum Function { kForward, kBackwardData, kBackwardWeights };

template <typename T>
void BM_Conv(benchmark::State& state, Conv2dShape s, Function function) {
  const std::vector<T> x = Values<T>(s.n * s.h * s.w * s.c_in);
  const std::vector<T> w = Values<T>(s.kh * s.kw * s.c_in / s.groups * s.c_out);
  const std::vector<T> dy = Values<T>(s.n * s.OutH() * s.OutW() * s.c_out);
  std::vector<T> out(function == kForward        ? dy.size()
                     : function == kBackwardData ? x.size()
                                                 : w.size());
  std::vector<T> want(out);
  const auto run = [&] {
    switch (function) {
      case kForward:
        return Conv2dForward(s, x.data(), w.data(), nullptr, out.data());
      case kBackwardData:
        return Conv2dBackwardData(s, dy.data(), w.data(), nullptr, out.data());
      case kBackwardWeights:
        break;
    }
    return Conv2dBackwardWeights(s, x.data(), dy.data(), out.data(), nullptr);
  };
  // Right before fast, on one image.
  const int64_t images = s.n;
  s.n = 1;
  SEPTET_CHECK(run().ok());
  switch (function) {
    case kForward:
      SEPTET_CHECK(Conv2dReferenceForward(s, x.data(), w.data(),
                                          static_cast<const T*>(nullptr),
                                          want.data())
                       .ok());
      break;
    case kBackwardData:
      SEPTET_CHECK(Conv2dReferenceBackwardData(s, dy.data(), w.data(),
                                               static_cast<const T*>(nullptr),
                                               want.data())
                       .ok());
      break;
    case kBackwardWeights:
      SEPTET_CHECK(Conv2dReferenceBackwardWeights(s, x.data(), dy.data(),
                                                  want.data(),
                                                  static_cast<T*>(nullptr))
                       .ok());
      break;
  }
  const double terms =
      static_cast<double>(s.kh * s.kw * s.c_in + s.OutH() * s.OutW());
  for (size_t i = 0; i < out.size(); ++i) {
    SEPTET_CHECK(std::abs(out[i] - want[i]) <=
                 (sizeof(T) == 4 ? 1e-6 : 1e-14) * terms)
        << out[i] << " " << want[i];
  }
  s.n = images;
  const double flops =
      2.0 * static_cast<double>(s.n * s.OutH() * s.OutW() * s.kh * s.kw *
                                s.c_in / s.groups * s.c_out);
  // About 10 ms between two measurements of the peak.
  const int calls = std::max(1, static_cast<int>(5e8 / flops));
  std::vector<double> ratios;
  double seconds = 0;
  double before = PeakFlops<T>();
  for (auto _ : state) {
    const double begin = ThreadCpuSeconds();
    for (int i = 0; i < calls; ++i) {
      const bool ok = run().ok();
      benchmark::DoNotOptimize(ok);
      benchmark::ClobberMemory();
    }
    const double took = ThreadCpuSeconds() - begin;
    state.SetIterationTime(took / calls);
    seconds += took;
    const double after = PeakFlops<T>();
    ratios.push_back(flops * calls / took / ((before + after) / 2));
    before = after;
  }
  std::nth_element(ratios.begin(), ratios.begin() + ratios.size() / 2,
                   ratios.end());
  state.counters["FLOP/s"] = flops * calls * ratios.size() / seconds;
  state.counters["of_limit"] = ratios[ratios.size() / 2];
  state.SetLabel(Conv2dBackendName(s));
}

template <typename T>
void RegisterAll(const char* type) {
  struct Size {
    int64_t n, extent, c_in, c_out, k, stride, groups;
  };
  const Size kSizes[] = {
      {16, 32, 64, 64, 3, 1, 1},  {8, 56, 64, 64, 3, 1, 1},
      {16, 32, 16, 16, 3, 1, 1},  {64, 28, 1, 32, 5, 1, 1},
      {16, 32, 3, 64, 3, 1, 1},   {16, 32, 64, 128, 3, 2, 1},
      {16, 8, 256, 256, 3, 1, 1}, {4, 7, 512, 512, 3, 1, 1},
      {16, 32, 64, 64, 1, 1, 1},  {16, 32, 64, 64, 3, 1, 4},
      {16, 32, 64, 64, 3, 1, 64}, {1, 8, 64, 64, 3, 1, 1},
  };
  const char* const kNames[] = {"Forward", "BackwardData", "BackwardWeights"};
  for (const Size& size : kSizes) {
    Conv2dShape s;
    s.n = size.n;
    s.h = s.w = size.extent;
    s.c_in = size.c_in;
    s.c_out = size.c_out;
    s.kh = s.kw = size.k;
    s.stride_h = s.stride_w = size.stride;
    s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = size.k / 2;
    s.groups = size.groups;
    for (const Function function :
         {kForward, kBackwardData, kBackwardWeights}) {
      const std::string name =
          std::string("BM_Conv") + kNames[function] + "/" + type +
          "/N:" + std::to_string(s.n) + "/H:" + std::to_string(s.h) +
          "/C:" + std::to_string(s.c_in) + "/O:" + std::to_string(s.c_out) +
          "/K:" + std::to_string(s.kh) + "/S:" + std::to_string(s.stride_h) +
          "/G:" + std::to_string(s.groups);
      benchmark::RegisterBenchmark(name.c_str(),
                                   [s, function](benchmark::State& state) {
                                     BM_Conv<T>(state, s, function);
                                   })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

const bool registered = [] {
  RegisterAll<float>("f32");
  RegisterAll<double>("f64");
  return true;
}();

}  // namespace
}  // namespace septet
