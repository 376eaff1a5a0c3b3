# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG, by hand: a row of two charts an axis, CPU of a tunnel against the floor, and resident memory."""
from xml.sax.saxutils import escape

WIDTH, HEIGHT, GAP = 360, 200, 60


def _number(value):
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.3g}"


def _chart(left, top, title, xs, ys, unit):
    high = max(ys) * 1.25 or 1
    # Places, not values: sizes go by decades, and evenly spaced points show what is flat as flat.
    step = WIDTH / max(1, len(xs) - 1)
    points = [(left + i * step, top + HEIGHT - y / high * HEIGHT) for i, y in enumerate(ys)]
    yield f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>'
    yield f'<text x="{left}" y="{top - 8}" font-weight="bold">{escape(title)}</text>'
    for part in (0, 0.5, 1):
        y = top + HEIGHT * (1 - part)
        yield f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(high * part)}</text>'
    yield '<polyline fill="none" stroke="#1f5fa8" stroke-width="2" points="' + " ".join(
        f"{x:.1f},{y:.1f}" for x, y in points) + '"/>'
    every = max(1, len(xs) // 6)
    for i, (x, y) in enumerate(points):
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1f5fa8"/>'
        if i % every == 0 or i == len(points) - 1:
            yield f'<text x="{x:.1f}" y="{top + HEIGHT + 16}" text-anchor="middle">{_number(xs[i])}</text>'
        if i in (0, len(points) - 1):
            anchor = "start" if i == 0 else "end"
            yield f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="{anchor}">{_number(ys[i])} {unit}</text>'


def growth(lines):
    """`lines`: (title, rows with x, ratio and pss_mib)."""
    body = []
    for n, (title, rows) in enumerate(lines):
        xs, top = [r["x"] for r in rows], 40 + n * (HEIGHT + GAP)
        body += _chart(70, top, f"CPU of a new tunnel, x floor: {title}", xs, [r["ratio"] for r in rows], "x")
        body += _chart(70 + WIDTH + 80, top, f"resident memory, MiB: {title}", xs, [r["pss_mib"] for r in rows], "MiB")
    width, height = 2 * WIDTH + 190, 40 + len(lines) * (HEIGHT + GAP)
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                      'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>',
                      *body, "</svg>", ""])
