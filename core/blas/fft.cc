// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/fft.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/fft_plan_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using fft_internal::FftPlan;
using fft_internal::GetFftPlan;
using fft_internal::GetRoots;
using fft_internal::kFftLanes;
using fft_internal::Root;

// Lines of an array along one axis: [outer, n, inner].
struct Lines {
  int64_t outer = 1;
  int64_t n = 1;
  int64_t inner = 1;
};
Lines LinesAlong(absl::Span<const int64_t> dims, int axis) {
  Lines lines;
  for (int i = 0; i < axis; ++i) lines.outer *= dims[i];
  lines.n = dims[axis];
  for (size_t i = axis + 1; i < dims.size(); ++i) lines.inner *= dims[i];
  return lines;
}

// A block of the work in one thread: `lanes` lines beside each other in
// `data`, of which `count` are wanted, the others being copies of the last.
struct LaneBlock {
  int64_t lanes;
  int64_t count;
  const int64_t* from;  // offsets of the lines' first elements
  const int64_t* to;
  double* data;
  double* workspace;
};

// fn(block) for all lines, whose places lie `in` apart in the input and `out`
// in the output: [outer, length, inner] with those lengths. `size` elements of
// data and `workspace` elements a lane.
template <typename Fn>
void ForEachBlock(int64_t outer, int64_t inner, int64_t in_length,
                  int64_t out_length, int64_t size, const FftPlan& plan,
                  const Fn& fn) {
  const int64_t lines = outer * inner;
  // By shape alone. A line alone is not worth eight lanes.
  const int64_t lanes = lines < 3 ? 1 : kFftLanes;
  const int64_t blocks = NumBlocks(lines, lanes);
  const int64_t grain = std::max<int64_t>(1, 4096 / size);
  ParallelFor(blocks, grain, [&](int64_t begin, int64_t end) {
    std::vector<double> data(static_cast<size_t>(size * lanes));
    std::vector<double> workspace(
        static_cast<size_t>(plan.WorkspaceSize(lanes)));
    int64_t from[kFftLanes], to[kFftLanes];
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * lanes;
      const int64_t count = std::min(lanes, lines - first);
      for (int64_t l = 0; l < lanes; ++l) {
        const int64_t line = first + std::min(l, count - 1);
        from[l] = line / inner * inner * in_length + line % inner;
        to[l] = line / inner * inner * out_length + line % inner;
      }
      fn(LaneBlock{lanes, count, from, to, data.data(), workspace.data()});
    }
  });
}

// Complex lines of x [outer, n, inner, 2] in place, times `scale`. The inverse
// transform is the forward one with the parts exchanged before and after.
void TransformComplex(const Lines& lines, bool inverse, double scale,
                      double* x) {
  const std::shared_ptr<const FftPlan> plan = GetFftPlan(lines.n);
  const int64_t re = inverse ? 1 : 0, im = 1 - re;
  ForEachBlock(lines.outer, lines.inner, lines.n, lines.n, 2 * lines.n, *plan,
               [&](const LaneBlock& b) {
                 for (int64_t e = 0; e < lines.n; ++e) {
                   double* element = b.data + 2 * e * b.lanes;
                   for (int64_t l = 0; l < b.lanes; ++l) {
                     const double* from = x + 2 * (b.from[l] + e * lines.inner);
                     element[l] = from[re];
                     element[b.lanes + l] = from[im];
                   }
                 }
                 plan->Forward(b.lanes, b.data, b.workspace);
                 for (int64_t e = 0; e < lines.n; ++e) {
                   const double* element = b.data + 2 * e * b.lanes;
                   for (int64_t l = 0; l < b.count; ++l) {
                     double* to = x + 2 * (b.to[l] + e * lines.inner);
                     to[re] = scale * element[l];
                     to[im] = scale * element[b.lanes + l];
                   }
                 }
               });
}

// Transforms of real lines of length n, in lanes: by a complex transform of
// n / 2 where n is even, of n where it is odd.
class RealLines {
 public:
  explicit RealLines(int64_t n)
      : n_(n),
        plan_(GetFftPlan(n % 2 == 0 ? n / 2 : n)),
        roots_(GetRoots(n / 2 + 1, n)) {}

  const FftPlan& plan() const { return *plan_; }
  // Elements of data a lane: n / 2 + 1 complex numbers, or n of them.
  int64_t size() const { return n_ % 2 == 0 ? n_ + 2 : 2 * n_; }
  // Where real element j of lane l is to be put before Forward, and stands
  // after Backward.
  int64_t Place(int64_t j, int64_t lanes) const {
    return (n_ % 2 == 0 ? j : 2 * j) * lanes;
  }

  // Places 0..n / 2 of the spectrum, in the order of FftPlan.
  void Forward(const LaneBlock& b) const {
    const int64_t lanes = b.lanes;
    double* z = b.data;
    if (n_ % 2 != 0) {
      for (int64_t j = 0; j < n_; ++j) {
        std::fill_n(z + (2 * j + 1) * lanes, lanes, 0.0);
      }
      plan_->Forward(lanes, z, b.workspace);
      return;
    }
    const int64_t half = n_ / 2;
    plan_->Forward(lanes, z, b.workspace);
    std::copy_n(z, 2 * lanes, z + 2 * half * lanes);
    for (int64_t k = 0; 2 * k <= half; ++k) {
      const Root w = (*roots_)[k];
      double* p = z + 2 * k * lanes;
      double* q = z + 2 * (half - k) * lanes;
      for (int64_t l = 0; l < lanes; ++l) {
        const double pr = p[l], pi = p[lanes + l];
        const double qr = q[l], qi = q[lanes + l];
        // Even and odd elements: (P + conj Q) / 2 and -i (P - conj Q) / 2.
        const double er = 0.5 * (pr + qr), ei = 0.5 * (pi - qi);
        const double dr = 0.5 * (pi + qi), di = 0.5 * (qr - pr);
        const double tr = w.re * dr - w.im * di;
        const double ti = w.re * di + w.im * dr;
        q[l] = er - tr;
        q[lanes + l] = ti - ei;
        p[l] = er + tr;
        p[lanes + l] = ei + ti;
      }
    }
  }

  // n times the inverse of Forward. Imaginary parts at 0 and n / 2 are ignored.
  void Backward(const LaneBlock& b) const {
    const int64_t lanes = b.lanes;
    double* z = b.data;
    std::fill_n(z + lanes, lanes, 0.0);
    if (n_ % 2 != 0) {
      // Conjugates above, and parts exchanged for the inverse.
      for (int64_t k = 1; k <= n_ / 2; ++k) {
        double* p = z + 2 * k * lanes;
        double* q = z + 2 * (n_ - k) * lanes;
        for (int64_t l = 0; l < lanes; ++l) {
          const double re = p[l], im = p[lanes + l];
          p[l] = im;
          p[lanes + l] = re;
          q[l] = -im;
          q[lanes + l] = re;
        }
      }
      std::swap_ranges(z, z + lanes, z + lanes);
      plan_->Forward(lanes, z, b.workspace);
      for (int64_t j = 0; j < n_; ++j) {
        std::copy_n(z + (2 * j + 1) * lanes, lanes, z + 2 * j * lanes);
      }
      return;
    }
    const int64_t half = n_ / 2;
    std::fill_n(z + (2 * half + 1) * lanes, lanes, 0.0);
    for (int64_t k = 0; 2 * k <= half; ++k) {
      const Root w = (*roots_)[k];
      double* p = z + 2 * k * lanes;
      double* q = z + 2 * (half - k) * lanes;
      for (int64_t l = 0; l < lanes; ++l) {
        const double pr = p[l], pi = p[lanes + l];
        const double qr = q[l], qi = q[lanes + l];
        // E = P + conj Q, O = (P - conj Q) conj w: Z = E + i O.
        const double er = pr + qr, ei = pi - qi;
        const double dr = pr - qr, di = pi + qi;
        const double or_ = dr * w.re + di * w.im;
        const double oi = di * w.re - dr * w.im;
        // Parts exchanged.
        q[lanes + l] = er + oi;
        q[l] = or_ - ei;
        p[lanes + l] = er - oi;
        p[l] = ei + or_;
      }
    }
    plan_->Forward(lanes, z, b.workspace);
    for (int64_t k = 0; k < half; ++k) {
      double* element = z + 2 * k * lanes;
      std::swap_ranges(element, element + lanes, element + lanes);
    }
  }

 private:
  const int64_t n_;
  const std::shared_ptr<const FftPlan> plan_;
  const std::shared_ptr<const std::vector<Root>> roots_;
};

// x [outer, n, inner] -> y [outer, n / 2 + 1, inner, 2], times `scale`.
void RealToComplex(const Lines& lines, double scale, const double* x,
                   double* y) {
  const RealLines real(lines.n);
  const int64_t places = lines.n / 2 + 1;
  ForEachBlock(lines.outer, lines.inner, lines.n, places, real.size(),
               real.plan(), [&](const LaneBlock& b) {
                 for (int64_t j = 0; j < lines.n; ++j) {
                   double* element = b.data + real.Place(j, b.lanes);
                   for (int64_t l = 0; l < b.lanes; ++l) {
                     element[l] = x[b.from[l] + j * lines.inner];
                   }
                 }
                 real.Forward(b);
                 for (int64_t k = 0; k < places; ++k) {
                   const double* element = b.data + 2 * k * b.lanes;
                   for (int64_t l = 0; l < b.count; ++l) {
                     double* to = y + 2 * (b.to[l] + k * lines.inner);
                     to[0] = scale * element[l];
                     to[1] = scale * element[b.lanes + l];
                   }
                 }
               });
}

// x [outer, n / 2 + 1, inner, 2] -> y [outer, n, inner] for `lines` of y.
void ComplexToReal(const Lines& lines, double scale, const double* x,
                   double* y) {
  const RealLines real(lines.n);
  const int64_t places = lines.n / 2 + 1;
  ForEachBlock(lines.outer, lines.inner, places, lines.n, real.size(),
               real.plan(), [&](const LaneBlock& b) {
                 for (int64_t k = 0; k < places; ++k) {
                   double* element = b.data + 2 * k * b.lanes;
                   for (int64_t l = 0; l < b.lanes; ++l) {
                     const double* from = x + 2 * (b.from[l] + k * lines.inner);
                     element[l] = from[0];
                     element[b.lanes + l] = from[1];
                   }
                 }
                 real.Backward(b);
                 for (int64_t j = 0; j < lines.n; ++j) {
                   const double* element = b.data + real.Place(j, b.lanes);
                   for (int64_t l = 0; l < b.count; ++l) {
                     y[b.to[l] + j * lines.inner] = scale * element[l];
                   }
                 }
               });
}

// The element of x that stands at place j of Makhoul's order (IEEE Trans. ASSP
// 28, 1980): even ones ascending, then odd ones descending.
int64_t Shuffled(int64_t j, int64_t n) {
  return 2 * j < n ? 2 * j : 2 * (n - j) - 1;
}

// Cosine transform of the lines of x in place: with V the spectrum of the
// shuffled line, X_k = 2 Re(V_k c_k) and X_(n - k) = -2 Im(V_k c_k), c_k =
// exp(-pi i k / (2 n)). X_0 is multiplied by `first`, others by `scale`.
void TransformCosine(const Lines& lines, double first, double scale,
                     double* x) {
  const int64_t n = lines.n;
  const RealLines real(n);
  const std::shared_ptr<const std::vector<Root>> roots =
      GetRoots(n / 2 + 1, 4 * n);
  const Root* const c = roots->data();
  ForEachBlock(lines.outer, lines.inner, n, n, real.size(), real.plan(),
               [&](const LaneBlock& b) {
                 for (int64_t j = 0; j < n; ++j) {
                   double* element = b.data + real.Place(j, b.lanes);
                   const int64_t at = Shuffled(j, n) * lines.inner;
                   for (int64_t l = 0; l < b.lanes; ++l) {
                     element[l] = x[b.from[l] + at];
                   }
                 }
                 real.Forward(b);
                 for (int64_t k = 0; k <= n / 2; ++k) {
                   const double* element = b.data + 2 * k * b.lanes;
                   const double factor = 2 * (k == 0 ? first : scale);
                   for (int64_t l = 0; l < b.count; ++l) {
                     const double re = element[l], im = element[b.lanes + l];
                     x[b.to[l] + k * lines.inner] =
                         factor * (re * c[k].re - im * c[k].im);
                     if (k == 0 || 2 * k == n) continue;
                     x[b.to[l] + (n - k) * lines.inner] =
                         -factor * (re * c[k].im + im * c[k].re);
                   }
                 }
               });
}

// 2 n times the inverse for first = scale = 1: V_k = conj(c_k) (X_k - i
// X_(n - k)) / 2. X_0 is multiplied by `first`, others by `scale`, before.
void InverseCosine(const Lines& lines, double first, double scale, double* x) {
  const int64_t n = lines.n;
  const RealLines real(n);
  const std::shared_ptr<const std::vector<Root>> roots =
      GetRoots(n / 2 + 1, 4 * n);
  const Root* const c = roots->data();
  ForEachBlock(lines.outer, lines.inner, n, n, real.size(), real.plan(),
               [&](const LaneBlock& b) {
                 for (int64_t k = 0; k <= n / 2; ++k) {
                   double* element = b.data + 2 * k * b.lanes;
                   const double factor = k == 0 ? first : scale;
                   for (int64_t l = 0; l < b.lanes; ++l) {
                     const double re = factor * x[b.from[l] + k * lines.inner];
                     const double im =
                         k == 0 ? 0.0
                                : -scale * x[b.from[l] + (n - k) * lines.inner];
                     element[l] = re * c[k].re + im * c[k].im;
                     element[b.lanes + l] = im * c[k].re - re * c[k].im;
                   }
                 }
                 real.Backward(b);
                 for (int64_t j = 0; j < n; ++j) {
                   const double* element = b.data + real.Place(j, b.lanes);
                   const int64_t at = Shuffled(j, n) * lines.inner;
                   for (int64_t l = 0; l < b.count; ++l)
                     x[b.to[l] + at] = element[l];
                 }
               });
}

absl::Status Wrong(absl::string_view op, const Tensor& x,
                   absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat(op, ": x is ", x.DebugString(), ", expected ", expected));
}

// The axes, resolved, among the first `rank` of x.
absl::StatusOr<std::vector<int>> Axes(absl::string_view op, const Tensor& x,
                                      int rank,
                                      absl::Span<const int64_t> axes) {
  const auto error = [&](absl::string_view expected) {
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": axes are {", absl::StrJoin(axes, ", "), "} of x, ",
                     x.DebugString(), ", expected ", expected));
  };
  if (axes.empty()) return error("at least one");
  std::vector<int> result;
  for (const int64_t axis : axes) {
    if (axis < -rank || axis >= rank) {
      return error(absl::StrCat("-", rank, " <= axis < ", rank));
    }
    const int resolved = static_cast<int>(axis < 0 ? axis + rank : axis);
    if (std::find(result.begin(), result.end(), resolved) != result.end()) {
      return error("each at most once");
    }
    if (x.dim(resolved) == 0) return error("axes of length >= 1");
    result.push_back(resolved);
  }
  return result;
}

// A real tensor's, or a complex one's, elements in f64, as a copy that may be
// written to.
struct Input {
  Tensor values;
  std::vector<int> axes;
};
absl::StatusOr<Input> Prepare(absl::string_view op, const Tensor& x,
                              absl::Span<const int64_t> axes, bool is_complex) {
  if (!x.defined()) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": x is not given"));
  }
  if (x.dtype() != DType::kF32 && x.dtype() != DType::kF64) {
    return Wrong(op, x, "f32 or f64");
  }
  if (is_complex && (x.rank() < 2 || x.dim(x.rank() - 1) != 2)) {
    return Wrong(op, x, "pairs of real and imaginary part, [..., 2]");
  }
  Input input;
  SEPTET_ASSIGN_OR_RETURN(
      input.axes, Axes(op, x, is_complex ? x.rank() - 1 : x.rank(), axes));
  if (x.dtype() == DType::kF64) {
    SEPTET_ASSIGN_OR_RETURN(input.values, x.Clone(), _ << op);
  } else {
    SEPTET_ASSIGN_OR_RETURN(input.values, x.To(DType::kF64), _ << op);
    SEPTET_ASSIGN_OR_RETURN(input.values, input.values.Contiguous(), _ << op);
  }
  return input;
}

// The factor of the whole transform of n elements.
double Factor(FftNorm norm, bool inverse, double n) {
  switch (norm) {
    case FftNorm::kBackward:
      return inverse ? 1 / n : 1.0;
    case FftNorm::kOrtho:
      return 1 / std::sqrt(n);
    case FftNorm::kForward:
      break;
  }
  return inverse ? 1.0 : 1 / n;
}

absl::StatusOr<Tensor> ComplexFft(absl::string_view op, const Tensor& x,
                                  absl::Span<const int64_t> axes, FftNorm norm,
                                  bool inverse) {
  SEPTET_ASSIGN_OR_RETURN(const Input input, Prepare(op, x, axes, true));
  const absl::Span<const int64_t> dims =
      x.shape().dims().first(static_cast<size_t>(x.rank() - 1));
  for (const int axis : input.axes) {
    if (x.num_elements() == 0) break;
    const Lines lines = LinesAlong(dims, axis);
    TransformComplex(lines, inverse,
                     Factor(norm, inverse, static_cast<double>(lines.n)),
                     input.values.mutable_data<double>());
  }
  return input.values.To(x.dtype());
}

absl::StatusOr<Tensor> Cosine(absl::string_view op, const Tensor& x,
                              absl::Span<const int64_t> axes, DctNorm norm,
                              bool inverse) {
  SEPTET_ASSIGN_OR_RETURN(const Input input, Prepare(op, x, axes, false));
  for (const int axis : input.axes) {
    if (x.num_elements() == 0) break;
    const Lines lines = LinesAlong(x.shape().dims(), axis);
    const double n = static_cast<double>(lines.n);
    double* values = input.values.mutable_data<double>();
    const bool ortho = norm == DctNorm::kOrtho;
    if (!inverse) {
      TransformCosine(lines, ortho ? 1 / std::sqrt(4 * n) : 1.0,
                      ortho ? 1 / std::sqrt(2 * n) : 1.0, values);
    } else {
      InverseCosine(lines, ortho ? 1 / std::sqrt(n) : 1 / (2 * n),
                    ortho ? 1 / std::sqrt(2 * n) : 1 / (2 * n), values);
    }
  }
  return input.values.To(x.dtype());
}

}  // namespace

absl::StatusOr<Tensor> Fft(const Tensor& x, absl::Span<const int64_t> axes,
                           FftNorm norm) {
  return ComplexFft("fft", x, axes, norm, false);
}

absl::StatusOr<Tensor> InverseFft(const Tensor& x,
                                  absl::Span<const int64_t> axes,
                                  FftNorm norm) {
  return ComplexFft("inverse_fft", x, axes, norm, true);
}

absl::StatusOr<Tensor> RealFft(const Tensor& x, absl::Span<const int64_t> axes,
                               FftNorm norm) {
  SEPTET_ASSIGN_OR_RETURN(const Input input,
                          Prepare("real_fft", x, axes, false));
  const int last = input.axes.back();
  std::vector<int64_t> dims(x.shape().dims().begin(), x.shape().dims().end());
  const Lines real = LinesAlong(dims, last);
  dims[last] = real.n / 2 + 1;
  std::vector<int64_t> pairs = dims;
  pairs.push_back(2);
  SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(pairs),
                          _ << "real_fft");
  SEPTET_ASSIGN_OR_RETURN(const Tensor result,
                          Tensor::Empty(shape, DType::kF64), _ << "real_fft");
  if (x.num_elements() > 0) {
    RealToComplex(real, Factor(norm, false, static_cast<double>(real.n)),
                  input.values.data<double>(), result.mutable_data<double>());
    for (size_t i = 0; i + 1 < input.axes.size(); ++i) {
      const Lines lines = LinesAlong(dims, input.axes[i]);
      TransformComplex(lines, false,
                       Factor(norm, false, static_cast<double>(lines.n)),
                       result.mutable_data<double>());
    }
  }
  return result.To(x.dtype());
}

absl::StatusOr<Tensor> InverseRealFft(const Tensor& x,
                                      absl::Span<const int64_t> axes,
                                      int64_t length, FftNorm norm) {
  SEPTET_ASSIGN_OR_RETURN(const Input input,
                          Prepare("inverse_real_fft", x, axes, true));
  const int last = input.axes.back();
  std::vector<int64_t> dims(x.shape().dims().begin(),
                            x.shape().dims().end() - 1);
  if (length < 1 || dims[last] != length / 2 + 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "inverse_real_fft: length is ", length, ", axis ", last, " of x, ",
        x.DebugString(), ", expected a length >= 1 and length / 2 + 1 places"));
  }
  for (size_t i = 0; i + 1 < input.axes.size() && x.num_elements() > 0; ++i) {
    const Lines lines = LinesAlong(dims, input.axes[i]);
    TransformComplex(lines, true,
                     Factor(norm, true, static_cast<double>(lines.n)),
                     input.values.mutable_data<double>());
  }
  dims[last] = length;
  SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(dims),
                          _ << "inverse_real_fft");
  SEPTET_ASSIGN_OR_RETURN(const Tensor result,
                          Tensor::Empty(shape, DType::kF64),
                          _ << "inverse_real_fft");
  if (result.num_elements() > 0) {
    ComplexToReal(LinesAlong(dims, last),
                  Factor(norm, true, static_cast<double>(length)),
                  input.values.data<double>(), result.mutable_data<double>());
  }
  return result.To(x.dtype());
}

absl::StatusOr<Tensor> Dct(const Tensor& x, absl::Span<const int64_t> axes,
                           DctNorm norm) {
  return Cosine("dct", x, axes, norm, false);
}

absl::StatusOr<Tensor> InverseDct(const Tensor& x,
                                  absl::Span<const int64_t> axes,
                                  DctNorm norm) {
  return Cosine("inverse_dct", x, axes, norm, true);
}

}  // namespace septet
