// SPDX-License-Identifier: Apache-2.0
// What differentiable ops take and return: a tensor, where it comes from, or
// the error that stands in its place.
//
//   Tape tape;
//   Var w = tape.Watch(weights);        // differentiate with respect to this
//   Var loss = Mean(Square(Sub(MatMul(x, w), y)));   // x, y: Tensors
//   SEPTET_RETURN_IF_ERROR(loss.status());
//   SEPTET_ASSIGN_OR_RETURN(std::vector<Tensor> grads, tape.Grad(loss, {w}));
//
// A Var made from a Tensor is a constant. An op records itself on the tape of
// its inputs, and on none if all are constants. An op given a failed Var
// returns that error unchanged, so that a formula can be written as one and
// its status looked at once, at the end; nobody can read a value that is not
// there, because tensor() aborts on an error.
#ifndef SEPTET_CORE_AUTOGRAD_VAR_H_
#define SEPTET_CORE_AUTOGRAD_VAR_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/base/check.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

class Tape;

class Var {
 public:
  // No value: an optional input that is not given, a gradient that is zero.
  Var() = default;
  // A constant.
  Var(Tensor tensor) : tensor_(std::move(tensor)) {}  // NOLINT: implicit
  // An error.
  Var(absl::Status error) : status_(std::move(error)) {  // NOLINT: implicit
    SEPTET_CHECK(!status_.ok()) << "a Var needs a tensor or an error";
  }
  Var(absl::StatusOr<Tensor> result) {  // NOLINT: implicit
    if (result.ok()) {
      tensor_ = *std::move(result);
    } else {
      status_ = result.status();
    }
  }

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

  // True if there is a tensor.
  bool defined() const { return tensor_.defined(); }

  const Tensor& tensor() const {
    SEPTET_CHECK(status_.ok()) << status_.ToString();
    return tensor_;
  }
  const Shape& shape() const { return tensor().shape(); }
  DType dtype() const { return tensor().dtype(); }
  int rank() const { return tensor().rank(); }
  int64_t dim(int axis) const { return tensor().dim(axis); }

  // The tape that knows this value, or null for a constant.
  Tape* tape() const { return tape_; }

  // The same tensor as a constant: nothing is differentiated through it
  // (stop-gradient).
  Var Detach() const { return ok() ? Var(tensor_) : Var(status_); }

 private:
  friend class Tape;

  Tensor tensor_;
  Tape* tape_ = nullptr;
  int32_t value_ = -1;       // number of the value on the tape
  uint64_t generation_ = 0;  // of the tape when it was made
  absl::Status status_;
};

}  // namespace septet

#endif  // SEPTET_CORE_AUTOGRAD_VAR_H_
