// SPDX-License-Identifier: Apache-2.0
// Where the first NaN or infinity of a computation comes from.
//
//   NonFiniteFinder finder;
//   {
//     ScopedOpObserver scope(&finder);
//     loss = Loss(w, batch);
//     grads = tape.Grad(loss, {w});
//   }
//   finder.Report();
//   // "the result of op 7 (log) is the first: f32 [4, 8], 1 of 32 elements,
//   //  [0, 3] is -inf; its inputs are finite"
//
// Looks at every element of everything: for the one step that went wrong.
#ifndef SEPTET_CORE_TRAIN_NON_FINITE_H_
#define SEPTET_CORE_TRAIN_NON_FINITE_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// "f32 [4, 8], 1 of 32 elements is not finite, [0, 3] is -inf"; empty if all
// are finite, or if the tensor is not floating.
std::string NonFiniteText(const Tensor& tensor);

// Keeps the first of each kind: an infinity among finite numbers, which may be
// meant (a mask), and a NaN, which never is; on the way back either.
class NonFiniteFinder : public OpObserver {
 public:
  void OnOp(const Op& op, int64_t node, absl::Span<const Tensor* const> inputs,
            absl::Span<const Var> outputs) override;
  void OnGradient(const Op& op, int64_t node, int input,
                  const Tensor& gradient) override;

  // What was first, in words; empty if all was finite. With
  // `infinity_counts`, an infinity that made no NaN is named as well.
  std::string Report(bool infinity_counts) const;

 private:
  std::string first_infinity_;
  std::string first_nan_;
  std::string first_gradient_;
  bool nan_of_infinities_ = false;
};

}  // namespace septet

#endif  // SEPTET_CORE_TRAIN_NON_FINITE_H_
