# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "nlohmann_json",
        build_file = Label("//third_party/nlohmann_json:system.BUILD.bazel"),
        debian_package = "nlohmann-json3-dev",
        pkg_config = ["nlohmann_json"],
    )
