# SPDX-License-Identifier: Apache-2.0
"""What is measured, and how one measurement goes. A sample is a dictionary of numbers."""
import os
import pathlib
import re
import signal
import subprocess
import time

from . import machine
from .process import Failed
from .subjects import DENIED, HOST, NAMES

GIB = 1 << 30
# Outcome records that nobody waits for ride the next commit or go after 50 ms: they belong to the interval.
SETTLE_S = 0.15
OTHER_LOAD = 0.15  # of a core: above it a sample is taken again


class Metric:
    """One row: `mode` and `concurrency` for load, and which floor it is compared with."""

    def __init__(self, name, mode, concurrency, floor, fields, what):
        self.name, self.mode, self.concurrency = name, mode, concurrency
        self.floor, self.fields, self.what = floor, fields, what

    def floor_for(self, subject):
        """Who goes by SNI is held against the floor that reads no CONNECT."""
        if not subject.raw:
            return self.floor
        return {"floor-hybrid": "floor-raw-splice", "floor-copy": "floor-raw-copy"}.get(self.floor, self.floor)

    def fits(self, subject):
        if self.mode == "deny":
            return subject.denies
        if self.mode == "http":
            return subject.http or subject.name == "direct"
        if subject.name == "direct":
            return self.mode != "rest"
        return subject.relays


TUNNEL = ("cpu_us", "rate", "p50_us", "p99_us", "p999_us")
BULK = ("cpu_s_gib", "gbit")
SMALL = ("cpu_us", "rate", "p50_us", "p99_us")

METRICS = [
    Metric("tunnel-c1", "tunnels", 1, "floor-hybrid", TUNNEL, "a new tunnel, one at a time"),
    Metric("tunnel-c64", "tunnels", 64, "floor-hybrid", TUNNEL, "new tunnels, 64 at a time"),
    Metric("tunnel-c512", "tunnels", 512, "floor-hybrid", TUNNEL, "new tunnels, 512 at a time"),
    Metric("deny-c64", "deny", 64, "floor-deny", SMALL, "denied names, 64 at a time"),
    Metric("down-1", "down", 1, "floor-hybrid", BULK, "bulk to the client, 1 tunnel"),
    Metric("down-16", "down", 16, "floor-hybrid", BULK, "bulk to the client, 16 tunnels"),
    Metric("down-64", "down", 64, "floor-hybrid", BULK, "bulk to the client, 64 tunnels"),
    Metric("up-1", "up", 1, "floor-hybrid", BULK, "bulk from the client, 1 tunnel"),
    Metric("up-16", "up", 16, "floor-hybrid", BULK, "bulk from the client, 16 tunnels"),
    Metric("up-64", "up", 64, "floor-hybrid", BULK, "bulk from the client, 64 tunnels"),
    Metric("ping-64", "ping", 64, "floor-copy", SMALL, "1 KiB there and back, 64 tunnels"),
    Metric("http-64", "http", 64, "floor-hybrid", SMALL, "plain GET of 1 KiB, 64 kept connections"),
    Metric("idle", "idle", 0, "floor-hybrid", ("user_b", "kernel_b", "all_b", "idle_cpu"), "a tunnel that stands idle"),
    Metric("rest", "rest", 0, "floor-hybrid", ("pss_mib", "rss_mib", "start_s"), "the program without tunnels"),
    Metric("calls", "calls", 64, "floor-hybrid", ("calls",), "system calls a tunnel (strace)"),
]


class Scale:
    """How long things take."""

    def __init__(self, seconds, bulk_gib, idle_tunnels, idle_seconds, retries):
        self.seconds, self.bulk_gib, self.idle_tunnels = seconds, bulk_gib, idle_tunnels
        self.idle_seconds, self.retries = idle_seconds, retries


def load_argv(metric, subject, place, address, scale):
    name = DENIED if metric.mode == "deny" else HOST
    argv = ["--proxy", address, "--host", name, "--names", str(NAMES), "--port", place.origin_port,
            "--concurrency", str(metric.concurrency or scale.idle_tunnels)]
    mode = "tunnels" if metric.mode == "calls" else metric.mode
    argv += ["--mode", mode, "--seconds", str(scale.seconds), "--bytes", str(int(scale.bulk_gib * GIB))]
    if mode in ("tunnels", "deny"):
        argv += ["--warm-up", str(max(200, 4 * metric.concurrency))]
    if metric.mode == "calls":
        argv += ["--count", "2000"]
    return argv + (["--raw"] if subject.raw else [])


class Interval:
    """CPU of everybody between two moments."""

    def __init__(self, place, program, load):
        self.programs = {"subject": program.pids() if program else [], "runner": [os.getpid()],
                         "load": load.pids(), "origin": place.origin_program.pids(), "dns": place.dns_program.pids()}
        self.before = {k: machine.Cpu(v) for k, v in self.programs.items()}
        self.busy = machine.machine_busy()
        self.begin = time.monotonic()

    def end(self, program):
        busy = machine.machine_busy() - self.busy
        took = time.monotonic() - self.begin
        if program:
            self.programs["subject"] = program.pids()
        used = {k: machine.Cpu(v).seconds_since(self.before[k]) for k, v in self.programs.items()}
        used["other"] = max(0.0, busy - sum(used.values()))
        return used, took


def check(result, standing):
    wrong = {k: v for k, v in result["errors"].items() if v}
    if wrong:
        raise Failed("load saw errors: " + ", ".join(f"{v} {k}" for k, v in wrong.items()))
    if result["ops"] == 0:
        raise Failed("load did nothing")
    if standing and result["standing"] < standing:
        raise Failed(f"{result['standing']} of {standing} tunnels stand")


def sample_of(metric, subject, result, used, took):
    latency = result["latency_us"]
    cpu = used["subject"]
    sample = {"other_load": used["other"] / took, "load_core": (used["load"] + used["origin"] + used["dns"]) / took,
              "subject_core": cpu / took, "ops": result["ops"]}
    if metric.fields == BULK:
        sample["gbit"] = result["bytes"] * 8 / result["seconds"] / 1e9
        if subject.name != "direct":
            sample["cpu_s_gib"] = cpu * GIB / result["bytes"]
    else:
        if subject.name != "direct":
            sample["cpu_us"] = cpu * 1e6 / result["ops"]
        sample["rate"] = result["ops"] / result["seconds"]
        for point in ("p50", "p99", "p999"):
            sample[f"{point}_us"] = latency[point]
    return sample


def measure_work(metric, subject, place, program, address, scale):
    load = place.tool("load", *load_argv(metric, subject, place, address, scale))
    try:
        if load.line(60).get("phase") != "ready":
            raise Failed("load could not open its connections")
        time.sleep(SETTLE_S)
        interval = Interval(place, program, load)
        load.go_on()
        result = load.line(120)
        time.sleep(SETTLE_S)
        used, took = interval.end(program)
        check(result, 0)
        return sample_of(metric, subject, result, used, took)
    finally:
        load.end()


def measure_idle(metric, subject, place, program, address, scale):
    time.sleep(SETTLE_S)
    pids = program.pids() if program else []
    user, kernel = machine.memory(pids)[0], machine.socket_memory()
    load = place.tool("load", *load_argv(metric, subject, place, address, scale))
    try:
        if load.line(120).get("phase") != "ready":
            raise Failed("load could not open its connections")
        time.sleep(2 * SETTLE_S)
        interval = Interval(place, program, load)
        time.sleep(scale.idle_seconds)
        used, took = interval.end(program)
        sample = {"other_load": used["other"] / took}
        if program:
            sample["idle_cpu"] = used["subject"] / took
            sample["user_b"] = (machine.memory(program.pids())[0] - user) / scale.idle_tunnels
        kernel_now = machine.socket_memory()
        if kernel is not None:
            sample["pair_b"] = (kernel_now - kernel) / scale.idle_tunnels
        load.go_on()
        check(load.line(30), scale.idle_tunnels)
        return sample
    finally:
        load.end()


def measure_rest(place, program, started):
    time.sleep(0.5)
    pss, rss = machine.memory(program.pids())
    return {"pss_mib": pss / (1 << 20), "rss_mib": rss / (1 << 20), "start_s": started, "other_load": 0}


def count_calls(metric, subject, place, program, address, scale):
    """System calls of 2,000 tunnels; strace slows the subject down, so nothing else is read from this run."""
    load = place.tool("load", *load_argv(metric, subject, place, address, scale))
    out = place.dir / "strace"
    try:
        if load.line(60).get("phase") != "ready":
            raise Failed("load could not open its connections")
        argv = ["strace", "-f", "-c", "-o", str(out)]
        for pid in program.pids():
            argv += ["-p", str(pid)]
        strace = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        strace.stderr.readline()  # "attached"
        time.sleep(0.5)
        load.go_on()
        result = load.line(120)
        time.sleep(SETTLE_S)
        strace.send_signal(signal.SIGINT)
        strace.communicate()
        check(result, 0)
    finally:
        load.end()
    calls = {}
    for line in out.read_text().splitlines():
        row = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if row and row[2] != "total":
            calls[row[2]] = int(row[1]) / result["ops"]
    return {"calls": sum(calls.values()), "other_load": 0,
            "by_name": {k: round(v, 2) for k, v in sorted(calls.items(), key=lambda i: -i[1]) if v >= 0.05}}


def once(metric, subject, place, scale):
    problems = machine.new_network()
    place.open(subject.memory)
    program = None
    try:
        begin = time.monotonic()
        program, address = subject.start(place)
        started = time.monotonic() - begin
        if metric.mode == "rest":
            sample = measure_rest(place, program, started)
        else:
            machine.wait_quiet(1.5)
            how = {"idle": measure_idle, "calls": count_calls}.get(metric.mode, measure_work)
            sample = how(metric, subject, place, program, address, scale)
        sample["problems"] = problems
        return sample
    finally:
        if program:
            program.end()
        place.close()


def measure(metric, subject, place, scale):
    """One sample, taken again while other load disturbs it; `disturbed` says that it stayed so."""
    best = None
    for _ in range(1 + scale.retries):
        sample = once(metric, subject, place, scale)
        if best is None or sample["other_load"] < best["other_load"]:
            best = sample
        if best["other_load"] <= OTHER_LOAD:
            break
    best["floor"] = metric.floor_for(subject)
    best["disturbed"] = best["other_load"] > OTHER_LOAD
    return best


def has_strace():
    return any(pathlib.Path(p, "strace").exists() for p in os.environ.get("PATH", "").split(":"))
