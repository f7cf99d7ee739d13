# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "hdf5",
        build_file = Label("//third_party/hdf5:system.BUILD.bazel"),
        debian_package = "libhdf5-dev",
        pkg_config = ["hdf5"],
    )
