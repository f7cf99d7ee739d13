// SPDX-License-Identifier: Apache-2.0
// Arrays of random words and numbers, with vector instructions.
//
// Element begin + i of the stream `key` goes to place i of the array, with the
// same bits as from the functions of variates.h, whatever the instruction set,
// so that an array may be cut and filled in any order. Elements are counted
// modulo 2^64. Serial; distributions.h checks its arguments and uses the
// threads of a pool.
//
//   std::vector<float> x(n);
//   PhiloxFillNormal(key, 0, 0.0, 1.0, absl::MakeSpan(x));
//
// One block of ten rounds an element, although uniform numbers use only one of
// its four words: value i is a function of i alone, which is worth more here
// than the other three. Rates: fill_benchmark.
#ifndef SEPTET_CORE_RANDOM_FILL_H_
#define SEPTET_CORE_RANDOM_FILL_H_

#include <cstdint>

#include "absl/types/span.h"
#include "septet/core/random/philox.h"

namespace septet {

// words[4 i + j] = PhiloxElement(key, begin + i)[j]. Aborts unless the size of
// `words` is a multiple of 4.
void PhiloxFillWords(PhiloxKey key, uint64_t begin, absl::Span<uint32_t> words);

// out[i] = ScaleUnit(lo, hi, UnitFromWord(w0)) of element begin + i; for float
// computed in double and rounded at the end. In [lo, hi), or equal to hi
// through rounding. lo <= hi, hi - lo finite (not checked).
void PhiloxFillUniform(PhiloxKey key, uint64_t begin, double lo, double hi,
                       absl::Span<float> out);
void PhiloxFillUniform(PhiloxKey key, uint64_t begin, double lo, double hi,
                       absl::Span<double> out);

// out[i] = ScaleNormal(mean, std, NormalFromWords(w0, w1)) of element
// begin + i; for float computed in double and rounded at the end.
void PhiloxFillNormal(PhiloxKey key, uint64_t begin, double mean, double std,
                      absl::Span<float> out);
void PhiloxFillNormal(PhiloxKey key, uint64_t begin, double mean, double std,
                      absl::Span<double> out);

}  // namespace septet

#endif  // SEPTET_CORE_RANDOM_FILL_H_
