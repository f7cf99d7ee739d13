// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/image_layout.h"

#include <cstdint>
#include <initializer_list>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Row-major, with axis i of the result being axis axes[i] of x.
absl::StatusOr<Tensor> Permuted(const char* function, const char* name,
                                const Tensor& x,
                                std::initializer_list<int64_t> axes) {
  const absl::Status status = RequireRank(name, x, 4, 4);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(function, ": ", status.message()));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor view, x.Permute(axes));
  return view.Clone();
}

}  // namespace

absl::StatusOr<Tensor> ImportNchw(const Tensor& x) {
  return Permuted("import_nchw", "x", x, {0, 2, 3, 1});
}
absl::StatusOr<Tensor> ExportNchw(const Tensor& x) {
  return Permuted("export_nchw", "x", x, {0, 3, 1, 2});
}
absl::StatusOr<Tensor> ImportOihw(const Tensor& w) {
  return Permuted("import_oihw", "w", w, {2, 3, 1, 0});
}
absl::StatusOr<Tensor> ExportOihw(const Tensor& w) {
  return Permuted("export_oihw", "w", w, {3, 2, 0, 1});
}
absl::StatusOr<Tensor> ImportIohw(const Tensor& w) {
  return Permuted("import_iohw", "w", w, {2, 3, 1, 0});
}
absl::StatusOr<Tensor> ExportIohw(const Tensor& w) {
  return Permuted("export_iohw", "w", w, {3, 2, 0, 1});
}

}  // namespace septet
