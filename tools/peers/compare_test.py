# SPDX-License-Identifier: Apache-2.0
"""Tests of compare.py, with programs that only answer."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

from tools.peers import compare

FAKE = "fake_program.py"


def start(folder, words):
    """A program to run as ours: the fake, with words of its own."""
    path = os.path.join(folder, "ours")
    script = os.path.join(os.path.dirname(compare.__file__), FAKE)
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexec '%s' '%s' '%s'\n" % (sys.executable, script, words))
    os.chmod(path, 0o755)
    return path


def run(ours="", twin="", ratio=2.0, flags=()):
    """(exit code, output, errors, result) of a comparison."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = io.StringIO(), io.StringIO()
        path = os.path.join(folder, "result.json")
        jobs = {"fake/one": compare.Job("//fake", FAKE, "fake " + twin, ratio)}
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = compare.main(["fake", "--rounds=10", "--json=" + path, *flags], jobs,
                                {"//fake": start(folder, ours)})
        result = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                result = json.loads(file.read())
        return code, out.getvalue(), err.getvalue(), result


class CompareTest(unittest.TestCase):

    def test_the_better_twin_is_the_peer(self):
        code, out, _, result = run("ms=10", "ms=30 compiled_ms=25")
        self.assertEqual(code, 0)
        self.assertEqual(result["peer"], "compiled")
        self.assertAlmostEqual(result["ratio"], 2.5)
        self.assertEqual(result["speed"], "met")
        self.assertIn("2.50x", out)
        self.assertEqual(run("ms=10", "ms=24 compiled_ms=25")[3]["peer"], "eager")

    def test_a_bar_is_met_at_three_quarters_of_the_limit(self):
        self.assertEqual(run("ms=10 limit=7.6", "ms=15")[3]["speed"], "met: 76 % of the limit")
        self.assertEqual(run("ms=10 limit=7.4", "ms=15")[3]["speed"], "missed")

    def test_missed_is_a_failure_only_with_check(self):
        missed = ("ms=10 limit=5", "ms=15")
        self.assertEqual(run(*missed)[0], 0)
        self.assertEqual(run(*missed, flags=["--check"])[0], 1)
        self.assertEqual(run("ms=10 limit=5", "ms=25", flags=["--check"])[0], 0)

    def test_a_limit_that_does_not_hold_still_gives_no_verdict(self):
        # One round in ten is left out at each end.
        self.assertEqual(run("ms=10 limit=5,5,5,5,5,5,5,5,5,9", "ms=25")[3]["speed"], "met")
        self.assertEqual(run("ms=10 limit=5,5,6,6,5,5,6,6,5,5", "ms=25")[3]["speed"],
                         "refused: the limit spreads by 20 %")

    def test_other_machines_and_threads_are_reported(self):
        self.assertEqual(run("ms=10 target=AVX2", "ms=15")[3]["speed"], "reported")
        self.assertEqual(run("ms=10", "ms=15", flags=["--threads=2"])[3]["speed"], "reported")

    def test_memory_is_judged_against_the_peer(self):
        self.assertEqual(run("bytes=1000", "ms=25 bytes=1000")[3]["memory_verdict"], "met")
        code, _, _, result = run("bytes=1001", "ms=25 bytes=1000", flags=["--check"])
        self.assertEqual(result["memory_verdict"], "missed")
        self.assertEqual(code, 1)

    def test_unequal_losses_end_it(self):
        self.assertEqual(run("loss=2", "loss=2.00009")[0], 0)
        for loss in ("2.0002", "nan"):
            code, _, err, result = run("loss=2", "loss=" + loss)
            self.assertEqual(code, 1)
            self.assertIsNone(result)
            self.assertIn("fake/one: loss of step 0: ours 2.0000000, eager", err)

    def test_failures_name_program_and_command(self):
        self.assertIn("ours: time 0.5: told to", run("fail=time")[2])
        err = run("", "fail=exit:load")[2]
        self.assertIn("eager ended with code 3 at \"load ", err)
        self.assertIn("last words", err)
        self.assertIn("answered \"memory\" with \"noise\", expected JSON", run("fail=noise:memory")[2])

    def test_names(self):
        jobs = {"a/x": None, "a/y": None, "b": None}
        self.assertEqual(compare.choose([], jobs), ["a/x", "a/y", "b"])
        self.assertEqual(compare.choose(["b", "a", "a/x"], jobs), ["b", "a/x", "a/y"])
        with self.assertRaisesRegex(SystemExit, "no job \"c\" .there are: a/x, a/y, b."):
            compare.choose(["c"], jobs)

    def test_wrong_usage(self):
        for flags in (["--rounds=2"], ["--threads=0"], ["--seconds=0"], ["--what"]):
            with contextlib.redirect_stderr(io.StringIO()):
                with self.assertRaises(SystemExit) as raised:
                    compare.main(flags, {"a": None}, {})
            self.assertEqual(raised.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
