# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "system_repository")

def repo():
    system_repository(
        name = "openblas",
        build_file = Label("//third_party/openblas:system.BUILD.bazel"),
        debian_package = "libopenblas-serial-dev",
        pkg_config = ["openblas"],
        # Serial: threads are ours (core/base:thread_pool), and a library's own
        # pool inside them is slower and not deterministic.
        variant = "openblas-serial",
    )
