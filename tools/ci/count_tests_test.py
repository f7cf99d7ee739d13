# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import os
import unittest

from tools.ci import count_tests


def _configured(label, test=True):
    kind = {"targetKind": "cc_test rule", "testSize": "SMALL"} if test else {"targetKind": "cc_library rule"}
    return {"id": {"targetConfigured": {"label": label}}, "configured": kind}


def _completed(label, success=True):
    return {"id": {"targetCompleted": {"label": label}}, "completed": {"success": True} if success else {}}


def _summary(label, status):
    return {"id": {"testSummary": {"label": label}}, "testSummary": {"overallStatus": status}}


_FINISHED = {"id": {"buildFinished": {}}, "finished": {"exitCode": {"name": "SUCCESS"}}}


def _lines(*events):
    return [json.dumps(event) + "\n" for event in events]


class CountTest(unittest.TestCase):
    def test_statuses(self):
        events = []
        for label, status in (("//a:1", "PASSED"), ("//a:2", "FLAKY"), ("//a:3", "FAILED"),
                              ("//a:4", "TIMEOUT"), ("//a:5", "INCOMPLETE"), ("//a:6", "NO_STATUS")):
            events += [_configured(label), _completed(label), _summary(label, status)]
        self.assertEqual(count_tests.count(_lines(*events, _FINISHED), 3),
                         (["//a:1", "//a:2"], ["//a:3", "//a:4", "//a:5", "//a:6"]))

    def test_what_is_not_built_has_failed(self):
        aborted = {"id": {"targetCompleted": {"label": "//a:3"}}, "aborted": {"reason": "ANALYSIS_FAILURE"}}
        events = [_configured("//a:1"), _configured("//a:2"), _configured("//a:lib", test=False),
                  _configured("//a:3"), _configured("//a:4"),
                  _completed("//a:1"), _completed("//a:2", success=False),
                  _completed("//a:lib", success=False), aborted, _summary("//a:1", "PASSED"), _FINISHED]
        self.assertEqual(count_tests.count(_lines(*events), 1),
                         (["//a:1"], ["//a:2", "//a:3", "//a:4", "//a:lib"]))

    def test_one_configuration_failing_is_a_failure(self):
        events = [_configured("//a:1"), _summary("//a:1", "FAILED"), _summary("//a:1", "PASSED"), _FINISHED]
        self.assertEqual(count_tests.count(_lines(*events), 3), ([], ["//a:1"]))

    def test_a_run_that_fails_without_a_target(self):
        self.assertEqual(count_tests.count([], 37), ([], ["bazel itself (exit code 37)"]))
        self.assertEqual(count_tests.count(_lines(_FINISHED), 1), ([], ["bazel itself (exit code 1)"]))
        # Killed: no end, and a line cut off.
        events = _lines(_configured("//a:1"), _summary("//a:1", "PASSED")) + ['{"id": {"test']
        self.assertEqual(count_tests.count(events, 0), (["//a:1"], ["bazel itself (exit code 0)"]))

    def test_main(self):
        path = os.path.join(os.environ["TEST_TMPDIR"], "events.json")

        def run(events, *arguments):
            with open(path, "w", encoding="utf-8") as f:
                f.writelines(_lines(*events))
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
                code = count_tests.main(list(arguments))
            return code, output.getvalue().splitlines()

        good = [_configured("//a:1"), _summary("//a:1", "PASSED"), _FINISHED]
        self.assertEqual(run(good, "all", "0", path, "again", "0", path),
                         (0, ["all: 1 passed, 0 failed", "again: 1 passed, 0 failed",
                              "2 passed, 0 failed"]))
        self.assertEqual(run(good, "all", "0", path, "lost", "0", path + "x"),
                         (1, ["all: 1 passed, 0 failed",
                              "FAILED in lost: bazel itself (no %sx)" % path,
                              "lost: 0 passed, 1 failed", "1 passed, 1 failed"]))
        self.assertEqual(run(good)[0], 2)
        self.assertEqual(run(good, "all", "0")[0], 2)


if __name__ == "__main__":
    unittest.main()
