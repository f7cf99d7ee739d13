// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/gemm.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cblas.h"
#include "dnnl.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/gemm_impl.h"
#include "septet/core/blas/gemm_kernels.h"
#include "septet/core/tensor/allocator.h"

namespace septet {
absl::Status ValidateGemm(const GemmShape& s, int64_t lda, int64_t ldb,
                          int64_t ldc) {
  if (s.m < 0 || s.n < 0 || s.k < 0) {
    return absl::InvalidArgumentError(absl::StrCat("gemm: m is ", s.m, ", n ",
                                                   s.n, ", k ", s.k,
                                                   ", expected none negative"));
  }
  // OpenBLAS counts in 32 bits.
  const int64_t largest = std::max({s.m, s.n, s.k, lda, ldb, ldc});
  if (largest > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("gemm: size ", largest, " is above 2^31 - 1"));
  }
  const auto check = [](const char* name, int64_t got, int64_t want) {
    if (got >= std::max<int64_t>(want, 1)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("gemm: ", name, " is ", got, ", expected at least ",
                     std::max<int64_t>(want, 1), ", the length of a row"));
  };
  absl::Status status = check("lda", lda, s.transpose_a ? s.m : s.k);
  if (status.ok()) status = check("ldb", ldb, s.transpose_b ? s.k : s.n);
  if (status.ok()) status = check("ldc", ldc, s.n);
  return status;
}

namespace {

template <typename T>
void ScaleOutput(const GemmShape& s, T beta, T* c, int64_t ldc) {
  for (int64_t i = 0; i < s.m; ++i) {
    T* row = c + i * ldc;
    if (beta == T(0)) {
      std::fill(row, row + s.n, T(0));
    } else {
      for (int64_t j = 0; j < s.n; ++j) row[j] *= beta;
    }
  }
}

CBLAS_TRANSPOSE Flag(bool transpose) {
  return transpose ? CblasTrans : CblasNoTrans;
}

// Memory for the time of one call, from the cache that tensors use.
class Scratch {
 public:
  explicit Scratch(int64_t bytes)
      : bytes_(static_cast<size_t>(bytes)),
        block_(CpuAllocator().Allocate(bytes_)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (block_ != nullptr) CpuAllocator().Free(block_, bytes_);
  }
  void* get() const { return block_; }

 private:
  const size_t bytes_;
  void* const block_;
};

absl::Status NoMemory(int64_t bytes) {
  return absl::ResourceExhaustedError(
      absl::StrCat("gemm: no memory for ", bytes, " bytes of packed matrix"));
}

int64_t RoundUp(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

bool OneThread() {
  const ThreadPool* const pool = CurrentThreadPool();
  return pool == nullptr || pool->num_threads() == 1;
}

// Operations that a thread takes at a time: about 20 microseconds of one core,
// far above the cost of handing them out.
constexpr double kTaskOperations = 2e6;

// One to four rows, or, seen from the other side, columns.
template <typename T>
void RunFewRows(FewRowsArgs<T> args) {
  args.matrix_bytes = args.n * args.k * static_cast<int64_t>(sizeof(T));
  // A thread reads a quarter of a megabyte at a time. Neither bits nor speed of
  // one thread are served by cutting.
  const int64_t grain = RoundUp(
      1 + (int64_t{256} << 10) / (args.k * static_cast<int64_t>(sizeof(T))),
      kFewRowsColumns);
  // More rows than FewRows takes: some after the other, while the columns are
  // in the second-level cache.
  const auto columns = [&](int64_t begin, int64_t end) {
    FewRowsArgs<T> part = args;
    part.n = end - begin;
    part.b += args.transpose_b ? begin * args.ldb : begin;
    for (int64_t i = 0; i < args.m; i += kFewRows) {
      part.m = std::min(kFewRows, args.m - i);
      part.a = args.a + i * args.a_row;
      part.c = args.c + i * args.c_row + begin * args.c_col;
      FewRows(part);
    }
  };
  if (grain >= args.n || (OneThread() && args.m <= kFewRows)) {
    columns(0, args.n);
  } else {
    ParallelFor(args.n, grain, columns);
  }
}

template <typename T>
void RunRows(const GemmShape& s, const T* a, int64_t lda, const T* b,
             int64_t ldb, T* c, int64_t ldc, const GemmScale& scale) {
  FewRowsArgs<T> args;
  args.m = s.m;
  args.n = s.n;
  args.k = s.k;
  args.a = a;
  args.a_row = s.transpose_a ? 1 : lda;
  args.a_col = s.transpose_a ? lda : 1;
  args.b = b;
  args.ldb = ldb;
  args.transpose_b = s.transpose_b;
  args.c = c;
  args.c_row = ldc;
  args.c_col = 1;
  args.alpha = static_cast<T>(scale.alpha);
  args.beta = static_cast<T>(scale.beta);
  RunFewRows(args);
}

// The transpose of C is op(B)^T op(A)^T.
template <typename T>
void RunColumns(const GemmShape& s, const T* a, int64_t lda, const T* b,
                int64_t ldb, T* c, int64_t ldc, const GemmScale& scale) {
  FewRowsArgs<T> args;
  args.m = s.n;
  args.n = s.m;
  args.k = s.k;
  args.a = b;
  args.a_row = s.transpose_b ? ldb : 1;
  args.a_col = s.transpose_b ? 1 : ldb;
  args.b = a;
  args.ldb = lda;
  args.transpose_b = !s.transpose_a;
  args.c = c;
  args.c_row = 1;
  args.c_col = ldc;
  args.alpha = static_cast<T>(scale.alpha);
  args.beta = static_cast<T>(scale.beta);
  RunFewRows(args);
}

}  // namespace

// C is cut into rectangles of about equal size.
template <typename T>
void PanelProductInParallel(const PanelProductArgs<T>& args) {
  const double work = 2.0 * static_cast<double>(args.m) *
                      static_cast<double>(args.n) * static_cast<double>(args.k);
  if (OneThread() || work < 2 * kTaskOperations) return PanelProduct(args);
  const int64_t width = PanelColumns<T>();
  const int64_t panels = (args.n + width - 1) / width;
  // Rows to share a panel among that comes from the second-level cache.
  constexpr int64_t kRows = 64;
  const int64_t bands = (args.m + kRows - 1) / kRows;
  const int64_t rows = (args.m + bands - 1) / bands;
  const double panel_work = work / static_cast<double>(bands * panels);
  const int64_t panels_each =
      std::min(panels, 1 + static_cast<int64_t>(kTaskOperations / panel_work));
  const int64_t groups = (panels + panels_each - 1) / panels_each;
  ParallelFor(bands * groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t i = task % bands * rows;
      const int64_t panel = task / bands * panels_each;
      const int64_t j = panel * width;
      if (i >= args.m) continue;
      PanelProductArgs<T> part = args;
      part.m = std::min(rows, args.m - i);
      part.n = std::min(panels_each * width, args.n - j);
      part.a += i * args.a_row;
      part.b += panel * args.b_panel;
      part.c += i * args.ldc + j;
      PanelProduct(part);
    }
  });
}

template void PanelProductInParallel(const PanelProductArgs<float>&);
template void PanelProductInParallel(const PanelProductArgs<double>&);

namespace {

template <typename T>
PanelProductArgs<T> PanelArgs(const GemmShape& s, const T* a, int64_t lda, T* c,
                              int64_t ldc, const GemmScale& scale) {
  PanelProductArgs<T> args;
  args.m = s.m;
  args.n = s.n;
  args.k = s.k;
  args.a = a;
  args.a_row = s.transpose_a ? 1 : lda;
  args.a_col = s.transpose_a ? lda : 1;
  args.c = c;
  args.ldc = ldc;
  args.alpha = static_cast<T>(scale.alpha);
  args.beta = static_cast<T>(scale.beta);
  return args;
}

template <typename T>
void RunDirect(const GemmShape& s, const T* a, int64_t lda, const T* b,
               int64_t ldb, T* c, int64_t ldc, const GemmScale& scale) {
  PanelProductArgs<T> args = PanelArgs(s, a, lda, c, ldc, scale);
  args.b = b;
  args.b_panel = PanelColumns<T>();
  args.b_row = ldb;
  PanelProductInParallel(args);
}

}  // namespace

template <typename T>
void PackAllPanels(int64_t k, int64_t n, const T* b, int64_t ldb,
                   bool transpose_b, T scale, T* panels) {
  const int64_t width = PanelColumns<T>();
  // A thread copies an eighth of a megabyte at a time.
  const int64_t panel_bytes = k * width * static_cast<int64_t>(sizeof(T));
  const int64_t grain =
      std::max<int64_t>(1, (int64_t{128} << 10) / panel_bytes);
  ParallelFor((n + width - 1) / width, grain, [&](int64_t begin, int64_t end) {
    const int64_t j = begin * width;
    PackPanels(k, std::min(n, end * width) - j, b + (transpose_b ? j * ldb : j),
               ldb, transpose_b, scale, panels + j * k);
  });
}

template void PackAllPanels(int64_t, int64_t, const float*, int64_t, bool,
                            float, float*);
template void PackAllPanels(int64_t, int64_t, const double*, int64_t, bool,
                            double, double*);

namespace {

template <typename T>
absl::Status RunPacked(const GemmShape& s, const T* a, int64_t lda, const T* b,
                       int64_t ldb, T* c, int64_t ldc, const GemmScale& scale) {
  constexpr int64_t kSize = static_cast<int64_t>(sizeof(T));
  const int64_t width = PanelColumns<T>();
  // A transposed A with long rows is read down its columns, of which each
  // element lies on a page and in a cache line of its own (at distances of
  // 4 KiB, in one and the same set): it is copied as well.
  const bool copy_a = s.transpose_a && lda * kSize >= 1024;
  // As many terms at a time as make half a megabyte of A's copy, which is read
  // again from the second-level cache, in full depths of the kernel: sums are
  // the same however many that are. As many columns as make 8 MiB of panels:
  // they are read once for some rows, from the last-level cache.
  constexpr int64_t kCopyBytes = int64_t{512} << 10;
  constexpr int64_t kBytes = int64_t{8} << 20;
  constexpr int64_t kDepth = 512;
  const int64_t depth =
      copy_a ? std::min(s.k, std::max<int64_t>(
                                 1, kCopyBytes / (s.m * kSize) / kDepth) *
                                 kDepth)
             : s.k;
  const int64_t columns =
      std::min(RoundUp(s.n, width),
               std::max(width, kBytes / (depth * kSize) / width * width));
  // Rows of the copy lie a cache line farther apart than they are long.
  const int64_t a_row = depth + 64 / kSize;
  const int64_t panel_bytes = RoundUp(columns * depth * kSize, 64);
  const int64_t bytes = panel_bytes + (copy_a ? s.m * a_row * kSize : 0);
  const Scratch scratch(bytes);
  if (scratch.get() == nullptr) return NoMemory(bytes);
  T* const panels = static_cast<T*>(scratch.get());
  T* const a_copy = panels + panel_bytes / kSize;
  PanelProductArgs<T> args = PanelArgs(s, a, lda, c, ldc, scale);
  args.alpha = 1;
  args.b = panels;
  args.b_row = width;
  for (int64_t p = 0; p < s.k; p += depth) {
    args.k = std::min(depth, s.k - p);
    args.b_panel = args.k * width;
    if (p > 0) args.beta = 1;
    if (copy_a) {
      // Some hundred kilobytes a thread and time.
      ParallelFor(s.m, 64, [&](int64_t begin, int64_t end) {
        Transpose(args.k, end - begin, a + p * lda + begin, lda,
                  a_copy + begin * a_row, a_row);
      });
      args.a = a_copy;
      args.a_row = a_row;
      args.a_col = 1;
    } else {
      args.a = a + p * args.a_col;
    }
    for (int64_t j = 0; j < s.n; j += columns) {
      args.n = std::min(columns, s.n - j);
      args.c = c + j;
      PackAllPanels(args.k, args.n,
                    b + (s.transpose_b ? j * ldb + p : p * ldb + j), ldb,
                    s.transpose_b, static_cast<T>(scale.alpha), panels);
      PanelProductInParallel(args);
    }
  }
  return absl::OkStatus();
}

// One thread's part of the libraries' work.
bool LibraryGemm(const GemmShape& s, const float* a, int64_t lda,
                 const float* b, int64_t ldb, float* c, int64_t ldc,
                 const GemmScale& scale) {
  return dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', s.m,
                    s.n, s.k, static_cast<float>(scale.alpha), a, lda, b, ldb,
                    static_cast<float>(scale.beta), c, ldc) == dnnl_success;
}
bool LibraryGemm(const GemmShape& s, const double* a, int64_t lda,
                 const double* b, int64_t ldb, double* c, int64_t ldc,
                 const GemmScale& scale) {
  cblas_dgemm(CblasRowMajor, Flag(s.transpose_a), Flag(s.transpose_b), s.m, s.n,
              s.k, scale.alpha, a, lda, b, ldb, scale.beta, c, ldc);
  return true;
}

template <typename T>
absl::Status RunLibrary(const GemmShape& s, const T* a, int64_t lda, const T* b,
                        int64_t ldb, T* c, int64_t ldc,
                        const GemmScale& scale) {
  // BLAS may keep NaN in a C that beta = 0 overwrites.
  if (scale.beta == 0.0) ScaleOutput(s, T(0), c, ldc);
  // The libraries pack both matrices for each call: few, equal blocks of rows,
  // by shape alone because their sums may depend on the number of rows.
  const double work = 2.0 * static_cast<double>(s.m) *
                      static_cast<double>(s.n) * static_cast<double>(s.k);
  constexpr int64_t kRows = 96;
  int64_t blocks = std::min(RoundUp(s.m, kRows) / kRows,
                            1 + static_cast<int64_t>(work / 1e7));
  if (blocks > 1) blocks = RoundUp(blocks, 4);
  const int64_t rows = RoundUp((s.m + blocks - 1) / blocks, 16);
  std::atomic<bool> failed{false};
  const auto block = [&](int64_t begin, int64_t end) {
    GemmShape part = s;
    part.m = end - begin;
    if (!LibraryGemm(part, a + (s.transpose_a ? begin : begin * lda), lda, b,
                     ldb, c + begin * ldc, ldc, scale)) {
      failed = true;
    }
  };
  if (s.m <= rows) {
    ScopedSingleThreadedLibraries single;
    block(0, s.m);
  } else {
    ParallelFor(s.m, rows, block);
  }
  if (failed) {
    return absl::InternalError(absl::StrCat("gemm: oneDNN failed on m ", s.m,
                                            ", n ", s.n, ", k ", s.k));
  }
  return absl::OkStatus();
}

}  // namespace

const char* GemmBackendNameOf(GemmBackend backend) {
  switch (backend) {
    case GemmBackend::kRows:
      return "highway-rows";
    case GemmBackend::kColumns:
      return "highway-columns";
    case GemmBackend::kDirect:
      return "highway-direct";
    case GemmBackend::kPacked:
      return "highway-packed";
    case GemmBackend::kOneDnn:
      return "onednn";
    case GemmBackend::kOpenBlas:
      return "openblas";
  }
  return "";
}

// The table of gemm.h. Where lines are drawn was measured with all
// implementations side by side, on AVX-512 and with the narrower kernels of the
// same machine.
template <typename T>
GemmBackend ChooseGemmBackend(const GemmShape& s) {
  constexpr int64_t kSize = static_cast<int64_t>(sizeof(T));
  const int64_t vector_bytes = KernelVectorBytes();
  const int64_t matrix_bytes = s.k * s.n * kSize;
  const bool wide = vector_bytes >= 64;
  // Dot products of less than two vectors are all overhead.
  const bool long_rows = s.k * kSize >= 2 * vector_bytes;
  if (s.transpose_b) {
    // Rows of B are read as they are, unless so many rows of A pay for packing.
    if (long_rows && s.m <= (wide && s.k >= 256 ? 32 : kFewRows)) {
      return GemmBackend::kRows;
    }
  } else if (s.m == 1 ||
             (s.m <= kFewRows && matrix_bytes > (int64_t{256} << 10))) {
    return GemmBackend::kRows;
  }
  // Columns that fill no more than half a vector.
  const int64_t few_columns = wide && kSize == 4 ? 2 * kFewRows : kFewRows;
  if (s.n <= few_columns && s.m > kFewRows && (s.transpose_a || long_rows)) {
    return GemmBackend::kColumns;
  }
  if (vector_bytes < 32) {
    return kSize == 4 ? GemmBackend::kOneDnn : GemmBackend::kOpenBlas;
  }
  if (s.transpose_b) return GemmBackend::kPacked;
  const bool direct = wide ? s.m <= 96 || matrix_bytes <= (int64_t{384} << 10)
                           : s.m <= 16 || matrix_bytes <= (int64_t{64} << 10);
  return direct ? GemmBackend::kDirect : GemmBackend::kPacked;
}

template <typename T>
bool GemmBackendTakes(GemmBackend backend, const GemmShape& s) {
  switch (backend) {
    case GemmBackend::kRows:
    case GemmBackend::kColumns:
      return true;
    case GemmBackend::kDirect:
      return !s.transpose_b;
    case GemmBackend::kPacked:
      return true;
    case GemmBackend::kOneDnn:
      return std::is_same_v<T, float>;
    case GemmBackend::kOpenBlas:
      return std::is_same_v<T, double>;
  }
  return false;
}

template <typename T>
absl::Status RunGemmBackend(GemmBackend backend, const GemmShape& s, const T* a,
                            int64_t lda, const T* b, int64_t ldb, T* c,
                            int64_t ldc, const GemmScale& scale) {
  switch (backend) {
    case GemmBackend::kRows:
      RunRows(s, a, lda, b, ldb, c, ldc, scale);
      break;
    case GemmBackend::kColumns:
      RunColumns(s, a, lda, b, ldb, c, ldc, scale);
      break;
    case GemmBackend::kDirect:
      RunDirect(s, a, lda, b, ldb, c, ldc, scale);
      break;
    case GemmBackend::kPacked:
      return RunPacked(s, a, lda, b, ldb, c, ldc, scale);
    case GemmBackend::kOneDnn:
    case GemmBackend::kOpenBlas:
      return RunLibrary(s, a, lda, b, ldb, c, ldc, scale);
  }
  return absl::OkStatus();
}

#define SEPTET_INSTANTIATE(T)                                                \
  template GemmBackend ChooseGemmBackend<T>(const GemmShape&);               \
  template bool GemmBackendTakes<T>(GemmBackend, const GemmShape&);          \
  template absl::Status RunGemmBackend(GemmBackend, const GemmShape&,        \
                                       const T*, int64_t, const T*, int64_t, \
                                       T*, int64_t, const GemmScale&)
SEPTET_INSTANTIATE(float);
SEPTET_INSTANTIATE(double);
#undef SEPTET_INSTANTIATE

namespace {

template <typename T>
absl::Status Run(const GemmShape& s, const T* a, int64_t lda, const T* b,
                 int64_t ldb, T* c, int64_t ldc, const GemmScale& scale) {
  if (absl::Status status = ValidateGemm(s, lda, ldb, ldc); !status.ok()) {
    return status;
  }
  if (s.m == 0 || s.n == 0) return absl::OkStatus();
  if (s.k == 0 || scale.alpha == 0.0) {
    ScaleOutput(s, static_cast<T>(scale.beta), c, ldc);
    return absl::OkStatus();
  }
  return RunGemmBackend(ChooseGemmBackend<T>(s), s, a, lda, b, ldb, c, ldc,
                        scale);
}

template <typename T>
absl::Status RunBatched(const GemmShape& s, const GemmBatch& batch, const T* a,
                        int64_t lda, const T* b, int64_t ldb, T* c, int64_t ldc,
                        const GemmScale& scale) {
  if (absl::Status status = ValidateGemm(s, lda, ldb, ldc); !status.ok()) {
    return status;
  }
  if (batch.count < 0 || batch.stride_a < 0 || batch.stride_b < 0 ||
      batch.stride_c < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gemm: batch count is ", batch.count, ", stride_a ", batch.stride_a,
        ", stride_b ", batch.stride_b, ", stride_c ", batch.stride_c,
        ", expected none negative"));
  }
  const int64_t extent = s.m == 0 || s.n == 0 ? 0 : (s.m - 1) * ldc + s.n;
  if (batch.count > 1 && batch.stride_c < extent) {
    return absl::InvalidArgumentError(
        absl::StrCat("gemm: stride_c is ", batch.stride_c,
                     ", expected at least ", extent, ", the extent of C"));
  }
  if (extent == 0) return absl::OkStatus();
  const double work = 2.0 * static_cast<double>(s.m) *
                      static_cast<double>(s.n) * static_cast<double>(s.k + 1);
  if (s.k == 0 || scale.alpha == 0.0) {
    for (int64_t i = 0; i < batch.count; ++i) {
      ScaleOutput(s, static_cast<T>(scale.beta), c + i * batch.stride_c, ldc);
    }
    return absl::OkStatus();
  }
  const GemmBackend backend = ChooseGemmBackend<T>(s);
  absl::Status first_error;
  std::mutex mutex;
  const auto some = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      absl::Status status = RunGemmBackend(backend, s, a + i * batch.stride_a,
                                           lda, b + i * batch.stride_b, ldb,
                                           c + i * batch.stride_c, ldc, scale);
      if (status.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      first_error.Update(std::move(status));
    }
  };
  if (work > 1e8) {
    // Large enough to be cut by itself.
    some(0, batch.count);
  } else {
    const int64_t grain = 1 + static_cast<int64_t>(kTaskOperations / work);
    ParallelFor(batch.count, grain, some);
  }
  return first_error;
}

}  // namespace

absl::Status Gemm(const GemmShape& shape, const float* a, int64_t lda,
                  const float* b, int64_t ldb, float* c, int64_t ldc,
                  const GemmScale& scale) {
  return Run(shape, a, lda, b, ldb, c, ldc, scale);
}

absl::Status Gemm(const GemmShape& shape, const double* a, int64_t lda,
                  const double* b, int64_t ldb, double* c, int64_t ldc,
                  const GemmScale& scale) {
  return Run(shape, a, lda, b, ldb, c, ldc, scale);
}

absl::Status GemmBatched(const GemmShape& shape, const GemmBatch& batch,
                         const float* a, int64_t lda, const float* b,
                         int64_t ldb, float* c, int64_t ldc,
                         const GemmScale& scale) {
  return RunBatched(shape, batch, a, lda, b, ldb, c, ldc, scale);
}

absl::Status GemmBatched(const GemmShape& shape, const GemmBatch& batch,
                         const double* a, int64_t lda, const double* b,
                         int64_t ldb, double* c, int64_t ldc,
                         const GemmScale& scale) {
  return RunBatched(shape, batch, a, lda, b, ldb, c, ldc, scale);
}

template <typename T>
absl::Status GemmReference(const GemmShape& s, const T* a, int64_t lda,
                           const T* b, int64_t ldb, T* c, int64_t ldc,
                           const GemmScale& scale) {
  if (absl::Status status = ValidateGemm(s, lda, ldb, ldc); !status.ok()) {
    return status;
  }
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      T sum = 0;
      for (int64_t l = 0; l < s.k; ++l) {
        sum += a[s.transpose_a ? l * lda + i : i * lda + l] *
               b[s.transpose_b ? j * ldb + l : l * ldb + j];
      }
      T& out = c[i * ldc + j];
      const T old = scale.beta == 0.0 ? T(0) : static_cast<T>(scale.beta) * out;
      out = static_cast<T>(scale.alpha) * sum + old;
    }
  }
  return absl::OkStatus();
}

template absl::Status GemmReference(const GemmShape&, const float*, int64_t,
                                    const float*, int64_t, float*, int64_t,
                                    const GemmScale&);
template absl::Status GemmReference(const GemmShape&, const double*, int64_t,
                                    const double*, int64_t, double*, int64_t,
                                    const GemmScale&);

template <typename T>
const char* GemmBackendName(const GemmShape& shape) {
  return GemmBackendNameOf(ChooseGemmBackend<T>(shape));
}

template const char* GemmBackendName<float>(const GemmShape&);
template const char* GemmBackendName<double>(const GemmShape&);

}  // namespace septet
