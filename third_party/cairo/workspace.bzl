# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

# pkg-config also names the include directories of what cairo is made of.
def repo():
    system_repository(
        name = "cairo",
        build_file = Label("//third_party/cairo:system.BUILD.bazel"),
        debian_package = "libcairo2-dev",
        links = {"/usr/include/cairo": "include"},
    )
