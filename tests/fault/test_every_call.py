# SPDX-License-Identifier: Apache-2.0
"""Every call that the program makes of the system fails once, in each of its errors that matter, at some of the places
where it is made: while it starts, carries a tunnel, answers a request, loads a policy, begins a segment of its log, has
a head signed, and is given a session. It refuses or goes on, never crashes or hangs; nothing leaves without a record,
and the next one of the same kind goes well."""
import errno as E
import os
import re
import subprocess

import pytest

from fault import CALLS
from lab import StartFailed, wait_for
from lab.origin import after_hello, echo
from lab.proxy import unprivileged, wait_descriptors
from lab.web import raw_answer
from lab.webclient import get, read_answer
from lab.webworld import url, web
from test_memory import says_why

LONG = bool(os.environ.get("SALLYPORT_LONG"))
LIMITS = {"attempts_per_second": 100000, "attempts_burst": 1000000, "distinct_names_per_minute": 8192,
          "resolve_timeout": "1s", "dial_timeout": "1s", "hello_timeout": "2s", "head_timeout": "2s"}
SECONDS = 6  # more than all deadlines of a tunnel together
DATA = os.urandom(256 << 10)

FULL, NO_FD = (E.EIO, E.ENOSPC), (E.EMFILE, E.ENOMEM)
ERRORS = {
    "malloc": (E.ENOMEM,), "mmap": (E.ENOMEM,), "fork": (E.EAGAIN,), "pthread_create": (E.EAGAIN,),
    "open": (E.EMFILE, E.EIO, E.EACCES, E.EINTR), "openat": (E.EMFILE, E.EIO, E.EACCES, E.EINTR), "fopen": NO_FD,
    "write": (E.EIO, E.ENOSPC, E.EDQUOT, E.EINTR), "pwrite": FULL, "writev": (E.EPIPE, E.ENOBUFS),
    "write_pipe": (E.EPIPE, E.EAGAIN, E.EIO), "read": (E.EIO, E.EINTR), "pread": (E.EIO, E.EINTR),
    "readv": (E.ECONNRESET, E.ENOMEM), "fdatasync": (E.EIO, E.ENOSPC, E.EDQUOT), "fsync": (E.EIO, E.ENOSPC, E.EDQUOT),
    "fallocate": (E.EIO, E.ENOSPC, E.EOPNOTSUPP, E.EINTR), "ftruncate": (E.EIO, E.EINTR), "lseek": (E.EIO,),
    "fstat": (E.EIO, E.ENOMEM), "stat": (E.EIO, E.EACCES), "lstat": (E.EIO, E.EACCES), "fstatat": (E.EIO, E.ENOMEM),
    "fstatvfs": (E.EIO,), "flock": (E.ENOLCK, E.EINTR), "fcntl": (E.EPERM, E.ENOMEM), "ioctl": (E.EIO,),
    "access": (E.EACCES,), "mkdir": FULL, "mkdirat": FULL, "rename": FULL, "renameat": FULL,
    "unlink": (E.EIO, E.EACCES), "unlinkat": (E.EIO, E.EACCES), "rmdir": (E.EIO, E.EBUSY), "chmod": (E.EPERM, E.EIO),
    "fchmod": (E.EPERM, E.EIO), "fchown": (E.EPERM, E.EIO), "lchown": (E.EPERM, E.EIO), "opendir": NO_FD,
    "fdopendir": (E.ENOMEM,), "readdir": (E.EIO,), "readlink": (E.EIO, E.EACCES), "realpath": (E.EIO, E.ENOMEM),
    "getcwd": (E.ENOENT,), "close": (E.EIO, E.EINTR), "inotify_init1": NO_FD, "inotify_add_watch": (E.ENOSPC, E.ENOMEM),
    "signalfd": NO_FD, "timerfd_create": NO_FD, "timerfd_settime": (E.ENOMEM,), "eventfd": NO_FD,
    "memfd_create": NO_FD, "epoll_create1": NO_FD, "epoll_ctl": (E.ENOMEM, E.ENOSPC), "epoll_wait": (E.EINTR,),
    "poll": (E.EINTR, E.ENOMEM), "ppoll": (E.EINTR, E.ENOMEM), "socketpair": NO_FD, "pipe2": (E.EMFILE, E.ENFILE),
    "accept4": (E.EMFILE, E.ENFILE, E.ENOBUFS, E.ENOMEM, E.ECONNABORTED, E.EPERM, E.EINTR),
    "socket": (E.EMFILE, E.ENFILE, E.ENOBUFS, E.EACCES), "bind": (E.EADDRINUSE, E.EACCES), "listen": (E.EADDRINUSE,),
    "connect": (E.ENETUNREACH, E.EHOSTUNREACH, E.ECONNREFUSED, E.ETIMEDOUT, E.EADDRNOTAVAIL, E.EACCES, E.ENOBUFS),
    "shutdown": (E.ENOTCONN,), "getsockname": (E.ENOBUFS,), "getpeername": (E.ENOTCONN,), "getsockopt": (E.ENOBUFS,),
    "setsockopt": (E.ENOMEM, E.EINVAL), "recv": (E.ECONNRESET, E.ETIMEDOUT, E.ENOMEM),
    "send": (E.EPIPE, E.ECONNRESET), "splice": (E.EINVAL, E.ENOMEM, E.EIO, E.ECONNRESET, E.EPIPE),
    "recvfrom": (E.ECONNREFUSED, E.ENOMEM), "sendto": (E.ENOBUFS, E.ECONNREFUSED),
    "sendmsg": (E.ENOBUFS, E.ENETUNREACH, E.EPERM, E.EMSGSIZE), "getifaddrs": NO_FD, "getrandom": (E.EINTR,),
    "getgroups": (E.EIO,), "getrlimit": (E.EPERM,), "setrlimit": (E.EPERM,), "waitpid": (E.EINTR,),
    "landlock": (E.ENOSYS,), "seccomp": (E.EINVAL,), "clock_nanosleep": (E.EINTR,), "nanosleep": (E.EINTR,),
}


class World:
    def __init__(self, lab, fault):
        self.lab, self.fault = lab, fault
        self.origin, self.web = lab.origin(after_hello(echo)), web(lab)
        self.web.on("/p", raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", close=False))
        lab.dns.set("*.k.test", self.origin.address, ttl=0)
        ports = {"connect": [443, self.origin.port], "http": [80, self.web.port]}
        self.policies = [lab.policy(hosts=[self.origin.at("*.k.test"), self.web.at("w.test")], ports=ports,
                                    limits=LIMITS, allowed_hosts=[f"{turn}.turn.test"]) for turn in "ab"]
        self.proxy = lab.proxy(self.policies[0], wrapper=fault.wrapper, args=["--workers", "1"])
        self.count, self.turn, self.hours, self.ends, self.talked = 0, 0, 0, [], []

    def fresh(self):
        self.count += 1
        return f"n{self.count}"

    def command(self, *words):
        return subprocess.run([self.proxy.binary, *words, "--admin", f"unix:{self.proxy.folder}/admin/a.sock"],
                              capture_output=True, text=True, timeout=30, cwd="/", **unprivileged()).returncode

    def lives(self, life):
        """Whether all goes well; a program that ends instead has said why, and is started again."""
        try:
            good = life(self)
        except (OSError, AssertionError):
            try:
                wait_for(lambda: not self.proxy.alive(), 3, "it ends")
            except AssertionError:
                pass
            if self.proxy.alive():
                raise
            good = False
        if not self.proxy.alive():
            says_why(self.proxy.wait(5), self.proxy.text())
            self.ends.append(self.at)
            self.fault.clear()
            self.proxy.start()
        return good

    def fails(self, life, call, error, skip, of_child=False):
        """One life with a fault in it, and one without. True if the fault was met."""
        before, self.at = self.fault.failed(call), call
        self.fault.set(call, error=error, skip=skip, of_child=of_child)
        try:
            self.lives(life)
            self.fault.clear()
            wait_for(lambda: self.lives(life), 12, "it goes well without a fault")
        except (OSError, AssertionError) as problem:
            raise AssertionError(f"{E.errorcode[error]} at call {skip} of {call}: {problem}") from problem
        return self.fault.failed(call) > before

    def ends_well(self):
        if not self.ends:
            wait_descriptors(self.proxy, self.descriptors + 4)  # pipes that are kept for the next tunnel
        assert self.proxy.stop() == 0, self.proxy.text()
        audit = self.proxy.audit
        hosts = {r["dst_endpoint"]["hostname"] for r in audit.attempts()}
        asked = {q.lower for q in self.lab.dns.asked()}
        assert asked <= hosts, f"asked for and not on record: {sorted(asked - hosts)[:5]}"
        allowed = {r["metadata"]["correlation_uid"]: r for r in audit.attempts(verdict="allow")}
        ended = {r["metadata"]["correlation_uid"]: r for r in audit.outcomes()}
        if not self.ends:
            assert set(allowed) <= set(ended)
            dials = sum(r["unmapped"].get("dials", 0) for r in ended.values())
            assert dials >= len(self.origin.conns) + len(self.web.conns), "an origin was reached without a record"
        names = {r["dst_endpoint"]["hostname"] for r in allowed.values()}
        assert {f"{name}.k.test" for name in self.talked} <= names
        if self.hours == 0:
            assert audit.verifies()
            return
        text = audit.verify().stdout  # nobody beat for hours, and that is said; nothing else is
        assert b"in all: 0 gaps, 0 outcomes without an attempt" in text and b"hash to the roots" in text, text


# ---- lives: each is true when all went well, false when it was refused in a known way, and an error otherwise ----

def tunnel(world):
    name = world.fresh()
    with world.proxy.connect(f"{name}.k.test", world.origin.port) as client:
        try:
            status = client.read_reply(SECONDS).status
            if status != 200:
                assert status in (502, 503, 504), status
                return False
            world.talked.append(name)
            client.hello(sni=f"{name}.k.test").send(DATA)
            back = client.read_exactly(len(DATA), SECONDS)
        except ConnectionError:
            return False
        except AssertionError as problem:
            if "closed" not in str(problem):
                raise
            assert DATA.startswith(bytes(client.buffer)), "what arrives is a beginning of what was sent"
            return False
    assert back == DATA
    return True


def request(world):
    with world.proxy.client() as client:
        try:
            get(client, url(world.web, "/p", host="w.test"))
            answer = read_answer(client, seconds=SECONDS)
        except ConnectionError:
            return False
        if answer is None or not answer.complete:
            return False
        assert answer.status in (200, 502, 503, 504), repr(answer)
        assert answer.status != 200 or answer.body == b"body"
        return answer.status == 200


def reload(world):
    audit, loads = world.proxy.audit, ("policy_loaded", "policy_refused")
    before = [len(audit.events(name)) for name in loads]
    world.turn ^= 1
    world.proxy.write_policy(world.policies[world.turn])
    world.proxy.hup()
    wait_for(lambda: [len(audit.events(name)) for name in loads] != before or not world.proxy.alive(), 10,
             "the load is over")
    with world.proxy.connect(f"{'ba'[world.turn]}.turn.test", 443) as client:  # what the other one allows
        try:
            return client.read_reply(SECONDS).status == 403
        except (ConnectionError, AssertionError):
            return False


def denied(world):
    """(name, status) of an attempt that is refused and recorded; 0: closed without an answer."""
    name = f"{world.fresh()}.denied.test"
    with world.proxy.connect(name, 443) as client:
        try:
            status = client.read_reply(SECONDS).status
        except ConnectionError:
            return name, 0
        except AssertionError as problem:
            if "closed" not in str(problem):
                raise
            return name, 0
    assert status in (403, 503), status
    return name, status


def roll(world):
    """An hour later, the log goes on in another segment."""
    audit = world.proxy.audit
    before = len(audit.events("log_rotated"))
    world.hours += 1
    world.fault.go_on(3700 * world.hours)
    status = denied(world)[1]
    try:
        wait_for(lambda: len(audit.events("log_rotated")) > before, 3, "another segment")
    except AssertionError:
        return False
    return status == 403


def session(world):
    name = world.fresh()
    opened = world.command("session", "open", "--environment", "env-a", "--session", name) == 0
    changed = world.command("session", "set", "--session", name, "--allow-hosts", "a.test") == 0
    shown = world.command("session", "show", "--session", name) == 0
    closed = world.command("session", "close", "--session", name) == 0
    return opened and changed and shown and closed


def sign(world):
    """A record, and a head over it."""
    def size():
        path = world.proxy.audit_dir / "checkpoint"
        return int(path.read_text().splitlines()[1]) if path.exists() else 0

    name, status = denied(world)
    if status != 403:
        return False
    index = world.proxy.audit.attempt(host=name)["metadata"]["sequence"]
    try:
        wait_for(lambda: size() > index or not world.proxy.alive(), 4, "it is signed")
    except AssertionError:
        return False
    return world.proxy.alive()


# What ends the program, with a word for it, so that whoever watches it starts it again: the signer's end of its socket,
# who may be asked in the middle of any life.
MAY_END = {"recv", "send"}
LIVES = [(tunnel, False), (request, False), (reload, False), (roll, False), (session, False), (sign, False),
         (sign, True)]


def census(world, life, of_child):
    """{call: how often it is made in one life}, the most of some; and the calls that each of them makes."""
    world.fault.watch_child(of_child)
    most, steady = {}, set(CALLS)
    good = 0
    while good < 3:
        before = {call: world.fault.calls(call) for call in CALLS}
        if not life(world):  # a clock that is put on in the middle of a commit makes it look slow
            world.count += 1
            assert world.count < 100
            continue
        good += 1
        steady &= {call for call in CALLS if world.fault.calls(call) > before[call]}
        for call in CALLS:
            most[call] = max(most.get(call, 0), world.fault.calls(call) - before[call])
    return {call: count for call, count in most.items() if count > 0}, steady


@pytest.mark.parametrize("life,of_child", LIVES, ids=lambda v: v.__name__ if callable(v) else "signer" if v else "own")
def test_each_call_fails_once(lab, fault, life, of_child):
    world = World(lab, fault)
    made, steady = census(world, life, of_child)
    wait_for(lambda: life(world), 5, "a life without faults")
    world.descriptors = world.proxy.descriptors()
    met = {}
    for call, count in made.items():
        # A head is signed once a second: what takes long is told shortly.
        for i, error in enumerate(ERRORS[call] if LONG or life is not sign else ERRORS[call][:1]):
            places = {i * (count - 1) // 39 for i in range(40)} if LONG else {(0, count // 2, count - 1)[i % 3]}
            for skip in sorted(places):
                met[call] = world.fails(life, call, error, skip, of_child) or met.get(call, False)
    never = [call for call in steady if not met[call]]
    print(life.__name__, made, "never met:", never, "ended:", world.ends)
    assert set(world.ends) <= MAY_END, world.ends
    assert len(never) <= len(steady) // 4, f"never failed: {never}"
    fault.watch_child(False)
    world.ends_well()


def test_each_call_of_a_start(lab, fault):
    """It starts, or says why not and gives a status."""
    policy = lab.policy(allowed_hosts=["a.test"])
    first = lab.proxy(policy, wrapper=fault.wrapper, args=["--workers", "1"])
    made = {call: fault.calls(call) for call in CALLS if call not in ("malloc", "write_pipe")}
    assert first.stop() == 0
    started, ended, late = 0, 0, []
    for call, count in made.items():
        for skip in sorted({round(i * (count - 1) / 2) for i in range(3)}) if LONG else [0, count // 2]:
            if skip >= count:
                continue
            fault.set(call, error=ERRORS[call][0], skip=skip)
            one = lab.proxy(policy, wrapper=fault.wrapper, args=["--workers", "1"], start=False,
                            audit_dir=first.audit_dir, signer_dir=first.signer_dir)
            try:
                one.start()
            except StartFailed as end:
                ended += 1
                says_why(end.code, end.text)
            else:
                started += 1
                fault.clear()
                try:
                    wait_for(lambda: one.connect("denied.test", 443).read_reply().status == 403, 8, "it serves")
                except OSError:
                    says_why(one.wait(5), one.text())
                    late.append(call)
                    continue
                status = one.stop()
                if status != 0:  # it had served before the signer was asked
                    says_why(status, one.text())
                    late.append(call)
            finally:
                fault.clear()
    print("started:", started, "ended:", ended, "ended late:", late)
    assert started > 5 and ended > 5, (started, ended)
    assert set(late) <= {"recv", "send", "poll", "ppoll"}, late  # of the signer, who is asked when all is open
    last = lab.proxy(policy, audit_dir=first.audit_dir, signer_dir=first.signer_dir)
    assert last.stop() == 0
    assert last.audit.verifies()


# ---- is it every call? ----

# What has no error, or none but for a mistake of the caller's own.
CANNOT_FAIL = {"clock_gettime", "gettimeofday", "time", "getpid", "geteuid", "getegid", "getuid", "getgid", "umask",
               "munmap", "exit", "abort", "raise", "sysconf", "kill"}
# Of a start as root and of the cage: what is missing of the one ends the start, of the other it is said.
ONCE = {"setgroups", "setresgid", "setresuid", "initgroups", "getpwnam", "getpwuid", "prctl", "close_range", "dup2",
        "chdir"}
# Of verbs that are no proxy: exec, ship, check, session.
OF_VERBS = {"fexecve", "mkdtemp", "mkstemp", "mount", "readlinkat", "setsid", "symlink", "tmpfile", "getgrnam"}
# Streams of the C library: what they are made of fails by `fopen`, `opendir` and by memory.
STREAMS = {"fdopen", "fgets", "fread", "fwrite", "fclose", "fflush", "getdelim", "closedir"}
# In libevent for other systems and other uses than ours.
NOT_USED = {"accept", "epoll_create", "pipe", "select", "sendfile", "getaddrinfo"}
OTHER_NAMES = {"opendir", "fdopendir", "readdir", "fopen", "realpath", "pthread_create", "getifaddrs", "tmpfile",
               "waitpid", "fstatvfs", "eventfd", "signalfd", "fstatat", "getaddrinfo", "fdopen", "mkstemp", "mkdtemp",
               "initgroups", "getgrnam", "getpwnam", "getpwuid", "raise", "abort", "recv", "send", "closedir",
               "fclose", "fgets", "fread", "fwrite", "fflush", "getdelim", "fexecve", "sysconf", "nanosleep"}
NUMBERS = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"


def imported(path):
    out = subprocess.run(["nm", "-D", "--undefined-only", path], capture_output=True, text=True, check=True).stdout
    names = (line.split()[-1].partition("@")[0] for line in out.splitlines())
    return {re.sub(r"^__|_chk$", "", name) for name in names}


@pytest.mark.skipif(not os.path.exists(NUMBERS), reason="the names of another processor's calls are elsewhere")
def test_the_table_has_every_call(programs):
    """What the program and its libraries of sockets take from the C library and is a system call has a row, or a reason."""
    calls = set(re.findall(r"__NR_(\w+)", open(NUMBERS).read())) | OTHER_NAMES
    linked = subprocess.run(["ldd", programs[0]], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"=> (\S*/lib(?:event\S*|cares)\.so\S*)", linked)
    assert len(libraries) >= 2, linked
    used = set().union(*map(imported, [programs[0], *libraries])) & calls
    reasons = CANNOT_FAIL | ONCE | OF_VERBS | STREAMS | NOT_USED
    assert not used - set(CALLS) - reasons, f"without a row in calls_tbl.h: {sorted(used - set(CALLS) - reasons)}"
    assert set(ERRORS) == set(CALLS)
