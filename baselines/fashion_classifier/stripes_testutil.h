// SPDX-License-Identifier: Apache-2.0
// Small images that are easy to tell apart, for tests: stripes along or across,
// and a chessboard, with noise.
#ifndef SEPTET_BASELINES_FASHION_CLASSIFIER_STRIPES_TESTUTIL_H_
#define SEPTET_BASELINES_FASHION_CLASSIFIER_STRIPES_TESTUTIL_H_

#include <cstdint>

#include "septet/core/random/philox.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

inline constexpr int64_t kStripesHeight = 12;
inline constexpr int64_t kStripesWidth = 10;

// Image i is of class i mod 3; other `stream`, other noise. u8 [count, H, W].
inline Tensor StripeImages(int64_t count, uint32_t stream) {
  Tensor x =
      Tensor::Empty({count, kStripesHeight, kStripesWidth}, DType::kU8).value();
  int64_t at = 0;
  for (int64_t n = 0; n < count; ++n) {
    for (int64_t i = 0; i < kStripesHeight; ++i) {
      for (int64_t j = 0; j < kStripesWidth; ++j, ++at) {
        const int64_t phase = n % 3 == 0 ? i : n % 3 == 1 ? j : i + j;
        const uint32_t noise =
            Philox4x32({7, stream}, {static_cast<uint32_t>(at), 0, 0, 0})[0] %
            100;
        x.mutable_data<uint8_t>()[at] =
            static_cast<uint8_t>(phase / 2 % 2 * 120 + noise);
      }
    }
  }
  return x;
}

// u8 [count].
inline Tensor StripeLabels(int64_t count) {
  Tensor x = Tensor::Empty({count}, DType::kU8).value();
  for (int64_t n = 0; n < count; ++n) {
    x.mutable_data<uint8_t>()[n] = static_cast<uint8_t>(n % 3);
  }
  return x;
}

}  // namespace septet

#endif  // SEPTET_BASELINES_FASHION_CLASSIFIER_STRIPES_TESTUTIL_H_
