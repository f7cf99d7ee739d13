// SPDX-License-Identifier: Apache-2.0
// septet from another workspace: its tensor, and a vector kernel at full speed
// although this workspace is compiled without optimisation.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/tensor/tensor.h"

#ifndef CONSUMER_GOOGLETEST
#error "this is not the GoogleTest of this workspace"
#endif

namespace {

TEST(ConsumerTest, TensorsAndTheirErrorsWork) {
  const absl::StatusOr<septet::Tensor> x =
      septet::Tensor::FromValues<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  ASSERT_TRUE(x.ok()) << x.status();
  EXPECT_EQ(x->num_elements(), 6);
  EXPECT_EQ(x->dim(1), 3);
  EXPECT_EQ(x->data<float>()[5], 6.0f);

  const absl::StatusOr<septet::Tensor> wrong =
      septet::Tensor::FromValues<float>({2, 3}, {1, 2});
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
}

// Seconds of the fastest of many calls: the one that nothing interrupted.
template <typename Function>
double BestSeconds(Function&& function) {
  double best = 1e30;
  for (int i = 0; i < 200; ++i) {
    const auto start = std::chrono::steady_clock::now();
    function();
    const std::chrono::duration<double> taken =
        std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

// Compiled without optimisation the kernel takes about 95 times as long as
// with it, far longer than the C library's function. So beating that function
// twofold shows that the kernel's own flags came along.
TEST(ConsumerTest, KernelRunsAtFullSpeed) {
  constexpr int64_t kCount = 4096;
  std::vector<float> x(kCount);
  for (int64_t i = 0; i < kCount; ++i) x[i] = -4.0f + 8.0f * i / kCount;
  std::vector<float> expected(kCount), y(kCount);

  const double library = BestSeconds([&] {
    for (int64_t i = 0; i < kCount; ++i) expected[i] = std::tanh(x[i]);
  });
  const double kernel = BestSeconds([&] {
    septet::UnaryKernel(septet::UnaryKind::kTanh, kCount, x.data(), y.data());
  });

  for (int64_t i = 0; i < kCount; ++i) {
    ASSERT_NEAR(y[i], expected[i], 1e-6) << "tanh(" << x[i] << ")";
  }
  std::printf("tanh: std::tanh %.2f ns, kernel %.2f ns an element\n",
              1e9 * library / kCount, 1e9 * kernel / kCount);
  EXPECT_LT(kernel * 2, library);
}

}  // namespace
