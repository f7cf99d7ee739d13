// SPDX-License-Identifier: Apache-2.0
// bazel run -c opt //core/ops:attention_kernels_benchmark
//
// Causal attention on one thread. "of_peak" is the median over slices of some
// milliseconds of the part of the machine's peak that was reached, counting 4 D
// operations a visible pair forward and 14 D forward and backward;
// "of_bandwidth" the same for reading k and v while decoding. The limit is
// measured before each slice, all by the thread's CPU time.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/blas/peak.h"
#include "septet/core/ops/attention_kernels.h"
#include "septet/core/ops/attention_problem.h"

namespace septet {
namespace {

struct Case {
  int64_t heads;
  int64_t queries;
  int64_t keys;
  int64_t dim;
  bool time_first;  // [B, T, H, D]
  double dropout;
  bool causal;
};

// Aligned to 64 bytes, as tensors are.
template <typename T>
T* Aligned(std::vector<T>* x, int64_t n) {
  x->resize(static_cast<size_t>(n) + 64 / sizeof(T));
  const auto address = reinterpret_cast<uintptr_t>(x->data());
  return reinterpret_cast<T*>((address + 63) / 64 * 64);
}

template <typename T>
class Attention {
 public:
  explicit Attention(const Case& c) {
    p_.batch = 1;
    p_.heads = p_.kv_heads = c.heads;
    p_.queries = c.queries;
    p_.keys = c.keys;
    p_.head_dim = p_.value_dim = c.dim;
    p_.causal = c.causal;
    p_.scale = 1 / std::sqrt(static_cast<double>(c.dim));
    p_.dropout = c.dropout;
    int n = 0;
    for (const bool keys :
         {false, true, true, false, false, false, true, true}) {
      const int64_t rows = keys ? c.keys : c.queries;
      const int64_t size = rows * c.heads * c.dim;
      T* data = Aligned(&data_[n], size);
      for (int64_t i = 0; i < size; ++i) {
        const double u = static_cast<double>(i + 1000 * n) * 0.6180339887498949;
        data[i] = static_cast<T>(4 * (u - std::floor(u)) - 2);
      }
      operands_[n++] = {data, size, c.time_first ? c.dim : rows * c.dim,
                        c.time_first ? c.heads * c.dim : c.dim};
    }
    const auto constant = [this](int i) {
      const auto& o = operands_[i];
      return AttentionOperand<const T>{o.data, o.batch, o.head, o.time};
    };
    p_.q = constant(0);
    p_.k = constant(1);
    p_.v = constant(2);
    lse_.resize(static_cast<size_t>(c.heads * c.queries));
    result_.out = operands_[3];
    result_.log_sum_exp = lse_.data();
    gradient_.out = constant(3);
    gradient_.dout = constant(4);
    gradient_.log_sum_exp = lse_.data();
    gradient_.dq = operands_[5];
    gradient_.dk = operands_[6];
    gradient_.dv = operands_[7];
    partials_.resize(static_cast<size_t>(AttentionPartials(p_)));
    gradient_.partials = partials_.data();
    forward_partials_.resize(static_cast<size_t>(AttentionForwardPartials(p_)));
    result_.partials = forward_partials_.data();
    workspace_ = Aligned(
        &workspace_data_,
        std::max(AttentionWorkspace(p_), AttentionBackwardWorkspace(p_)));
  }

  void Forward() {
    for (int64_t task = 0; task < AttentionTasks(p_); ++task) {
      AttentionForward(p_, result_, task, workspace_);
    }
    for (int64_t kv = 0; kv < p_.kv_heads; ++kv) {
      AttentionFinish(p_, result_, kv);
    }
  }
  void Backward() {
    for (int64_t task = 0; task < AttentionBackwardTasks(p_); ++task) {
      AttentionBackward(p_, gradient_, task, workspace_);
    }
    if (AttentionPartials(p_) == 0) return;
    for (int64_t kv = 0; kv < p_.kv_heads; ++kv) {
      AttentionFinish(p_, gradient_, kv, 0, p_.keys);
    }
  }
  double Pairs() const {
    const double t = static_cast<double>(p_.queries);
    const double s = static_cast<double>(p_.keys);
    return static_cast<double>(p_.heads) *
           (p_.causal ? t * (s - t) + t * (t + 1) / 2 : t * s);
  }
  // A few rows against the definition.
  void Check() const {
    if (p_.dropout > 0) return;
    for (int64_t t = 0; t < p_.queries; t += 1 + p_.queries / 7) {
      const int64_t h = t % p_.heads;
      const int64_t seen = p_.causal ? p_.offset() + t + 1 : p_.keys;
      std::vector<double> out(static_cast<size_t>(p_.value_dim));
      double sum = 0;
      for (int64_t s = 0; s < seen; ++s) {
        double score = 0;
        for (int64_t d = 0; d < p_.head_dim; ++d) {
          score += static_cast<double>(p_.q.At(0, h, t)[d]) *
                   static_cast<double>(p_.k.At(0, h, s)[d]);
        }
        const double weight = std::exp(score * p_.scale);
        sum += weight;
        for (size_t d = 0; d < out.size(); ++d) {
          out[d] += weight * static_cast<double>(p_.v.At(0, h, s)[d]);
        }
      }
      for (size_t d = 0; d < out.size(); ++d) {
        const double got = static_cast<double>(operands_[3].At(0, h, t)[d]);
        SEPTET_CHECK(std::abs(got - out[d] / sum) <
                     (sizeof(T) == 4 ? 1e-5 : 1e-13))
            << "row " << t << ": " << got << ", want " << out[d] / sum;
      }
    }
  }
  const AttentionProblem<T>& problem() const { return p_; }

 private:
  AttentionProblem<T> p_;
  AttentionResult<T> result_;
  AttentionGradient<T> gradient_;
  // q, k, v, out, dout, dq, dk, dv.
  std::vector<T> data_[8];
  AttentionOperand<T> operands_[8];
  std::vector<T> lse_, forward_partials_, partials_, workspace_data_;
  T* workspace_;
};

template <typename T>
void BM_Attention(benchmark::State& state, const Case& c, bool backward) {
  Attention<T> attention(c);
  attention.Forward();
  attention.Check();  // right before fast
  const bool decodes = c.queries == 1;
  const double bytes =
      static_cast<double>(2 * c.heads * c.keys * c.dim) * sizeof(T);
  const double work = decodes ? bytes
                              : attention.Pairs() * static_cast<double>(c.dim) *
                                    (backward ? 14 : 4);
  // Slices of some milliseconds.
  const int64_t calls = 1 + static_cast<int64_t>((decodes ? 1e8 : 3e8) / work);
  std::vector<double> ratios;
  double seconds = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const double limit = decodes
                             ? PeakReadBandwidth(static_cast<int64_t>(bytes))
                             : PeakFlops<T>();
    state.ResumeTiming();
    const double begin = ThreadCpuSeconds();
    for (int64_t n = 0; n < calls; ++n) {
      attention.Forward();
      if (backward) attention.Backward();
    }
    const double call =
        (ThreadCpuSeconds() - begin) / static_cast<double>(calls);
    seconds += call;
    ratios.push_back(work / call / limit);
  }
  std::nth_element(ratios.begin(),
                   ratios.begin() + static_cast<int64_t>(ratios.size() / 2),
                   ratios.end());
  state.counters[decodes ? "of_bandwidth" : "of_peak"] =
      ratios[ratios.size() / 2];
  state.counters[decodes ? "bytes/s" : "FLOP/s"] =
      work * static_cast<double>(state.iterations()) / seconds;
}

template <typename T>
void RegisterAll(const char* type) {
  const Case kCases[] = {
      {8, 1024, 1024, 64, false, 0, true},
      {8, 1024, 1024, 64, true, 0, true},
      {16, 1024, 1024, 64, true, 0, true},
      {8, 1024, 1024, 64, false, 0, false},
      {8, 1024, 1024, 64, false, 0.1, true},
      {1, 2048, 2048, 64, false, 0, true},
      {64, 128, 128, 32, false, 0, true},
      {4, 128, 128, 32, false, 0, true},
      {64, 64, 64, 16, false, 0, true},
      {16, 1, 4096, 64, false, 0, true},
      {64, 1, 4096, 64, false, 0, true},
  };
  for (const Case& c : kCases) {
    for (const bool backward : {false, true}) {
      if (backward && c.queries == 1) continue;
      const std::string name =
          std::string("BM_Attention/") + type +
          "/H:" + std::to_string(c.heads) + "/T:" + std::to_string(c.queries) +
          "/S:" + std::to_string(c.keys) + "/D:" + std::to_string(c.dim) +
          (c.time_first ? "/bthd" : "") + (c.dropout > 0 ? "/dropout" : "") +
          (c.causal ? "" : "/full") + (backward ? "/backward" : "");
      benchmark::RegisterBenchmark(name.c_str(),
                                   [c, backward](benchmark::State& state) {
                                     BM_Attention<T>(state, c, backward);
                                   })
          ->Iterations(9)
          ->Unit(benchmark::kMillisecond);
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
