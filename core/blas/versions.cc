// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/versions.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cblas.h"
#include "oneapi/dnnl/dnnl.h"

namespace septet {

BlasVersions GetBlasVersions() {
  BlasVersions versions;
  const dnnl_version_t* onednn = dnnl_version();
  versions.onednn =
      absl::StrCat(onednn->major, ".", onednn->minor, ".", onednn->patch);
  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..."
  const std::vector<std::string> config =
      absl::StrSplit(openblas_get_config(), ' ', absl::SkipEmpty());
  if (config.size() >= 2) versions.openblas = config[1];
  versions.openblas_core = openblas_get_corename();
  return versions;
}

}  // namespace septet
