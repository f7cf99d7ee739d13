# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "utf8proc",
        build_file = Label("//third_party/utf8proc:system.BUILD.bazel"),
        debian_package = "libutf8proc-dev",
        pkg_config = ["libutf8proc"],
    )
