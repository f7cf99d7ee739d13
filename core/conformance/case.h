// SPDX-License-Identifier: Apache-2.0
// A case: one safetensors file with inputs, parameters, expected outputs and
// gradients as tensors, and the options as text in `__metadata__`. The keys
// `method` and `case` name its family, "method/case".
//
//   SEPTET_ASSIGN_OR_RETURN(Case c, Case::Read(path));
//   SEPTET_ASSIGN_OR_RETURN(double tau, c.Double("tau"));
//   SEPTET_ASSIGN_OR_RETURN(std::vector<int64_t> hidden, c.IntList("hidden"));
//   SEPTET_ASSIGN_OR_RETURN(Tensor x, c.Input("x", DType::kF32));
//   c.UnusedTensors();                        // all but x
//
// Options have types when they are read. A getter with a fallback returns it
// where the key is absent; without one that is an InvalidArgument. Each error
// names the file, the key or tensor, what was expected and what is there.
//
// A case remembers which tensors were asked for, because a run that leaves one
// aside has not shown what the file is there to show. Options may stay unread:
// many only say where the numbers came from.
//
// One thread at a time.
#ifndef SEPTET_CORE_CONFORMANCE_CASE_H_
#define SEPTET_CORE_CONFORMANCE_CASE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

class Case {
 public:
  using Tensors = std::map<std::string, Tensor>;
  using Options = std::map<std::string, std::string>;

  // Reads a whole file. Errors: those of core/io/safetensors.h, with the path.
  static absl::StatusOr<Case> Read(absl::string_view path);

  // A case from its parts; `path` is only for messages.
  Case(std::string path, Tensors tensors, Options options)
      : path_(std::move(path)),
        tensors_(std::move(tensors)),
        options_(std::move(options)) {}

  const std::string& path() const { return path_; }
  const Options& options() const { return options_; }

  // "method/case".
  absl::StatusOr<std::string> Family() const;

  bool HasOption(absl::string_view key) const;
  absl::StatusOr<std::string> String(
      absl::string_view key,
      std::optional<std::string> fallback = std::nullopt) const;
  // Decimal, 1e-3, inf, nan.
  absl::StatusOr<double> Double(
      absl::string_view key,
      std::optional<double> fallback = std::nullopt) const;
  absl::StatusOr<int64_t> Int(
      absl::string_view key,
      std::optional<int64_t> fallback = std::nullopt) const;
  // 0, 1, true, false in any letter case.
  absl::StatusOr<bool> Bool(absl::string_view key,
                            std::optional<bool> fallback = std::nullopt) const;
  // "[16, 12]", "[]"; also without brackets.
  absl::StatusOr<std::vector<int64_t>> IntList(
      absl::string_view key,
      std::optional<std::vector<int64_t>> fallback = std::nullopt) const;
  // "relu, tanh": words between commas, without the white space around them.
  absl::StatusOr<std::vector<std::string>> StringList(
      absl::string_view key) const;

  // InvalidArgument about an option: "<file>: option "act": is "foo", want
  // <expected>".
  absl::Status OptionError(absl::string_view key,
                           absl::string_view expected) const;

  // The names of all tensors that begin with `prefix`, in order.
  std::vector<std::string> TensorNames(absl::string_view prefix = "") const;
  bool HasTensor(absl::string_view name) const;

  // The tensor as it is in the file.
  absl::StatusOr<Tensor> Stored(absl::string_view name);
  // A floating tensor, rounded to `dtype` (f32 or f64).
  absl::StatusOr<Tensor> Input(absl::string_view name, DType dtype);
  // A tensor of integers or bools, as i64.
  absl::StatusOr<Tensor> IntInput(absl::string_view name);
  // Says that the family knows the tensor and has no use for it. Reports name
  // it. The tensor may be absent.
  void Ignore(absl::string_view name);

  // Tensors that nobody has asked for nor ignored, in order.
  std::vector<std::string> UnusedTensors() const;
  const std::set<std::string, std::less<>>& ignored() const { return ignored_; }

 private:
  // Null if the key is absent and `may_be_absent`.
  absl::StatusOr<const std::string*> Find(absl::string_view key,
                                          bool may_be_absent) const;
  absl::Status Error(absl::string_view message) const;

  std::string path_;
  Tensors tensors_;
  Options options_;
  std::set<std::string, std::less<>> used_;
  std::set<std::string, std::less<>> ignored_;
};

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_CASE_H_
