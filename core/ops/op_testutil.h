// SPDX-License-Identifier: Apache-2.0
// Numbers for tests of ops: the same on every run, without symmetries, and away
// from zero where asked for.
#ifndef SEPTET_CORE_OPS_OP_TESTUTIL_H_
#define SEPTET_CORE_OPS_OP_TESTUTIL_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/random/philox.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// Uniform in [lo, hi); `stream` tells tensors apart.
inline Tensor RandomTensor(const Shape& shape, DType dtype, uint32_t stream,
                           double lo = -1.0, double hi = 1.0) {
  Tensor x = Tensor::Empty(shape, DType::kF64).value();
  double* data = x.mutable_data<double>();
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    const auto words =
        Philox4x32({0x5e97e7, stream}, {static_cast<uint32_t>(i), 0, 0, 0});
    data[i] = lo + (hi - lo) * (words[0] * 0x1p-32);
  }
  return x.To(dtype).value();
}

// Fails unless |got - want| <= tolerance (1 + |want|) everywhere.
inline void ExpectNear(const Tensor& got, const Tensor& want,
                       double tolerance) {
  ASSERT_EQ(got.shape(), want.shape());
  const std::vector<double> g = got.ToVector<double>();
  const std::vector<double> w = want.ToVector<double>();
  for (size_t i = 0; i < g.size(); ++i) {
    ASSERT_LE(std::abs(g[i] - w[i]), tolerance * (1 + std::abs(w[i])))
        << "element " << i << ": got " << g[i] << ", want " << w[i];
  }
}

}  // namespace septet

#endif  // SEPTET_CORE_OPS_OP_TESTUTIL_H_
