// SPDX-License-Identifier: Apache-2.0
// A table of vectors, and products with it.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       EmbeddingLayer tokens,
//       EmbeddingLayer::Create({/*count=*/256, /*dim=*/64},
//                              scope.Sub("tokens")));
//   Var x = tokens.Forward(p, ids);          // [B, T] -> [B, T, 64]
//   Var logits = tokens.Attend(p, h);        // h E^T: tied output
//
// Parameter: "weight" [count, dim]. Cost, errors and gradient:
// core/ops/index.h; an id out of range is an InvalidArgument.
#ifndef SEPTET_CORE_NN_EMBEDDING_LAYER_H_
#define SEPTET_CORE_NN_EMBEDDING_LAYER_H_

#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/matmul.h"

namespace septet {

struct EmbeddingLayerOptions {
  int64_t count = 0;  // >= 1
  int64_t dim = 0;    // >= 1
  Initializer init = Initializer::Normal(0, 1);
  bool decay = true;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const {
    SEPTET_RETURN_IF_ERROR(RequireAtLeast("embedding", "count", count, 1));
    return RequireAtLeast("embedding", "dim", dim, 1);
  }
};

class EmbeddingLayer {
 public:
  EmbeddingLayer() = default;
  static absl::StatusOr<EmbeddingLayer> Create(
      const EmbeddingLayerOptions& options, const ParameterScope& scope) {
    SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
    EmbeddingLayer layer;
    SEPTET_ASSIGN_OR_RETURN(
        layer.weight_,
        scope.Parameter("weight", {options.count, options.dim}, options.init,
                        {options.count, options.dim}, options.decay));
    return layer;
  }

  // ids [...], i32 or i64: [..., dim].
  Var Forward(const BoundParameters& p, const Var& ids) const {
    return Embedding(p[weight_], ids);
  }

  // h [..., dim]: [..., count].
  Var Attend(const BoundParameters& p, const Var& h) const {
    return Linear(h, p[weight_], Var(), {/*weight_out_in=*/true});
  }

  ParameterId weight() const { return weight_; }

 private:
  ParameterId weight_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_EMBEDDING_LAYER_H_
