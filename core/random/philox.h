// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10: 128 random bits as a function of a key and a counter.
//
// J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011. The same bits as philox4x32 of their
// library Random123, of cuRAND and of PyTorch for equal key and counter.
//
// Ten rounds of two 32 x 32 -> 64 bit products and a few exclusive ors. There
// is no state: any element can be had by itself, on any thread or device.
// Whole arrays, some eight times as fast: fill.h. Streams by name, and numbers
// made from the words: stream.h.
//
//   const PhiloxBlock words = Philox4x32({seed, stream}, {i, 0, 0, 0});
//
// Not for cryptography.
#ifndef SEPTET_CORE_RANDOM_PHILOX_H_
#define SEPTET_CORE_RANDOM_PHILOX_H_

#include <array>
#include <cstdint>

namespace septet {

using PhiloxKey = std::array<uint32_t, 2>;
using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxBlock = std::array<uint32_t, 4>;

// The constants of the paper (section 3.3): the multipliers, and the Weyl
// sequence of the key, from the golden ratio and from sqrt(3) - 1.
inline constexpr uint32_t kPhiloxMultiplier0 = 0xd2511f53u;
inline constexpr uint32_t kPhiloxMultiplier1 = 0xcd9e8d57u;
inline constexpr uint32_t kPhiloxWeyl0 = 0x9e3779b9u;
inline constexpr uint32_t kPhiloxWeyl1 = 0xbb67ae85u;
inline constexpr int kPhiloxRounds = 10;

// The four words of `counter` under `key`.
constexpr PhiloxBlock Philox4x32(PhiloxKey key, PhiloxCounter counter) {
  uint32_t key0 = key[0], key1 = key[1];
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t p0 = uint64_t{kPhiloxMultiplier0} * c0;
    const uint64_t p1 = uint64_t{kPhiloxMultiplier1} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(p0);
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
  return {c0, c1, c2, c3};
}

// The four words of element `i` of the stream that `key` is: the counter is i
// in its two low words, low word first.
constexpr PhiloxBlock PhiloxElement(PhiloxKey key, uint64_t i) {
  return Philox4x32(
      key, {static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32), 0, 0});
}

}  // namespace septet

#endif  // SEPTET_CORE_RANDOM_PHILOX_H_
