# SPDX-License-Identifier: Apache-2.0
"""The lab: actors that play the parts around the proxy. A test says who is there, what happens, and what must be seen
on the wire, at the origin and in the log."""
from .audit import Audit
from .client import Client
from .cut import Cut
from .dns import Answer, Dns
from .hello import Hello
from .lab import Lab
from .oracles import Oracles
from .origin import Origin
from .policy import At, Policy
from .proxy import Proxy, StartFailed
from .wait import wait_for

__all__ = ["Answer", "At", "Audit", "Client", "Cut", "Dns", "Hello", "Lab", "Oracles", "Origin", "Policy", "Proxy",
           "StartFailed", "wait_for"]
