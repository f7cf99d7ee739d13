// SPDX-License-Identifier: Apache-2.0
// Reads an HDF5 file for core/io/hdf5.h, so that libhdf5 crashes here and not
// in the program that asked. Not for use by hand:
//
//   hdf5_reader PATH MEMORY_BYTES CPU_SECONDS < request > answer
//
// hdf5_protocol_impl.h says what request and answer are.
#include <errno.h>
// In angle brackets: there is another hdf5.h beside this file.
#include <hdf5.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/edit_distance.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/hdf5_protocol_impl.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"

// Sanitizers reserve more addresses than a limit would allow, and look at
// memory through pipes that they open.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEPTET_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SEPTET_SANITIZED 1
#endif
#endif

namespace septet {
namespace io_internal {
namespace {

// Of a request with very many names.
constexpr size_t kMaxRequestBytes = size_t{256} << 20;

// Elements are read in blocks of at most this size, so that the other side has
// something to do; chunks that are larger are kept decompressed.
constexpr int64_t kBlockBytes = int64_t{4} << 20;
constexpr size_t kChunkCacheBytes = size_t{256} << 20;
// A prime number of hash slots, some hundred times the chunks in the cache.
constexpr size_t kChunkCacheSlots = 10007;

// What must be said when there is no memory left to say it with.
std::string* out_of_memory_frame = nullptr;

void WriteAll(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(1, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    // Nobody listens any more.
    if (count < 0) _exit(1);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

[[noreturn]] void OutOfMemory() {
  WriteAll(*out_of_memory_frame);
  _exit(0);
}

void Send(FrameKind kind, absl::string_view payload) {
  WriteAll(MakeFrame(kind, payload));
}

absl::StatusOr<std::string> ReadRequest() {
  std::string request;
  std::string piece(64 << 10, '\0');
  while (true) {
    const ssize_t count = read(0, &piece[0], piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return absl::ErrnoToStatus(errno, "reading the request");
    if (count == 0) return request;
    request.append(piece, 0, static_cast<size_t>(count));
    if (request.size() > kMaxRequestBytes) {
      return absl::InvalidArgumentError("the request is too long");
    }
  }
}

void SetLimit(int resource, int64_t value) {
  rlimit limit;
  if (getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0)
    return;
  const auto wanted = static_cast<rlim_t>(value);
  // SIGXCPU comes at the soft limit, SIGKILL at the hard one.
  limit.rlim_cur = std::min(limit.rlim_max, wanted);
  limit.rlim_max =
      std::min(limit.rlim_max, resource == RLIMIT_CPU ? wanted + 1 : wanted);
  setrlimit(static_cast<__rlimit_resource_t>(resource), &limit);
}

// The identifier of something of HDF5, closed at the end of its scope.
class Id {
 public:
  Id(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Id(const Id&) = delete;
  Id& operator=(const Id&) = delete;
  ~Id() {
    if (id_ >= 0) close_(id_);
  }
  hid_t get() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

// The innermost thing that HDF5 says about its last error.
std::string LastProblem() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* data) -> herr_t {
        if (n == 0 && error->desc != nullptr) {
          *static_cast<std::string*>(data) = error->desc;
        }
        return 0;
      },
      &text);
  H5Eclear2(H5E_DEFAULT);
  return text.empty() ? "no reason given" : text.substr(0, 500);
}

absl::Status Damaged(absl::string_view what) {
  const std::string problem = LastProblem();
  if (problem.find("memory allocation failed") != std::string::npos ||
      problem.find("resource unavailable") != std::string::npos) {
    return absl::ResourceExhaustedError(
        absl::StrCat(what, ": the HDF5 reader has no memory: ", problem));
  }
  return absl::DataLossError(
      absl::StrCat(what, ": damaged: HDF5 says: ", problem));
}

absl::Status DatasetError(absl::string_view name) {
  return Damaged(absl::StrCat("dataset ", QuoteName(name)));
}

// HDF5 has no name for IEEE binary16.
hid_t HalfType() {
  static const hid_t type = [] {
    const hid_t half = H5Tcopy(H5T_IEEE_F32LE);
    // Sign, exponent and mantissa: place and width; then the rest shrinks.
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_ebias(half, 15);
    H5Tset_size(half, 2);
    return half;
  }();
  return type;
}

bool IsHalf(hid_t type) {
  size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;
  return H5Tget_size(type) == 2 &&
         H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa,
                       &mantissa_bits) >= 0 &&
         sign == 15 && exponent == 10 && exponent_bits == 5 && mantissa == 0 &&
         mantissa_bits == 10 && H5Tget_ebias(type) == 15;
}

// Whether the type is h5py's for bool: {FALSE = 0, TRUE = 1} in a byte.
bool IsBool(hid_t type) {
  if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return false;
  for (unsigned i = 0; i < 2; ++i) {
    char* const name = H5Tget_member_name(type, i);
    const bool named =
        name != nullptr && std::strcmp(name, i == 0 ? "FALSE" : "TRUE") == 0;
    H5free_memory(name);
    unsigned char value = 2;
    if (!named || H5Tget_member_value(type, i, &value) < 0 || value != i) {
      return false;
    }
  }
  return true;
}

// How elements of a file become those of a tensor.
struct Conversion {
  std::string type;            // the file's
  std::optional<DType> dtype;  // the tensor's
  hid_t memory = -1;           // HDF5's type for it, which is not ours to close
};

hid_t NativeType(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return H5T_NATIVE_FLOAT;
    case DType::kF64:
      return H5T_NATIVE_DOUBLE;
    case DType::kF16:
      return HalfType();
    case DType::kI32:
      return H5T_NATIVE_INT32;
    case DType::kI64:
      return H5T_NATIVE_INT64;
    case DType::kU16:
      return H5T_NATIVE_UINT16;
    default:
      return H5T_NATIVE_UINT8;
  }
}

Conversion ConvertNumber(std::string type) {
  // The smallest of our types that holds all values.
  static const auto* const kTensorTypes = new std::map<std::string, DType>{
      {"f16", DType::kF16}, {"f32", DType::kF32}, {"f64", DType::kF64},
      {"i8", DType::kI32},  {"i16", DType::kI32}, {"i32", DType::kI32},
      {"i64", DType::kI64}, {"u8", DType::kU8},   {"u16", DType::kU16},
      {"u32", DType::kI64},
  };
  Conversion conversion;
  const auto found = kTensorTypes->find(type);
  if (found != kTensorTypes->end()) {
    conversion.dtype = found->second;
    conversion.memory = NativeType(found->second);
  }
  conversion.type = std::move(type);
  return conversion;
}

Conversion Convert(hid_t type) {
  const size_t bits = 8 * H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_INTEGER: {
      // Integers with bits to spare would need care.
      const bool plain = H5Tget_precision(type) == bits && bits <= 64;
      return ConvertNumber(
          absl::StrCat(H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "i", bits,
                       plain ? "" : " with padding"));
    }
    case H5T_FLOAT: {
      const bool plain = bits == 16 ? IsHalf(type)
                                    : H5Tequal(type, H5T_IEEE_F32LE) > 0 ||
                                          H5Tequal(type, H5T_IEEE_F32BE) > 0 ||
                                          H5Tequal(type, H5T_IEEE_F64LE) > 0 ||
                                          H5Tequal(type, H5T_IEEE_F64BE) > 0;
      return ConvertNumber(
          absl::StrCat("f", bits, plain ? "" : " not of IEEE"));
    }
    case H5T_ENUM: {
      Conversion conversion;
      conversion.type = "enum";
      if (IsBool(type)) {
        conversion.type = "bool";
        conversion.dtype = DType::kBool;
        // The file's own type: a conversion of the values is neither needed nor
        // wanted, the bytes are looked at.
        conversion.memory = type;
      }
      return conversion;
    }
    case H5T_STRING:
      return {"string", std::nullopt, -1};
    case H5T_COMPOUND:
      return {"compound", std::nullopt, -1};
    case H5T_REFERENCE:
      return {"reference", std::nullopt, -1};
    case H5T_VLEN:
      return {"list of varying length", std::nullopt, -1};
    case H5T_ARRAY:
      return {"array", std::nullopt, -1};
    case H5T_OPAQUE:
      return {"opaque", std::nullopt, -1};
    case H5T_BITFIELD:
      return {"bitfield", std::nullopt, -1};
    case H5T_TIME:
      return {"time", std::nullopt, -1};
    default:
      return {"unknown", std::nullopt, -1};
  }
}

// A filter of the dataset that HDF5 does not have itself, such as h5py's lzf:
// "filter 32000 'lzf'"; "" if there is none.
absl::StatusOr<std::string> MissingFilter(hid_t creation,
                                          absl::string_view name) {
  const int count = H5Pget_nfilters(creation);
  if (count < 0) return DatasetError(name);
  for (int i = 0; i < count; ++i) {
    unsigned flags, config;
    size_t values = 0;
    char title[64] = "";
    const H5Z_filter_t filter =
        H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &values,
                       nullptr, sizeof(title) - 1, title, &config);
    if (filter < 0) return DatasetError(name);
    const htri_t available = H5Zfilter_avail(filter);
    H5Eclear2(H5E_DEFAULT);
    if (available > 0) continue;
    return absl::StrCat("filter ", filter, " ", QuoteName(title));
  }
  return std::string();
}

// The extents of a dataspace.
absl::StatusOr<std::vector<int64_t>> Extents(hid_t space,
                                             absl::string_view name) {
  hsize_t dims[H5S_MAX_RANK];
  const int rank = H5Sget_simple_extent_dims(space, dims, nullptr);
  if (rank < 0 || rank > kMaxHdf5Rank) return DatasetError(name);
  std::vector<int64_t> shape;
  for (int i = 0; i < rank; ++i) {
    if (dims[i] > static_cast<hsize_t>(INT64_MAX)) {
      return absl::DataLossError(absl::StrCat("dataset ", QuoteName(name),
                                              ": axis ", i, " has ", dims[i],
                                              " elements, more than 63 bits"));
    }
    shape.push_back(static_cast<int64_t>(dims[i]));
  }
  return shape;
}

class File {
 public:
  explicit File(hid_t file) : file_(file) {}

  absl::Status Answer(const RequestFrame& request) {
    SEPTET_RETURN_IF_ERROR(FindObjects(request.max_datasets));
    for (const std::string& name : names_) {
      SEPTET_RETURN_IF_ERROR(List(name));
    }
    if (request.tensors) {
      SEPTET_RETURN_IF_ERROR(SendTensors(request));
    }
    if (request.texts) SendTexts(request.max_datasets);
    return absl::OkStatus();
  }

 private:
  struct Listed {
    DatasetFrame frame;
    bool elsewhere = false;  // the data lie in another file
  };

  static herr_t OnObject(void* self, const char* name, bool is_dataset) {
    auto* const file = static_cast<File*>(self);
    const absl::string_view path = name;
    if (is_dataset &&
        static_cast<int64_t>(file->names_.size()) == file->max_datasets_) {
      file->found_ = absl::ResourceExhaustedError(
          absl::StrCat("has more than ", file->max_datasets_,
                       " datasets (Hdf5Options::max_datasets)"));
      return -1;
    }
    if (path.size() > kMaxHdf5NameBytes) {
      file->found_ = absl::DataLossError(
          absl::StrCat("a name has ", path.size(), " bytes, at most ",
                       kMaxHdf5NameBytes, " are allowed: ", QuoteName(path)));
      return -1;
    }
    if (is_dataset) file->names_.emplace_back(path);
    file->objects_.emplace_back(path);
    return 0;
  }

  // Every object once, by hard links alone.
  absl::Status FindObjects(int64_t max_datasets) {
    max_datasets_ = max_datasets;
#if H5_VERSION_GE(1, 12, 0)
    const auto visit = [](hid_t, const char* name, const H5O_info2_t* info,
                          void* self) -> herr_t {
      return OnObject(self, name, info->type == H5O_TYPE_DATASET);
    };
    const herr_t result = H5Ovisit3(file_, H5_INDEX_NAME, H5_ITER_INC, visit,
                                    this, H5O_INFO_BASIC);
#else
    const auto visit = [](hid_t, const char* name, const H5O_info_t* info,
                          void* self) -> herr_t {
      return OnObject(self, name, info->type == H5O_TYPE_DATASET);
    };
    const herr_t result = H5Ovisit2(file_, H5_INDEX_NAME, H5_ITER_INC, visit,
                                    this, H5O_INFO_BASIC);
#endif
    if (!found_.ok()) return found_;
    return result < 0 ? Damaged("the groups") : absl::OkStatus();
  }

  absl::Status List(const std::string& name) {
    const Id dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
    if (!dataset.ok()) return DatasetError(name);
    const Id type(H5Dget_type(dataset.get()), H5Tclose);
    const Id space(H5Dget_space(dataset.get()), H5Sclose);
    const Id creation(H5Dget_create_plist(dataset.get()), H5Pclose);
    if (!type.ok() || !space.ok() || !creation.ok()) return DatasetError(name);
    Listed listed;
    listed.frame.name = name;
    const Conversion conversion = Convert(type.get());
    listed.frame.type = conversion.type;
    SEPTET_ASSIGN_OR_RETURN(listed.frame.shape, Extents(space.get(), name));
    listed.elsewhere = H5Pget_layout(creation.get()) == H5D_VIRTUAL ||
                       H5Pget_external_count(creation.get()) > 0;
    if (listed.elsewhere) listed.frame.type += " in another file";
    SEPTET_ASSIGN_OR_RETURN(const std::string filter,
                            MissingFilter(creation.get(), name));
    if (H5Sget_simple_extent_type(space.get()) == H5S_NULL) {
      listed.frame.type += " without a value";
    } else if (!filter.empty()) {
      listed.frame.type +=
          absl::StrCat(" with ", filter, ", which is not there");
    } else if (!listed.elsewhere && listed.frame.shape.size() <= kMaxRank) {
      listed.frame.dtype = conversion.dtype;
    }
    Send(FrameKind::kDataset, EncodeDataset(listed.frame));
    listed_.emplace(name, std::move(listed));
    return absl::OkStatus();
  }

  absl::Status SendTensors(const RequestFrame& request) {
    int64_t bytes_left = request.max_bytes;
    if (request.rows.empty()) {
      for (const auto& [name, listed] : listed_) {
        if (!listed.frame.dtype.has_value()) continue;
        SEPTET_RETURN_IF_ERROR(
            SendTensor(listed.frame, {name, 0, -1}, request, &bytes_left));
      }
      return absl::OkStatus();
    }
    for (const RowsFrame& rows : request.rows) {
      const auto found = listed_.find(rows.name);
      if (found == listed_.end()) {
        const std::string nearest = NearestName(rows.name, names_);
        return absl::NotFoundError(absl::StrCat(
            "no dataset ", QuoteName(rows.name), " among ", names_.size(),
            nearest.empty()
                ? ""
                : absl::StrCat("; the nearest name is ", QuoteName(nearest))));
      }
      const DatasetFrame& frame = found->second.frame;
      if (!frame.dtype.has_value()) {
        return absl::UnimplementedError(absl::StrCat(
            "dataset ", QuoteName(rows.name), ": no tensor holds ", frame.type,
            frame.shape.size() > kMaxRank
                ? absl::StrCat(" of ", frame.shape.size(), " axes")
                : ""));
      }
      SEPTET_RETURN_IF_ERROR(SendTensor(frame, rows, request, &bytes_left));
    }
    return absl::OkStatus();
  }

  absl::Status SendTensor(const DatasetFrame& frame, const RowsFrame& rows,
                          const RequestFrame& request, int64_t* bytes_left) {
    const std::string& name = frame.name;
    DatasetFrame tensor = frame;
    const bool scalar = frame.shape.empty();
    if (scalar) {
      if (rows.begin != 0 || rows.count >= 0) {
        return absl::InvalidArgumentError(absl::StrCat(
            "dataset ", QuoteName(name), ": has no axis, and so no rows"));
      }
    } else {
      const int64_t there = frame.shape[0];
      const int64_t count = rows.count < 0
                                ? std::max<int64_t>(there - rows.begin, 0)
                                : rows.count;
      if (rows.begin < 0 || rows.begin > there || count > there - rows.begin) {
        return absl::InvalidArgumentError(absl::StrCat(
            "dataset ", QuoteName(name), ": ", count, " rows from ", rows.begin,
            " on were asked for, there are ", there));
      }
      tensor.shape[0] = count;
    }
    int64_t row_bytes = static_cast<int64_t>(DTypeSize(*frame.dtype));
    bool fits = true;
    bool empty = false;
    int64_t bytes = row_bytes;
    for (size_t axis = 0; axis < tensor.shape.size(); ++axis) {
      empty |= tensor.shape[axis] == 0;
      fits &= !__builtin_mul_overflow(
          bytes, std::max<int64_t>(tensor.shape[axis], 1), &bytes);
      if (axis > 0) {
        fits &= !__builtin_mul_overflow(
            row_bytes, std::max<int64_t>(tensor.shape[axis], 1), &row_bytes);
      }
    }
    if (!fits || (!empty && bytes > *bytes_left)) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "dataset ", QuoteName(name), ": ",
          fits ? absl::StrCat(bytes) : std::string("more than 2^63"),
          " bytes are asked for, Hdf5Options::max_bytes allows ",
          request.max_bytes, " in all"));
    }
    Send(FrameKind::kTensor, EncodeDataset(tensor));
    if (empty) return absl::OkStatus();
    *bytes_left -= bytes;
    return SendRows(name, scalar ? nullptr : &tensor.shape, rows.begin,
                    row_bytes);
  }

  // The elements of `shape`, from a row on; of a scalar without one.
  absl::Status SendRows(const std::string& name,
                        const std::vector<int64_t>* shape, int64_t begin,
                        int64_t row_bytes) {
    const Id access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
    // 1: chunks that have been read whole are the first to go.
    H5Pset_chunk_cache(access.get(), kChunkCacheSlots, kChunkCacheBytes, 1);
    const Id dataset(H5Dopen2(file_, name.c_str(), access.get()), H5Dclose);
    if (!dataset.ok()) return DatasetError(name);
    const Id type(H5Dget_type(dataset.get()), H5Tclose);
    const Id space(H5Dget_space(dataset.get()), H5Sclose);
    if (!type.ok() || !space.ok()) return DatasetError(name);
    const Conversion conversion = Convert(type.get());
    if (shape == nullptr) {
      std::string element(static_cast<size_t>(row_bytes), '\0');
      SEPTET_RETURN_IF_ERROR(SendBlock(name, dataset.get(), conversion, H5S_ALL,
                                       H5S_ALL, &element));
      return absl::OkStatus();
    }
    // Blocks go along the first axis of which some steps fit into one; along
    // those before it they go step by step.
    const std::vector<int64_t>& extents = *shape;
    size_t axis = 0;
    int64_t step_bytes = row_bytes;
    while (step_bytes > kBlockBytes && axis + 1 < extents.size()) {
      ++axis;
      step_bytes /= extents[axis];
    }
    const int64_t block_steps =
        BlockSteps(dataset.get(), axis, extents[axis], step_bytes);
    std::vector<hsize_t> start(extents.size(), 0);
    std::vector<hsize_t> count(extents.begin(), extents.end());
    std::fill(count.begin(), count.begin() + axis, 1);
    start[0] = static_cast<hsize_t>(begin);
    const hsize_t first = axis == 0 ? start[0] : 0;
    std::string block;
    while (true) {
      for (int64_t done = 0; done < extents[axis];) {
        const int64_t steps = std::min(block_steps, extents[axis] - done);
        start[axis] = first + static_cast<hsize_t>(done);
        count[axis] = static_cast<hsize_t>(steps);
        if (H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(),
                                nullptr, count.data(), nullptr) < 0) {
          return DatasetError(name);
        }
        const Id memory(H5Screate_simple(static_cast<int>(count.size()),
                                         count.data(), nullptr),
                        H5Sclose);
        block.resize(static_cast<size_t>(steps * step_bytes));
        SEPTET_RETURN_IF_ERROR(SendBlock(name, dataset.get(), conversion,
                                         memory.get(), space.get(), &block));
        done += steps;
      }
      // The next step along the axes before, the last of them first.
      size_t next = axis;
      while (next > 0) {
        --next;
        const hsize_t low = next == 0 ? static_cast<hsize_t>(begin) : 0;
        if (++start[next] < low + static_cast<hsize_t>(extents[next])) break;
        start[next] = low;
        if (next == 0) return absl::OkStatus();
      }
      if (axis == 0) return absl::OkStatus();
    }
  }

  // Reads what is selected into `block`, of just that size, and sends it.
  static absl::Status SendBlock(const std::string& name, hid_t dataset,
                                const Conversion& conversion, hid_t memory,
                                hid_t space, std::string* block) {
    if (H5Dread(dataset, conversion.memory, memory, space, H5P_DEFAULT,
                &(*block)[0]) < 0) {
      return DatasetError(name);
    }
    if (conversion.dtype == DType::kBool) {
      for (const char c : *block) {
        const auto value = static_cast<unsigned char>(c);
        if (value > 1) {
          return absl::DataLossError(absl::StrCat("dataset ", QuoteName(name),
                                                  ": a bool is ", value,
                                                  ", expected 0 or 1"));
        }
      }
    }
    for (size_t place = 0; place < block->size(); place += kMaxFrameBytes) {
      Send(FrameKind::kData,
           absl::string_view(*block).substr(place, kMaxFrameBytes));
    }
    return absl::OkStatus();
  }

  // So many steps along `axis` at a time that chunks are read whole, as far as
  // that goes.
  static int64_t BlockSteps(hid_t dataset, size_t axis, int64_t extent,
                            int64_t step_bytes) {
    const int64_t few = std::max<int64_t>(kBlockBytes / step_bytes, 1);
    const Id creation(H5Dget_create_plist(dataset), H5Pclose);
    hsize_t chunk[H5S_MAX_RANK] = {};
    if (H5Pget_layout(creation.get()) == H5D_CHUNKED &&
        H5Pget_chunk(creation.get(), H5S_MAX_RANK, chunk) > 0 &&
        chunk[axis] > 0 && chunk[axis] < static_cast<hsize_t>(few)) {
      const auto steps = static_cast<int64_t>(chunk[axis]);
      return std::min(extent, few / steps * steps);
    }
    return std::min(extent, few);
  }

  // Texts of attributes and datasets; what cannot be read is left out.
  void SendTexts(int64_t most) {
    int64_t sent = 0;
    const auto send = [&](const std::string& name,
                          const std::optional<std::string>& text) {
      if (!text.has_value() || text->size() > kMaxHdf5TextBytes ||
          sent == most) {
        return;
      }
      ++sent;
      Send(FrameKind::kText, EncodeText(name, *text));
    };
    for (const auto& [name, listed] : listed_) {
      if (listed.frame.type != "string") continue;
      const Id dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
      if (!dataset.ok()) continue;
      const Id type(H5Dget_type(dataset.get()), H5Tclose);
      const Id space(H5Dget_space(dataset.get()), H5Sclose);
      const hid_t id = dataset.get();
      send(name, Single(type.get(), space.get(), [id](hid_t memory, void* to) {
             return H5Dread(id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, to);
           }));
    }
    for (const std::string& object : objects_) {
      const Id owner(H5Oopen(file_, object.c_str(), H5P_DEFAULT), H5Oclose);
      if (!owner.ok()) continue;
      std::vector<std::string> attributes;
      H5Aiterate2(
          owner.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
          [](hid_t, const char* name, const H5A_info_t*, void* to) -> herr_t {
            auto* const names = static_cast<std::vector<std::string>*>(to);
            names->emplace_back(name);
            return names->size() < 10'000 ? 0 : 1;
          },
          &attributes);
      for (const std::string& name : attributes) {
        if (name.size() > kMaxHdf5NameBytes) continue;
        const Id attribute(H5Aopen(owner.get(), name.c_str(), H5P_DEFAULT),
                           H5Aclose);
        if (!attribute.ok()) continue;
        const Id type(H5Aget_type(attribute.get()), H5Tclose);
        const Id space(H5Aget_space(attribute.get()), H5Sclose);
        const hid_t id = attribute.get();
        // "." is the file's root.
        send(absl::StrCat(object == "." ? "" : object, "@", name),
             Single(type.get(), space.get(), [id](hid_t memory, void* to) {
               return H5Aread(id, memory, to);
             }));
      }
    }
    H5Eclear2(H5E_DEFAULT);
  }

  // The only element as text, if there is one and it can be.
  template <typename Read>
  static std::optional<std::string> Single(hid_t type, hid_t space,
                                           const Read& read) {
    if (type < 0 || space < 0 || H5Sget_simple_extent_npoints(space) != 1) {
      return std::nullopt;
    }
    if (H5Tget_class(type) == H5T_STRING) {
      if (H5Tis_variable_str(type) > 0) {
        const Id memory(H5Tcopy(type), H5Tclose);
        char* text = nullptr;
        if (read(memory.get(), &text) < 0 || text == nullptr) {
          return std::nullopt;
        }
        std::string result(text, strnlen(text, kMaxHdf5TextBytes + 1));
        H5Dvlen_reclaim(memory.get(), space, H5P_DEFAULT, &text);
        return result;
      }
      const size_t size = H5Tget_size(type);
      if (size == 0 || size > kMaxHdf5TextBytes) return std::nullopt;
      std::string text(size, '\0');
      if (read(type, &text[0]) < 0) return std::nullopt;
      // Padded with zeros or spaces, as the type says.
      text.resize(strnlen(text.c_str(), size));
      if (H5Tget_strpad(type) == H5T_STR_SPACEPAD) {
        text.resize(text.find_last_not_of(' ') + 1);
      }
      return text;
    }
    const Conversion conversion = Convert(type);
    if (!conversion.dtype.has_value()) return std::nullopt;
    if (*conversion.dtype == DType::kBool) {
      unsigned char value = 2;
      if (read(conversion.memory, &value) < 0 || value > 1) {
        return std::nullopt;
      }
      return value == 1 ? "true" : "false";
    }
    if (IsFloating(*conversion.dtype)) {
      char buffer[32];  // the longest is -2.2250738585072014e-308
      std::to_chars_result end;
      // As float, so that 0.1 of 32 bits is 0.1.
      if (*conversion.dtype == DType::kF64) {
        double value;
        if (read(H5T_NATIVE_DOUBLE, &value) < 0) return std::nullopt;
        end = std::to_chars(buffer, buffer + sizeof(buffer), value);
      } else {
        float value;
        if (read(H5T_NATIVE_FLOAT, &value) < 0) return std::nullopt;
        end = std::to_chars(buffer, buffer + sizeof(buffer), value);
      }
      return std::string(buffer, end.ptr);
    }
    int64_t value;
    if (read(H5T_NATIVE_INT64, &value) < 0) return std::nullopt;
    return absl::StrCat(value);
  }

  hid_t file_;
  int64_t max_datasets_ = 0;
  absl::Status found_;
  std::vector<std::string> names_;    // of datasets
  std::vector<std::string> objects_;  // of all
  std::map<std::string, Listed> listed_;
};

absl::Status Run(const char* path) {
  SEPTET_ASSIGN_OR_RETURN(const std::string bytes, ReadRequest());
  SEPTET_ASSIGN_OR_RETURN(const RequestFrame request, DecodeRequest(bytes));
  // Some file systems have no locks; the file is only read.
  setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  // No file makes us load code.
  H5PLset_loading_state(0);
  const Id file(H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (!file.ok()) return Damaged("cannot be opened");
#ifndef SEPTET_SANITIZED
  // Nor does it lead to another file.
  SetLimit(RLIMIT_NOFILE, 0);
#endif
  return File(file.get()).Answer(request);
}

int Main(int argc, char** argv) {
  int64_t memory_bytes, cpu_seconds;
  if (argc != 4 || !absl::SimpleAtoi(argv[2], &memory_bytes) ||
      !absl::SimpleAtoi(argv[3], &cpu_seconds) || memory_bytes < 1 ||
      cpu_seconds < 1) {
    constexpr absl::string_view kUsage =
        "hdf5_reader reads HDF5 files for core/io/hdf5.h; it is not for use by "
        "hand\n";
    (void)!write(2, kUsage.data(), kUsage.size());
    return 2;
  }
  // Whoever asked is gone: so are we.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  out_of_memory_frame = new std::string(MakeFrame(
      FrameKind::kError,
      EncodeError(absl::ResourceExhaustedError(absl::StrCat(
          "the HDF5 reader has no memory: Hdf5Options::reader_memory_bytes "
          "allows ",
          memory_bytes)))));
  std::set_new_handler(OutOfMemory);
  SetLimit(RLIMIT_CORE, 0);
  SetLimit(RLIMIT_FSIZE, 0);
  SetLimit(RLIMIT_CPU, cpu_seconds);
#ifndef SEPTET_SANITIZED
  SetLimit(RLIMIT_AS, memory_bytes);
#endif
  const absl::Status status = Run(argv[1]);
  if (status.ok()) {
    Send(FrameKind::kEnd, "");
  } else {
    Send(FrameKind::kError, EncodeError(status));
  }
  // Without HDF5's own tidying up, in which it has crashed.
  _exit(0);
}

}  // namespace
}  // namespace io_internal
}  // namespace septet

int main(int argc, char** argv) {
  return septet::io_internal::Main(argc, argv);
}
