// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/retention_composite.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/cumsum.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace retention_internal {
namespace {

// Sequences of one length at one position: q, k [N, H, L, dk], k scaled, v [N,
// H, L, dv], state [N, H, dk, dv] and key_sum [N, H, 1, dk] or undefined.
struct Piece {
  Var q, k, v, state, key_sum;
  int64_t position = 0;
};

struct PieceResult {
  Var out;      // [N, L, H, dv]
  Var state;    // [N, H, dk, dv]
  Var key_sum;  // [N, H, dk]
};

// first, first + step, ... as f64 [1, count].
Var Numbers(int64_t count, double first, double step) {
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(first + step * static_cast<double>(i));
  }
  return Tensor::FromValues<double>(Shape({1, count}), values);
}

// exp(log_gamma x) for x as Numbers gives it: [H, count, 1] in `dtype`.
Var Powers(const Var& log_gamma, const Var& x, DType dtype) {
  const Var powers = Exp(Mul(log_gamma, x));  // [H, 1] times [1, count]
  if (!powers.ok()) return powers;
  return Cast(Reshape(powers, {powers.dim(0), powers.dim(1), 1}), dtype);
}

// gamma^(n - m) for m <= n, else 0: [H, rows, rows].
Var DecayMatrix(const Var& log_gamma, int64_t heads, int64_t rows,
                DType dtype) {
  std::vector<double> distance, mask;
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t m = 0; m < rows; ++m) {
      distance.push_back(static_cast<double>(std::max<int64_t>(0, n - m)));
      mask.push_back(m <= n ? 1 : 0);
    }
  }
  const Shape shape({1, rows * rows});
  const Var decay =
      Mul(Exp(Mul(log_gamma, Tensor::FromValues<double>(shape, distance))),
          Tensor::FromValues<double>(shape, mask));
  return Cast(Reshape(decay, {heads, rows, rows}), dtype);
}

// sum_{i < terms} gamma^i for terms >= 1, [H, 1]: by doubling, in which nothing
// cancels, nor in the derivatives. The quotient's do for gamma near 1.
Var GeometricSum(const Var& log_gamma, int64_t terms) {
  const Var gamma = Exp(log_gamma);
  Var sum = Affine(gamma, 0, 1);
  int bits = 0;
  while (terms >> bits > 1) ++bits;
  for (int64_t done = 1; bits-- > 0;) {
    const Var decay = Exp(Affine(log_gamma, static_cast<double>(done), 0));
    sum = Mul(sum, Affine(decay, 1, 1));
    done *= 2;
    if ((terms >> bits & 1) == 0) continue;
    sum = Affine(Mul(sum, gamma), 1, 1);
    ++done;
  }
  return sum;
}

// 1 / sqrt(c_n) for n = first .. first + rows - 1: [H, rows, 1].
Var RowFactors(const Var& log_gamma, int64_t heads, int64_t first, int64_t rows,
               DType dtype) {
  Var sums = CumSum(Exp(Mul(log_gamma, Numbers(rows, 0, 1))), /*axis=*/1);
  if (first > 0) {
    sums = Add(sums, Mul(Exp(Mul(log_gamma, Numbers(rows, 1, 1))),
                         GeometricSum(log_gamma, first)));
  }
  const Var factors = Rsqrt(sums);
  return Cast(Reshape(factors, {heads, rows, 1}), dtype);
}

// What the rows are multiplied by, [.., H, L, 1].
Var Factors(const RetentionAttrs& attrs, const Piece& piece,
            const Var& log_gamma, const Var& scores) {
  const int64_t heads = piece.q.dim(1), rows = piece.q.dim(2);
  const DType dtype = piece.q.dtype();
  const Var one = Tensor::Full(Shape(), 1, dtype);
  const ReduceOptions keep{/*keep_dims=*/true};
  const auto rows_of = [&](const Var& x, int64_t begin, int64_t end) {
    return Slice(x, 2, begin, end);
  };
  switch (attrs.norm) {
    case RetentionNorm::kNone:
      return Tensor::Full(Shape({heads, rows, 1}), 1, dtype);
    case RetentionNorm::kDecay:
      return RowFactors(log_gamma, heads, piece.position, rows, dtype);
    case RetentionNorm::kPaper: {
      Var sum = Sum(scores, {-1}, keep);
      if (piece.key_sum.defined()) {
        sum = Add(sum, Mul(Powers(log_gamma, Numbers(rows, 1, 1), dtype),
                           Sum(Mul(piece.q, piece.key_sum), {-1}, keep)));
      }
      const Var f = RowFactors(log_gamma, heads, piece.position, rows, dtype);
      return Div(f, Maximum(Mul(Abs(sum), f), one).Detach());
    }
    case RetentionNorm::kTorchscaleParallel: {
      const Var f = RowFactors(log_gamma, heads, 0, rows, dtype);
      return Div(f,
                 Clip(Mul(Sum(Abs(scores), {-1}, keep), f), 1, 5e4).Detach());
    }
    case RetentionNorm::kTorchscaleParallelLegacy: {
      const Var f = RowFactors(log_gamma, heads, 0, rows, dtype);
      return Div(f,
                 Maximum(Mul(Abs(Sum(scores, {-1}, keep)), f), one).Detach());
    }
    default:
      break;
  }
  // Chunkwise torchscale, chunk by chunk: b is that of the state before.
  const Var sums = Reshape(GeometricSum(log_gamma, attrs.chunk), {heads, 1, 1});
  const Var update =
      Cast(Reciprocal(attrs.norm == RetentionNorm::kTorchscaleChunkwise
                          ? sums
                          : Sqrt(sums)),
           dtype);
  const Var k = piece.k.Detach(), v = piece.v.Detach();
  std::vector<Var> parts;
  Var state;
  Var largest = one;
  const int64_t chunk = std::min(rows, attrs.chunk);
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t end = std::min(rows, begin + chunk);
    const Var f = RowFactors(log_gamma, heads, 0, end - begin, dtype);
    const Var inner = Slice(rows_of(scores, begin, end), 3, begin, end);
    parts.push_back(
        Div(f, Maximum(Mul(Sum(Abs(inner), {-1}, keep), f), largest).Detach()));
    if (end == rows) break;
    const Var decayed = Mul(
        rows_of(k, begin, end),
        Powers(log_gamma,
               Numbers(end - begin, static_cast<double>(end - begin - 1), -1),
               dtype));
    const Var added =
        Mul(update, MatMul(decayed, rows_of(v, begin, end),
                           {/*transpose_a=*/true, /*transpose_b=*/false}));
    state =
        state.defined()
            ? Add(Mul(state,
                      Powers(log_gamma,
                             Numbers(1, static_cast<double>(attrs.chunk), 0),
                             dtype)),
                  added)
            : added;
    largest = Maximum(one, Max(Sum(Abs(state), {2}, keep), {3}, keep));
  }
  return Concat(parts, 2);
}

PieceResult Compute(const RetentionAttrs& attrs, const Piece& piece,
                    const Var& log_gamma) {
  const int64_t heads = piece.q.dim(1), rows = piece.q.dim(2);
  const DType dtype = piece.q.dtype();
  const Var scores = Mul(MatMul(piece.q, piece.k, {false, true}),
                         DecayMatrix(log_gamma, heads, rows, dtype));
  Var out = MatMul(scores, piece.v);
  if (piece.state.defined()) {
    out = Add(out, Mul(Powers(log_gamma, Numbers(rows, 1, 1), dtype),
                       MatMul(piece.q, piece.state)));
  }
  PieceResult result;
  result.out =
      Permute(Mul(out, Factors(attrs, piece, log_gamma, scores)), {0, 2, 1, 3});
  if (!attrs.return_state) return result;
  const Var decayed = Mul(
      piece.k, Powers(log_gamma,
                      Numbers(rows, static_cast<double>(rows - 1), -1), dtype));
  const Var decay =
      Powers(log_gamma, Numbers(1, static_cast<double>(rows), 0), dtype);
  result.state = MatMul(decayed, piece.v, {true, false});
  if (piece.state.defined()) {
    result.state = Add(result.state, Mul(decay, piece.state));
  }
  const ReduceOptions keep{/*keep_dims=*/true};
  result.key_sum = Sum(decayed, {2}, keep);
  if (piece.key_sum.defined()) {
    result.key_sum = Add(result.key_sum, Mul(decay, piece.key_sum));
  }
  result.key_sum = Squeeze(result.key_sum, 2);
  return result;
}

}  // namespace

void RetentionComposite(CompositeArgs& args) {
  const auto& attrs = args.attrs.Get<RetentionAttrs>();
  const Var& q = args.inputs[0];
  const Var k = Affine(args.inputs[1], attrs.scale, 0);
  const Var& v = args.inputs[2];
  const Var& state = args.inputs[4];
  const Var& key_sum = args.inputs[5];
  const Var& offsets = args.inputs[6];
  const Var& positions = args.inputs[7];
  const bool packed = offsets.defined();
  const int64_t heads = q.dim(packed ? 1 : 2);
  const int64_t key_dim = q.dim(packed ? 2 : 3);
  const int64_t value_dim = v.dim(packed ? 2 : 3);
  const int64_t sequences = packed ? offsets.dim(0) - 1 : q.dim(0);
  const DType dtype = q.dtype();
  const Var log_gamma = Reshape(args.inputs[3], {heads, 1});
  const auto position = [&](int64_t s) {
    return positions.defined() ? positions.tensor().data<int64_t>()[s] : 0;
  };
  bool one_position = true;
  for (int64_t s = 1; s < sequences; ++s) {
    one_position = one_position && position(s) == position(0);
  }
  const bool together = !packed && one_position;
  std::vector<Var> outs, states, key_sums;
  const int64_t pieces = together ? 1 : sequences;
  for (int64_t i = 0; i < pieces; ++i) {
    const auto of_sequence = [&](const Var& x) {
      return together || !x.defined() ? x : Slice(x, 0, i, i + 1);
    };
    const int64_t count = together ? sequences : 1;
    int64_t begin = 0, rows = 0;
    if (packed) {
      begin = offsets.tensor().data<int64_t>()[i];
      rows = offsets.tensor().data<int64_t>()[i + 1] - begin;
    } else {
      rows = q.dim(1);
    }
    Piece piece;
    piece.state = of_sequence(state);
    const Var sums = of_sequence(key_sum);
    if (rows == 0) {
      states.push_back(
          piece.state.defined()
              ? piece.state
              : Var(Tensor::Zeros(Shape({count, heads, key_dim, value_dim}),
                                  dtype)));
      key_sums.push_back(
          sums.defined()
              ? sums
              : Var(Tensor::Zeros(Shape({count, heads, key_dim}), dtype)));
      continue;
    }
    const auto rows_of = [&](const Var& x) {
      const Var part = packed ? Unsqueeze(Slice(x, 0, begin, begin + rows), 0)
                              : of_sequence(x);
      return Permute(part, {0, 2, 1, 3});
    };
    piece.q = rows_of(q);
    piece.k = rows_of(k);
    piece.v = rows_of(v);
    if (sums.defined()) piece.key_sum = Unsqueeze(sums, 2);
    piece.position = position(i);
    if (!piece.q.ok() || !piece.k.ok() || !piece.v.ok()) {
      args.outputs[0] = !piece.q.ok()   ? piece.q
                        : !piece.k.ok() ? piece.k
                                        : piece.v;
      return;
    }
    const PieceResult result = Compute(attrs, piece, log_gamma);
    outs.push_back(packed ? Squeeze(result.out, 0) : result.out);
    states.push_back(result.state);
    key_sums.push_back(result.key_sum);
  }
  args.outputs[0] = outs.empty()       ? Var(Tensor::Zeros(v.shape(), dtype))
                    : outs.size() == 1 ? outs[0]
                                       : Concat(outs, 0);
  const Var none = Tensor::Zeros(Shape({0}), dtype);
  const auto joined = [](const std::vector<Var>& parts) {
    return parts.size() == 1 ? parts[0] : Concat(parts, 0);
  };
  args.outputs[1] = attrs.return_state ? joined(states) : none;
  args.outputs[2] = attrs.return_state && attrs.norm == RetentionNorm::kPaper
                        ? joined(key_sums).Detach()
                        : none;
  args.outputs[3] =
      RetentionHasDivisors(attrs.norm)
          ? Var(Tensor::Zeros(
                Shape({heads, packed ? q.dim(0) : q.dim(0) * q.dim(1)}), dtype))
          : none;
}

}  // namespace retention_internal
}  // namespace septet
