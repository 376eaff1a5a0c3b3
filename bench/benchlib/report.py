# SPDX-License-Identifier: Apache-2.0
"""From samples to words: medians, spread, ratios to the floor of the same round, targets, and what changed."""
import statistics

from . import machine

NOISE = 0.10       # below it a difference means nothing, however often it is measured
NOISE_ROUGH = 0.25  # the same for fewer than three samples, or disturbed ones

UNITS = {"cpu_us": "CPU us", "rate": "per s", "p50_us": "p50 us", "p99_us": "p99 us", "p999_us": "p99.9 us",
         "cpu_s_gib": "CPU s/GiB", "gbit": "Gbit/s", "user_b": "user B", "kernel_b": "kernel B", "all_b": "all B",
         "idle_cpu": "CPU s/s", "pss_mib": "PSS MiB", "rss_mib": "RSS MiB", "start_s": "start s", "calls": "calls"}
MORE_IS_BETTER = {"rate", "gbit"}

# (metric, field, subject, kind, gate, goal): "x" is against the floor of the round, "=" a value, "+" above the floor.
TARGETS = [
    ("tunnel-c64", "cpu_us", "sallyport-mem", "x", 1.35, 1.15),
    ("tunnel-c64", "cpu_us", "sallyport-disk", "x", 1.50, 1.30),
    ("tunnel-c512", "cpu_us", "sallyport-mem", "x", 1.35, 1.15),
    ("tunnel-c512", "cpu_us", "sallyport-disk", "x", 1.50, 1.30),
    ("tunnel-c1", "cpu_us", "sallyport-mem", "x", 1.35, 1.15),
    ("tunnel-c1", "cpu_us", "sallyport-disk", "+", 110, 110),
    ("tunnel-c64", "p99_us", "sallyport-mem", "x", 1.30, 1.15),
    ("tunnel-c512", "p999_us", "sallyport-mem", "x", 1.30, 1.15),
    ("tunnel-c1", "p50_us", "sallyport-disk", "+", 1000, 400),
    ("deny-c64", "cpu_us", "sallyport-mem", "x", 1.50, 1.25),
    *((f"{way}-{n}", "cpu_s_gib", "sallyport-mem", "x", 1.10, 1.02) for way in ("down", "up") for n in (1, 16, 64)),
    ("ping-64", "cpu_us", "sallyport-mem", "x", 1.10, 1.03),
    ("ping-64", "p50_us", "sallyport-mem", "x", 1.10, 1.03),
    ("http-64", "cpu_us", "sallyport-mem", "=", 26, 19),
    # Two sockets a tunnel cost the kernel what they cost the floor; pipes or more descriptors would show here.
    ("idle", "kernel_b", "sallyport-mem", "x", 1.10, 1.02),
    ("idle", "user_b", "sallyport-mem", "=", 2560, 922),
    ("idle", "idle_cpu", "sallyport-mem", "=", 0.001, 0.001),
    ("rest", "pss_mib", "sallyport-mem", "=", 12, 10),
    ("calls", "calls", "sallyport-mem", "=", 20, 16),
]


def kernel_share(results):
    """The machine's sockets of a tunnel belong to load, origin and the subject: what load and origin alone need
    ("direct") is taken away."""
    alone = [s["pair_b"] for s in results.get("idle", {}).get("direct", []) if "pair_b" in s]
    if not alone:
        return
    for subject, rounds in results["idle"].items():
        for sample in rounds:
            if subject != "direct" and "pair_b" in sample:
                sample["kernel_b"] = sample["pair_b"] - statistics.median(alone) + 2 * machine.DENTRY_BYTES
                sample["all_b"] = sample["kernel_b"] + sample["user_b"]


def values(rounds, field):
    return [s[field] for s in rounds if s.get(field) is not None]


def ratios(results, metric, subject, field):
    """Sample by sample against the floor of the same round."""
    mine = {s["round"]: s for s in results.get(metric, {}).get(subject, [])}
    floor = next((s["floor"] for s in mine.values()), None)
    base = {s["round"]: s for s in results.get(metric, {}).get(floor, [])}
    return [mine[r][field] / base[r][field] for r in sorted(mine)
            if r in base and base[r].get(field) and mine[r].get(field) is not None]


def spread(numbers):
    middle = statistics.median(numbers)
    return (max(numbers) - min(numbers)) / middle if middle else 0


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def summary(results, metrics):
    """{metric: {subject: {field: {median, spread, ratio, ratio_spread}}}}"""
    out = {}
    for metric in metrics:
        for subject, rounds in results.get(metric.name, {}).items():
            row = {}
            for field in metric.fields:
                found = values(rounds, field)
                if not found:
                    continue
                cell = {"median": statistics.median(found), "spread": spread(found), "samples": len(found)}
                against = ratios(results, metric.name, subject, field)
                if against:
                    cell["ratio"] = statistics.median(against)
                    cell["ratio_range"] = [min(against), max(against)]
                row[field] = cell
            if row:
                row["disturbed"] = sum(bool(s.get("disturbed")) for s in rounds) * 2 > len(rounds)
                row["load_limited"] = statistics.median([s.get("load_core", 0) for s in rounds]) > 0.95
                out.setdefault(metric.name, {})[subject] = row
    return out


def columns(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths)))


def tables(results, metrics, failures):
    whole = summary(results, metrics)
    for metric in metrics:
        if metric.name not in whole:
            continue
        yield f"\n{metric.name}: {metric.what} (x: against {metric.floor}, its raw kin for who goes by SNI)"
        rows = [["subject"]]
        for field in metric.fields:
            rows[0] += [UNITS[field], "+-%", "x"]
        for subject, row in whole[metric.name].items():
            line = [subject + (" ~" if row["disturbed"] else "") + (" ^" if row["load_limited"] else "")]
            for field in metric.fields:
                cell = row.get(field)
                line += ["-", "", ""] if cell is None else [
                    number(cell["median"]), f"{100 * cell['spread']:.0f}",
                    f"{cell['ratio']:.2f}" if "ratio" in cell else ""]
            rows.append(line)
        yield from columns(rows)
    for where, why in failures:
        yield f"  failed: {where}: {why}"
    yield "\n~ most samples were disturbed by other load (more than 0.15 of a core)"
    yield "^ the core of load and origin was full: the rate is theirs, not the subject's"


def target_rows(results, metrics):
    whole, floors = summary(results, metrics), {m.name: m.floor for m in metrics}
    for metric, field, subject, kind, gate, goal in TARGETS:
        cell = whole.get(metric, {}).get(subject, {}).get(field)
        if cell is None:
            continue
        value = cell["median"]
        if kind == "x":
            value = cell.get("ratio")
        elif kind == "+":
            base = whole[metric].get(floors[metric], {}).get(field)
            value = value - base["median"] if base else None
        if value is None:
            continue
        word = "goal reached" if value <= goal else "gate reached" if value <= gate else "MISSED"
        yield [f"{metric} {UNITS[field]}", subject, kind, number(value), number(gate), number(goal), word]


def targets(results, metrics):
    rows = list(target_rows(results, metrics))
    if rows:
        yield "\ntargets (x: against the floor; +: above the floor; =: the value)"
        yield from columns([["metric", "subject", "", "is", "gate", "goal", ""], *rows])


def compare(old, new):
    """Rows of what changed beyond the noise: ratios to the floor where both have them, else the values."""
    for metric, subjects in new["summary"].items():
        for subject, row in subjects.items():
            before = old["summary"].get(metric, {}).get(subject)
            for field, cell in row.items():
                was = before.get(field) if before and isinstance(cell, dict) else None
                if not isinstance(was, dict) or not was["median"]:
                    continue
                rough = before.get("disturbed") or row.get("disturbed") or min(was["samples"], cell["samples"]) < 3
                yield compare_cell(metric, subject, field, was, cell, NOISE_ROUGH if rough else NOISE)


def compare_cell(metric, subject, field, was, now, noise):
    """The floors and the load alone are no work of ours: where they moved, the machine did."""
    ruler = subject == "direct" or subject.startswith("floor-")
    by_ratio = "ratio" in was and "ratio" in now and not ruler
    key = "ratio" if by_ratio else "median"
    change = now[key] / was[key] - 1 if was[key] else 0
    for cell in (was, now):
        width = (cell["ratio_range"][1] - cell["ratio_range"][0]) / cell["ratio"] if by_ratio else cell["spread"]
        noise = max(noise, width / 2)
    word = ""
    if abs(change) > noise and ruler:
        word = "machine"
    elif abs(change) > noise:
        word = "better" if (change < 0) != (field in MORE_IS_BETTER) else "WORSE"
    return {"metric": metric, "subject": subject, "field": field, "by": "x floor" if by_ratio else "value",
            "was": was[key], "now": now[key], "change": change, "noise": noise, "word": word}
