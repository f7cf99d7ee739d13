// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/sharded_safetensors.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/edit_distance.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/json_string.h"
#include "septet/core/io/quote.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr absl::string_view kTotalSize = "total_size";

// Depth of values that are skipped; the parser itself does not recurse.
constexpr int kMostDepth = 32;

// The name of a file in the directory we are in, and nothing else.
bool IsPlainFileName(absl::string_view name) {
  if (name.empty() || name == "." || name == "..") return false;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '/' || c == '\\' || byte < 0x20 || byte == 0x7f) return false;
  }
  return true;
}

// Takes the index's JSON as it is parsed, so that repeated keys are seen.
class IndexHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  const absl::Status& status() const { return status_; }
  absl::StatusOr<SafetensorsIndex> TakeIndex() {
    if (!has_weight_map_) {
      return absl::DataLossError("index: has no 'weight_map'");
    }
    return std::move(index_);
  }

  bool start_object(size_t) override {
    ++depth_;
    if (depth_ == 1) return true;
    if (depth_ == 2 && key_ == "weight_map") {
      where_ = Where::kWeightMap;
      has_weight_map_ = true;
      return true;
    }
    if (depth_ == 2 && key_ == "metadata") {
      where_ = Where::kMetadata;
      return true;
    }
    return Value("an object");
  }

  bool key(std::string& key) override {
    if (depth_ == 1 || (depth_ == 2 && where_ != Where::kOther)) {
      std::set<std::string>& keys = depth_ == 1 ? keys_ : inner_keys_;
      if (depth_ == 1) inner_keys_.clear();
      if (!keys.insert(key).second) {
        return Fail(
            absl::StrCat("the key ", QuoteName(key), " is there twice"));
      }
      (depth_ == 1 ? key_ : inner_key_) = std::move(key);
    }
    return true;
  }

  bool string(std::string& text) override {
    if (depth_ == 2 && where_ == Where::kMetadata) {
      index_.metadata.emplace(inner_key_, std::move(text));
      return true;
    }
    if (depth_ == 2 && where_ == Where::kWeightMap) {
      if (!IsPlainFileName(text)) {
        return Fail(absl::StrCat(
            "weight_map puts tensor ", QuoteName(inner_key_), " into ",
            QuoteName(text),
            ", expected the name of a file in the same directory"));
      }
      index_.weight_map.emplace(inner_key_, std::move(text));
      return true;
    }
    return Value("a string");
  }

  bool start_array(size_t) override {
    ++depth_;
    return depth_ > 1 ? Value("an array") : Top("an array");
  }
  bool end_array() override { return End(); }
  bool end_object() override { return End(); }
  bool null() override { return Value("null"); }
  bool boolean(bool value) override { return Value(value ? "true" : "false"); }
  bool number_integer(int64_t value) override {
    return Value(absl::StrCat("the number ", value));
  }
  bool number_unsigned(uint64_t value) override {
    return Value(absl::StrCat("the number ", value));
  }
  bool number_float(double, const std::string& text) override {
    return Value(absl::StrCat("the number ", text.substr(0, 100)));
  }
  bool binary(nlohmann::json::binary_t&) override {
    return Value("binary data");
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    return Fail(absl::StrCat("not valid JSON at byte ", position));
  }

 private:
  enum class Where { kOther, kWeightMap, kMetadata };

  bool Fail(absl::string_view message) {
    status_ = absl::DataLossError(absl::StrCat("index: ", message));
    return false;
  }

  bool Top(absl::string_view found) {
    return Fail(absl::StrCat("is ", found, ", expected an object"));
  }

  // A value that nothing is made of; where that is wrong, an error.
  bool Value(absl::string_view found) {
    if (depth_ == 0) return Top(found);
    if (depth_ > kMostDepth) {
      return Fail(absl::StrCat("is nested deeper than ", kMostDepth));
    }
    if (where_ == Where::kWeightMap) {
      return Fail(absl::StrCat("weight_map has ", found, " for tensor ",
                               QuoteName(inner_key_), ", expected a string"));
    }
    if (where_ == Where::kOther &&
        (key_ == "weight_map" || key_ == "metadata") && depth_ <= 2) {
      return Fail(
          absl::StrCat(QuoteName(key_), " is ", found, ", expected an object"));
    }
    return true;
  }

  bool End() {
    --depth_;
    if (depth_ == 1) where_ = Where::kOther;
    return true;
  }

  absl::Status status_;
  SafetensorsIndex index_;
  bool has_weight_map_ = false;
  int depth_ = 0;
  Where where_ = Where::kOther;
  std::set<std::string> keys_, inner_keys_;
  std::string key_, inner_key_;
};

std::string JoinPath(absl::string_view directory, absl::string_view name) {
  if (directory.empty()) return std::string(name);
  return absl::StrCat(directory, directory.back() == '/' ? "" : "/", name);
}

// Up to and with the last '/'; empty if there is none.
absl::string_view DirectoryOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? absl::string_view()
                                          : path.substr(0, slash + 1);
}

}  // namespace

absl::StatusOr<SafetensorsIndex> ParseSafetensorsIndex(absl::string_view json) {
  if (json.size() > kMaxSafetensorsHeaderBytes) {
    return absl::DataLossError(
        absl::StrCat("index: has ", json.size(), " bytes, at most ",
                     kMaxSafetensorsHeaderBytes, " are allowed"));
  }
  // The parser would take it for the end of the text.
  if (const size_t zero = json.find('\0'); zero != absl::string_view::npos) {
    return absl::DataLossError(
        absl::StrCat("index: not valid JSON at byte ", zero + 1));
  }
  IndexHandler handler;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &handler)) {
    return handler.status();
  }
  return handler.TakeIndex();
}

struct ShardedSafetensors::Content {
  std::string path;
  SafetensorsIndex index;
  std::map<std::string, SafetensorsFile> shards;
  std::vector<std::string> names;
};

ShardedSafetensors::ShardedSafetensors(std::shared_ptr<const Content> content)
    : content_(std::move(content)) {}

absl::StatusOr<ShardedSafetensors> ShardedSafetensors::Open(
    absl::string_view index_path) {
  auto content = std::make_shared<Content>();
  content->path = std::string(index_path);
  {
    // Mapped, so that a huge file is refused by its size and not read.
    SEPTET_ASSIGN_OR_RETURN(const MappedFile file,
                            MappedFile::Open(index_path));
    SEPTET_ASSIGN_OR_RETURN(content->index, ParseSafetensorsIndex(file.data()),
                            _ << index_path);
  }
  for (const auto& [name, shard] : content->index.weight_map) {
    content->names.push_back(name);
    if (content->shards.count(shard) > 0) continue;
    SEPTET_ASSIGN_OR_RETURN(
        SafetensorsFile file,
        SafetensorsFile::Open(JoinPath(DirectoryOf(index_path), shard)),
        _ << index_path << ": shard " << QuoteName(shard));
    content->shards.emplace(shard, std::move(file));
  }
  for (const auto& [name, shard] : content->index.weight_map) {
    if (!content->shards.at(shard).Contains(name)) {
      return absl::DataLossError(
          absl::StrCat(index_path, ": tensor ", QuoteName(name),
                       " is not in shard ", QuoteName(shard)));
    }
  }
  for (const auto& [shard, file] : content->shards) {
    for (const std::string& name : file.names()) {
      const auto found = content->index.weight_map.find(name);
      if (found != content->index.weight_map.end() && found->second != shard) {
        return absl::DataLossError(absl::StrCat(
            index_path, ": tensor ", QuoteName(name), " is in shard ",
            QuoteName(shard), ", too, expected it in ",
            QuoteName(found->second), " alone"));
      }
    }
  }
  return ShardedSafetensors(std::move(content));
}

const std::vector<std::string>& ShardedSafetensors::names() const {
  return content_->names;
}

const std::map<std::string, std::string>& ShardedSafetensors::metadata() const {
  return content_->index.metadata;
}

const std::string& ShardedSafetensors::path() const { return content_->path; }

bool ShardedSafetensors::Contains(absl::string_view name) const {
  return content_->index.weight_map.count(std::string(name)) > 0;
}

absl::StatusOr<const SafetensorsFile*> ShardedSafetensors::Find(
    absl::string_view name) const {
  const auto found = content_->index.weight_map.find(std::string(name));
  if (found == content_->index.weight_map.end()) {
    const std::string nearest = NearestName(name, content_->names);
    return absl::NotFoundError(absl::StrCat(
        path(), ": no tensor ", QuoteName(name), " among ",
        content_->names.size(),
        nearest.empty()
            ? ""
            : absl::StrCat("; the nearest name is ", QuoteName(nearest))));
  }
  return &content_->shards.at(found->second);
}

absl::StatusOr<SafetensorsInfo> ShardedSafetensors::Info(
    absl::string_view name) const {
  SEPTET_ASSIGN_OR_RETURN(const SafetensorsFile* shard, Find(name));
  return shard->Info(name);
}

absl::StatusOr<Tensor> ShardedSafetensors::Get(absl::string_view name) const {
  SEPTET_ASSIGN_OR_RETURN(const SafetensorsFile* shard, Find(name));
  return shard->Get(name);
}

absl::Status ShardedSafetensorsOptions::Validate() const {
  if (!IsPlainFileName(stem)) {
    return absl::InvalidArgumentError(
        absl::StrCat("stem is ", QuoteName(stem),
                     ", expected the beginning of a file name"));
  }
  if (max_shard_bytes < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_shard_bytes is ", max_shard_bytes, ", expected at least 1"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> WriteShardedSafetensors(
    absl::string_view directory, const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, std::string>& metadata,
    const ShardedSafetensorsOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  if (metadata.count(std::string(kTotalSize)) > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("metadata key ", QuoteName(kTotalSize),
                     ": the index keeps it for itself"));
  }

  // Handles only: the elements are not copied.
  std::vector<std::map<std::string, Tensor>> shards(1);
  uint64_t shard_bytes = 0, total_bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    // Undefined ones are refused by WriteSafetensors.
    uint64_t bytes = 0;
    if (tensor.defined() &&
        (__builtin_mul_overflow(static_cast<uint64_t>(tensor.num_elements()),
                                DTypeSize(tensor.dtype()), &bytes) ||
         __builtin_add_overflow(total_bytes, bytes, &total_bytes))) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", QuoteName(name), ": ", tensor.DebugString(),
                       " has more bytes than a file can have"));
    }
    if (!shards.back().empty() &&
        shard_bytes + bytes > static_cast<uint64_t>(options.max_shard_bytes)) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    shard_bytes += bytes;
    shards.back().emplace(name, tensor);
  }

  std::string index = "{\n  \"metadata\": {";
  for (const auto& [key, text] : metadata) {
    SEPTET_ASSIGN_OR_RETURN(const std::string key_json, JsonString(key),
                            _ << "metadata key " << QuoteName(key));
    SEPTET_ASSIGN_OR_RETURN(const std::string text_json, JsonString(text),
                            _ << "metadata " << QuoteName(key));
    absl::StrAppend(&index, "\n    ", key_json, ": ", text_json, ",");
  }
  absl::StrAppend(&index, "\n    \"", kTotalSize, "\": ", total_bytes,
                  "\n  },\n  \"weight_map\": {");
  const char* separator = "\n    ";
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string shard = absl::StrFormat(
        "%s-%05d-of-%05d.safetensors", options.stem, i + 1, shards.size());
    SEPTET_RETURN_IF_ERROR(
        WriteSafetensors(JoinPath(directory, shard), shards[i], metadata));
    SEPTET_ASSIGN_OR_RETURN(const std::string shard_json, JsonString(shard));
    for (const auto& [name, tensor] : shards[i]) {
      SEPTET_ASSIGN_OR_RETURN(const std::string name_json, JsonString(name));
      absl::StrAppend(&index, separator, name_json, ": ", shard_json);
      separator = ",\n    ";
    }
  }
  absl::StrAppend(&index, "\n  }\n}\n");
  const std::string path = JoinPath(
      directory, absl::StrCat(options.stem, ".safetensors.index.json"));
  SEPTET_RETURN_IF_ERROR(WriteFileAtomically(path, index));
  return path;
}

}  // namespace septet
