# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "google_benchmark",
        build_file = Label("//third_party/google_benchmark:system.BUILD.bazel"),
        debian_package = "libbenchmark-dev",
        pkg_config = ["benchmark"],
    )
