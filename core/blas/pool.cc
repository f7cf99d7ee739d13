// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/pool.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/pool_kernels.h"

namespace septet {
namespace {

// Elements of windows in a block of a parallel loop.
constexpr int64_t kGrain = 1 << 16;

absl::Status Check(const char* name, const Pool2dShape& s) {
  const absl::Status status = ValidatePool2d(s);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(name, ": ", status.message()));
}

// The part of a window along one axis that lies within [0, extent), and its
// length within the padded image.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t padded = 0;

  Range(int64_t window, int64_t kernel, int64_t stride, int64_t padding,
        int64_t extent) {
    const int64_t first = window * stride - padding;
    begin = std::max<int64_t>(first, 0);
    end = std::min(first + kernel, extent);
    padded = std::min(first + kernel, extent + padding) - first;
  }
};

// Calls fn(n, i) for all output rows, on several threads.
template <class Fn>
void ForRows(int64_t n, int64_t rows, int64_t work_per_row, const Fn& fn) {
  const int64_t grain =
      std::max<int64_t>(1, kGrain / std::max<int64_t>(work_per_row, 1));
  ParallelFor(n * rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) fn(row / rows, row % rows);
  });
}

template <typename T>
PoolWindow<T> Window(const Pool2dShape& s, const T* image, const Range& rows,
                     const Range& cols) {
  return {image + (rows.begin * s.w + cols.begin) * s.c, rows.end - rows.begin,
          cols.end - cols.begin, s.w * s.c, s.c};
}

template <typename T>
T Count(bool include_pad, const Range& rows, const Range& cols) {
  return static_cast<T>(include_pad ? rows.padded * cols.padded
                                    : (rows.end - rows.begin) *
                                          (cols.end - cols.begin));
}

template <typename T>
absl::Status MaxForward(const Pool2dShape& s, const T* x, T* y,
                        int64_t* argmax) {
  if (absl::Status status = Check("max_pool2d", s); !status.ok()) return status;
  const int64_t out_w = s.OutW();
  const int64_t out_h = s.OutH();
  ForRows(s.n, out_h, out_w * s.kh * s.kw * s.c, [&](int64_t n, int64_t i) {
    const Range rows(i, s.kh, s.stride_h, s.pad_h, s.h);
    for (int64_t j = 0; j < out_w; ++j) {
      const Range cols(j, s.kw, s.stride_w, s.pad_w, s.w);
      const int64_t at = ((n * out_h + i) * out_w + j) * s.c;
      PoolMax(Window(s, x + n * s.h * s.w * s.c, rows, cols),
              rows.begin * s.w + cols.begin, s.w, y + at,
              argmax == nullptr ? nullptr : argmax + at);
    }
  });
  return absl::OkStatus();
}

// Calls fn(input element, output element) for all output elements in order,
// those of an image in one thread. InvalidArgument for a place outside.
template <class Fn>
absl::Status ForWinners(const char* name, const Pool2dShape& s,
                        const int64_t* argmax, const Fn& fn) {
  const int64_t pixels = s.OutH() * s.OutW();
  const int64_t places = s.h * s.w;
  std::atomic<int64_t> bad{-1};
  ParallelFor(s.n,
              std::max<int64_t>(1, kGrain / std::max<int64_t>(1, pixels * s.c)),
              [&](int64_t begin, int64_t end) {
                for (int64_t n = begin; n < end; ++n) {
                  int64_t at = n * pixels * s.c;
                  for (int64_t p = 0; p < pixels; ++p) {
                    for (int64_t c = 0; c < s.c; ++c, ++at) {
                      const int64_t place = argmax[at];
                      if (place < 0 || place >= places) {
                        bad = at;
                        continue;
                      }
                      fn((n * places + place) * s.c + c, at);
                    }
                  }
                }
              });
  if (bad < 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, ": argmax is ", argmax[bad], " at element ", bad.load(),
      ", expected 0 to ", places - 1, ", a place in the image"));
}

template <typename T>
absl::Status MaxBackward(const Pool2dShape& s, const T* dy,
                         const int64_t* argmax, T* dx) {
  constexpr char kName[] = "max_pool2d_grad";
  if (absl::Status status = Check(kName, s); !status.ok()) return status;
  std::fill_n(dx, s.n * s.h * s.w * s.c, T(0));
  return ForWinners(kName, s, argmax,
                    [&](int64_t in, int64_t out) { dx[in] += dy[out]; });
}

template <typename T>
absl::Status MaxGather(const Pool2dShape& s, const T* x, const int64_t* argmax,
                       T* y) {
  constexpr char kName[] = "max_pool2d_gather";
  if (absl::Status status = Check(kName, s); !status.ok()) return status;
  return ForWinners(kName, s, argmax,
                    [&](int64_t in, int64_t out) { y[out] = x[in]; });
}

template <typename T>
absl::Status AvgForward(const Pool2dShape& s, bool include_pad, const T* x,
                        T* y) {
  if (absl::Status status = Check("avg_pool2d", s); !status.ok()) return status;
  const int64_t out_h = s.OutH();
  const int64_t out_w = s.OutW();
  ForRows(s.n, out_h, out_w * s.kh * s.kw * s.c, [&](int64_t n, int64_t i) {
    const Range rows(i, s.kh, s.stride_h, s.pad_h, s.h);
    for (int64_t j = 0; j < out_w; ++j) {
      const Range cols(j, s.kw, s.stride_w, s.pad_w, s.w);
      PoolAverage(Window(s, x + n * s.h * s.w * s.c, rows, cols),
                  Count<T>(include_pad, rows, cols),
                  y + ((n * out_h + i) * out_w + j) * s.c);
    }
  });
  return absl::OkStatus();
}

// The windows along one axis that hold a place: [first, last].
struct Windows {
  int64_t first = 0;
  int64_t last = 0;

  Windows(int64_t place, int64_t kernel, int64_t stride, int64_t padding,
          int64_t count) {
    const int64_t at = place + padding;
    first = at < kernel ? 0 : (at - kernel) / stride + 1;
    last = std::min(at / stride, count - 1);
  }
};

template <typename T>
absl::Status AvgBackward(const Pool2dShape& s, bool include_pad, const T* dy,
                         T* dx) {
  if (absl::Status status = Check("avg_pool2d_grad", s); !status.ok()) {
    return status;
  }
  const int64_t out_h = s.OutH();
  const int64_t out_w = s.OutW();
  const int64_t work =
      s.w * s.c * ((s.kh * s.kw) / (s.stride_h * s.stride_w) + 1);
  ForRows(s.n, s.h, work, [&](int64_t n, int64_t h) {
    T* to = dx + (n * s.h + h) * s.w * s.c;
    std::fill_n(to, s.w * s.c, T(0));
    const Windows over(h, s.kh, s.stride_h, s.pad_h, out_h);
    for (int64_t w = 0; w < s.w; ++w, to += s.c) {
      const Windows across(w, s.kw, s.stride_w, s.pad_w, out_w);
      for (int64_t i = over.first; i <= over.last; ++i) {
        const Range rows(i, s.kh, s.stride_h, s.pad_h, s.h);
        for (int64_t j = across.first; j <= across.last; ++j) {
          const Range cols(j, s.kw, s.stride_w, s.pad_w, s.w);
          PoolAddQuotient(s.c, dy + ((n * out_h + i) * out_w + j) * s.c,
                          Count<T>(include_pad, rows, cols), to);
        }
      }
    }
  });
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidatePool2d(const Pool2dShape& s) {
  const struct {
    const char* name;
    int64_t value;
    int64_t least;
  } kFields[] = {{"n", s.n, 0},
                 {"h", s.h, 1},
                 {"w", s.w, 1},
                 {"c", s.c, 0},
                 {"kh", s.kh, 1},
                 {"kw", s.kw, 1},
                 {"stride_h", s.stride_h, 1},
                 {"stride_w", s.stride_w, 1},
                 {"pad_h", s.pad_h, 0},
                 {"pad_w", s.pad_w, 0}};
  for (const auto& field : kFields) {
    if (field.value < field.least) {
      return absl::InvalidArgumentError(
          absl::StrCat(field.name, " is ", field.value, ", expected at least ",
                       field.least));
    }
    if (field.value > std::numeric_limits<int32_t>::max()) {
      return absl::InvalidArgumentError(absl::StrCat(
          field.name, " is ", field.value, ", expected at most 2^31 - 1"));
    }
  }
  const auto fits = [](const char* axis, int64_t kernel, int64_t padding,
                       int64_t extent) {
    if (padding >= kernel) {
      return absl::InvalidArgumentError(
          absl::StrCat("pad_", axis, " is ", padding, ", expected below ",
                       kernel, ", the window's extent"));
    }
    if (kernel > extent + 2 * padding) {
      return absl::InvalidArgumentError(
          absl::StrCat("k", axis, " is ", kernel, ", expected at most ",
                       extent + 2 * padding, ", the image's ", extent,
                       " and twice ", padding, " of padding"));
    }
    return absl::OkStatus();
  };
  absl::Status status = fits("h", s.kh, s.pad_h, s.h);
  if (!status.ok()) return status;
  status = fits("w", s.kw, s.pad_w, s.w);
  if (!status.ok()) return status;
  if (s.h * s.w > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("an image has ", s.h, " x ", s.w,
                     " pixels, expected at most 2^31 - 1"));
  }
  // An output has at most 4 kh kw pixels for each of the input.
  if (static_cast<double>(std::max<int64_t>(s.n, 1)) *
          static_cast<double>(std::max<int64_t>(s.c, 1)) *
          static_cast<double>(s.h * s.w) * static_cast<double>(s.kh) *
          static_cast<double>(s.kw) >
      0x1p58) {
    return absl::InvalidArgumentError(
        absl::StrCat("n ", s.n, ", h ", s.h, ", w ", s.w, ", c ", s.c,
                     " have more elements than can be counted"));
  }
  return absl::OkStatus();
}

absl::Status MaxPool2dForward(const Pool2dShape& shape, const float* x,
                              float* y, int64_t* argmax) {
  return MaxForward(shape, x, y, argmax);
}
absl::Status MaxPool2dForward(const Pool2dShape& shape, const double* x,
                              double* y, int64_t* argmax) {
  return MaxForward(shape, x, y, argmax);
}
absl::Status MaxPool2dBackward(const Pool2dShape& shape, const float* dy,
                               const int64_t* argmax, float* dx) {
  return MaxBackward(shape, dy, argmax, dx);
}
absl::Status MaxPool2dBackward(const Pool2dShape& shape, const double* dy,
                               const int64_t* argmax, double* dx) {
  return MaxBackward(shape, dy, argmax, dx);
}
absl::Status MaxPool2dGather(const Pool2dShape& shape, const float* x,
                             const int64_t* argmax, float* y) {
  return MaxGather(shape, x, argmax, y);
}
absl::Status MaxPool2dGather(const Pool2dShape& shape, const double* x,
                             const int64_t* argmax, double* y) {
  return MaxGather(shape, x, argmax, y);
}
absl::Status AvgPool2dForward(const Pool2dShape& shape, bool count_include_pad,
                              const float* x, float* y) {
  return AvgForward(shape, count_include_pad, x, y);
}
absl::Status AvgPool2dForward(const Pool2dShape& shape, bool count_include_pad,
                              const double* x, double* y) {
  return AvgForward(shape, count_include_pad, x, y);
}
absl::Status AvgPool2dBackward(const Pool2dShape& shape, bool count_include_pad,
                               const float* dy, float* dx) {
  return AvgBackward(shape, count_include_pad, dy, dx);
}
absl::Status AvgPool2dBackward(const Pool2dShape& shape, bool count_include_pad,
                               const double* dy, double* dx) {
  return AvgBackward(shape, count_include_pad, dy, dx);
}

}  // namespace septet
