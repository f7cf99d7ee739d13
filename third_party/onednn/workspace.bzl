# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "onednn",
        build_file = Label("//third_party/onednn:system.BUILD.bazel"),
        debian_package = "libdnnl-dev",
        required_files = ["/usr/include/dnnl.hpp"],
    )
