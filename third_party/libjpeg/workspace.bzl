# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "libjpeg",
        build_file = Label("//third_party/libjpeg:system.BUILD.bazel"),
        debian_package = "libjpeg62-turbo-dev",
        pkg_config = ["libjpeg"],
    )
