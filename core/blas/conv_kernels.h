// SPDX-License-Identifier: Apache-2.0
// The inner loops of convolution (core/blas/conv.h), on the CPU: products of
// image patches with a block of columns of the weights, and their transpose.
//
// A patch is the set of input elements that one output pixel sees. It consists
// of runs: stretches of `run_length` contiguous elements at fixed distances
// from the pixel's own place, the same for all pixels. A block of columns is
// `vectors` (1 or 2) vectors wide, ConvLanes<T>() elements each.
//
// Plain functions: no allocation, no threads. An element's sum runs in order of
// the runs, whatever the other pixels are.
#ifndef SEPTET_CORE_BLAS_CONV_KERNELS_H_
#define SEPTET_CORE_BLAS_CONV_KERNELS_H_

#include <cstdint>

namespace septet {

// Elements of a vector of this machine.
template <typename T>
int64_t ConvLanes();

// y[y_offsets[p] + j] = bias[j] + sum over runs r and k < run_length of
// x[x_offsets[p] + runs[r] + k] w[(r run_length + k) w_stride + j] for all
// pixels p and j < columns.
template <typename T>
struct ConvTilesArgs {
  int64_t pixels = 0;
  const T* x = nullptr;
  const int64_t* x_offsets = nullptr;
  int64_t num_runs = 0;
  const int64_t* runs = nullptr;
  int64_t run_length = 0;
  int vectors = 1;
  int64_t columns = 0;   // at most vectors * ConvLanes<T>()
  const T* w = nullptr;  // rows of vectors * ConvLanes<T>() elements
  int64_t w_stride = 0;
  const T* bias = nullptr;  // as long as a row of w
  T* y = nullptr;
  const int64_t* y_offsets = nullptr;
};
void ConvTiles(const ConvTilesArgs<float>& args);
void ConvTiles(const ConvTilesArgs<double>& args);

// dw[(r run_length + k) width + j] += sum over pixels p of
// x[x_offsets[p] + runs[r] + k] dy[p width + j], width = vectors *
// ConvLanes<T>(), for all runs r, k < run_length and j < width.
template <typename T>
struct ConvWeightTilesArgs {
  int64_t pixels = 0;
  const T* x = nullptr;
  const int64_t* x_offsets = nullptr;
  int64_t num_runs = 0;
  const int64_t* runs = nullptr;
  int64_t run_length = 0;
  int vectors = 1;
  const T* dy = nullptr;
  T* dw = nullptr;
};
void ConvWeightTiles(const ConvWeightTilesArgs<float>& args);
void ConvWeightTiles(const ConvWeightTilesArgs<double>& args);

// Depthwise. y[y_offsets[p] + c] = bias[c] + sum over taps t of
// x[x_offsets[p] + taps[t] + c] w[t channels + c], c < channels; bias may be
// null.
template <typename T>
struct DepthwiseArgs {
  int64_t pixels = 0;
  int64_t channels = 0;
  const T* x = nullptr;
  const int64_t* x_offsets = nullptr;
  int64_t num_taps = 0;
  const int64_t* taps = nullptr;
  const T* w = nullptr;
  const T* bias = nullptr;
  T* y = nullptr;
  const int64_t* y_offsets = nullptr;
};
void DepthwiseTiles(const DepthwiseArgs<float>& args);
void DepthwiseTiles(const DepthwiseArgs<double>& args);

// dw[t channels + c] += sum over pixels p of x[x_offsets[p] + taps[t] + c]
// dy[p channels + c].
template <typename T>
struct DepthwiseWeightArgs {
  int64_t pixels = 0;
  int64_t channels = 0;
  const T* x = nullptr;
  const int64_t* x_offsets = nullptr;
  int64_t num_taps = 0;
  const int64_t* taps = nullptr;
  const T* dy = nullptr;
  T* dw = nullptr;
};
void DepthwiseWeightTiles(const DepthwiseWeightArgs<float>& args);
void DepthwiseWeightTiles(const DepthwiseWeightArgs<double>& args);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_CONV_KERNELS_H_
