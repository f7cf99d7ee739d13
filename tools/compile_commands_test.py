# SPDX-License-Identifier: Apache-2.0
import unittest

from tools import compile_commands

_ARGUMENTS = """/usr/bin/gcc -O2 -MD -MF bazel-out/x.d -frandom-seed=bazel-out/x.o -fPIC
-iquote . -iquote bazel-out/bin -isystem external/eigen/include
-Ibazel-out/bin/core/a/_virtual_includes/a -Ibazel-out/bin/core/a/_virtual_imports/p_proto
-std=c++17 -DX="1 2" -fno-canonical-system-headers -c core/a/a.cc -o bazel-out/x.o"""


class CompileCommandsTest(unittest.TestCase):
    def test_arguments(self):
        self.assertEqual(
            compile_commands.editor_arguments(_ARGUMENTS.split(), "/execroot", "/base"),
            "/usr/bin/gcc -I.compile_commands -O2 -fPIC -iquote . -iquote /execroot/bazel-out/bin "
            "-isystem /base/external/eigen/include "
            "-I /execroot/bazel-out/bin/core/a/_virtual_includes/a "
            "-I /execroot/bazel-out/bin/core/a/_virtual_imports/p_proto "
            "-std=c++17 -DX=\"1 2\" core/a/a.cc -DHWY_COMPILE_ONLY_STATIC -Wno-unknown-warning-option".split())

    def test_one_entry_a_source_of_the_workspace(self):
        def action(source, *more):
            return {"arguments": ["gcc", "-c", source] + list(more)}
        entries = compile_commands.compile_commands(
            [action("b.cc", "-fPIC"), action("a.cc"), action("b.cc"), action("external/x/y.cc"),
             action("bazel-out/bin/p.pb.cc")], "/w", "/execroot", "/base")
        self.assertEqual([entry["file"] for entry in entries], ["a.cc", "b.cc"])
        self.assertEqual({entry["directory"] for entry in entries}, {"/w"})
        self.assertIn("-fPIC", entries[1]["arguments"])


if __name__ == "__main__":
    unittest.main()
