// SPDX-License-Identifier: Apache-2.0
// What moves, orders or gathers elements and computes little: running sums,
// sorting, joining, transposing copies, pooling and resizing of images.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/cumsum.h"
#include "septet/core/ops/pool.h"
#include "septet/core/ops/sort.h"
#include "septet/core/ops/upsample.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using Numbers = std::vector<float>;

struct MovementCase {
  std::string name;
  Shape shape;          // of the input
  int64_t outputs = 0;  // elements
  bool copies = true;   // moving them is the limit; else time alone is shown
  std::function<Var(const Tensor& x)> run;
  std::function<Numbers(const Numbers& x)> want;
  double tolerance = 0;
};

void Register(MovementCase m) {
  BenchCase c;
  c.name = std::move(m.name);
  const int64_t inputs = m.shape.num_elements();
  c.elements = static_cast<double>(std::max(inputs, m.outputs));
  if (m.copies) {
    c.limit =
        BenchLimit::CopiedBytes(4 * static_cast<double>(inputs + m.outputs));
  }
  c.prepare = [shape = m.shape, run = std::move(m.run),
               want = std::move(m.want),
               tolerance = m.tolerance]() -> absl::StatusOr<BenchKernel> {
    const Numbers values = BenchValues<float>(shape.num_elements());
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor flat,
        Tensor::FromValues<float>({shape.num_elements()}, values));
    SEPTET_ASSIGN_OR_RETURN(const Tensor x, flat.Reshape(shape.dims()));
    const Var y = run(x);
    SEPTET_RETURN_IF_ERROR(y.status());
    SEPTET_RETURN_IF_ERROR(CheckClose<float>("y", y.tensor().ToVector<float>(),
                                             want(values), {tolerance, 0}));
    return BenchKernel([x, run] { SEPTET_CHECK(run(x).ok()); });
  };
  RegisterBenchCase(std::move(c));
}

constexpr int64_t kRows = 16384, kLength = 1024;

void RegisterRows() {
  Register({"cumsum/f32/16384x1024", Shape({kRows, kLength}), kRows * kLength,
            true, [](const Tensor& x) { return CumSum(x, -1); },
            [](const Numbers& x) {
              Numbers y(x.size());
              double sum = 0;
              for (size_t i = 0; i < x.size(); ++i) {
                if (i % kLength == 0) sum = 0;
                sum += static_cast<double>(x[i]);
                y[i] = static_cast<float>(sum);
              }
              return y;
            },
            1e-3});
  Register({"sort/f32/1024x1024", Shape({1024, kLength}), 1024 * kLength, false,
            [](const Tensor& x) { return Sort(x).values; },
            [](const Numbers& x) {
              Numbers y = x;
              for (auto row = y.begin(); row != y.end(); row += kLength) {
                std::sort(row, row + kLength);
              }
              return y;
            }});
  Register({"top_k/f32/64x50257/k:50", Shape({64, 50257}), 64 * 50, false,
            [](const Tensor& x) { return TopK(x, 50).values; },
            [](const Numbers& x) {
              Numbers y;
              for (auto row = x.begin(); row != x.end(); row += 50257) {
                Numbers sorted(row, row + 50257);
                std::sort(sorted.rbegin(), sorted.rend());
                y.insert(y.end(), sorted.begin(), sorted.begin() + 50);
              }
              return y;
            }});
  Register({"concat/f32/16384x1024x2", Shape({kRows, kLength}), kRows * kLength,
            true,
            [](const Tensor& x) {
              return Concat(
                  {Slice(x, 0, kRows / 2, kRows), Slice(x, 0, 0, kRows / 2)},
                  0);
            },
            [](const Numbers& x) {
              Numbers y = x;
              std::rotate(y.begin(), y.begin() + y.size() / 2, y.end());
              return y;
            }});
  Register(
      {"transposing_copy/f32/4096x4096", Shape({4096, 4096}), 4096 * 4096, true,
       [](const Tensor& x) {
         const absl::StatusOr<Tensor> turned = x.Permute({1, 0});
         return turned.ok() ? Var(turned->Contiguous()) : Var(turned.status());
       },
       [](const Numbers& x) {
         Numbers y(x.size());
         for (size_t i = 0; i < x.size(); ++i) {
           y[i % 4096 * 4096 + i / 4096] = x[i];
         }
         return y;
       }});
}

// Images [16, 56, 56, 64].
constexpr int64_t kImages = 16, kSide = 56, kChannels = 64;

float At(const Numbers& x, int64_t n, int64_t i, int64_t j, int64_t c) {
  return x[static_cast<size_t>(((n * kSide + i) * kSide + j) * kChannels + c)];
}

// pixel(n, i, j, c) for every element of [16, side, side, 64].
template <typename Fn>
Numbers EachPixel(int64_t side, const Fn& pixel) {
  Numbers y;
  for (int64_t n = 0; n < kImages; ++n) {
    for (int64_t i = 0; i < side; ++i) {
      for (int64_t j = 0; j < side; ++j) {
        for (int64_t c = 0; c < kChannels; ++c) {
          y.push_back(pixel(n, i, j, c));
        }
      }
    }
  }
  return y;
}

void RegisterImages() {
  const Shape images({kImages, kSide, kSide, kChannels});
  Pool2dOptions pool;
  pool.kernel_h = pool.kernel_w = pool.stride_h = pool.stride_w = 2;
  Register({"avg_pool2d/f32/16x56x56x64/2x2", images, images.num_elements() / 4,
            true, [pool](const Tensor& x) { return AvgPool2d(x, pool); },
            [](const Numbers& x) {
              return EachPixel(kSide / 2,
                               [&](int64_t n, int64_t i, int64_t j, int64_t c) {
                                 return (At(x, n, 2 * i, 2 * j, c) +
                                         At(x, n, 2 * i, 2 * j + 1, c) +
                                         At(x, n, 2 * i + 1, 2 * j, c) +
                                         At(x, n, 2 * i + 1, 2 * j + 1, c)) /
                                        4;
                               });
            },
            1e-6});
  // x times the gradient of the sum of the maxima: x where it is the largest of
  // its window. The values of a window differ.
  Register({"max_pool2d_and_gradient/f32/16x56x56x64/2x2", images,
            images.num_elements(), true,
            [pool](const Tensor& x) -> Var {
              Tape tape;
              const Var watched = tape.Watch(x);
              const Var y = MaxPool2d(watched, pool).y;
              if (!y.ok()) return y;
              const absl::StatusOr<Tensor> ones =
                  Tensor::Full(y.shape(), 1.0, y.dtype());
              if (!ones.ok()) return ones.status();
              auto grads = tape.GradVars({y}, {*ones}, {watched}, false);
              if (!grads.ok()) return grads.status();
              return (*grads)[0].Detach();
            },
            [](const Numbers& x) {
              return EachPixel(
                  kSide, [&](int64_t n, int64_t i, int64_t j, int64_t c) {
                    float best = -INFINITY;
                    for (int64_t a = i / 2 * 2; a < i / 2 * 2 + 2; ++a) {
                      for (int64_t b = j / 2 * 2; b < j / 2 * 2 + 2; ++b) {
                        best = std::max(best, At(x, n, a, b, c));
                      }
                    }
                    return At(x, n, i, j, c) == best ? 1.0f : 0.0f;
                  });
            }});
  Register({"upsample2d/f32/16x56x56x64/nearest", images,
            4 * images.num_elements(), true,
            [](const Tensor& x) { return Upsample2d(x, 2, 2); },
            [](const Numbers& x) {
              return EachPixel(2 * kSide,
                               [&](int64_t n, int64_t i, int64_t j, int64_t c) {
                                 return At(x, n, i / 2, j / 2, c);
                               });
            }});
}

[[maybe_unused]] const bool kRegistered = [] {
  RegisterRows();
  RegisterImages();
  return true;
}();

}  // namespace
}  // namespace septet
