// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/decode_cache.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/validate.h"
#include "septet/core/tensor/shape.h"

namespace septet {
namespace {

constexpr const char* kName = "decode cache";

// As retention has it (kMaxRetentionPosition in retention.h).
constexpr int64_t kMaxPosition = int64_t{1} << 53;

// Rows `rows` of x [N, ...].
absl::StatusOr<Tensor> SelectRows(const Tensor& x,
                                  absl::Span<const int64_t> rows) {
  std::vector<int64_t> dims;
  for (int axis = 0; axis < x.rank(); ++axis) dims.push_back(x.dim(axis));
  dims[0] = static_cast<int64_t>(rows.size());
  SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(dims));
  SEPTET_ASSIGN_OR_RETURN(Tensor out, Tensor::Empty(shape, x.dtype()));
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t at = static_cast<int64_t>(i);
    SEPTET_ASSIGN_OR_RETURN(Tensor to, out.Slice(0, at, at + 1));
    SEPTET_ASSIGN_OR_RETURN(const Tensor from,
                            x.Slice(0, rows[i], rows[i] + 1));
    SEPTET_RETURN_IF_ERROR(to.CopyFrom(from));
  }
  return out;
}

absl::StatusOr<Tensor> JoinRows(const Tensor& a, const Tensor& b) {
  std::vector<int64_t> dims;
  for (int axis = 0; axis < a.rank(); ++axis) dims.push_back(a.dim(axis));
  dims[0] += b.dim(0);
  SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(dims));
  SEPTET_ASSIGN_OR_RETURN(Tensor out, Tensor::Empty(shape, a.dtype()));
  SEPTET_ASSIGN_OR_RETURN(Tensor front, out.Slice(0, 0, a.dim(0)));
  SEPTET_RETURN_IF_ERROR(front.CopyFrom(a));
  SEPTET_ASSIGN_OR_RETURN(Tensor back, out.Slice(0, a.dim(0), dims[0]));
  SEPTET_RETURN_IF_ERROR(back.CopyFrom(b));
  return out;
}

absl::Status CheckRows(absl::Span<const int64_t> rows, int64_t count) {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] >= 0 && rows[i] < count) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": rows[", i, "] is ", rows[i], ", expected 0 to ",
                     count - 1, " of ", count, " rows"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DecodeCacheOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "rows", rows, 0));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "layers", layers, 0));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "heads", heads, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "key_dim", key_dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "value_dim", value_dim, 1));
  if (dtype == DType::kF32 || dtype == DType::kF64) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(kName, ": dtype is ", DTypeName(dtype),
                   ", expected f32 or f64, because states of fewer bits do not "
                   "forget"));
}

absl::StatusOr<DecodeCache> DecodeCache::Create(
    const DecodeCacheOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  DecodeCache cache(options);
  SEPTET_ASSIGN_OR_RETURN(const Shape state,
                          Shape::Create({options.rows, options.heads,
                                         options.key_dim, options.value_dim}));
  SEPTET_ASSIGN_OR_RETURN(
      const Shape sum,
      Shape::Create({options.rows, options.heads, options.key_dim}));
  for (int64_t i = 0; i < options.layers; ++i) {
    SEPTET_ASSIGN_OR_RETURN(Tensor s, Tensor::Zeros(state, options.dtype));
    cache.states_.push_back(std::move(s));
    Tensor z;
    if (options.key_sums) {
      SEPTET_ASSIGN_OR_RETURN(z, Tensor::Zeros(sum, options.dtype));
    }
    cache.key_sums_.push_back(std::move(z));
  }
  cache.positions_.assign(static_cast<size_t>(options.rows), 0);
  return cache;
}

int64_t DecodeCache::bytes() const {
  int64_t bytes = 0;
  for (const std::vector<Tensor>* tensors : {&states_, &key_sums_}) {
    for (const Tensor& x : *tensors) {
      if (x.defined()) {
        bytes += x.num_elements() * static_cast<int64_t>(DTypeSize(x.dtype()));
      }
    }
  }
  return bytes;
}

absl::StatusOr<DecodeCache> DecodeCache::Clone() const {
  std::vector<int64_t> rows(static_cast<size_t>(options_.rows));
  std::iota(rows.begin(), rows.end(), 0);
  return Select(rows);
}

absl::StatusOr<DecodeCache> DecodeCache::Select(
    absl::Span<const int64_t> rows) const {
  SEPTET_RETURN_IF_ERROR(CheckRows(rows, options_.rows));
  DecodeCache cache(options_);
  cache.options_.rows = static_cast<int64_t>(rows.size());
  for (const Tensor& x : states_) {
    SEPTET_ASSIGN_OR_RETURN(Tensor s, SelectRows(x, rows));
    cache.states_.push_back(std::move(s));
  }
  for (const Tensor& x : key_sums_) {
    Tensor z;
    if (x.defined()) {
      SEPTET_ASSIGN_OR_RETURN(z, SelectRows(x, rows));
    }
    cache.key_sums_.push_back(std::move(z));
  }
  for (const int64_t row : rows) {
    cache.positions_.push_back(positions_[static_cast<size_t>(row)]);
  }
  return cache;
}

absl::Status DecodeCache::Append(const DecodeCache& other) {
  const DecodeCacheOptions& a = options_;
  const DecodeCacheOptions& b = other.options_;
  if (a.layers != b.layers || a.heads != b.heads || a.key_dim != b.key_dim ||
      a.value_dim != b.value_dim || a.key_sums != b.key_sums ||
      a.dtype != b.dtype) {
    const auto text = [](const DecodeCacheOptions& o) {
      return absl::StrCat(o.layers, " layers of ", o.heads, " heads of ",
                          o.key_dim, " by ", o.value_dim, " ",
                          DTypeName(o.dtype),
                          o.key_sums ? " with key sums" : "");
    };
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": appended is one of ", text(b), ", expected ", text(a)));
  }
  std::vector<Tensor> states, key_sums;
  for (size_t i = 0; i < states_.size(); ++i) {
    SEPTET_ASSIGN_OR_RETURN(Tensor s, JoinRows(states_[i], other.states_[i]));
    states.push_back(std::move(s));
    Tensor z;
    if (key_sums_[i].defined()) {
      SEPTET_ASSIGN_OR_RETURN(z, JoinRows(key_sums_[i], other.key_sums_[i]));
    }
    key_sums.push_back(std::move(z));
  }
  states_ = std::move(states);
  key_sums_ = std::move(key_sums);
  const std::vector<int64_t> added = other.positions_;
  positions_.insert(positions_.end(), added.begin(), added.end());
  options_.rows = static_cast<int64_t>(positions_.size());
  return absl::OkStatus();
}

absl::Status DecodeCache::Erase(absl::Span<const int64_t> rows) {
  SEPTET_RETURN_IF_ERROR(CheckRows(rows, options_.rows));
  std::vector<int64_t> kept;
  for (int64_t row = 0; row < options_.rows; ++row) {
    if (std::find(rows.begin(), rows.end(), row) == rows.end()) {
      kept.push_back(row);
    }
  }
  SEPTET_ASSIGN_OR_RETURN(DecodeCache cache, Select(kept));
  *this = std::move(cache);
  return absl::OkStatus();
}

std::map<std::string, Tensor> DecodeCache::Export() const {
  std::map<std::string, Tensor> tensors;
  for (size_t i = 0; i < states_.size(); ++i) {
    tensors[absl::StrCat("layers.", i, ".s")] = states_[i];
    if (key_sums_[i].defined()) {
      tensors[absl::StrCat("layers.", i, ".key_sum")] = key_sums_[i];
    }
  }
  absl::StatusOr<Tensor> positions =
      Tensor::FromValues<int64_t>(Shape({options_.rows}), positions_);
  if (positions.ok()) tensors["positions"] = *std::move(positions);
  return tensors;
}

absl::StatusOr<DecodeCache> DecodeCache::Import(
    const std::map<std::string, Tensor>& tensors) {
  const auto error = [](absl::string_view name, const Tensor& x,
                        absl::string_view expected) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": tensor '", name, "' is ",
        x.defined() ? x.DebugString() : "not there", ", expected ", expected));
  };
  const auto find = [&](const std::string& name) {
    const auto it = tensors.find(name);
    return it == tensors.end() ? Tensor() : it->second;
  };
  const Tensor positions = find("positions");
  if (!positions.defined() || positions.dtype() != DType::kI64 ||
      positions.rank() != 1) {
    return error("positions", positions, "i64 [N]");
  }
  DecodeCache cache;
  cache.options_.rows = positions.dim(0);
  cache.positions_ = positions.ToVector<int64_t>();
  for (size_t i = 0; i < cache.positions_.size(); ++i) {
    if (cache.positions_[i] >= 0 && cache.positions_[i] <= kMaxPosition) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": positions[", i, "] is ", cache.positions_[i],
                     ", expected 0 to ", kMaxPosition));
  }
  size_t used = 1;
  for (int64_t layer = 0;; ++layer) {
    const std::string name = absl::StrCat("layers.", layer, ".s");
    const std::string sum_name = absl::StrCat("layers.", layer, ".key_sum");
    const Tensor s = find(name), z = find(sum_name);
    if (!s.defined()) break;
    DecodeCacheOptions& o = cache.options_;
    if (s.rank() != 4 || s.dim(0) != o.rows ||
        (layer > 0 &&
         (s.dtype() != o.dtype || s.shape() != cache.states_[0].shape()))) {
      return error(name, s,
                   layer > 0 ? absl::StrCat(cache.states_[0].DebugString(),
                                            ", as the first layer has")
                             : absl::StrCat("[", o.rows, ", H, dk, dv]"));
    }
    if (layer == 0) {
      o.heads = s.dim(1);
      o.key_dim = s.dim(2);
      o.value_dim = s.dim(3);
      o.dtype = s.dtype();
      o.key_sums = z.defined();
    }
    o.layers = layer + 1;
    SEPTET_RETURN_IF_ERROR(o.Validate());
    const Shape sum({o.rows, o.heads, o.key_dim});
    if (z.defined() != o.key_sums ||
        (o.key_sums && (z.shape() != sum || z.dtype() != o.dtype))) {
      return error(sum_name, z,
                   o.key_sums
                       ? absl::StrCat(DTypeName(o.dtype), " ", sum.ToString())
                       : "none, as the first layer has none");
    }
    SEPTET_ASSIGN_OR_RETURN(Tensor s_copy, s.Clone());
    Tensor z_copy;
    if (z.defined()) {
      SEPTET_ASSIGN_OR_RETURN(z_copy, z.Clone());
    }
    cache.states_.push_back(std::move(s_copy));
    cache.key_sums_.push_back(std::move(z_copy));
    used += o.key_sums ? 2 : 1;
  }
  if (used != tensors.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": there are ", tensors.size(), " tensors, expected the ", used,
        " of ", cache.options_.layers, " layers and 'positions'"));
  }
  return cache;
}

}  // namespace septet
