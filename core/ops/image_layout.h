// SPDX-License-Identifier: Apache-2.0
// Images and weights between the layouts of PyTorch (channels first) and ours
// (channels last).
//
//   // [N, C, H, W] to [N, H, W, C]
//   SEPTET_ASSIGN_OR_RETURN(Tensor x, ImportNchw(images));
//   // For Conv2d, and for ConvTranspose2d.
//   SEPTET_ASSIGN_OR_RETURN(Tensor w, ImportOihw(conv_weight));
//   SEPTET_ASSIGN_OR_RETURN(Tensor v, ImportIohw(deconv_weight));
//
// Results are row-major copies of any dtype. Errors: InvalidArgument naming the
// tensor and its shape where the rank is not 4 or it is not given;
// ResourceExhausted.
#ifndef SEPTET_CORE_OPS_IMAGE_LAYOUT_H_
#define SEPTET_CORE_OPS_IMAGE_LAYOUT_H_

#include "absl/status/statusor.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// [N, C, H, W] to [N, H, W, C], and back.
absl::StatusOr<Tensor> ImportNchw(const Tensor& x);
absl::StatusOr<Tensor> ExportNchw(const Tensor& x);

// Weights of a convolution, [Cout, Cin / groups, KH, KW] to [KH, KW, Cin /
// groups, Cout], and back.
absl::StatusOr<Tensor> ImportOihw(const Tensor& w);
absl::StatusOr<Tensor> ExportOihw(const Tensor& w);

// Weights of a transposed convolution, [Cin, Cout / groups, KH, KW] to [KH, KW,
// Cout / groups, Cin], and back.
absl::StatusOr<Tensor> ImportIohw(const Tensor& w);
absl::StatusOr<Tensor> ExportIohw(const Tensor& w);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_IMAGE_LAYOUT_H_
