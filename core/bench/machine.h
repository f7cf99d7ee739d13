// SPDX-License-Identifier: Apache-2.0
// On what machine, and with what, figures were measured.
//
//   std::fputs(ReadMachine().ToString().c_str(), stdout);
#ifndef SEPTET_CORE_BENCH_MACHINE_H_
#define SEPTET_CORE_BENCH_MACHINE_H_

#include <string>

namespace septet {

struct Machine {
  std::string cpu;  // the model's name; "unknown" where the system says none
  int cores = 0;    // that this process may use
  double load = 0;  // of the last minute
  std::string highway_target;  // "AVX3_ZEN4"
  std::string compiler;        // "GCC 12.2.0"
  std::string onednn;
  std::string openblas;  // version and core
  // Whether vectors have 512 bits: the machines that bars are for.
  bool avx512 = false;

  // Two lines with their line feeds.
  std::string ToString() const;
  // {"machine":{"cpu":...}}, one line without its line feed.
  std::string ToJson() const;
};

// Of this process, now.
Machine ReadMachine();

}  // namespace septet

#endif  // SEPTET_CORE_BENCH_MACHINE_H_
