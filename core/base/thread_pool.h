// SPDX-License-Identifier: Apache-2.0
// Loops over several threads whose results do not depend on how many.
//
//   ThreadPool pool(4);                            // the caller and 3 more
//   ParallelFor(&pool, n, 1024, [&](int64_t begin, int64_t end) {
//     for (int64_t i = begin; i < end; ++i) y[i] = f(x[i]);
//   });
//   const double sum = ParallelReduce(
//       &pool, n, 1024, 0.0,
//       [&](int64_t begin, int64_t end) { return Sum(x + begin, x + end); },
//       [](double a, double b) { return a + b; });
//
// The range is cut into blocks [0, grain), [grain, 2 grain), ...: by n and
// grain alone, so that a sum over a block is the same sum with one thread and
// with sixty-four. Which thread takes which block is left open. A grain should
// be worth at least some ten microseconds.
//
// A program has one pool, made in main and passed down, or found by kernels
// deep inside as the current pool of their thread:
//
//   ScopedThreadPool scope(&pool);
//   ParallelFor(n, 1024, ...);                     // uses `pool`
//
// Nothing is global: without a scope, or with a null pool, the blocks run one
// after another in the calling thread.
//
// Libraries that have threads of their own (oneDNN, through OpenMP) are held
// to one thread inside every block, in whichever thread it runs: two levels of
// threads are slower and make results depend on their number. For calls of
// such libraries outside of ParallelFor there is
// ScopedSingleThreadedLibraries.
#ifndef SEPTET_CORE_BASE_THREAD_POOL_H_
#define SEPTET_CORE_BASE_THREAD_POOL_H_

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "septet/core/base/check.h"

namespace septet {

// Threads that wait for ParallelFor. The threads start with the pool and are
// joined by its destructor, during which no ParallelFor may use it.
// Any number of threads may use one pool at the same time.
class ThreadPool {
 public:
  // More threads than this are a mistake.
  static constexpr int kMaxThreads = 1024;

  // A pool of `num_threads` in 1..kMaxThreads, which the calling thread of a
  // ParallelFor is one of: num_threads - 1 are started. For numbers that come
  // from our own code; where it cannot be had, the program aborts.
  explicit ThreadPool(int num_threads);

  // The same for numbers that a user chose. InvalidArgument if out of range,
  // ResourceExhausted if the system refuses to start as many.
  static absl::StatusOr<std::unique_ptr<ThreadPool>> Create(int num_threads);

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  // Including the caller's.
  int num_threads() const { return num_threads_; }

 private:
  friend void ParallelFor(ThreadPool* pool, int64_t n, int64_t grain,
                          absl::FunctionRef<void(int64_t, int64_t)> fn);
  class Workers;

  ThreadPool(int num_threads, std::unique_ptr<Workers> workers);

  const int num_threads_;
  std::unique_ptr<Workers> workers_;  // Null for one thread.
};

// The pool of the innermost ScopedThreadPool of this thread; null outside of
// all, and in the threads of a pool.
ThreadPool* CurrentThreadPool();

// Makes `pool` (which may be null) the current one of this thread.
class ScopedThreadPool {
 public:
  explicit ScopedThreadPool(ThreadPool* pool);
  ScopedThreadPool(const ScopedThreadPool&) = delete;
  ScopedThreadPool& operator=(const ScopedThreadPool&) = delete;
  ~ScopedThreadPool();

 private:
  ThreadPool* const previous_;
};

// Calls fn(begin, end) for each block [k grain, min((k + 1) grain, n)), each
// once, and returns when all have returned. What they wrote is then visible to
// the caller. fn is called from several threads at once, the caller's among
// them, in no particular order. With a null pool, a pool of one thread, or one
// block, and inside a block of a loop that several threads run, it is called
// by the caller alone, in ascending order: loops may be nested freely. n = 0
// calls nothing. Aborts if n < 0 or grain < 1.
//
// Cost: one allocation and a wake-up (some microseconds) when more than one
// thread takes part; with one block, or one thread, a few nanoseconds.
void ParallelFor(ThreadPool* pool, int64_t n, int64_t grain,
                 absl::FunctionRef<void(int64_t, int64_t)> fn);

// The same with the current pool.
inline void ParallelFor(int64_t n, int64_t grain,
                        absl::FunctionRef<void(int64_t, int64_t)> fn) {
  ParallelFor(CurrentThreadPool(), n, grain, fn);
}

// The number of blocks of ParallelFor(n, grain).
inline int64_t NumBlocks(int64_t n, int64_t grain) {
  return n / grain + (n % grain != 0 ? 1 : 0);
}

// Combines map(begin, end) of all blocks pairwise, neighbours first:
// ((b0 b1) (b2 b3)) ((b4 b5) b6). The tree depends on n and grain alone, so
// that the result has the same bits with any number of threads. `combine` must
// be associative up to rounding; it need not commute. `identity` is the result
// for n = 0 and enters nowhere else. T: movable and default constructible.
template <typename T, typename Map, typename Combine>
T ParallelReduce(ThreadPool* pool, int64_t n, int64_t grain, T identity,
                 const Map& map, const Combine& combine) {
  // Threads would write to bits of one word.
  static_assert(!std::is_same_v<T, bool>, "reduce to an integer instead");
  SEPTET_CHECK_GE(grain, 1);
  if (n == 0) return identity;
  const int64_t blocks = NumBlocks(n, grain);
  if (blocks == 1) {
    ParallelFor(pool, n, grain, [&](int64_t begin, int64_t end) {
      identity = map(begin, end);
    });
    return identity;
  }
  std::vector<T> parts(static_cast<size_t>(blocks));
  ParallelFor(pool, n, grain, [&](int64_t begin, int64_t end) {
    parts[static_cast<size_t>(begin / grain)] = map(begin, end);
  });
  const size_t count = parts.size();
  for (size_t stride = 1; stride < count; stride *= 2) {
    for (size_t i = 0; i + stride < count; i += 2 * stride) {
      parts[i] = combine(std::move(parts[i]), std::move(parts[i + stride]));
    }
  }
  return std::move(parts[0]);
}

// Holds the libraries of this thread that have threads of their own to one
// thread, and gives them back what they had. Nests; costs nothing where no
// such library is loaded. At present: OpenMP, found in the running program,
// so that nothing here links it.
class ScopedSingleThreadedLibraries {
 public:
  ScopedSingleThreadedLibraries();
  ScopedSingleThreadedLibraries(const ScopedSingleThreadedLibraries&) = delete;
  ScopedSingleThreadedLibraries& operator=(
      const ScopedSingleThreadedLibraries&) = delete;
  ~ScopedSingleThreadedLibraries();

 private:
  int previous_;  // 0: nothing to give back.
};

}  // namespace septet

#endif  // SEPTET_CORE_BASE_THREAD_POOL_H_
