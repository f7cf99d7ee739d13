// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/torch_checkpoint.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/pickle_impl.h"
#include "septet/core/io/quote.h"
#include "septet/core/io/zip_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using io_internal::Pickle;
using io_internal::PickleKind;
using io_internal::PickleNode;
using io_internal::PickleStorage;
using io_internal::PickleTensor;
using io_internal::ReadPickle;
using io_internal::TorchType;
using io_internal::ZipArchive;
using io_internal::ZipBytes;
using io_internal::ZipEntry;
using io_internal::ZipReadOptions;

constexpr absl::string_view kZipMagic("PK\x03\x04", 4);
// 0x1950a86a20f9469cfc6c, little endian.
constexpr absl::string_view kLegacyMagic(
    "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
// Protocols 2 and 4 put 4 to 13 bytes before the number.
constexpr size_t kLegacyMagicBytes = 25;
constexpr int64_t kLegacyProtocol = 1001;

// A state_dict nests to about five.
constexpr int kMostDepth = 100;

// What a row of the results' maps takes, and a tensor with what it points to.
constexpr size_t kRowBytes = 160;
constexpr size_t kTensorBytes = 512;

// The bytes of a file, for as long as tensors use them.
struct Content {
  std::optional<MappedFile> mapping;
  std::string bytes;  // where there is no mapping

  absl::string_view file() const { return mapping ? mapping->data() : bytes; }
};

// The elements of a storage as they are in the file.
struct RawStorage {
  absl::string_view bytes;
  std::optional<Tensor> owner;  // of `bytes`, if they are not the file's
};

// Where storages come from: one of the two containers.
class Container {
 public:
  virtual ~Container() = default;

  const Pickle& pickle() const { return pickle_; }
  // Elements are big endian.
  virtual bool big_endian() const { return false; }
  // The storage of this key; as many bytes as `storage` says.
  virtual absl::StatusOr<RawStorage> Read(const PickleStorage& storage) = 0;

 protected:
  Pickle pickle_;
};

// False if they are more than a number can say.
bool StorageBytes(const PickleStorage& storage, uint64_t* bytes) {
  return !__builtin_mul_overflow(static_cast<uint64_t>(storage.elements),
                                 static_cast<uint64_t>(storage.type->bytes),
                                 bytes);
}

absl::Status WrongSize(absl::string_view what, const PickleStorage& storage,
                       uint64_t actual) {
  return absl::DataLossError(absl::StrCat(
      what, " has ", actual, " bytes, but the pickle says ", storage.elements,
      " elements of ", storage.type->bytes, " bytes"));
}

class ZipContainer : public Container {
 public:
  static absl::StatusOr<std::unique_ptr<Container>> Open(
      absl::string_view file, const TorchCheckpointOptions& options) {
    SEPTET_ASSIGN_OR_RETURN(ZipArchive zip, ZipArchive::Open(file));
    auto container =
        absl::WrapUnique(new ZipContainer(std::move(zip), options));
    SEPTET_RETURN_IF_ERROR(container->Start());
    return absl::StatusOr<std::unique_ptr<Container>>(std::move(container));
  }

  bool big_endian() const override { return big_endian_; }

  absl::StatusOr<RawStorage> Read(const PickleStorage& storage) override {
    const std::string name = absl::StrCat(root_, "/data/", storage.key);
    SEPTET_ASSIGN_OR_RETURN(const ZipEntry* entry, Find(name));
    if (entry == nullptr) {
      return absl::DataLossError(
          absl::StrCat("the archive has no entry ", QuoteName(name)));
    }
    uint64_t bytes;
    if (!StorageBytes(storage, &bytes) || entry->bytes != bytes) {
      return WrongSize(absl::StrCat("entry ", QuoteName(name)), storage,
                       entry->bytes);
    }
    SEPTET_ASSIGN_OR_RETURN(ZipBytes data, ReadEntry(*entry));
    return RawStorage{data.bytes, std::move(data.owner)};
  }

 private:
  ZipContainer(ZipArchive zip, const TorchCheckpointOptions& options)
      : zip_(std::move(zip)),
        max_object_bytes_(options.max_object_bytes),
        left_(options.max_inflated_bytes) {}

  absl::Status Start() {
    constexpr absl::string_view kPickle = "/data.pkl";
    for (const ZipEntry& entry : zip_.entries()) {
      // Names may be given twice; that matters where they are asked for.
      by_name_[entry.name].push_back(&entry);
      absl::string_view root = entry.name;
      if (!absl::ConsumeSuffix(&root, kPickle) ||
          root.find('/') != absl::string_view::npos) {
        continue;
      }
      if (!root_.empty()) {
        return absl::DataLossError(
            absl::StrCat("the archive has the pickles ",
                         QuoteName(absl::StrCat(root_, kPickle)), " and ",
                         QuoteName(entry.name), ", expected one"));
      }
      root_ = std::string(root);
    }
    if (root_.empty()) {
      return absl::DataLossError(absl::StrCat(
          "a zip archive of ", zip_.entries().size(),
          " entries without a '<name>/data.pkl': not written by torch.save",
          zip_.entries().empty()
              ? ""
              : absl::StrCat("; the first entry is ",
                             QuoteName(zip_.entries()[0].name))));
    }
    if (by_name_.count(absl::StrCat(root_, "/constants.pkl")) != 0) {
      return absl::UnimplementedError(absl::StrCat(
          "a TorchScript archive, written by torch.jit.save: it has ",
          QuoteName(absl::StrCat(root_, "/constants.pkl")),
          "; files of torch.save are read"));
    }
    SEPTET_ASSIGN_OR_RETURN(const ZipEntry* order,
                            Find(absl::StrCat(root_, "/byteorder")));
    if (order != nullptr) {
      SEPTET_ASSIGN_OR_RETURN(const ZipBytes data, ReadEntry(*order));
      if (data.bytes != "little" && data.bytes != "big") {
        return absl::DataLossError(absl::StrCat(
            "entry ", QuoteName(order->name), " is ", QuoteName(data.bytes),
            ", expected 'little' or 'big'"));
      }
      big_endian_ = data.bytes == "big";
    }
    SEPTET_ASSIGN_OR_RETURN(const ZipEntry* entry,
                            Find(absl::StrCat(root_, kPickle)));
    SEPTET_ASSIGN_OR_RETURN(pickle_bytes_, ReadEntry(*entry));
    SEPTET_ASSIGN_OR_RETURN(pickle_,
                            ReadPickle(pickle_bytes_.bytes, max_object_bytes_),
                            _ << "entry " << QuoteName(entry->name));
    if (pickle_.bytes != pickle_bytes_.bytes.size()) {
      return absl::DataLossError(absl::StrCat(
          "entry ", QuoteName(entry->name), ": the pickle ends after ",
          pickle_.bytes, " of ", pickle_bytes_.bytes.size(), " bytes"));
    }
    return absl::OkStatus();
  }

  // Null if there is none.
  absl::StatusOr<const ZipEntry*> Find(const std::string& name) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return nullptr;
    if (found->second.size() != 1) {
      return absl::DataLossError(
          absl::StrCat("the archive has ", found->second.size(), " entries ",
                       QuoteName(name), ", expected one"));
    }
    return found->second[0];
  }

  absl::StatusOr<ZipBytes> ReadEntry(const ZipEntry& entry) {
    ZipReadOptions options;
    options.check_stored = false;
    options.max_inflated_bytes = left_;
    SEPTET_ASSIGN_OR_RETURN(ZipBytes data, zip_.Read(entry, options));
    if (data.owner.has_value())
      left_ -= static_cast<int64_t>(data.bytes.size());
    return data;
  }

  const ZipArchive zip_;
  const int64_t max_object_bytes_;
  int64_t left_;  // bytes that may yet be inflated
  std::unordered_map<std::string, std::vector<const ZipEntry*>> by_name_;
  std::string root_;
  bool big_endian_ = false;
  ZipBytes pickle_bytes_;
};

class LegacyContainer : public Container {
 public:
  static absl::StatusOr<std::unique_ptr<Container>> Open(
      absl::string_view file, const TorchCheckpointOptions& options) {
    auto container =
        absl::WrapUnique(new LegacyContainer(options.max_object_bytes));
    SEPTET_RETURN_IF_ERROR(container->Start(file));
    return absl::StatusOr<std::unique_ptr<Container>>(std::move(container));
  }

  absl::StatusOr<RawStorage> Read(const PickleStorage& storage) override {
    const auto found = storages_.find(storage.key);
    if (found == storages_.end()) {
      return absl::DataLossError(
          absl::StrCat("the file has no storage ", QuoteName(storage.key)));
    }
    uint64_t bytes;
    if (!StorageBytes(storage, &bytes) || found->second.size() != bytes) {
      return WrongSize(absl::StrCat("storage ", QuoteName(storage.key)),
                       storage, found->second.size());
    }
    return RawStorage{found->second, std::nullopt};
  }

 private:
  explicit LegacyContainer(int64_t max_object_bytes)
      : max_object_bytes_(max_object_bytes) {}

  absl::StatusOr<Pickle> Next(absl::string_view what) {
    absl::StatusOr<Pickle> pickle =
        ReadPickle(file_.substr(position_), max_object_bytes_);
    if (!pickle.ok()) {
      return AnnotateStatus(pickle.status(),
                            absl::StrCat(what, ", at byte ", position_));
    }
    position_ += pickle->bytes;
    return pickle;
  }

  absl::Status Start(absl::string_view file) {
    file_ = file;
    SEPTET_ASSIGN_OR_RETURN(const Pickle magic, Next("the magic number"));
    const PickleNode& number = magic.nodes[magic.root];
    if (number.kind != PickleKind::kLongInt || number.text != kLegacyMagic) {
      return absl::DataLossError(
          "the first pickle is not the magic number of torch.save");
    }
    SEPTET_ASSIGN_OR_RETURN(const Pickle protocol, Next("the protocol"));
    const PickleNode& version = protocol.nodes[protocol.root];
    if (version.kind != PickleKind::kInt) {
      return absl::DataLossError("the protocol is no int");
    }
    if (version.number != kLegacyProtocol) {
      return absl::UnimplementedError(absl::StrCat(
          "the protocol is ", version.number, ", expected ", kLegacyProtocol));
    }
    SEPTET_ASSIGN_OR_RETURN(const Pickle system,
                            Next("the facts of the system"));
    if (system.nodes[system.root].kind != PickleKind::kDict) {
      return absl::DataLossError("the facts of the system are no dict");
    }
    SEPTET_ASSIGN_OR_RETURN(pickle_, Next("the object"));
    SEPTET_ASSIGN_OR_RETURN(keys_, Next("the keys of the storages"));
    const PickleNode& list = keys_.nodes[keys_.root];
    if (list.kind != PickleKind::kList) {
      return absl::DataLossError("the keys of the storages are no list");
    }
    std::unordered_map<std::string, const TorchType*> types;
    for (const PickleStorage& storage : pickle_.storages) {
      types.emplace(std::string(storage.key), storage.type);
    }
    for (uint32_t item : list.items) {
      const PickleNode& key = keys_.nodes[item];
      if (key.kind != PickleKind::kText) {
        return absl::DataLossError("the key of a storage is no text");
      }
      const auto type = types.find(std::string(key.text));
      if (type == types.end()) {
        return absl::DataLossError(
            absl::StrCat("storage ", QuoteName(key.text),
                         " is in the list of keys and not in the object"));
      }
      SEPTET_RETURN_IF_ERROR(TakeStorage(key.text, *type->second));
    }
    if (position_ != file_.size()) {
      return absl::DataLossError(
          absl::StrCat(file_.size() - position_,
                       " bytes follow the last storage, which ends "
                       "at byte ",
                       position_));
    }
    return absl::OkStatus();
  }

  absl::Status TakeStorage(absl::string_view key, const TorchType& type) {
    uint64_t elements;
    const uint64_t rest = file_.size() - position_;
    if (rest < sizeof(elements)) {
      return absl::DataLossError(absl::StrCat(
          "truncated: storage ", QuoteName(key), " has ", rest,
          " bytes at byte ", position_, ", 8 are needed for its size"));
    }
    std::memcpy(&elements, file_.data() + position_, sizeof(elements));
    position_ += sizeof(elements);
    uint64_t bytes;
    if (__builtin_mul_overflow(elements, static_cast<uint64_t>(type.bytes),
                               &bytes) ||
        bytes > rest - sizeof(elements)) {
      return absl::DataLossError(absl::StrCat(
          "truncated: storage ", QuoteName(key), " has ", elements,
          " elements of ", type.bytes, " bytes at byte ", position_,
          ", the file ", rest - sizeof(elements), " bytes more"));
    }
    if (!storages_.emplace(key, file_.substr(position_, bytes)).second) {
      return absl::DataLossError(absl::StrCat("storage ", QuoteName(key),
                                              " is in the list of keys twice"));
    }
    position_ += bytes;
    return absl::OkStatus();
  }

  const int64_t max_object_bytes_;
  absl::string_view file_;
  size_t position_ = 0;
  Pickle keys_;
  std::map<absl::string_view, absl::string_view> storages_;
};

// Makes tensors and values with names out of a pickle.
class Reader {
 public:
  Reader(std::shared_ptr<const Content> content, Container* container,
         const TorchCheckpointOptions& options)
      : content_(std::move(content)),
        container_(container),
        pickle_(container->pickle()),
        max_object_bytes_(options.max_object_bytes),
        result_left_(options.max_object_bytes),
        copy_left_(options.max_copied_bytes) {}

  absl::StatusOr<TorchCheckpoint> Run() {
    // What is in several places is visited, and named, in each. That is rare:
    // these bounds are far from files, and stop those that mean to fill memory.
    visits_left_ = 1000 + 16 * static_cast<int64_t>(pickle_.bytes);
    name_bytes_left_ = (1 << 20) + 64 * static_cast<int64_t>(pickle_.bytes);
    SEPTET_RETURN_IF_ERROR(Visit(pickle_.root, 0));
    return std::move(result_);
  }

 private:
  struct Storage {
    Tensor bytes;     // u8 [N], aligned, little endian
    int swapped = 1;  // size of the elements that were turned round
  };

  // Called before something is added under the name: it must be free, and there
  // must be memory for it and for `bytes` more.
  absl::Status AddName(size_t bytes) {
    if (result_.tensors.count(name_) + result_.values.count(name_) +
            result_.unsupported.count(name_) >
        0) {
      return absl::DataLossError(
          absl::StrCat("two values have the name ", QuoteName(name_)));
    }
    result_left_ -= static_cast<int64_t>(kRowBytes + name_.size() + bytes);
    if (result_left_ < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat(QuoteName(name_), ": the names and values up to here ",
                       "take more than the ", max_object_bytes_,
                       " bytes of max_object_bytes"));
    }
    return absl::OkStatus();
  }

  absl::Status AddValue(TorchValue value) {
    const std::string* const text = std::get_if<std::string>(&value);
    SEPTET_RETURN_IF_ERROR(AddName(text == nullptr ? 0 : text->size()));
    result_.values.emplace(name_, std::move(value));
    return absl::OkStatus();
  }

  absl::Status AddUnsupported(std::string what) {
    SEPTET_RETURN_IF_ERROR(AddName(what.size()));
    result_.unsupported.emplace(name_, std::move(what));
    return absl::OkStatus();
  }

  absl::Status Visit(uint32_t index, int depth) {
    if (depth > kMostDepth) {
      return absl::DataLossError(absl::StrCat(
          QuoteName(name_), ": containers nest deeper than ", kMostDepth));
    }
    name_bytes_left_ -= static_cast<int64_t>(name_.size());
    if (--visits_left_ < 0 || name_bytes_left_ < 0) {
      return absl::DataLossError(absl::StrCat(
          QuoteName(name_), ": a pickle of ", pickle_.bytes,
          " bytes stands for too many values: its containers are in each "
          "other over and over"));
    }
    const PickleNode& node = pickle_.nodes[index];
    switch (node.kind) {
      case PickleKind::kNone:
        return AddValue(std::monostate());
      case PickleKind::kBool:
        return AddValue(node.number != 0);
      case PickleKind::kInt:
        return AddValue(node.number);
      case PickleKind::kLongInt:
        return AddUnsupported(absl::StrCat("an integer of ", node.text.size(),
                                           " bytes, at most 8 are supported"));
      case PickleKind::kFloat:
        return AddValue(node.real);
      case PickleKind::kText:
        name_bytes_left_ -= static_cast<int64_t>(node.text.size());
        return AddValue(std::string(node.text));
      case PickleKind::kTorchType:
        return AddValue(std::string(node.text));
      case PickleKind::kList:
      case PickleKind::kTuple:
        for (size_t i = 0; i < node.items.size(); ++i) {
          SEPTET_RETURN_IF_ERROR(
              VisitUnder(absl::StrCat(i), node.items[i], depth));
        }
        return absl::OkStatus();
      case PickleKind::kDict:
        return VisitPairs(node.items, depth);
      case PickleKind::kPairs:
        for (uint32_t item : pickle_.nodes[node.items[0]].items) {
          const PickleNode& pair = pickle_.nodes[item];
          if ((pair.kind != PickleKind::kList &&
               pair.kind != PickleKind::kTuple) ||
              pair.items.size() != 2) {
            return absl::DataLossError(
                absl::StrCat(QuoteName(name_),
                             ": a dict is made of something else than pairs"));
          }
          SEPTET_RETURN_IF_ERROR(VisitPairs(pair.items, depth));
        }
        return absl::OkStatus();
      case PickleKind::kTensor:
        return AddTensor(index);
      case PickleKind::kStorage:
        return AddUnsupported("a storage without a tensor");
      case PickleKind::kFunction:
      case PickleKind::kClass:
      case PickleKind::kStorageOf:
        return AddUnsupported("a function or a class");
      case PickleKind::kNumpyDType:
        break;
    }
    return AddUnsupported("a dtype of NumPy");
  }

  absl::Status VisitPairs(const std::vector<uint32_t>& items, int depth) {
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      const PickleNode& key = pickle_.nodes[items[i]];
      std::string text;
      switch (key.kind) {
        case PickleKind::kText:
        case PickleKind::kTorchType:
          text = std::string(key.text);
          break;
        case PickleKind::kInt:
          text = absl::StrCat(key.number);
          break;
        case PickleKind::kBool:
          text = key.number != 0 ? "True" : "False";
          break;
        case PickleKind::kFloat:
          text = absl::StrCat(key.real);
          break;
        case PickleKind::kNone:
          text = "None";
          break;
        default:
          return absl::UnimplementedError(absl::StrCat(
              QuoteName(name_),
              ": a key of this dict is neither a text nor a number"));
      }
      name_bytes_left_ -= static_cast<int64_t>(text.size());
      SEPTET_RETURN_IF_ERROR(VisitUnder(text, items[i + 1], depth));
    }
    return absl::OkStatus();
  }

  absl::Status VisitUnder(absl::string_view key, uint32_t item, int depth) {
    const size_t size = name_.size();
    absl::StrAppend(&name_, depth == 0 ? "" : ".", key);
    SEPTET_RETURN_IF_ERROR(Visit(item, depth + 1));
    name_.resize(size);
    return absl::OkStatus();
  }

  absl::Status AddTensor(uint32_t index) {
    const PickleTensor& tensor = pickle_.tensors[pickle_.nodes[index].number];
    const std::string sizes =
        absl::StrCat("[", absl::StrJoin(tensor.sizes, ", "), "]");
    if (!tensor.type->dtype.has_value()) {
      return AddUnsupported(absl::StrCat(
          tensor.type->name, " ", sizes,
          ": no such dtype here; there are float64, float32, float16, "
          "bfloat16, int64, int32, uint16, uint8 and bool"));
    }
    if (tensor.sizes.size() > kMaxRank) {
      return AddUnsupported(absl::StrCat(
          tensor.type->name, " ", sizes, ": has ", tensor.sizes.size(),
          " axes, at most ", kMaxRank, " are supported"));
    }
    if (tensor.negative) {
      return AddUnsupported(absl::StrCat(
          tensor.type->name, " ", sizes,
          ": is the negative of what is stored; save its resolve_neg()"));
    }
    SEPTET_RETURN_IF_ERROR(AddName(kTensorBytes));
    const auto made = tensors_.find(index);
    if (made != tensors_.end()) {
      result_.tensors.emplace(name_, made->second);
      return absl::OkStatus();
    }
    SEPTET_ASSIGN_OR_RETURN(const Tensor value,
                            MakeTensor(tensor, *tensor.type->dtype),
                            _ << "tensor " << QuoteName(name_) << " ("
                              << tensor.type->name << " " << sizes << ")");
    tensors_.emplace(index, value);
    result_.tensors.emplace(name_, value);
    return absl::OkStatus();
  }

  absl::StatusOr<Tensor> MakeTensor(const PickleTensor& tensor, DType dtype) {
    absl::StatusOr<Shape> shape = Shape::Create(tensor.sizes);
    if (!shape.ok()) return absl::DataLossError(shape.status().message());
    for (int64_t stride : tensor.strides) {
      if (stride < 0) {
        return absl::DataLossError(
            absl::StrCat("strides [", absl::StrJoin(tensor.strides, ", "),
                         "], expected none below 0"));
      }
    }
    const PickleStorage& storage = pickle_.storages[tensor.storage];
    SEPTET_ASSIGN_OR_RETURN(const Storage* data,
                            GetStorage(storage, *tensor.type));
    if (shape->num_elements() == 0) return Tensor::Empty(*shape, dtype);
    // The view of the storage, in bytes and then in elements of the tensor.
    const int64_t begin = storage.view_begin * storage.type->bytes;
    const int64_t elements =
        storage.view_elements * storage.type->bytes / tensor.type->bytes;
    // The last element.
    int64_t last = tensor.offset;
    bool overflow = tensor.offset < 0;
    for (size_t axis = 0; axis < tensor.sizes.size(); ++axis) {
      int64_t step;
      overflow = overflow ||
                 __builtin_mul_overflow(tensor.sizes[axis] - 1,
                                        tensor.strides[axis], &step) ||
                 __builtin_add_overflow(last, step, &last);
    }
    if (overflow || last >= elements) {
      return absl::DataLossError(absl::StrCat(
          "offset ", tensor.offset, " and strides [",
          absl::StrJoin(tensor.strides, ", "), "] lead out of its storage ",
          QuoteName(storage.key), " of ", elements, " elements"));
    }
    // Axes of stride 0 are made at the end, without a copy.
    std::vector<int64_t> sizes = tensor.sizes;
    for (size_t axis = 0; axis < sizes.size(); ++axis) {
      if (tensor.strides[axis] == 0) sizes[axis] = 1;
    }
    const Shape dense_shape((absl::Span<const int64_t>(sizes)));
    const char* first = static_cast<const char*>(data->bytes.raw_data()) +
                        begin + tensor.offset * tensor.type->bytes;
    Tensor dense;
    if (IsRowMajor(sizes, tensor.strides) &&
        reinterpret_cast<uintptr_t>(first) % tensor.type->bytes == 0) {
      SEPTET_ASSIGN_OR_RETURN(
          dense,
          Tensor::FromExternal(first, dense_shape, dtype,
                               /*read_only=*/true, [keep = data->bytes] {}));
    } else {
      SEPTET_ASSIGN_OR_RETURN(
          dense, Gather(first, dense_shape, tensor.strides, dtype));
    }
    if (dtype == DType::kBool) {
      const auto* values = static_cast<const unsigned char*>(dense.raw_data());
      for (int64_t i = 0; i < dense.num_elements(); ++i) {
        if (values[i] > 1) {
          return absl::DataLossError(absl::StrCat(
              "an element is ", values[i], ", expected 0 or 1 for bool"));
        }
      }
    }
    return dense.BroadcastTo(*shape);
  }

  static bool IsRowMajor(const std::vector<int64_t>& sizes,
                         const std::vector<int64_t>& strides) {
    int64_t expected = 1;
    for (size_t axis = sizes.size(); axis-- > 0;) {
      if (sizes[axis] == 1) continue;
      if (strides[axis] != expected) return false;
      expected *= sizes[axis];
    }
    return true;
  }

  // A row-major copy of a view whose elements are known to be there.
  absl::StatusOr<Tensor> Gather(const char* first, const Shape& shape,
                                const std::vector<int64_t>& strides,
                                DType dtype) {
    const size_t size = DTypeSize(dtype);
    int64_t bytes;
    if (__builtin_mul_overflow(shape.num_elements(), static_cast<int64_t>(size),
                               &bytes) ||
        bytes > copy_left_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("is not contiguous, and a copy of ",
                       shape.num_elements(), " elements is more than the ",
                       copy_left_, " bytes that are left of max_copied_bytes"));
    }
    copy_left_ -= bytes;
    SEPTET_ASSIGN_OR_RETURN(const Tensor copy, Tensor::Empty(shape, dtype));
    char* out = static_cast<char*>(copy.raw_mutable_data());
    std::vector<int64_t> index(shape.rank(), 0);
    const auto element_bytes = static_cast<int64_t>(size);
    const int inner = shape.rank() - 1;
    const int64_t count = inner < 0 ? 1 : shape.dim(inner);
    const int64_t step = inner < 0 ? 0 : strides[inner] * element_bytes;
    const char* row = first;
    while (true) {
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(out, row + i * step, size);
        out += size;
      }
      int axis = inner - 1;
      for (; axis >= 0; --axis) {
        row += strides[axis] * element_bytes;
        if (++index[axis] < shape.dim(axis)) break;
        row -= strides[axis] * element_bytes * shape.dim(axis);
        index[axis] = 0;
      }
      if (axis < 0) break;
    }
    return copy;
  }

  // The storage with the elements in our byte order, at an address that suits
  // them.
  absl::StatusOr<const Storage*> GetStorage(const PickleStorage& storage,
                                            const TorchType& type) {
    const int swapped = container_->big_endian() ? type.bytes : 1;
    const auto found = storages_.find(storage.key);
    if (found != storages_.end()) {
      // Each key has one size; see Container::Read.
      uint64_t bytes;
      const auto size =
          static_cast<uint64_t>(found->second.bytes.num_elements());
      if (!StorageBytes(storage, &bytes) || bytes != size) {
        return WrongSize(absl::StrCat("storage ", QuoteName(storage.key)),
                         storage, size);
      }
      if (found->second.swapped != swapped) {
        return absl::UnimplementedError(
            absl::StrCat("storage ", QuoteName(storage.key),
                         " is big endian and has elements of ",
                         found->second.swapped, " and of ", swapped, " bytes"));
      }
      return &found->second;
    }
    SEPTET_ASSIGN_OR_RETURN(const RawStorage raw, container_->Read(storage));
    Storage result;
    result.swapped = swapped;
    const Shape shape{static_cast<int64_t>(raw.bytes.size())};
    const bool aligned = reinterpret_cast<uintptr_t>(raw.bytes.data()) %
                             static_cast<uintptr_t>(type.bytes) ==
                         0;
    if (aligned && swapped == 1) {
      SEPTET_ASSIGN_OR_RETURN(
          result.bytes,
          Tensor::FromExternal(raw.bytes.data(), shape, DType::kU8,
                               /*read_only=*/true,
                               [content = content_, owner = raw.owner] {}));
    } else {
      SEPTET_ASSIGN_OR_RETURN(result.bytes, Tensor::Empty(shape, DType::kU8));
      char* out = static_cast<char*>(result.bytes.raw_mutable_data());
      if (!raw.bytes.empty()) {
        std::memcpy(out, raw.bytes.data(), raw.bytes.size());
      }
      if (swapped > 1) {
        const auto step = static_cast<size_t>(swapped);
        for (size_t i = 0; i + step <= raw.bytes.size(); i += step) {
          std::reverse(out + i, out + i + step);
        }
      }
    }
    return &storages_.emplace(storage.key, std::move(result)).first->second;
  }

  const std::shared_ptr<const Content> content_;
  Container* const container_;
  const Pickle& pickle_;
  const int64_t max_object_bytes_;
  int64_t result_left_;  // bytes that names and values may yet take
  int64_t copy_left_;
  int64_t visits_left_ = 0;
  int64_t name_bytes_left_ = 0;
  std::string name_;
  std::map<absl::string_view, Storage> storages_;
  std::unordered_map<uint32_t, Tensor> tensors_;  // by node
  TorchCheckpoint result_;
};

absl::StatusOr<TorchCheckpoint> Parse(std::shared_ptr<const Content> content,
                                      const TorchCheckpointOptions& options) {
  const absl::string_view file = content->file();
  std::unique_ptr<Container> container;
  if (absl::StartsWith(file, kZipMagic)) {
    SEPTET_ASSIGN_OR_RETURN(container, ZipContainer::Open(file, options));
  } else if (LooksLikeTorchCheckpoint(file)) {
    SEPTET_ASSIGN_OR_RETURN(container, LegacyContainer::Open(file, options));
  } else if (file.empty()) {
    return absl::DataLossError("the file is empty");
  } else if (file.size() > 262 && file.substr(257, 5) == "ustar") {
    return absl::UnimplementedError(
        "a tar file, as torch wrote them before 0.1.10; load it with torch "
        "and save it again");
  } else {
    return absl::DataLossError(absl::StrCat(
        "begins with ", QuoteName(file.substr(0, 16)),
        ", which is neither a zip archive nor the magic number of torch.save"));
  }
  return Reader(std::move(content), container.get(), options).Run();
}

}  // namespace

bool LooksLikeTorchCheckpoint(absl::string_view begin) {
  return absl::StartsWith(begin, kZipMagic) ||
         (absl::StartsWith(begin, "\x80") &&
          absl::StrContains(begin.substr(0, kLegacyMagicBytes), kLegacyMagic));
}

absl::StatusOr<TorchCheckpoint> OpenTorchCheckpoint(
    absl::string_view path, const TorchCheckpointOptions& options) {
  auto content = std::make_shared<Content>();
  SEPTET_ASSIGN_OR_RETURN(content->mapping, MappedFile::Open(path));
  SEPTET_ASSIGN_OR_RETURN(TorchCheckpoint result,
                          Parse(std::move(content), options), _ << path);
  return result;
}

absl::StatusOr<TorchCheckpoint> ParseTorchCheckpoint(
    std::string bytes, absl::string_view name,
    const TorchCheckpointOptions& options) {
  auto content = std::make_shared<Content>();
  content->bytes = std::move(bytes);
  SEPTET_ASSIGN_OR_RETURN(TorchCheckpoint result,
                          Parse(std::move(content), options), _ << name);
  return result;
}

absl::StatusOr<std::map<std::string, Tensor>> ReadTorchCheckpoint(
    absl::string_view path, const TorchCheckpointOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(TorchCheckpoint all,
                          OpenTorchCheckpoint(path, options));
  for (const auto& [name, what] : all.unsupported) {
    return absl::UnimplementedError(
        absl::StrCat(path, ": ", QuoteName(name), " is ", what));
  }
  return std::move(all.tensors);
}

}  // namespace septet
