# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "minizip",
        build_file = Label("//third_party/minizip:system.BUILD.bazel"),
        debian_package = "libminizip-dev",
        pkg_config = ["minizip"],
    )
