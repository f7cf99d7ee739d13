// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/conv.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/conv_kernels.h"
#include "septet/core/blas/pool_kernels.h"
#include "septet/core/tensor/allocator.h"

namespace septet {
namespace {

// How much of the input is taken at a time.
struct BandLimits {
  int64_t bytes;  // stays in the second-level cache
  int64_t work;   // operations
};
// Beside a block of weights; some hundred microseconds, so that the rows that
// neighbouring bands both read cost little.
constexpr BandLimits kForwardBand = {192 << 10, 24'000'000};
// Of a result that is pooled, and of a gradient in the kernel's order: they
// stay in the second-level cache, too.
constexpr int64_t kPooledBytes = 192 << 10;
constexpr int64_t kGradientBytes = 512 << 10;
// Long sums in registers between two additions to the gradient of the weights.
constexpr BandLimits kWeightsBand = {384 << 10, 64'000'000};
// The gradient of the weights is summed in at most so many parts, each of at
// least so many pixels: zeroing and adding parts costs little beside them, and
// the parts stay in the caches.
constexpr int64_t kMaxParts = 16;
constexpr int64_t kPartPixels = 256;
constexpr int64_t kPartsBytes = 4 << 20;

// Elements of a line of the cache.
template <typename T>
constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Uninitialised memory of the tensors' allocator.
class Scratch {
 public:
  explicit Scratch(int64_t bytes)
      : bytes_(static_cast<size_t>(std::max<int64_t>(bytes, 1))),
        data_(CpuAllocator().Allocate(bytes_)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (data_ != nullptr) CpuAllocator().Free(data_, bytes_);
  }

  bool ok() const { return data_ != nullptr; }
  absl::Status status() const {
    if (ok()) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("conv2d: no memory for ", bytes_, " bytes of workspace"));
  }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  const size_t bytes_;
  void* const data_;
};

// Rows (or columns) of the kernel that meet one set of output pixels, with the
// places of their input relative to the pixel's, in ascending order.
struct Taps {
  std::vector<int64_t> kernel;  // index within the kernel
  std::vector<int64_t> offset;

  int64_t size() const { return static_cast<int64_t>(kernel.size()); }
  bool Consecutive() const {
    return size() == 0 || offset.back() - offset.front() + 1 == size();
  }
};

// Output pixel (i, j), i < out_h, j < out_w, sees the input pixels
// (i step_h + rows.offset[a], j step_w + cols.offset[b]), zero outside of the
// image, and is stored at (i out_step_h + out_h0, j out_step_w + out_w0) of an
// image of full_h rows and full_w columns.
struct Problem {
  int64_t n = 0;
  int64_t in_h = 0, in_w = 0, in_c = 0;  // the image that is read
  int64_t out_c = 0;
  int64_t groups = 1;
  int64_t out_h = 0, out_w = 0;
  int64_t step_h = 1, step_w = 1;
  Taps rows, cols;
  int64_t full_h = 0, full_w = 0;
  int64_t out_step_h = 1, out_step_w = 1;
  int64_t out_h0 = 0, out_w0 = 0;

  int64_t group_in() const { return in_c / groups; }
  int64_t group_out() const { return out_c / groups; }
  int64_t num_taps() const { return rows.size() * cols.size(); }
  bool depthwise() const {
    return groups > 1 && in_c == groups && out_c == groups;
  }
  // Multiplications and additions for one output pixel.
  int64_t WorkPerPixel() const {
    return 2 * std::max<int64_t>(num_taps() * group_in(), 1) * out_c;
  }
};

Problem ForwardProblem(const Conv2dShape& s) {
  Problem p;
  p.n = s.n;
  p.in_h = s.h;
  p.in_w = s.w;
  p.in_c = s.c_in;
  p.out_c = s.c_out;
  p.groups = s.groups;
  p.out_h = p.full_h = s.OutH();
  p.out_w = p.full_w = s.OutW();
  p.step_h = s.stride_h;
  p.step_w = s.stride_w;
  for (int64_t a = 0; a < s.kh; ++a) {
    p.rows.kernel.push_back(a);
    p.rows.offset.push_back(a * s.dilation_h - s.pad_top);
  }
  for (int64_t b = 0; b < s.kw; ++b) {
    p.cols.kernel.push_back(b);
    p.cols.offset.push_back(b * s.dilation_w - s.pad_left);
  }
  return p;
}

// The taps of input places phase, phase + stride, ... in the transposed
// direction: those whose output place is a whole number.
Taps PhaseTaps(int64_t kernel, int64_t dilation, int64_t pad, int64_t stride,
               int64_t phase) {
  Taps taps;
  for (int64_t a = kernel - 1; a >= 0; --a) {
    const int64_t place = phase + pad - a * dilation;
    if (place % stride != 0) continue;
    taps.kernel.push_back(a);
    taps.offset.push_back(place / stride);
  }
  return taps;
}

// For each remainder of the input's places by the strides, the convolution of
// dy that gives dx there.
std::vector<Problem> BackwardDataProblems(const Conv2dShape& s) {
  std::vector<Problem> problems;
  for (int64_t i = 0; i < std::min(s.stride_h, s.h); ++i) {
    for (int64_t j = 0; j < std::min(s.stride_w, s.w); ++j) {
      Problem p;
      p.n = s.n;
      p.in_h = s.OutH();
      p.in_w = s.OutW();
      p.in_c = s.c_out;
      p.out_c = s.c_in;
      p.groups = s.groups;
      p.full_h = s.h;
      p.full_w = s.w;
      p.out_step_h = s.stride_h;
      p.out_step_w = s.stride_w;
      p.out_h0 = i;
      p.out_w0 = j;
      p.out_h = CeilDiv(s.h - i, s.stride_h);
      p.out_w = CeilDiv(s.w - j, s.stride_w);
      p.rows = PhaseTaps(s.kh, s.dilation_h, s.pad_top, s.stride_h, i);
      p.cols = PhaseTaps(s.kw, s.dilation_w, s.pad_left, s.stride_w, j);
      problems.push_back(std::move(p));
    }
  }
  return problems;
}

// How a problem is cut: bands of images (all their rows) or of rows of one
// image; and how a band of input lies in memory.
struct Layout {
  bool copied = false;    // into a scratch with its zeros
  int64_t first_col = 0;  // of a copied row
  int64_t cols = 0;       // of a row in memory
  int64_t pixel = 0;      // elements from pixel to pixel
  int64_t images = 1;     // of a band
  int64_t band_rows = 0;  // output rows of a band
  int64_t bands_per = 1;  // bands of one image
  int64_t num_bands = 0;
  int64_t run_length = 0;
  std::vector<int64_t> runs;  // from the pixel's place
  int64_t copy_elements = 0;  // of the largest band

  int64_t row() const { return cols * pixel; }
};

// Rows of input that `rows` output rows reach over.
int64_t ReachedRows(const Problem& p, int64_t rows) {
  if (p.rows.size() == 0) return 0;
  return (rows - 1) * p.step_h + p.rows.offset.back() - p.rows.offset.front() +
         1;
}

struct LayoutOptions {
  int64_t row_multiple = 1;  // of a band, and of the output's rows
  int64_t max_pixels = std::numeric_limits<int64_t>::max();  // or one row set
  bool copied = false;  // also where the input could be read in place
};

template <typename T>
Layout MakeLayout(const Problem& p, const BandLimits& limits,
                  const LayoutOptions& options) {
  Layout l;
  const int64_t size = static_cast<int64_t>(sizeof(T));
  const int64_t last_row =
      p.rows.size() == 0 ? 0 : (p.out_h - 1) * p.step_h + p.rows.offset.back();
  const int64_t last_col =
      p.cols.size() == 0 ? 0 : (p.out_w - 1) * p.step_w + p.cols.offset.back();
  // Pixels at a multiple of 2 KiB would share two sets of the first-level
  // cache.
  const bool aliased =
      p.in_c > 0 && p.in_c * size % 2048 == 0 && !p.depthwise();
  l.copied =
      p.num_taps() > 0 && (options.copied || p.rows.offset.front() < 0 ||
                           p.cols.offset.front() < 0 || last_row >= p.in_h ||
                           last_col >= p.in_w || aliased);
  if (l.copied) {
    l.first_col = p.cols.offset.front();
    l.cols = last_col - l.first_col + 1;
    l.pixel = p.in_c + (aliased ? 64 / size : 0);
  } else {
    l.cols = p.in_w;
    l.pixel = p.in_c;
  }
  const bool joined =
      p.groups == 1 && p.cols.Consecutive() && l.pixel == p.in_c;
  l.run_length = joined ? p.cols.size() * p.in_c : p.group_in();
  for (int64_t a = 0; a < p.rows.size(); ++a) {
    for (int64_t b = 0;
         b < (joined ? std::min<int64_t>(1, p.cols.size()) : p.cols.size());
         ++b) {
      l.runs.push_back(p.rows.offset[a] * l.row() + p.cols.offset[b] * l.pixel);
    }
  }
  // As many rows as the band may have bytes and work.
  const int64_t row_bytes = std::max<int64_t>(l.row() * size, 1);
  const int64_t row_work = std::max<int64_t>(p.out_w * p.WorkPerPixel(), 1);
  const int64_t reach = ReachedRows(p, 1);
  int64_t rows = (limits.bytes / row_bytes - reach) / p.step_h + 1;
  rows = std::min({rows, CeilDiv(limits.work, row_work),
                   options.max_pixels / std::max<int64_t>(p.out_w, 1)});
  const int64_t multiple = options.row_multiple;
  rows = std::max<int64_t>(rows / multiple, 1) * multiple;
  if (rows < p.out_h) {
    l.bands_per = CeilDiv(p.out_h, rows);
    l.band_rows = CeilDiv(CeilDiv(p.out_h, l.bands_per), multiple) * multiple;
    l.bands_per = CeilDiv(p.out_h, l.band_rows);
    l.num_bands = p.n * l.bands_per;
  } else {
    l.band_rows = p.out_h;
    const int64_t image_bytes =
        std::max<int64_t>(row_bytes * ReachedRows(p, p.out_h), 1);
    l.images = std::max<int64_t>(
        1, std::min(
               {p.n, limits.bytes / image_bytes,
                limits.work / std::max<int64_t>(row_work * p.out_h, 1),
                options.max_pixels / std::max<int64_t>(p.out_h * p.out_w, 1)}));
    l.num_bands = CeilDiv(p.n, l.images);
  }
  l.copy_elements =
      l.copied ? l.images * ReachedRows(p, l.band_rows) * l.row() : 0;
  return l;
}

// One band.
template <typename T>
struct Band {
  int64_t first_image = 0;
  int64_t images = 0;
  int64_t first_row = 0;  // of the output
  int64_t rows = 0;
  int64_t pixels = 0;
  const T* x = nullptr;  // what the offsets of pixels count from
};

template <typename T>
Band<T> MakeBand(const Problem& p, const Layout& l, int64_t index) {
  Band<T> band;
  if (l.bands_per > 1) {
    band.first_image = index / l.bands_per;
    band.images = 1;
    band.first_row = index % l.bands_per * l.band_rows;
    band.rows = std::min(l.band_rows, p.out_h - band.first_row);
  } else {
    band.first_image = index * l.images;
    band.images = std::min(l.images, p.n - band.first_image);
    band.rows = p.out_h;
  }
  band.pixels = band.images * band.rows * p.out_w;
  return band;
}

// Windows of h x w pixels side by side; rows and columns that are left over at
// the end of the image belong to none.
struct Pooling {
  int64_t h = 1, w = 1;
  int64_t rows = 0, cols = 0;  // windows of an image

  Pooling(const Conv2dPool& pool, int64_t out_h, int64_t out_w)
      : h(pool.h), w(pool.w), rows(out_h / pool.h), cols(out_w / pool.w) {}
};

// An image that is read: as it lies in memory, or the gradient of a pooled one
// spread over the pixels that won.
template <typename T>
struct Source {
  const T* x = nullptr;
  const Pooling* pooling = nullptr;  // null: as it lies in memory
  const uint8_t* winner = nullptr;
};

// Columns begin to end of a row of image n, channels each `pixel` apart.
template <typename T>
void ReadRow(const Source<T>& source, int64_t channels, int64_t height,
             int64_t width, int64_t n, int64_t row, int64_t begin, int64_t end,
             T* to, int64_t pixel) {
  if (source.pooling != nullptr) {
    const Pooling& pooling = *source.pooling;
    const bool inside = row / pooling.h < pooling.rows;
    const int64_t at =
        inside ? (n * pooling.rows + row / pooling.h) * pooling.cols * channels
               : 0;
    PoolSpread<T> spread;
    spread.begin = begin;
    spread.end = end;
    spread.windows = inside ? pooling.cols : 0;
    spread.cols = pooling.w;
    spread.first_place = row % pooling.h * pooling.w;
    spread.channels = channels;
    spread.dy = source.x + at;
    spread.winner = source.winner + at;
    spread.x = to;
    spread.stride = pixel;
    PoolSpreadRow(spread);
    return;
  }
  const T* const from =
      source.x + ((n * height + row) * width + begin) * channels;
  if (pixel == channels) {
    std::copy_n(from, (end - begin) * channels, to);
  } else {
    for (int64_t c = 0; c < end - begin; ++c) {
      std::copy_n(from + c * channels, channels, to + c * pixel);
    }
  }
}

// Copies the rows of input that the band reaches over, with zeros around the
// image, and sets the places of its pixels.
template <typename T>
void ReadBand(const Problem& p, const Layout& l, const Source<T>& source,
              T* copy, Band<T>* band, int64_t* x_offsets) {
  const int64_t top = p.rows.size() == 0 ? 0 : p.rows.offset.front();
  int64_t image_step = p.in_h * l.row();
  if (l.copied) {
    const int64_t first = band->first_row * p.step_h + top;
    const int64_t reached = ReachedRows(p, band->rows);
    image_step = reached * l.row();
    // Columns that are there.
    const int64_t begin = std::clamp<int64_t>(l.first_col, 0, p.in_w);
    const int64_t end =
        std::clamp<int64_t>(l.first_col + l.cols, begin, p.in_w);
    T* to = copy;
    for (int64_t i = 0; i < band->images; ++i) {
      for (int64_t r = first; r < first + reached; ++r, to += l.row()) {
        if (r < 0 || r >= p.in_h || begin == end) {
          std::fill_n(to, l.row(), T(0));
          continue;
        }
        T* const inside = to + (begin - l.first_col) * l.pixel;
        std::fill(to, inside, T(0));
        ReadRow(source, p.in_c, p.in_h, p.in_w, band->first_image + i, r, begin,
                end, inside, l.pixel);
        std::fill(inside + (end - begin) * l.pixel, to + l.row(), T(0));
      }
    }
    // Offset 0 is where pixel (first_row, 0) itself would be.
    band->x = copy;
  } else {
    band->x = source.x + band->first_image * image_step;
  }
  // The place of output row i, column 0, in rows and columns of memory.
  const int64_t row0 = l.copied ? -top : band->first_row * p.step_h;
  const int64_t col0 = l.copied ? -l.first_col : 0;
  for (int64_t n = 0; n < band->images; ++n) {
    for (int64_t i = 0; i < band->rows; ++i) {
      int64_t at =
          n * image_step + (row0 + i * p.step_h) * l.row() + col0 * l.pixel;
      for (int64_t j = 0; j < p.out_w; ++j, at += p.step_w * l.pixel) {
        *x_offsets++ = p.num_taps() == 0 ? 0 : at;
      }
    }
  }
}

// Where the band's pixels are stored.
template <typename T>
void SetTargets(const Problem& p, const Band<T>& band, int64_t* y_offsets) {
  for (int64_t n = 0; n < band.images; ++n) {
    for (int64_t i = 0; i < band.rows; ++i) {
      const int64_t row = (band.first_image + n) * p.full_h +
                          (band.first_row + i) * p.out_step_h + p.out_h0;
      int64_t at = (row * p.full_w + p.out_w0) * p.out_c;
      for (int64_t j = 0; j < p.out_w; ++j, at += p.out_step_w * p.out_c) {
        *y_offsets++ = at;
      }
    }
  }
}

// Blocks of output channels of a group: two vectors each, and one at the end if
// that is enough.
struct Blocks {
  int64_t lanes = 1;
  int64_t channels = 0;  // of a group
  int64_t count = 0;
  int64_t width = 0;  // of all blocks of a group together

  Blocks(int64_t lanes_in, int64_t channels_in)
      : lanes(lanes_in),
        channels(channels_in),
        count(CeilDiv(channels, 2 * lanes)),
        width(CeilDiv(channels, lanes) * lanes) {}
  int64_t first(int64_t block) const { return block * 2 * lanes; }
  int64_t columns(int64_t block) const {
    return std::min(2 * lanes, channels - first(block));
  }
  int vectors(int64_t block) const { return columns(block) > lanes ? 2 : 1; }
};

// Weights [kh, kw, c, o] as the kernels read them: for each group and block,
// rows in the order of the runs. With `transposed`, w is [kh, kw, o, c] with
// the groups along o's axis.
template <typename T>
void PackWeights(const Problem& p, const Blocks& blocks, int64_t kw, const T* w,
                 bool transposed, T* packed) {
  const int64_t in = p.group_in();
  for (int64_t g = 0; g < p.groups; ++g) {
    for (int64_t block = 0; block < blocks.count; ++block) {
      const int64_t first = blocks.first(block);
      const int64_t columns = blocks.columns(block);
      const int64_t width = blocks.vectors(block) * blocks.lanes;
      for (const int64_t a : p.rows.kernel) {
        for (const int64_t b : p.cols.kernel) {
          const T* const tap = w + (a * kw + b) * in * p.out_c;
          if (transposed) {
            // [o, all channels c]: columns become rows, a line of the cache at
            // a time.
            for (int64_t c0 = 0; c0 < in; c0 += kLine<T>) {
              const int64_t c1 = std::min(in, c0 + kLine<T>);
              const T* from = tap + first * p.in_c + g * in;
              for (int64_t j = 0; j < columns; ++j, from += p.in_c) {
                for (int64_t c = c0; c < c1; ++c) {
                  packed[c * width + j] = from[c];
                }
              }
              for (int64_t c = c0; c < c1; ++c) {
                std::fill(packed + c * width + columns,
                          packed + (c + 1) * width, T(0));
              }
            }
            packed += in * width;
          } else {
            const T* from = tap + g * blocks.channels + first;
            for (int64_t c = 0; c < in; ++c, from += p.out_c, packed += width) {
              std::copy_n(from, columns, packed);
              std::fill(packed + columns, packed + width, T(0));
            }
          }
        }
      }
    }
  }
}

absl::Status Check(const Conv2dShape& s) {
  const absl::Status status = ValidateConv2d(s);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("conv2d: ", status.message()));
}

// Where a result goes: to y, or, pooled, to y with the places of the winners.
template <typename T>
struct Target {
  T* y = nullptr;
  const Pooling* pooling = nullptr;
  uint8_t* winner = nullptr;
};

// The maxima of a band that has been computed; channels lie behind one another.
template <typename T>
void PoolBand(const Problem& p, const Band<T>& band, const T* computed,
              const Target<T>& target) {
  const Pooling& pooling = *target.pooling;
  PoolRow<T> row;
  row.windows = pooling.cols;
  row.rows = pooling.h;
  row.cols = pooling.w;
  row.row_stride = p.out_w * p.out_c;
  row.channels = p.out_c;
  row.x = computed;
  for (int64_t n = 0; n < band.images; ++n) {
    for (int64_t i = 0; i < band.rows; i += pooling.h) {
      const int64_t at = ((band.first_image + n) * pooling.rows +
                          (band.first_row + i) / pooling.h) *
                         pooling.cols * p.out_c;
      PoolMaxRelu(row, target.y + at, target.winner + at);
      row.x += pooling.h * row.row_stride;
    }
  }
}

// y of one problem. `transposed`: w's channel axes are the other way round. To
// be pooled, the result has whole windows only.
template <typename T>
absl::Status RunProblem(const Problem& p, int64_t kw, const Source<T>& source,
                        const T* w, bool transposed, const T* bias,
                        const Target<T>& target) {
  if (p.n == 0 || p.out_h == 0 || p.out_w == 0 || p.out_c == 0) {
    return absl::OkStatus();
  }
  const bool pooled = target.pooling != nullptr;
  LayoutOptions options;
  options.copied = source.pooling != nullptr;
  if (pooled) {
    options.row_multiple = target.pooling->h;
    options.max_pixels =
        kPooledBytes / (p.out_c * static_cast<int64_t>(sizeof(T)));
  }
  const Layout layout = MakeLayout<T>(p, kForwardBand, options);
  const bool depthwise = p.depthwise();
  const Blocks blocks(ConvLanes<T>(), p.group_out());
  const int64_t depth = p.num_taps() * p.group_in();
  // Weights in the kernels' order, then the bias likewise.
  const int64_t bias_width = depthwise ? p.out_c : p.groups * blocks.width;
  const int64_t weights = depth * bias_width;
  const Scratch packed((weights + bias_width) *
                       static_cast<int64_t>(sizeof(T)));
  if (!packed.ok()) return packed.status();
  T* const packed_w = packed.as<T>();
  T* const packed_bias = packed_w + weights;
  if (depthwise) {
    T* to = packed_w;
    for (const int64_t a : p.rows.kernel) {
      for (const int64_t b : p.cols.kernel) {
        to = std::copy_n(w + (a * kw + b) * p.out_c, p.out_c, to);
      }
    }
  } else {
    PackWeights(p, blocks, kw, w, transposed, packed_w);
    std::fill_n(packed_bias, bias_width, T(0));
    for (int64_t g = 0; bias != nullptr && g < p.groups; ++g) {
      std::copy_n(bias + g * blocks.channels, blocks.channels,
                  packed_bias + g * blocks.width);
    }
  }
  const int64_t max_pixels = layout.images * layout.band_rows * p.out_w;
  std::atomic<bool> no_memory{false};
  ParallelFor(layout.num_bands, 1, [&](int64_t begin, int64_t end) {
    const Scratch copy(layout.copy_elements * static_cast<int64_t>(sizeof(T)));
    const Scratch offsets(2 * max_pixels *
                          static_cast<int64_t>(sizeof(int64_t)));
    const Scratch computed(
        pooled ? max_pixels * p.out_c * static_cast<int64_t>(sizeof(T)) : 0);
    if (!copy.ok() || !offsets.ok() || !computed.ok()) {
      no_memory = true;
      return;
    }
    T* const y = pooled ? computed.as<T>() : target.y;
    int64_t* const x_offsets = offsets.as<int64_t>();
    int64_t* const y_offsets = x_offsets + max_pixels;
    for (int64_t index = begin; index < end; ++index) {
      Band<T> band = MakeBand<T>(p, layout, index);
      ReadBand(p, layout, source, copy.as<T>(), &band, x_offsets);
      if (pooled) {
        for (int64_t i = 0; i < band.pixels; ++i) y_offsets[i] = i * p.out_c;
      } else {
        SetTargets(p, band, y_offsets);
      }
      if (depthwise) {
        DepthwiseArgs<T> args;
        args.pixels = band.pixels;
        args.channels = p.out_c;
        args.x = band.x;
        args.x_offsets = x_offsets;
        args.num_taps = p.num_taps();
        args.taps = layout.runs.data();
        args.w = packed_w;
        args.bias = bias;
        args.y = y;
        args.y_offsets = y_offsets;
        DepthwiseTiles(args);
        if (pooled) PoolBand(p, band, y, target);
        continue;
      }
      ConvTilesArgs<T> args;
      args.pixels = band.pixels;
      args.x_offsets = x_offsets;
      args.num_runs = static_cast<int64_t>(layout.runs.size());
      args.runs = layout.runs.data();
      args.run_length = layout.run_length;
      args.w = packed_w;
      args.y_offsets = y_offsets;
      for (int64_t g = 0; g < p.groups; ++g) {
        args.x = band.x + g * p.group_in();
        args.bias = packed_bias + g * blocks.width;
        for (int64_t block = 0; block < blocks.count; ++block) {
          args.vectors = blocks.vectors(block);
          args.columns = blocks.columns(block);
          args.w_stride = args.vectors * blocks.lanes;
          args.y = y + g * blocks.channels + blocks.first(block);
          ConvTiles(args);
          args.w += depth * args.w_stride;
          args.bias += args.w_stride;
        }
      }
      if (pooled) PoolBand(p, band, y, target);
    }
  });
  if (no_memory) {
    return absl::ResourceExhaustedError(
        absl::StrCat("conv2d: no memory for a workspace of ",
                     layout.copy_elements * static_cast<int64_t>(sizeof(T)) +
                         max_pixels * 16,
                     " bytes a thread"));
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status Forward(const Conv2dShape& s, const T* x, const T* w,
                     const T* bias, T* y) {
  if (absl::Status status = Check(s); !status.ok()) return status;
  return RunProblem<T>(ForwardProblem(s), s.kw, {x}, w, /*transposed=*/false,
                       bias, {y});
}

// The pixels of the result that are in windows.
Problem PooledProblem(const Conv2dShape& s, const Pooling& pooling) {
  Problem p = ForwardProblem(s);
  p.out_h = pooling.rows * pooling.h;
  p.out_w = pooling.cols * pooling.w;
  return p;
}

template <typename T>
absl::Status BackwardData(const Conv2dShape& s, const Source<T>& dy, const T* w,
                          const T* bias, T* dx) {
  if (absl::Status status = Check(s); !status.ok()) return status;
  for (const Problem& problem : BackwardDataProblems(s)) {
    absl::Status status = RunProblem<T>(problem, s.kw, dy, w,
                                        /*transposed=*/true, bias, {dx});
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// sums[j] += the sum over rows of x[row * stride + j], 64 rows at a time.
template <typename T>
void AddColumnSums(int64_t rows, int64_t columns, const T* x, int64_t stride,
                   T* partial, T* sums) {
  for (int64_t begin = 0; begin < rows; begin += 64) {
    const int64_t end = std::min(rows, begin + 64);
    // Blocks of constant width stay in registers.
    constexpr int64_t kWidth = 16;
    int64_t first = 0;
    for (; first + kWidth <= columns; first += kWidth) {
      T block[kWidth] = {};
      for (int64_t r = begin; r < end; ++r) {
        const T* const row = x + r * stride + first;
        for (int64_t j = 0; j < kWidth; ++j) block[j] += row[j];
      }
      for (int64_t j = 0; j < kWidth; ++j) sums[first + j] += block[j];
    }
    std::fill(partial + first, partial + columns, T(0));
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t j = first; j < columns; ++j) partial[j] += x[r * stride + j];
    }
    for (int64_t j = first; j < columns; ++j) sums[j] += partial[j];
  }
}

// dw and dbias in the kernels' order: bands are summed in parts, side by side,
// the parts pairwise.
template <typename T>
absl::Status BackwardWeights(const Conv2dShape& s, const T* x,
                             const Source<T>& dy, T* dw, T* dbias) {
  if (absl::Status status = Check(s); !status.ok()) return status;
  const bool pooled = dy.pooling != nullptr;
  const Problem p = pooled ? PooledProblem(s, *dy.pooling) : ForwardProblem(s);
  if (p.n == 0 || p.out_c == 0 || p.out_h == 0 || p.out_w == 0) {
    return absl::OkStatus();
  }
  const int64_t size = static_cast<int64_t>(sizeof(T));
  const bool depthwise = p.depthwise();
  const Blocks blocks(ConvLanes<T>(), p.group_out());
  const int64_t partial_size = depthwise ? p.out_c : 2 * blocks.lanes;
  LayoutOptions options;
  options.max_pixels =
      kGradientBytes / (size * (pooled ? p.out_c : partial_size));
  const Layout layout = MakeLayout<T>(p, kWeightsBand, options);
  const int64_t depth = p.num_taps() * p.group_in();
  const int64_t columns = depthwise ? p.out_c : p.groups * blocks.width;
  const int64_t part_size = (depth + 1) * columns;  // dw, then dbias
  const int64_t parts = std::max<int64_t>(
      1,
      std::min({layout.num_bands, kMaxParts, kPartsBytes / (part_size * size),
                p.n * p.out_h * p.out_w / kPartPixels}));
  // Each part's blocks of channels are taken apart, too, where parts are few.
  const int64_t group_blocks = depthwise ? 1 : p.groups * blocks.count;
  const int64_t cuts =
      depthwise ? 1 : std::min(group_blocks, CeilDiv(kMaxParts, parts));
  const Scratch sums(parts * part_size * size);
  if (!sums.ok()) return sums.status();
  const int64_t max_pixels = layout.images * layout.band_rows * p.out_w;
  std::atomic<bool> no_memory{false};
  ParallelFor(parts * cuts, 1, [&](int64_t begin, int64_t end) {
    const Scratch copy(layout.copy_elements * size);
    const Scratch offsets(max_pixels * static_cast<int64_t>(sizeof(int64_t)));
    const Scratch rows((max_pixels + 1) * partial_size * size);
    const Scratch spread(pooled ? max_pixels * p.out_c * size : 0);
    if (!copy.ok() || !offsets.ok() || !rows.ok() || !spread.ok()) {
      no_memory = true;
      return;
    }
    T* const partial = rows.as<T>();
    T* const packed_dy = partial + partial_size;
    int64_t* const x_offsets = offsets.as<int64_t>();
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t part = unit / cuts;
      const int64_t cut = unit % cuts;
      const int64_t first_block = group_blocks * cut / cuts;
      const int64_t last_block = group_blocks * (cut + 1) / cuts;
      T* const part_dw = sums.as<T>() + part * part_size;
      T* const part_dbias = part_dw + depth * columns;
      const auto place = [&](int64_t block) {
        return block / blocks.count * blocks.width +
               blocks.first(block % blocks.count);
      };
      const int64_t from = depthwise ? 0 : place(first_block);
      const int64_t to = depthwise                    ? columns
                         : last_block == group_blocks ? columns
                                                      : place(last_block);
      std::fill(part_dw + from * depth, part_dw + to * depth, T(0));
      std::fill(part_dbias + from, part_dbias + to, T(0));
      for (int64_t index = layout.num_bands * part / parts;
           index < layout.num_bands * (part + 1) / parts; ++index) {
        Band<T> band = MakeBand<T>(p, layout, index);
        ReadBand<T>(p, layout, {x}, copy.as<T>(), &band, x_offsets);
        const T* band_dy = spread.as<T>();
        if (pooled) {
          T* to_row = spread.as<T>();
          for (int64_t row = 0; row < band.images * band.rows; ++row) {
            ReadRow(dy, p.out_c, p.out_h, p.out_w,
                    band.first_image + row / band.rows,
                    band.first_row + row % band.rows, 0, p.out_w, to_row,
                    p.out_c);
            to_row += p.out_w * p.out_c;
          }
        } else {
          band_dy = dy.x + (band.first_image * p.out_h + band.first_row) *
                               p.out_w * p.out_c;
        }
        if (depthwise) {
          DepthwiseWeightArgs<T> args;
          args.pixels = band.pixels;
          args.channels = p.out_c;
          args.x = band.x;
          args.x_offsets = x_offsets;
          args.num_taps = p.num_taps();
          args.taps = layout.runs.data();
          args.dy = band_dy;
          args.dw = part_dw;
          DepthwiseWeightTiles(args);
          if (dbias != nullptr) {
            AddColumnSums(band.pixels, p.out_c, band_dy, p.out_c, partial,
                          part_dbias);
          }
          continue;
        }
        ConvWeightTilesArgs<T> args;
        args.pixels = band.pixels;
        args.x_offsets = x_offsets;
        args.num_runs = static_cast<int64_t>(layout.runs.size());
        args.runs = layout.runs.data();
        args.run_length = layout.run_length;
        for (int64_t block = first_block; block < last_block; ++block) {
          const int64_t g = block / blocks.count;
          const int64_t b = block % blocks.count;
          const int64_t width = blocks.vectors(b) * blocks.lanes;
          const int64_t count = blocks.columns(b);
          args.dy = band_dy;
          // In place only where a block is all there is: a group's may be as
          // wide.
          if (p.groups > 1 || width != p.out_c) {
            const T* source = band_dy + g * blocks.channels + blocks.first(b);
            T* row = packed_dy;
            for (int64_t i = 0; i < band.pixels; ++i, source += p.out_c) {
              std::copy_n(source, count, row);
              std::fill(row + count, row + width, T(0));
              row += width;
            }
            args.dy = packed_dy;
          }
          if (dbias != nullptr) {
            AddColumnSums(band.pixels, width, args.dy, width, partial,
                          part_dbias + place(block));
          }
          args.x = band.x + g * p.group_in();
          args.vectors = blocks.vectors(b);
          args.dw = part_dw + place(block) * depth;
          ConvWeightTiles(args);
        }
      }
    }
  });
  if (no_memory) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "conv2d: no memory for a workspace of ",
        (layout.copy_elements + max_pixels * p.out_c) * size, " bytes"));
  }
  for (int64_t stride = 1; stride < parts; stride *= 2) {
    for (int64_t i = 0; i + stride < parts; i += 2 * stride) {
      T* const a = sums.as<T>() + i * part_size;
      const T* const b = a + stride * part_size;
      for (int64_t k = 0; k < part_size; ++k) a[k] += b[k];
    }
  }
  const T* total = sums.as<T>();
  const T* const total_bias = total + depth * columns;
  const int64_t in = p.group_in();
  if (depthwise) {
    for (int64_t k = 0; k < depth * columns; ++k) dw[k] += total[k];
    for (int64_t c = 0; dbias != nullptr && c < columns; ++c) {
      dbias[c] += total_bias[c];
    }
    return absl::OkStatus();
  }
  for (int64_t g = 0; g < p.groups; ++g) {
    for (int64_t b = 0; b < blocks.count; ++b) {
      const int64_t width = blocks.vectors(b) * blocks.lanes;
      const int64_t first = g * blocks.channels + blocks.first(b);
      T* to = dw + first;
      // Forward taps are in the order of the weights.
      for (int64_t k = 0; k < p.num_taps() * in; ++k, to += p.out_c) {
        for (int64_t j = 0; j < blocks.columns(b); ++j) to[j] += total[j];
        total += width;
      }
      for (int64_t j = 0; dbias != nullptr && j < blocks.columns(b); ++j) {
        dbias[first + j] += total_bias[g * blocks.width + blocks.first(b) + j];
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateConv2d(const Conv2dShape& s) {
  const auto at_least = [](const char* name, int64_t value, int64_t least) {
    if (value < least) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", value, ", expected at least ", least));
    }
    if (value > std::numeric_limits<int32_t>::max()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", value, ", expected at most 2^31 - 1"));
    }
    return absl::OkStatus();
  };
  const struct {
    const char* name;
    int64_t value;
    int64_t least;
  } kFields[] = {{"n", s.n, 0},
                 {"h", s.h, 0},
                 {"w", s.w, 0},
                 {"c_in", s.c_in, 0},
                 {"c_out", s.c_out, 0},
                 {"kh", s.kh, 1},
                 {"kw", s.kw, 1},
                 {"stride_h", s.stride_h, 1},
                 {"stride_w", s.stride_w, 1},
                 {"pad_top", s.pad_top, 0},
                 {"pad_bottom", s.pad_bottom, 0},
                 {"pad_left", s.pad_left, 0},
                 {"pad_right", s.pad_right, 0},
                 {"dilation_h", s.dilation_h, 1},
                 {"dilation_w", s.dilation_w, 1},
                 {"groups", s.groups, 1}};
  for (const auto& field : kFields) {
    absl::Status status = at_least(field.name, field.value, field.least);
    if (!status.ok()) return status;
  }
  if (s.c_in % s.groups != 0 || s.c_out % s.groups != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("groups is ", s.groups, ", expected a divisor of ", s.c_in,
                     " input and ", s.c_out, " output channels"));
  }
  const auto fits = [](const char* name, int64_t kernel, int64_t dilation,
                       int64_t extent, int64_t padding) {
    const int64_t reach = dilation * (kernel - 1) + 1;
    if (reach <= extent + padding) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "the kernel's ", name, " reach over ", reach, " (", kernel,
        " with dilation ", dilation, "), expected at most ", extent + padding,
        ", the image's ", extent, " and ", padding, " of padding"));
  };
  absl::Status status =
      fits("rows", s.kh, s.dilation_h, s.h, s.pad_top + s.pad_bottom);
  if (!status.ok()) return status;
  status = fits("columns", s.kw, s.dilation_w, s.w, s.pad_left + s.pad_right);
  if (!status.ok()) return status;
  // Products of extents, with room for the padding of channels to vectors.
  const double limit = 0x1p58;
  const double h = static_cast<double>(s.h + s.pad_top + s.pad_bottom);
  const double w = static_cast<double>(s.w + s.pad_left + s.pad_right);
  const double c_in = static_cast<double>(s.c_in + 64);
  const double c_out = static_cast<double>(s.c_out + 64);
  const double images = h * w * static_cast<double>(std::max<int64_t>(s.n, 1));
  const double kernel = static_cast<double>(s.kh) * static_cast<double>(s.kw);
  if (images * std::max(c_in, c_out) > limit || kernel * c_in * c_out > limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("n ", s.n, ", h ", s.h, ", w ", s.w, ", c_in ", s.c_in,
                     ", c_out ", s.c_out, ", kh ", s.kh, ", kw ", s.kw,
                     " with padding have more elements than can be counted"));
  }
  return absl::OkStatus();
}

absl::Status Conv2dForward(const Conv2dShape& shape, const float* x,
                           const float* w, const float* bias, float* y) {
  return Forward(shape, x, w, bias, y);
}
absl::Status Conv2dForward(const Conv2dShape& shape, const double* x,
                           const double* w, const double* bias, double* y) {
  return Forward(shape, x, w, bias, y);
}

absl::Status Conv2dBackwardData(const Conv2dShape& shape, const float* dy,
                                const float* w, const float* bias, float* dx) {
  return BackwardData(shape, {dy}, w, bias, dx);
}
absl::Status Conv2dBackwardData(const Conv2dShape& shape, const double* dy,
                                const double* w, const double* bias,
                                double* dx) {
  return BackwardData(shape, {dy}, w, bias, dx);
}

absl::Status Conv2dBackwardWeights(const Conv2dShape& shape, const float* x,
                                   const float* dy, float* dw, float* dbias) {
  return BackwardWeights(shape, x, {dy}, dw, dbias);
}
absl::Status Conv2dBackwardWeights(const Conv2dShape& shape, const double* x,
                                   const double* dy, double* dw,
                                   double* dbias) {
  return BackwardWeights(shape, x, {dy}, dw, dbias);
}

absl::Status ValidateConv2dPool(const Conv2dShape& shape,
                                const Conv2dPool& pool) {
  if (absl::Status status = ValidateConv2d(shape); !status.ok()) return status;
  const auto check = [](const char* name, int64_t value, int64_t extent) {
    if (value >= 1 && value <= extent) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(name, " of the windows is ", value, ", expected 1 to ",
                     extent, ", what the convolution has"));
  };
  if (absl::Status status = check("h", pool.h, shape.OutH()); !status.ok()) {
    return status;
  }
  if (absl::Status status = check("w", pool.w, shape.OutW()); !status.ok()) {
    return status;
  }
  if (pool.h > kNoPoolWinner / pool.w) {
    return absl::InvalidArgumentError(
        absl::StrCat("windows are ", pool.h, " x ", pool.w,
                     ", expected at most 255 pixels"));
  }
  return absl::OkStatus();
}

namespace {

absl::Status CheckPool(const Conv2dShape& s, const Conv2dPool& pool) {
  const absl::Status status = ValidateConv2dPool(s, pool);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("conv2d_max_pool_relu: ", status.message()));
}

template <typename T>
absl::Status PooledForward(const Conv2dShape& s, const Conv2dPool& pool,
                           const T* x, const T* w, const T* bias, T* y,
                           uint8_t* winner) {
  if (absl::Status status = CheckPool(s, pool); !status.ok()) return status;
  const Pooling pooling(pool, s.OutH(), s.OutW());
  return RunProblem<T>(PooledProblem(s, pooling), s.kw, {x}, w,
                       /*transposed=*/false, bias, {y, &pooling, winner});
}

template <typename T>
absl::Status PooledBackwardData(const Conv2dShape& s, const Conv2dPool& pool,
                                const T* dy, const uint8_t* winner, const T* w,
                                T* dx) {
  if (absl::Status status = CheckPool(s, pool); !status.ok()) return status;
  const Pooling pooling(pool, s.OutH(), s.OutW());
  const T* const no_bias = nullptr;
  return BackwardData<T>(s, {dy, &pooling, winner}, w, no_bias, dx);
}

template <typename T>
absl::Status PooledBackwardWeights(const Conv2dShape& s, const Conv2dPool& pool,
                                   const T* x, const T* dy,
                                   const uint8_t* winner, T* dw, T* dbias) {
  if (absl::Status status = CheckPool(s, pool); !status.ok()) return status;
  const Pooling pooling(pool, s.OutH(), s.OutW());
  return BackwardWeights<T>(s, x, {dy, &pooling, winner}, dw, dbias);
}

}  // namespace

absl::Status Conv2dMaxPoolReluForward(const Conv2dShape& shape,
                                      const Conv2dPool& pool, const float* x,
                                      const float* w, const float* bias,
                                      float* y, uint8_t* winner) {
  return PooledForward(shape, pool, x, w, bias, y, winner);
}
absl::Status Conv2dMaxPoolReluForward(const Conv2dShape& shape,
                                      const Conv2dPool& pool, const double* x,
                                      const double* w, const double* bias,
                                      double* y, uint8_t* winner) {
  return PooledForward(shape, pool, x, w, bias, y, winner);
}

absl::Status Conv2dMaxPoolReluBackwardData(const Conv2dShape& shape,
                                           const Conv2dPool& pool,
                                           const float* dy,
                                           const uint8_t* winner,
                                           const float* w, float* dx) {
  return PooledBackwardData(shape, pool, dy, winner, w, dx);
}
absl::Status Conv2dMaxPoolReluBackwardData(const Conv2dShape& shape,
                                           const Conv2dPool& pool,
                                           const double* dy,
                                           const uint8_t* winner,
                                           const double* w, double* dx) {
  return PooledBackwardData(shape, pool, dy, winner, w, dx);
}

absl::Status Conv2dMaxPoolReluBackwardWeights(const Conv2dShape& shape,
                                              const Conv2dPool& pool,
                                              const float* x, const float* dy,
                                              const uint8_t* winner, float* dw,
                                              float* dbias) {
  return PooledBackwardWeights(shape, pool, x, dy, winner, dw, dbias);
}
absl::Status Conv2dMaxPoolReluBackwardWeights(const Conv2dShape& shape,
                                              const Conv2dPool& pool,
                                              const double* x, const double* dy,
                                              const uint8_t* winner, double* dw,
                                              double* dbias) {
  return PooledBackwardWeights(shape, pool, x, dy, winner, dw, dbias);
}

const char* Conv2dBackendName(const Conv2dShape& shape) {
  return ForwardProblem(shape).depthwise() ? "highway-depthwise" : "highway";
}

}  // namespace septet
