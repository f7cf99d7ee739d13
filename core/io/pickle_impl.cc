// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/pickle_impl.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/dtype.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers of pickles are little endian and are copied as they are"
#endif

namespace septet {
namespace io_internal {
namespace {

constexpr TorchType kTypes[] = {
    {"float32", "FloatStorage", 4, DType::kF32},
    {"float64", "DoubleStorage", 8, DType::kF64},
    {"float16", "HalfStorage", 2, DType::kF16},
    {"bfloat16", "BFloat16Storage", 2, DType::kBF16},
    {"int64", "LongStorage", 8, DType::kI64},
    {"int32", "IntStorage", 4, DType::kI32},
    {"uint8", "ByteStorage", 1, DType::kU8},
    {"uint16", "", 2, DType::kU16},
    {"bool", "BoolStorage", 1, DType::kBool},
    {"int16", "ShortStorage", 2, std::nullopt},
    {"int8", "CharStorage", 1, std::nullopt},
    {"uint32", "", 4, std::nullopt},
    {"uint64", "", 8, std::nullopt},
    {"complex32", "", 4, std::nullopt},
    {"complex64", "ComplexFloatStorage", 8, std::nullopt},
    {"complex128", "ComplexDoubleStorage", 16, std::nullopt},
    {"float8_e4m3fn", "", 1, std::nullopt},
    {"float8_e4m3fnuz", "", 1, std::nullopt},
    {"float8_e5m2", "", 1, std::nullopt},
    {"float8_e5m2fnuz", "", 1, std::nullopt},
    {"float8_e8m0fnu", "", 1, std::nullopt},
};

// torch.storage.UntypedStorage, counted in bytes.
constexpr TorchType kUntyped = {"", "UntypedStorage", 1, std::nullopt};

enum Function {
  kOrderedDict,
  kCounter,
  kAsSequence,  // set, frozenset, torch.Size: their argument, or nothing
  kBytes,       // bytes(), which Python 2 has no opcode for
  kEncode,
  kDevice,
  kRebuildTensor,
  kRebuildTensorV2,
  kRebuildTensorV3,
  kRebuildParameter,
  kRebuildFromType,
  kNumpyScalar,
  kNumpyDTypeOf,
};

enum Class { kPlainTensor };

struct FunctionRow {
  absl::string_view module;
  absl::string_view name;
  Function function;
};

constexpr FunctionRow kFunctions[] = {
    {"collections", "OrderedDict", kOrderedDict},
    {"collections", "Counter", kCounter},
    {"builtins", "set", kAsSequence},
    {"__builtin__", "set", kAsSequence},
    {"builtins", "frozenset", kAsSequence},
    {"__builtin__", "frozenset", kAsSequence},
    {"torch", "Size", kAsSequence},
    {"builtins", "bytes", kBytes},
    {"__builtin__", "bytes", kBytes},
    {"_codecs", "encode", kEncode},
    {"torch", "device", kDevice},
    {"torch._utils", "_rebuild_tensor", kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", kRebuildTensorV2},
    {"torch._utils", "_rebuild_tensor_v3", kRebuildTensorV3},
    {"torch._utils", "_rebuild_parameter", kRebuildParameter},
    {"torch._utils", "_rebuild_parameter_with_state", kRebuildParameter},
    {"torch._tensor", "_rebuild_from_type_v2", kRebuildFromType},
    {"numpy.core.multiarray", "scalar", kNumpyScalar},
    {"numpy._core.multiarray", "scalar", kNumpyScalar},
    {"numpy", "dtype", kNumpyDTypeOf},
};

// Tensors of these classes are tensors and nothing more.
constexpr std::pair<absl::string_view, absl::string_view> kPlainClasses[] = {
    {"torch", "Tensor"},
    {"torch._tensor", "Tensor"},
    {"torch.nn.parameter", "Parameter"},
    {"torch.nn.parameter", "Buffer"},
};

// No tensor has as many axes, no scalar of NumPy or device as many bytes.
constexpr size_t kMostAxes = 64;
constexpr size_t kMostShortText = 64;

// What a map takes for a number and the number of a node, and the allocator at
// least for whatever it gives.
constexpr size_t kMemoBytes = 48;
constexpr size_t kBlockBytes = 32;

const char* KindName(PickleKind kind) {
  switch (kind) {
    case PickleKind::kNone:
      return "None";
    case PickleKind::kBool:
      return "a bool";
    case PickleKind::kInt:
    case PickleKind::kLongInt:
      return "an int";
    case PickleKind::kFloat:
      return "a float";
    case PickleKind::kText:
      return "a text";
    case PickleKind::kTorchType:
      return "a dtype";
    case PickleKind::kList:
      return "a list";
    case PickleKind::kTuple:
      return "a tuple";
    case PickleKind::kDict:
    case PickleKind::kPairs:
      return "a dict";
    case PickleKind::kStorage:
      return "a storage";
    case PickleKind::kTensor:
      return "a tensor";
    case PickleKind::kFunction:
      return "a function";
    case PickleKind::kClass:
    case PickleKind::kStorageOf:
      return "a class";
    case PickleKind::kNumpyDType:
      break;
  }
  return "a dtype of NumPy";
}

class Machine {
 public:
  Machine(absl::string_view bytes, int64_t max_object_bytes)
      : bytes_(bytes), max_object_bytes_(max_object_bytes) {}

  absl::StatusOr<Pickle> Run() {
    // Node 0 stands for "none" where a number of a node is kept.
    New(PickleKind::kNone);
    while (!stopped_) {
      at_ = position_;
      SEPTET_RETURN_IF_ERROR(Step());
      SEPTET_RETURN_IF_ERROR(CheckMemory());
    }
    pickle_.bytes = position_;
    return std::move(pickle_);
  }

 private:
  using Kind = PickleKind;

  // A step takes little, or what others have taken again: so it is enough to
  // look behind each.
  absl::Status CheckMemory() const {
    const uint64_t used = pickle_.nodes.size() * sizeof(PickleNode) +
                          pickle_.storages.size() * sizeof(PickleStorage) +
                          pickle_.tensors.size() * sizeof(PickleTensor) +
                          pickle_.texts.size() * sizeof(std::string) +
                          stack_.capacity() * sizeof(uint32_t) +
                          marks_.capacity() * sizeof(size_t) +
                          memo_.size() * kMemoBytes + heap_;
    if (used <=
        static_cast<uint64_t>(std::max<int64_t>(max_object_bytes_, 0))) {
      return absl::OkStatus();
    }
    return absl::ResourceExhaustedError(
        absl::StrCat("pickle, byte ", at_, ": the ", pickle_.nodes.size(),
                     " objects up to here take more than the ",
                     max_object_bytes_, " bytes of max_object_bytes"));
  }

  absl::Status Bad(absl::string_view what) const {
    return absl::DataLossError(absl::StrCat("pickle, byte ", at_, ": ", what));
  }

  absl::Status Refuse(absl::string_view what) const {
    return absl::UnimplementedError(
        absl::StrCat("pickle, byte ", at_, ": ", what));
  }

  absl::Status BadArgument(absl::string_view function, absl::string_view what,
                           absl::string_view expected, uint32_t node) const {
    return Bad(absl::StrCat(function, ": ", what, " is ", Describe(node),
                            ", expected ", expected));
  }

  std::string Describe(uint32_t node) const {
    const PickleNode& n = pickle_.nodes[node];
    if (n.kind == Kind::kInt) return absl::StrCat(n.number);
    if (n.kind == Kind::kText) return QuoteName(n.text);
    if (n.kind == Kind::kTuple || n.kind == Kind::kList) {
      return absl::StrCat(KindName(n.kind), " of ", n.items.size());
    }
    return KindName(n.kind);
  }

  // --- Bytes of the program.

  absl::StatusOr<absl::string_view> Take(uint64_t size) {
    if (size > bytes_.size() - position_) {
      return Bad(absl::StrCat("ends here: ", size, " bytes are wanted, ",
                              bytes_.size() - position_, " are left"));
    }
    const absl::string_view result = bytes_.substr(position_, size);
    position_ += size;
    return result;
  }

  absl::StatusOr<uint64_t> TakeNumber(int size) {
    SEPTET_ASSIGN_OR_RETURN(const absl::string_view raw,
                            Take(static_cast<uint64_t>(size)));
    uint64_t value = 0;
    std::memcpy(&value, raw.data(), raw.size());
    return value;
  }

  // A number of `size` bytes, and as many bytes as it says.
  absl::StatusOr<absl::string_view> TakeCounted(int size) {
    SEPTET_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber(size));
    return Take(count);
  }

  absl::StatusOr<absl::string_view> TakeLine() {
    const size_t end = bytes_.find('\n', position_);
    if (end == absl::string_view::npos) {
      return Bad("a line without an end");
    }
    const absl::string_view line = bytes_.substr(position_, end - position_);
    position_ = end + 1;
    return line;
  }

  // --- Nodes and the stack.

  uint32_t New(Kind kind) {
    pickle_.nodes.emplace_back();
    pickle_.nodes.back().kind = kind;
    return static_cast<uint32_t>(pickle_.nodes.size() - 1);
  }

  PickleNode& Push(Kind kind) {
    stack_.push_back(New(kind));
    return pickle_.nodes.back();
  }

  // Values above the last mark.
  size_t Depth() const {
    return stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }

  absl::Status Need(size_t count) const {
    if (Depth() >= count) return absl::OkStatus();
    return Bad(absl::StrCat("the stack has ", Depth(), " values, ", count,
                            " are needed"));
  }

  uint32_t Pop() {
    const uint32_t node = stack_.back();
    stack_.pop_back();
    return node;
  }

  // What is above the last mark, which goes too.
  absl::StatusOr<std::vector<uint32_t>> PopMark() {
    if (marks_.empty()) return Bad("there is no mark");
    std::vector<uint32_t> items(stack_.begin() + marks_.back(), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  absl::Status PushText(absl::StatusOr<absl::string_view> text) {
    SEPTET_RETURN_IF_ERROR(text.status());
    Push(Kind::kText).text = *text;
    return absl::OkStatus();
  }

  // A text that is not in the file as such.
  void PushOwnText(std::string text) {
    heap_ += text.size();
    pickle_.texts.push_back(std::move(text));
    Push(Kind::kText).text = pickle_.texts.back();
  }

  absl::Status PushInt(absl::StatusOr<absl::string_view> raw) {
    SEPTET_RETURN_IF_ERROR(raw.status());
    if (raw->size() > 8) {
      Push(Kind::kLongInt).text = *raw;
      return absl::OkStatus();
    }
    // The sign is that of the last byte.
    const bool negative = !raw->empty() && (raw->back() & 0x80) != 0;
    uint64_t value = negative ? ~uint64_t{0} : 0;
    std::memcpy(&value, raw->data(), raw->size());
    Push(Kind::kInt).number = static_cast<int64_t>(value);
    return absl::OkStatus();
  }

  absl::Status Put(uint64_t index) {
    SEPTET_RETURN_IF_ERROR(Need(1));
    memo_[index] = stack_.back();
    return absl::OkStatus();
  }

  absl::Status Get(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) {
      return Bad(absl::StrCat("memo ", index, " has not been set"));
    }
    stack_.push_back(found->second);
    return absl::OkStatus();
  }

  // Adds `items` to the container on top of the stack.
  absl::Status Add(Kind kind, const std::vector<uint32_t>& items) {
    SEPTET_RETURN_IF_ERROR(Need(1));
    PickleNode& target = pickle_.nodes[stack_.back()];
    if (target.kind != kind) {
      return Bad(absl::StrCat("adds to ", KindName(target.kind), ", expected ",
                              KindName(kind)));
    }
    if (kind == Kind::kDict && items.size() % 2 != 0) {
      return Bad("a key without a value");
    }
    target.items.insert(target.items.end(), items.begin(), items.end());
    // Room to grow is as much again.
    heap_ += 2 * items.size() * sizeof(uint32_t);
    return absl::OkStatus();
  }

  absl::Status PushContainer(Kind kind,
                             absl::StatusOr<std::vector<uint32_t>> items) {
    SEPTET_RETURN_IF_ERROR(items.status());
    if (kind == Kind::kDict && items->size() % 2 != 0) {
      return Bad("a key without a value");
    }
    heap_ += items->size() * sizeof(uint32_t);
    Push(kind).items = *std::move(items);
    return absl::OkStatus();
  }

  absl::Status PushTuple(size_t size) {
    SEPTET_RETURN_IF_ERROR(Need(size));
    std::vector<uint32_t> items(stack_.end() - static_cast<ptrdiff_t>(size),
                                stack_.end());
    stack_.resize(stack_.size() - size);
    heap_ += kBlockBytes;
    Push(Kind::kTuple).items = std::move(items);
    return absl::OkStatus();
  }

  // --- Names.

  absl::Status PushGlobal(absl::string_view module, absl::string_view name) {
    for (const FunctionRow& row : kFunctions) {
      if (row.module == module && row.name == name) {
        Push(Kind::kFunction).number = row.function;
        return absl::OkStatus();
      }
    }
    for (const auto& row : kPlainClasses) {
      if (row.first == module && row.second == name) {
        Push(Kind::kClass).number = kPlainTensor;
        return absl::OkStatus();
      }
    }
    if (module == "torch") {
      for (const TorchType& type : kTypes) {
        if (type.name != name) continue;
        pickle_.texts.push_back(absl::StrCat("torch.", name));
        PickleNode& node = Push(Kind::kTorchType);
        node.text = pickle_.texts.back();
        node.type = &type;
        return absl::OkStatus();
      }
    }
    if (module == "torch" || module == "torch.cuda" ||
        module == "torch.storage") {
      if (name == kUntyped.storage) {
        Push(Kind::kStorageOf).type = &kUntyped;
        return absl::OkStatus();
      }
      for (const TorchType& type : kTypes) {
        if (type.storage.empty() || type.storage != name) continue;
        Push(Kind::kStorageOf).type = &type;
        return absl::OkStatus();
      }
    }
    return Refuse(absl::StrCat(
        "wants ", QuoteName(absl::StrCat(module, ".", name)),
        "; only tensors, containers, numbers and texts are read, and nothing "
        "of a file is ever run"));
  }

  // --- What stands for objects.

  absl::StatusOr<int64_t> IntOf(absl::string_view function,
                                absl::string_view what, uint32_t node) const {
    const PickleNode& n = pickle_.nodes[node];
    if (n.kind != Kind::kInt) {
      return BadArgument(function, what, "an int", node);
    }
    return n.number;
  }

  absl::StatusOr<std::vector<int64_t>> IntsOf(absl::string_view function,
                                              absl::string_view what,
                                              uint32_t node) const {
    const PickleNode& n = pickle_.nodes[node];
    if ((n.kind != Kind::kTuple && n.kind != Kind::kList) ||
        n.items.size() > kMostAxes) {
      return BadArgument(function, what,
                         absl::StrCat("a tuple of at most ", kMostAxes), node);
    }
    std::vector<int64_t> result;
    for (uint32_t item : n.items) {
      SEPTET_ASSIGN_OR_RETURN(const int64_t value, IntOf(function, what, item));
      result.push_back(value);
    }
    return result;
  }

  // ("storage", class, key, location, elements[, view]), where view is None or
  // (key, offset, elements).
  absl::Status PushStorage(uint32_t id) {
    constexpr absl::string_view kWhat = "persistent id";
    const PickleNode& tuple = pickle_.nodes[id];
    if (tuple.kind != Kind::kTuple || tuple.items.size() < 5 ||
        tuple.items.size() > 6) {
      return Bad(absl::StrCat(kWhat, " is ", Describe(id),
                              ", expected a tuple of 5 or 6"));
    }
    const PickleNode& tag = pickle_.nodes[tuple.items[0]];
    const PickleNode& type = pickle_.nodes[tuple.items[1]];
    const PickleNode& key = pickle_.nodes[tuple.items[2]];
    if (tag.kind != Kind::kText || tag.text != "storage") {
      return BadArgument(kWhat, "item 0", "'storage'", tuple.items[0]);
    }
    if (type.kind != Kind::kStorageOf) {
      return BadArgument(kWhat, "item 1", "a class of storages",
                         tuple.items[1]);
    }
    if (key.kind != Kind::kText) {
      return BadArgument(kWhat, "item 2", "the key, a text", tuple.items[2]);
    }
    PickleStorage storage;
    storage.type = type.type;
    storage.key = key.text;
    SEPTET_ASSIGN_OR_RETURN(
        storage.elements,
        IntOf(kWhat, "item 4, the number of elements,", tuple.items[4]));
    if (storage.elements < 0) {
      return Bad(absl::StrCat("storage ", QuoteName(storage.key), " has ",
                              storage.elements, " elements"));
    }
    storage.view_elements = storage.elements;
    if (tuple.items.size() == 6 &&
        pickle_.nodes[tuple.items[5]].kind != Kind::kNone) {
      const PickleNode& view = pickle_.nodes[tuple.items[5]];
      if (view.kind != Kind::kTuple || view.items.size() != 3) {
        return BadArgument(kWhat, "item 5", "None or a tuple of 3",
                           tuple.items[5]);
      }
      SEPTET_ASSIGN_OR_RETURN(
          storage.view_begin,
          IntOf(kWhat, "the offset of the view", view.items[1]));
      SEPTET_ASSIGN_OR_RETURN(
          storage.view_elements,
          IntOf(kWhat, "the size of the view", view.items[2]));
      if (storage.view_begin < 0 || storage.view_elements < 0 ||
          storage.view_begin > storage.elements ||
          storage.view_elements > storage.elements - storage.view_begin) {
        return Bad(absl::StrCat("storage ", QuoteName(storage.key),
                                ": a view of ", storage.view_elements,
                                " elements at ", storage.view_begin, " of ",
                                storage.elements));
      }
    }
    pickle_.storages.push_back(storage);
    Push(Kind::kStorage).number =
        static_cast<int64_t>(pickle_.storages.size() - 1);
    return absl::OkStatus();
  }

  absl::Status PushTensor(Function function,
                          const std::vector<uint32_t>& args) {
    const absl::string_view name =
        function == kRebuildTensorV3   ? "_rebuild_tensor_v3"
        : function == kRebuildTensorV2 ? "_rebuild_tensor_v2"
                                       : "_rebuild_tensor";
    const size_t least = function == kRebuildTensorV3   ? 7
                         : function == kRebuildTensorV2 ? 6
                                                        : 4;
    if (args.size() < least) {
      return Bad(absl::StrCat(name, " has ", args.size(),
                              " arguments, expected ", least));
    }
    const PickleNode& storage = pickle_.nodes[args[0]];
    if (storage.kind != Kind::kStorage) {
      return BadArgument(name, "argument 0", "a storage", args[0]);
    }
    PickleTensor tensor;
    tensor.storage = static_cast<uint32_t>(storage.number);
    tensor.type = pickle_.storages[storage.number].type;
    if (function == kRebuildTensorV3) {
      const PickleNode& type = pickle_.nodes[args[6]];
      if (type.kind != Kind::kTorchType) {
        return BadArgument(name, "argument 6", "a dtype", args[6]);
      }
      tensor.type = type.type;
    }
    if (tensor.type == &kUntyped) {
      return Bad(absl::StrCat(name, ": its storage has no dtype"));
    }
    SEPTET_ASSIGN_OR_RETURN(tensor.offset, IntOf(name, "the offset", args[1]));
    SEPTET_ASSIGN_OR_RETURN(tensor.sizes, IntsOf(name, "the size", args[2]));
    SEPTET_ASSIGN_OR_RETURN(tensor.strides,
                            IntsOf(name, "the stride", args[3]));
    if (tensor.sizes.size() != tensor.strides.size()) {
      return Bad(absl::StrCat(name, ": ", tensor.sizes.size(), " sizes and ",
                              tensor.strides.size(), " strides"));
    }
    // Behind what there always is: facts of the tensor.
    if (function != kRebuildTensor && args.size() > least) {
      SEPTET_ASSIGN_OR_RETURN(tensor.negative, IsNegative(name, args[least]));
    }
    heap_ += 2 * (kBlockBytes + tensor.sizes.size() * sizeof(int64_t));
    pickle_.tensors.push_back(std::move(tensor));
    Push(Kind::kTensor).number =
        static_cast<int64_t>(pickle_.tensors.size() - 1);
    return absl::OkStatus();
  }

  // {"conj": False, "neg": True} is written for the negative of what the
  // storage has. Conjugates are complex, which no tensor is here.
  absl::StatusOr<bool> IsNegative(absl::string_view function,
                                  uint32_t node) const {
    const PickleNode& facts = pickle_.nodes[node];
    if (facts.kind == Kind::kNone) return false;
    if (facts.kind != Kind::kDict) {
      return BadArgument(function, "the metadata", "a dict", node);
    }
    bool negative = false;
    for (size_t i = 0; i + 1 < facts.items.size(); i += 2) {
      const PickleNode& key = pickle_.nodes[facts.items[i]];
      const PickleNode& value = pickle_.nodes[facts.items[i + 1]];
      if (key.kind != Kind::kText || key.text != "neg") continue;
      if (value.kind != Kind::kBool) {
        return BadArgument(function, "'neg' of the metadata", "a bool",
                           facts.items[i + 1]);
      }
      negative = value.number != 0;
    }
    return negative;
  }

  absl::Status PushEncoded(const std::vector<uint32_t>& args) {
    if (args.size() != 2 || pickle_.nodes[args[0]].kind != Kind::kText ||
        pickle_.nodes[args[1]].kind != Kind::kText) {
      return Bad("_codecs.encode wants a text and the name of a code");
    }
    const absl::string_view code = pickle_.nodes[args[1]].text;
    if (code != "latin1" && code != "latin-1") {
      return Refuse(absl::StrCat("_codecs.encode with the code ",
                                 QuoteName(code), ", expected 'latin1'"));
    }
    if (pickle_.nodes[args[0]].number != 0) {
      stack_.push_back(static_cast<uint32_t>(pickle_.nodes[args[0]].number));
      return absl::OkStatus();
    }
    const absl::string_view text = pickle_.nodes[args[0]].text;
    std::string bytes;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto first = static_cast<unsigned char>(text[i]);
      if (first < 0x80) {
        bytes += text[i];
        continue;
      }
      // Up to U+00FF: two bytes, of which the first is c2 or c3.
      const auto second =
          i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
      if ((first != 0xc2 && first != 0xc3) || (second & 0xc0) != 0x80) {
        return Bad(absl::StrCat("byte ", i, " of ", QuoteName(text),
                                " is not of a latin-1 character"));
      }
      bytes += static_cast<char>((first & 3) << 6 | (second & 0x3f));
      ++i;
    }
    PushOwnText(std::move(bytes));
    pickle_.nodes[args[0]].number = stack_.back();
    return absl::OkStatus();
  }

  absl::Status PushDevice(const std::vector<uint32_t>& args) {
    if (args.empty() || args.size() > 2 ||
        pickle_.nodes[args[0]].kind != Kind::kText ||
        pickle_.nodes[args[0]].text.size() > kMostShortText) {
      return Bad("torch.device wants a short name and a number");
    }
    std::string text(pickle_.nodes[args[0]].text);
    if (args.size() == 2) {
      SEPTET_ASSIGN_OR_RETURN(const int64_t index,
                              IntOf("torch.device", "the number", args[1]));
      absl::StrAppend(&text, ":", index);
    }
    PushOwnText(std::move(text));
    return absl::OkStatus();
  }

  // scalar(dtype, bytes)
  absl::Status PushNumpyScalar(const std::vector<uint32_t>& args) {
    if (args.size() != 2) {
      return Bad(absl::StrCat("numpy scalar has ", args.size(),
                              " arguments, expected 2"));
    }
    const PickleNode& dtype = pickle_.nodes[args[0]];
    const PickleNode& value = pickle_.nodes[args[1]];
    if (dtype.kind != Kind::kNumpyDType) {
      return BadArgument("numpy scalar", "argument 0", "a dtype of NumPy",
                         args[0]);
    }
    if (value.kind != Kind::kText) {
      return BadArgument("numpy scalar", "argument 1", "bytes", args[1]);
    }
    const absl::string_view code = dtype.text;
    const size_t size = code.size() == 2 ? code[1] - '0' : 0;
    const bool known = code == "f8" || code == "f4" || code == "f2" ||
                       code == "i8" || code == "i4" || code == "i2" ||
                       code == "i1" || code == "u8" || code == "u4" ||
                       code == "u2" || code == "u1" || code == "b1";
    if (!known) {
      return Refuse(
          absl::StrCat("a scalar of NumPy of dtype ", QuoteName(code)));
    }
    if (value.text.size() != size) {
      return Bad(absl::StrCat("numpy scalar of ", code, " has ",
                              value.text.size(), " bytes, expected ", size));
    }
    std::string raw(value.text);
    if (dtype.number != 0) raw.assign(value.text.rbegin(), value.text.rend());
    if (code[0] == 'f') {
      double real;
      if (size == 8) {
        std::memcpy(&real, raw.data(), 8);
      } else if (size == 4) {
        float narrow;
        std::memcpy(&narrow, raw.data(), 4);
        real = static_cast<double>(narrow);
      } else {
        Float16 half;
        std::memcpy(&half.bits, raw.data(), 2);
        real = static_cast<double>(static_cast<float>(half));
      }
      Push(Kind::kFloat).real = real;
      return absl::OkStatus();
    }
    if (code[0] == 'b') {
      Push(Kind::kBool).number = raw[0] != 0 ? 1 : 0;
      return absl::OkStatus();
    }
    const bool negative = code[0] == 'i' && (raw.back() & 0x80) != 0;
    if (code == "u8" && (raw.back() & 0x80) != 0) {
      pickle_.texts.push_back(absl::StrCat(raw, absl::string_view("\0", 1)));
      Push(Kind::kLongInt).text = pickle_.texts.back();
      return absl::OkStatus();
    }
    uint64_t number = negative ? ~uint64_t{0} : 0;
    std::memcpy(&number, raw.data(), raw.size());
    Push(Kind::kInt).number = static_cast<int64_t>(number);
    return absl::OkStatus();
  }

  absl::Status Reduce() {
    SEPTET_RETURN_IF_ERROR(Need(2));
    const uint32_t arguments = Pop();
    const uint32_t callee = Pop();
    return Call(callee, arguments);
  }

  absl::Status Call(uint32_t callee, uint32_t arguments) {
    if (pickle_.nodes[callee].kind != Kind::kFunction) {
      return Bad(
          absl::StrCat("calls ", Describe(callee), ", expected a function"));
    }
    if (pickle_.nodes[arguments].kind != Kind::kTuple) {
      return Bad(absl::StrCat("the arguments are ", Describe(arguments),
                              ", expected a tuple"));
    }
    // A call has few; so none copies a long list over and over.
    if (pickle_.nodes[arguments].items.size() > kMostAxes) {
      return Bad(absl::StrCat(
          "a call with ", pickle_.nodes[arguments].items.size(), " arguments"));
    }
    const std::vector<uint32_t> args = pickle_.nodes[arguments].items;
    const auto function = static_cast<Function>(pickle_.nodes[callee].number);
    const Kind first = args.empty() ? Kind::kNone : pickle_.nodes[args[0]].kind;
    switch (function) {
      case kOrderedDict:
      case kCounter:
        if (args.empty()) {
          Push(Kind::kDict);
          return absl::OkStatus();
        }
        if (args.size() == 1 &&
            (first == Kind::kDict || first == Kind::kPairs)) {
          stack_.push_back(args[0]);
          return absl::OkStatus();
        }
        if (args.size() == 1 && first == Kind::kList) {
          Push(Kind::kPairs).items = args;
          return absl::OkStatus();
        }
        return Bad("a dict is made of something else than a dict or a list");
      case kAsSequence:
        if (args.empty()) {
          Push(Kind::kTuple);
          return absl::OkStatus();
        }
        if (args.size() == 1 &&
            (first == Kind::kList || first == Kind::kTuple)) {
          stack_.push_back(args[0]);
          return absl::OkStatus();
        }
        return Bad("a sequence is made of something else than a list");
      case kBytes:
        if (args.empty()) {
          Push(Kind::kText);
          return absl::OkStatus();
        }
        return Bad("bytes with an argument");
      case kEncode:
        return PushEncoded(args);
      case kDevice:
        return PushDevice(args);
      case kRebuildTensor:
      case kRebuildTensorV2:
      case kRebuildTensorV3:
        return PushTensor(function, args);
      case kRebuildParameter:
        if (args.empty() || first != Kind::kTensor) {
          return Bad("_rebuild_parameter wants a tensor");
        }
        stack_.push_back(args[0]);
        return absl::OkStatus();
      case kRebuildFromType: {
        // (function, class, arguments, state)
        if (args.size() < 3 || first != Kind::kFunction) {
          return Bad(
              "_rebuild_from_type_v2 wants a function, a class and "
              "arguments");
        }
        if (pickle_.nodes[args[1]].kind != Kind::kClass) {
          return BadArgument("_rebuild_from_type_v2", "argument 1",
                             "torch.Tensor or torch.nn.Parameter", args[1]);
        }
        // Not itself again: that could go on for long.
        const int64_t inner = pickle_.nodes[args[0]].number;
        if (inner != kRebuildTensor && inner != kRebuildTensorV2 &&
            inner != kRebuildTensorV3 && inner != kRebuildParameter) {
          return Bad(
              "_rebuild_from_type_v2 of a function that makes no "
              "tensor");
        }
        return Call(args[0], args[2]);
      }
      case kNumpyScalar:
        return PushNumpyScalar(args);
      case kNumpyDTypeOf:
        break;
    }
    // dtype("f8", False, True)
    if (args.empty() || first != Kind::kText) {
      return Bad("numpy.dtype wants a name");
    }
    absl::string_view code = pickle_.nodes[args[0]].text;
    PickleNode& dtype = Push(Kind::kNumpyDType);
    if (absl::ConsumePrefix(&code, ">")) dtype.number = 1;
    absl::ConsumePrefix(&code, "<");
    dtype.text = code;
    return absl::OkStatus();
  }

  absl::Status Build() {
    SEPTET_RETURN_IF_ERROR(Need(2));
    const uint32_t state = Pop();
    PickleNode& target = pickle_.nodes[stack_.back()];
    if (target.kind == Kind::kNumpyDType) {
      // (3, "<", ...)
      const PickleNode& tuple = pickle_.nodes[state];
      if (tuple.kind != Kind::kTuple || tuple.items.size() < 2 ||
          pickle_.nodes[tuple.items[1]].kind != Kind::kText) {
        return Bad(
            "the state of a dtype of NumPy is no tuple with its byte "
            "order");
      }
      target.number = pickle_.nodes[tuple.items[1]].text == ">" ? 1 : 0;
      return absl::OkStatus();
    }
    // Attributes: those of a state_dict are versions of modules.
    if (target.kind == Kind::kDict || target.kind == Kind::kPairs ||
        target.kind == Kind::kTensor) {
      return absl::OkStatus();
    }
    return Bad(absl::StrCat("sets attributes of ", KindName(target.kind)));
  }

  // The class of an opcode that makes an object is looked up where it is named;
  // here it may be one of those that are known.
  absl::Status RefuseObject(absl::string_view opcode) const {
    return Refuse(absl::StrCat(opcode,
                               " makes an object of a class; only "
                               "tensors, containers, numbers and texts "
                               "are read"));
  }

  absl::Status Step() {
    SEPTET_ASSIGN_OR_RETURN(const uint64_t opcode, TakeNumber(1));
    switch (opcode) {
      case 0x80: {  // PROTO
        SEPTET_ASSIGN_OR_RETURN(const uint64_t protocol, TakeNumber(1));
        if (protocol < 2 || protocol > 5) {
          return Refuse(
              absl::StrCat("protocol ", protocol, ", expected 2 to 5"));
        }
        return absl::OkStatus();
      }
      case 0x95:  // FRAME
        return TakeNumber(8).status();
      case '.':  // STOP
        if (stack_.size() != 1 || !marks_.empty()) {
          return Bad(absl::StrCat("ends with ", stack_.size(),
                                  " values on the stack, expected 1"));
        }
        pickle_.root = stack_.back();
        stopped_ = true;
        return absl::OkStatus();
      case '(':  // MARK
        marks_.push_back(stack_.size());
        return absl::OkStatus();
      case '0':  // POP
        if (Depth() == 0 && !marks_.empty()) return PopMark().status();
        SEPTET_RETURN_IF_ERROR(Need(1));
        Pop();
        return absl::OkStatus();
      case '1':  // POP_MARK
        return PopMark().status();
      case '2':  // DUP
        SEPTET_RETURN_IF_ERROR(Need(1));
        stack_.push_back(stack_.back());
        return absl::OkStatus();

      case 'N':
        Push(Kind::kNone);
        return absl::OkStatus();
      case 0x88:  // NEWTRUE
        Push(Kind::kBool).number = 1;
        return absl::OkStatus();
      case 0x89:  // NEWFALSE
        Push(Kind::kBool);
        return absl::OkStatus();
      case 'J': {  // BININT
        SEPTET_ASSIGN_OR_RETURN(const uint64_t value, TakeNumber(4));
        Push(Kind::kInt).number = static_cast<int32_t>(value);
        return absl::OkStatus();
      }
      case 'K':    // BININT1
      case 'M': {  // BININT2
        SEPTET_ASSIGN_OR_RETURN(const uint64_t value,
                                TakeNumber(opcode == 'K' ? 1 : 2));
        Push(Kind::kInt).number = static_cast<int64_t>(value);
        return absl::OkStatus();
      }
      case 0x8a:  // LONG1
        return PushInt(TakeCounted(1));
      case 0x8b:  // LONG4
        return PushInt(TakeCounted(4));
      case 'G': {  // BINFLOAT, big endian
        SEPTET_ASSIGN_OR_RETURN(const uint64_t raw, TakeNumber(8));
        const uint64_t value = __builtin_bswap64(raw);
        double real;
        std::memcpy(&real, &value, sizeof(real));
        Push(Kind::kFloat).real = real;
        return absl::OkStatus();
      }

      case 0x8c:  // SHORT_BINUNICODE
      case 'U':   // SHORT_BINSTRING
      case 'C':   // SHORT_BINBYTES
        return PushText(TakeCounted(1));
      case 'X':  // BINUNICODE
      case 'T':  // BINSTRING
      case 'B':  // BINBYTES
        return PushText(TakeCounted(4));
      case 0x8d:  // BINUNICODE8
      case 0x8e:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        return PushText(TakeCounted(8));

      case ']':  // EMPTY_LIST
        Push(Kind::kList);
        return absl::OkStatus();
      case 0x8f:  // EMPTY_SET
        Push(Kind::kList);
        return absl::OkStatus();
      case '}':  // EMPTY_DICT
        Push(Kind::kDict);
        return absl::OkStatus();
      case ')':  // EMPTY_TUPLE
        Push(Kind::kTuple);
        return absl::OkStatus();
      case 'a': {  // APPEND
        SEPTET_RETURN_IF_ERROR(Need(2));
        const uint32_t item = Pop();
        return Add(Kind::kList, {item});
      }
      case 'e':     // APPENDS
      case 0x90: {  // ADDITEMS
        SEPTET_ASSIGN_OR_RETURN(const std::vector<uint32_t> items, PopMark());
        return Add(Kind::kList, items);
      }
      case 's': {  // SETITEM
        SEPTET_RETURN_IF_ERROR(Need(3));
        const uint32_t value = Pop();
        const uint32_t key = Pop();
        return Add(Kind::kDict, {key, value});
      }
      case 'u': {  // SETITEMS
        SEPTET_ASSIGN_OR_RETURN(const std::vector<uint32_t> items, PopMark());
        return Add(Kind::kDict, items);
      }
      case 'l':   // LIST
      case 0x91:  // FROZENSET
        return PushContainer(Kind::kList, PopMark());
      case 't':  // TUPLE
        return PushContainer(Kind::kTuple, PopMark());
      case 'd':  // DICT
        return PushContainer(Kind::kDict, PopMark());
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        return PushTuple(opcode - 0x84);

      case 'h':    // BINGET
      case 'j': {  // LONG_BINGET
        SEPTET_ASSIGN_OR_RETURN(const uint64_t index,
                                TakeNumber(opcode == 'h' ? 1 : 4));
        return Get(index);
      }
      case 'q':    // BINPUT
      case 'r': {  // LONG_BINPUT
        SEPTET_ASSIGN_OR_RETURN(const uint64_t index,
                                TakeNumber(opcode == 'q' ? 1 : 4));
        return Put(index);
      }
      case 0x94:  // MEMOIZE
        return Put(memo_.size());

      case 'c': {  // GLOBAL
        SEPTET_ASSIGN_OR_RETURN(const absl::string_view module, TakeLine());
        SEPTET_ASSIGN_OR_RETURN(const absl::string_view name, TakeLine());
        return PushGlobal(module, name);
      }
      case 0x93: {  // STACK_GLOBAL
        SEPTET_RETURN_IF_ERROR(Need(2));
        const uint32_t name = Pop();
        const uint32_t module = Pop();
        if (pickle_.nodes[name].kind != Kind::kText ||
            pickle_.nodes[module].kind != Kind::kText) {
          return Bad("the name of a class is no text");
        }
        return PushGlobal(pickle_.nodes[module].text, pickle_.nodes[name].text);
      }
      case 'R':
        return Reduce();
      case 'b':
        return Build();
      case 'Q': {  // BINPERSID
        SEPTET_RETURN_IF_ERROR(Need(1));
        return PushStorage(Pop());
      }
      case 'i': {  // INST
        SEPTET_ASSIGN_OR_RETURN(const absl::string_view module, TakeLine());
        SEPTET_ASSIGN_OR_RETURN(const absl::string_view name, TakeLine());
        SEPTET_RETURN_IF_ERROR(PushGlobal(module, name));
        return RefuseObject("INST");
      }
      case 'o':
        return RefuseObject("OBJ");
      case 0x81:
        return RefuseObject("NEWOBJ");
      case 0x92:
        return RefuseObject("NEWOBJ_EX");
      case 0x82:
      case 0x83:
      case 0x84:
        return Refuse("EXT names a class by a number of the writer's own");
      case 0x97:
      case 0x98:
        return Refuse("a buffer outside of the pickle");
      case 'I':
      case 'L':
      case 'F':
      case 'S':
      case 'V':
      case 'P':
      case 'g':
      case 'p':
        return Refuse(absl::StrFormat(
            "opcode '%c' of protocol 0; protocols 2 to 5 are read", opcode));
      default:
        return Bad(absl::StrFormat("no opcode %02x", opcode));
    }
  }

  const absl::string_view bytes_;
  const int64_t max_object_bytes_;
  uint64_t heap_ = 0;  // what nodes, tensors and texts have beside themselves
  size_t position_ = 0;
  size_t at_ = 0;  // of the opcode in work
  bool stopped_ = false;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;  // sizes of the stack
  std::unordered_map<uint64_t, uint32_t> memo_;
  Pickle pickle_;
};

}  // namespace

absl::StatusOr<Pickle> ReadPickle(absl::string_view bytes,
                                  int64_t max_object_bytes) {
  // Nodes are numbered with 32 bits, and each has an opcode.
  if (bytes.size() >= (uint64_t{1} << 32)) {
    bytes = bytes.substr(0, (uint64_t{1} << 32) - 1);
  }
  return Machine(bytes, max_object_bytes).Run();
}

}  // namespace io_internal
}  // namespace septet
