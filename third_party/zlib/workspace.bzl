# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "zlib",
        build_file = Label("//third_party/zlib:system.BUILD.bazel"),
        debian_package = "zlib1g-dev",
        pkg_config = ["zlib"],
    )
