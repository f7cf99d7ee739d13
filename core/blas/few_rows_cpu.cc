// SPDX-License-Identifier: Apache-2.0
// Products of one to four rows with a matrix.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "septet/core/blas/gemm_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/blas/few_rows_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/blas/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Into the second-level cache.
template <typename T>
HWY_INLINE void Prefetch(const T* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, 0, 2);
#else
  (void)p;
#endif
}

// Bytes of what stays in the first-level cache while the matrix runs past it.
constexpr size_t kResidentBytes = 16384;

// Where the matrix lies decides how it is best read.
enum class Source { kNear, kShared, kMemory };

// Of a matrix of so many bytes: half of a usual second-level cache of 1 MiB;
// the part of a last-level cache that one can hope for.
inline Source SourceOf(int64_t bytes) {
  if (bytes <= (int64_t{512} << 10)) return Source::kNear;
  return bytes <= (int64_t{16} << 20) ? Source::kShared : Source::kMemory;
}

// sums [M, n] += coefficients [M, KU] times KU rows of B. `first`: sums holds
// nothing yet.
template <int M, int KU, bool kPrefetch, typename T>
HWY_INLINE void AddRows(size_t n, const T* HWY_RESTRICT coefficients,
                        const T* HWY_RESTRICT b, size_t ldb, bool first,
                        T* HWY_RESTRICT sums, size_t ld_sums) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  V factor[M][KU];
  for (int i = 0; i < M; ++i) {
    for (int u = 0; u < KU; ++u) {
      factor[i][u] = hn::Set(d, coefficients[i * KU + u]);
    }
  }
  size_t j = 0;
  for (; j + step <= n; j += step) {
    V sum[M];
    for (int i = 0; i < M; ++i) {
      sum[i] = first ? hn::Zero(d) : hn::LoadU(d, sums + i * ld_sums + j);
    }
    for (int u = 0; u < KU; ++u) {
      // The next rows. The hardware's own prefetching ends with a page.
      if (kPrefetch) Prefetch(b + (KU + u) * ldb + j);
      const V row = hn::LoadU(d, b + u * ldb + j);
      for (int i = 0; i < M; ++i) {
        sum[i] = hn::MulAdd(factor[i][u], row, sum[i]);
      }
    }
    for (int i = 0; i < M; ++i) hn::StoreU(sum[i], d, sums + i * ld_sums + j);
  }
  if (j == n) return;
  const size_t count = n - j;
  V sum[M];
  for (int i = 0; i < M; ++i) {
    sum[i] =
        first ? hn::Zero(d) : LoadPartial(d, sums + i * ld_sums + j, count);
  }
  for (int u = 0; u < KU; ++u) {
    const V row = LoadPartial(d, b + u * ldb + j, count);
    for (int i = 0; i < M; ++i) {
      sum[i] = hn::MulAdd(factor[i][u], row, sum[i]);
    }
  }
  for (int i = 0; i < M; ++i) {
    StorePartial(d, sum[i], sums + i * ld_sums + j, count);
  }
}

// c = sums + beta c, for a block of columns.
template <int M, typename T>
HWY_INLINE void Finish(const FewRowsArgs<T>& args, const T* sums,
                       size_t ld_sums, int64_t begin, int64_t count) {
  for (int i = 0; i < M; ++i) {
    const T* row = sums + i * ld_sums;
    T* c = args.c + i * args.c_row + begin * args.c_col;
    if (args.beta == T{0}) {
      for (int64_t j = 0; j < count; ++j) c[j * args.c_col] = row[j];
    } else {
      for (int64_t j = 0; j < count; ++j) {
        c[j * args.c_col] = row[j] + args.beta * c[j * args.c_col];
      }
    }
  }
}

// B stored [k, n]: a block of columns at a time, rows of B one group after the
// other. With kWalks the rows of a group are far apart and each is followed by
// its neighbour, so that memory is read in as many walks.
template <int M, int kRows, bool kPrefetch, bool kWalks, typename T>
void TimesMatrixBy(const FewRowsArgs<T>& args) {
  constexpr size_t kColumns = kResidentBytes / sizeof(T) / M / 16 * 16;
  HWY_ALIGN T sums[M * kColumns];
  for (int64_t begin = 0; begin < args.n; begin += kColumns) {
    const size_t count = std::min<int64_t>(kColumns, args.n - begin);
    const T* b = args.b + begin;
    const T* a = args.a;
    T coefficients[M * kRows];
    const auto add = [&](auto rows, int64_t first, int64_t step) HWY_ATTR {
      constexpr int kCount = decltype(rows)::value;
      for (int i = 0; i < M; ++i) {
        for (int u = 0; u < kCount; ++u) {
          coefficients[i * kCount + u] =
              args.alpha * a[i * args.a_row + (first + u * step) * args.a_col];
        }
      }
      AddRows<M, kCount, kPrefetch && kCount == kRows>(
          count, coefficients, b + first * args.ldb,
          static_cast<size_t>(args.ldb * step), first == 0, sums, kColumns);
    };
    const int64_t groups = args.k / kRows;
    for (int64_t g = 0; g < groups; ++g) {
      add(std::integral_constant<int, kRows>(), kWalks ? g : g * kRows,
          kWalks ? groups : 1);
    }
    for (int64_t l = groups * kRows; l < args.k; ++l) {
      add(std::integral_constant<int, 1>(), l, 1);
    }
    Finish<M>(args, sums, kColumns, begin, count);
  }
}

template <int M, typename T>
void TimesMatrix(const FewRowsArgs<T>& args, Source source) {
  // Rows of B at a time: the more, the seldomer the sums are read and written,
  // as far as there are registers for the coefficients; but rows at distances
  // of 4 KiB fall into the same eight places of the first-level cache, and
  // from farther away two walks come faster.
  constexpr int kMany = HWY_MAX_BYTES >= 64 ? (M == 1 ? 8 : 16 / M) : 4;
  if (source == Source::kMemory)
    return TimesMatrixBy<M, kMany, true, false>(args);
  if (source == Source::kShared && M == 1) {
    return TimesMatrixBy<M, 2, false, true>(args);
  }
  TimesMatrixBy<M, kMany, false, false>(args);
}

#if HWY_TARGET != HWY_SCALAR
// Both halves of a vector added, until 16 bytes are left.
template <class D>
HWY_INLINE auto AddHalves(D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(d) * sizeof(hn::TFromD<D>) <= 16) {
    return v;
  } else {
    const hn::Half<D> half;
    return AddHalves(half,
                     hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}
#endif

// The sums of the lanes of one vector and of four, in the same order of
// additions. Four together take a third of the time of four alone.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void SumsOfFour(D d, hn::Vec<D> v0, hn::Vec<D> v1, hn::Vec<D> v2,
                           hn::Vec<D> v3, T* HWY_RESTRICT sums) {
#if HWY_TARGET == HWY_SCALAR
  (void)d;
  sums[0] = hn::GetLane(v0);
  sums[1] = hn::GetLane(v1);
  sums[2] = hn::GetLane(v2);
  sums[3] = hn::GetLane(v3);
#else
  const hn::CappedTag<T, 16 / sizeof(T)> d16;
  const auto h0 = AddHalves(d, v0), h1 = AddHalves(d, v1);
  const auto h2 = AddHalves(d, v2), h3 = AddHalves(d, v3);
  if constexpr (sizeof(T) == 8) {
    hn::StoreU(hn::Add(hn::InterleaveLower(d16, h0, h1),
                       hn::InterleaveUpper(d16, h0, h1)),
               d16, sums);
    hn::StoreU(hn::Add(hn::InterleaveLower(d16, h2, h3),
                       hn::InterleaveUpper(d16, h2, h3)),
               d16, sums + 2);
  } else {
    const auto even = hn::Add(hn::InterleaveLower(d16, h0, h2),
                              hn::InterleaveUpper(d16, h0, h2));
    const auto odd = hn::Add(hn::InterleaveLower(d16, h1, h3),
                             hn::InterleaveUpper(d16, h1, h3));
    hn::StoreU(hn::Add(hn::InterleaveLower(d16, even, odd),
                       hn::InterleaveUpper(d16, even, odd)),
               d16, sums);
  }
#endif
}

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE T SumOf(D d, hn::Vec<D> v) {
  T sums[4];
  SumsOfFour(d, v, v, v, v, sums);
  return sums[0];
}

// Dot products of M rows of `a` and NB rows of B, k long, U vectors at a time:
// the vectors of sums are those of (row of a, row of B, vector).
template <int M, int NB, int U, bool kPrefetch, typename T>
HWY_INLINE void Dots(size_t k, const T* HWY_RESTRICT a, size_t lda,
                     const T* HWY_RESTRICT b, size_t ldb, T* sums) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  V sum[M][NB][U];
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < NB; ++j) {
      for (int u = 0; u < U; ++u) sum[i][j][u] = hn::Zero(d);
    }
  }
  size_t l = 0;
  for (; l + U * step <= k; l += U * step) {
    for (int u = 0; u < U; ++u) {
      V va[M];
      for (int i = 0; i < M; ++i) {
        va[i] = hn::LoadU(d, a + i * lda + l + u * step);
      }
      for (int j = 0; j < NB; ++j) {
        if (kPrefetch) Prefetch(b + (NB + j) * ldb + l + u * step);
        const V vb = hn::LoadU(d, b + j * ldb + l + u * step);
        for (int i = 0; i < M; ++i) {
          sum[i][j][u] = hn::MulAdd(va[i], vb, sum[i][j][u]);
        }
      }
    }
  }
  while (l < k) {
    const size_t count = std::min(step, k - l);
    V va[M];
    for (int i = 0; i < M; ++i) va[i] = LoadPartial(d, a + i * lda + l, count);
    for (int j = 0; j < NB; ++j) {
      const V vb = LoadPartial(d, b + j * ldb + l, count);
      for (int i = 0; i < M; ++i) {
        sum[i][j][0] = hn::MulAdd(va[i], vb, sum[i][j][0]);
      }
    }
    l += count;
  }
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < NB; ++j) {
      for (int u = 1; u < U; ++u) {
        sum[i][j][0] = hn::Add(sum[i][j][0], sum[i][j][u]);
      }
    }
    if constexpr (NB == 4) {
      SumsOfFour(d, sum[i][0][0], sum[i][1][0], sum[i][2][0], sum[i][3][0],
                 sums + i * NB);
    } else {
      for (int j = 0; j < NB; ++j) sums[i * NB + j] = SumOf(d, sum[i][j][0]);
    }
  }
}

// B stored [n, k]: dot products, over a length at a time for which the rows of
// A stay in the cache.
template <int M, int kRows, int kUnroll, bool kPrefetch, bool kWalks,
          typename T>
void TimesTransposedBy(const FewRowsArgs<T>& args) {
  constexpr int64_t kLength = kResidentBytes / sizeof(T) / M / 64 * 64;
  HWY_ALIGN T copy[M * kLength];
  for (int64_t begin = 0; begin < args.k; begin += kLength) {
    const int64_t length = std::min(kLength, args.k - begin);
    const T* a = args.a + begin * args.a_col;
    int64_t lda = args.a_row;
    if (args.a_col != 1) {
      for (int i = 0; i < M; ++i) {
        for (int64_t l = 0; l < length; ++l) {
          copy[i * kLength + l] = a[i * args.a_row + l * args.a_col];
        }
      }
      a = copy;
      lda = kLength;
    }
    const T beta = begin == 0 ? args.beta : T{1};
    const auto put = [&](int i, int64_t j, T sum) {
      T& c = args.c[i * args.c_row + j * args.c_col];
      c = args.alpha * sum + (beta == T{0} ? T{0} : beta * c);
    };
    T sums[M * kRows];
    const int64_t groups = args.n / kRows;
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = kWalks ? g : g * kRows;
      const int64_t step = kWalks ? groups : 1;
      Dots<M, kRows, kUnroll, kPrefetch>(
          length, a, lda, args.b + first * args.ldb + begin,
          static_cast<size_t>(args.ldb * step), sums);
      for (int i = 0; i < M; ++i) {
        for (int u = 0; u < kRows; ++u) {
          put(i, first + u * step, sums[i * kRows + u]);
        }
      }
    }
    for (int64_t j = groups * kRows; j < args.n; ++j) {
      Dots<M, 1, kUnroll, false>(length, a, lda, args.b + j * args.ldb + begin,
                                 args.ldb, sums);
      for (int i = 0; i < M; ++i) put(i, j, sums[i]);
    }
  }
}

template <int M, typename T>
void TimesTransposed(const FewRowsArgs<T>& args, Source source) {
  constexpr int kUnroll = M <= 2 ? 2 : 1;
  if (source == Source::kMemory) {
    TimesTransposedBy<M, 4, kUnroll, true, false>(args);
  } else if (source == Source::kShared && M == 1) {
    TimesTransposedBy<M, 2, 2 * kUnroll, false, true>(args);
  } else {
    TimesTransposedBy<M, 4, kUnroll, false, false>(args);
  }
}

template <int M, typename T>
HWY_INLINE void FewRowsOf(const FewRowsArgs<T>& args) {
  const Source source = SourceOf(args.matrix_bytes);
  if (args.transpose_b) {
    TimesTransposed<M>(args, source);
  } else {
    TimesMatrix<M>(args, source);
  }
}

template <typename T>
HWY_INLINE void FewRowsT(const FewRowsArgs<T>& args) {
  switch (args.m) {
    case 1:
      return FewRowsOf<1>(args);
    case 2:
      return FewRowsOf<2>(args);
    case 3:
      return FewRowsOf<3>(args);
    default:
      return FewRowsOf<4>(args);
  }
}

void FewRowsF32(const FewRowsArgs<float>& args) { FewRowsT(args); }
void FewRowsF64(const FewRowsArgs<double>& args) { FewRowsT(args); }

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(FewRowsF32);
HWY_EXPORT(FewRowsF64);

void FewRows(const FewRowsArgs<float>& args) {
  HWY_DYNAMIC_DISPATCH(FewRowsF32)(args);
}
void FewRows(const FewRowsArgs<double>& args) {
  HWY_DYNAMIC_DISPATCH(FewRowsF64)(args);
}

}  // namespace septet
#endif  // HWY_ONCE
