# SPDX-License-Identifier: Apache-2.0
"""The peer's half of a comparison: what every twin shares.

A twin is a PyTorch program that does the same training step as one of our step
programs. It says how to make the step; this answers the commands of
compare.py. README.md describes the protocol.

  class ByteLm(twin.Job):               # has self.optimizer and self.batch
      def __init__(self, width, compiled): ...
      def load(self, tensors): ...      # name -> numpy array
      def step(self): ...               # one training step, returns the loss
  twin.main({"d64": lambda compiled: ByteLm(64, compiled)})
"""

import argparse
import json
import statistics
import struct
import sys
import time

import numpy
import torch


def read_safetensors(path):
    """The tensors of a safetensors file that our programs write, as arrays."""
    types = {"F32": numpy.float32, "F64": numpy.float64, "I64": numpy.int64,
             "I32": numpy.int32, "U8": numpy.uint8}
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    return {name: numpy.frombuffer(data[slice(*entry["data_offsets"])],
                                   types[entry["dtype"]]).reshape(entry["shape"]).copy()
            for name, entry in header.items() if name != "__metadata__"}


def resident_bytes(field):
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no %s in /proc/self/status" % field)


def forget_peak():
    """Lets VmHWM start anew; False where the system does not allow it."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return True
    except OSError:
        return False


def peak_of_step(step):
    """The most bytes of tensors that a step has beside those before it."""
    from torch.profiler import ProfilerActivity, profile
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    # (time, bytes) of each allocation and release.
    events = [(event.start_ns(), event.nbytes())
              for event in record.profiler.kineto_results.events()
              if event.name() == "[memory]"]
    live = most = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        live += size
        most = max(most, live)
    return most


class Server:
    """Answers the commands for one job."""

    def __init__(self, job, threads, compiled, before):
        self.job, self.threads, self.compiled, self.before = job, threads, compiled, before

    def clock(self):
        return time.thread_time() if self.threads == 1 else time.perf_counter()

    def answer(self, command, argument):
        if command == "load":
            tensors = read_safetensors(argument)
            self.job.load(tensors)
            return {"loaded": len(tensors)}
        if command == "step":
            return {"losses": [float(self.job.step()) for _ in range(int(argument))]}
        if command == "time":
            return self.time(float(argument))
        if command == "memory":
            return self.memory()
        raise ValueError("no command \"%s\"" % command)

    def time(self, wanted):
        seconds = []
        while sum(seconds) < wanted or len(seconds) < 3:
            begin = self.clock()
            self.job.step()
            seconds.append(self.clock() - begin)
        return {"ms": statistics.median(seconds) * 1e3, "steps": len(seconds)}

    def memory(self):
        forgot = forget_peak()
        for _ in range(2):
            self.job.step()
        # The compiler works in this process and leaves its memory behind.
        resident = resident_bytes("VmHWM:") if forgot and not self.compiled else None
        answer = {"tensor_bytes": self.job.tensor_bytes() + peak_of_step(self.job.step)}
        if resident is not None:
            answer["resident_bytes"] = resident - self.before
        return answer


class Job:
    """What a twin derives from: the parts that PyTorch makes the same for all."""

    def tensor_bytes(self):
        """Bytes of parameters, gradients, optimiser state and batch between steps."""
        tensors = {}
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                tensors[parameter.data_ptr()] = parameter
                if parameter.grad is not None:
                    tensors[parameter.grad.data_ptr()] = parameter.grad
        for state in self.optimizer.state.values():
            for value in state.values():
                if torch.is_tensor(value):
                    tensors[value.data_ptr()] = value
        for tensor in self.batch:
            tensors[tensor.data_ptr()] = tensor
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def main(jobs):
    """Runs one of `jobs`, a dict of name -> function of `compiled` -> Job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", required=True, choices=sorted(jobs))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    before = resident_bytes("VmRSS:")
    server = Server(jobs[args.job](args.compile), args.threads, args.compile, before)
    # Whatever else writes to standard output must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr

    def write(answer):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    write({"ready": args.job, "threads": torch.get_num_threads(),
           "torch": torch.__version__, "python": sys.version.split()[0],
           "numpy": numpy.__version__,
           "cpu_capability": torch.backends.cpu.get_cpu_capability()})
    for line in sys.stdin:
        command, _, argument = line.rstrip("\n").partition(" ")
        try:
            write(server.answer(command, argument))
        except Exception as error:  # pylint: disable=broad-except
            write({"error": "%s: %s" % (type(error).__name__, error)})
