// SPDX-License-Identifier: Apache-2.0
// The numbers of a model, by name and in a fixed order.
//
// A model is two things that are kept apart. Its layers (core/nn/*_layer.h)
// know their options and the ParameterId of each of their parameters, and are
// not changed by training. A ParameterStore has the values. So one set of
// layers serves the online network, its slow copy, the reference policy and
// twenty seeds, each a store of its own.
//
//   ParameterStore store;
//   ParameterScope scope(&store, {/*seed=*/1, DType::kF32});
//   SEPTET_ASSIGN_OR_RETURN(Mlp mlp, Mlp::Create(options, scope));
//   SEPTET_ASSIGN_OR_RETURN(Adam adam, Adam::Create({}, store.trained()));
//   Tape tape;
//   BoundParameters p;
//   for (int64_t step = 0; step < steps; ++step) {
//     tape.Reset();
//     store.Watch(&tape, &p);
//     const Var loss = Mean(Square(Sub(mlp.Forward(p, pass, x), y)));
//     SEPTET_ASSIGN_OR_RETURN(auto grads, tape.Grad(loss, p.trained()));
//     SEPTET_RETURN_IF_ERROR(adam.Step(store.trained(), grads));
//   }
//
// Two kinds of entries: parameters, which are trained, and buffers (running
// statistics), which are saved and copied with them but never watched. Names
// such as "layers.0.attn.q.weight" are used when a model is made, saved and
// loaded; in a step everything goes by index.
//
// Sharing is explicit: a tied layer uses the other one's ParameterId, and
// there is one entry, one gradient (the sum) and one name in a file. Two
// entries of one storage are refused.
//
// Not thread-safe while entries are added or written.
#ifndef SEPTET_CORE_NN_PARAMETERS_H_
#define SEPTET_CORE_NN_PARAMETERS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// The place of an entry in its store. The same in every Clone().
class ParameterId {
 public:
  // No entry: a bias that a layer does not have. Its Var is undefined.
  ParameterId() = default;

  bool defined() const { return index_ >= 0; }
  bool is_buffer() const { return buffer_; }
  // Among the parameters, or among the buffers.
  int index() const { return index_; }

  friend bool operator==(ParameterId a, ParameterId b) {
    return a.index_ == b.index_ && a.buffer_ == b.buffer_;
  }
  friend bool operator!=(ParameterId a, ParameterId b) { return !(a == b); }

 private:
  friend class ParameterStore;
  ParameterId(int index, bool buffer) : index_(index), buffer_(buffer) {}

  int32_t index_ = -1;
  bool buffer_ = false;
};

// The entries of a store as ops take them, for one pass: constants, or values
// on a tape.
class BoundParameters {
 public:
  const Var& operator[](ParameterId id) const {
    if (!id.defined()) return none_;
    const std::vector<Var>& vars = id.is_buffer() ? buffers_ : trained_;
    SEPTET_DCHECK_LT(static_cast<size_t>(id.index()), vars.size());
    return vars[id.index()];
  }

  // In the store's order: what Tape::Grad() is asked for.
  absl::Span<const Var> trained() const { return trained_; }

  // The same with other values for the parameters, one each: for functions of
  // a vector of inputs, as CheckGradients() and Checkpoint() want them.
  BoundParameters With(absl::Span<const Var> trained) const;

 private:
  friend class ParameterStore;

  std::vector<Var> trained_;
  std::vector<Var> buffers_;
  Var none_;
};

struct ParameterTraits {
  bool trained = true;  // false: a buffer
  // Weight decay is meant for it: matrices, not biases and gains. What an
  // optimiser makes of it is its affair.
  bool decay = true;
};

struct ParameterImportOptions {
  bool allow_missing = false;  // entries not among the tensors stay as they are
  bool allow_unknown = false;  // tensors that are no entries are left out
  std::string prefix = "";     // in front of each entry's name in the tensors
};

class ParameterStore {
 public:
  ParameterStore() = default;
  ParameterStore(ParameterStore&&) = default;
  ParameterStore& operator=(ParameterStore&&) = default;
  // Clone() says that elements are copied.
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  // Adds an entry behind the others of its kind; the store then owns `value`,
  // whose memory the caller must not share with another parameter.
  // Errors: InvalidArgument if the name is empty or taken, if the value is not
  // a contiguous, writable f32 or f64 tensor, or shares memory with an entry
  // (both are named).
  absl::StatusOr<ParameterId> Add(absl::string_view name, Tensor value,
                                  const ParameterTraits& traits = {});

  // NotFound, with the nearest name, if there is none.
  absl::StatusOr<ParameterId> Find(absl::string_view name) const;

  // Of an entry; the id must be this store's.
  const std::string& name(ParameterId id) const { return entry(id).name; }
  const Tensor& tensor(ParameterId id) const {
    return (id.is_buffer() ? buffers_ : trained_)[id.index()];
  }
  bool decay(ParameterId id) const { return entry(id).decay; }

  // Parameters in the order in which they were added, for optimisers:
  // Adam::Step(store.trained(), grads), UpdateEma(online.trained(), {tau},
  // slow.trained()).
  absl::Span<const Tensor> trained() const { return trained_; }
  absl::Span<const Tensor> buffers() const { return buffers_; }
  ParameterId trained_id(int index) const { return {index, false}; }
  ParameterId buffer_id(int index) const { return {index, true}; }

  // The names and the decay flags of trained(), in its order.
  std::vector<std::string> trained_names() const;
  std::vector<bool> trained_decay() const;

  // Elements of all parameters; buffers do not count.
  int64_t NumElements() const;

  // Sets *bound to the entries: constants, or with the parameters on `tape`.
  // Keeps the memory of *bound; O(entries), no strings.
  void Bind(BoundParameters* bound) const;
  void Watch(Tape* tape, BoundParameters* bound) const;
  // The same for a single use.
  BoundParameters Bind() const;
  BoundParameters Watch(Tape* tape) const;

  // The same entries with memory of their own. ResourceExhausted.
  absl::StatusOr<ParameterStore> Clone() const;

  // Overwrites all elements, converted if the dtypes differ. InvalidArgument,
  // naming the first entry that differs, if `source` has other entries;
  // nothing is changed then.
  absl::Status CopyFrom(const ParameterStore& source);
  // The same for the buffers alone: what a slow copy needs beside UpdateEma.
  absl::Status CopyBuffersFrom(const ParameterStore& source);

  // All entries by name, buffers too, sharing this store's memory: what
  // WriteSafetensors() takes. Each name begins with `prefix`.
  std::map<std::string, Tensor> Export(absl::string_view prefix = "") const;

  // Overwrites the entries with the tensors of their names, converted to the
  // entry's dtype from f64, f32, f16 or bf16.
  // Errors: InvalidArgument that lists all that is missing, unknown (with the
  // nearest name), of another shape or not floating; nothing is changed then.
  absl::Status Import(const std::map<std::string, Tensor>& tensors,
                      const ParameterImportOptions& options = {});

 private:
  struct Entry {
    std::string name;
    bool decay = false;
  };

  const Entry& entry(ParameterId id) const {
    SEPTET_CHECK(id.defined()) << "no entry";
    return (id.is_buffer() ? buffer_entries_ : trained_entries_)[id.index()];
  }
  // "; the nearest is '...'", or nothing.
  std::string NearestText(absl::string_view name,
                          absl::string_view prefix) const;
  absl::Status CheckLike(const ParameterStore& other, bool buffers) const;

  std::vector<Tensor> trained_;
  std::vector<Tensor> buffers_;
  std::vector<Entry> trained_entries_;
  std::vector<Entry> buffer_entries_;
  absl::flat_hash_map<std::string, ParameterId> by_name_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_PARAMETERS_H_
