# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "files_repository")

# Every C++ test names these two labels; they run under `bazel coverage` alone.
_BUILD = """
package(default_visibility = ["//visibility:public"])

sh_binary(
    name = "coverage_report_generator",
    srcs = ["unavailable.sh"],
)

sh_binary(
    name = "lcov_merger",
    srcs = ["unavailable.sh"],
)
"""

_UNAVAILABLE = """#!/bin/sh
echo "bazel coverage needs a @remote_coverage_tools of your own WORKSPACE" >&2
exit 1
"""

def repo():
    files_repository(
        name = "remote_coverage_tools",
        files = {
            "BUILD.bazel": _BUILD,
            "unavailable.sh": _UNAVAILABLE,
        },
    )
