# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "eigen",
        build_file = Label("//third_party/eigen:system.BUILD.bazel"),
        debian_package = "libeigen3-dev",
        pkg_config = ["eigen3"],
    )
