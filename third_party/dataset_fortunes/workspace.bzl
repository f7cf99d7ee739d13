# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "files_repository")

_BUILD = """
package(default_visibility = ["//visibility:public"])

filegroup(
    name = "dataset_fortunes",
    srcs = glob(
        ["fortunes/*"],
        exclude = ["fortunes/*.dat", "fortunes/*.u8"],
    ),
)
"""

def repo():
    files_repository(
        name = "dataset_fortunes",
        debian_package = "fortunes fortunes-min",
        files = {"BUILD.bazel": _BUILD},
        links = {"/usr/share/games/fortunes": "fortunes"},
    )
