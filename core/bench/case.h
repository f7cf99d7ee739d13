// SPDX-License-Identifier: Apache-2.0
// Cases of //tools:bench: what is timed, what bounds it, and from where on it
// is good enough.
//
//   absl::StatusOr<BenchKernel> PrepareRelu() {
//     auto x = std::make_shared<std::vector<float>>(BenchValues<float>(kN));
//     auto y = std::make_shared<std::vector<float>>(kN);
//     BenchKernel kernel = [x, y] { Relu(kN, x->data(), y->data()); };
//     kernel();
//     SEPTET_RETURN_IF_ERROR(CheckClose<float>("y", *y, Reference(*x), {}));
//     return kernel;
//   }
//   const bool kRelu = [] {
//     BenchCase c;
//     c.name = "relu/f32/16777216";
//     c.limit = BenchLimit::CopiedBytes(8 * kN);  // reads 4, writes 4
//     c.elements = kN;
//     c.at_least = 0.7;
//     c.prepare = &PrepareRelu;
//     return RegisterBenchCase(std::move(c));
//   }();
//
// at namespace scope, in a target `bench_cases` with alwayslink = True that
// //tools:bench links. How time is taken is in runner.h.
#ifndef SEPTET_CORE_BENCH_CASE_H_
#define SEPTET_CORE_BENCH_CASE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
namespace septet {

// Elementary functions, as in core/ops/elementwise_kernels.h, on which this
// header does not depend: the lowest packages have cases too.
enum class BenchFunction { kExp, kExpm1, kLog, kLog1p, kSin, kTanh, kErf };

// The shortest time that the machine could take for one call: the sum of the
// parts that are not 0, each at the rate that a loop of nothing else reaches,
// measured beside the kernel on as many threads. Without parts: no limit.
struct BenchLimit {
  double f32_flops = 0;  // at the peak of multiply-adds; one counts as two
  double f64_flops = 0;
  // Bytes read plus bytes written, at the rate of copying within a working set
  // of that size, by ordinary or streaming stores, in one walk or in four.
  double copied_bytes = 0;
  // Bytes read, at the rate of summing that many, in one walk or in four.
  double read_bytes = 0;
  // Bytes read plus bytes written where what is written has been read before
  // (updates in place), at the rate of scaling an array of half of them in
  // place.
  double updated_bytes = 0;
  // Calls of elementary functions, at the rate of our own vector function in
  // the first-level cache.
  using Calls = std::vector<std::pair<BenchFunction, double>>;
  Calls f32_calls;
  Calls f64_calls;

  static BenchLimit F32Flops(double flops) {
    return Of(&BenchLimit::f32_flops, flops);
  }
  static BenchLimit F64Flops(double flops) {
    return Of(&BenchLimit::f64_flops, flops);
  }
  template <typename T>
  static BenchLimit Flops(double flops) {
    return std::is_same_v<T, float> ? F32Flops(flops) : F64Flops(flops);
  }
  static BenchLimit CopiedBytes(double bytes) {
    return Of(&BenchLimit::copied_bytes, bytes);
  }
  static BenchLimit ReadBytes(double bytes) {
    return Of(&BenchLimit::read_bytes, bytes);
  }
  static BenchLimit UpdatedBytes(double bytes) {
    return Of(&BenchLimit::updated_bytes, bytes);
  }
  // Whether there is any part.
  bool defined() const {
    return f32_flops > 0 || f64_flops > 0 || copied_bytes > 0 ||
           read_bytes > 0 || updated_bytes > 0 || !f32_calls.empty() ||
           !f64_calls.empty();
  }
  // Adds calls; returns this.
  template <typename T>
  BenchLimit& Call(BenchFunction function, double count) {
    (std::is_same_v<T, float> ? f32_calls : f64_calls)
        .emplace_back(function, count);
    return *this;
  }

 private:
  static BenchLimit Of(double BenchLimit::*part, double amount) {
    BenchLimit limit;
    limit.*part = amount;
    return limit;
  }
};

// One call of what is timed. Owns its data; a call repeats the work with the
// same amount of it.
using BenchKernel = std::function<void()>;

struct BenchCase {
  // "group/dtype/shape", further parts at will: "gemm/f32/512x512x512". The
  // group is what stands before the first "/".
  std::string name;
  // 1: measured in CPU time of the thread. More: kernel and limit run in a pool
  // of so many threads (the current one of core/base/thread_pool.h, in
  // `prepare` too), measured in wall time.
  int threads = 1;
  BenchLimit limit;
  // Elements that a call computes, for ns an element; 0: not shown.
  double elements = 0;
  // Bars, for machines with AVX-512: the least share of the limit, in (0, 1],
  // and the most ns an element. 0: none; on other machines figures are reported
  // without a verdict.
  double at_least = 0;
  double at_most_ns = 0;
  // Makes inputs, runs the kernel once, compares its result with a reference,
  // and returns the kernel, or what is wrong. Deterministic, some seconds at
  // most.
  std::function<absl::StatusOr<BenchKernel>()> prepare;
};

// Adds a case; returns true. Aborts if the name is taken, empty or without a
// group, if there is no `prepare`, or a number is out of its range (a bar needs
// the limit or the number of elements that it judges).
bool RegisterBenchCase(BenchCase bench_case);

// All cases, sorted by name: as numbers where digits stand.
std::vector<const BenchCase*> BenchCases();

}  // namespace septet

#endif  // SEPTET_CORE_BENCH_CASE_H_
