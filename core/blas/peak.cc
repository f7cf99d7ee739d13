// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/peak.h"

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/blas/peak.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/base/check.h"
#include "septet/core/tensor/allocator.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// `rounds` times 12 multiply-adds, each on an accumulator of its own: more than
// latency times the width of any machine we know. Returns the operations done;
// `data` is read and written so that nothing is removed.
template <typename T>
double MultiplyAdds(int64_t rounds, T* data) {
  const hn::ScalableTag<T> d;
  const auto m = hn::Set(d, data[0]);
  const auto a = hn::Set(d, data[1]);
  auto v0 = hn::Set(d, data[2]);
  auto v1 = hn::Add(v0, a);
  auto v2 = hn::Add(v1, a);
  auto v3 = hn::Add(v2, a);
  auto v4 = hn::Add(v3, a);
  auto v5 = hn::Add(v4, a);
  auto v6 = hn::Add(v5, a);
  auto v7 = hn::Add(v6, a);
  auto v8 = hn::Add(v7, a);
  auto v9 = hn::Add(v8, a);
  auto v10 = hn::Add(v9, a);
  auto v11 = hn::Add(v10, a);
  for (int64_t i = 0; i < rounds; ++i) {
    v0 = hn::MulAdd(v0, m, a);
    v1 = hn::MulAdd(v1, m, a);
    v2 = hn::MulAdd(v2, m, a);
    v3 = hn::MulAdd(v3, m, a);
    v4 = hn::MulAdd(v4, m, a);
    v5 = hn::MulAdd(v5, m, a);
    v6 = hn::MulAdd(v6, m, a);
    v7 = hn::MulAdd(v7, m, a);
    v8 = hn::MulAdd(v8, m, a);
    v9 = hn::MulAdd(v9, m, a);
    v10 = hn::MulAdd(v10, m, a);
    v11 = hn::MulAdd(v11, m, a);
  }
  const auto sum = hn::Add(hn::Add(hn::Add(hn::Add(v0, v1), hn::Add(v2, v3)),
                                   hn::Add(hn::Add(v4, v5), hn::Add(v6, v7))),
                           hn::Add(hn::Add(v8, v9), hn::Add(v10, v11)));
  data[2] = hn::GetLane(sum);
  return static_cast<double>(rounds) * 12 * 2 *
         static_cast<double>(hn::Lanes(d));
}

double MultiplyAddsF32(int64_t rounds, float* data) {
  return MultiplyAdds(rounds, data);
}
double MultiplyAddsF64(int64_t rounds, double* data) {
  return MultiplyAdds(rounds, data);
}

float SumOf(size_t n, const float* x) {
  const hn::ScalableTag<float> d;
  const size_t step = hn::Lanes(d);
  auto v0 = hn::Zero(d);
  auto v1 = v0, v2 = v0, v3 = v0;
  size_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    v0 = hn::Add(v0, hn::LoadU(d, x + i));
    v1 = hn::Add(v1, hn::LoadU(d, x + i + step));
    v2 = hn::Add(v2, hn::LoadU(d, x + i + 2 * step));
    v3 = hn::Add(v3, hn::LoadU(d, x + i + 3 * step));
  }
  float sum =
      hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(v0, v1), hn::Add(v2, v3))));
  for (; i < n; ++i) sum += x[i];
  return sum;
}

// The same, fetching a page ahead: the machine's own prefetchers stop at its
// end.
float SumAhead(size_t n, const float* x) {
  const hn::ScalableTag<float> d;
  const size_t step = hn::Lanes(d);
  constexpr size_t kAhead = 4096 / sizeof(float);
  constexpr size_t kLine = kLoopAlignment / sizeof(float);
  const size_t block = 4 * (step > kLine ? step : kLine);
  auto v0 = hn::Zero(d);
  auto v1 = v0, v2 = v0, v3 = v0;
  size_t i = 0;
  for (; i + block <= n; i += block) {
    for (size_t j = i; j < i + block; j += kLine) {
      hwy::Prefetch(x + j + kAhead);
    }
    for (size_t j = i; j < i + block; j += 4 * step) {
      v0 = hn::Add(v0, hn::LoadU(d, x + j));
      v1 = hn::Add(v1, hn::LoadU(d, x + j + step));
      v2 = hn::Add(v2, hn::LoadU(d, x + j + 2 * step));
      v3 = hn::Add(v3, hn::LoadU(d, x + j + 3 * step));
    }
  }
  float sum =
      hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(v0, v1), hn::Add(v2, v3))));
  for (; i < n; ++i) sum += x[i];
  return sum;
}

float SumOfFour(size_t n, const float* x) {
  const hn::ScalableTag<float> d;
  const size_t step = hn::Lanes(d);
  const size_t part = n / 4 / step * step;
  const float* x1 = x + part;
  const float* x2 = x1 + part;
  const float* x3 = x2 + part;
  auto v0 = hn::Zero(d);
  auto v1 = v0, v2 = v0, v3 = v0;
  for (size_t i = 0; i < part; i += step) {
    v0 = hn::Add(v0, hn::LoadU(d, x + i));
    v1 = hn::Add(v1, hn::LoadU(d, x1 + i));
    v2 = hn::Add(v2, hn::LoadU(d, x2 + i));
    v3 = hn::Add(v3, hn::LoadU(d, x3 + i));
  }
  float sum =
      hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(v0, v1), hn::Add(v2, v3))));
  for (size_t i = 4 * part; i < n; ++i) sum += x[i];
  return sum;
}

void Update(size_t n, float factor, float* x) {
  const hn::ScalableTag<float> d;
  const size_t step = hn::Lanes(d);
  const auto f = hn::Set(d, factor);
  size_t i = 0;
  for (; i + 2 * step <= n; i += 2 * step) {
    hn::StoreU(hn::Mul(f, hn::LoadU(d, x + i)), d, x + i);
    hn::StoreU(hn::Mul(f, hn::LoadU(d, x + i + step)), d, x + i + step);
  }
  for (; i < n; ++i) x[i] *= factor;
}

void UpdateFour(size_t n, float factor, float* x) {
  const hn::ScalableTag<float> d;
  const size_t step = hn::Lanes(d);
  const auto f = hn::Set(d, factor);
  const size_t part = n / 4 / step * step;
  for (size_t i = 0; i < part; i += step) {
    for (size_t walk = 0; walk < 4; ++walk) {
      float* p = x + walk * part + i;
      hn::StoreU(hn::Mul(f, hn::LoadU(d, p)), d, p);
    }
  }
  for (size_t i = 4 * part; i < n; ++i) x[i] *= factor;
}

void Copy(size_t n, const float* x, float* y) {
  const hn::ScalableTag<float> d;
  const size_t step = hn::Lanes(d);
  size_t i = 0;
  for (; i + 2 * step <= n; i += 2 * step) {
    const auto v0 = hn::LoadU(d, x + i);
    const auto v1 = hn::LoadU(d, x + i + step);
    hn::StoreU(v0, d, y + i);
    hn::StoreU(v1, d, y + i + step);
  }
  for (; i < n; ++i) y[i] = x[i];
}

void StreamingCopy(size_t n, const float* x, float* y) {
  const hn::ScalableTag<float> d;
  const size_t step = hn::Lanes(d);
  // A page ahead: the prefetchers stop at its end.
  constexpr size_t kAhead = 4096 / sizeof(float);
  constexpr size_t kLine = kLoopAlignment / sizeof(float);
  const size_t block = step > kLine ? step : kLine;
  size_t i = 0;
  for (; i + block <= n; i += block) {
    hwy::Prefetch(x + i + kAhead);
    for (size_t j = i; j < i + block; j += step) {
      hn::Stream(hn::Load(d, x + j), d, y + j);
    }
  }
  for (; i < n; ++i) y[i] = x[i];
  hwy::FlushStream();
}

void StreamingCopyFour(size_t n, const float* x, float* y) {
  const hn::ScalableTag<float> d;
  const size_t step = hn::Lanes(d);
  // Two lines of each walk at a time.
  constexpr size_t kLines = 2 * kLoopAlignment / sizeof(float);
  const size_t block = step > kLines ? step : kLines;
  const size_t part = n / 4 / block * block;
  for (size_t i = 0; i < part; i += block) {
    for (size_t walk = 0; walk < 4; ++walk) {
      const size_t begin = walk * part + i;
      for (size_t j = begin; j < begin + block; j += step) {
        hn::Stream(hn::Load(d, x + j), d, y + j);
      }
    }
  }
  for (size_t i = 4 * part; i < n; ++i) y[i] = x[i];
  hwy::FlushStream();
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(MultiplyAddsF32);
HWY_EXPORT(MultiplyAddsF64);
HWY_EXPORT(SumOf);
HWY_EXPORT(SumAhead);
HWY_EXPORT(SumOfFour);
HWY_EXPORT(Update);
HWY_EXPORT(UpdateFour);
HWY_EXPORT(Copy);
HWY_EXPORT(StreamingCopy);
HWY_EXPORT(StreamingCopyFour);

double ThreadCpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) * 1e-9;
}

namespace {

// The best of five slices of about 2 ms: what disturbs a slice makes it slower,
// never faster.
template <typename Run>
double BestRate(const Run& run) {
  double best = 0;
  for (int slice = 0; slice < 5; ++slice) {
    const double begin = ThreadCpuSeconds();
    double done = 0;
    double end = begin;
    while (end - begin < 2e-3) {
      done += run();
      end = ThreadCpuSeconds();
    }
    best = std::max(best, done / (end - begin));
  }
  return best;
}

}  // namespace

template <>
double MultiplyAddLoop<float>(int64_t rounds) {
  // Values that stay of order 1 for any number of rounds.
  float data[3] = {0.5f, 0.25f, 0.125f};
  return HWY_DYNAMIC_DISPATCH(MultiplyAddsF32)(rounds, data);
}
template <>
double MultiplyAddLoop<double>(int64_t rounds) {
  double data[3] = {0.5, 0.25, 0.125};
  return HWY_DYNAMIC_DISPATCH(MultiplyAddsF64)(rounds, data);
}

float ReadLoop(int64_t n, const float* x) {
  return HWY_DYNAMIC_DISPATCH(SumOf)(static_cast<size_t>(n), x);
}
float ReadAheadLoop(int64_t n, const float* x) {
  return HWY_DYNAMIC_DISPATCH(SumAhead)(static_cast<size_t>(n), x);
}
float ReadFourLoop(int64_t n, const float* x) {
  return HWY_DYNAMIC_DISPATCH(SumOfFour)(static_cast<size_t>(n), x);
}
void UpdateLoop(int64_t n, float factor, float* x) {
  HWY_DYNAMIC_DISPATCH(Update)(static_cast<size_t>(n), factor, x);
}
void UpdateFourLoop(int64_t n, float factor, float* x) {
  HWY_DYNAMIC_DISPATCH(UpdateFour)(static_cast<size_t>(n), factor, x);
}
void CopyLoop(int64_t n, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(Copy)(static_cast<size_t>(n), x, y);
}
void StreamingCopyLoop(int64_t n, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(StreamingCopy)(static_cast<size_t>(n), x, y);
}

template <>
double PeakFlops<float>() {
  return BestRate([] { return MultiplyAddLoop<float>(20000); });
}
template <>
double PeakFlops<double>() {
  return BestRate([] { return MultiplyAddLoop<double>(20000); });
}

void StreamingCopyFourLoop(int64_t n, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(StreamingCopyFour)(static_cast<size_t>(n), x, y);
}

std::shared_ptr<float[]> LoopBuffer(int64_t n) {
  const size_t bytes = static_cast<size_t>(n) * sizeof(float);
  auto* const block = static_cast<float*>(CpuAllocator().Allocate(bytes));
  SEPTET_CHECK(block != nullptr) << "no memory for " << bytes << " bytes";
  std::fill_n(block, n, 1.0f);
  return std::shared_ptr<float[]>(
      block, [bytes](float* memory) { CpuAllocator().Free(memory, bytes); });
}

namespace {

// Small buffers are run through many times between two looks at the clock.
int64_t Passes(int64_t bytes) { return 1 + (int64_t{4} << 20) / (bytes + 1); }

// The best of some loops, each of which moves `bytes` a call.
double BestLoopRate(double bytes,
                    std::initializer_list<std::function<void()>> loops) {
  const int64_t passes = Passes(static_cast<int64_t>(bytes));
  double best = 0;
  for (const std::function<void()>& run : loops) {
    best = std::max(best, BestRate([&] {
                      for (int64_t pass = 0; pass < passes; ++pass) run();
                      return static_cast<double>(passes) * bytes;
                    }));
  }
  return best;
}

}  // namespace

double PeakReadBandwidth(int64_t bytes) {
  const int64_t n = std::max<int64_t>(1, bytes / 4);
  const auto x = LoopBuffer(n);
  volatile float sink = 0;
  return BestLoopRate(4 * static_cast<double>(n),
                      {[&] { sink = ReadLoop(n, x.get()); },
                       [&] { sink = ReadAheadLoop(n, x.get()); },
                       [&] { sink = ReadFourLoop(n, x.get()); }});
}

double PeakCopyBandwidth(int64_t bytes) {
  const int64_t n = std::max<int64_t>(1, bytes / 8);
  const auto x = LoopBuffer(n), y = LoopBuffer(n);
  return BestLoopRate(8 * static_cast<double>(n),
                      {[&] { CopyLoop(n, x.get(), y.get()); },
                       [&] { StreamingCopyLoop(n, x.get(), y.get()); },
                       [&] { StreamingCopyFourLoop(n, x.get(), y.get()); }});
}

double PeakUpdateBandwidth(int64_t bytes) {
  const int64_t n = std::max<int64_t>(1, bytes / 8);
  const auto x = LoopBuffer(n);
  return BestLoopRate(8 * static_cast<double>(n),
                      {[&] { UpdateLoop(n, 1, x.get()); },
                       [&] { UpdateFourLoop(n, 1, x.get()); }});
}

}  // namespace septet
#endif  // HWY_ONCE
