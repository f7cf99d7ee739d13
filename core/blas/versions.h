// SPDX-License-Identifier: Apache-2.0
// Which libraries core/blas has found in the running program.
//
//   const BlasVersions versions = GetBlasVersions();
//   // versions.openblas == "0.3.21", versions.openblas_core == "SkylakeX"
#ifndef SEPTET_CORE_BLAS_VERSIONS_H_
#define SEPTET_CORE_BLAS_VERSIONS_H_

#include <string>

namespace septet {

struct BlasVersions {
  std::string onednn;         // "2.6.3"
  std::string openblas;       // "0.3.21"
  std::string openblas_core;  // the processor whose kernels are in force
};

BlasVersions GetBlasVersions();

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_VERSIONS_H_
