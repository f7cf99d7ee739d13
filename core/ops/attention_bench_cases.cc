// SPDX-License-Identifier: Apache-2.0
// Attention as users call it, against the composite. Counted are 4 D operations
// a visible pair forward, and 14 D with the backward pass; while decoding, the
// bytes of k and v.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/ops/attention.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct Problem {
  int64_t heads;
  int64_t queries;
  int64_t keys;
  int64_t dim;
  bool backward;
};

template <typename T>
struct State {
  Problem problem;
  Tape tape;
  std::vector<Tensor> inputs;   // q, k, v, and the weights of a loss
  std::vector<Tensor> results;  // the output, or the gradients

  absl::Status Run() {
    if (!problem.backward) {
      const Var out = Attention(inputs[0], inputs[1], inputs[2]);
      SEPTET_RETURN_IF_ERROR(out.status());
      results = {out.tensor()};
      return absl::OkStatus();
    }
    tape.Reset();
    const std::vector<Var> in = {tape.Watch(inputs[0]), tape.Watch(inputs[1]),
                                 tape.Watch(inputs[2])};
    const Var loss = Sum(Mul(Attention(in[0], in[1], in[2]), inputs[3]));
    SEPTET_ASSIGN_OR_RETURN(results, tape.Grad(loss, in));
    return absl::OkStatus();
  }
};

template <typename T>
absl::StatusOr<BenchKernel> Prepare(const Problem& problem) {
  auto state = std::make_shared<State<T>>();
  state->problem = problem;
  for (int i = 0; i < 4; ++i) {
    const int64_t rows = i == 1 || i == 2 ? problem.keys : problem.queries;
    const Shape shape({1, problem.heads, rows, problem.dim});
    SEPTET_ASSIGN_OR_RETURN(
        Tensor x,
        Tensor::FromValues<T>(
            shape, BenchValues<T>(shape.num_elements(), -2, 2, 1000 * i)));
    state->inputs.push_back(std::move(x));
  }
  std::vector<Tensor> want;
  {
    ScopedReference reference;
    SEPTET_RETURN_IF_ERROR(state->Run());
    want = std::move(state->results);
  }
  SEPTET_RETURN_IF_ERROR(state->Run());
  for (size_t i = 0; i < want.size(); ++i) {
    // Sums of about a thousand terms around 1 in the gradients of k and v.
    const double tolerance = sizeof(T) == 4 ? 1e-4 : 1e-12;
    SEPTET_RETURN_IF_ERROR(CheckClose<T>(
        absl::StrCat("result ", i),
        absl::MakeConstSpan(state->results[i].template data<T>(),
                            static_cast<size_t>(want[i].num_elements())),
        absl::MakeConstSpan(want[i].template data<T>(),
                            static_cast<size_t>(want[i].num_elements())),
        {tolerance, tolerance}));
  }
  return BenchKernel([state] {
    const absl::Status status = state->Run();
    SEPTET_CHECK(status.ok()) << status.ToString();
  });
}

template <typename T>
void Register(const Problem& problem, int threads, double at_least) {
  const bool decode = problem.queries == 1;
  const double heads = static_cast<double>(problem.heads);
  const double t = static_cast<double>(problem.queries);
  const double s = static_cast<double>(problem.keys);
  const double dim = static_cast<double>(problem.dim);
  const double pairs = heads * (t * (s - t) + t * (t + 1) / 2);
  BenchCase c;
  c.name = absl::StrCat(decode ? "attention_decode/" : "attention/",
                        DTypeName(kDTypeOf<T>), "/", problem.heads, "x",
                        problem.queries, "x", problem.keys, "x", problem.dim,
                        problem.backward ? "/gradient" : "",
                        threads > 1 ? absl::StrCat("/threads", threads) : "");
  c.threads = threads;
  c.limit =
      decode ? BenchLimit::ReadBytes(2 * heads * s * dim * sizeof(T))
             : BenchLimit::Flops<T>((problem.backward ? 14 : 4) * dim * pairs);
  c.at_least = at_least;
  c.prepare = [problem] { return Prepare<T>(problem); };
  RegisterBenchCase(std::move(c));
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const bool backward : {false, true}) {
    const double bar = backward ? 0.45 : 0.5;
    Register<float>({8, 1024, 1024, 64, backward}, 1, bar);
    Register<float>({8, 1024, 1024, 64, backward}, 2, 0);
    Register<float>({64, 128, 128, 32, backward}, 1, 0);
    Register<double>({8, 1024, 1024, 64, backward}, 1, 0);
  }
  Register<float>({16, 1, 4096, 64, false}, 1, 0);
  Register<double>({16, 1, 4096, 64, false}, 1, 0);
  // One head, whose keys are what threads share.
  Register<float>({1, 1, 131072, 64, false}, 2, 0);
  return true;
}();

}  // namespace
}  // namespace septet
