// SPDX-License-Identifier: Apache-2.0
// What an op is: shape inference, kernels, derivatives, and a formula in other
// ops that stands in for each of them.
//
// A package adds an op of its own without touching core:
//
//   const Op& RetentionOp() {
//     static const Op& op = RegisterOp([] {
//       OpDef def;
//       def.name = "retention";
//       def.infer = &InferRetention;
//       def.composite = &RetentionComposite;   // in core's ops
//       def.vjp = &RetentionVjp;
//       def.vjp_is_differentiable = false;     // fused: once only
//       return def;
//     }());
//     return op;
//   }
//   SEPTET_REGISTER_KERNEL(retention, kCpu, kF32, "highway", RetentionF32);
//
// Apply() checks the inputs, infers the outputs, picks the kernel of the
// inputs' device and dtype, runs it and records the op if an input is on a
// tape. Without a kernel it runs the composite, and says so once by name on
// standard error if the op has kernels elsewhere.
//
// Where a derivative is not given, the composite's is taken. A vjp that is not
// itself made of ops (vjp_is_differentiable = false) gives first derivatives;
// higher ones go through the composite.
//
// Thread-safety: registration happens during static initialisation or under
// the registry's lock; Apply may be called from any number of threads, each
// with tapes of its own.
#ifndef SEPTET_CORE_AUTOGRAD_OP_H_
#define SEPTET_CORE_AUTOGRAD_OP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/tensor/device.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// The options of one call of an op: any trivially copyable struct of at most
// kMaxBytes, kept inline.
class Attrs {
 public:
  static constexpr size_t kMaxBytes = 88;

  Attrs() = default;
  template <typename T, typename = std::enable_if_t<
                            !std::is_same_v<std::decay_t<T>, Attrs>>>
  Attrs(const T& value)
      : tag_(&kTag<T>), size_(sizeof(T)) {  // NOLINT: implicit
    static_assert(std::is_trivially_copyable_v<T>);
    static_assert(sizeof(T) <= kMaxBytes && alignof(T) <= 8);
    std::memcpy(bytes_, &value, sizeof(T));
  }
  Attrs(const Attrs& other) { *this = other; }
  Attrs& operator=(const Attrs& other) {
    tag_ = other.tag_;
    size_ = other.size_;
    std::memcpy(bytes_, other.bytes_, size_);
    return *this;
  }

  template <typename T>
  const T& Get() const {
    SEPTET_DCHECK(tag_ == &kTag<T>);
    return *reinterpret_cast<const T*>(bytes_);
  }

 private:
  template <typename T>
  static constexpr char kTag = 0;

  const char* tag_ = nullptr;
  uint32_t size_ = 0;
  alignas(8) char bytes_[kMaxBytes];
};

// An input may be undefined where the op says that it is optional.
struct KernelArgs {
  absl::Span<const Tensor* const> inputs;
  absl::Span<Tensor> outputs;  // allocated, row-major
  const Attrs& attrs;

  const Tensor& input(int i) const { return *inputs[i]; }
};
using Kernel = absl::Status (*)(const KernelArgs& args);

struct OutputSpec {
  Shape shape;
  DType dtype = DType::kF32;
};

struct InferArgs {
  absl::Span<const Tensor* const> inputs;
  const Attrs& attrs;
  absl::Span<OutputSpec> outputs;  // to be set

  const Tensor& input(int i) const { return *inputs[i]; }
};

struct CompositeArgs {
  absl::Span<const Var> inputs;
  const Attrs& attrs;
  absl::Span<Var> outputs;  // to be set; an error goes into one of them
};

struct VjpArgs {
  const Attrs& attrs;
  absl::Span<const Var> inputs;   // shape and dtype alone unless saved
  absl::Span<const Var> outputs;  // likewise
  // One an output, of its shape; undefined where it is zero.
  absl::Span<const Var> cotangents;
  uint64_t needed;        // bit i: the gradient of input i is asked for
  absl::Span<Var> grads;  // to be set, of the input's shape; undefined is zero

  bool Needs(int i) const { return (needed >> i) & 1; }
};

struct JvpArgs {
  const Attrs& attrs;
  absl::Span<const Var> inputs;
  absl::Span<const Var> outputs;
  absl::Span<const Var> tangents;   // one an input; undefined where it is zero
  absl::Span<Var> output_tangents;  // to be set; undefined is zero
};

struct OpDef {
  const char* name = nullptr;
  int num_outputs = 1;

  // Checks dtypes, shapes and attributes of the inputs and sets the outputs'.
  // The error need not name the op: Apply puts "name: " in front.
  absl::Status (*infer)(const InferArgs& args) = nullptr;

  // For ops whose output shares the first input's storage: replaces kernels.
  absl::StatusOr<Tensor> (*view)(const Tensor& input,
                                 const Attrs& attrs) = nullptr;
  // The same for several outputs, all of which it sets.
  absl::Status (*views)(const Tensor& input, const Attrs& attrs,
                        absl::Span<Tensor> outputs) = nullptr;

  void (*composite)(CompositeArgs& args) = nullptr;
  void (*vjp)(VjpArgs& args) = nullptr;
  void (*jvp)(JvpArgs& args) = nullptr;

  // False if vjp works on numbers instead of ops.
  bool vjp_is_differentiable = true;

  // False for comparisons and the like: the outputs are constants.
  bool differentiable = true;

  // Bit i: vjp or jvp read the elements of input (output) i. What is not
  // saved is free for reuse while the tape lives.
  uint64_t saved_inputs = ~uint64_t{0};
  uint64_t saved_outputs = 0;

  // The input whose dtype chooses the kernel.
  int dispatch_input = 0;

  // Bit i: kernels accept input i with any strides. Others are made
  // contiguous first.
  uint64_t strided_inputs = 0;
};

// A registered op.
class Op {
 public:
  const OpDef& def() const { return def_; }
  const char* name() const { return def_.name; }

  // Null if there is none.
  Kernel FindKernel(DeviceType device, DType dtype) const {
    return kernels_[Index(device, dtype)].load(std::memory_order_acquire);
  }
  // The kernel's implementation, such as "highway", for dispatch logs.
  const char* KernelName(DeviceType device, DType dtype) const {
    return kernel_names_[Index(device, dtype)];
  }
  // "cpu/f32, cpu/f64"; "none" if there are none.
  std::string LinkedKernels() const;

 private:
  friend class OpRegistry;
  friend class OpRunner;

  static int Index(DeviceType device, DType dtype) {
    return static_cast<int>(device) * kNumDTypes + static_cast<int>(dtype);
  }

  std::string name_;
  OpDef def_;
  bool defined_ = false;
  std::atomic<Kernel> kernels_[kNumDeviceTypes * kNumDTypes] = {};
  const char* kernel_names_[kNumDeviceTypes * kNumDTypes] = {};
  mutable std::atomic<bool> fallback_reported_{false};
};

// Adds an op. Aborts if the name is taken, or infer (view) is missing.
const Op& RegisterOp(const OpDef& def);

// Adds a kernel, before or after its op. Aborts if there is one already.
void RegisterKernel(absl::string_view op, DeviceType device, DType dtype,
                    const char* kernel_name, Kernel kernel);

// The two kernels that most ops have: for f32 and f64 on the CPU.
inline void RegisterCpuKernels(absl::string_view op, const char* kernel_name,
                               Kernel f32, Kernel f64) {
  RegisterKernel(op, DeviceType::kCpu, DType::kF32, kernel_name, f32);
  RegisterKernel(op, DeviceType::kCpu, DType::kF64, kernel_name, f64);
}

// The op of that name, or null.
const Op* FindOp(absl::string_view name);

// At namespace scope, in a library with alwayslink = True.
#define SEPTET_REGISTER_KERNEL(op, device, dtype, kernel_name, kernel)         \
  [[maybe_unused]] static const bool septet_kernel_##op##_##device##_##dtype = \
      (::septet::RegisterKernel(#op, ::septet::DeviceType::device,             \
                                ::septet::DType::dtype, kernel_name, kernel),  \
       true)

// Runs an op with one output. An undefined Var is an optional input not given.
// Errors, in the result: those of the inputs; InvalidArgument from infer, for
// inputs on different devices or on different tapes; Unimplemented if there is
// neither kernel nor composite (naming what is linked); ResourceExhausted.
Var Apply(const Op& op, absl::Span<const Var* const> inputs,
          const Attrs& attrs = Attrs());
inline Var Apply(const Op& op, std::initializer_list<const Var*> inputs,
                 const Attrs& attrs = Attrs()) {
  return Apply(op, absl::MakeConstSpan(inputs.begin(), inputs.size()), attrs);
}

// The same for any number of outputs.
using VarVector = absl::InlinedVector<Var, 2>;
VarVector ApplyMulti(const Op& op, absl::Span<const Var* const> inputs,
                     const Attrs& attrs = Attrs());

// Which implementations ran, in order of first use: a list of lines such as
// "layer_norm cpu/f64 highway" or "gelu cpu/bf16 composite". Collects what the
// calling thread does while it is in scope; scopes nest.
class DispatchTrace {
 public:
  DispatchTrace();
  ~DispatchTrace();
  DispatchTrace(const DispatchTrace&) = delete;
  DispatchTrace& operator=(const DispatchTrace&) = delete;

  const std::vector<std::string>& lines() const { return lines_; }

 private:
  friend class DispatchRecorder;
  std::vector<std::string> lines_;
  DispatchTrace* const outer_;
};

// Sees what the calling thread computes, to find where something goes wrong.
class OpObserver {
 public:
  virtual ~OpObserver() = default;

  // An op has run, views too; of an op without a kernel those in its composite
  // are seen instead. `node` is its number on its tape, from 0, or -1 where it
  // was not recorded. An undefined input is one that was not given.
  virtual void OnOp(const Op& op, int64_t node,
                    absl::Span<const Tensor* const> inputs,
                    absl::Span<const Var> outputs) = 0;

  // The walk back has computed what op `node` contributes to the gradient of
  // its input number `input`. The ops that a derivative is made of are not
  // seen.
  virtual void OnGradient(const Op& op, int64_t node, int input,
                          const Tensor& gradient) = 0;
};

// Calls `observer` while it is in scope; of several the innermost. Where there
// is none, an op pays for one comparison.
class ScopedOpObserver {
 public:
  explicit ScopedOpObserver(OpObserver* observer);
  ~ScopedOpObserver();
  ScopedOpObserver(const ScopedOpObserver&) = delete;
  ScopedOpObserver& operator=(const ScopedOpObserver&) = delete;

 private:
  OpObserver* const outer_;
};

// The calling thread's; null if there is none.
OpObserver* CurrentOpObserver();

// While it is in scope, ops of the calling thread that have a composite run it
// instead of their kernel: the reference that kernels are tested against.
class ScopedReference {
 public:
  ScopedReference();
  ~ScopedReference();
  ScopedReference(const ScopedReference&) = delete;
  ScopedReference& operator=(const ScopedReference&) = delete;

 private:
  const bool outer_;
};

}  // namespace septet

#endif  // SEPTET_CORE_AUTOGRAD_OP_H_
