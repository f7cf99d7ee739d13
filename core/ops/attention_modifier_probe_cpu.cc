// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/attention_modifier_probe.h"
#include "septet/core/ops/attention_problem.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/attention_modifier_probe_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
bool Seen(const AttentionTile<T>& tile, size_t i, size_t j) {
  return tile.begin[j] <= static_cast<int32_t>(i) &&
         static_cast<int32_t>(i) < tile.end[j];
}

template <typename T>
class BiasScores {
 public:
  static constexpr bool kPlain = false;
  static constexpr bool kForwardFromRight = false;
  static constexpr bool kBackwardFromRight = true;

  BiasScores(const AttentionProblem<T>& p, const BiasProbe<T>& probe)
      : p_(p), probe_(probe) {}

  void BeginRows(const AttentionRows<T>& rows) {
    slope_ = probe_.slopes[rows.head];
    dslope_ = 0;
  }
  void Forward(const AttentionRows<T>& rows, const AttentionTile<T>& tile,
               T* scores) {
    for (size_t j = 0; j < tile.keys; ++j) {
      for (size_t i = tile.Computed(j); i < rows.stride; ++i) {
        T& score = scores[j * rows.stride + i];
        score = probe_.scale * score - slope_ * Distance(rows, tile, i, j);
      }
    }
  }
  void Again(const AttentionRows<T>& rows, const AttentionTile<T>& tile,
             T* scores) {
    Forward(rows, tile, scores);
  }
  void Gradient(const AttentionRows<T>& rows, const AttentionTile<T>& tile,
                T* dscores) {
    for (size_t j = 0; j < tile.keys; ++j) {
      for (size_t i = tile.Computed(j); i < rows.stride; ++i) {
        T& dscore = dscores[j * rows.stride + i];
        dslope_ -= dscore * Distance(rows, tile, i, j);
        dscore *= probe_.scale;
      }
    }
  }
  void EndRows(const AttentionRows<T>& rows) {
    if (rows.dq == nullptr) return;
    probe_.dslopes[rows.task * p_.heads + rows.head] += dslope_;
  }

 private:
  T Distance(const AttentionRows<T>& rows, const AttentionTile<T>& tile,
             size_t i, size_t j) const {
    return std::abs(static_cast<T>(rows.begin + p_.offset() - tile.begin_key +
                                   static_cast<int64_t>(i) -
                                   static_cast<int64_t>(j)));
  }

  const AttentionProblem<T>& p_;
  const BiasProbe<T>& probe_;
  T slope_ = 0;
  T dslope_ = 0;
};

template <typename T>
class CopeScores {
 public:
  static constexpr bool kPlain = false;
  // Gates are added up from the right; their gradients from the left.
  static constexpr bool kForwardFromRight = true;
  static constexpr bool kBackwardFromRight = false;

  CopeScores(const AttentionProblem<T>& p, const CopeProbe<T>& probe)
      : p_(p), probe_(probe), positions_(static_cast<size_t>(probe.positions)) {
    constexpr size_t kRows = static_cast<size_t>(kAttentionQueries<T>);
    constexpr size_t kTile = kRows * static_cast<size_t>(kAttentionKeys);
    z_ = probe.scratch;
    dz_ = z_ + kRows * positions_;
    carry_ = dz_ + kRows * positions_;
    dcarry_ = carry_ + kRows;
    gates_ = dcarry_ + kRows;
    sums_ = gates_ + kTile;
  }

  void BeginRows(const AttentionRows<T>& rows) {
    // q is transposed and unscaled: z [rows, P] = q E.
    MicroGemm(rows.count, positions_, static_cast<size_t>(p_.head_dim),
              rows.q_transposed, size_t{1}, rows.stride, probe_.table,
              positions_, z_, positions_, false);
    std::fill_n(dz_, rows.count * positions_, T{0});
    std::fill_n(carry_, rows.count, T{0});
    std::fill_n(dcarry_, rows.count, T{0});
  }
  void Forward(const AttentionRows<T>& rows, const AttentionTile<T>& tile,
               T* scores) {
    for (size_t i = 0; i < rows.count; ++i) {
      *Carry(rows, tile, i) = carry_[i];
      carry_[i] = Scan(rows, tile, i, carry_[i], scores);
    }
  }
  void Again(const AttentionRows<T>& rows, const AttentionTile<T>& tile,
             T* scores) {
    for (size_t i = 0; i < rows.count; ++i) {
      Scan(rows, tile, i, *Carry(rows, tile, i), scores);
    }
  }
  void Gradient(const AttentionRows<T>& rows, const AttentionTile<T>& tile,
                T* dscores) {
    const T last = static_cast<T>(positions_ - 1);
    for (size_t i = 0; i < rows.count; ++i) {
      for (size_t j = 0; j < tile.keys; ++j) {
        if (!Seen(tile, i, j)) continue;
        const size_t at = j * rows.stride + i;
        const T dl = dscores[at];
        const T db = probe_.scale * dl;
        const T position = std::min(sums_[at], last);
        const size_t f = static_cast<size_t>(position);
        const size_t c = std::min(f + 1, positions_ - 1);
        const T w = position - static_cast<T>(f);
        dz_[i * positions_ + f] += (1 - w) * db;
        dz_[i * positions_ + c] += w * db;
        if (sums_[at] <= last && w > 0) {
          dcarry_[i] += db * (z_[i * positions_ + c] - z_[i * positions_ + f]);
        }
        const T g = gates_[at];
        dscores[at] = probe_.scale * (dl + dcarry_[i] * g * (1 - g));
      }
    }
  }
  void EndRows(const AttentionRows<T>& rows) {
    if (rows.dq == nullptr) return;
    const size_t width = static_cast<size_t>(p_.head_dim);
    // dq += dz E^T, dE += q^T dz.
    T* dtable =
        probe_.dtable + static_cast<size_t>(rows.task) * width * positions_;
    for (size_t i = 0; i < rows.count; ++i) {
      for (size_t d = 0; d < width; ++d) {
        for (size_t m = 0; m < positions_; ++m) {
          rows.dq[i * rows.dq_row + d] +=
              dz_[i * positions_ + m] * probe_.table[d * positions_ + m];
          dtable[d * positions_ + m] +=
              rows.q[i * rows.q_row + d] * dz_[i * positions_ + m];
        }
      }
    }
  }

 private:
  T* Carry(const AttentionRows<T>& rows, const AttentionTile<T>& tile,
           size_t i) const {
    const int64_t tiles = (p_.keys + kAttentionKeys - 1) / kAttentionKeys;
    const int64_t row = (rows.batch * p_.heads + rows.head) * p_.queries +
                        rows.begin + static_cast<int64_t>(i);
    return probe_.carries + row * tiles + tile.begin_key / kAttentionKeys;
  }
  // Logits of query i, from the right; the sum of the gates so far.
  T Scan(const AttentionRows<T>& rows, const AttentionTile<T>& tile, size_t i,
         T sum, T* scores) {
    for (size_t j = tile.keys; j-- > 0;) {
      if (!Seen(tile, i, j)) continue;
      const size_t at = j * rows.stride + i;
      const T gate = 1 / (1 + std::exp(-probe_.scale * scores[at]));
      sum += gate;
      gates_[at] = gate;
      sums_[at] = sum;
      const T position = std::min(sum, static_cast<T>(positions_ - 1));
      const size_t f = static_cast<size_t>(position);
      const size_t c = std::min(f + 1, positions_ - 1);
      const T w = position - static_cast<T>(f);
      const T* z = z_ + i * positions_;
      scores[at] = probe_.scale * (scores[at] + (1 - w) * z[f] + w * z[c]);
    }
    return sum;
  }

  const AttentionProblem<T>& p_;
  const CopeProbe<T>& probe_;
  const size_t positions_;
  T* z_;
  T* dz_;
  T* carry_;
  T* dcarry_;
  T* gates_;
  T* sums_;
};

#define SEPTET_DEFINE_PROBE(Name, Scores, Probe, T)                       \
  void Name##Forward(const AttentionProblem<T>& p,                        \
                     const AttentionResult<T>& result, int64_t task,      \
                     T* workspace, const Probe<T>& probe) {               \
    Scores<T> scores(p, probe);                                           \
    AttentionForwardTask(p, result, task, workspace, scores);             \
  }                                                                       \
  void Name##Backward(const AttentionProblem<T>& p,                       \
                      const AttentionGradient<T>& gradient, int64_t task, \
                      T* workspace, const Probe<T>& probe) {              \
    Scores<T> scores(p, probe);                                           \
    AttentionBackwardTask(p, gradient, task, workspace, scores);          \
  }
SEPTET_DEFINE_PROBE(BiasF32, BiasScores, BiasProbe, float)
SEPTET_DEFINE_PROBE(BiasF64, BiasScores, BiasProbe, double)
SEPTET_DEFINE_PROBE(CopeF32, CopeScores, CopeProbe, float)
SEPTET_DEFINE_PROBE(CopeF64, CopeScores, CopeProbe, double)
#undef SEPTET_DEFINE_PROBE

void FinishF32(const AttentionProblem<float>& p,
               const AttentionGradient<float>& gradient, int64_t kv) {
  AttentionAddPartials(p, gradient, kv, 0, p.keys);
}
void FinishF64(const AttentionProblem<double>& p,
               const AttentionGradient<double>& gradient, int64_t kv) {
  AttentionAddPartials(p, gradient, kv, 0, p.keys);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(FinishF32);
HWY_EXPORT(FinishF64);

#define SEPTET_EXPORT_PROBE(Name, Probe, T)                                 \
  HWY_EXPORT(Name##Forward);                                                \
  HWY_EXPORT(Name##Backward);                                               \
  void ProbeForward(const AttentionProblem<T>& p,                           \
                    const AttentionResult<T>& result, int64_t task,         \
                    T* workspace, const Probe<T>& probe) {                  \
    HWY_DYNAMIC_DISPATCH(Name##Forward)(p, result, task, workspace, probe); \
  }                                                                         \
  void ProbeBackward(const AttentionProblem<T>& p,                          \
                     const AttentionGradient<T>& gradient, int64_t task,    \
                     T* workspace, const Probe<T>& probe) {                 \
    HWY_DYNAMIC_DISPATCH(Name##Backward)                                    \
    (p, gradient, task, workspace, probe);                                  \
  }
SEPTET_EXPORT_PROBE(BiasF32, BiasProbe, float)
SEPTET_EXPORT_PROBE(BiasF64, BiasProbe, double)
SEPTET_EXPORT_PROBE(CopeF32, CopeProbe, float)
SEPTET_EXPORT_PROBE(CopeF64, CopeProbe, double)
#undef SEPTET_EXPORT_PROBE

void ProbeFinish(const AttentionProblem<float>& p,
                 const AttentionGradient<float>& gradient, int64_t kv) {
  HWY_DYNAMIC_DISPATCH(FinishF32)(p, gradient, kv);
}
void ProbeFinish(const AttentionProblem<double>& p,
                 const AttentionGradient<double>& gradient, int64_t kv) {
  HWY_DYNAMIC_DISPATCH(FinishF64)(p, gradient, kv);
}

}  // namespace septet
#endif  // HWY_ONCE
