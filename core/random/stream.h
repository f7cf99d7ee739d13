// SPDX-License-Identifier: Apache-2.0
// Named streams of random numbers.
//
//   SEPTET_ASSIGN_OR_RETURN(RandomStream noise,
//                           RandomStream::Create(seed, "dropout"));
//   const double u = noise.Unit(i);
//
// A stream is a function from element indices to four words: Philox4x32-10
// with key (low word of the seed, FNV-1a-32 of the name) and the index as
// counter. Element i depends on seed, name and i, on nothing else: not on the
// order of calls, the number of threads, or on which other streams there are,
// so that a new consumer shifts no numbers of the old ones. Give each purpose
// a name of its own ("init/layer3/wq", "dropout", "shuffle"), and number what
// happens within it by the element.
//
// Names are few, written in the program or made of names of parameters; what
// comes by the thousand (networks, episodes, rows) belongs into the element
// index: with 1,000 names two of them collide with a probability of 1e-4, with
// 77,000 of one half. Two names of one program with the same hash would be the
// same numbers under two names; creating the second one is an error.
//
// A stream is a small value; copies are cheap, all member functions are const
// and may be called from any thread.
#ifndef SEPTET_CORE_RANDOM_STREAM_H_
#define SEPTET_CORE_RANDOM_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"

namespace septet {

// The FNV-1a hash of the bytes of `text`, 32 bits.
constexpr uint32_t Fnv1a32(absl::string_view text) {
  uint32_t hash = 0x811c9dc5u;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193u;
  }
  return hash;
}

class RandomStream {
 public:
  // The stream `name` (in UTF-8, not empty) of `seed`, whose high 32 bits are
  // not used. The name is remembered for the life of the program:
  // InvalidArgument if another name with the same hash has been used before,
  // whatever its seed; the message has both names.
  static absl::StatusOr<RandomStream> Create(uint64_t seed,
                                             absl::string_view name);

  absl::string_view name() const { return name_; }
  PhiloxKey key() const { return key_; }

  // The four words of element i; every function below takes word 0 of it,
  // Normal word 1 as well.
  PhiloxBlock Element(uint64_t i) const { return PhiloxElement(key_, i); }

  // In [0, 1), a multiple of 2^-32.
  double Unit(uint64_t i) const { return UnitFromWord(Element(i)[0]); }

  // In 0..n-1; n >= 1.
  uint32_t Below(uint64_t i, uint32_t n) const {
    return BelowFromWord(Element(i)[0], n);
  }

  // Standard normal.
  double Normal(uint64_t i) const {
    const PhiloxBlock words = Element(i);
    return NormalFromWords(words[0], words[1]);
  }

  // Shuffle number e of n = items.size() items: swaps items j and
  // Below(n e + j, j + 1) for j = n-1, ..., 1. Other e, other elements.
  // InvalidArgument if n >= 2^32. O(n).
  template <typename T>
  absl::Status Shuffle(uint64_t e, absl::Span<T> items) const {
    const uint64_t n = items.size();
    if (n > std::numeric_limits<uint32_t>::max()) {
      return absl::InvalidArgumentError(
          absl::StrCat("shuffle of stream '", name_, "': ", n,
                       " items, want fewer than 2^32"));
    }
    for (uint64_t j = n; j-- > 1;) {
      const uint32_t other = Below(n * e + j, static_cast<uint32_t>(j + 1));
      using std::swap;
      swap(items[j], items[other]);
    }
    return absl::OkStatus();
  }

 private:
  RandomStream(PhiloxKey key, absl::string_view name)
      : key_(key), name_(name) {}

  PhiloxKey key_;
  absl::string_view name_;  // In the registry.
};

}  // namespace septet

#endif  // SEPTET_CORE_RANDOM_STREAM_H_
