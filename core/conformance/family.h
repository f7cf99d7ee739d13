// SPDX-License-Identifier: Apache-2.0
// Families of cases, and the adapters that answer them.
//
// An adapter takes a case's inputs, calls the public headers that a user would
// call, and gives the results back by the names of the tensors that hold what
// is expected. It must hold for any shapes and option values of its family.
//
//   absl::Status TargetEma(CaseRun& run) {
//     SEPTET_ASSIGN_OR_RETURN(double tau, run.file().Double("tau"));
//     SEPTET_ASSIGN_OR_RETURN(Tensor online, run.Input("online"));
//     ...
//     return run.Expect("targets", targets);
//   }
//   const bool kRegistered = RegisterFamily(
//       {"offline_rl/target_ema", kOfflineRlF64, kOfflineRlF32, &TargetEma});
//
// at namespace scope, in a target with alwayslink = True that the tool links.
#ifndef SEPTET_CORE_CONFORMANCE_FAMILY_H_
#define SEPTET_CORE_CONFORMANCE_FAMILY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/tolerance.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// What became of one expected tensor.
struct TensorResult {
  std::string name;
  std::string type;  // "f64 [2, 3]", as in the file
  Comparison comparison;
};

// One run of an adapter over one case.
class CaseRun {
 public:
  // `file` outlives the run; `dtype` is f32 or f64.
  CaseRun(Case* file, DType dtype, const Tolerance& tolerance)
      : file_(file), dtype_(dtype), tolerance_(tolerance) {}
  CaseRun(const CaseRun&) = delete;
  CaseRun& operator=(const CaseRun&) = delete;

  Case& file() { return *file_; }
  // In which to compute.
  DType dtype() const { return dtype_; }

  // A floating input, rounded to dtype().
  absl::StatusOr<Tensor> Input(absl::string_view name) {
    return file_->Input(name, dtype_);
  }

  // Compares `got` with the tensor of that name, under the family's tolerance
  // or the given one. That they differ is noted, not returned.
  // Errors: that of `got`; InvalidArgument if the file has no such tensor.
  absl::Status Expect(absl::string_view name, const Var& got,
                      const std::optional<Tolerance>& tolerance = {});

  // The same with a tensor of another file that belongs to this one: what is
  // expected of a checkpoint lies beside it.
  absl::Status ExpectOf(Case* other, absl::string_view name, const Var& got,
                        const std::optional<Tolerance>& tolerance = {});

  // For what is not a comparison by element (a set, an inequality): notes that
  // the tensor `name` was checked, `error` being at most `allowed` if all is
  // well. Error: InvalidArgument if the file has no such tensor.
  absl::Status ExpectBound(absl::string_view name, double error,
                           double allowed);

  // Notes what computed something that is no op and so leaves no trace of its
  // own, in the form of DispatchTrace: "adam cpu/f64 highway".
  void NoteDispatch(std::string line) { dispatch_.push_back(std::move(line)); }

  const std::vector<TensorResult>& results() const { return results_; }
  const std::vector<std::string>& dispatch() const { return dispatch_; }

 private:
  Case* const file_;
  const DType dtype_;
  const Tolerance tolerance_;
  std::vector<TensorResult> results_;
  std::vector<std::string> dispatch_;
};

struct Family {
  std::string name;  // "method/case"
  Tolerance f64;     // as the family's README gives it, nothing looser
  Tolerance f32;
  absl::Status (*run)(CaseRun& run) = nullptr;
};

// Adds a family; returns true. Aborts if the name is taken.
bool RegisterFamily(Family family);

// The family of that name. NotFound, with the nearest name and all names, if
// there is none.
absl::StatusOr<const Family*> FindFamily(absl::string_view name);

// All names, sorted.
std::vector<std::string> FamilyNames();

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_FAMILY_H_
