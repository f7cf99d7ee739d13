// SPDX-License-Identifier: Apache-2.0
#include "septet/core/random/stream.h"

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace septet {
namespace {

// The names of this process by their hashes. Never destroyed: streams, also
// those of static duration, refer to the names.
class Names {
 public:
  static Names& Get() {
    static Names* const names = new Names;
    return *names;
  }

  // The name that has `hash`: `name` if none had it before.
  absl::string_view Register(uint32_t hash, absl::string_view name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return names_.try_emplace(hash, name).first->second;
  }

 private:
  std::mutex mutex_;
  // Its strings stay where they are when it grows.
  std::unordered_map<uint32_t, std::string> names_;
};

}  // namespace

absl::StatusOr<RandomStream> RandomStream::Create(uint64_t seed,
                                                  absl::string_view name) {
  if (name.empty()) {
    return absl::InvalidArgumentError("the name of a random stream is empty");
  }
  const uint32_t hash = Fnv1a32(name);
  const absl::string_view registered = Names::Get().Register(hash, name);
  if (registered != name) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "random streams '%s' and '%s' have the same hash %08x and would be the "
        "same numbers: rename one of them",
        name, registered, hash));
  }
  return RandomStream({static_cast<uint32_t>(seed), hash}, registered);
}

}  // namespace septet
