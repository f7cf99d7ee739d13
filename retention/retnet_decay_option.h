// SPDX-License-Identifier: Apache-2.0
// What retnet's case files say of decay, and weights of [out, in] as ours.
#ifndef SEPTET_RETENTION_RETNET_DECAY_OPTION_H_
#define SEPTET_RETENTION_RETNET_DECAY_OPTION_H_

#include <string>

#include "absl/status/statusor.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"

namespace septet {

inline absl::StatusOr<DecayOptions> DecayOptionOf(const Case& file) {
  SEPTET_ASSIGN_OR_RETURN(const std::string name,
                          file.String("gamma_kind", "torchscale"));
  DecayOptions options;
  if (name == "torchscale") {
    options.kind = DecayKind::kTorchscale;
  } else if (name == "linspace") {
    options.kind = DecayKind::kLinspace;
  } else if (name == "fixed") {
    options.kind = DecayKind::kFixed;
  } else if (name == "one") {
    options.kind = DecayKind::kNone;
  } else {
    return file.OptionError("gamma_kind", "torchscale, linspace, fixed or one");
  }
  return options;
}

// The tensor log_gamma of a case.
inline absl::StatusOr<DecayOptions> DecayTensorOf(Case& file) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor log_gamma,
                          file.Input("log_gamma", DType::kF64));
  DecayOptions options;
  options.kind = DecayKind::kCustomLog;
  options.custom = log_gamma.ToVector<double>();
  return options;
}

}  // namespace septet

#endif  // SEPTET_RETENTION_RETNET_DECAY_OPTION_H_
