# SPDX-License-Identifier: Apache-2.0
"""Answers as a step program does, for compare_test.py: `--job` says how.

The job is words of KEY=VALUE: ms, compiled_ms, limit_ms (a list, in turn),
loss, bytes, and fail, the command that is answered by an error ("exit": ends,
"noise": with what is no JSON).
"""

import json
import sys


def main():
    values = {"ms": "10", "limit": "8", "loss": "2", "bytes": "1000", "fail": ""}
    compiled = False
    for argument in sys.argv[1:]:
        compiled |= argument == "--compile"
        for word in argument.replace("--job=", "").split():
            key, equals, value = word.partition("=")
            if equals:
                values[key] = value
    if compiled:
        values["ms"] = values.get("compiled_ms", values["ms"])
    limits = [float(value) for value in values["limit"].split(",")]
    answers = {"export": {"exported": 1}, "load": {"loaded": 1},
               "step": {"losses": [float(values["loss"])] * 3},
               "memory": {"tensor_bytes": int(values["bytes"])}}

    def write(answer):
        print(json.dumps(answer), flush=True)

    write({"ready": "fake", "threads": 1, "torch": "0", "python": "3", "numpy": "1",
           "cpu_capability": "none",
           "machine": {"cpu": "fake", "cores": 1, "load": 0,
                       "highway_target": values.get("target", "AVX3"), "compiler": "none"}})
    for line in sys.stdin:
        command = line.split()[0]
        if values["fail"] == command:
            write({"error": "told to"})
        elif values["fail"] == "exit:" + command:
            print("last words", file=sys.stderr)
            sys.exit(3)
        elif values["fail"] == "noise:" + command:
            print("noise", flush=True)
        elif command == "time":
            limits = limits[1:] + limits[:1]
            write({"ms": float(values["ms"]), "steps": 3, "limit_ms": limits[-1]})
        else:
            write(answers[command])


if __name__ == "__main__":
    main()
