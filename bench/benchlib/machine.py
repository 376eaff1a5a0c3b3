# SPDX-License-Identifier: Apache-2.0
"""What is asked of the machine: a network of one's own, cores, CPU time and memory of processes, other load."""
import ctypes
import fcntl
import os
import pathlib
import re
import socket
import statistics
import struct
import time

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
SIGKILL = 9
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")
LIBC = ctypes.CDLL(None, use_errno=True)

# TIME_WAIT keeps every tunnel's ports for a minute: a fresh network for each run, with room for all of them, so that
# the tenth run does not find what the first nine left.
SYSCTLS = {
    "ipv4/tcp_congestion_control": "reno",  # bbr paces on loopback, which no subject can help
    "ipv4/ip_local_port_range": "1024 65535",
    "ipv4/tcp_tw_reuse": "1",
    "ipv4/tcp_max_tw_buckets": "1000000",
    "core/somaxconn": "4096",
}

# What the kernel keeps for a connection; a cache that this kernel merged into another one is not seen. Names ("dentry")
# are added by number: everything that opens files moves that cache.
SOCKET_CACHES = ("TCP", "sock_inode_cache", "filp", "eventpoll_epi", "eventpoll_pwq", "ep_head")
DENTRY_BYTES = 192


def is_root():
    return os.geteuid() == 0


def new_network():
    """Moves this process, and what it starts from now on, into a network namespace of its own. Gives what did not
    work, as text."""
    if not is_root():
        return ["not root: the host's network is used, with its congestion control and what others do in it"]
    if LIBC.unshare(CLONE_NEWNET) != 0:
        return [f"no network namespace ({os.strerror(ctypes.get_errno())}): the host's network is used"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
    problems = []
    for name, value in SYSCTLS.items():
        try:
            pathlib.Path("/proc/sys/net", name).write_text(value)
        except OSError as e:
            problems.append(f"{name} is not {value}: {e.strerror}")
    return problems


def cores():
    """(cores of the subject, cores of the rest, a complaint or None)."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) == 1:
        return usable, usable, "one core alone: the subject shares it with load and origin"
    return usable[:1], usable[1:], None


def in_child(on, descriptors):
    """For subprocess: pins the child, bounds its descriptors, and ends it when this program ends."""
    import resource

    def prepare():
        os.sched_setaffinity(0, on)
        LIBC.prctl(PR_SET_PDEATHSIG, SIGKILL)
        soft = min(descriptors, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))

    return prepare


def _stat(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2:].split()


def family(roots, token):
    """Pids of `roots`, of all that descends from them, and of whoever has `token` in its environment: a process that
    daemonised itself keeps at least that."""
    parents, found = {}, set(roots)
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        pid = int(entry)
        try:
            parents[pid] = int(_stat(pid)[1])
            if token and token.encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes():
                found.add(pid)
        except OSError:
            continue
    grew = True
    while grew:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        grew = bool(more)
        found |= more
    return sorted(pid for pid in found if pid in parents)


class Cpu:
    """CPU time of processes at one moment: nanoseconds of each thread (schedstat), and the ticks of each process as a
    check, since those also hold what threads used that have ended."""

    def __init__(self, pids):
        self.when = time.monotonic()
        self.threads, self.ticks = {}, {}
        for pid in pids:
            try:
                fields = _stat(pid)
                self.ticks[pid] = sum(int(f) for f in fields[11:15])
                for task in os.listdir(f"/proc/{pid}/task"):
                    text = pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text()
                    self.threads[int(task)] = int(text.split()[0])
            except OSError:
                continue

    def seconds_since(self, before):
        exact = sum(ns - before.threads.get(tid, 0) for tid, ns in self.threads.items()) / 1e9
        coarse = sum(t - before.ticks.get(pid, 0) for pid, t in self.ticks.items()) / TICKS
        ended = set(before.threads) - set(self.threads)
        unusable = exact == 0 and coarse > 0.05  # a kernel without schedstat
        return max(exact, coarse) if ended or unusable else exact


def machine_busy():
    """Seconds that all cores together were busy since the start, stolen time included."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(f) for f in fields[:8])
    return (user + nice + system + irq + softirq + steal) / TICKS


def wait_quiet(limit_s):
    """Waits until the machine is nearly idle: closing a network with many TIME_WAIT takes the kernel a while."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        before = machine_busy()
        time.sleep(0.1)
        if machine_busy() - before < 0.03:
            return


def memory(pids):
    """(PSS, RSS) of the processes, in bytes."""
    pss = rss = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) * 1024
        rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1]) * 1024
    return pss, rss


def socket_memory():
    """Bytes in the kernel's caches for sockets, of the whole machine; None when it may not be read."""
    try:
        lines = pathlib.Path("/proc/slabinfo").read_text().splitlines()[2:]
    except OSError:
        return None
    total = 0
    for line in lines:
        fields = line.split()
        if fields[0] in SOCKET_CACHES:
            slabs = int(fields[fields.index("slabdata") + 2])
            total += slabs * int(fields[5]) * PAGE
    return total


def sync_cost(folder, core, count=400):
    """What one record costs the disk alone: CPU of this thread, and time, of a write of 1,250 bytes with fdatasync, in us;
    one after the other with a rest between them, as a client that asks one thing at a time makes them."""
    before, path = os.sched_getaffinity(0), pathlib.Path(folder, f"sync.{os.getpid()}")
    os.sched_setaffinity(0, core)
    record, cpu, took = os.urandom(1250), [], []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            used, begin = time.thread_time_ns(), time.monotonic_ns()
            os.write(fd, record)
            os.fdatasync(fd)
            cpu.append(time.thread_time_ns() - used)
            took.append(time.monotonic_ns() - begin)
            time.sleep(0.0003)
    finally:
        os.close(fd)
        path.unlink()
        os.sched_setaffinity(0, before)
    return {"cpu_us": statistics.median(cpu) / 1000, "p50_us": statistics.median(took) / 1000}


def describe():
    """What a reader of the figures must know of the machine."""
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    uname = os.uname()
    return {"cpu": model[1] if model else uname.machine, "cores": len(os.sched_getaffinity(0)),
            "kernel": uname.release, "loadavg": os.getloadavg()[0]}
