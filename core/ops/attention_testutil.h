// SPDX-License-Identifier: Apache-2.0
// Attention by definition in double, with its gradients, for any logits; and
// problems for the tests of the kernels.
#ifndef SEPTET_CORE_OPS_ATTENTION_TESTUTIL_H_
#define SEPTET_CORE_OPS_ATTENTION_TESTUTIL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/attention_problem.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"

namespace septet {

struct AttentionTestCase {
  int64_t batch = 1, heads = 1, kv_heads = 1;
  int64_t queries = 1, keys = 1, head_dim = 8, value_dim = 8;
  bool causal = true;
  bool time_first = false;  // [B, T, H, D]
  bool lengths = false;     // 0 for the first batch element
  bool mask = false;        // about a quarter is hidden
  bool keep_self = false;
  double dropout = 0;
  double scale = 0.37;
};

inline ::std::ostream& operator<<(::std::ostream& out,
                                  const AttentionTestCase& c) {
  return out << "B " << c.batch << " H " << c.heads << " Hkv " << c.kv_heads
             << " T " << c.queries << " S " << c.keys << " D " << c.head_dim
             << " Dv " << c.value_dim << " causal " << c.causal
             << " time_first " << c.time_first << " lengths " << c.lengths
             << " mask " << c.mask << " keep_self " << c.keep_self
             << " dropout " << c.dropout;
}

// Inputs, outputs and gradients of a case, with gaps between the rows.
template <typename T>
class AttentionTestProblem {
 public:
  explicit AttentionTestProblem(const AttentionTestCase& c) {
    TestRandom random(static_cast<uint64_t>(c.queries * 1000 + c.keys));
    p.batch = c.batch;
    p.heads = c.heads;
    p.kv_heads = c.kv_heads;
    p.queries = c.queries;
    p.keys = c.keys;
    p.head_dim = c.head_dim;
    p.value_dim = c.value_dim;
    p.causal = c.causal;
    p.scale = c.scale;
    p.dropout = c.dropout;
    p.dropout_key = {7, 11};
    p.keep_self = c.keep_self;
    if (c.lengths) {
      for (int64_t b = 0; b < c.batch; ++b) {
        lengths_.push_back(b == 0 ? 0 : random.Below(c.keys + 1));
      }
      p.key_lengths = lengths_.data();
    }
    mask_.reset(new bool[static_cast<size_t>(c.batch * c.keys)]);
    for (int64_t i = 0; i < c.batch * c.keys; ++i) {
      mask_[static_cast<size_t>(i)] = random.Below(4) != 0;
    }
    if (c.mask) p.key_mask = mask_.get();
    const auto make = [&](int i, int64_t heads, int64_t rows, int64_t dim) {
      const int64_t row = dim + 3;
      const int64_t size = c.batch * heads * rows * row;
      data_[i].resize(static_cast<size_t>(size + 1));
      for (T& x : data_[i]) x = static_cast<T>(random.Uniform(-1.5, 1.5));
      return AttentionOperand<T>{data_[i].data() + 1, heads * rows * row,
                                 c.time_first ? row : rows * row,
                                 c.time_first ? heads * row : row};
    };
    const auto constant = [](const AttentionOperand<T>& o) {
      return AttentionOperand<const T>{o.data, o.batch, o.head, o.time};
    };
    p.q = constant(make(0, c.heads, c.queries, c.head_dim));
    p.k = constant(make(1, c.kv_heads, c.keys, c.head_dim));
    p.v = constant(make(2, c.kv_heads, c.keys, c.value_dim));
    result.out = make(3, c.heads, c.queries, c.value_dim);
    lse_.assign(static_cast<size_t>(c.batch * c.heads * c.queries), T{3});
    result.log_sum_exp = lse_.data();
    gradient.out = constant(result.out);
    gradient.log_sum_exp = lse_.data();
    gradient.dout = constant(make(4, c.heads, c.queries, c.value_dim));
    gradient.dq = make(5, c.heads, c.queries, c.head_dim);
    gradient.dk = make(6, c.kv_heads, c.keys, c.head_dim);
    gradient.dv = make(7, c.kv_heads, c.keys, c.value_dim);
    partials_.resize(static_cast<size_t>(AttentionPartials(p)), T{5});
    gradient.partials = partials_.data();
  }

  // Aligned to 64 bytes, and filled with NaN.
  T* Workspace(int64_t elements) {
    workspace_.assign(static_cast<size_t>(elements) + 64 / sizeof(T),
                      std::numeric_limits<T>::quiet_NaN());
    const auto address = reinterpret_cast<uintptr_t>(workspace_.data());
    return reinterpret_cast<T*>((address + 63) / 64 * 64);
  }

  AttentionProblem<T> p;
  AttentionResult<T> result;
  AttentionGradient<T> gradient;

 private:
  std::vector<int64_t> lengths_;
  std::unique_ptr<bool[]> mask_;
  std::vector<T> data_[8];
  std::vector<T> lse_, partials_, workspace_;
};

// Logits of one query, from its products with the keys, of which `seen` says
// which count. Writes one logit a key.
using AttentionLogits = std::function<void(
    int64_t b, int64_t h, int64_t t, const std::vector<double>& products,
    const std::vector<bool>& seen, std::vector<double>* logits)>;
// The gradient of the products from that of the logits (0 where not seen).
using AttentionLogitsGradient = std::function<void(
    int64_t b, int64_t h, int64_t t, const std::vector<double>& products,
    const std::vector<bool>& seen, const std::vector<double>& dlogits,
    std::vector<double>* dproducts)>;

struct AttentionReference {
  std::vector<double> out, lse, dq, dk, dv;  // [B, H, T, D], without gaps
};

template <typename T>
AttentionReference ReferenceAttention(const AttentionProblem<T>& p,
                                      const AttentionOperand<const T>& dout,
                                      const AttentionLogits& logits_of,
                                      const AttentionLogitsGradient& gradient) {
  AttentionReference r;
  const auto sized = [](int64_t n) {
    return std::vector<double>(static_cast<size_t>(n));
  };
  r.out = sized(p.batch * p.heads * p.queries * p.value_dim);
  r.lse = sized(p.batch * p.heads * p.queries);
  r.dq = sized(p.batch * p.heads * p.queries * p.head_dim);
  r.dk = sized(p.batch * p.kv_heads * p.keys * p.head_dim);
  r.dv = sized(p.batch * p.kv_heads * p.keys * p.value_dim);
  const size_t keys = static_cast<size_t>(p.keys);
  std::vector<double> products(keys), logits(keys), weights(keys),
      factors(keys), dlogits(keys), dproducts(keys);
  std::vector<bool> seen(keys);
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t h = 0; h < p.heads; ++h) {
      const int64_t kv = h / p.group();
      for (int64_t t = 0; t < p.queries; ++t) {
        const int64_t row = (b * p.heads + h) * p.queries + t;
        const T* q = p.q.At(b, h, t);
        for (size_t s = 0; s < keys; ++s) {
          const int64_t key = static_cast<int64_t>(s);
          const T* k = p.k.At(b, kv, key);
          products[s] = 0;
          for (int64_t d = 0; d < p.head_dim; ++d) {
            products[s] +=
                static_cast<double>(q[d]) * static_cast<double>(k[d]);
          }
          const bool there =
              (p.key_lengths == nullptr || key < p.key_lengths[b]) &&
              (p.key_mask == nullptr || p.key_mask[b * p.keys + key]);
          const bool self = key == t + p.offset();
          seen[s] = (!p.causal || key <= t + p.offset()) &&
                    (there || (p.keep_self && self));
          factors[s] = 1;
          if (p.dropout > 0) {
            const uint64_t e =
                static_cast<uint64_t>(row * ((p.keys + 3) / 4 * 4) + key);
            factors[s] = UnitFromWord(PhiloxElement(p.dropout_key,
                                                    e / 4)[e % 4]) >= p.dropout
                             ? 1 / (1 - p.dropout)
                             : 0;
          }
        }
        logits_of(b, h, t, products, seen, &logits);
        double maximum = -HUGE_VAL, sum = 0;
        for (size_t s = 0; s < keys; ++s) {
          if (seen[s]) maximum = std::max(maximum, logits[s]);
        }
        for (size_t s = 0; s < keys; ++s) {
          weights[s] = seen[s] ? std::exp(logits[s] - maximum) : 0;
          sum += weights[s];
        }
        r.lse[static_cast<size_t>(row)] =
            sum > 0 ? maximum + std::log(sum) : -HUGE_VAL;
        double* out = r.out.data() + row * p.value_dim;
        const T* g = dout.At(b, h, t);
        double delta = 0;
        for (size_t s = 0; s < keys && sum > 0; ++s) {
          weights[s] /= sum;
          const T* v = p.v.At(b, kv, static_cast<int64_t>(s));
          double* dv = r.dv.data() + ((b * p.kv_heads + kv) * p.keys +
                                      static_cast<int64_t>(s)) *
                                         p.value_dim;
          dlogits[s] = 0;
          for (int64_t d = 0; d < p.value_dim; ++d) {
            out[d] += weights[s] * factors[s] * static_cast<double>(v[d]);
            dv[d] += weights[s] * factors[s] * static_cast<double>(g[d]);
            dlogits[s] += factors[s] * static_cast<double>(g[d]) *
                          static_cast<double>(v[d]);
          }
          delta += weights[s] * dlogits[s];
        }
        if (!(sum > 0)) continue;
        for (size_t s = 0; s < keys; ++s) {
          dlogits[s] = weights[s] * (dlogits[s] - delta);
        }
        gradient(b, h, t, products, seen, dlogits, &dproducts);
        double* dq = r.dq.data() + row * p.head_dim;
        for (size_t s = 0; s < keys; ++s) {
          const T* k = p.k.At(b, kv, static_cast<int64_t>(s));
          double* dk = r.dk.data() + ((b * p.kv_heads + kv) * p.keys +
                                      static_cast<int64_t>(s)) *
                                         p.head_dim;
          for (int64_t d = 0; d < p.head_dim; ++d) {
            dq[d] += dproducts[s] * static_cast<double>(k[d]);
            dk[d] += dproducts[s] * static_cast<double>(q[d]);
          }
        }
      }
    }
  }
  return r;
}

// Rows [B, H, T, n] with gaps against those of the reference.
template <typename T>
void ExpectRowsNear(const char* name, const AttentionOperand<T>& got,
                    int64_t batch, int64_t heads, int64_t rows, int64_t columns,
                    const std::vector<double>& want, double tolerance) {
  size_t i = 0;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t t = 0; t < rows; ++t) {
        for (int64_t d = 0; d < columns; ++d, ++i) {
          const double value = static_cast<double>(got.At(b, h, t)[d]);
          ASSERT_LE(std::abs(value - want[i]),
                    tolerance * (1 + std::abs(want[i])))
              << name << "[" << b << ", " << h << ", " << t << ", " << d
              << "]: got " << value << ", want " << want[i];
        }
      }
    }
  }
}

// Everything that forward and backward wrote. Sums have up to n = T + S + D
// terms, each of which is rounded, of numbers around 1; logits carry an error
// of D roundings into the weights.
template <typename T>
void ExpectMatchesReference(const AttentionTestProblem<T>& test,
                            const AttentionReference& want) {
  const AttentionProblem<T>& p = test.p;
  const double tolerance =
      std::numeric_limits<T>::epsilon() *
      static_cast<double>(8 + p.queries + p.keys + p.head_dim);
  ExpectRowsNear("out", test.result.out, p.batch, p.heads, p.queries,
                 p.value_dim, want.out, tolerance);
  for (size_t i = 0; i < want.lse.size(); ++i) {
    const double got = static_cast<double>(test.result.log_sum_exp[i]);
    if (std::isinf(want.lse[i])) {
      ASSERT_EQ(got, want.lse[i]) << "log_sum_exp[" << i << "]";
    } else {
      ASSERT_NEAR(got, want.lse[i], tolerance * (1 + std::abs(want.lse[i])))
          << "log_sum_exp[" << i << "]";
    }
  }
  ExpectRowsNear("dq", test.gradient.dq, p.batch, p.heads, p.queries,
                 p.head_dim, want.dq, tolerance);
  ExpectRowsNear("dk", test.gradient.dk, p.batch, p.kv_heads, p.keys,
                 p.head_dim, want.dk, tolerance);
  ExpectRowsNear("dv", test.gradient.dv, p.batch, p.kv_heads, p.keys,
                 p.value_dim, want.dv, tolerance);
}

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ATTENTION_TESTUTIL_H_
