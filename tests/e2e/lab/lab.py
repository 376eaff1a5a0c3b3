# SPDX-License-Identifier: Apache-2.0
"""Lab: makes the actors of one test, gives each its own addresses and directories, and ends them."""
import itertools
import os
import pathlib
import shutil
import tempfile

from . import proxy as proxy_room
from .cut import Cut
from .dns import Dns
from .origin import FullOrigin, HttpsOrigin, Origin, make_certificate
from .policy import Policy
from .proxy import Proxy


def base_folder():
    """Below the sticky temporary directory, since a test's own temporary path is closed to other users."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-"))
    os.chmod(folder, 0o755)
    return folder


class Lab:
    def __init__(self, binary=None, checker=None, folder=None):
        self.folder = folder or base_folder()
        self._own_folder = folder is None
        self.binary = binary or proxy_room.usable_binary(self.folder)
        self.checker = checker
        self._hosts = itertools.count(2)
        self._count = itertools.count(1)
        self._dns = None
        self._certificate = None
        self.actors = []
        self.proxies = []

    def add(self, actor):
        self.actors.append(actor)
        return actor

    @property
    def dns(self):
        if self._dns is None:
            self._dns = self.add(Dns())
        return self._dns

    def address(self):
        return f"127.0.0.{next(self._hosts)}"

    def certificate(self, *names):
        """(ca file, server context) for names of the tests."""
        if self._certificate is None:
            self._certificate = make_certificate(self.folder / "tls", names or ["allowed.test", "a.test", "b.test"])
        return self._certificate

    def origin(self, behaviour=None, tls=False, address=None, **options):
        if tls:
            options["tls"] = self.certificate()[1]
        if behaviour:
            options["behaviour"] = behaviour
        return self.add(Origin(address or self.address(), **options))

    def https(self, folder, tls=True):
        return self.add(HttpsOrigin(folder, self.certificate()[1] if tls else None, self.address()))

    def full_origin(self):
        return self.add(FullOrigin(self.address()))

    def cut(self, target):
        return self.add(Cut(target))

    def policy(self, dns=None, **options):
        """A policy; the names of its host entries are made known to the resolver."""
        dns = dns or self.dns
        policy = Policy(**options)
        for at in policy.ats:
            known = dns.zone.get(at.host.lower())
            if known is None:
                dns.set(at.host, at.address)
            else:
                assert known.raw or at.address in known.v4 + known.v6, f"{at.host} already means another address"
        return policy

    def make_folder(self, name):
        folder = self.folder / name
        folder.mkdir()
        os.chmod(folder, 0o755)
        return folder

    def proxy(self, policy=None, start=True, unix=False, args=(), env=None, listen=("127.0.0.1:0",), audit_dir=None,
              signer_dir=None, wrapper=(), dns=None, **policy_options):
        if policy is None:
            policy = self.policy(**policy_options)
        one = Proxy(self.binary, self.make_folder(f"p{next(self._count)}"), policy, dns=dns or self.dns, listen=listen,
                    unix=unix, args=args, env=env, checker=self.checker, audit_dir=audit_dir, signer_dir=signer_dir,
                    wrapper=wrapper, start=False)
        self.proxies.append(one)
        if start:
            one.start()
        return one

    def report(self):
        out = []
        for one in self.proxies[-3:]:
            out.append(f"== proxy {one.folder}\n{one.report()}")
        for actor in self.actors:
            if hasattr(actor, "report"):
                out.append(f"== {type(actor).__name__}\n{actor.report()}")
        return "\n".join(out)

    def close(self):
        for one in self.proxies:
            if one.process:
                one.close()
        for actor in reversed(self.actors):
            actor.close()
        bad = [p for one in self.proxies if one.process for p in one.audit.left_problems()]
        if self._own_folder and not os.environ.get("SALLYPORT_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
        assert not bad, "records that are not valid OCSF 1.8.0:\n" + "\n".join(bad[:20])
