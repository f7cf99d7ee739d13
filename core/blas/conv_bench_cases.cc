// SPDX-License-Identifier: Apache-2.0
// Convolutions and their gradients beside the peak of multiply-adds; pooling
// beside the copying of as many bytes.
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/blas/conv.h"
#include "septet/core/blas/pool.h"

namespace septet {
namespace {

template <typename T>
constexpr const char* kType = std::is_same_v<T, float> ? "f32" : "f64";

enum class Function { kForward, kBackwardData, kBackwardWeights };

template <typename T>
struct Images {
  Conv2dShape shape;
  Function function;
  std::vector<T> x, w, dy, out;

  Images(const Conv2dShape& s, Function f)
      : shape(s),
        function(f),
        x(BenchValues<T>(s.n * s.h * s.w * s.c_in)),
        w(BenchValues<T>(s.kh * s.kw * s.c_in / s.groups * s.c_out, -1, 1,
                         1000003)),
        dy(BenchValues<T>(s.n * s.OutH() * s.OutW() * s.c_out, -1, 1, 2000003)),
        out(f == Function::kForward        ? dy.size()
            : f == Function::kBackwardData ? x.size()
                                           : w.size()) {}

  absl::Status Run(const Conv2dShape& s, T* to) const {
    switch (function) {
      case Function::kForward:
        return Conv2dForward(s, x.data(), w.data(), nullptr, to);
      case Function::kBackwardData:
        return Conv2dBackwardData(s, dy.data(), w.data(), nullptr, to);
      case Function::kBackwardWeights:
        break;
    }
    return Conv2dBackwardWeights(s, x.data(), dy.data(), to, nullptr);
  }
  absl::Status Reference(const Conv2dShape& s, T* to) const {
    const T* const no_bias = nullptr;
    switch (function) {
      case Function::kForward:
        return Conv2dReferenceForward(s, x.data(), w.data(), no_bias, to);
      case Function::kBackwardData:
        return Conv2dReferenceBackwardData(s, dy.data(), w.data(), no_bias, to);
      case Function::kBackwardWeights:
        break;
    }
    T* const no_dbias = nullptr;
    return Conv2dReferenceBackwardWeights(s, x.data(), dy.data(), to, no_dbias);
  }
};

template <typename T>
absl::StatusOr<BenchKernel> PrepareConv(const Conv2dShape& s, Function f) {
  auto images = std::make_shared<Images<T>>(s, f);
  // The first image by the definition.
  Conv2dShape one = s;
  one.n = 1;
  std::vector<T> got(images->out.size()), want(got.size());
  SEPTET_RETURN_IF_ERROR(images->Run(one, got.data()));
  SEPTET_RETURN_IF_ERROR(images->Reference(one, want.data()));
  const double terms = static_cast<double>(
      f == Function::kForward        ? s.kh * s.kw * s.c_in / s.groups
      : f == Function::kBackwardData ? s.kh * s.kw * s.c_out / s.groups
                                     : s.OutH() * s.OutW());
  // Sums of products of numbers below 1, whose roundings add at random.
  SEPTET_RETURN_IF_ERROR(CheckClose<T>(
      "result", got, want, {8 * terms * std::numeric_limits<T>::epsilon(), 0}));
  const BenchKernel kernel = [images] {
    SEPTET_CHECK(images->Run(images->shape, images->out.data()).ok());
  };
  kernel();
  return kernel;
}

struct Size {
  int64_t n, extent, c_in, c_out, k, stride, groups;
  // Bars for f32: forward, gradient of the input, of the weights.
  double bars[3];
};

template <typename T>
void AddConv(const Size& size) {
  Conv2dShape s;
  s.n = size.n;
  s.h = s.w = size.extent;
  s.c_in = size.c_in;
  s.c_out = size.c_out;
  s.kh = s.kw = size.k;
  s.stride_h = s.stride_w = size.stride;
  s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = size.k / 2;
  s.groups = size.groups;
  const char* const kNames[] = {"conv2d", "conv2d_backward_data",
                                "conv2d_backward_weights"};
  for (const Function f : {Function::kForward, Function::kBackwardData,
                           Function::kBackwardWeights}) {
    const int i = static_cast<int>(f);
    BenchCase c;
    c.name = absl::StrCat(kNames[i], "/", kType<T>, "/", s.n, "x", s.h, "x",
                          s.w, "x", s.c_in, "->", s.c_out, "/k", s.kh, "s",
                          s.stride_h, "g", s.groups);
    c.limit = BenchLimit::Flops<T>(
        2.0 * static_cast<double>(s.n * s.OutH() * s.OutW() * s.c_out) *
        static_cast<double>(s.kh * s.kw * s.c_in / s.groups));
    if (std::is_same_v<T, float>) c.at_least = size.bars[i];
    c.prepare = [s, f] { return PrepareConv<T>(s, f); };
    RegisterBenchCase(std::move(c));
  }
}

const bool kConv = [] {
  const Size kSizes[] = {
      {16, 32, 64, 64, 3, 1, 1, {0.85, 0.80, 0.65}},
      {8, 56, 64, 64, 3, 1, 1, {0.85, 0.80, 0.65}},
      {16, 32, 16, 16, 3, 1, 1, {0.60, 0, 0}},
      {64, 28, 1, 32, 5, 1, 1, {0.55, 0, 0.6}},
      // The result's 12.8 MB are written, or read, in most of the time.
      {128, 28, 1, 32, 3, 1, 1, {0.25, 0, 0.35}},
      {32, 32, 3, 32, 3, 1, 1, {0.5, 0, 0.6}},
      {16, 32, 64, 128, 3, 2, 1, {0, 0, 0}},
      {16, 8, 256, 256, 3, 1, 1, {0, 0, 0}},
      {16, 32, 64, 64, 3, 1, 64, {0, 0, 0}},
  };
  for (const Size& size : kSizes) {
    AddConv<float>(size);
    AddConv<double>(size);
  }
  return true;
}();

// The whole image is read, and a quarter of it written with the places.
constexpr int64_t kImages = 16, kExtent = 32, kChannels = 64;

template <typename T>
absl::StatusOr<BenchKernel> PreparePool() {
  Pool2dShape s;
  s.n = kImages;
  s.h = s.w = kExtent;
  s.c = kChannels;
  s.kh = s.kw = s.stride_h = s.stride_w = 2;
  auto x =
      std::make_shared<std::vector<T>>(BenchValues<T>(s.n * s.h * s.w * s.c));
  auto y = std::make_shared<std::vector<T>>(x->size() / 4);
  auto argmax = std::make_shared<std::vector<int64_t>>(y->size());
  const BenchKernel kernel = [s, x, y, argmax] {
    SEPTET_CHECK(
        MaxPool2dForward(s, x->data(), y->data(), argmax->data()).ok());
  };
  kernel();
  for (size_t i = 0; i < y->size(); ++i) {
    const size_t c = i % kChannels;
    const size_t col = i / kChannels % (kExtent / 2) * 2;
    const size_t row = i / kChannels / (kExtent / 2) * 2;
    T best = -2;
    int64_t place = 0;
    for (size_t k = 0; k < 4; ++k) {
      const size_t pixel = (row + k / 2) * kExtent + col + k % 2;
      const T v = (*x)[pixel * kChannels + c];
      if (v > best) {
        best = v;
        place = static_cast<int64_t>(pixel % (kExtent * kExtent));
      }
    }
    if ((*y)[i] != best || (*argmax)[i] != place) {
      return absl::InternalError(absl::StrCat("y[", i, "] is ", (*y)[i],
                                              " of place ", (*argmax)[i],
                                              ", want ", best, " of ", place));
    }
  }
  return kernel;
}

template <typename T>
bool AddPool() {
  const double elements =
      static_cast<double>(kImages * kExtent * kExtent * kChannels);
  BenchCase c;
  c.name = absl::StrCat("max_pool2d/", kType<T>, "/16x32x32x64/k2s2");
  c.limit = BenchLimit::CopiedBytes(elements * (1.25 * sizeof(T) + 2));
  c.elements = elements;
  c.prepare = &PreparePool<T>;
  return RegisterBenchCase(std::move(c));
}

const bool kPool = AddPool<float>() && AddPool<double>();

}  // namespace
}  // namespace septet
