# SPDX-License-Identifier: Apache-2.0
"""The C++ rules of this repository: the native ones with our flags in one place.

They carry the language standard and the optimisation of kernels themselves,
because a workspace that depends on septet has a .bazelrc of its own.
"""

_COPTS = ["-std=c++17"] + select({
    "//bazel:with_cuda": ["-DSEPTET_WITH_CUDA"],
    "//conditions:default": [],
})

# The kernels are worth -O3 in whatever mode the rest is built, except to debug.
_KERNEL_COPTS = select({
    "//bazel:dbg": [],
    "//conditions:default": ["-O3"],
})

def _copts(kernel, copts):
    return _COPTS + copts + (_KERNEL_COPTS if kernel else [])

def septet_cc_library(name, kernel = False, copts = [], **kwargs):
    """cc_library whose headers are included as "septet/<package>/<header>".

    Args:
      name: name of the target.
      kernel: True for numerical kernels, which are always optimised.
      copts: further compiler options.
      **kwargs: as for cc_library.
    """
    native.cc_library(
        name = name,
        copts = _copts(kernel, copts),
        include_prefix = "septet/" + native.package_name(),
        linkstatic = True,
        **kwargs
    )

def septet_cc_binary(name, copts = [], kernel = False, **kwargs):
    """cc_binary with our flags."""
    native.cc_binary(
        name = name,
        copts = _copts(kernel, copts),
        **kwargs
    )

def septet_cc_test(name, deps = [], copts = [], size = "small", **kwargs):
    """cc_test with our flags, GoogleTest's main, and SEPTET_DCHECK on."""
    native.cc_test(
        name = name,
        size = size,
        copts = _copts(False, copts),
        linkstatic = True,
        deps = deps + [
            "//core/base:dcheck_on",
            "@googletest//:gtest_main",
        ],
        **kwargs
    )

def septet_cc_benchmark(name, deps = [], copts = [], tags = [], **kwargs):
    """A Google Benchmark binary, for `bazel run`."""
    native.cc_binary(
        name = name,
        testonly = True,
        copts = _copts(False, copts),
        tags = tags + ["benchmark"],
        deps = deps + ["@google_benchmark//:benchmark_main"],
        **kwargs
    )

def septet_fuzz_test(name, srcs, corpus, deps = [], copts = [], size = "small", **kwargs):
    """A fuzz target: srcs define `LLVMFuzzerTestOneInput`, corpus holds its seeds.

    Plainly built it is an ordinary test that gives each file of the corpus to
    the target. Under --config=fuzz (clang) it is a libFuzzer binary that starts
    from the corpus: `bazel test` gives it 30 s, and

      bazel run --config=fuzz //core/io:safetensors_fuzz_test -- \
          -max_total_time=600 /tmp/new_inputs

    as long as asked; new inputs then go to the folder named.

    Args:
      name: name of the target.
      srcs: the sources, none of which has a main.
      corpus: the seed files (not folders), usually a glob below testdata.
      deps: libraries.
      copts: further compiler options.
      size: of the test.
      **kwargs: as for cc_test.
    """
    if not corpus:
        fail("septet_fuzz_test %s: the corpus is empty" % name)
    seeds = ["$(rootpath %s)" % label for label in corpus]
    native.cc_test(
        name = name,
        size = size,
        srcs = srcs,
        args = select({
            "//bazel:fuzz": [
                "-max_total_time=30",
                "-seed_inputs=" + ",".join(seeds),
            ],
            "//conditions:default": seeds,
        }),
        copts = _copts(False, copts),
        data = corpus,
        linkopts = select({
            "//bazel:fuzz": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        linkstatic = True,
        deps = deps + ["//core/base:dcheck_on"] + select({
            "//bazel:fuzz": [],
            "//conditions:default": ["//bazel:fuzz_replay_main"],
        }),
        **kwargs
    )

def septet_verdict_test(name, readme, verdicts, size = "small"):
    """Holds the tables of verdicts in a README to the files that they show.

    The README says where its tables are; see core/experiment/readme_tables.h.
    `bazel run //tools:verdict_table -- README` writes them.

    Args:
      name: name of the test.
      readme: the README.
      verdicts: every verdict.json of the package, usually a glob below results.
      size: of the test.
    """
    native.cc_test(
        name = name,
        size = size,
        args = ["--check", "$(rootpath %s)" % readme],
        copts = _COPTS,
        data = [readme] + verdicts,
        linkstatic = True,
        deps = ["//core/experiment:verdict_table_main"],
    )

# cc_proto_library takes no copts, and Bazel 4 compiles C++11 where nothing else
# is said. Then the constants of a nested enum are ordinary definitions in the
# generated code and inline ones in ours, and linking both fails.
def _cxx17_transition_impl(settings, attr):
    cxxopt = settings["//command_line_option:cxxopt"]
    if not [option for option in cxxopt if option.startswith("-std=")]:
        cxxopt = cxxopt + ["-std=c++17"]
    return {"//command_line_option:cxxopt": cxxopt}

_cxx17_transition = transition(
    implementation = _cxx17_transition_impl,
    inputs = ["//command_line_option:cxxopt"],
    outputs = ["//command_line_option:cxxopt"],
)

def _cxx17_library_impl(ctx):
    library = ctx.attr.deps[0]
    return [library[CcInfo], library[DefaultInfo]]

_cxx17_library = rule(
    implementation = _cxx17_library_impl,
    attrs = {
        "deps": attr.label_list(mandatory = True, cfg = _cxx17_transition, providers = [CcInfo]),
        "_allowlist_function_transition": attr.label(default = "@bazel_tools//tools/allowlists/function_transition_allowlist"),
    },
)

def septet_proto_library(name, src, deps = [], visibility = None):
    """One .proto: `name` (proto_library) and `name`_cc (C++17, "septet/<package>/<file>.pb.h").

    Args:
      name: name of the proto_library.
      src: the .proto file; it imports others as "septet/<package>/<file>.proto".
      deps: proto_library targets it imports.
      visibility: of both targets.
    """
    native.proto_library(
        name = name,
        srcs = [src],
        import_prefix = "septet",
        strip_import_prefix = "/",
        visibility = visibility,
        deps = deps,
    )
    native.cc_proto_library(
        name = name + "_cc_default",
        tags = ["manual"],
        visibility = ["//visibility:private"],
        deps = [":" + name],
    )
    _cxx17_library(
        name = name + "_cc",
        deps = [":" + name + "_cc_default"],
        visibility = visibility,
    )
