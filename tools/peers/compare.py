# SPDX-License-Identifier: Apache-2.0
"""Times training steps of ours and of PyTorch's twins, in turn, and judges.

  python tools/peers/compare.py byte_lm            # from an environment with
  python tools/peers/compare.py --list             # requirements.txt

README.md says how the environment is made, what is measured and how it is
judged, and describes the protocol of the programs.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).absolute().parents[2]

# A ratio need not be more than what this share of the machine's limit gives.
SHARE_OF_LIMIT = 0.75
# Of the limit over the rounds, as core/bench/runner.h has it.
MAX_SPREAD = 0.1
# Steps over which both must have the same losses, each before its update.
CHECKED_STEPS = 3


@dataclasses.dataclass(frozen=True)
class Job:
    """What is compared: our step program and the twin, both asked for `job`."""
    target: str
    twin: str
    job: str
    # How many times as fast as the twin ours must be.
    ratio: float
    # Between the losses of ours and of the twin.
    tolerance: float = 1e-4


RETENTION = "//retention:step_benchmark"
JOBS = {
    "byte_lm/d64": Job("//baselines/byte_lm:step_benchmark", "byte_lm_twin.py", "d64", 2.5),
    "byte_lm/d256": Job("//baselines/byte_lm:step_benchmark", "byte_lm_twin.py", "d256", 1.4),
    "retention/train_d64": Job(RETENTION, "retnet_twin.py", "train_d64", 2.5),
    "retention/train_desk": Job(RETENTION, "retnet_twin.py", "train_desk", 1.65),
    "retention/train_d512": Job(RETENTION, "retnet_twin.py", "train_d512", 1.4),
    "retention/core_T256": Job(RETENTION, "retnet_twin.py", "core_T256", 3.0, 2e-3),
    "retention/core_T1024": Job(RETENTION, "retnet_twin.py", "core_T1024", 3.0, 2e-3),
    "retention/core_T4096": Job(RETENTION, "retnet_twin.py", "core_T4096", 3.0, 2e-3),
    "retention/core_T16384": Job(RETENTION, "retnet_twin.py", "core_T16384", 10.0, 2e-3),
    "retention/core_1.3b_T2048": Job(RETENTION, "retnet_twin.py", "core_1.3b_T2048", 3.0, 0.1),
    "retention/core_1.3b_T8192": Job(RETENTION, "retnet_twin.py", "core_1.3b_T8192", 10.0, 0.1),
    "retention/decode_desk": Job(RETENTION, "retnet_twin.py", "decode_desk", 8.0),
    "retention/decode_1.3b_4layers": Job(RETENTION, "retnet_twin.py", "decode_1.3b_4layers", 1.5),
    "fashion_classifier/b128": Job("//baselines/fashion_classifier:step_benchmark",
                                   "fashion_classifier_twin.py", "b128", 1.5),
    "fashion_classifier/b128_nchw": Job("//baselines/fashion_classifier:step_benchmark",
                                        "fashion_classifier_twin.py", "b128_nchw", 1.5),
}


class PeerError(Exception):
    """A program that failed, or results that are not equal."""


class Program:
    """A program that answers lines with lines of JSON."""

    def __init__(self, name, command, environment=None):
        self.name = name
        self._log = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            encoding="utf-8", env={**os.environ, **(environment or {})})
        self.ready = self._read("start")

    def ask(self, command):
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # _read says how it ended
        return self._read(command)

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._log.close()

    def _read(self, command):
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            raise PeerError("%s ended with code %d at \"%s\":\n%s"
                            % (self.name, code, command, self._log.read()[-2000:]))
        try:
            answer = json.loads(line)
        except ValueError:
            raise PeerError("%s answered \"%s\" with \"%s\", expected JSON"
                            % (self.name, command, line.rstrip())) from None
        if "error" in answer:
            raise PeerError("%s: %s: %s" % (self.name, command, answer["error"]))
        return answer


def spread(values):
    """Highest less lowest over the median, without a tenth at each end."""
    values = sorted(values)
    cut = len(values) // 10
    inner = values[cut:len(values) - cut]
    return (inner[-1] - inner[0]) / statistics.median(values)


def check_losses(ours, twins, tolerance):
    """Raises unless all programs, from the same weights, have the same losses."""
    expected = ours.ask("step %d" % CHECKED_STEPS)["losses"]
    for twin in twins:
        losses = twin.ask("step %d" % CHECKED_STEPS)["losses"]
        for step, (a, b) in enumerate(zip(expected, losses)):
            if not abs(a - b) <= tolerance:
                raise PeerError("loss of step %d: ours %.7f, %s %.7f, expected within %g"
                                % (step, a, twin.name, b, tolerance))
    return expected


def measure(ours, twins, rounds, seconds):
    """Rounds of all programs in turn; a dict of lists of ms by program, and the
    limit's."""
    programs = [ours] + twins
    for program in programs:
        program.ask("time %g" % (seconds / 2))
    times = {program.name: [] for program in programs}
    limits = []
    for number in range(rounds):
        # The first of a round is another one each time.
        start = number % len(programs)
        for program in programs[start:] + programs[:start]:
            answer = program.ask("time %g" % seconds)
            times[program.name].append(answer["ms"])
            if program is ours:
                limits.append(answer["limit_ms"])
    return times, limits


def judge(job, times, limits, memory, judged):
    """The result of one job: medians, ratios round by round, verdicts."""
    peers = [name for name in times if name != "ours"]
    best = min(peers, key=lambda name: statistics.median(times[name]))
    result = {"ms": {name: statistics.median(values) for name, values in times.items()},
              "limit_ms": statistics.median(limits),
              "limit_spread": spread(limits),
              "peer": best,
              "ratio": statistics.median(b / a for a, b in zip(times["ours"], times[best])),
              "of_limit": statistics.median(b / a for a, b in zip(times["ours"], limits)),
              "bar": job.ratio,
              "memory": memory}
    if not judged:
        result["speed"] = "reported"
    elif result["limit_spread"] > MAX_SPREAD:
        result["speed"] = "refused: the limit spreads by %.0f %%" % (100 * result["limit_spread"])
    elif result["ratio"] >= job.ratio:
        result["speed"] = "met"
    elif result["of_limit"] >= SHARE_OF_LIMIT:
        result["speed"] = "met: %.0f %% of the limit" % (100 * result["of_limit"])
    else:
        result["speed"] = "missed"
    fits = memory["ours"]["tensor_bytes"] <= memory[best]["tensor_bytes"]
    result["memory_verdict"] = "met" if fits else "missed"
    return result


def run_job(job, program, args):
    """Compares one job; returns its result."""
    threads = str(args.threads)
    ours = Program("ours", [program, "--job=" + job.job, "--threads=" + threads])
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads,
                   "CUDA_VISIBLE_DEVICES": ""}
    script = [sys.executable, "-B", str(ROOT / "tools" / "peers" / job.twin),
              "--job", job.job, "--threads", threads]
    twins = [Program("eager", script, environment),
             Program("compiled", script + ["--compile"], environment)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "start.safetensors")
        ours.ask("export " + path)
        for twin in twins:
            twin.ask("load " + path)
    losses = check_losses(ours, twins, job.tolerance)
    times, limits = measure(ours, twins, args.rounds, args.seconds)
    memory = {program.name: program.ask("memory") for program in [ours] + twins}
    judged = (args.threads == 1
              and ours.ready["machine"]["highway_target"].startswith("AVX3"))
    result = judge(job, times, limits, memory, judged)
    result.update(losses=losses, threads=args.threads, rounds=args.rounds, times=times,
                  limits=limits, machine=ours.ready["machine"],
                  versions={key: twins[0].ready.get(key)
                            for key in ("torch", "python", "numpy", "cpu_capability")})
    for process in [ours] + twins:
        process.close()
    return result


def mebibytes(value):
    return "-" if value is None else "%.1f" % (value / 2**20)


HEAD = ("%-22s %9s %9s %9s %7s %6s %9s  %-22s %s"
        % ("job", "ours ms", "eager", "compiled", "ratio", "bar", "of limit", "speed",
           "memory of a step, MiB: ours, eager, compiled"))


def row(name, result):
    ms = result["ms"]
    memory = result["memory"]
    return ("%-22s %9.3f %9.3f %9.3f %6.2fx %5.1fx %7.0f %%  %-22s %s: %s"
            % (name, ms["ours"], ms["eager"], ms["compiled"], result["ratio"], result["bar"],
               100 * result["of_limit"], result["speed"],
               ", ".join(mebibytes(memory[key]["tensor_bytes"])
                         for key in ("ours", "eager", "compiled")),
               result["memory_verdict"]))


def heading(result):
    machine, versions = result["machine"], result["versions"]
    return ("%s, %d cores, load %.2f, Highway %s, %s\nPyTorch %s (%s), NumPy %s, Python %s\n"
            "%d rounds, %s; process memory beyond the start: ours %s MiB, eager %s MiB\n"
            % (machine["cpu"], machine["cores"], machine["load"], machine["highway_target"],
               machine["compiler"], versions["torch"], versions["cpu_capability"],
               versions["numpy"], versions["python"], result["rounds"],
               "one thread's CPU time" if result["threads"] == 1
               else "%d threads, wall time" % result["threads"],
               mebibytes(result["memory"]["ours"].get("resident_bytes")),
               mebibytes(result["memory"]["eager"].get("resident_bytes"))))


def choose(words, jobs):
    """Names of the jobs that the words mean: names, or what stands before "/"."""
    if not words:
        return sorted(jobs)
    names = []
    for word in words:
        found = [name for name in sorted(jobs) if name == word or name.split("/")[0] == word]
        if not found:
            raise SystemExit("compare.py: no job \"%s\" (there are: %s)"
                             % (word, ", ".join(sorted(jobs))))
        names.extend(name for name in found if name not in names)
    return names


def build(targets):
    """Builds our programs; target -> path."""
    subprocess.run(["bazel", "build", "--noshow_progress"] + sorted(targets), cwd=ROOT, check=True)
    return {target: str(ROOT / "bazel-bin" / target[2:].replace(":", "/")) for target in targets}


def parse(argv):
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__.split("\n")[0])
    parser.add_argument("job", nargs="*", help="names, or what stands before \"/\"; default: all")
    parser.add_argument("--threads", type=int, default=1, help="more than one: wall time, no verdict")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1, help="of each program in a round")
    parser.add_argument("--json", metavar="FILE", help="a line of JSON for each job, as well")
    parser.add_argument("--list", action="store_true", help="only list the jobs")
    parser.add_argument("--check", action="store_true", help="what is missed is a failure")
    args = parser.parse_args(argv)
    if args.threads < 1 or args.rounds < 3 or not args.seconds > 0:
        parser.error("expected --threads of at least 1, --rounds of at least 3, --seconds above 0")
    return args


def main(argv=None, jobs=None, programs=None):
    """`jobs` and `programs` (target -> path) are the test's."""
    jobs = JOBS if jobs is None else jobs
    args = parse(argv)
    names = choose(args.job, jobs)
    if args.list:
        print("\n".join(names))
        return 0
    if programs is None:
        programs = build({jobs[name].target for name in names})
    missed = False
    lines = []
    for name in names:
        try:
            result = run_job(jobs[name], programs[jobs[name].target], args)
        except PeerError as error:
            print("compare.py: %s: %s" % (name, error), file=sys.stderr)
            return 1
        print(heading(result) + HEAD + "\n" + row(name, result) + "\n", flush=True)
        lines.append(json.dumps({"job": name, **result}) + "\n")
        missed |= "missed" in (result["speed"], result["memory_verdict"])
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            file.writelines(lines)
    return 1 if missed and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
