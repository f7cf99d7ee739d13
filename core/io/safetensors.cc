// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/safetensors.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/edit_distance.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/json_string.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors elements are little endian and are used in place"
#endif

namespace septet {
namespace {

using Entry = SafetensorsHeader::Entry;

constexpr absl::string_view kMetadataKey = "__metadata__";
constexpr size_t kLengthBytes = 8;

// No tensor has as many axes: this only keeps a false header from filling
// memory and messages.
constexpr size_t kMostAxes = 64;

struct DTypeRow {
  absl::string_view name;
  int bits;
  std::optional<DType> dtype;
};

// Ours in the order in which tensors are written, then the others of the
// format, whose sizes can be checked all the same.
constexpr DTypeRow kDTypes[] = {
    {"I64", 64, DType::kI64},     {"F64", 64, DType::kF64},
    {"F32", 32, DType::kF32},     {"I32", 32, DType::kI32},
    {"BF16", 16, DType::kBF16},   {"F16", 16, DType::kF16},
    {"U16", 16, DType::kU16},     {"U8", 8, DType::kU8},
    {"BOOL", 8, DType::kBool},    {"U64", 64, std::nullopt},
    {"C64", 64, std::nullopt},    {"U32", 32, std::nullopt},
    {"I16", 16, std::nullopt},    {"I8", 8, std::nullopt},
    {"F8_E4M3", 8, std::nullopt}, {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt}, {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt}, {"F4", 4, std::nullopt},
};

const DTypeRow* FindDType(absl::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

int DTypeOrder(DType dtype) {
  int order = 0;
  while (kDTypes[order].dtype != dtype) ++order;
  return order;
}

std::string DimsText(const std::vector<int64_t>& dims) {
  return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
}

// Takes the header's JSON as it is parsed, so that memory is bounded by what
// the header can mean, and repeated keys are seen. Nothing nests deeper than an
// array in a tensor in the header.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  // `data_begin`, `data_bytes`: where the elements are in the file.
  HeaderHandler(size_t data_begin, size_t data_bytes)
      : data_begin_(data_begin), data_bytes_(data_bytes) {}

  const absl::Status& status() const { return status_; }
  SafetensorsHeader TakeHeader() { return std::move(header_); }

  bool start_object(size_t) override {
    switch (where_) {
      case Where::kStart:
        where_ = Where::kHeader;
        return true;
      case Where::kHeader:
        if (entry_.name == kMetadataKey) {
          where_ = Where::kMetadata;
          return true;
        }
        where_ = Where::kTensor;
        has_dtype_ = has_shape_ = has_offsets_ = false;
        return true;
      default:
        return Unexpected("an object");
    }
  }

  bool key(std::string& key) override {
    switch (where_) {
      case Where::kHeader:
        if (!names_.insert(key).second) {
          return Fail(
              absl::StrCat("the key ", QuoteName(key), " is there twice"));
        }
        entry_ = Entry();
        entry_.name = std::move(key);
        return true;
      case Where::kMetadata:
        if (header_.metadata.count(key) > 0) {
          return Fail(absl::StrCat(kMetadataKey, ": the key ", QuoteName(key),
                                   " is there twice"));
        }
        metadata_key_ = std::move(key);
        return true;
      default: {  // kTensor
        bool* seen = nullptr;
        if (key == "dtype") {
          field_ = Field::kDType;
          seen = &has_dtype_;
        } else if (key == "shape") {
          field_ = Field::kShape;
          seen = &has_shape_;
        } else if (key == "data_offsets") {
          field_ = Field::kOffsets;
          seen = &has_offsets_;
        } else {
          return FailTensor(
              absl::StrCat("unknown key ", QuoteName(key),
                           ", expected dtype, shape and data_offsets"));
        }
        if (*seen) {
          return FailTensor(
              absl::StrCat("the key ", QuoteName(key), " is there twice"));
        }
        *seen = true;
        return true;
      }
    }
  }

  bool string(std::string& text) override {
    if (where_ == Where::kMetadata) {
      header_.metadata.emplace(std::move(metadata_key_), std::move(text));
      return true;
    }
    if (where_ == Where::kTensor && field_ == Field::kDType) {
      entry_.dtype = std::move(text);
      return true;
    }
    return Unexpected("a string");
  }

  bool start_array(size_t) override {
    if (where_ == Where::kTensor && field_ == Field::kShape) {
      where_ = Where::kShape;
      return true;
    }
    if (where_ == Where::kTensor && field_ == Field::kOffsets) {
      where_ = Where::kOffsets;
      offset_count_ = 0;
      return true;
    }
    return Unexpected("an array");
  }

  bool number_unsigned(uint64_t value) override {
    if (where_ == Where::kShape) {
      if (value > INT64_MAX) {
        return FailTensor(
            absl::StrCat("an extent is ", value, ", more than 63 bits"));
      }
      if (entry_.shape.size() == kMostAxes) {
        return FailTensor(
            absl::StrCat("shape has more than ", kMostAxes, " extents"));
      }
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (where_ == Where::kOffsets && offset_count_ < 2) {
      (offset_count_ == 0 ? entry_.begin : entry_.end) = value;
      ++offset_count_;
      return true;
    }
    return Unexpected(absl::StrCat("the number ", value));
  }

  bool number_integer(int64_t value) override {
    return Unexpected(absl::StrCat("the number ", value));
  }
  bool number_float(double, const std::string& text) override {
    return Unexpected(absl::StrCat("the number ", text.substr(0, 100)));
  }
  bool null() override { return Unexpected("null"); }
  bool boolean(bool value) override {
    return Unexpected(value ? "true" : "false");
  }
  bool binary(nlohmann::json::binary_t&) override {
    return Unexpected("binary data");
  }

  bool end_array() override {
    if (where_ == Where::kOffsets && offset_count_ != 2) {
      return FailTensor(absl::StrCat("data_offsets has ", offset_count_,
                                     " numbers, expected 2"));
    }
    where_ = Where::kTensor;
    return true;
  }

  bool end_object() override {
    switch (where_) {
      case Where::kTensor:
        where_ = Where::kHeader;
        return FinishTensor();
      case Where::kMetadata:
        where_ = Where::kHeader;
        return true;
      default:
        where_ = Where::kEnd;
        return true;
    }
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    return Fail(absl::StrCat("not valid JSON at byte ", position));
  }

 private:
  enum class Where {
    kStart,
    kHeader,
    kMetadata,
    kTensor,
    kShape,
    kOffsets,
    kEnd,
  };
  enum class Field { kDType, kShape, kOffsets };

  bool Fail(absl::string_view message) {
    status_ = absl::DataLossError(absl::StrCat("header: ", message));
    return false;
  }
  bool FailTensor(absl::string_view message) {
    status_ = absl::DataLossError(
        absl::StrCat("tensor ", QuoteName(entry_.name), ": ", message));
    return false;
  }

  // Where we are, there should be something else than `found`.
  bool Unexpected(absl::string_view found) {
    switch (where_) {
      case Where::kMetadata:
        return Fail(absl::StrCat(kMetadataKey, ": ", QuoteName(metadata_key_),
                                 " is ", found, ", expected a string"));
      case Where::kHeader:
        if (entry_.name == kMetadataKey) {
          return Fail(absl::StrCat(kMetadataKey, " is ", found,
                                   ", expected an object of strings"));
        }
        return FailTensor(absl::StrCat(
            "is ", found,
            ", expected an object with dtype, shape and data_offsets"));
      case Where::kTensor:
        return FailTensor(
            absl::StrCat(field_ == Field::kDType   ? "dtype"
                         : field_ == Field::kShape ? "shape"
                                                   : "data_offsets",
                         " is ", found, ", expected ",
                         field_ == Field::kDType   ? "a string"
                         : field_ == Field::kShape ? "an array of extents"
                                                   : "an array of 2 offsets"));
      case Where::kShape:
        return FailTensor(absl::StrCat("shape has ", found,
                                       " in it, expected integers from 0 on"));
      case Where::kOffsets:
        return FailTensor(
            absl::StrCat("data_offsets has ", found,
                         " in it, expected just 2 integers from 0 on"));
      default:
        return Fail(absl::StrCat("is ", found, ", expected an object"));
    }
  }

  bool FinishTensor() {
    if (!has_dtype_) return FailTensor("has no dtype");
    if (!has_shape_) return FailTensor("has no shape");
    if (!has_offsets_) return FailTensor("has no data_offsets");
    // Also where an extent is 0, as in Shape.
    int64_t product = 1;
    bool empty = false;
    for (int64_t extent : entry_.shape) {
      empty |= extent == 0;
      if (__builtin_mul_overflow(product, std::max<int64_t>(extent, 1),
                                 &product)) {
        return FailTensor("shape has more elements than fit into 63 bits");
      }
    }
    const uint64_t elements = empty ? 0 : product;
    if (entry_.begin > entry_.end) {
      return FailTensor(absl::StrCat("data_offsets begin at ", entry_.begin,
                                     " and end before, at ", entry_.end));
    }
    if (entry_.end > data_bytes_) {
      return FailTensor(absl::StrCat("data_offsets end at ", entry_.end,
                                     ", but the file has ", data_bytes_,
                                     " bytes of data"));
    }
    if (const DTypeRow* row = FindDType(entry_.dtype); row != nullptr) {
      const uint64_t actual = entry_.end - entry_.begin;
      uint64_t bits;
      if (__builtin_mul_overflow(elements, static_cast<uint64_t>(row->bits),
                                 &bits)) {
        return FailTensor(absl::StrCat(
            entry_.dtype, " ", DimsText(entry_.shape),
            " needs more bytes than a file can have, data_offsets give it ",
            actual));
      }
      if (bits % 8 != 0 || bits / 8 != actual) {
        return FailTensor(
            absl::StrCat(entry_.dtype, " ", DimsText(entry_.shape), " needs ",
                         bits / 8, bits % 8 != 0 ? " and a part" : "",
                         " bytes, data_offsets give it ", actual));
      }
    }
    entry_.begin += data_begin_;
    entry_.end += data_begin_;
    header_.entries.push_back(std::move(entry_));
    return true;
  }

  const size_t data_begin_;
  const size_t data_bytes_;
  absl::Status status_;
  SafetensorsHeader header_;
  std::set<std::string> names_;
  Where where_ = Where::kStart;
  std::string metadata_key_;
  Entry entry_;  // In work; its offsets count from the end of the header.
  Field field_ = Field::kDType;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  int offset_count_ = 0;
};

// That the tensors cover the data without overlap, gap or rest.
absl::Status CheckCoverage(const std::vector<Entry>& entries, size_t data_begin,
                           size_t file_bytes) {
  std::vector<const Entry*> order;
  order.reserve(entries.size());
  for (const Entry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return std::make_pair(a->begin, a->end) < std::make_pair(b->begin, b->end);
  });
  size_t position = data_begin;
  const Entry* last = nullptr;
  for (const Entry* entry : order) {
    if (entry->begin != position) {
      const std::string after =
          last == nullptr ? std::string("the data begin at 0")
                          : absl::StrCat("tensor ", QuoteName(last->name),
                                         " ends at ", position - data_begin);
      return absl::DataLossError(absl::StrCat(
          "tensor ", QuoteName(entry->name), ": begins at ",
          entry->begin - data_begin, ", but ", after, ": ",
          entry->begin < position ? "they overlap" : "there is a gap"));
    }
    position = entry->end;
    last = entry;
  }
  if (position != file_bytes) {
    return absl::DataLossError(
        absl::StrCat("the tensors end after ", position - data_begin,
                     " bytes, the data "
                     "after ",
                     file_bytes - data_begin, ": ", file_bytes - position,
                     " bytes belong to no tensor"));
  }
  return absl::OkStatus();
}

absl::Status HeaderTooLong(size_t bytes) {
  return absl::InvalidArgumentError(absl::StrCat(
      "names and metadata make a header of ", bytes, " bytes, at most ",
      kMaxSafetensorsHeaderBytes, " are allowed"));
}

// A tensor to be written.
struct Item {
  absl::string_view name;
  const Tensor* tensor;
};

// Gives the file to `append`, piece by piece.
absl::Status Serialize(
    const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, std::string>& metadata,
    absl::FunctionRef<absl::Status(absl::string_view)> append) {
  std::vector<Item> items;
  for (const auto& [name, tensor] : tensors) {
    if (name == kMetadataKey) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", QuoteName(name),
                       ": the format keeps this name for itself"));
    }
    if (!tensor.defined() || !tensor.has_storage()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", QuoteName(name), ": is ", tensor.DebugString(),
          tensor.defined() ? " without storage" : "", ", expected elements"));
    }
    items.push_back({name, &tensor});
  }
  // Text of this size is refused before it is made.
  size_t text_bytes = 0;
  for (const Item& item : items) text_bytes += item.name.size();
  for (const auto& [key, text] : metadata) {
    text_bytes += key.size() + text.size();
  }
  if (text_bytes > kMaxSafetensorsHeaderBytes) {
    return HeaderTooLong(text_bytes);
  }
  // The map has them by name.
  std::stable_sort(
      items.begin(), items.end(), [](const Item& a, const Item& b) {
        return DTypeOrder(a.tensor->dtype()) < DTypeOrder(b.tensor->dtype());
      });

  std::string header = "{";
  if (!metadata.empty()) {
    absl::StrAppend(&header, "\"", kMetadataKey, "\":{");
    const char* separator = "";
    for (const auto& [key, text] : metadata) {
      SEPTET_ASSIGN_OR_RETURN(const std::string key_json, JsonString(key),
                              _ << "metadata key " << QuoteName(key));
      SEPTET_ASSIGN_OR_RETURN(const std::string text_json, JsonString(text),
                              _ << "metadata " << QuoteName(key));
      absl::StrAppend(&header, separator, key_json, ":", text_json);
      separator = ",";
    }
    header += '}';
  }
  uint64_t offset = 0;
  for (const Item& item : items) {
    const Tensor& tensor = *item.tensor;
    SEPTET_ASSIGN_OR_RETURN(const std::string name, JsonString(item.name),
                            _ << "tensor " << QuoteName(item.name));
    uint64_t bytes, end;
    if (__builtin_mul_overflow(static_cast<uint64_t>(tensor.num_elements()),
                               DTypeSize(tensor.dtype()), &bytes) ||
        __builtin_add_overflow(offset, bytes, &end)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", QuoteName(item.name), ": ", tensor.DebugString(),
          " has more bytes than a file can have"));
    }
    absl::StrAppend(&header, header.size() > 1 ? "," : "", name,
                    ":{\"dtype\":\"", kDTypes[DTypeOrder(tensor.dtype())].name,
                    "\",\"shape\":[", absl::StrJoin(tensor.shape().dims(), ","),
                    "],\"data_offsets\":[", offset, ",", end, "]}");
    offset = end;
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > kMaxSafetensorsHeaderBytes) {
    return HeaderTooLong(header.size());
  }

  const uint64_t length = header.size();
  char length_bytes[kLengthBytes];
  std::memcpy(length_bytes, &length, kLengthBytes);
  SEPTET_RETURN_IF_ERROR(append({length_bytes, kLengthBytes}));
  SEPTET_RETURN_IF_ERROR(append(header));
  for (const Item& item : items) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor dense, item.tensor->Contiguous(),
                            _ << "tensor " << QuoteName(item.name));
    SEPTET_RETURN_IF_ERROR(append({static_cast<const char*>(dense.raw_data()),
                                   static_cast<size_t>(dense.num_elements()) *
                                       DTypeSize(dense.dtype())}));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::string_view file) {
  if (file.size() < kLengthBytes) {
    return absl::DataLossError(absl::StrCat(
        "not a safetensors file: has ", file.size(), " bytes, needs at least ",
        kLengthBytes, " for the length of the header"));
  }
  uint64_t length;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kMaxSafetensorsHeaderBytes) {
    return absl::DataLossError(absl::StrCat(
        "not a safetensors file: the header has ", length, " bytes, at most ",
        kMaxSafetensorsHeaderBytes, " are allowed"));
  }
  if (length > file.size() - kLengthBytes) {
    return absl::DataLossError(absl::StrCat(
        "truncated: the header has ", length, " bytes, the file only ",
        file.size() - kLengthBytes, " after the length"));
  }
  const absl::string_view json = file.substr(kLengthBytes, length);
  if (json.empty() || json[0] != '{') {
    return absl::DataLossError(json.empty()
                                   ? "header: is empty, expected an object"
                                   : absl::StrCat("header: starts with ",
                                                  QuoteName(json.substr(0, 1)),
                                                  ", expected '{'"));
  }
  // The parser would take it for the end of the text.
  if (const size_t zero = json.find('\0'); zero != absl::string_view::npos) {
    return absl::DataLossError(
        absl::StrCat("header: not valid JSON at byte ", zero + 1));
  }
  const size_t data_begin = kLengthBytes + length;
  HeaderHandler handler(data_begin, file.size() - data_begin);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &handler)) {
    return handler.status();
  }
  SafetensorsHeader header = handler.TakeHeader();
  SEPTET_RETURN_IF_ERROR(
      CheckCoverage(header.entries, data_begin, file.size()));
  std::sort(header.entries.begin(), header.entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  return header;
}

struct SafetensorsFile::Content {
  std::string path;
  std::optional<MappedFile> mapping;
  std::string bytes;  // where there is no mapping
  SafetensorsHeader header;
  std::vector<std::string> names;

  absl::string_view file() const { return mapping ? mapping->data() : bytes; }
};

SafetensorsFile::SafetensorsFile(std::shared_ptr<const Content> content)
    : content_(std::move(content)) {}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(
    std::shared_ptr<Content> content) {
  SEPTET_ASSIGN_OR_RETURN(content->header,
                          ParseSafetensorsHeader(content->file()),
                          _ << content->path);
  for (const Entry& entry : content->header.entries) {
    content->names.push_back(entry.name);
  }
  return SafetensorsFile(std::move(content));
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(absl::string_view path) {
  auto content = std::make_shared<Content>();
  content->path = std::string(path);
  SEPTET_ASSIGN_OR_RETURN(content->mapping, MappedFile::Open(path));
  return Parse(std::move(content));
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::FromBytes(
    std::string bytes, absl::string_view name) {
  auto content = std::make_shared<Content>();
  content->path = std::string(name);
  content->bytes = std::move(bytes);
  return Parse(std::move(content));
}

const std::vector<std::string>& SafetensorsFile::names() const {
  return content_->names;
}

const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return content_->header.metadata;
}

const std::string& SafetensorsFile::path() const { return content_->path; }

bool SafetensorsFile::Contains(absl::string_view name) const {
  return std::binary_search(content_->names.begin(), content_->names.end(),
                            name);
}

absl::StatusOr<const Entry*> SafetensorsFile::Find(
    absl::string_view name) const {
  const std::vector<std::string>& names = content_->names;
  const auto found = std::lower_bound(names.begin(), names.end(), name);
  if (found == names.end() || *found != name) {
    const std::string nearest = NearestName(name, names);
    return absl::NotFoundError(absl::StrCat(
        path(), ": no tensor ", QuoteName(name), " among ", names.size(),
        nearest.empty()
            ? ""
            : absl::StrCat("; the nearest name is ", QuoteName(nearest))));
  }
  return &content_->header.entries[found - names.begin()];
}

absl::StatusOr<SafetensorsInfo> SafetensorsFile::Info(
    absl::string_view name) const {
  SEPTET_ASSIGN_OR_RETURN(const Entry* entry, Find(name));
  const DTypeRow* row = FindDType(entry->dtype);
  if (row == nullptr || !row->dtype.has_value()) {
    std::vector<absl::string_view> ours;
    for (const DTypeRow& known : kDTypes) {
      if (known.dtype.has_value()) ours.push_back(known.name);
    }
    return absl::UnimplementedError(
        absl::StrCat(path(), ": tensor ", QuoteName(name), ": no dtype ",
                     QuoteName(entry->dtype), " here; there are ",
                     absl::StrJoin(ours, ", ")));
  }
  if (entry->shape.size() > kMaxRank) {
    return absl::UnimplementedError(absl::StrCat(
        path(), ": tensor ", QuoteName(name), ": has ", entry->shape.size(),
        " axes, at most ", kMaxRank, " are supported"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(entry->shape),
                          _ << path() << ": tensor " << QuoteName(name));
  return SafetensorsInfo{*row->dtype, shape};
}

absl::StatusOr<Tensor> SafetensorsFile::Get(absl::string_view name) const {
  SEPTET_ASSIGN_OR_RETURN(const SafetensorsInfo info, Info(name));
  SEPTET_ASSIGN_OR_RETURN(const Entry* entry, Find(name));
  const absl::string_view bytes =
      content_->file().substr(entry->begin, entry->end - entry->begin);
  if (info.dtype == DType::kBool) {
    const auto other = std::find_if(bytes.begin(), bytes.end(), [](char c) {
      return static_cast<unsigned char>(c) > 1;
    });
    if (other != bytes.end()) {
      return absl::DataLossError(
          absl::StrCat(path(), ": tensor ", QuoteName(name), ": element ",
                       other - bytes.begin(), " is ",
                       static_cast<int>(static_cast<unsigned char>(*other)),
                       ", expected 0 or 1 for BOOL"));
    }
  }
  if (reinterpret_cast<uintptr_t>(bytes.data()) % DTypeSize(info.dtype) != 0) {
    SEPTET_ASSIGN_OR_RETURN(Tensor copy, Tensor::Empty(info.shape, info.dtype),
                            _ << path() << ": tensor " << QuoteName(name));
    std::memcpy(copy.raw_mutable_data(), bytes.data(), bytes.size());
    return copy;
  }
  return Tensor::FromExternal(bytes.data(), info.shape, info.dtype,
                              /*read_only=*/true, [content = content_] {});
}

absl::StatusOr<std::string> SerializeSafetensors(
    const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, std::string>& metadata) {
  std::string bytes;
  SEPTET_RETURN_IF_ERROR(
      Serialize(tensors, metadata, [&bytes](absl::string_view piece) {
        bytes.append(piece.data(), piece.size());
        return absl::OkStatus();
      }));
  return bytes;
}

absl::Status WriteSafetensors(
    absl::string_view path, const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, std::string>& metadata) {
  SEPTET_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  // What AtomicFile says names the path already.
  absl::Status written = absl::OkStatus();
  const absl::Status serialized = Serialize(
      tensors, metadata,
      [&](absl::string_view piece) { return written = file.Append(piece); });
  SEPTET_RETURN_IF_ERROR(written);
  SEPTET_RETURN_IF_ERROR(serialized) << path;
  return file.Commit();
}

}  // namespace septet
