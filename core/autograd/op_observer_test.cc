// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;

class Recorder : public OpObserver {
 public:
  void OnOp(const Op& op, int64_t node, absl::Span<const Tensor* const> inputs,
            absl::Span<const Var> outputs) override {
    std::string line = absl::StrCat(op.name(), " ", node, ":");
    for (const Tensor* input : inputs) {
      for (const double x : input->ToVector<double>()) {
        absl::StrAppend(&line, " ", x);
      }
    }
    absl::StrAppend(&line, " ->");
    for (const Var& output : outputs) {
      for (const double x : output.tensor().ToVector<double>()) {
        absl::StrAppend(&line, " ", x);
      }
    }
    lines.push_back(line);
  }
  void OnGradient(const Op& op, int64_t node, int input,
                  const Tensor& gradient) override {
    std::string line =
        absl::StrCat("d ", op.name(), " ", node, ".", input, ":");
    for (const double x : gradient.ToVector<double>()) {
      absl::StrAppend(&line, " ", x);
    }
    lines.push_back(line);
  }
  std::vector<std::string> lines;
};

TEST(OpObserverTest, SeesOpsAndGradients) {
  Tape tape;
  Recorder recorder;
  const Var x = tape.Watch(Tensor::FromValues<double>({2}, {1, 3}).value());
  const Var c(Tensor::FromValues<double>({2}, {2, 5}).value());
  EXPECT_EQ(CurrentOpObserver(), nullptr);
  {
    ScopedOpObserver scope(&recorder);
    EXPECT_EQ(CurrentOpObserver(), &recorder);
    const Var constant = Add(c, c);
    const Var loss = Sum(Mul(Square(x), constant));
    SEPTET_ASSERT_OK(tape.Grad(loss, {x}));
  }
  EXPECT_EQ(CurrentOpObserver(), nullptr);
  Square(x);
  // Sum is two ops.
  EXPECT_THAT(recorder.lines,
              ElementsAre("add -1: 2 5 2 5 -> 4 10", "square 0: 1 3 -> 1 9",
                          "mul 1: 1 9 4 10 -> 4 90", "sum_to 2: 4 90 -> 94",
                          "reshape 3: 94 -> 94", "d reshape 3.0: 1",
                          "d sum_to 2.0: 1 1", "d mul 1.0: 4 10",
                          "d square 0.0: 8 60"));
}

TEST(OpObserverTest, TheInnermostIsCalled) {
  Recorder outer;
  Recorder inner;
  const Var c(Tensor::FromValues<double>({1}, {2}).value());
  // As the op was given it: not a copy that was made for the kernel.
  const Var row(Tensor::FromValues<double>({2, 2}, {1, 2, 3, 4})
                    ->Permute({1, 0})
                    .value());
  {
    ScopedOpObserver outer_scope(&outer);
    {
      ScopedOpObserver inner_scope(&inner);
      Square(c);
    }
    {
      ScopedOpObserver quiet(nullptr);
      Square(c);
    }
    Square(row);
  }
  EXPECT_THAT(inner.lines, ElementsAre("square -1: 2 -> 4"));
  EXPECT_THAT(outer.lines, ElementsAre("square -1: 1 3 2 4 -> 1 9 4 16"));
}

}  // namespace
}  // namespace septet
