// SPDX-License-Identifier: Apache-2.0
// Dropout (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, JMLR 15,
// 2014), inverted: what is kept is scaled by 1 / (1 - p), so that evaluation
// does nothing.
//
//   const PhiloxKey key = {seed, step};      // another for every call
//   Var y = training ? Dropout(x, 0.1, key) : x;
//
// Element i of x, in row-major order, is kept just where, with e = offset + i,
//
//   UnitFromWord(word e mod 4 of PhiloxElement(key, e / 4)) >= p
//
// holds: a function of key and element alone, the same on every machine, with
// any number of threads, and in any cut of a batch (offset is where x begins).
//
// No mask is kept: the gradient draws it again. Cost: a quarter of a Philox
// block an element, forward and backward. (PyTorch keeps a mask of a byte an
// element, and other bits.)
#ifndef SEPTET_CORE_OPS_DROPOUT_H_
#define SEPTET_CORE_OPS_DROPOUT_H_

#include <cstdint>

#include "septet/core/autograd/var.h"
#include "septet/core/random/philox.h"

namespace septet {

// x: f32 or f64, any shape. p in [0, 1]: 0 gives x itself, 1 zeros. Dropped
// elements are 0 whatever x is. Elements are counted modulo 2^64. Linear in x:
// differentiable any number of times.
// Errors: InvalidArgument naming p or x.
Var Dropout(const Var& x, double p, PhiloxKey key, uint64_t offset = 0);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_DROPOUT_H_
