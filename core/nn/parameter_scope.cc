// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/parameter_scope.h"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

ParameterScope ParameterScope::Sub(absl::string_view name) const {
  ParameterScope sub = *this;
  absl::StrAppend(&sub.prefix_, name, ".");
  return sub;
}

ParameterScope ParameterScope::Sub(int64_t index) const {
  return Sub(absl::StrCat(index));
}

std::string ParameterScope::FullName(absl::string_view name) const {
  if (name.empty() && !prefix_.empty()) {
    return prefix_.substr(0, prefix_.size() - 1);
  }
  return absl::StrCat(prefix_, name);
}

absl::StatusOr<uint32_t> ParameterScope::DropoutStream(
    absl::string_view name) const {
  SEPTET_ASSIGN_OR_RETURN(
      const RandomStream stream,
      RandomStream::Create(0, absl::StrCat("dropout/", FullName(name))));
  return stream.key()[1];
}

absl::StatusOr<Tensor> ParameterScope::Draw(absl::string_view name,
                                            const Shape& shape,
                                            const Initializer& init,
                                            const Fans& fans) const {
  SEPTET_ASSIGN_OR_RETURN(
      const RandomStream stream,
      RandomStream::Create(
          options_.seed, absl::StrCat(options_.stream_prefix, FullName(name))));
  SEPTET_ASSIGN_OR_RETURN(Tensor value, Tensor::Empty(shape, options_.dtype));
  SEPTET_RETURN_IF_ERROR(init.Fill(stream, fans, value));
  return value;
}

absl::StatusOr<ParameterId> ParameterScope::Add(
    absl::string_view name, Tensor value, const ParameterTraits& traits) const {
  return store_->Add(FullName(name), std::move(value), traits);
}

absl::StatusOr<ParameterId> ParameterScope::Parameter(absl::string_view name,
                                                      const Shape& shape,
                                                      const Initializer& init,
                                                      const Fans& fans,
                                                      bool decay) const {
  SEPTET_ASSIGN_OR_RETURN(Tensor value, Draw(name, shape, init, fans));
  return Add(name, std::move(value), {/*trained=*/true, decay});
}

absl::StatusOr<ParameterId> ParameterScope::Parameter(
    absl::string_view name, std::initializer_list<int64_t> dims,
    const Initializer& init, const Fans& fans, bool decay) const {
  SEPTET_ASSIGN_OR_RETURN(
      const Shape shape,
      Shape::Create(absl::MakeConstSpan(dims.begin(), dims.size())),
      _ << "parameter '" << FullName(name) << "'");
  return Parameter(name, shape, init, fans, decay);
}

absl::StatusOr<ParameterId> ParameterScope::Buffer(
    absl::string_view name, const Shape& shape, const Initializer& init) const {
  SEPTET_ASSIGN_OR_RETURN(Tensor value, Draw(name, shape, init));
  return Add(name, std::move(value), {/*trained=*/false, /*decay=*/false});
}

}  // namespace septet
