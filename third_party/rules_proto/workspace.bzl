# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "files_repository")

# Bazel 4 loads this name by itself.
def repo():
    files_repository(
        name = "rules_proto",
        debian_package = "bazel-rules-proto",
        files = {"BUILD.bazel": ""},
        links = {"/usr/share/bazel/rules/proto/proto": "proto"},
    )
