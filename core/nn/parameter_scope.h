// SPDX-License-Identifier: Apache-2.0
// Where a layer declares its parameters: a store, a seed and the front part of
// the names.
//
//   ParameterScope root(&store, {/*seed=*/7, DType::kF32});
//   ParameterScope block = root.Sub("layers").Sub(3);
//   SEPTET_ASSIGN_OR_RETURN(
//       ParameterId w, block.Parameter("fc1.weight", {64, 256},
//                                      Initializer::XavierUniform(),
//                                      Fans{64, 256}));
//
// makes "layers.3.fc1.weight" with the numbers of the stream
// "init/layers.3.fc1.weight" of seed 7.
#ifndef SEPTET_CORE_NN_PARAMETER_SCOPE_H_
#define SEPTET_CORE_NN_PARAMETER_SCOPE_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct ParameterScopeOptions {
  uint64_t seed = 0;  // of first values
  DType dtype = DType::kF32;
  // Of the stream's name, in front of the parameter's.
  std::string stream_prefix = "init/";
};

class ParameterScope {
 public:
  // Of names without a front part. The store must outlive the scope.
  ParameterScope(ParameterStore* store, ParameterScopeOptions options)
      : store_(store), options_(std::move(options)) {}

  // The names below `name`. and below number `index`.
  ParameterScope Sub(absl::string_view name) const;
  ParameterScope Sub(int64_t index) const;

  // A parameter with its first values. Weight decay is meant for it unless
  // `decay` is false. Errors: those of ParameterStore::Add and
  // Initializer::Fill; ResourceExhausted.
  absl::StatusOr<ParameterId> Parameter(absl::string_view name,
                                        const Shape& shape,
                                        const Initializer& init,
                                        const Fans& fans = {},
                                        bool decay = true) const;
  // The same for extents as options have them: InvalidArgument if there are
  // too many elements to count, where a Shape would abort.
  absl::StatusOr<ParameterId> Parameter(absl::string_view name,
                                        std::initializer_list<int64_t> dims,
                                        const Initializer& init,
                                        const Fans& fans = {},
                                        bool decay = true) const;

  // The first values alone, and a parameter with values made elsewhere.
  absl::StatusOr<Tensor> Draw(absl::string_view name, const Shape& shape,
                              const Initializer& init,
                              const Fans& fans = {}) const;
  absl::StatusOr<ParameterId> Add(absl::string_view name, Tensor value,
                                  const ParameterTraits& traits = {}) const;

  // What is saved but not trained.
  absl::StatusOr<ParameterId> Buffer(absl::string_view name, const Shape& shape,
                                     const Initializer& init) const;

  // "layers.3.fc1.weight" for "fc1.weight"; the scope's own name for "".
  std::string FullName(absl::string_view name) const;

  // The name part of the key of the stream "dropout/<full name>", for layers
  // that draw numbers in a step: the seed comes with the step
  // (core/nn/pass.h). InvalidArgument if two names collide.
  absl::StatusOr<uint32_t> DropoutStream(absl::string_view name) const;

  DType dtype() const { return options_.dtype; }
  ParameterStore* store() const { return store_; }

 private:
  ParameterStore* store_;
  ParameterScopeOptions options_;
  std::string prefix_;  // empty or ends in '.'
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_PARAMETER_SCOPE_H_
