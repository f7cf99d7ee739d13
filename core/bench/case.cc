// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/case.h"

#include <cctype>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "septet/core/base/check.h"

namespace septet {
namespace {

bool IsDigit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

// Runs of digits compare by value: "64" before "512".
struct NaturalLess {
  bool operator()(const std::string& a, const std::string& b) const {
    size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
      if (IsDigit(a[i]) && IsDigit(b[j])) {
        size_t end_i = i, end_j = j;
        while (end_i < a.size() && IsDigit(a[end_i])) ++end_i;
        while (end_j < b.size() && IsDigit(b[end_j])) ++end_j;
        // Names are ours: no leading zeros.
        if (end_i - i != end_j - j) return end_i - i < end_j - j;
        const int order = a.compare(i, end_i - i, b, j, end_j - j);
        if (order != 0) return order < 0;
        i = end_i;
        j = end_j;
      } else if (a[i] != b[j]) {
        return a[i] < b[j];
      } else {
        ++i;
        ++j;
      }
    }
    return a.size() - i < b.size() - j;
  }
};

// Filled during static initialisation, read afterwards.
std::map<std::string, BenchCase, NaturalLess>& Registry() {
  static auto* registry = new std::map<std::string, BenchCase, NaturalLess>;
  return *registry;
}

bool IsAmount(double x) { return std::isfinite(x) && x >= 0; }

}  // namespace

bool RegisterBenchCase(BenchCase bench_case) {
  const BenchCase& c = bench_case;
  const size_t slash = c.name.find('/');
  SEPTET_CHECK(slash != std::string::npos && slash > 0)
      << "bench case \"" << c.name << "\": want group/...";
  SEPTET_CHECK(c.prepare != nullptr) << c.name;
  SEPTET_CHECK(c.threads >= 1) << c.name << ": threads " << c.threads;
  const BenchLimit& limit = c.limit;
  for (const double amount :
       {limit.f32_flops, limit.f64_flops, limit.copied_bytes, limit.read_bytes,
        limit.updated_bytes, c.elements, c.at_most_ns}) {
    SEPTET_CHECK(IsAmount(amount)) << c.name << ": " << amount;
  }
  for (const auto* calls : {&limit.f32_calls, &limit.f64_calls}) {
    for (const auto& [function, count] : *calls) {
      SEPTET_CHECK(IsAmount(count) && count > 0) << c.name << ": " << count;
    }
  }
  SEPTET_CHECK(c.at_least >= 0 && c.at_least <= 1)
      << c.name << ": at_least " << c.at_least;
  SEPTET_CHECK(c.at_least == 0 || limit.defined())
      << c.name << ": at_least without a limit";
  SEPTET_CHECK(c.at_most_ns == 0 || c.elements > 0)
      << c.name << ": at_most_ns without elements";
  std::string name = c.name;
  const bool added =
      Registry().emplace(std::move(name), std::move(bench_case)).second;
  SEPTET_CHECK(added) << "two bench cases of one name";
  return true;
}

std::vector<const BenchCase*> BenchCases() {
  std::vector<const BenchCase*> cases;
  for (const auto& [name, bench_case] : Registry()) {
    cases.push_back(&bench_case);
  }
  return cases;
}

}  // namespace septet
