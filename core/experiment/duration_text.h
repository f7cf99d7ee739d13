// SPDX-License-Identifier: Apache-2.0
// How long something takes, for people.
//
//   DurationText(7800)   // "2 h 10 min"
#ifndef SEPTET_CORE_EXPERIMENT_DURATION_TEXT_H_
#define SEPTET_CORE_EXPERIMENT_DURATION_TEXT_H_

#include <string>

namespace septet {
namespace experiment_internal {

// "0.4 s", "12 s", "3 min 5 s", "2 h 10 min". NaN is "? s".
std::string DurationText(double seconds);

}  // namespace experiment_internal

// core/train/progress.h has one of that name for clocks.
using experiment_internal::DurationText;

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_DURATION_TEXT_H_
