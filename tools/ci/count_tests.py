# SPDX-License-Identifier: Apache-2.0
"""Adds up the tests of several runs of `bazel test`.

    count_tests.py NAME EXIT_CODE EVENTS [NAME EXIT_CODE EVENTS]...

EVENTS is what --build_event_json_file wrote. Prints each failed test, a line for
each run and, as the last line, "N passed, N failed"; exits 1 if any failed. A
test that was not built or did not run has failed; so has each other target that
could not be built, and a run that failed without naming a target.
"""

import json
import sys


def count(events, exit_code):
    """The passed tests and the failed targets of one run, as two sorted lists.

    Args:
      events: lines of the file; the last may be cut off, as a killed Bazel leaves it.
      exit_code: of Bazel.
    """
    tests = set()
    passed = set()
    failed = set()
    finished = False
    for line in events:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        identity = event.get("id", {})
        finished = finished or "buildFinished" in identity
        if "testSize" in event.get("configured", {}):
            tests.add(identity["targetConfigured"]["label"])
        elif "testSummary" in event:
            label = identity["testSummary"]["label"]
            good = event["testSummary"].get("overallStatus") in ("PASSED", "FLAKY")
            (passed if good else failed).add(label)
        elif "targetCompleted" in identity:
            if not event.get("completed", {}).get("success"):
                failed.add(identity["targetCompleted"]["label"])
    passed -= failed
    failed |= tests - passed
    if (exit_code or not finished) and not failed:
        failed.add("bazel itself (exit code %d)" % exit_code)
    return sorted(passed), sorted(failed)


def main(arguments):
    if not arguments or len(arguments) % 3:
        print(__doc__, file=sys.stderr)
        return 2
    passed_in_all = failed_in_all = 0
    for name, exit_code, path in zip(*[iter(arguments)] * 3):
        try:
            with open(path, encoding="utf-8", errors="replace") as f:
                passed, failed = count(f, int(exit_code))
        except FileNotFoundError:
            passed, failed = [], ["bazel itself (no %s)" % path]
        for label in failed:
            print("FAILED in %s: %s" % (name, label))
        print("%s: %d passed, %d failed" % (name, len(passed), len(failed)))
        passed_in_all += len(passed)
        failed_in_all += len(failed)
    print("%d passed, %d failed" % (passed_in_all, failed_in_all))
    return 1 if failed_in_all else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
