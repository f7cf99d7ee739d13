// SPDX-License-Identifier: Apache-2.0
// Retention as users call it, against the composite. Counted are the
// operations of retnet.md 5 without tiles above the diagonal, those that make
// the states of the backward pass again included, terms of states that are 0 or
// that nobody wants left out; for a step, the bytes of its state, read and
// written.
#include <algorithm>
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
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/retention.h"

namespace septet {
namespace {

template <typename T>
absl::StatusOr<Tensor> Values(const Shape& shape, int64_t from) {
  return Tensor::FromValues<T>(
      shape, BenchValues<T>(shape.num_elements(), -1, 1, 1000 * from));
}

template <typename T>
absl::Status CheckResult(absl::string_view name, const Tensor& got,
                         const Tensor& want_view, double tolerance) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor want, want_view.Contiguous());
  const size_t n = static_cast<size_t>(want.num_elements());
  return CheckClose<T>(name, absl::MakeConstSpan(got.data<T>(), n),
                       absl::MakeConstSpan(want.data<T>(), n),
                       {tolerance, tolerance});
}

struct Problem {
  int64_t sequences;
  int64_t rows;
  int64_t heads;
  int64_t key_dim;
  int64_t value_dim;
  int64_t chunk;
  bool backward;
};

struct State {
  Problem problem;
  RetentionOptions options;
  Tensor log_gamma;
  Tape tape;
  std::vector<Tensor> inputs;   // q, k, v, and the weights of a loss
  std::vector<Tensor> results;  // the output, or the gradients

  absl::Status Run() {
    if (!problem.backward) {
      const Var out =
          Retention(inputs[0], inputs[1], inputs[2], log_gamma, options).out;
      SEPTET_RETURN_IF_ERROR(out.status());
      results = {out.tensor()};
      return absl::OkStatus();
    }
    tape.Reset();
    const std::vector<Var> in = {tape.Watch(inputs[0]), tape.Watch(inputs[1]),
                                 tape.Watch(inputs[2])};
    const Var out = Retention(in[0], in[1], in[2], log_gamma, options).out;
    SEPTET_ASSIGN_OR_RETURN(results, tape.Grad(Sum(Mul(out, inputs[3])), in));
    return absl::OkStatus();
  }
};

template <typename T>
absl::StatusOr<BenchKernel> Prepare(const Problem& problem) {
  auto state = std::make_shared<State>();
  state->problem = problem;
  state->options.form = RetentionForm::kChunkwise;
  state->options.chunk_size = problem.chunk;
  SEPTET_ASSIGN_OR_RETURN(state->log_gamma, LogDecay({}, problem.heads));
  for (int i = 0; i < 4; ++i) {
    SEPTET_ASSIGN_OR_RETURN(
        Tensor x,
        Values<T>(Shape({problem.sequences, problem.rows, problem.heads,
                         i < 2 ? problem.key_dim : problem.value_dim}),
                  i));
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
    SEPTET_RETURN_IF_ERROR(CheckResult<T>(absl::StrCat("result ", i),
                                          state->results[i], want[i],
                                          sizeof(T) == 4 ? 1e-4 : 1e-12));
  }
  return BenchKernel([state] {
    const absl::Status status = state->Run();
    SEPTET_CHECK(status.ok()) << status.ToString();
  });
}

double Operations(const Problem& p) {
  double pairs = 0, state = 0;  // pairs of rows; rows times dk dv
  for (int64_t t = 0; t < p.rows; t += p.chunk) {
    const double rows = static_cast<double>(std::min(p.chunk, p.rows - t));
    const bool first = t == 0, last = t + p.chunk >= p.rows;
    pairs += rows * (rows + 1) / 2;
    state += rows * ((first ? 0 : 2) + (last ? 0 : 2));
    // dq and the gradient of the state before; dk, dv, and the state again.
    if (p.backward) state += rows * ((first ? 0 : 4) + (last ? 0 : 6));
  }
  const double dk = static_cast<double>(p.key_dim);
  const double dv = static_cast<double>(p.value_dim);
  const double of_pair =
      2 * (dk + dv) + (p.backward ? 2 * (3 * dk + 2 * dv) : 0);
  return static_cast<double>(p.sequences * p.heads) *
         (pairs * of_pair + state * dk * dv);
}

template <typename T>
void Register(const Problem& problem, int threads, double at_least) {
  BenchCase c;
  c.name =
      absl::StrCat("retention/", DTypeName(kDTypeOf<T>), "/", problem.sequences,
                   "x", problem.rows, "x", problem.heads, "x", problem.key_dim,
                   "x", problem.value_dim, "/chunk", problem.chunk,
                   problem.backward ? "/gradient" : "",
                   threads > 1 ? absl::StrCat("/threads", threads) : "");
  c.threads = threads;
  c.limit = BenchLimit::Flops<T>(Operations(problem));
  c.at_least = at_least;
  c.prepare = [problem] { return Prepare<T>(problem); };
  RegisterBenchCase(std::move(c));
}

struct Step {
  RetentionOptions options;
  Tensor log_gamma, q, k, v, s, out;
  std::vector<int64_t> position;

  absl::Status Run() {
    return RetentionStep(q, k, v, log_gamma, options, &s, nullptr,
                         absl::MakeSpan(position), &out);
  }
};

template <typename T>
absl::StatusOr<BenchKernel> PrepareStep(int64_t sequences, int64_t heads,
                                        int64_t key_dim, int64_t value_dim) {
  auto step = std::make_shared<Step>();
  SEPTET_ASSIGN_OR_RETURN(step->log_gamma, LogDecay({}, heads));
  SEPTET_ASSIGN_OR_RETURN(step->q,
                          Values<T>(Shape({sequences, heads, key_dim}), 0));
  SEPTET_ASSIGN_OR_RETURN(step->k,
                          Values<T>(Shape({sequences, heads, key_dim}), 1));
  SEPTET_ASSIGN_OR_RETURN(step->v,
                          Values<T>(Shape({sequences, heads, value_dim}), 2));
  SEPTET_ASSIGN_OR_RETURN(
      step->s, Values<T>(Shape({sequences, heads, key_dim, value_dim}), 3));
  SEPTET_ASSIGN_OR_RETURN(
      step->out,
      Tensor::Zeros(Shape({sequences, heads, value_dim}), kDTypeOf<T>));
  step->position.assign(static_cast<size_t>(sequences), 100);
  // The same from the op, one row a sequence.
  RetentionState before;
  SEPTET_ASSIGN_OR_RETURN(before.s, step->s.Clone());
  before.position = step->position;
  Tensor rows[3];
  const Tensor* const inputs[3] = {&step->q, &step->k, &step->v};
  for (int i = 0; i < 3; ++i) {
    SEPTET_ASSIGN_OR_RETURN(
        rows[i], inputs[i]->Reshape({sequences, 1, heads, inputs[i]->dim(2)}));
  }
  RetentionOutput want;
  {
    ScopedReference reference;
    want = Retention(rows[0], rows[1], rows[2], step->log_gamma, step->options,
                     before, /*return_state=*/true);
  }
  SEPTET_RETURN_IF_ERROR(want.out.status());
  SEPTET_RETURN_IF_ERROR(want.state.s.status());
  SEPTET_RETURN_IF_ERROR(step->Run());
  const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
  SEPTET_RETURN_IF_ERROR(
      CheckResult<T>("out", step->out, want.out.tensor(), tolerance));
  SEPTET_RETURN_IF_ERROR(
      CheckResult<T>("s", step->s, want.state.s.tensor(), tolerance));
  return BenchKernel([step] {
    const absl::Status status = step->Run();
    SEPTET_CHECK(status.ok()) << status.ToString();
  });
}

template <typename T>
void RegisterStep(int64_t sequences, int64_t heads, int64_t key_dim,
                  int64_t value_dim, double at_least) {
  BenchCase c;
  c.name = absl::StrCat("retention_step/", DTypeName(kDTypeOf<T>), "/",
                        sequences, "x", heads, "x", key_dim, "x", value_dim);
  const int64_t elements = sequences * heads * key_dim * value_dim;
  c.elements = static_cast<double>(elements);
  c.limit = BenchLimit::UpdatedBytes(2.0 * c.elements * sizeof(T));
  c.at_least = at_least;
  c.prepare = [=] {
    return PrepareStep<T>(sequences, heads, key_dim, value_dim);
  };
  RegisterBenchCase(std::move(c));
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const bool backward : {false, true}) {
    Register<float>({8, 512, 4, 32, 64, 64, backward}, 1, backward ? 0.5 : 0);
    Register<float>({8, 512, 4, 32, 54, 64, backward}, 1, 0);
    Register<float>({8, 512, 4, 32, 64, 64, backward}, 2, 0);
    Register<float>({1, 1024, 2, 256, 432, 64, backward}, 1,
                    backward ? 0.7 : 0);
    Register<float>({1, 1024, 2, 256, 432, 256, backward}, 1,
                    backward ? 0.7 : 0);
    Register<double>({8, 512, 4, 32, 64, 64, backward}, 1, 0);
  }
  RegisterStep<float>(1, 4, 32, 54, 0);
  RegisterStep<float>(1, 8, 256, 432, 0.7);
  RegisterStep<float>(16, 8, 256, 432, 0.7);
  RegisterStep<double>(16, 8, 256, 432, 0.7);
  return true;
}();

}  // namespace
}  // namespace septet
