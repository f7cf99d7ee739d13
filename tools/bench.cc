// SPDX-License-Identifier: Apache-2.0
// Times every kernel beside the limit of this machine:
//
//   bazel run //tools:bench -- --filter=gemm,conv
//
// Exit codes: 0 all results were right, 1 one was wrong (with --check: or a bar
// was missed), 2 the command line was wrong.
#include <cstddef>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/machine.h"
#include "septet/core/bench/runner.h"
#include "septet/core/config/command_line.h"
#include "septet/tools/bench_flags.pb.h"

namespace septet {
namespace {

bool IsChosen(const BenchCase& c, const BenchFlags& flags) {
  if (flags.filter_size() == 0) return true;
  for (const std::string& part : flags.filter()) {
    if (absl::StrContains(c.name, part)) return true;
  }
  return false;
}

void PrintLine(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

// `*failed` counts what makes the exit code 1.
absl::Status Bench(const BenchFlags& flags, size_t* failed) {
  std::vector<const BenchCase*> cases;
  for (const BenchCase* c : BenchCases()) {
    if (IsChosen(*c, flags)) cases.push_back(c);
  }
  if (cases.empty() && flags.filter_size() > 0) {
    return UsageError(absl::StrCat("no case has \"",
                                   absl::StrJoin(flags.filter(), "\" or \""),
                                   "\" in its name; see --list"));
  }
  if (flags.list()) {
    for (const BenchCase* c : cases) PrintLine(c->name);
    return absl::OkStatus();
  }
  const Machine machine = ReadMachine();
  BenchOptions options;
  options.threads = flags.threads();
  options.rounds = flags.rounds();
  options.judge = machine.avx512;
  if (flags.json()) {
    PrintLine(machine.ToJson());
  } else {
    std::fputs(machine.ToString().c_str(), stdout);
    if (!machine.avx512) {
      PrintLine("Bars are for machines with AVX-512: figures are reported.");
    }
    PrintLine(BenchResult::TableHeader());
  }
  std::map<BenchVerdict, int> counts;
  for (const BenchCase* c : cases) {
    const BenchResult result = RunBenchCase(*c, options);
    ++counts[result.verdict];
    PrintLine(flags.json() ? result.ToJson() : result.ToString());
  }
  if (!flags.json()) {
    PrintLine(
        absl::StrJoin(counts, ", ", [](std::string* out, const auto& count) {
          absl::StrAppend(out, count.second, " ",
                          BenchVerdictName(count.first));
        }));
  }
  *failed =
      static_cast<size_t>(counts[BenchVerdict::kWrong] +
                          (flags.check() ? counts[BenchVerdict::kMissed] : 0));
  return absl::OkStatus();
}

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  septet::BenchFlags flags;
  septet::ToolSpec tool;
  tool.name = "bench";
  tool.summary =
      "Times every kernel beside the limit of this machine, after checking its "
      "result.";
  tool.flags = &flags;
  size_t failed = 0;
  const int code =
      septet::RunTool(tool, argc, argv, [&](const std::vector<std::string>&) {
        return septet::Bench(flags, &failed);
      });
  return code == 0 && failed > 0 ? 1 : code;
}
