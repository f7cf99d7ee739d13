// SPDX-License-Identifier: Apache-2.0
// RetentionStep takes no memory. A program of its own, because it counts what
// the whole of it takes.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/retention.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  void* const block = std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) std::abort();
  return block;
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }

namespace septet {
namespace {

TEST(RetentionStepTest, TakesNoMemory) {
  const int64_t n = 3, heads = 4;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    for (const ScoreNorm norm :
         {ScoreNorm::kNone, ScoreNorm::kDecay, ScoreNorm::kPaper}) {
      const Tensor q = RandomTensor({n, heads, 16}, DType::kF32, 1);
      const Tensor k = RandomTensor({n, heads, 16}, DType::kF32, 2);
      const Tensor v = RandomTensor({n, heads, 40}, DType::kF32, 3);
      SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor log_gamma, LogDecay({}, heads));
      Tensor s = *Tensor::Zeros({n, heads, 16, 40}, DType::kF32);
      Tensor key_sum = *Tensor::Zeros({n, heads, 16}, DType::kF32);
      Tensor out = *Tensor::Empty({n, heads, 40}, DType::kF32);
      std::vector<int64_t> positions(n, 0);
      RetentionOptions options;
      options.score_norm = norm;
      const int64_t before = allocations;
      const int64_t tensors = CpuAllocator().Stats().live_bytes;
      CpuAllocator().ResetPeak();
      for (int i = 0; i < 10; ++i) {
        if (!RetentionStep(q, k, v, log_gamma, options, &s, &key_sum,
                           absl::MakeSpan(positions), &out)
                 .ok()) {
          FAIL();
        }
      }
      EXPECT_EQ(allocations, before);
      EXPECT_EQ(CpuAllocator().Stats().peak_live_bytes, tensors);
      EXPECT_EQ(positions[2], 10);
    }
  }
}

}  // namespace
}  // namespace septet
