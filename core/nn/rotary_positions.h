// SPDX-License-Identifier: Apache-2.0
// Rotary positions for a transformer (Su et al., 2021, arXiv 2104.09864):
// queries and keys are rotated by their position, so that scores depend on
// distances.
//
//   RotaryPositionsOptions options;
//   SEPTET_ASSIGN_OR_RETURN(options.frequencies,
//                           RotaryFrequencies(/*rotary_dim=*/64));
//   auto position = std::make_unique<RotaryPositions>(options);
//
// The rotation itself is core/ops/rotary.h's. Positions count from the first
// slot of the cache; in a padded batch every row's are shifted alike, which
// changes no score but by rounding.
#ifndef SEPTET_CORE_NN_ROTARY_POSITIONS_H_
#define SEPTET_CORE_NN_ROTARY_POSITIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct RotaryPositionsOptions {
  // Radians a position, f64 [R / 2]: the first R <= D channels of each head
  // are rotated. R is even.
  Tensor frequencies;
  RotaryLayout layout = RotaryLayout::kInterleaved;
  double position_scale = 1;  // finite; below 1 for linear interpolation

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class RotaryPositions final : public PositionEncoding {
 public:
  explicit RotaryPositions(const RotaryPositionsOptions& options)
      : options_(options) {}

  absl::Status Declare(const PositionModel& model,
                       const ParameterScope& scope) override;
  void Rotate(const AttentionCall& call, Var* q, Var* k) const override;
  Var AttendJoint(const AttentionCall& call, int64_t heads, int64_t kv_heads,
                  const Var& qkv) const override;

 private:
  RotaryOptions OptionsOf(const AttentionCall& call) const;

  RotaryPositionsOptions options_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_ROTARY_POSITIONS_H_
