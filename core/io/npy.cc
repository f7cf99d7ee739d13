// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/npy.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
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
#include "septet/core/io/quote.h"
#include "septet/core/io/zip_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "elements are used in place and written as little endian"
#endif

namespace septet {
namespace {

using io_internal::ZipArchive;
using io_internal::ZipBytes;
using io_internal::ZipEntry;
using io_internal::ZipReadOptions;
using io_internal::ZipWriteOptions;
using io_internal::ZipWriter;

constexpr absl::string_view kMagic("\x93NUMPY", 6);
constexpr absl::string_view kSuffix = ".npy";

// No array of NumPy has as many axes: this only keeps a false header from
// filling memory and messages.
constexpr size_t kMostAxes = 64;

// NumPy begins elements at multiples of this.
constexpr size_t kAlignment = 64;

// NumPy leaves room for this many digits of the first extent, so that a file
// can grow in place.
constexpr size_t kGrowthDigits = 21;

struct TypeRow {
  absl::string_view code;
  DType dtype;
};

constexpr TypeRow kTypes[] = {
    {"f2", DType::kF16}, {"f4", DType::kF32},  {"f8", DType::kF64},
    {"i4", DType::kI32}, {"i8", DType::kI64},  {"u1", DType::kU8},
    {"u2", DType::kU16}, {"b1", DType::kBool},
};

std::string KnownTypes() {
  return absl::StrJoin(kTypes, ", ", [](std::string* out, const TypeRow& row) {
    out->append(row.code.data(), row.code.size());
  });
}

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
class HeaderParser {
 public:
  explicit HeaderParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<Header> Parse() {
    SEPTET_RETURN_IF_ERROR(Expect('{'));
    bool has_descr = false, has_order = false, has_shape = false;
    while (!Consume('}')) {
      SEPTET_ASSIGN_OR_RETURN(const std::string key, String("a key"));
      SEPTET_RETURN_IF_ERROR(Expect(':'));
      bool* has = key == "descr"           ? &has_descr
                  : key == "fortran_order" ? &has_order
                  : key == "shape"         ? &has_shape
                                           : nullptr;
      if (has == nullptr) {
        return absl::DataLossError(
            absl::StrCat("header: unknown field ", QuoteName(key),
                         ", expected descr, fortran_order and shape"));
      }
      if (*has) {
        return absl::DataLossError(
            absl::StrCat("header: field ", QuoteName(key), " is there twice"));
      }
      *has = true;
      if (key == "descr") {
        SEPTET_RETURN_IF_ERROR(Descr());
      } else if (key == "fortran_order") {
        SEPTET_RETURN_IF_ERROR(Bool());
      } else {
        SEPTET_RETURN_IF_ERROR(Tuple());
      }
      if (!Consume(',')) {
        SEPTET_RETURN_IF_ERROR(Expect('}'));
        break;
      }
    }
    SkipSpace();
    if (position_ != text_.size()) return Fail("the end");
    if (!has_descr || !has_order || !has_shape) {
      return absl::DataLossError(absl::StrCat("header: field '",
                                              !has_descr   ? "descr"
                                              : !has_order ? "fortran_order"
                                                           : "shape",
                                              "' is missing"));
    }
    return std::move(header_);
  }

 private:
  absl::Status Fail(absl::string_view expected) const {
    return absl::DataLossError(absl::StrCat(
        "header: byte ", position_, " is ",
        position_ < text_.size() ? QuoteName(text_.substr(position_, 1))
                                 : std::string("its end"),
        ", expected ", expected));
  }

  void SkipSpace() {
    while (position_ < text_.size() &&
           (text_[position_] == ' ' || text_[position_] == '\n')) {
      ++position_;
    }
  }

  bool Consume(char c) {
    SkipSpace();
    if (position_ == text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  bool ConsumeWord(absl::string_view word) {
    SkipSpace();
    if (!absl::StartsWith(text_.substr(position_), word)) return false;
    position_ += word.size();
    return true;
  }

  absl::Status Expect(char c) {
    if (Consume(c)) return absl::OkStatus();
    return Fail(absl::StrCat("'", absl::string_view(&c, 1), "'"));
  }

  absl::StatusOr<std::string> String(absl::string_view what) {
    SkipSpace();
    const char quote = position_ < text_.size() ? text_[position_] : '\0';
    if (quote != '\'' && quote != '"') {
      return Fail(absl::StrCat(what, ", in quotes"));
    }
    const size_t begin = position_ + 1;
    const size_t end = text_.find(quote, begin);
    const absl::string_view value =
        text_.substr(begin, end == absl::string_view::npos ? 0 : end - begin);
    if (end == absl::string_view::npos ||
        value.find('\\') != absl::string_view::npos) {
      return Fail("a text without escapes that ends");
    }
    position_ = end + 1;
    return std::string(value);
  }

  absl::Status Descr() {
    SkipSpace();
    if (position_ < text_.size() && text_[position_] == '[') {
      return absl::UnimplementedError(absl::StrCat(
          "field 'descr' is a structure of several types; arrays of one of ",
          KnownTypes(), " are read"));
    }
    SEPTET_ASSIGN_OR_RETURN(header_.descr, String("a type"));
    return absl::OkStatus();
  }

  absl::Status Bool() {
    header_.fortran_order = ConsumeWord("True");
    if (header_.fortran_order || ConsumeWord("False")) return absl::OkStatus();
    return Fail("True or False for fortran_order");
  }

  absl::Status Tuple() {
    SEPTET_RETURN_IF_ERROR(Expect('('));
    while (!Consume(')')) {
      SkipSpace();
      int64_t extent = 0;
      const size_t begin = position_;
      for (; position_ < text_.size() && text_[position_] >= '0' &&
             text_[position_] <= '9';
           ++position_) {
        if (__builtin_mul_overflow(extent, int64_t{10}, &extent) ||
            __builtin_add_overflow(extent, int64_t{text_[position_] - '0'},
                                   &extent)) {
          return absl::DataLossError(
              absl::StrCat("field 'shape': extent ", header_.shape.size(),
                           " is larger than any array has"));
        }
      }
      if (position_ == begin) return Fail("an extent, a number from 0");
      // Python 2 wrote 3L.
      if (position_ < text_.size() && text_[position_] == 'L') ++position_;
      header_.shape.push_back(extent);
      if (header_.shape.size() > kMostAxes) {
        return absl::DataLossError(
            absl::StrCat("field 'shape' has more than ", kMostAxes, " axes"));
      }
      if (!Consume(',')) {
        SEPTET_RETURN_IF_ERROR(Expect(')'));
        // (3) is a number, not a tuple.
        if (header_.shape.size() == 1) {
          return absl::DataLossError(
              "field 'shape' is a number, expected a tuple like (3,)");
        }
        break;
      }
    }
    return absl::OkStatus();
  }

  const absl::string_view text_;
  size_t position_ = 0;
  Header header_;
};

struct Type {
  DType dtype;
  bool swap = false;
};

absl::StatusOr<Type> ParseType(const std::string& descr) {
  absl::string_view code = descr;
  const char order = code.empty() ? '\0' : code[0];
  if (order == '<' || order == '>' || order == '|' || order == '=') {
    code.remove_prefix(1);
  }
  for (const TypeRow& row : kTypes) {
    if (row.code != code) continue;
    Type type;
    type.dtype = row.dtype;
    type.swap = order == '>' && DTypeSize(row.dtype) > 1;
    if (order == '|' && DTypeSize(row.dtype) > 1) break;
    return type;
  }
  return absl::UnimplementedError(
      absl::StrCat("field 'descr' is ", QuoteName(descr),
                   code == "O" ? ", objects, which only Python can make" : "",
                   "; there are ", KnownTypes(), " with '<' or '>'"));
}

// The array of a file in `bytes`, which `keep` keeps alive.
absl::StatusOr<Tensor> Parse(absl::string_view bytes,
                             std::function<void()> keep) {
  if (bytes.empty()) return absl::DataLossError("the file is empty");
  if (!absl::StartsWith(bytes, kMagic)) {
    return absl::DataLossError(
        absl::StrCat("not a .npy file: begins with ",
                     QuoteName(bytes.substr(0, kMagic.size())), ", expected ",
                     QuoteName(kMagic)));
  }
  constexpr size_t kVersionEnd = 8;
  if (bytes.size() < kVersionEnd) {
    return absl::DataLossError(absl::StrCat("truncated: has ", bytes.size(),
                                            " bytes, its version ends at 8"));
  }
  const int major = static_cast<unsigned char>(bytes[6]);
  const int minor = static_cast<unsigned char>(bytes[7]);
  if (major < 1 || major > 3 || minor != 0) {
    return absl::UnimplementedError(absl::StrCat("version ", major, ".", minor,
                                                 ", expected 1.0, 2.0 or 3.0"));
  }
  const size_t length_bytes = major == 1 ? 2 : 4;
  const size_t begin = kVersionEnd + length_bytes;
  uint32_t length = 0;
  if (bytes.size() >= begin) {
    std::memcpy(&length, bytes.data() + kVersionEnd, length_bytes);
  }
  if (bytes.size() < begin || length > bytes.size() - begin) {
    return absl::DataLossError(
        absl::StrCat("truncated: the header ends at byte ", begin + length,
                     ", the file at ", bytes.size()));
  }
  SEPTET_ASSIGN_OR_RETURN(const Header header,
                          HeaderParser(bytes.substr(begin, length)).Parse());
  SEPTET_ASSIGN_OR_RETURN(const Type type, ParseType(header.descr));
  if (header.shape.size() > kMaxRank) {
    return absl::UnimplementedError(
        absl::StrCat("field 'shape' has ", header.shape.size(),
                     " axes, at most ", kMaxRank, " are supported"));
  }
  // As the elements lie: in Fortran order the first axis is the innermost.
  std::vector<int64_t> dims = header.shape;
  if (header.fortran_order) std::reverse(dims.begin(), dims.end());
  const absl::StatusOr<Shape> shape = Shape::Create(dims);
  if (!shape.ok()) {
    return absl::DataLossError(
        absl::StrCat("field 'shape': ", shape.status().message()));
  }
  const size_t element = DTypeSize(type.dtype);
  const absl::string_view data = bytes.substr(begin + length);
  uint64_t expected;
  const bool overflow =
      __builtin_mul_overflow(static_cast<uint64_t>(shape->num_elements()),
                             static_cast<uint64_t>(element), &expected);
  if (overflow || expected != data.size()) {
    return absl::DataLossError(absl::StrCat(
        overflow || expected > data.size() ? "truncated: " : "too long: ",
        header.descr, " (", absl::StrJoin(header.shape, ", "), ") needs ",
        overflow ? std::string("more than 2^64") : absl::StrCat(expected),
        " bytes, ", data.size(), " follow the header"));
  }
  if (type.dtype == DType::kBool) {
    const auto other = std::find_if(data.begin(), data.end(), [](char c) {
      return static_cast<unsigned char>(c) > 1;
    });
    if (other != data.end()) {
      return absl::DataLossError(
          absl::StrCat("element ", other - data.begin(), " is ",
                       static_cast<int>(static_cast<unsigned char>(*other)),
                       ", expected 0 or 1 for b1"));
    }
  }
  Tensor result;
  if (type.swap || reinterpret_cast<uintptr_t>(data.data()) % element != 0) {
    SEPTET_ASSIGN_OR_RETURN(result, Tensor::Empty(*shape, type.dtype));
    char* out = static_cast<char*>(result.raw_mutable_data());
    if (!data.empty()) std::memcpy(out, data.data(), data.size());
    if (type.swap) {
      for (size_t i = 0; i < data.size(); i += element) {
        std::reverse(out + i, out + i + element);
      }
    }
  } else {
    SEPTET_ASSIGN_OR_RETURN(
        result, Tensor::FromExternal(data.data(), *shape, type.dtype,
                                     /*read_only=*/true, std::move(keep)));
  }
  if (!header.fortran_order) return result;
  std::vector<int64_t> axes;
  for (int axis = shape->rank(); axis-- > 0;) axes.push_back(axis);
  return result.Permute(axes);
}

absl::StatusOr<std::string> MakeHeader(const Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the tensor is ", tensor.DebugString(),
        tensor.defined() ? " without storage" : "", ", expected elements"));
  }
  const auto* row =
      std::find_if(std::begin(kTypes), std::end(kTypes),
                   [&](const TypeRow& r) { return r.dtype == tensor.dtype(); });
  if (row == std::end(kTypes)) {
    return absl::UnimplementedError(absl::StrCat(
        "NumPy has no ", DTypeName(tensor.dtype()), "; it has ", KnownTypes()));
  }
  const absl::Span<const int64_t> dims = tensor.shape().dims();
  std::string text = absl::StrCat(
      "{'descr': '", DTypeSize(row->dtype) == 1 ? "|" : "<", row->code,
      "', 'fortran_order': False, 'shape': (", absl::StrJoin(dims, ", "),
      dims.size() == 1 ? "," : "", "), }");
  if (!dims.empty()) {
    text.append(kGrowthDigits - absl::StrCat(dims[0]).size(), ' ');
  }
  const size_t begin = kMagic.size() + 4;
  // One byte for the line feed; NumPy pads where nothing would be needed.
  const size_t padding = kAlignment - (begin + text.size() + 1) % kAlignment;
  text.append(padding, ' ');
  text += '\n';
  std::string header(kMagic);
  header += '\1';
  header += '\0';
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

absl::string_view Bytes(const Tensor& dense) {
  return {static_cast<const char*>(dense.raw_data()),
          static_cast<size_t>(dense.num_elements()) * DTypeSize(dense.dtype())};
}

using AppendFn = absl::FunctionRef<absl::Status(absl::string_view)>;

absl::Status SerializeArray(const Tensor& tensor, AppendFn append) {
  SEPTET_ASSIGN_OR_RETURN(const std::string header, MakeHeader(tensor));
  SEPTET_ASSIGN_OR_RETURN(const Tensor dense, tensor.Contiguous());
  SEPTET_RETURN_IF_ERROR(append(header));
  return append(Bytes(dense));
}

absl::Status SerializeArchive(const std::map<std::string, Tensor>& tensors,
                              const NpzWriteOptions& options, AppendFn append) {
  ZipWriter zip([append](absl::string_view piece) { return append(piece); });
  ZipWriteOptions entry_options;
  entry_options.deflate = options.deflate;
  entry_options.alignment = kAlignment;
  for (const auto& [name, tensor] : tensors) {
    SEPTET_ASSIGN_OR_RETURN(const std::string header, MakeHeader(tensor),
                            _ << "tensor " << QuoteName(name));
    SEPTET_ASSIGN_OR_RETURN(const Tensor dense, tensor.Contiguous(),
                            _ << "tensor " << QuoteName(name));
    if (name.empty()) {
      return absl::InvalidArgumentError("the name of a tensor is empty");
    }
    SEPTET_RETURN_IF_ERROR(zip.Add(absl::StrCat(name, kSuffix),
                                   {header, Bytes(dense)}, entry_options));
  }
  return zip.Finish();
}

// What `serialize` appends, in a file at `path`.
absl::Status Write(absl::string_view path,
                   absl::FunctionRef<absl::Status(AppendFn)> serialize) {
  SEPTET_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  // What AtomicFile says names the path already.
  absl::Status written = absl::OkStatus();
  const absl::Status serialized = serialize(
      [&](absl::string_view piece) { return written = file.Append(piece); });
  SEPTET_RETURN_IF_ERROR(written);
  SEPTET_RETURN_IF_ERROR(serialized) << path;
  return file.Commit();
}

absl::StatusOr<std::string> ToString(
    absl::FunctionRef<absl::Status(AppendFn)> serialize) {
  std::string bytes;
  SEPTET_RETURN_IF_ERROR(serialize([&bytes](absl::string_view piece) {
    bytes.append(piece.data(), piece.size());
    return absl::OkStatus();
  }));
  return bytes;
}

absl::StatusOr<std::map<std::string, Tensor>> ParseArchive(
    absl::string_view file, const std::function<void()>& keep,
    const NpzOptions& options) {
  if (file.empty()) return absl::DataLossError("the file is empty");
  SEPTET_ASSIGN_OR_RETURN(const ZipArchive zip, ZipArchive::Open(file));
  std::map<std::string, Tensor> result;
  ZipReadOptions read_options;
  read_options.max_inflated_bytes = options.max_inflated_bytes;
  for (const ZipEntry& entry : zip.entries()) {
    SEPTET_ASSIGN_OR_RETURN(const ZipBytes data, zip.Read(entry, read_options));
    if (data.owner.has_value()) {
      read_options.max_inflated_bytes -=
          static_cast<int64_t>(data.bytes.size());
    }
    SEPTET_ASSIGN_OR_RETURN(
        Tensor tensor,
        Parse(data.bytes, data.owner.has_value()
                              ? std::function<void()>([owner = data.owner] {})
                              : keep),
        _ << "entry " << QuoteName(entry.name));
    const std::string name(absl::StripSuffix(entry.name, kSuffix));
    if (!result.emplace(name, std::move(tensor)).second) {
      return absl::DataLossError(absl::StrCat("entry ", QuoteName(entry.name),
                                              ": a second array of the name ",
                                              QuoteName(name)));
    }
  }
  return result;
}

}  // namespace

absl::StatusOr<Tensor> ReadNpy(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::Open(path));
  const auto file = std::make_shared<const MappedFile>(std::move(mapped));
  SEPTET_ASSIGN_OR_RETURN(Tensor result, Parse(file->data(), [file] {}),
                          _ << path);
  return result;
}

absl::StatusOr<Tensor> ParseNpy(std::string bytes, absl::string_view name) {
  const auto file = std::make_shared<const std::string>(std::move(bytes));
  SEPTET_ASSIGN_OR_RETURN(Tensor result, Parse(*file, [file] {}), _ << name);
  return result;
}

absl::Status WriteNpy(absl::string_view path, const Tensor& tensor) {
  return Write(path,
               [&](AppendFn append) { return SerializeArray(tensor, append); });
}

absl::StatusOr<std::string> SerializeNpy(const Tensor& tensor) {
  return ToString(
      [&](AppendFn append) { return SerializeArray(tensor, append); });
}

absl::StatusOr<std::map<std::string, Tensor>> ReadNpz(
    absl::string_view path, const NpzOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::Open(path));
  const auto file = std::make_shared<const MappedFile>(std::move(mapped));
  SEPTET_ASSIGN_OR_RETURN(auto result,
                          ParseArchive(
                              file->data(), [file] {}, options),
                          _ << path);
  return result;
}

absl::StatusOr<std::map<std::string, Tensor>> ParseNpz(
    std::string bytes, absl::string_view name, const NpzOptions& options) {
  const auto file = std::make_shared<const std::string>(std::move(bytes));
  SEPTET_ASSIGN_OR_RETURN(auto result,
                          ParseArchive(
                              *file, [file] {}, options),
                          _ << name);
  return result;
}

absl::Status WriteNpz(absl::string_view path,
                      const std::map<std::string, Tensor>& tensors,
                      const NpzWriteOptions& options) {
  return Write(path, [&](AppendFn append) {
    return SerializeArchive(tensors, options, append);
  });
}

absl::StatusOr<std::string> SerializeNpz(
    const std::map<std::string, Tensor>& tensors,
    const NpzWriteOptions& options) {
  return ToString([&](AppendFn append) {
    return SerializeArchive(tensors, options, append);
  });
}

}  // namespace septet
