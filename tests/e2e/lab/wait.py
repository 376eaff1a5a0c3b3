# SPDX-License-Identifier: Apache-2.0
"""Waiting for facts, never for time."""
import select
import time


def wait_for(fact, seconds=5.0, what=None):
    """Calls `fact` until it gives something true, and gives that; fails with `what` when the time is up."""
    end = time.monotonic() + seconds
    while True:
        seen = fact()
        if seen:
            return seen
        if time.monotonic() >= end:
            text = what() if callable(what) else what
            raise AssertionError(f"not seen within {seconds} s: {text or getattr(fact, '__doc__', None) or fact}")
        select.select([], [], [], 0.004)


def never(fact, seconds, what):
    """Fails as soon as `fact` gives something true within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = fact()
        assert not seen, f"{what}: {seen!r}"
        select.select([], [], [], 0.01)
