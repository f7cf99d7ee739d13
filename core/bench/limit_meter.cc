// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/limit_meter.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "septet/core/base/check.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/blas/peak.h"
#include "septet/core/ops/elementwise_kernels.h"

namespace septet {
namespace {

// Of a loop, each time it is measured.
constexpr double kSliceSeconds = 1e-3;

// Blocks of a pass: one for one thread, some for each of several, so that the
// first to finish takes more.
int64_t NumParts(int threads) { return threads == 1 ? 1 : 4 * threads; }

// pass(i) for each part, in the current pool.
template <typename Fn>
std::function<void()> InParts(int threads, Fn pass) {
  const int64_t parts = NumParts(threads);
  return [parts, pass] {
    ParallelFor(parts, 1, [&pass](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) pass(part);
    });
  };
}

// How much longer a part is for several threads: they wake up and wait for one
// another once a pass, which must not be what takes the time.
int64_t Stretch(int threads) { return threads == 1 ? 1 : 5; }

// How often a pass goes over a part of n floats: small ones several times, so
// that the call, or the threads' meeting, is not what takes the time.
int64_t Repeats(int64_t n, int threads) {
  return 1 + (int64_t{1} << (threads == 1 ? 14 : 21)) / n;
}

UnaryKind KindOf(BenchFunction function) {
  switch (function) {
    case BenchFunction::kExp:
      return UnaryKind::kExp;
    case BenchFunction::kExpm1:
      return UnaryKind::kExpm1;
    case BenchFunction::kLog:
      return UnaryKind::kLog;
    case BenchFunction::kLog1p:
      return UnaryKind::kLog1p;
    case BenchFunction::kSin:
      return UnaryKind::kSin;
    case BenchFunction::kTanh:
      return UnaryKind::kTanh;
    case BenchFunction::kErf:
      return UnaryKind::kErf;
  }
  SEPTET_CHECK(false);
  return UnaryKind::kExp;
}

// n floats in parts of whole vectors.
int64_t PartSize(int64_t n, int threads) {
  constexpr int64_t kUnit =
      kLoopAlignment / static_cast<int64_t>(sizeof(float));
  const int64_t parts = NumParts(threads);
  return std::max<int64_t>(1, (n + parts * kUnit - 1) / (parts * kUnit)) *
         kUnit;
}

}  // namespace

double BenchClock(int threads) {
  if (threads == 1) return ThreadCpuSeconds();
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int64_t CalibrateCalls(const std::function<void()>& call, double seconds,
                       int threads) {
  call();
  for (int64_t calls = 1;;) {
    const double begin = BenchClock(threads);
    for (int64_t i = 0; i < calls; ++i) call();
    const double taken = BenchClock(threads) - begin;
    if (taken >= seconds / 2) {
      return std::max<int64_t>(
          1, std::llround(static_cast<double>(calls) * seconds / taken));
    }
    calls *= 2;
  }
}

void LimitMeter::Add(double passes_wanted,
                     std::vector<std::function<void()>> passes) {
  Part part;
  part.passes_wanted = passes_wanted;
  double best = HUGE_VAL;
  std::vector<double> seconds;
  for (auto& pass : passes) {
    Loop loop;
    loop.passes = CalibrateCalls(pass, kSliceSeconds, threads_);
    loop.pass = std::move(pass);
    seconds.push_back(std::min(Seconds(loop), Seconds(loop)));
    best = std::min(best, seconds.back());
    part.loops.push_back(std::move(loop));
  }
  // What is far behind here will not be first later.
  for (size_t i = part.loops.size(); i-- > 0;) {
    if (seconds[i] > 1.3 * best) {
      part.loops.erase(part.loops.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  parts_.push_back(std::move(part));
}

double LimitMeter::Seconds(const Loop& loop) const {
  // Once untimed: the caches then hold what this loop leaves in them, and no
  // dirty lines of another's, which it would have to write back.
  loop.pass();
  const double begin = BenchClock(threads_);
  for (int64_t i = 0; i < loop.passes; ++i) loop.pass();
  return (BenchClock(threads_) - begin) / static_cast<double>(loop.passes);
}

template <typename T>
void LimitMeter::AddFlops(double flops) {
  // Some 70 us, to which the threads of a pool come in time.
  constexpr int64_t kRounds = 20000;
  const double flops_a_pass =
      MultiplyAddLoop<T>(kRounds) * static_cast<double>(NumParts(threads_));
  Add(flops / flops_a_pass,
      {InParts(threads_, [](int64_t) { MultiplyAddLoop<T>(kRounds); })});
}

template <typename T>
void LimitMeter::AddCalls(const BenchLimit::Calls& calls) {
  // Input and output of one part lie in the first-level cache.
  constexpr int64_t kLength = 1024;
  const int64_t repeats = 64 * Stretch(threads_);
  const int64_t parts = NumParts(threads_);
  auto x = std::make_shared<const std::vector<T>>(
      BenchValues<T>(kLength, /*low=*/0.1, /*high=*/4));
  auto y =
      std::make_shared<std::vector<T>>(static_cast<size_t>(kLength * parts));
  for (const auto& [function, count] : calls) {
    const UnaryKind kind = KindOf(function);
    Add(count / static_cast<double>(kLength * repeats * parts),
        {InParts(threads_, [x, y, kind, repeats](int64_t part) {
          T* out = y->data() + part * kLength;
          for (int64_t i = 0; i < repeats; ++i) {
            UnaryKernel(kind, kLength, x->data(), out);
          }
        })});
  }
}

void LimitMeter::AddRead(double bytes) {
  const int64_t size = PartSize(static_cast<int64_t>(bytes / 4), threads_);
  const int64_t n = size * NumParts(threads_);
  auto x = LoopBuffer(n);
  auto sums = std::make_shared<std::vector<float>>(
      static_cast<size_t>(NumParts(threads_)));
  const int64_t repeats = Repeats(size, threads_);
  std::vector<std::function<void()>> passes;
  for (const auto loop : {&ReadLoop, &ReadAheadLoop, &ReadFourLoop}) {
    passes.push_back(
        InParts(threads_, [x, sums, size, repeats, loop](int64_t p) {
          for (int64_t i = 0; i < repeats; ++i) {
            (*sums)[static_cast<size_t>(p)] = loop(size, x.get() + p * size);
          }
        }));
  }
  Add(bytes / (4 * static_cast<double>(n * repeats)), std::move(passes));
}

void LimitMeter::AddCopy(double bytes) {
  const int64_t size = PartSize(static_cast<int64_t>(bytes / 8), threads_);
  const int64_t n = size * NumParts(threads_);
  auto x = LoopBuffer(n), y = LoopBuffer(n);
  const int64_t repeats = Repeats(size, threads_);
  std::vector<std::function<void()>> passes;
  for (const auto loop :
       {&CopyLoop, &StreamingCopyLoop, &StreamingCopyFourLoop}) {
    passes.push_back(InParts(threads_, [x, y, size, repeats, loop](int64_t p) {
      for (int64_t i = 0; i < repeats; ++i) {
        loop(size, x.get() + p * size, y.get() + p * size);
      }
    }));
  }
  Add(bytes / (8 * static_cast<double>(n * repeats)), std::move(passes));
}

void LimitMeter::AddUpdate(double bytes) {
  const int64_t size = PartSize(static_cast<int64_t>(bytes / 8), threads_);
  const int64_t n = size * NumParts(threads_);
  auto x = LoopBuffer(n);
  const int64_t repeats = Repeats(size, threads_);
  std::vector<std::function<void()>> passes;
  for (const auto loop : {&UpdateLoop, &UpdateFourLoop}) {
    passes.push_back(InParts(threads_, [x, size, repeats, loop](int64_t p) {
      for (int64_t i = 0; i < repeats; ++i) loop(size, 1, x.get() + p * size);
    }));
  }
  Add(bytes / (8 * static_cast<double>(n * repeats)), std::move(passes));
}

LimitMeter::LimitMeter(const BenchLimit& limit, int threads)
    : threads_(threads) {
  if (limit.f32_flops > 0) AddFlops<float>(limit.f32_flops);
  if (limit.f64_flops > 0) AddFlops<double>(limit.f64_flops);
  if (limit.copied_bytes > 0) AddCopy(limit.copied_bytes);
  if (limit.read_bytes > 0) AddRead(limit.read_bytes);
  if (limit.updated_bytes > 0) AddUpdate(limit.updated_bytes);
  AddCalls<float>(limit.f32_calls);
  AddCalls<double>(limit.f64_calls);
  if (parts_.empty()) AddFlops<float>(1e8);
}

double LimitMeter::Measure() const {
  double sum = 0;
  for (const Part& part : parts_) {
    double best = HUGE_VAL;  // a pass
    for (const Loop& loop : part.loops) best = std::min(best, Seconds(loop));
    sum += part.passes_wanted * best;
  }
  return sum;
}

}  // namespace septet
