// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/machine.h"

#include <sched.h>
#include <stdlib.h>

#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "septet/core/blas/versions.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/bench/machine.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

const char* NameOfTarget() { return hwy::TargetName(HWY_TARGET); }

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {
namespace {

HWY_EXPORT(NameOfTarget);

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    if (!absl::StartsWith(line, "model name")) continue;
    return std::string(absl::StripLeadingAsciiWhitespace(
        absl::string_view(line).substr(colon + 1)));
  }
  return "unknown";
}

std::string Compiler() {
#ifdef __clang__
  return absl::StrCat("clang ", __clang_major__, ".", __clang_minor__, ".",
                      __clang_patchlevel__);
#else
  return absl::StrCat("GCC ", __GNUC__, ".", __GNUC_MINOR__, ".",
                      __GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

Machine ReadMachine() {
  Machine machine;
  machine.cpu = CpuName();
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) {
    machine.cores = CPU_COUNT(&cpus);
  }
  getloadavg(&machine.load, 1);
  machine.highway_target = HWY_DYNAMIC_DISPATCH(NameOfTarget)();
  machine.avx512 = absl::StartsWith(machine.highway_target, "AVX3");
  machine.compiler = Compiler();
  const BlasVersions versions = GetBlasVersions();
  machine.onednn = versions.onednn;
  machine.openblas =
      absl::StrCat(versions.openblas, " ", versions.openblas_core);
  return machine;
}

std::string Machine::ToString() const {
  return absl::StrFormat(
      "%s, %d cores, load %.2f\n"
      "Highway %s, oneDNN %s, OpenBLAS %s, %s\n",
      cpu, cores, load, highway_target, onednn, openblas, compiler);
}

std::string Machine::ToJson() const {
  nlohmann::ordered_json json;
  auto& machine = json["machine"];
  machine["cpu"] = cpu;
  machine["cores"] = cores;
  machine["load"] = load;
  machine["highway_target"] = highway_target;
  machine["onednn"] = onednn;
  machine["openblas"] = openblas;
  machine["compiler"] = compiler;
  return json.dump(-1, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace septet
#endif  // HWY_ONCE
