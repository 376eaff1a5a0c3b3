# SPDX-License-Identifier: Apache-2.0
"""Programs that speak JSON lines: started, asked, and ended by their own pid."""
import json
import os
import select
import subprocess
import time

from . import machine


class Failed(Exception):
    """A program did not do what a measurement needs of it."""


class Program:
    """One started program. `token` stands in its environment, so that its children are found whatever they do."""

    def __init__(self, argv, on, descriptors, *, token="", user=None, pass_fds=(), log=None):
        self.argv = [str(a) for a in argv]
        self.token = f"BENCH_SUBJECT={token}" if token else ""
        env = dict(os.environ)
        if token:
            env["BENCH_SUBJECT"] = token
        who = {"user": user, "group": user, "extra_groups": []} if user is not None else {}
        self.popen = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=log or subprocess.DEVNULL, env=env, pass_fds=pass_fds,
                                      start_new_session=True, preexec_fn=machine.in_child(on, descriptors), **who)
        self.pending = b""

    def pids(self):
        return machine.family([self.popen.pid], self.token)

    def line(self, seconds):
        """The next line of its standard output, as JSON."""
        end = time.monotonic() + seconds
        while b"\n" not in self.pending:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.popen.stdout], [], [], left)[0]:
                raise Failed(f"{self.argv[0]} said nothing for {seconds} s")
            part = os.read(self.popen.stdout.fileno(), 65536)
            if not part:
                raise Failed(f"{self.argv[0]} ended with status {self.popen.wait()}")
            self.pending += part
        text, self.pending = self.pending.split(b"\n", 1)
        return json.loads(text)

    def go_on(self):
        try:
            self.popen.stdin.write(b"\n")
            self.popen.stdin.flush()
        except OSError:
            pass

    def end(self, seconds=5):
        """TERM to the program, KILL to what is left of its family after a while."""
        family = self.pids()
        self.popen.terminate()
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        for pid in family:
            if pid in machine.family([], self.token) or pid == self.popen.pid:
                try:
                    os.kill(pid, machine.SIGKILL)
                except OSError:
                    continue
        self.popen.wait()
        self.popen.stdin.close()
        self.popen.stdout.close()
