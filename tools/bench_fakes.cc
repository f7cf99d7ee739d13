// SPDX-License-Identifier: Apache-2.0
// The bench program with cases whose verdicts are known.
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/bench/case.h"

namespace septet {
namespace {

BenchCase Fake(const char* name) {
  BenchCase c;
  c.name = name;
  c.elements = 1;
  c.prepare = [] {
    return BenchKernel([] {
      volatile int sum = 0;
      for (int i = 0; i < 1000; ++i) sum = sum + i;
    });
  };
  return c;
}

const bool kRegistered = [] {
  RegisterBenchCase(Fake("fine/1"));
  BenchCase slow = Fake("slow/1");
  slow.at_most_ns = 1e-3;
  RegisterBenchCase(std::move(slow));
  BenchCase wrong = Fake("wrong/1");
  wrong.prepare = []() -> absl::StatusOr<BenchKernel> {
    return absl::InternalError("y[0] is 1, want 2 +- 0");
  };
  return RegisterBenchCase(std::move(wrong));
}();

}  // namespace
}  // namespace septet
