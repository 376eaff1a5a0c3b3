# SPDX-License-Identifier: Apache-2.0
"""The fixture policies of the hostile tables, each with a resolver of its own."""
import ipaddress

from lab import Dns
from lab.dns import A, address_record, response

# Wide enough that no table is slowed by the rate of its environment, short enough that refusals by time are quick.
LIMITS = {"attempts_per_second": 1000000, "attempts_burst": 10000000, "distinct_names_per_minute": 8192,
          "hello_timeout": "1s", "resolve_timeout": "1s", "dial_timeout": "1s", "head_timeout": "2s"}


def pinned(lab):
    """env-a: allowed.test and everything below wild.test, each pinned to a loopback origin, on the same port."""
    dns = lab.add(Dns())
    for _ in range(20):
        first = lab.origin()
        try:
            second = lab.origin(port=first.port)
            break
        except OSError:
            continue
    policy = lab.policy(dns=dns, hosts=[first.at("allowed.test"), second.at("*.wild.test")], limits=LIMITS,
                        ports={"connect": [443, first.port]})
    return {"policy": policy, "dns": dns, "port": first.port, "origins": [first, second]}


def optional_sni(lab):
    """The same with `sni: optional`."""
    origin, dns = lab.origin(), lab.add(Dns())
    policy = lab.policy(dns=dns, hosts=[origin.at("allowed.test", tls={"sni": "optional"})], limits=LIMITS,
                        ports={"connect": [443, origin.port]})
    return {"policy": policy, "dns": dns, "port": origin.port, "origins": [origin]}


def outer_ech(lab):
    """The same with `ech: outer`."""
    origin, dns = lab.origin(), lab.add(Dns())
    policy = lab.policy(dns=dns, hosts=[origin.at("allowed.test", tls={"ech": "outer"})], limits=LIMITS,
                        ports={"connect": [443, origin.port]})
    return {"policy": policy, "dns": dns, "port": origin.port, "origins": [origin]}


def plain_allowed(lab):
    """The same with `non_tls: allow`."""
    origin, dns = lab.origin(), lab.add(Dns())
    policy = lab.policy(dns=dns, hosts=[origin.at("allowed.test", tls={"non_tls": "allow"})], limits=LIMITS,
                        ports={"connect": [443, origin.port]})
    return {"policy": policy, "dns": dns, "port": origin.port, "origins": [origin]}


def open_names(lab, egress=None, allowed=("allowed.test", "*.wild.test"), **limits):
    """Names without pins: what the resolver answers is what counts. Every address is local in our network namespace,
    and the traps on the wildcard addresses see each connection together with the address that was dialled."""
    trap, dns = lab.origin(address="0.0.0.0"), lab.add(Dns())
    six = lab.origin(address="::", port=trap.port)
    policy = lab.policy(dns=dns, allowed_hosts=list(allowed), limits={**LIMITS, **limits}, egress=egress,
                        ports={"connect": [443, trap.port]})
    return {"policy": policy, "dns": dns, "port": trap.port, "origins": [trap, six]}


def literals(lab):
    """One public literal is listed; with IPv4 inside IPv6 listed in vain."""
    return open_names(lab, allowed=("allowed.test", "11.22.33.44", "2600::44"))


def private(lab):
    """A private exception, and names that are matched exactly or only by a wildcard."""
    return open_names(lab, egress={"private_networks": ["10.1.2.3/32", "10.20.0.0/16", "fd12::/64"]},
                      allowed=("exact.test", "*.wild.test"))


def nat64(lab, prefix):
    return open_names(lab, egress={"nat64": prefix})


def in_order(addresses):
    """Answers exactly in the order of the row, of the family that was asked for."""
    def raw(query, honest):
        wanted = 4 if query.type == A else 6
        return [response(query.raw, [address_record(query.name, a) for a in addresses
                                     if ipaddress.ip_address(a).version == wanted])]
    return raw
