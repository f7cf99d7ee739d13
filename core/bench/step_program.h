// SPDX-License-Identifier: Apache-2.0
// Our half of a comparison with a peer: a program that does training steps when
// it is told to, and says how long they took, what the machine allows, and how
// much memory they need. tools/peers/compare.py runs it and the peer in turn.
//
//   class ByteLmJob : public StepJob { ... };
//   int main(int argc, char** argv) {
//     return septet::RunStepProgram(
//         {{"d64", [] { return ByteLmJob::Create(64); }}}, argc, argv);
//   }
//
//   step_benchmark --job=d64 --threads=1
//
// It reads commands from standard input, a line each, and answers each with a
// line of JSON on standard output:
//
//   (start)       {"ready":"d64","threads":1,"machine":{...}}
//   export PATH   writes StepJob::Export() to a safetensors file {"exported":N}
//   step N        N steps: {"losses":[...]}, each before its update
//   time SECONDS  steps for about so long, at least three, with the limit
//                 before and behind: {"ms":median,"steps":N,"limit_ms":mean}
//   memory        {"tensor_bytes":..., "resident_bytes":...} at most, over two
//                 steps: memory of tensors, and what the process holds less
//                 what it held before the job was made
//
// or, for a command that fails, {"error":"..."} and goes on. It ends with its
// input. Times are CPU time of the thread for one thread, of the clock for
// more.
#ifndef SEPTET_CORE_BENCH_STEP_PROGRAM_H_
#define SEPTET_CORE_BENCH_STEP_PROGRAM_H_

#include <functional>
#include <istream>
#include <map>
#include <memory>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/bench/case.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// A model, its optimiser and one batch.
class StepJob {
 public:
  virtual ~StepJob() = default;

  // One training step; returns the loss before the update.
  virtual absl::StatusOr<double> Step() = 0;
  // All that a peer needs to do the same step: parameters and the batch.
  virtual absl::StatusOr<std::map<std::string, Tensor>> Export() const = 0;
  // Of a step.
  virtual BenchLimit Limit() const = 0;
};

using StepJobFactory =
    std::function<absl::StatusOr<std::unique_ptr<StepJob>>()>;

// The body of a main().
int RunStepProgram(const std::map<std::string, StepJobFactory>& jobs, int argc,
                   const char* const* argv);

// Makes the job, in the current pool, and answers the commands of `in` until it
// ends. Errors: those of the factory.
absl::Status ServeSteps(absl::string_view name, const StepJobFactory& factory,
                        int threads, std::istream& in, std::ostream& out);

}  // namespace septet

#endif  // SEPTET_CORE_BENCH_STEP_PROGRAM_H_
