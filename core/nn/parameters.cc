// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/parameters.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/edit_distance.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Names of a kind that a message lists.
constexpr size_t kListed = 8;

}  // namespace

BoundParameters BoundParameters::With(absl::Span<const Var> trained) const {
  SEPTET_CHECK_EQ(trained.size(), trained_.size());
  BoundParameters result;
  result.trained_.assign(trained.begin(), trained.end());
  result.buffers_ = buffers_;
  return result;
}

absl::StatusOr<ParameterId> ParameterStore::Add(absl::string_view name,
                                                Tensor value,
                                                const ParameterTraits& traits) {
  const std::string context = absl::StrCat("parameter '", name, "'");
  if (name.empty()) {
    return absl::InvalidArgumentError("a parameter has an empty name");
  }
  if (by_name_.contains(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat(context, ": there is one of that name already"));
  }
  if (!value.defined() || !value.has_storage()) {
    return absl::InvalidArgumentError(absl::StrCat(context, " has no value"));
  }
  if (value.dtype() != DType::kF32 && value.dtype() != DType::kF64) {
    return absl::InvalidArgumentError(absl::StrCat(
        context, " is ", value.DebugString(), ", expected f32 or f64"));
  }
  if (!value.IsContiguous() || value.IsReadOnly()) {
    return absl::InvalidArgumentError(
        absl::StrCat(context, ", ", value.DebugString(), ", is ",
                     value.IsReadOnly() ? "read-only" : "not contiguous"));
  }
  for (const auto* list : {&trained_, &buffers_}) {
    for (size_t i = 0; i < list->size(); ++i) {
      if ((*list)[i].SharesStorageWith(value)) {
        const ParameterId other(static_cast<int>(i), list == &buffers_);
        return absl::InvalidArgumentError(absl::StrCat(
            context, " has the memory of '", entry(other).name,
            "'; what is shared is one entry, used by its id twice"));
      }
    }
  }
  auto& tensors = traits.trained ? trained_ : buffers_;
  auto& entries = traits.trained ? trained_entries_ : buffer_entries_;
  const ParameterId id(static_cast<int>(tensors.size()), !traits.trained);
  tensors.push_back(std::move(value));
  entries.push_back({std::string(name), traits.trained && traits.decay});
  by_name_[entries.back().name] = id;
  return id;
}

absl::StatusOr<ParameterId> ParameterStore::Find(absl::string_view name) const {
  const auto it = by_name_.find(name);
  if (it != by_name_.end()) return it->second;
  return absl::NotFoundError(
      absl::StrCat("no parameter '", name, "'", NearestText(name, "")));
}

std::string ParameterStore::NearestText(absl::string_view name,
                                        absl::string_view prefix) const {
  std::vector<std::string> names;
  for (const auto* entries : {&trained_entries_, &buffer_entries_}) {
    for (const Entry& entry : *entries) names.push_back(entry.name);
  }
  const std::string nearest = NearestName(name, names);
  if (nearest.empty()) return "";
  return absl::StrCat("; the nearest is '", prefix, nearest, "'");
}

std::vector<std::string> ParameterStore::trained_names() const {
  std::vector<std::string> names;
  for (const Entry& entry : trained_entries_) names.push_back(entry.name);
  return names;
}

std::vector<bool> ParameterStore::trained_decay() const {
  std::vector<bool> decay;
  for (const Entry& entry : trained_entries_) decay.push_back(entry.decay);
  return decay;
}

int64_t ParameterStore::NumElements() const {
  int64_t n = 0;
  for (const Tensor& tensor : trained_) n += tensor.num_elements();
  return n;
}

void ParameterStore::Bind(BoundParameters* bound) const {
  bound->trained_.assign(trained_.begin(), trained_.end());
  bound->buffers_.assign(buffers_.begin(), buffers_.end());
}

void ParameterStore::Watch(Tape* tape, BoundParameters* bound) const {
  bound->trained_.clear();
  for (const Tensor& tensor : trained_) {
    bound->trained_.push_back(tape->Watch(tensor));
  }
  bound->buffers_.assign(buffers_.begin(), buffers_.end());
}

BoundParameters ParameterStore::Bind() const {
  BoundParameters bound;
  Bind(&bound);
  return bound;
}

BoundParameters ParameterStore::Watch(Tape* tape) const {
  BoundParameters bound;
  Watch(tape, &bound);
  return bound;
}

absl::StatusOr<ParameterStore> ParameterStore::Clone() const {
  ParameterStore clone;
  for (const Tensor& tensor : trained_) {
    SEPTET_ASSIGN_OR_RETURN(Tensor copy, tensor.Clone());
    clone.trained_.push_back(std::move(copy));
  }
  for (const Tensor& tensor : buffers_) {
    SEPTET_ASSIGN_OR_RETURN(Tensor copy, tensor.Clone());
    clone.buffers_.push_back(std::move(copy));
  }
  clone.trained_entries_ = trained_entries_;
  clone.buffer_entries_ = buffer_entries_;
  clone.by_name_ = by_name_;
  return clone;
}

absl::Status ParameterStore::CheckLike(const ParameterStore& other,
                                       bool buffers) const {
  const auto& mine = buffers ? buffers_ : trained_;
  const auto& theirs = buffers ? other.buffers_ : other.trained_;
  const char* what = buffers ? "buffers" : "parameters";
  if (mine.size() != theirs.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("copy of ", what, ": the source has ", theirs.size(),
                     ", expected ", mine.size()));
  }
  for (size_t i = 0; i < mine.size(); ++i) {
    const ParameterId id(static_cast<int>(i), buffers);
    if (name(id) != other.name(id) || mine[i].shape() != theirs[i].shape()) {
      return absl::InvalidArgumentError(
          absl::StrCat("copy of ", what, ": number ", i, " of the source is '",
                       other.name(id), "', ", theirs[i].DebugString(),
                       ", expected '", name(id), "', ", mine[i].DebugString()));
    }
  }
  return absl::OkStatus();
}

absl::Status ParameterStore::CopyFrom(const ParameterStore& source) {
  SEPTET_RETURN_IF_ERROR(CheckLike(source, /*buffers=*/false));
  SEPTET_RETURN_IF_ERROR(CheckLike(source, /*buffers=*/true));
  if (&source == this) return absl::OkStatus();
  for (size_t i = 0; i < trained_.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(trained_[i].CopyFrom(source.trained_[i]));
  }
  return CopyBuffersFrom(source);
}

absl::Status ParameterStore::CopyBuffersFrom(const ParameterStore& source) {
  SEPTET_RETURN_IF_ERROR(CheckLike(source, /*buffers=*/true));
  if (&source == this) return absl::OkStatus();
  for (size_t i = 0; i < buffers_.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(buffers_[i].CopyFrom(source.buffers_[i]));
  }
  return absl::OkStatus();
}

std::map<std::string, Tensor> ParameterStore::Export(
    absl::string_view prefix) const {
  std::map<std::string, Tensor> result;
  for (const auto& [name, id] : by_name_) {
    result.emplace(absl::StrCat(prefix, name), tensor(id));
  }
  return result;
}

absl::Status ParameterStore::Import(
    const std::map<std::string, Tensor>& tensors,
    const ParameterImportOptions& options) {
  std::vector<std::string> missing;
  std::vector<std::string> wrong;
  std::vector<std::string> unknown;
  std::vector<std::pair<const Tensor*, const Tensor*>> copies;  // to, from
  const auto visit = [&](const std::vector<Entry>& entries,
                         const std::vector<Tensor>& values) {
    for (size_t i = 0; i < entries.size(); ++i) {
      const std::string name = absl::StrCat(options.prefix, entries[i].name);
      const auto it = tensors.find(name);
      if (it == tensors.end()) {
        if (!options.allow_missing) {
          missing.push_back(absl::StrCat("'", name, "'"));
        }
        continue;
      }
      const Tensor& source = it->second;
      if (!source.defined() || !source.has_storage() ||
          source.shape() != values[i].shape() || !IsFloating(source.dtype())) {
        wrong.push_back(
            absl::StrCat("'", name, "' is ",
                         source.defined() ? source.DebugString() : "undefined",
                         ", expected ", values[i].DebugString()));
        continue;
      }
      copies.emplace_back(&values[i], &source);
    }
  };
  visit(trained_entries_, trained_);
  visit(buffer_entries_, buffers_);
  if (!options.allow_unknown) {
    for (const auto& [name, tensor] : tensors) {
      absl::string_view own = name;
      if (absl::StartsWith(own, options.prefix)) {
        own.remove_prefix(options.prefix.size());
        if (by_name_.contains(own)) continue;
      }
      // Looking for the nearest takes a while: for those that are shown.
      unknown.push_back(absl::StrCat(
          "'", name, "'",
          unknown.size() < kListed ? NearestText(own, options.prefix) : ""));
    }
  }
  std::vector<std::string> problems;
  const auto report = [&](absl::string_view what,
                          const std::vector<std::string>& list) {
    if (list.empty()) return;
    const size_t listed = std::min(list.size(), kListed);
    problems.push_back(
        absl::StrCat(list.size(), " ", what, ": ",
                     absl::StrJoin(list.begin(), list.begin() + listed, ", "),
                     listed < list.size() ? ", ..." : ""));
  };
  report("missing", missing);
  report("of another shape or type", wrong);
  report("unknown", unknown);
  if (!problems.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("import of parameters: ", absl::StrJoin(problems, "; ")));
  }
  // An entry may be given memory of this store, as Export() hands it out: that
  // of another one is read before anything is written.
  std::vector<Tensor> kept(copies.size());
  for (size_t i = 0; i < copies.size(); ++i) {
    const auto& [to, from] = copies[i];
    for (const auto& [other, unused] : copies) {
      if (other == to || !other->SharesStorageWith(*from)) continue;
      SEPTET_ASSIGN_OR_RETURN(kept[i], from->Clone());
      copies[i].second = &kept[i];
      break;
    }
  }
  for (const auto& [to, from] : copies) {
    if (to->SharesStorageWith(*from)) {
      SEPTET_ASSIGN_OR_RETURN(const Tensor copy, from->Clone());
      SEPTET_RETURN_IF_ERROR(to->CopyFrom(copy));
    } else {
      SEPTET_RETURN_IF_ERROR(to->CopyFrom(*from));
    }
  }
  return absl::OkStatus();
}

}  // namespace septet
