// SPDX-License-Identifier: Apache-2.0
// How a transformer knows positions: a hook that may change the embeddings,
// queries and keys, or take the place of the attention call.
//
//   class Alibi : public PositionEncoding {
//    public:
//     Var Attend(const AttentionCall& call, const Var& q, const Var& k,
//                const Var& v, const Var& extra) const override {
//       return AlibiAttention(q, k, v, *call.mask, slopes_, call.options);
//     }
//     ...
//   };
//
// Each member function has a default that does nothing special, so that a plain
// PositionEncoding is a transformer without positions. In a block they are
// called in the order Rotate, Extra, then (when decoding) keys, values and
// extras go through the cache, then Attend; AttendJoint may do without. So
// Rotate sees each key once, at its own position, and Attend sees all keys.
//
// Here: LearnedPositions; rotary_positions.h. A transformer owns its encoding;
// it is not changed after Declare, and may be used from several threads.
#ifndef SEPTET_CORE_NN_POSITION_ENCODING_H_
#define SEPTET_CORE_NN_POSITION_ENCODING_H_

#include <cstdint>

#include "absl/status/status.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/attention.h"

namespace septet {

// The model that positions are encoded for.
struct PositionModel {
  int64_t layers = 0;
  int64_t dim = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
};

// The embeddings of one pass.
struct EmbeddingCall {
  const BoundParameters* p = nullptr;
  const Pass* pass = nullptr;
  // Position of the first token of every row: slots of the cache before it.
  int64_t first = 0;
  // i64 [B, T], or undefined: first, first + 1, ... in every row.
  Var positions;
};

// One layer's attention in one pass.
struct AttentionCall {
  const BoundParameters* p = nullptr;
  const Pass* pass = nullptr;
  int layer = 0;
  // Keys before the first query's: query t is aligned with key first + t. In a
  // padded batch that is the slot, not the position.
  int64_t first = 0;
  // [B, T, dim]: what q, k and v are projections of.
  const Var* input = nullptr;
  const AttentionMask* mask = nullptr;
  // Layout [B, T, H, D]; causal, scale, this pass's dropout.
  AttentionOptions options;
};

class PositionEncoding {
 public:
  virtual ~PositionEncoding() = default;

  // Called once, when the model is made: adds parameters of its own to
  // `scope`, and checks that it fits the model.
  virtual absl::Status Declare(const PositionModel& /*model*/,
                               const ParameterScope& /*scope*/) {
    return absl::OkStatus();
  }

  // x [B, T, dim]: the same, with positions.
  virtual Var Embed(const EmbeddingCall& /*call*/, const Var& x) const {
    return x;
  }

  // q [B, T, H, D], k [B, T, Hkv, D] of the new positions.
  virtual void Rotate(const AttentionCall& /*call*/, Var* /*q*/,
                      Var* /*k*/) const {}

  // What is kept in the cache beside each key, [B, T, Hkv, ExtraDim()]: a
  // second key, say. Undefined if ExtraDim() is 0.
  virtual int64_t ExtraDim() const { return 0; }
  virtual Var Extra(const AttentionCall& /*call*/, const Var& /*k*/) const {
    return Var();
  }

  // q [B, T, H, D]; k, v [B, S, Hkv, D] and extra [B, S, Hkv, ExtraDim()] of
  // all keys: [B, T, H, D].
  virtual Var Attend(const AttentionCall& call, const Var& q, const Var& k,
                     const Var& v, const Var& /*extra*/) const {
    return Attention(q, k, v, *call.mask, call.options);
  }

  // All of these in one where q, k and v are one product and there is no cache:
  // qkv [B, T, H + 2 Hkv, D] gives [B, T, H, D]. What overrides one of the
  // others overrides this, or leaves it as it is: parts, Rotate, Extra, Attend.
  virtual Var AttendJoint(const AttentionCall& call, int64_t heads,
                          int64_t kv_heads, const Var& qkv) const;
};

struct LearnedPositionsOptions {
  int64_t count = 0;  // positions 0..count-1, >= 1
  Initializer init = Initializer::Normal(0, 0.02);
  bool decay = true;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// A table of vectors, added to the embeddings (GPT-2, BERT): parameter "weight"
// [count, dim]. A position beyond the table is an InvalidArgument.
class LearnedPositions : public PositionEncoding {
 public:
  explicit LearnedPositions(const LearnedPositionsOptions& options)
      : options_(options) {}

  absl::Status Declare(const PositionModel& model,
                       const ParameterScope& scope) override;
  Var Embed(const EmbeddingCall& call, const Var& x) const override;
  Var AttendJoint(const AttentionCall& call, int64_t heads, int64_t kv_heads,
                  const Var& qkv) const override;

  ParameterId weight() const { return weight_; }

 private:
  LearnedPositionsOptions options_;
  ParameterId weight_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_POSITION_ENCODING_H_
