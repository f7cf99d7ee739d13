// SPDX-License-Identifier: Apache-2.0
// What the loop costs a step, beside a task that does nothing.
//
//   bazel run -c opt //core/train:trainer_benchmark
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/run_folder.h"
#include "septet/core/train/train.pb.h"
#include "septet/core/train/trainer.h"

namespace septet {
namespace {

constexpr int64_t kSteps = 100'000;

class NoTask : public TrainTask {
  absl::StatusOr<Metrics> Step(int64_t step) override {
    return Metrics{{"loss", static_cast<double>(step)}, {"lr", 0.5}};
  }
  absl::Status Save(Checkpoint*) const override { return absl::OkStatus(); }
  absl::Status Restore(const Checkpoint&) override { return absl::OkStatus(); }
};

// range(0): steps a row of metrics.
void BM_Train(benchmark::State& state) {
  const char* directory = std::getenv("TEST_TMPDIR");
  const std::string path =
      absl::StrCat(directory == nullptr ? "/tmp" : directory,
                   "/septet_trainer_benchmark_", getpid());
  TrainOptions options;
  options.set_steps(kSteps);
  options.set_log_every(state.range(0));
  options.set_checkpoint_every(0);
  Manifest manifest;
  manifest.tool = "trainer_benchmark";
  manifest.options = &options;
  std::ostringstream progress;
  TrainHooks hooks;
  hooks.progress = &progress;
  for (auto _ : state) {
    state.PauseTiming();
    absl::StatusOr<RunFolder> folder =
        RunFolder::Open(path, manifest, {/*resume=*/false, /*fresh=*/true});
    SEPTET_CHECK(folder.ok()) << folder.status();
    NoTask task;
    state.ResumeTiming();
    const absl::StatusOr<TrainSummary> summary =
        Train(options, task, *folder, hooks);
    SEPTET_CHECK(summary.ok() && summary->steps == kSteps) << summary.status();
  }
  state.SetItemsProcessed(state.iterations() * kSteps);
}
BENCHMARK(BM_Train)
    ->ArgName("log_every")
    ->Arg(10)
    ->Arg(kSteps)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace septet
