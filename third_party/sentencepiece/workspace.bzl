# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

# pkg-config also names the trainer's library.
def repo():
    system_repository(
        name = "sentencepiece",
        build_file = Label("//third_party/sentencepiece:system.BUILD.bazel"),
        debian_package = "libsentencepiece-dev",
        required_files = ["/usr/include/sentencepiece_processor.h"],
    )
