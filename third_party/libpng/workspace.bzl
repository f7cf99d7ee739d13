# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "libpng",
        build_file = Label("//third_party/libpng:system.BUILD.bazel"),
        debian_package = "libpng-dev",
        pkg_config = ["libpng"],
    )
