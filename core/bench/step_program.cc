// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/step_program.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/bench/limit_meter.h"
#include "septet/core/bench/machine.h"
#include "septet/core/bench/step_flags.pb.h"
#include "septet/core/config/command_line.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/tensor/allocator.h"

namespace septet {
namespace {

using Json = ::nlohmann::ordered_json;

// Of a `time` command and of a `step` command, against typing errors.
constexpr double kMaxSeconds = 3600;
constexpr int64_t kMaxSteps = 1'000'000;

// A line of /proc/self/status in bytes; -1 where there is none.
int64_t ProcessBytes(absl::string_view field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, field)) continue;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
    int64_t kib = 0;
    if (words.size() >= 2 && absl::SimpleAtoi(words[1], &kib)) {
      return kib * 1024;
    }
  }
  return -1;
}

// The peak that VmHWM tells starts anew.
bool ForgetPeak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

double Median(std::vector<double> x) {
  const size_t middle = x.size() / 2;
  std::sort(x.begin(), x.end());
  return x.size() % 2 == 1 ? x[middle] : (x[middle - 1] + x[middle]) / 2;
}

class Server {
 public:
  Server(StepJob* job, int threads, int64_t bytes_before)
      : job_(*job),
        threads_(threads),
        bytes_before_(bytes_before),
        limit_(job->Limit()),
        meter_(limit_, threads) {}

  absl::StatusOr<Json> Answer(absl::string_view line) {
    const std::pair<absl::string_view, absl::string_view> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    if (words.first == "export") return Export(words.second);
    if (words.first == "step") return Step(words.second);
    if (words.first == "time") return Time(words.second);
    if (words.first == "memory" && words.second.empty()) return Memory();
    return absl::InvalidArgumentError(
        absl::StrCat("no command \"", line,
                     "\"; there are: export PATH, step N, time SECONDS, "
                     "memory"));
  }

 private:
  absl::StatusOr<Json> Export(absl::string_view path) {
    SEPTET_ASSIGN_OR_RETURN(const auto tensors, job_.Export());
    SEPTET_RETURN_IF_ERROR(WriteSafetensors(path, tensors, {}));
    return Json{{"exported", tensors.size()}};
  }

  absl::StatusOr<Json> Step(absl::string_view text) {
    int64_t count = 0;
    if (!absl::SimpleAtoi(text, &count) || count < 1 || count > kMaxSteps) {
      return absl::InvalidArgumentError(absl::StrCat(
          "step: expected 1 to ", kMaxSteps, " steps, got \"", text, "\""));
    }
    Json losses = Json::array();
    for (int64_t i = 0; i < count; ++i) {
      SEPTET_ASSIGN_OR_RETURN(const double loss, job_.Step());
      losses.push_back(loss);
    }
    return Json{{"losses", std::move(losses)}};
  }

  absl::StatusOr<Json> Time(absl::string_view text) {
    double wanted = 0;
    if (!absl::SimpleAtod(text, &wanted) ||
        !(wanted > 0 && wanted <= kMaxSeconds)) {
      return absl::InvalidArgumentError(
          absl::StrCat("time: expected above 0 to ", kMaxSeconds,
                       " seconds, got \"", text, "\""));
    }
    const double before = limit_.defined() ? meter_.Measure() : 0;
    std::vector<double> seconds;
    double sum = 0;
    while (sum < wanted || seconds.size() < 3) {
      const double begin = BenchClock(threads_);
      SEPTET_RETURN_IF_ERROR(job_.Step().status());
      seconds.push_back(BenchClock(threads_) - begin);
      sum += seconds.back();
    }
    Json answer{{"ms", Median(seconds) * 1e3}, {"steps", seconds.size()}};
    if (limit_.defined()) {
      answer["limit_ms"] = (before + meter_.Measure()) / 2 * 1e3;
    }
    return answer;
  }

  absl::StatusOr<Json> Memory() {
    const bool resident = ForgetPeak() && bytes_before_ >= 0;
    CpuAllocator().ResetPeak();
    for (int i = 0; i < 2; ++i) {
      SEPTET_RETURN_IF_ERROR(job_.Step().status());
    }
    Json answer{{"tensor_bytes", CpuAllocator().Stats().peak_live_bytes}};
    if (resident) {
      answer["resident_bytes"] = ProcessBytes("VmHWM:") - bytes_before_;
    }
    return answer;
  }

  StepJob& job_;
  const int threads_;
  const int64_t bytes_before_;
  const BenchLimit limit_;
  const LimitMeter meter_;
};

std::string JobNames(const std::map<std::string, StepJobFactory>& jobs,
                     absl::string_view separator) {
  return absl::StrJoin(jobs, separator, [](std::string* out, const auto& job) {
    out->append(job.first);
  });
}

}  // namespace

absl::Status ServeSteps(absl::string_view name, const StepJobFactory& factory,
                        int threads, std::istream& in, std::ostream& out) {
  const int64_t before = ProcessBytes("VmRSS:");
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<StepJob> job, factory());
  Server server(job.get(), threads, before);
  Json ready{{"ready", std::string(name)}, {"threads", threads}};
  ready.update(Json::parse(ReadMachine().ToJson()));
  const auto write = [&out](const Json& json) {
    out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n"
        << std::flush;
  };
  write(ready);
  for (std::string line; std::getline(in, line);) {
    const absl::StatusOr<Json> answer = server.Answer(line);
    write(answer.ok()
              ? *answer
              : Json{{"error", std::string(answer.status().message())}});
  }
  return absl::OkStatus();
}

int RunStepProgram(const std::map<std::string, StepJobFactory>& jobs, int argc,
                   const char* const* argv) {
  StepFlags flags;
  ToolSpec tool;
  tool.name = "step_benchmark";
  tool.summary =
      "Does training steps as standard input says, and times them: the half "
      "of\ntools/peers/compare.py that is ours.";
  tool.flags = &flags;
  return RunTool(tool, argc, argv, [&](const auto&) -> absl::Status {
    if (flags.list()) {
      std::cout << JobNames(jobs, "\n") << "\n" << std::flush;
      return absl::OkStatus();
    }
    const auto job = jobs.find(flags.job());
    if (job == jobs.end()) {
      return UsageError(absl::StrCat("--job: no job \"", flags.job(),
                                     "\" (there are: ", JobNames(jobs, ", "),
                                     ")"));
    }
    ThreadPool pool(flags.threads());
    ScopedThreadPool scope(&pool);
    return ServeSteps(job->first, job->second, flags.threads(), std::cin,
                      std::cout);
  });
}

}  // namespace septet
