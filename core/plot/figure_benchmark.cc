// SPDX-License-Identifier: Apache-2.0
// Drawing a plot of three curves of 201 points with bands.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/series.h"

namespace septet {
namespace {

Figure Curves() {
  std::vector<Series> series(3);
  for (int k = 0; k < 3; ++k) {
    series[k].label = absl::StrCat("curve ", k);
    for (int i = 0; i <= 200; ++i) {
      const double y =
          std::exp(-0.01 * i * (k + 1)) + 0.1 + 0.01 * std::sin(7.0 * i);
      series[k].x.push_back(i);
      series[k].y.push_back(y);
      series[k].low.push_back(0.9 * y);
      series[k].high.push_back(1.1 * y);
    }
  }
  FigureOptions options;
  options.title = "Held-out loss";
  options.x.label = "step";
  options.y.label = "bits per byte";
  return Figure::Lines(std::move(series), options).value();
}

void BM_Make(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Curves());
}
BENCHMARK(BM_Make)->Unit(benchmark::kMillisecond);

void BM_Png(benchmark::State& state) {
  const Figure figure = Curves();
  for (auto _ : state) benchmark::DoNotOptimize(figure.Png().value());
}
BENCHMARK(BM_Png)->Unit(benchmark::kMillisecond);

void BM_Svg(benchmark::State& state) {
  const Figure figure = Curves();
  for (auto _ : state) benchmark::DoNotOptimize(figure.Svg().value());
}
BENCHMARK(BM_Svg)->Unit(benchmark::kMillisecond);

void BM_Csv(benchmark::State& state) {
  const Figure figure = Curves();
  for (auto _ : state) benchmark::DoNotOptimize(figure.Csv());
}
BENCHMARK(BM_Csv)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace septet
