# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "highway",
        build_file = Label("//third_party/highway:system.BUILD.bazel"),
        debian_package = "libhwy-dev",
        pkg_config = ["libhwy"],
    )
