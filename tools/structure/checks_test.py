# SPDX-License-Identifier: Apache-2.0
"""Each check finds what it is there to find, in trees made for that."""

import os
import shutil
import tempfile
import unittest

from tools.structure import checks
from tools.structure import tree

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


def library(name, deps=(), rule="cc_library", **attributes):
    """The text of a target; with hdrs it has the include prefix of our macro."""
    lines = ["name = %r" % name, "deps = %r" % (list(deps),)]
    lines += ["%s = %r" % item for item in attributes.items()]
    if "hdrs" in attributes:
        lines.append("include_prefix = 'septet/' + native.package_name()")
    return "%s(%s)\n" % (rule, ", ".join(lines))


class ChecksTest(unittest.TestCase):
    def tree(self, files):
        root = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, root)
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        return tree.Tree(root)

    def assertProblems(self, problems, *expected):
        """As many problems as `expected`, each with all the words of its entry."""
        self.assertEqual(len(problems), len(expected), problems)
        for problem, words in zip(problems, expected):
            for word in words.split(" "):
                self.assertIn(word, problem)

    # --- The model of the tree ------------------------------------------------

    def test_macros_are_expanded(self):
        t = self.tree({
            "bazel/macros.bzl": "def wrapped(name, deps = []):\n"
                                "    native.cc_library(name = name, srcs = native.glob(['*.cc']),\n"
                                "        hdrs = [name + '.h'], deps = deps + ['//core/a:more'],\n"
                                "        include_prefix = 'septet/' + native.package_name())\n",
            "core/a/BUILD": "load('//bazel:macros.bzl', w = 'wrapped')\n"
                            "w(name = 'x', deps = select({':c': [':p'], '//conditions:default': ['//core/b']}))\n",
            "core/a/x.cc": "",
            "core/a/inner/BUILD": "",
            "core/a/inner/y.cc": "",
        })
        target = t.targets["//core/a:x"]
        self.assertEqual(target.rule, "cc_library")
        self.assertEqual(target.srcs, ["//core/a:x.cc"])
        self.assertEqual(target.hdrs, ["//core/a:x.h"])
        self.assertEqual(target.deps, ["//core/a:p", "//core/b:b", "//core/a:more"])
        self.assertEqual(target.attributes["include_prefix"], "septet/core/a")

    def test_globs_stop_at_packages_and_match_folders(self):
        t = self.tree({
            "a/BUILD": "filegroup(name = 'all', srcs = glob(['**/*.txt'], exclude = ['d/no.txt']))\n"
                       "filegroup(name = 'top', srcs = glob(['*.txt']))\n",
            "a/1.txt": "", "a/d/2.txt": "", "a/d/no.txt": "", "a/p/BUILD": "", "a/p/3.txt": "",
        })
        self.assertEqual(t.targets["//a:all"].srcs, ["//a:1.txt", "//a:d/2.txt"])
        self.assertEqual(t.targets["//a:top"].srcs, ["//a:1.txt"])

    def test_ignored_files_and_workspaces_are_left_out(self):
        t = self.tree({
            ".gitignore": "/bazel-*\n/user.bazelrc\n",
            ".bazelignore": "examples/consumer\n",
            "bazel-bin/BUILD": "no_rule()",
            "user.bazelrc": "",
            "examples/consumer/BUILD": "no_rule()",
        })
        self.assertEqual(t.files, [".bazelignore", ".gitignore", "examples/consumer/BUILD"])
        self.assertEqual(t.targets, {})

    def test_an_error_names_the_file(self):
        with self.assertRaisesRegex(ValueError, "a/BUILD cannot be read: NameError.*no_rule"):
            self.tree({"a/BUILD": "no_rule(name = 'x')"})
        with self.assertRaisesRegex(ValueError, "a/BUILD .*//a:x is defined twice"):
            self.tree({"a/BUILD": library("x") + library("x")})

    # --- Texts ----------------------------------------------------------------

    def test_spdx(self):
        problems = checks.spdx(self.tree({
            "good.cc": SPDX,
            "good.sh": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n",
            "late.h": "\n\n" + SPDX,
            "a/BUILD": "",
            "run": "#!/bin/sh\n",
            "x.proto": "// SPDX-License-Identifier: MIT\n",
            "README.md": "",
            "a/testdata/expected": "#!/bin/sh\n",
        }))
        self.assertProblems(problems, "a/BUILD:", "late.h:", "run:", "x.proto:")

    def test_machine_paths(self):
        problems = checks.machine_paths(self.tree({
            "a.md": "fine: docs/work/x, https://example.org/root/x, ~/work/x, $HOME/work/\n"
                    "bad: /" + "work/x\n",
            "b.cc": "// see ../" + "shared/x\n",
            "run": "#!/bin/sh\ncd '/" + "root/x'\n",
            "c.h": "// (/" + "farm/x)\n",
            "a/testdata/x.bin": "/" + "work/x\n",
        }))
        self.assertProblems(problems, "a.md:2:", "b.cc:1:", "c.h:1:", "run:2:")

    def test_markdown_links(self):
        problems = checks.markdown_links(self.tree({
            "README.md": "[a](docs/a.md) [b](docs/) [c](docs/a.md#x) [d](#here) [e](https://x.org)\n"
                         "`[f](nowhere)`\n```\n[g](nowhere)\n```\n[h](docs/b.md)\n",
            "docs/a.md": "[up](../README.md) [out](../../README.md)\n",
        }))
        self.assertProblems(problems, "README.md: docs/b.md", "docs/a.md: ../../README.md")

    def test_system_packages(self):
        third_party = {
            "bazel/r.bzl": "system_repository = repository_rule(implementation = None)\n",
            "third_party/x/workspace.bzl": "load('//bazel:r.bzl', 'system_repository')\n"
                                           "def repo():\n"
                                           "    system_repository(name = 'x', debian_package = 'libx-dev x-tool')\n",
            "third_party/third_party.bzl": "load('//third_party/x:workspace.bzl', x = 'repo')\n"
                                           "def septet_repositories():\n"
                                           "    if not native.existing_rule('x'):\n"
                                           "        x()\n",
        }
        listed = "libx-dev   module x\nx-tool    command x\n"
        self.assertProblems(checks.system_packages(self.tree(dict(third_party, **{"setup.sh": listed}))))
        self.assertProblems(
            checks.system_packages(self.tree(dict(
                third_party, **{"setup.sh": "# x-tool libx-dev\nlibx-dev2 module x\n"}))),
            "setup.sh: libx-dev @x", "setup.sh: x-tool @x")

    def test_tags(self):
        problems = checks.tags(self.tree({
            "core/a/BUILD": library("x", tags=["slow", "fancy"]) + library("y", tags=["local"]),
            "tools/a/BUILD": library("z", tags=["local", "external", "benchmark"]),
        }))
        self.assertProblems(problems, "//core/a:x 'fancy'", "//core/a:y 'local'")

    def test_sorted_lists(self):
        def build(*labels):
            return ("cc_library(\n    name = 'x',\n    deps = [\n%s    ],\n)\n"
                    % "".join('        "%s",\n' % label for label in labels))
        good = (":b", ":c", "//core/a", "//core/a:b", "//core/a_b", "@a//:x", "@b//c", "@b//c:d")
        self.assertProblems(checks.sorted_lists(self.tree({"a/BUILD": build(*good)})))
        for i in range(len(good) - 1):
            bad = good[:i] + (good[i + 1], good[i]) + good[i + 2:]
            self.assertProblems(checks.sorted_lists(self.tree({"a/BUILD": "\n" + build(*bad)})),
                                "a/BUILD:4: deps %s before %s" % (good[i], good[i + 1]))

    # --- Dependencies ---------------------------------------------------------

    def test_layers(self):
        problems = checks.layers(self.tree({
            "core/a/BUILD": library("up", ["//rl:x"]) + library("same", ["//core/b", "@eigen//:eigen"]),
            "core/b/BUILD": library("b", data=["//tools:t"]),
            "rl/BUILD": library("x", ["//core/a:same"]) + library("other", ["//ssl:y"]),
            "ssl/BUILD": library("y", ["//baselines:z"]),
            "baselines/BUILD": library("z"),
            "tools/BUILD": library("t", ["//rl:x", "//ssl:y"]),
            "misc/BUILD": library("m"),
        }))
        self.assertProblems(problems, "//core/a:up //rl:x", "//core/b:b //tools:t", "//misc:m misc", "//rl:other //ssl:y",
                            "//ssl:y //baselines:z")

    def test_every_pair_of_methods_is_kept_apart(self):
        for a in checks.METHODS:
            for b in checks.METHODS:
                if a != b:
                    t = self.tree({a + "/BUILD": library("x", ["//%s:y" % b]),
                                   b + "/BUILD": library("y")})
                    self.assertProblems(checks.layers(t), "//%s:x //%s:y" % (a, b))

    def test_heavy_libraries_stay_at_the_edge(self):
        problems = checks.edges(self.tree({
            "core/blas/BUILD": library("gemm", ["@onednn//:onednn", "@openblas//:openblas"]),
            "core/io/BUILD": library("hdf5", ["@hdf5//:hdf5"]) + library("hdf5_child", ["@hdf5//:hdf5"])
                             + library("npy", ["@hdf5//:hdf5"]),
            "rl/envs/BUILD": library("gym", ["@mujoco//:mujoco"]),
            "ssl/BUILD": library("y", ["@onednn//:onednn"]),
        }))
        self.assertProblems(problems, "//core/io:npy @hdf5//:hdf5", "//rl/envs:gym @mujoco//:mujoco",
                            "//ssl:y @onednn//:onednn //core/blas")

    def test_light_packages_link_nothing_heavy_from_afar(self):
        problems = checks.edges(self.tree({
            "core/tensor/BUILD": library("tensor", ["//core/base"])
                                 + library("tensor_test", [":tensor", "//core/ops"], rule="cc_test")
                                 + library("tensor_testutil", ["//core/ops"], testonly=True),
            "core/base/BUILD": library("base", ["//core/middle"]),
            "core/middle/BUILD": library("middle", ["@protobuf//:protobuf"]),
            "core/ops/BUILD": library("ops", ["//core/tensor"]),
        }))
        self.assertProblems(problems, "//core/base:base @protobuf//:protobuf",
                            "//core/ops:ops @protobuf//:protobuf",
                            "//core/tensor:tensor @protobuf//:protobuf")

    # --- Includes -------------------------------------------------------------

    def test_each_include_has_a_direct_dependency(self):
        problems = checks.includes(self.tree({
            "core/a/BUILD": library("a", hdrs=["a.h"])
                            + library("b", [":a"], hdrs=["b.h"])
                            + library("c", [":b"], srcs=["c.cc"], hdrs=["c.h"]),
            "core/a/a.h": "#include <vector>\n#include <sys/mman.h>\n#include <nmmintrin.h>\n",
            "core/a/b.h": '#include "septet/core/a/a.h"\n',
            "core/a/c.h": "  #  include <cstdint>\n// #include \"septet/commented.h\"\n",
            "core/a/c.cc": '#include "septet/core/a/c.h"\n#include "septet/core/a/b.h"\n'
                           '#include "septet/core/a/a.h"\n',
        }))
        self.assertProblems(problems, "core/a/c.cc: septet/core/a/a.h //core/a:a //core/a:c")

    def test_unknown_headers(self):
        problems = checks.includes(self.tree({
            "core/a/BUILD": library("a", srcs=["a.cc"]),
            "core/a/a.cc": '#include "septet/core/a/none.h"\n#include "a.h"\n#include <nowhere/nowhere.h>\n',
        }))
        self.assertProblems(problems, "septet/core/a/none.h provides", "a.h provides",
                            "nowhere/nowhere.h headers.py")

    def test_headers_of_other_projects(self):
        needs = {
            "absl/strings/str_cat.h": "@abseil-cpp//absl/strings:strings",
            "absl/strings/cord.h": "@abseil-cpp//absl/strings:cord",
            "absl/strings/str_format.h": "@abseil-cpp//absl/strings:str_format",
            "absl/status/statusor.h": "@abseil-cpp//absl/status:statusor",
            "absl/base/thread_annotations.h": "@abseil-cpp//absl/base:core_headers",
            "absl/synchronization/mutex.h": "@abseil-cpp//absl/synchronization:synchronization",
            "absl/types/span.h": "@abseil-cpp//absl/types:span",
            "gtest/gtest.h": "@googletest//:gtest",
            "gmock/gmock.h": "@googletest//:gtest",
            "Eigen/Dense": "@eigen//:eigen",
            "unsupported/Eigen/CXX11/ThreadPool": "@eigen//:eigen",
            "hwy/highway.h": "@highway//:hwy",
            "hwy/contrib/math/math-inl.h": "@highway//:math",
            "google/protobuf/message.h": "@protobuf//:protobuf",
            "nlohmann/json.hpp": "@nlohmann_json//:json",
            "oneapi/dnnl/dnnl.hpp": "@onednn//:onednn",
            "dnnl.hpp": "@onednn//:onednn",
            "cblas.h": "@openblas//:openblas",
            "lapacke.h": "@openblas//:openblas",
        }
        for include, label in needs.items():
            files = {"core/a/a.cc": "#include <%s>\n" % include}
            self.assertProblems(
                checks.includes(self.tree(dict(
                    files, **{"core/a/BUILD": library("a", [label], srcs=["a.cc"])}))))
            self.assertProblems(
                checks.includes(self.tree(dict(
                    files, **{"core/a/BUILD": library("a", srcs=["a.cc"])}))),
                "core/a/a.cc: %s %s //core/a:a" % (include, label))

    def test_workspace_paths_for_highway(self):
        files = {"core/a/k.cc": '#define HWY_TARGET_INCLUDE "core/a/k.cc"\n'
                                '#include "core/a/k-inl.h"\n'}
        self.assertProblems(checks.includes(self.tree(dict(files, **{
            "core/a/BUILD": library("k", [":inl"], srcs=["k.cc"])
                            + library("inl", textual_hdrs=["k-inl.h"])}))))
        self.assertProblems(
            checks.includes(self.tree(dict(files, **{
                "core/a/BUILD": library("k", srcs=["k.cc"]) + library("inl", textual_hdrs=["k-inl.h"])}))),
            "core/a/k-inl.h //core/a:inl")

    def test_protos(self):
        build = ("proto_library(name = 'p', srcs = ['p.proto'], deps = %r)\n"
                 "cc_proto_library(name = 'p_cc', deps = [':p'])\n"
                 "proto_library(name = 'q', srcs = ['q.proto'], deps = ['@protobuf//:descriptor_proto'])\n"
                 + library("user", ["PLACE"], srcs=["user.cc"]))
        files = {
            "core/a/p.proto": 'import "septet/core/a/q.proto";\n',
            "core/a/q.proto": 'import "google/protobuf/descriptor.proto";\n',
            "core/a/user.cc": '#include "septet/core/a/p.pb.h"\n',
        }
        good = (build % [":q"]).replace("PLACE", ":p_cc")
        self.assertProblems(checks.includes(self.tree(dict(files, **{"core/a/BUILD": good}))))
        bad = (build % [[]]).replace("[[]]", "[]").replace("'PLACE'", "")
        self.assertProblems(
            checks.includes(self.tree(dict(files, **{"core/a/BUILD": bad}))),
            "core/a/p.proto: septet/core/a/q.proto //core/a:q",
            "core/a/user.cc: septet/core/a/p.pb.h //core/a:p_cc")

    def test_rules_of_our_own_and_aliases_hand_headers_on(self):
        files = {
            "bazel/r.bzl": "wrapped = rule(implementation = None, attrs = {'deps': attr.label_list(\n"
                           "    cfg = transition(implementation = None), providers = [CcInfo])})\n",
            "core/a/a.h": "",
            "core/a/user.cc": '#include "septet/core/a/a.h"\n',
        }
        build = ("load('//bazel:r.bzl', 'wrapped')\n"
                 "wrapped(name = 'w', deps = [':other'])\n"
                 "alias(name = 'other', actual = ':a')\n"
                 + library("a", hdrs=["a.h"]))
        for dep in (":w", ":other", ":a"):
            self.assertProblems(checks.includes(self.tree(dict(files, **{
                "core/a/BUILD": build + library("user", [dep], srcs=["user.cc"])}))))
        self.assertProblems(
            checks.includes(self.tree(dict(files, **{
                "core/a/BUILD": build + library("user", srcs=["user.cc"])}))),
            "core/a/user.cc: septet/core/a/a.h //core/a:a //core/a:other //core/a:w")

    def test_unused_dependencies(self):
        problems = checks.includes(self.tree({
            "core/a/BUILD": library("a", hdrs=["a.h"])
                            + library("kernels", hdrs=["kernels.h"], alwayslink=True)
                            + library("main", srcs=["main.cc"])
                            + library("b", [":a", ":kernels", ":main", "@abseil-cpp//absl/status",
                                            "@googletest//:gtest_main"], srcs=["b.cc"]),
            "core/a/a.h": "", "core/a/kernels.h": "", "core/a/main.cc": "", "core/a/b.cc": "",
        }))
        self.assertProblems(problems, "//core/a:b //core/a:a remove",
                            "//core/a:b @abseil-cpp//absl/status:status remove")

    def test_unbuilt_sources(self):
        problems = checks.unbuilt_sources(self.tree({
            "core/a/BUILD": library("a", hdrs=["a.h"], srcs=["sub/s.cc"]),
            "core/a/a.h": "", "core/a/sub/s.cc": "", "core/a/forgotten_test.cc": "",
            "core/a/sub/left.proto": "", "core/a/testdata/x.h": "", "elsewhere/x.cc": "",
            ".bazelignore": "examples/consumer\n", "examples/consumer/x.cc": "",
        }))
        self.assertProblems(problems, "core/a/forgotten_test.cc", "core/a/sub/left.proto",
                            "elsewhere/x.cc")

    # --- Formatting -----------------------------------------------------------

    def test_formatting(self):
        files = {
            ".clang-format": "BasedOnStyle: Google\n",
            "good.cc": "int x = 1;\n",
            "bad.h": "int  x=1;\n",
            "worse.cu.cc": "int  x=1;\nint  y=2;\n",
            "a/testdata/any.cc": "int  x=1;\n",
        }
        t = self.tree(files)
        cache = os.path.join(t.root, ".cache", "formatted")
        self.assertProblems(sorted(checks.formatting(t, cache)), "bad.h:", "worse.cu.cc:")
        # What is not formatted is reported again.
        self.assertProblems(sorted(checks.formatting(t, cache)), "bad.h:", "worse.cu.cc:")
        for path in ("bad.h", "worse.cu.cc"):
            with open(os.path.join(t.root, path), "w", encoding="utf-8") as f:
                f.write("int x = 1;\n")
        self.assertProblems(checks.formatting(t, cache))
        self.assertTrue(os.path.exists(cache))
        # The cache hides no change, neither of a file nor of the style.
        with open(os.path.join(t.root, "good.cc"), "w", encoding="utf-8") as f:
            f.write("int  x = 1;\n")
        self.assertProblems(checks.formatting(t, cache), "good.cc:")
        with open(os.path.join(t.root, "good.cc"), "w", encoding="utf-8") as f:
            f.write("int f() {\n  return 1 +\n         2;\n}\n")
        with open(os.path.join(t.root, ".clang-format"), "w", encoding="utf-8") as f:
            f.write("BasedOnStyle: Google\nIndentWidth: 8\n")
        self.assertProblems(checks.formatting(t, cache), "good.cc:")

    def test_a_failing_clang_format_is_a_problem(self):
        t = self.tree({".clang-format": "no: such option\n", "x.cc": "int x;\n"})
        self.assertProblems(checks.formatting(t), "clang-format failed")


if __name__ == "__main__":
    unittest.main()
