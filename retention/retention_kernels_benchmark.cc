// SPDX-License-Identifier: Apache-2.0
// bazel run -c opt //retention:retention_kernels_benchmark
//
// Retention on one thread. "of_peak" is the median over slices of some
// milliseconds of the part of the machine's peak that was reached, counting for
// each row and head (retnet.md 5, tiles above the diagonal skipped)
//   forward   (C + 1) (dk + dv) + 4 dk dv operations,
//   backward  (C + 1) (3 dk + 2 dv) + 10 dk dv, of which 2 dk dv are those of
//             the states, made again;
// terms of a state that is known to be 0 or that nobody wants are not counted.
// "of_bandwidth" is the same for a step, which reads and writes its state. The
// limit is measured before each slice, all by the thread's CPU time.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/blas/peak.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retention_kernels.h"
#include "septet/retention/retention_problem.h"

namespace septet {
namespace {

struct Case {
  int64_t sequences;
  int64_t rows;
  int64_t heads;
  int64_t key_dim;
  int64_t value_dim;
  int64_t chunk;
  bool log_gamma = false;  // its gradient is wanted, too
  RetentionNorm norm = RetentionNorm::kDecay;
};

// Memory such as users have: aligned, and large ones on huge pages.
template <typename T>
T* Memory(Tensor* x, int64_t n) {
  absl::StatusOr<Tensor> tensor = Tensor::Zeros(Shape({n}), kDTypeOf<T>);
  SEPTET_CHECK(tensor.ok()) << tensor.status().ToString();
  *x = *std::move(tensor);
  return x->mutable_data<T>();
}

template <typename T>
T* Values(Tensor* x, int64_t n, int64_t from) {
  T* const data = Memory<T>(x, n);
  for (int64_t i = 0; i < n; ++i) {
    const double u = static_cast<double>(i + from) * 0.6180339887498949;
    data[i] = static_cast<T>(2 * (u - std::floor(u)) - 1);
  }
  return data;
}

std::vector<double> TorchscaleDecay(int64_t heads) {
  std::vector<double> log_gamma;
  for (int64_t h = 0; h < heads; ++h) {
    log_gamma.push_back(std::log1p(-std::exp2(static_cast<double>(-5 - h))));
  }
  return log_gamma;
}

template <typename T>
class Retention {
 public:
  explicit Retention(const Case& c)
      : log_gamma_(TorchscaleDecay(c.heads)),
        dlog_gamma_(static_cast<size_t>(c.sequences * c.heads)) {
    p_.sequences = c.sequences;
    p_.heads = c.heads;
    p_.key_dim = c.key_dim;
    p_.value_dim = c.value_dim;
    p_.rows = c.rows;
    p_.log_gamma = log_gamma_.data();
    p_.scale = 1 / std::sqrt(static_cast<double>(c.key_dim));
    p_.chunk = c.chunk;
    p_.norm = c.norm;
    int n = 0;
    const auto operand = [&](int64_t width) {
      const int64_t time = c.heads * width;
      T* const data =
          Values<T>(&data_[n], c.sequences * c.rows * time, int64_t{1000} * n);
      ++n;
      return RetentionOperand<T>{data, c.rows * time, time, width};
    };
    const auto constant = [](const RetentionOperand<T>& x) {
      return RetentionOperand<const T>{x.data, x.batch, x.time, x.head};
    };
    p_.q = constant(operand(c.key_dim));
    p_.k = constant(operand(c.key_dim));
    p_.v = constant(operand(c.value_dim));
    gradient_.dout = constant(operand(c.value_dim));
    result_.out = operand(c.value_dim);
    gradient_.dq = operand(c.key_dim);
    gradient_.dk = operand(c.key_dim);
    gradient_.dv = operand(c.value_dim);
    gradient_.divisors = result_.divisors =
        Memory<T>(&divisors_, c.heads * p_.TotalRows());
    if (c.log_gamma) {
      gradient_.dlog_gamma = dlog_gamma_.data();
      gradient_.out = constant(result_.out);
    }
    workspace_ =
        Memory<T>(&workspace_data_, std::max(RetentionForwardWorkspace(p_),
                                             RetentionBackwardWorkspace(p_)));
  }

  void Forward() {
    for (int64_t task = 0; task < RetentionTasks(p_); ++task) {
      RetentionForward(p_, result_, task, workspace_);
    }
  }
  void Backward() {
    for (int64_t task = 0; task < RetentionTasks(p_); ++task) {
      RetentionBackward(p_, gradient_, task, workspace_);
    }
  }

  // Operations of all tasks.
  double Work(bool backward) const {
    double pairs = 0, state = 0;  // pairs of rows, rows times dk dv
    for (int64_t t = 0; t < p_.rows; t += p_.chunk) {
      const double rows = static_cast<double>(std::min(p_.chunk, p_.rows - t));
      const bool first = t == 0, last = t + p_.chunk >= p_.rows;
      pairs += rows * (rows + 1) / 2;
      state += rows * ((first ? 0 : 2) + (last ? 0 : 2));
      if (backward) {
        // dq and the gradient of the state before; dk, dv, and the state again.
        state += rows * ((first ? 0 : 4) + (last ? 0 : 6));
      }
    }
    const double dk = static_cast<double>(p_.key_dim);
    const double dv = static_cast<double>(p_.value_dim);
    const double per_pair =
        2 * (dk + dv) + (backward ? 2 * (3 * dk + 2 * dv) : 0);
    return static_cast<double>(RetentionTasks(p_)) *
           (pairs * per_pair + state * dk * dv);
  }

  // A few rows against the definition.
  void Check() const {
    if (p_.norm != RetentionNorm::kDecay) return;
    for (int64_t t = 0; t < p_.rows; t += 1 + p_.rows / 5) {
      const int64_t h = t % p_.heads, b = t % p_.sequences;
      std::vector<double> out(static_cast<size_t>(p_.value_dim));
      double sum = 0;
      for (int64_t s = 0; s <= t; ++s) {
        const double decay =
            std::exp(p_.log_gamma[h] * static_cast<double>(t - s));
        double score = 0;
        for (int64_t i = 0; i < p_.key_dim; ++i) {
          score += static_cast<double>(p_.At(p_.q, b, h, t)[i]) *
                   static_cast<double>(p_.At(p_.k, b, h, s)[i]);
        }
        for (size_t i = 0; i < out.size(); ++i) {
          out[i] += p_.scale * score * decay *
                    static_cast<double>(p_.At(p_.v, b, h, s)[i]);
        }
        sum += decay;
      }
      for (size_t i = 0; i < out.size(); ++i) {
        const double got = static_cast<double>(p_.At(result_.out, b, h, t)[i]);
        const double want = out[i] / std::sqrt(sum);
        SEPTET_CHECK(std::abs(got - want) <
                     (sizeof(T) == 4 ? 1e-4 : 1e-12) * (1 + std::abs(want)))
            << "row " << t << ": " << got << ", want " << want;
      }
    }
  }

 private:
  RetentionProblem<T> p_;
  RetentionResult<T> result_;
  RetentionGradient<T> gradient_;
  // q, k, v, dout, out, dq, dk, dv.
  Tensor data_[8], divisors_, workspace_data_;
  const std::vector<double> log_gamma_;
  std::vector<double> dlog_gamma_;
  T* workspace_;
};

double Median(std::vector<double>* x) {
  const auto middle = x->begin() + static_cast<int64_t>(x->size() / 2);
  std::nth_element(x->begin(), middle, x->end());
  return *middle;
}

// Times `run`, whose work takes `limit()` units a second at best.
template <class Limit, class Run>
void Measure(benchmark::State& state, double work, double work_of_slice,
             const char* share, const char* rate, const Limit& limit,
             const Run& run) {
  const int64_t calls = 1 + static_cast<int64_t>(work_of_slice / work);
  std::vector<double> ratios;
  double seconds = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const double peak = limit();
    state.ResumeTiming();
    const double begin = ThreadCpuSeconds();
    for (int64_t n = 0; n < calls; ++n) run();
    const double call =
        (ThreadCpuSeconds() - begin) / static_cast<double>(calls);
    seconds += call;
    ratios.push_back(work / call / peak);
  }
  state.counters[share] = Median(&ratios);
  state.counters[rate] =
      work * static_cast<double>(state.iterations()) / seconds;
}

template <typename T>
void BM_Retention(benchmark::State& state, const Case& c, bool backward) {
  Retention<T> retention(c);
  retention.Forward();
  retention.Check();  // right before fast
  Measure(state, retention.Work(backward), 3e8, "of_peak", "FLOP/s",
          &PeakFlops<T>, [&] {
            retention.Forward();
            if (backward) retention.Backward();
          });
}

template <typename T>
void BM_Step(benchmark::State& state, int64_t sequences, int64_t heads,
             int64_t key_dim, int64_t value_dim) {
  const int64_t tasks = sequences * heads;
  Tensor data[5];
  const std::vector<double> log_gamma = TorchscaleDecay(heads);
  const std::vector<int64_t> positions(static_cast<size_t>(sequences), 1000);
  RetentionStepProblem<T> p;
  p.sequences = sequences;
  p.heads = heads;
  p.key_dim = key_dim;
  p.value_dim = value_dim;
  p.q = {Values<T>(&data[0], tasks * key_dim, 0), heads * key_dim, key_dim};
  p.k = {Values<T>(&data[1], tasks * key_dim, 1000), heads * key_dim, key_dim};
  p.v = {Values<T>(&data[2], tasks * value_dim, 2000), heads * value_dim,
         value_dim};
  p.log_gamma = log_gamma.data();
  p.positions = positions.data();
  p.state = Values<T>(&data[3], tasks * key_dim * value_dim, 3000);
  p.out = Values<T>(&data[4], tasks * value_dim, 4000);
  const T before = p.state[value_dim];
  RetentionStepTasks(p, 0, tasks);
  const double want =
      std::exp(log_gamma[0]) * static_cast<double>(before) +
      static_cast<double>(p.k.data[1]) * static_cast<double>(p.v.data[0]);
  SEPTET_CHECK(std::abs(static_cast<double>(p.state[value_dim]) - want) < 1e-6);
  const int64_t elements = tasks * key_dim * value_dim;
  const double bytes = 2.0 * static_cast<double>(elements) * sizeof(T);
  // What is written has been read: an array scaled in place is the limit.
  const auto limit = [bytes] {
    return PeakUpdateBandwidth(static_cast<int64_t>(bytes));
  };
  Measure(state, bytes, 1e9, "of_bandwidth", "bytes/s", limit,
          [&] { RetentionStepTasks(p, 0, tasks); });
}

template <typename T>
void RegisterAll(const char* type) {
  const Case kCases[] = {
      {1, 512, 1, 32, 64, 64},  // in cache
      {8, 512, 4, 32, 54, 64},
      {8, 512, 4, 32, 64, 64},
      {8, 512, 4, 32, 64, 64, true},
      {8, 512, 4, 32, 64, 64, false, RetentionNorm::kPaper},
      {8, 128, 2, 32, 48, 64},
      {8, 128, 2, 32, 48, 128},
      {1, 4096, 4, 32, 64, 64},
      {1, 1024, 8, 64, 64, 64},
      {1, 1024, 8, 64, 128, 64},
      {1, 1024, 4, 128, 128, 128},
      {1, 1024, 2, 256, 432, 64},
      {1, 1024, 2, 256, 432, 256},
      {1, 1024, 8, 64, 64, 1024},
  };
  for (const Case& c : kCases) {
    for (const bool backward : {false, true}) {
      const std::string name =
          std::string("BM_Retention/") + type +
          "/B:" + std::to_string(c.sequences) + "/T:" + std::to_string(c.rows) +
          "/H:" + std::to_string(c.heads) + "/dk:" + std::to_string(c.key_dim) +
          "/dv:" + std::to_string(c.value_dim) +
          "/C:" + std::to_string(c.chunk) + (c.log_gamma ? "/decay" : "") +
          (c.norm == RetentionNorm::kPaper ? "/paper" : "") +
          (backward ? "/backward" : "");
      benchmark::RegisterBenchmark(name.c_str(),
                                   [c, backward](benchmark::State& state) {
                                     BM_Retention<T>(state, c, backward);
                                   })
          ->Iterations(9)
          ->Unit(benchmark::kMillisecond);
    }
  }
  const int64_t kSteps[][4] = {
      {1, 4, 32, 54},  // 27 KiB of f32: first-level cache
      {1, 4, 32, 64}, {16, 4, 32, 54}, {1, 8, 256, 432}, {16, 8, 256, 432},
  };
  for (const auto& c : kSteps) {
    const std::string name =
        std::string("BM_Step/") + type + "/B:" + std::to_string(c[0]) +
        "/H:" + std::to_string(c[1]) + "/dk:" + std::to_string(c[2]) +
        "/dv:" + std::to_string(c[3]);
    benchmark::RegisterBenchmark(
        name.c_str(),
        [b = c[0], h = c[1], dk = c[2], dv = c[3]](benchmark::State& state) {
          BM_Step<T>(state, b, h, dk, dv);
        })
        ->Iterations(9)
        ->Unit(benchmark::kMillisecond);
  }
}

const bool registered = [] {
  RegisterAll<float>("f32");
  RegisterAll<double>("f64");
  return true;
}();

}  // namespace
}  // namespace septet
