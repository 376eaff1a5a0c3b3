# SPDX-License-Identifier: Apache-2.0
"""WebAudit: records of HTTP requests."""
from .audit import Audit
from .wait import wait_for

HTTP = 4002


class WebAudit(Audit):
    def flows_of(self, who):
        """The flows of one client."""
        return [[self._records[i] for i in flow] for flow in self._candidates(who)]

    def refusal(self, who, reason, seconds=5.0):
        """U3 for a refused request of a client that has sent one: its last record. There is one attempt; an outcome
        only if the attempt itself was allowed."""
        def look():
            flows = list(self.flows_of(who))
            return flows if flows and (flows[0][0]["action_id"] == 2 or len(flows[0]) > 1) else None
        flows = wait_for(look, seconds, lambda: f"the records of {who}\n" + self.report())
        assert len(flows) == 1, f"U3: {len(flows)} attempts"
        attempt, *later = flows[0]
        assert len(later) == (attempt["action_id"] == 1), "U3: an outcome stands behind each attempt that was allowed"
        assert flows[0][-1]["status_code"] == reason, f"U3: {flows[0][-1]['status_code']}, expected {reason}"
        assert attempt["metadata"]["tenant_uid"], "U3: the record names no environment"
        return flows[0][-1]

    def passed(self, who, count, seconds=5.0):
        """U3 for requests that were answered: [(attempt, outcome)], in their order."""
        flows = wait_for(lambda: len(f := list(self.flows_of(who))) >= count and all(len(x) > 1 for x in f) and f,
                         seconds, lambda: f"{count} pairs of {who}\n" + self.report())
        assert [len(f) for f in flows] == [2] * count, f"U3: {[len(f) for f in flows]} records for {count} requests"
        assert {r["class_uid"] for f in flows for r in f} == {HTTP}
        assert all(r["action_id"] == 1 for f in flows for r in f)
        return flows


def with_web_records(proxy):
    """The same log, read so; what was read already stays."""
    proxy.audit.__class__ = WebAudit
    return proxy
