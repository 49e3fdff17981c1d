"""A scene as one HTML file that needs no other file: an inline SVG with a tooltip for each bucket."""

from collections.abc import Iterator, Sequence
from html import escape

from siltstone.plotting.scene import Area, Box, Dot, Label, Line, Mark, Point, Scene

_STYLE = """
body { margin: 0; background: #fff; }
svg { display: block; margin: 0 auto; width: 100%; max-width: 1600px; height: auto;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
.tip { fill: #000; fill-opacity: 0; }
.tip:hover { fill-opacity: .07; }
"""
_HATCH = (
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line x1="0" y1="0" x2="0" y2="7" stroke="#6b7280" stroke-width="1.2"/></pattern></defs>'
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page_of(scene: Scene) -> str:
    """The text of the file. Every text of the data is escaped, and the page may load nothing."""
    body = "\n".join(_marks(scene))
    name = _safe(scene.name)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>{_STYLE}</style>
</head>
<body>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {scene.width} {scene.height}" role="img" aria-label="{name}">
<rect width="100%" height="100%" fill="#fff"/>
{_HATCH}
{body}
</svg>
</body>
</html>
"""


def _marks(scene: Scene) -> Iterator[str]:
    for mark in scene.marks:
        yield _svg_of(mark)


def _svg_of(mark: Mark) -> str:
    match mark:
        case Box():
            return _box(mark)
        case Line():
            look = f'fill="none" stroke="{mark.colour}" stroke-width="{mark.width:g}" stroke-linejoin="round"'
            return f'<polyline points="{_points(mark.points)}" {look}/>'
        case Area():
            return f'<polygon points="{_points(mark.points)}" fill="{mark.fill}" fill-opacity="{mark.opacity:g}"/>'
        case Dot():
            return f'<circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{mark.radius:g}" fill="{mark.fill}"/>'
        case Label():
            bold = ' font-weight="600"' if mark.is_bold else ""
            look = f'font-size="{mark.size:g}" fill="{mark.colour}" text-anchor="{mark.anchor}"{bold}'
            return f'<text x="{mark.x:.1f}" y="{mark.y:.1f}" {look}>{_safe(mark.text)}</text>'


def _box(box: Box) -> str:
    place = f'x="{box.x:.2f}" y="{box.y:.2f}" width="{box.width:.2f}" height="{box.height:.2f}"'
    if box.tip:
        return f'<rect class="tip" {place}><title>{_safe(box.tip)}</title></rect>'
    fill = "url(#hatch)" if box.is_hatched else box.fill
    opacity = "" if box.opacity == 1 else f' fill-opacity="{box.opacity:g}"'
    return f'<rect {place} fill="{fill}"{opacity}/>'


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _safe(text: str) -> str:
    """Escaped, without control characters."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))
