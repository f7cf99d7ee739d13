# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "googletest",
        build_file = Label("//third_party/googletest:system.BUILD.bazel"),
        debian_package = "libgtest-dev libgmock-dev",
        pkg_config = ["gtest", "gmock", "gtest_main"],
    )
