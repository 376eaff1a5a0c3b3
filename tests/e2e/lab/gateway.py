# SPDX-License-Identifier: Apache-2.0
"""Gateway: the program with a configuration of its own: many environments, many listeners, one directory of files."""
import os
import re

from .policy import Policy, yaml
from .proxy import Proxy


class Gateway(Proxy):
    """`environments` are policies, or (policy, keys of its entry) pairs; each is a file of its own named after it."""

    def __init__(self, lab, environments, listeners=None, keys=None, start=True, **options):
        self.lab = lab
        folder = lab.make_folder(f"g{next(lab._count)}")
        super().__init__(lab.binary, folder, "unused", dns=lab.dns, checker=lab.checker, start=False, **options)
        self.config_file = self.folder / "gateway.yaml"
        self.config = {
            "listeners": listeners or [{"listen": "127.0.0.1:0"}],
            "environments": [],
            "audit": {"dir": str(self.audit_dir), "signer_dir": str(self.signer_dir)},
            "admin": f"unix:{self.folder}/admin/a.sock",
            "workers": 2,
            "drain": "5s",
            "dns": [lab.dns.endpoint],
        }
        for item in environments:
            self.add(*item) if isinstance(item, tuple) else self.add(item)
        self.config.update(keys or {})
        self.write_config()
        lab.proxies.append(self)
        if start:
            self.start()

    def command(self, ready_fd):
        before = super().command(ready_fd)
        at = before.index("run")
        return before[:at] + ["run", "--config", str(self.config_file), "--ready-fd", str(ready_fd)] + self.args

    # ---- files ----

    def file_of(self, name):
        return self.folder / f"{name}.yaml"

    def write(self, path, text):
        """In one step, and whole."""
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text)
        os.chmod(fresh, 0o644)
        os.rename(fresh, path)

    def write_environment(self, policy, name=None):
        name = name or policy.tree["name"]
        self.write(self.file_of(name), policy if isinstance(policy, str) else policy.text())

    def add(self, policy, entry=None):
        """A new environment, in its file and in the configuration that write_config() writes."""
        name = policy.tree["name"]
        self.write_environment(policy)
        self.config["environments"].append({"file": f"{name}.yaml", **(entry or {})})

    def write_config(self):
        self.write(self.config_file, self.config_text())

    def config_text(self):
        """Modes stand in quotes: YAML has more than one idea of what 0660 is."""
        return re.sub(r"mode: (\d+)", r'mode: "\1"', yaml(self.config))

    # ---- talking ----

    def at(self, index, source=None):
        """A client of the listener with this index."""
        return self.client(endpoint=self.endpoints[index], **({"source": source} if source else {}))

    def client(self, unix=False, endpoint=None, **options):
        usual, self.endpoint = self.endpoint, endpoint or self.endpoint
        try:
            return super().client(unix=unix, **options)
        finally:
            self.endpoint = usual

    def open_tunnel(self, index, host, port, source=None):
        client = self.at(index, source).connect(host, port).expect(status=200)
        return client.hello(sni=host)

    def ids(self):
        """{environment: policy id} as the ready line said it."""
        return {e["name"]: e["id"] for e in self.ready["environments"]}

    def loads(self, environment=None):
        """Records of loads: of one environment, or of the configuration as a whole."""
        found = self.audit.events("policy_loaded")
        return [r for r in found if r["metadata"].get("tenant_uid") == environment]


def policy_named(name, hosts=(), allowed=(), **options):
    return Policy(name=name, hosts=list(hosts), allowed_hosts=list(allowed), **options)
