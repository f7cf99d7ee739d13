// SPDX-License-Identifier: Apache-2.0
// Losses of numbers: formulas in elementwise ops.
#include "septet/core/ops/loss.h"

#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// a is f32 or f64, b of the same dtype and shape.
absl::Status RequirePair(absl::string_view op, absl::string_view a_name,
                         const Var& a, absl::string_view b_name, const Var& b) {
  SEPTET_RETURN_IF_ERROR(a.status());
  SEPTET_RETURN_IF_ERROR(b.status());
  SEPTET_RETURN_IF_ERROR(RequireReal(a_name, a.tensor())) << op;
  SEPTET_RETURN_IF_ERROR(
      RequireSameDType(a_name, a.tensor(), b_name, b.tensor()))
      << op;
  if (a.shape() == b.shape()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      op, ": ", b_name, " is ", b.tensor().DebugString(),
      ", expected the shape of ", a_name, ", ", a.shape().ToString()));
}

// b, if it is given, has the dtype of a and broadcasts to its shape.
absl::Status RequireSpreads(absl::string_view op, absl::string_view a_name,
                            const Var& a, absl::string_view b_name,
                            const Var& b) {
  SEPTET_RETURN_IF_ERROR(b.status());
  SEPTET_RETURN_IF_ERROR(
      RequireSameDType(a_name, a.tensor(), b_name, b.tensor()))
      << op;
  absl::StatusOr<Shape> common = BroadcastShapes(a.shape(), b.shape());
  if (common.ok() && *common == a.shape()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      op, ": ", b_name, " is ", b.tensor().DebugString(),
      ", which does not broadcast to ", a_name, ", ", a.shape().ToString()));
}

// A positive normal number of the dtype of x.
absl::Status RequireWidth(absl::string_view op, absl::string_view name,
                          double width, const Var& x) {
  const bool single = x.dtype() == DType::kF32;
  const double low = single ? std::numeric_limits<float>::min()
                            : std::numeric_limits<double>::min();
  const double high = single ? std::numeric_limits<float>::max()
                             : std::numeric_limits<double>::max();
  if (width >= low && width <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      op, ": ", name, " is ", width, ", expected a positive normal number of ",
      DTypeName(x.dtype())));
}

Var Reduced(const Var& losses, LossReduction reduction) {
  if (!losses.ok() || reduction == LossReduction::kNone) return losses;
  if (reduction == LossReduction::kSum || losses.tensor().num_elements() == 0) {
    return Sum(losses);
  }
  return Mean(losses);
}

Var Constant(double value, const Var& like) {
  return Tensor::Scalar(value, like.dtype());
}

Var HuberTerms(const Var& prediction, const Var& target, double delta) {
  const Var r = Sub(prediction, target);
  const Var size = Abs(r);
  return Where(LessEqual(size, Constant(delta, r)), Scale(Square(r), 0.5),
               Affine(size, delta, -0.5 * delta * delta));
}

// The divergence of rows, from the terms of their elements.
Var ReducedRows(const Var& terms, LossReduction reduction) {
  return Reduced(Sum(terms, {-1}), reduction);
}

absl::Status RequireRows(absl::string_view op, absl::string_view name,
                         const Var& x) {
  return AnnotateStatus(RequireRank(name, x.tensor(), 1, kMaxRank), op);
}

}  // namespace

Var Mse(const Var& prediction, const Var& target, LossReduction reduction) {
  absl::Status status =
      RequirePair("mse", "prediction", prediction, "target", target);
  if (!status.ok()) return status;
  return Reduced(Square(Sub(prediction, target)), reduction);
}

Var L1(const Var& prediction, const Var& target, LossReduction reduction) {
  absl::Status status =
      RequirePair("l1", "prediction", prediction, "target", target);
  if (!status.ok()) return status;
  return Reduced(Abs(Sub(prediction, target)), reduction);
}

Var Huber(const Var& prediction, const Var& target, double delta,
          LossReduction reduction) {
  absl::Status status =
      RequirePair("huber", "prediction", prediction, "target", target);
  if (status.ok()) status = RequireWidth("huber", "delta", delta, prediction);
  if (!status.ok()) return status;
  return Reduced(HuberTerms(prediction, target, delta), reduction);
}

Var SmoothL1(const Var& prediction, const Var& target, double beta,
             LossReduction reduction) {
  absl::Status status =
      RequirePair("smooth_l1", "prediction", prediction, "target", target);
  if (status.ok()) status = RequireWidth("smooth_l1", "beta", beta, prediction);
  if (!status.ok()) return status;
  return Reduced(Scale(HuberTerms(prediction, target, beta), 1 / beta),
                 reduction);
}

Var BceWithLogits(const Var& logits, const Var& targets,
                  const Var& positive_weight, LossReduction reduction) {
  absl::Status status =
      RequirePair("bce_with_logits", "logits", logits, "targets", targets);
  if (status.ok()) status = positive_weight.status();
  if (status.ok() && positive_weight.defined()) {
    status = RequireSpreads("bce_with_logits", "logits", logits,
                            "positive_weight", positive_weight);
  }
  if (!status.ok()) return status;
  // log(1 + exp(x)) is never negative: nothing cancels.
  Var positive = Mul(targets, Softplus(Neg(logits)));
  if (positive_weight.defined()) positive = Mul(positive_weight, positive);
  const Var negative = Mul(Affine(targets, -1, 1), Softplus(logits));
  return Reduced(Add(positive, negative), reduction);
}

Var KlDiv(const Var& log_q, const Var& p, LossReduction reduction) {
  absl::Status status = RequirePair("kl_div", "log_q", log_q, "p", p);
  if (status.ok()) status = RequireRows("kl_div", "log_q", log_q);
  if (!status.ok()) return status;
  // What does not count is replaced before it can be infinite, so that its
  // derivatives are zero, too.
  const Var zero = Constant(0, p);
  const Var absent = Equal(p, zero);
  const Var present = Where(absent, Constant(1, p), p);
  const Var terms = Mul(present, Sub(Log(present), Where(absent, zero, log_q)));
  return ReducedRows(Where(absent, zero, terms), reduction);
}

Var KlDivOfLogs(const Var& log_q, const Var& log_p, LossReduction reduction) {
  absl::Status status =
      RequirePair("kl_div_of_logs", "log_q", log_q, "log_p", log_p);
  if (status.ok()) status = RequireRows("kl_div_of_logs", "log_q", log_q);
  if (!status.ok()) return status;
  const Var zero = Constant(0, log_p);
  const Var absent =
      Equal(log_p, Constant(-std::numeric_limits<double>::infinity(), log_p));
  const Var present = Where(absent, zero, log_p);
  const Var terms = Mul(Exp(present), Sub(present, Where(absent, zero, log_q)));
  return ReducedRows(Where(absent, zero, terms), reduction);
}

Var GaussianNll(const Var& mean, const Var& log_variance, const Var& target,
                LossReduction reduction) {
  absl::Status status =
      RequirePair("gaussian_nll", "mean", mean, "target", target);
  if (status.ok()) {
    status = RequireSpreads("gaussian_nll", "mean", mean, "log_variance",
                            log_variance);
  }
  if (!status.ok()) return status;
  constexpr double kLog2Pi = 1.8378770664093454836;
  const Var square = Mul(Square(Sub(target, mean)), Exp(Neg(log_variance)));
  return Reduced(Affine(Add(square, log_variance), 0.5, 0.5 * kLog2Pi),
                 reduction);
}

}  // namespace septet
