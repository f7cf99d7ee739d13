// SPDX-License-Identifier: Apache-2.0
// Passing errors on.
//
//   SEPTET_RETURN_IF_ERROR(file.Write(bytes));
//   SEPTET_RETURN_IF_ERROR(ReadHeader(path)) << "while loading " << path;
//   SEPTET_ASSIGN_OR_RETURN(Tensor x, file.Get("x"));
//   SEPTET_ASSIGN_OR_RETURN(auto y, Parse(text), _ << "line " << line);
//
// Both return from the enclosing function, whose result must be constructible
// from absl::Status. What is streamed is put in front of the message, with a
// colon between; the code and the payloads stay.
#ifndef SEPTET_CORE_BASE_STATUS_MACROS_H_
#define SEPTET_CORE_BASE_STATUS_MACROS_H_

#include <sstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace septet {

// `status` with `context` and a colon in front of its message; OK stays OK.
inline absl::Status AnnotateStatus(const absl::Status& status,
                                   absl::string_view context) {
  if (status.ok() || context.empty()) return status;
  absl::Status result(status.code(),
                      absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload(
      [&result](absl::string_view url, const absl::Cord& payload) {
        result.SetPayload(url, payload);
      });
  return result;
}

namespace base_internal {

// An error on its way out, with the context streamed to it.
class StatusBuilder {
 public:
  explicit StatusBuilder(absl::Status status) : status_(std::move(status)) {}

  template <typename T>
  StatusBuilder& operator<<(const T& value) {
    context_ << value;
    return *this;
  }

  operator absl::Status() const { return Build(); }

  template <typename T>
  operator absl::StatusOr<T>() const {
    return Build();
  }

 private:
  absl::Status Build() const { return AnnotateStatus(status_, context_.str()); }

  absl::Status status_;
  std::ostringstream context_;
};

inline const absl::Status& ToStatus(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& ToStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace base_internal
}  // namespace septet

#define SEPTET_STATUS_CONCAT_INNER_(a, b) a##b
#define SEPTET_STATUS_CONCAT_(a, b) SEPTET_STATUS_CONCAT_INNER_(a, b)

#define SEPTET_RETURN_IF_ERROR(expression)                            \
  if (const auto& septet_result = (expression); septet_result.ok()) { \
  } else /* NOLINT */                                                 \
    return ::septet::base_internal::StatusBuilder(                    \
        ::septet::base_internal::ToStatus(septet_result))

#define SEPTET_ASSIGN_OR_RETURN_3_(result, lhs, expression, context) \
  auto result = (expression);                                        \
  if (!result.ok()) {                                                \
    ::septet::base_internal::StatusBuilder _(result.status());       \
    return (context);                                                \
  }                                                                  \
  lhs = *std::move(result)

#define SEPTET_ASSIGN_OR_RETURN_WITH_(lhs, expression, context)            \
  SEPTET_ASSIGN_OR_RETURN_3_(                                              \
      SEPTET_STATUS_CONCAT_(septet_result_, __COUNTER__), lhs, expression, \
      context)
#define SEPTET_ASSIGN_OR_RETURN_PLAIN_(lhs, expression) \
  SEPTET_ASSIGN_OR_RETURN_WITH_(lhs, expression, _)
#define SEPTET_ASSIGN_OR_RETURN_CHOOSE_(_1, _2, _3, macro, ...) macro
#define SEPTET_ASSIGN_OR_RETURN(...)                                          \
  SEPTET_ASSIGN_OR_RETURN_CHOOSE_(__VA_ARGS__, SEPTET_ASSIGN_OR_RETURN_WITH_, \
                                  SEPTET_ASSIGN_OR_RETURN_PLAIN_)             \
  (__VA_ARGS__)

#endif  // SEPTET_CORE_BASE_STATUS_MACROS_H_
