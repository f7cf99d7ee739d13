# SPDX-License-Identifier: Apache-2.0
"""Runs the checks on this very tree.

The tests see all files of the checkout, not only declared ones; so they run
each time (tag external) and outside of the sandbox (tag local).
"""

import os
import sys
import unittest

from tools.structure import checks
from tools.structure import tree


def _root():
    link = os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "WORKSPACE")
    return os.path.dirname(os.path.realpath(link))


class TreeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = tree.Tree(_root())

    def assertNone(self, problems):
        if problems:
            self.fail("%d problems:\n  %s" % (len(problems), "\n  ".join(problems)))

    def test_is_the_source_tree(self):
        self.assertIn("tools/structure/tree_test.py", self.tree.files)
        self.assertIn("//tools/structure:tree_test", self.tree.targets)
        self.assertIn("eigen", [r["name"] for r in self.tree.repositories])

    def test_spdx(self):
        self.assertNone(checks.spdx(self.tree))

    def test_machine_paths(self):
        self.assertNone(checks.machine_paths(self.tree))

    def test_markdown_links(self):
        self.assertNone(checks.markdown_links(self.tree))

    def test_system_packages(self):
        self.assertNone(checks.system_packages(self.tree))

    def test_tags(self):
        self.assertNone(checks.tags(self.tree))

    def test_sorted_lists(self):
        self.assertNone(checks.sorted_lists(self.tree))

    def test_layers(self):
        self.assertNone(checks.layers(self.tree))

    def test_edges(self):
        self.assertNone(checks.edges(self.tree))

    def test_includes(self):
        self.assertNone(checks.includes(self.tree))

    def test_unbuilt_sources(self):
        self.assertNone(checks.unbuilt_sources(self.tree))

    def test_formatting(self):
        cache = os.path.join(self.tree.root, ".cache", "formatted")
        self.assertNone(checks.formatting(self.tree, cache))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
