// SPDX-License-Identifier: Apache-2.0
// Problems of retention with random values, and what must come out, by plain
// loops in float64 (retnet.md 3.3, 3.4 and 3.8).
#ifndef SEPTET_RETENTION_RETENTION_TESTUTIL_H_
#define SEPTET_RETENTION_RETENTION_TESTUTIL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <ostream>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/retention/retention_kernels.h"
#include "septet/retention/retention_problem.h"

namespace septet {

struct RetentionTestCase {
  std::vector<int64_t> lengths = {1};  // equal ones unless packed
  bool packed = false;
  int64_t heads = 1;
  int64_t key_dim = 4;
  int64_t value_dim = 4;
  int64_t chunk = 4;
  RetentionNorm norm = RetentionNorm::kDecay;
  bool state = false;
  int64_t position = 0;  // of the first sequence; later ones have 3 more each
  std::vector<double> gammas = {31.0 / 32, 1, 0.5, 1 - 1e-9};
  double value = 1;         // of inputs at most
  bool row_by_row = false;  // RetentionRecurrent

  friend std::ostream& operator<<(std::ostream& out,
                                  const RetentionTestCase& c) {
    out << "lengths";
    for (const int64_t length : c.lengths) out << " " << length;
    return out << (c.packed ? " packed" : "") << ", " << c.heads << " heads of "
               << c.key_dim << " and " << c.value_dim << ", chunk " << c.chunk
               << ", norm " << static_cast<int>(c.norm)
               << (c.state ? ", state" : "")
               << (c.row_by_row ? ", row by row" : "") << ", position "
               << c.position << ", values to " << c.value;
  }
};

// Of one head of a sequence, all [rows][width].
using TestRows = std::vector<std::vector<double>>;
struct RetentionReferenceHead {
  TestRows out, dq, dk, dv;
  TestRows state, dinitial;  // [dk][dv]
  std::vector<double> key_sum, divisors;
  double dlog_gamma = 0;
};

// A problem with its memory. Rows lie heads side by side with a gap.
template <typename T>
class RetentionTestProblem {
 public:
  explicit RetentionTestProblem(const RetentionTestCase& c, uint64_t seed = 1)
      : c_(c), random_(seed) {
    const int64_t n = static_cast<int64_t>(c.lengths.size());
    offsets_.push_back(0);
    for (int64_t s = 0; s < n; ++s) {
      const size_t i = static_cast<size_t>(s);
      offsets_.push_back(offsets_.back() + c.lengths[i]);
      positions_.push_back(c.position + 3 * s);
    }
    for (int64_t h = 0; h < c.heads; ++h) {
      log_gamma_.push_back(
          std::log(c.gammas[static_cast<size_t>(h) % c.gammas.size()]));
    }
    p.sequences = n;
    p.heads = c.heads;
    p.key_dim = c.key_dim;
    p.value_dim = c.value_dim;
    p.rows = c.packed ? offsets_.back() : c.lengths[0];
    p.offsets = c.packed ? offsets_.data() : nullptr;
    p.positions = c.position == 0 ? nullptr : positions_.data();
    if (c.position == 0) std::fill(positions_.begin(), positions_.end(), 0);
    p.log_gamma = log_gamma_.data();
    p.scale = 0.7;
    p.chunk = c.chunk;
    p.norm = c.norm;
    p.q = Input(c.key_dim);
    p.k = Input(c.key_dim);
    p.v = Input(c.value_dim);
    gradient.dout = Input(c.value_dim);
    const int64_t states = n * c.heads * c.key_dim * c.value_dim;
    if (c.state) {
      p.state = Array(states, true)->data();
      p.key_sum = Array(n * c.heads * c.key_dim, true)->data();
    }
    result.out = Output(c.value_dim);
    if (!RetentionIsTorchscale()) {
      result.state = Array(states, false)->data();
      gradient.dstate = Array(states, true)->data();
      gradient.dinitial = Array(states, false)->data();
      dlog_gamma_.assign(static_cast<size_t>(n * c.heads), -1);
      gradient.dlog_gamma = dlog_gamma_.data();
    }
    if (c.norm == RetentionNorm::kPaper) {
      result.key_sum = Array(n * c.heads * c.key_dim, false)->data();
    }
    result.divisors = Array(c.heads * p.TotalRows(), false)->data();
    gradient.divisors = result.divisors;
    gradient.out = {result.out.data, result.out.batch, result.out.time,
                    result.out.head};
    gradient.dq = Output(c.key_dim);
    gradient.dk = Output(c.key_dim);
    gradient.dv = Output(c.value_dim);
  }

  bool RetentionIsTorchscale() const {
    return RetentionHasDivisors(c_.norm) && c_.norm != RetentionNorm::kPaper;
  }

  void Run() {
    std::vector<T> memory;
    T* workspace = Workspace(c_.row_by_row ? RetentionRecurrentWorkspace(p)
                                           : RetentionForwardWorkspace(p),
                             &memory);
    for (int64_t task = 0; task < RetentionTasks(p); ++task) {
      if (c_.row_by_row) {
        RetentionRecurrent(p, result, task, workspace);
      } else {
        RetentionForward(p, result, task, workspace);
      }
    }
    workspace = Workspace(RetentionBackwardWorkspace(p), &memory);
    for (int64_t task = 0; task < RetentionTasks(p); ++task) {
      RetentionBackward(p, gradient, task, workspace);
    }
  }

  bool GuardsAreIntact() const {
    return std::all_of(arrays_.begin(), arrays_.end(), [](const auto& array) {
      return array->GuardsAreIntact();
    });
  }

  RetentionReferenceHead Reference(int64_t sequence, int64_t head) const;

  RetentionProblem<T> p;
  RetentionResult<T> result;
  RetentionGradient<T> gradient;

 private:
  GuardedArray<T>* Array(int64_t n, bool fill) {
    arrays_.push_back(std::make_unique<GuardedArray<T>>(n));
    if (fill) arrays_.back()->FillUniform(&random_, -c_.value, c_.value);
    return arrays_.back().get();
  }
  RetentionOperand<T> Output(int64_t width, bool fill = false) {
    RetentionOperand<T> x;
    x.head = width;
    x.time = c_.heads * width + 3;
    x.batch = c_.packed ? 0 : p.rows * x.time;
    // Without the last gap, which nothing may touch.
    x.data = Array(p.TotalRows() * x.time, fill)->data();
    return x;
  }
  RetentionOperand<const T> Input(int64_t width) {
    const RetentionOperand<T> x = Output(width, /*fill=*/true);
    return {x.data, x.batch, x.time, x.head};
  }
  static T* Workspace(int64_t n, std::vector<T>* memory) {
    // What is read before it is written shows.
    memory->assign(static_cast<size_t>(n) + 64,
                   std::numeric_limits<T>::quiet_NaN());
    auto address = reinterpret_cast<uintptr_t>(memory->data());
    return reinterpret_cast<T*>((address + 63) / 64 * 64);
  }

  const RetentionTestCase c_;
  TestRandom random_;
  std::vector<int64_t> offsets_, positions_;
  std::vector<double> log_gamma_, dlog_gamma_;
  std::vector<std::unique_ptr<GuardedArray<T>>> arrays_;
};

template <typename T>
RetentionReferenceHead RetentionTestProblem<T>::Reference(int64_t s,
                                                          int64_t h) const {
  const size_t rows = static_cast<size_t>(p.Length(s));
  const size_t dk = static_cast<size_t>(p.key_dim);
  const size_t dv = static_cast<size_t>(p.value_dim);
  const auto load = [&](const auto& x, size_t width) {
    TestRows to(rows, std::vector<double>(width));
    for (size_t t = 0; t < rows; ++t) {
      for (size_t i = 0; i < width; ++i) {
        to[t][i] = p.At(x, s, h, static_cast<int64_t>(t))[i];
      }
    }
    return to;
  };
  const auto matrix = [&](const T* x) {
    TestRows to(dk, std::vector<double>(dv));
    for (size_t i = 0; x != nullptr && i < dk; ++i) {
      for (size_t j = 0; j < dv; ++j) {
        to[i][j] =
            x[((s * p.heads + h) * p.key_dim + int64_t(i)) * p.value_dim +
              int64_t(j)];
      }
    }
    return to;
  };
  const TestRows q = load(p.q, dk), v = load(p.v, dv);
  TestRows k = load(p.k, dk);
  for (auto& row : k) {
    for (double& x : row) x *= p.scale;
  }
  const TestRows dout = load(gradient.dout, dv);
  const TestRows initial = matrix(p.state), dstate = matrix(gradient.dstate);
  const double lg = p.log_gamma[h];
  const auto power = [lg](size_t x) {
    return std::exp(lg * static_cast<double>(x));
  };
  const auto row_sum = [&](int64_t n, double* derivative) {
    double sum = 0;
    *derivative = 0;
    for (int64_t i = 0; i <= n; ++i) {
      const double term = std::exp(lg * static_cast<double>(i));
      sum += term;
      *derivative += static_cast<double>(i) * term;
    }
    return sum;
  };
  const auto dot = [](const std::vector<double>& a,
                      const std::vector<double>& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  RetentionReferenceHead r;
  r.out = TestRows(rows, std::vector<double>(dv));
  r.dv = r.out;
  r.dq = TestRows(rows, std::vector<double>(dk));
  r.dk = r.dq;
  r.dinitial = r.state = TestRows(dk, std::vector<double>(dv));
  std::vector<double> z(dk);
  for (size_t i = 0; p.key_sum != nullptr && i < dk; ++i) {
    z[i] = p.key_sum[(s * p.heads + h) * p.key_dim + int64_t(i)];
  }
  TestRows x(dk, std::vector<double>(dv));  // torchscale's state
  const size_t chunk = static_cast<size_t>(p.chunk);
  double unused;
  const double whole = row_sum(p.chunk - 1, &unused);
  const double cross =
      c_.norm == RetentionNorm::kTorchscaleChunkwise ? whole : std::sqrt(whole);
  double b = 1;
  for (size_t n = 0; n < rows; ++n) {
    const int64_t at = positions_[static_cast<size_t>(s)] + int64_t(n);
    const bool chunkwise = RetentionIsChunkwiseTorchscale(c_.norm);
    const size_t begin = chunkwise ? n / chunk * chunk : 0;
    if (chunkwise && n == begin && n > 0) {
      b = 1;
      for (size_t j = 0; j < dv; ++j) {
        double sum = 0;
        for (size_t i = 0; i < dk; ++i) {
          x[i][j] *= power(chunk);
          for (size_t m = n - chunk; m < n; ++m) {
            x[i][j] += power(n - 1 - m) * k[m][i] * v[m][j] / cross;
          }
          sum += std::abs(x[i][j]);
        }
        b = std::max(b, sum);
      }
    }
    for (size_t i = 0; i < dk; ++i) {
      z[i] = std::exp(lg) * z[i] + k[n][i];
    }
    double signed_sum = 0, absolute = 0;
    for (size_t m = begin; m <= n; ++m) {
      const double a = dot(q[n], k[m]) * power(n - m);
      signed_sum += a;
      absolute += std::abs(a);
    }
    double derivative = 0;
    const double c =
        c_.norm == RetentionNorm::kNone
            ? 1
            : row_sum(chunkwise ? int64_t(n - begin) : at, &derivative);
    const double root = std::sqrt(c);
    double m = 1;
    switch (c_.norm) {
      case RetentionNorm::kNone:
      case RetentionNorm::kDecay:
        break;
      case RetentionNorm::kPaper:
        m = std::max(std::abs(dot(q[n], z)) / root, 1.0);
        break;
      case RetentionNorm::kTorchscaleParallel:
        m = std::min(std::max(absolute / root, 1.0), 5e4);
        break;
      case RetentionNorm::kTorchscaleParallelLegacy:
        m = std::max(std::abs(signed_sum) / root, 1.0);
        break;
      default:
        m = std::max(absolute / root, b);
    }
    r.divisors.push_back(m);
    const double f = 1 / (root * m);
    std::vector<double> dp(dv);
    for (size_t j = 0; j < dv; ++j) dp[j] = f * dout[n][j];
    for (size_t j = 0; j < dv; ++j) {
      for (size_t i = 0; i < dk; ++i) {
        r.out[n][j] += f * power(n + 1) * q[n][i] * initial[i][j];
        r.dq[n][i] += power(n + 1) * dp[j] * initial[i][j];
        r.dinitial[i][j] += power(n + 1) * q[n][i] * dp[j];
        r.dlog_gamma += static_cast<double>(n + 1) * power(n + 1) * q[n][i] *
                        dp[j] * initial[i][j];
      }
    }
    for (size_t e = 0; e <= n; ++e) {
      const double decay = power(n - e);
      const double a = dot(q[n], k[e]) * decay;
      const double da = dot(dp, v[e]) * decay;
      for (size_t j = 0; j < dv; ++j) {
        r.out[n][j] += f * a * v[e][j];
        r.dv[e][j] += a * dp[j];
      }
      for (size_t i = 0; i < dk; ++i) {
        r.dq[n][i] += da * k[e][i];
        r.dk[e][i] += p.scale * da * q[n][i];
      }
      r.dlog_gamma += static_cast<double>(n - e) * a * dot(dp, v[e]);
    }
    r.dlog_gamma -= 0.5 * derivative / c * dot(r.out[n], dout[n]);
  }
  for (size_t i = 0; i < dk; ++i) {
    for (size_t j = 0; j < dv; ++j) {
      r.state[i][j] = power(rows) * initial[i][j];
      r.dinitial[i][j] += power(rows) * dstate[i][j];
      r.dlog_gamma += static_cast<double>(rows) * power(rows) * initial[i][j] *
                      dstate[i][j];
      for (size_t e = 0; e < rows; ++e) {
        const double decay = power(rows - 1 - e);
        r.state[i][j] += decay * k[e][i] * v[e][j];
        r.dk[e][i] += p.scale * decay * v[e][j] * dstate[i][j];
        r.dv[e][j] += decay * k[e][i] * dstate[i][j];
        r.dlog_gamma += static_cast<double>(rows - 1 - e) * decay * k[e][i] *
                        v[e][j] * dstate[i][j];
      }
    }
  }
  r.key_sum = z;
  return r;
}

}  // namespace septet

#endif  // SEPTET_RETENTION_RETENTION_TESTUTIL_H_
