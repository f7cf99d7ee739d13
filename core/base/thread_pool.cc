// SPDX-License-Identifier: Apache-2.0
#define EIGEN_USE_THREADS

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer does not know the fences in Eigen's queues. They guard only
// when threads go to sleep; what a task reads is published by a mutex or a
// read-modify-write operation, which it knows.
#pragma GCC diagnostic ignored "-Wtsan"
#endif

#include "septet/core/base/thread_pool.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/check.h"
#include "unsupported/Eigen/CXX11/ThreadPool"

namespace septet {
namespace {

// The calls of OpenMP that matter, null where the program has none.
struct OpenMp {
  int (*get_max_threads)();
  void (*set_num_threads)(int);

  static const OpenMp& Get() {
    static const OpenMp openmp = {
        reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads")),
        reinterpret_cast<void (*)(int)>(
            dlsym(RTLD_DEFAULT, "omp_set_num_threads"))};
    return openmp;
  }
  bool loaded() const {
    return get_max_threads != nullptr && set_num_threads != nullptr;
  }
};

thread_local ThreadPool* current_pool = nullptr;

// True in the threads of a pool, and in a caller while it runs blocks: a
// ParallelFor inside runs inline.
thread_local bool inside_parallel_for = false;

// One ParallelFor. Lives until the caller and every helper have let go of it:
// a helper that a busy pool starts late finds no block left, and the caller
// need not wait for it.
class Loop {
 public:
  Loop(int64_t n, int64_t grain, int64_t blocks, int64_t references,
       absl::FunctionRef<void(int64_t, int64_t)> fn)
      : n_(n),
        grain_(grain),
        blocks_(blocks),
        fn_(fn),
        unfinished_(blocks),
        references_(references) {}

  // Takes blocks until none is left.
  void Run() {
    int64_t finished = 0;
    while (true) {
      const int64_t block = next_.fetch_add(1, std::memory_order_relaxed);
      if (block >= blocks_) break;
      const int64_t begin = block * grain_;
      fn_(begin, begin + std::min(grain_, n_ - begin));
      ++finished;
    }
    if (finished == 0) return;
    if (unfinished_.fetch_sub(finished, std::memory_order_acq_rel) ==
        finished) {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_.notify_one();
    }
  }

  // Returns when all blocks have been run, by whomever.
  void Wait() {
    // The last blocks of the others mostly end soon after ours; sleeping and
    // being woken costs tens of microseconds.
    for (int i = 0; i < kSpins; ++i) {
      if (Finished()) return;
      Pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return Finished(); });
  }

  void Unref() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 private:
  // About 20 microseconds.
  static constexpr int kSpins = 1000;

  static void Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  bool Finished() const {
    return unfinished_.load(std::memory_order_acquire) == 0;
  }

  const int64_t n_;
  const int64_t grain_;
  const int64_t blocks_;
  const absl::FunctionRef<void(int64_t, int64_t)> fn_;
  std::atomic<int64_t> next_{0};
  std::atomic<int64_t> unfinished_;
  std::atomic<int64_t> references_;
  std::mutex mutex_;
  std::condition_variable done_;
};

// A thread that waits for what it is to do. Those of a pool are all started
// before Eigen gets them, because Eigen's pool cannot be taken apart again when
// the system has no thread left.
class Worker {
 public:
  // Throws std::system_error where the system refuses.
  Worker() : thread_([this] { Work(); }) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  // Waits until the work is done; without any, the thread just ends.
  ~Worker() {
    Start(nullptr);
    thread_.join();
  }

  // The first call counts.
  void Start(std::function<void()> work) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (started_) return;
    started_ = true;
    work_ = std::move(work);
    start_.notify_one();
  }
  // For Eigen; not used by it.
  void OnCancel() {}

 private:
  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    start_.wait(lock, [this] { return started_; });
    lock.unlock();
    inside_parallel_for = true;
    const ScopedSingleThreadedLibraries single_threaded;
    if (work_ != nullptr) work_();
  }

  std::mutex mutex_;
  std::condition_variable start_;
  bool started_ = false;
  std::function<void()> work_;
  std::thread thread_;  // The last member: it uses the others.
};

using WorkerList = std::vector<std::unique_ptr<Worker>>;

// What Eigen's pool makes its threads of.
class Environment {
 public:
  struct Task {
    std::function<void()> f;
  };
  using EnvThread = Worker;

  // `workers` outlives the construction of the pool.
  explicit Environment(WorkerList* workers) : workers_(workers) {}

  Worker* CreateThread(std::function<void()> f) {
    Worker* worker = workers_->back().release();
    workers_->pop_back();
    worker->Start(std::move(f));
    return worker;
  }
  Task CreateTask(std::function<void()> f) { return Task{std::move(f)}; }
  void ExecuteTask(const Task& task) { task.f(); }

 private:
  WorkerList* workers_;
};

}  // namespace

class ThreadPool::Workers {
 public:
  // Null, with an error in `status`, if the system has too few threads.
  static std::unique_ptr<Workers> Start(int count, absl::Status* status) {
    WorkerList workers;
    for (int i = 0; i < count; ++i) {
      try {
        workers.push_back(std::make_unique<Worker>());
      } catch (const std::system_error& error) {
        *status = absl::ResourceExhaustedError(
            absl::StrCat("thread ", i + 1, " of ", count,
                         " cannot be started: ", error.code().message()));
        return nullptr;
      }
    }
    return std::make_unique<Workers>(&workers);
  }

  explicit Workers(WorkerList* workers)
      : pool_(static_cast<int>(workers->size()), Environment(workers)) {}

  int count() const { return pool_.NumThreads(); }

  // Calls loop->Run() and Unref() in one of the threads, or, where the queue
  // of the pool is full, here.
  void Help(Loop* loop) {
    // One pointer fits into std::function without an allocation.
    pool_.Schedule([loop] {
      loop->Run();
      loop->Unref();
    });
  }

 private:
  Eigen::ThreadPoolTempl<Environment> pool_;
};

ThreadPool::ThreadPool(int num_threads, std::unique_ptr<Workers> workers)
    : num_threads_(num_threads), workers_(std::move(workers)) {}

ThreadPool::ThreadPool(int num_threads) : num_threads_(num_threads) {
  SEPTET_CHECK_GE(num_threads, 1);
  SEPTET_CHECK_LE(num_threads, kMaxThreads);
  absl::Status status;
  if (num_threads > 1) workers_ = Workers::Start(num_threads - 1, &status);
  SEPTET_CHECK(status.ok()) << status.ToString();
}

absl::StatusOr<std::unique_ptr<ThreadPool>> ThreadPool::Create(
    int num_threads) {
  if (num_threads < 1 || num_threads > kMaxThreads) {
    return absl::InvalidArgumentError(absl::StrCat(
        "number of threads is ", num_threads, ", want 1 to ", kMaxThreads));
  }
  absl::Status status;
  std::unique_ptr<Workers> workers;
  if (num_threads > 1) workers = Workers::Start(num_threads - 1, &status);
  if (!status.ok()) return status;
  return absl::WrapUnique(new ThreadPool(num_threads, std::move(workers)));
}

ThreadPool::~ThreadPool() = default;

ThreadPool* CurrentThreadPool() { return current_pool; }

ScopedThreadPool::ScopedThreadPool(ThreadPool* pool)
    : previous_(std::exchange(current_pool, pool)) {}

ScopedThreadPool::~ScopedThreadPool() { current_pool = previous_; }

void ParallelFor(ThreadPool* pool, int64_t n, int64_t grain,
                 absl::FunctionRef<void(int64_t, int64_t)> fn) {
  SEPTET_CHECK_GE(n, 0);
  SEPTET_CHECK_GE(grain, 1);
  if (n == 0) return;
  const int64_t blocks = NumBlocks(n, grain);
  const auto run_here = [&] {
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t begin = block * grain;
      fn(begin, begin + std::min(grain, n - begin));
    }
  };
  if (inside_parallel_for) {
    run_here();
    return;
  }
  const ScopedSingleThreadedLibraries single_threaded;
  if (pool == nullptr || pool->workers_ == nullptr || blocks == 1) {
    // Not marked as inside: a loop of one block may hold a loop of many.
    run_here();
    return;
  }
  const int64_t helpers =
      std::min<int64_t>(pool->workers_->count(), blocks - 1);
  auto* loop = new Loop(n, grain, blocks, helpers + 1, fn);
  inside_parallel_for = true;
  for (int64_t i = 0; i < helpers; ++i) pool->workers_->Help(loop);
  loop->Run();
  inside_parallel_for = false;
  loop->Wait();
  loop->Unref();
}

ScopedSingleThreadedLibraries::ScopedSingleThreadedLibraries() : previous_(0) {
  const OpenMp& openmp = OpenMp::Get();
  if (!openmp.loaded()) return;
  const int threads = openmp.get_max_threads();
  if (threads == 1) return;
  previous_ = threads;
  openmp.set_num_threads(1);
}

ScopedSingleThreadedLibraries::~ScopedSingleThreadedLibraries() {
  if (previous_ != 0) OpenMp::Get().set_num_threads(previous_);
}

}  // namespace septet
