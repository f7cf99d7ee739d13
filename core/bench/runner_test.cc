// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/runner.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/bench/case.h"
#include "septet/core/blas/peak.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

BenchCase Case(double at_least, double at_most_ns = 0) {
  BenchCase c;
  c.name = "fake/f32/1";
  c.limit = BenchLimit::F32Flops(1e9);
  c.elements = 1e6;
  c.at_least = at_least;
  c.at_most_ns = at_most_ns;
  return c;
}

// Rounds of one share of a limit of 10 ms.
std::vector<BenchRound> Rounds(double share) {
  return std::vector<BenchRound>(15, BenchRound{0.01 / share, 0.01});
}

BenchVerdict Verdict(const BenchCase& c, const std::vector<BenchRound>& rounds,
                     const BenchOptions& options = {}) {
  return JudgeBenchCase(c, options, rounds).verdict;
}

TEST(JudgeTest, ShareOfTheLimitAgainstTheBar) {
  EXPECT_EQ(Verdict(Case(0.7), Rounds(0.71)), BenchVerdict::kMet);
  EXPECT_EQ(Verdict(Case(0.7), Rounds(0.69)), BenchVerdict::kMissed);
  EXPECT_EQ(Verdict(Case(0), Rounds(0.1)), BenchVerdict::kReported);
}

TEST(JudgeTest, NanosecondsAnElementAgainstTheBar) {
  // 10 ms for 1e6 elements.
  EXPECT_EQ(Verdict(Case(0, 10.1), Rounds(1)), BenchVerdict::kMet);
  EXPECT_EQ(Verdict(Case(0, 9.9), Rounds(1)), BenchVerdict::kMissed);
}

TEST(JudgeTest, BothBarsMustBeMet) {
  EXPECT_EQ(Verdict(Case(0.9, 10.1), Rounds(1)), BenchVerdict::kMet);
  EXPECT_EQ(Verdict(Case(0.9, 9.9), Rounds(1)), BenchVerdict::kMissed);
  EXPECT_EQ(Verdict(Case(0.9, 20), Rounds(0.8)), BenchVerdict::kMissed);
}

TEST(JudgeTest, OtherMachinesAndThreadCountsAreReported) {
  BenchOptions options;
  options.judge = false;
  EXPECT_EQ(Verdict(Case(0.9), Rounds(0.1), options), BenchVerdict::kReported);
  options.judge = true;
  options.threads = 2;
  EXPECT_EQ(Verdict(Case(0.9), Rounds(0.1), options), BenchVerdict::kReported);
  options.threads = 1;
  EXPECT_EQ(Verdict(Case(0.9), Rounds(0.1), options), BenchVerdict::kMissed);
}

TEST(JudgeTest, MediansOutvoteDisturbedRounds) {
  std::vector<BenchRound> rounds = Rounds(0.8);
  for (int i = 0; i < 7; ++i) rounds[i].seconds *= 5;
  EXPECT_EQ(Verdict(Case(0.7), rounds), BenchVerdict::kMet);
  rounds[7].seconds *= 5;
  EXPECT_EQ(Verdict(Case(0.7), rounds), BenchVerdict::kMissed);
}

TEST(JudgeTest, RatiosAreOfOneRound) {
  // A machine that slows down together with the kernel, within what is allowed.
  std::vector<BenchRound> rounds = Rounds(0.8);
  for (size_t i = 0; i < rounds.size(); ++i) {
    const double slow = 1 + 0.005 * static_cast<double>(i);
    rounds[i].seconds *= slow;
    rounds[i].limit_seconds *= slow;
  }
  const BenchResult result = JudgeBenchCase(Case(0.7), {}, rounds);
  EXPECT_NEAR(result.of_limit, 0.8, 1e-12);
  EXPECT_EQ(result.verdict, BenchVerdict::kMet);
}

TEST(JudgeTest, ASpreadingLimitRefusesTheVerdict) {
  for (const double share : {0.9, 0.1}) {
    std::vector<BenchRound> rounds = Rounds(share);
    // One in each tenth is left out.
    rounds[3].limit_seconds *= 3;
    EXPECT_NE(Verdict(Case(0.7), rounds), BenchVerdict::kRefused);
    rounds[4].limit_seconds *= 1.09;
    EXPECT_NE(Verdict(Case(0.7), rounds), BenchVerdict::kRefused);
    rounds[5].limit_seconds *= 1.12;
    EXPECT_EQ(Verdict(Case(0.7), rounds), BenchVerdict::kRefused);
    EXPECT_EQ(Verdict(Case(0), rounds), BenchVerdict::kReported);
    const BenchResult result = JudgeBenchCase(Case(0.7), {}, rounds);
    EXPECT_NEAR(result.limit_spread, 0.12, 1e-12);
    EXPECT_THAT(result.ToString(), HasSubstr("refused: the limit spreads by "
                                             "12 %"));
  }
}

TEST(JudgeTest, ABarInNanosecondsNeedsASteadyMachineToo) {
  BenchCase c = Case(0, 20);
  c.limit = {};
  std::vector<BenchRound> rounds = Rounds(1);
  EXPECT_EQ(Verdict(c, rounds), BenchVerdict::kMet);
  for (int i = 0; i < 5; ++i) rounds[i].limit_seconds *= 1.2;
  EXPECT_EQ(Verdict(c, rounds), BenchVerdict::kRefused);
  const BenchResult result = JudgeBenchCase(c, {}, rounds);
  EXPECT_EQ(result.of_limit, 0);
  EXPECT_EQ(result.limit_seconds, 0);
  EXPECT_EQ(result.limit, "-");
}

TEST(JudgeTest, PrintsRatesInTheUnitOfTheLimit) {
  const BenchResult result = JudgeBenchCase(Case(0.7), {}, Rounds(0.5));
  EXPECT_EQ(result.time, "20 ms");
  EXPECT_EQ(result.achieved, "50.0 GFLOP/s");
  EXPECT_EQ(result.limit, "100.0 GFLOP/s");
  EXPECT_EQ(result.bar, ">= 70 %");
  EXPECT_NEAR(result.ns_per_element, 20, 1e-9);
  EXPECT_EQ(result.ToString(),
            "fake/f32/1                                             1     20 "
            "ms  50.0 GFLOP/s     100.0 GFLOP/s     50.0 %  >= 70 %          "
            "missed");
  BenchCase bytes = Case(0.7, 30);
  bytes.limit = BenchLimit::CopiedBytes(1e8);
  const BenchResult memory = JudgeBenchCase(bytes, {}, Rounds(0.8));
  EXPECT_EQ(memory.achieved, "8.0 GB/s");
  EXPECT_EQ(memory.limit, "10.0 GB/s");
  EXPECT_EQ(memory.bar, ">= 70 %, <= 30 ns/element");
  bytes.limit.Call<float>(BenchFunction::kExp, 1);
  EXPECT_EQ(JudgeBenchCase(bytes, {}, Rounds(0.8)).achieved, "12.5 ns/element");
  bytes.elements = 0;
  bytes.at_most_ns = 0;
  EXPECT_EQ(JudgeBenchCase(bytes, {}, Rounds(0.8)).limit, "10 ms");
}

TEST(JudgeTest, WritesALineOfJson) {
  const std::string line = JudgeBenchCase(Case(0.7), {}, Rounds(0.5)).ToJson();
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(line, nullptr, false);
  ASSERT_TRUE(json.is_object()) << line;
  EXPECT_EQ(json["name"], "fake/f32/1");
  EXPECT_EQ(json["threads"], 1);
  EXPECT_EQ(json["verdict"], "missed");
  EXPECT_EQ(json["seconds"], 0.02);
  EXPECT_EQ(json["limit_seconds"], 0.01);
  EXPECT_EQ(json["of_limit"], 0.5);
  EXPECT_EQ(json["limit_spread"], 0);
  EXPECT_EQ(json["bar"], ">= 70 %");
}

// The kernel is the peak loop itself.
TEST(RunBenchCaseTest, ThePeakLoopIsAtItsLimit) {
  BenchCase c = Case(0.1);
  const double flops = MultiplyAddLoop<float>(1000);
  c.limit = BenchLimit::F32Flops(flops);
  int prepared = 0;
  c.prepare = [&] {
    ++prepared;
    return BenchKernel([] { MultiplyAddLoop<float>(1000); });
  };
  BenchOptions options;
  options.rounds = 5;
  const BenchResult result = RunBenchCase(c, options);
  EXPECT_EQ(prepared, 1);
  SEPTET_EXPECT_OK(result.status);
  EXPECT_GT(result.of_limit, 0.5);
  EXPECT_LT(result.of_limit, 2);
  EXPECT_NEAR(result.seconds * result.of_limit / result.limit_seconds, 1, 0.5);
}

TEST(RunBenchCaseTest, AWrongResultIsNotTimed) {
  BenchCase c = Case(0.1);
  c.prepare = []() -> absl::StatusOr<BenchKernel> {
    return absl::InternalError("y[3] is 1, want 2 +- 0");
  };
  const BenchResult result = RunBenchCase(c, {});
  EXPECT_EQ(result.verdict, BenchVerdict::kWrong);
  EXPECT_EQ(result.seconds, 0);
  EXPECT_THAT(result.status, StatusIs(absl::StatusCode::kInternal,
                                      HasSubstr("y[3] is 1, want 2")));
  EXPECT_THAT(result.ToString(),
              HasSubstr("wrong: INTERNAL: y[3] is 1, want 2 +- 0"));
  const auto json = nlohmann::json::parse(result.ToJson(), nullptr, false);
  EXPECT_EQ(json["verdict"], "wrong");
  EXPECT_EQ(json["error"], "INTERNAL: y[3] is 1, want 2 +- 0");
}

TEST(RunBenchCaseTest, SeveralThreadsHaveAPoolOfTheirNumber) {
  BenchCase c = Case(0);
  c.threads = 3;
  std::vector<int> seen;
  const auto note = [&seen] {
    const ThreadPool* pool = CurrentThreadPool();
    seen.push_back(pool == nullptr ? 1 : pool->num_threads());
  };
  c.prepare = [&] {
    note();
    return BenchKernel([&] {
      note();
      MultiplyAddLoop<float>(20000);
    });
  };
  BenchOptions options;
  options.rounds = 5;
  EXPECT_EQ(RunBenchCase(c, options).threads, 3);
  EXPECT_GT(seen.size(), 2u);
  for (const int threads : seen) EXPECT_EQ(threads, 3);
  seen.clear();
  options.threads = 1;
  EXPECT_EQ(RunBenchCase(c, options).threads, 1);
  for (const int threads : seen) EXPECT_EQ(threads, 1);
  EXPECT_EQ(CurrentThreadPool(), nullptr);
}

}  // namespace
}  // namespace septet
