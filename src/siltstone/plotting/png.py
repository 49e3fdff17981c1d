"""A scene as PNG, drawn by matplotlib. Only this module imports matplotlib, which need not be installed."""

import io
import warnings
from typing import TYPE_CHECKING, Any

from siltstone.errors import UsageError
from siltstone.plotting.scene import Area, Box, Dot, Label, Line, Mark, Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SCALE = 1.5  # pixels of the file per pixel of the scene
_POINT = 72 / 100  # points per pixel of the scene, at 100 of them to the inch
_ALIGNED = {"start": "left", "middle": "center", "end": "right"}


def require_matplotlib() -> None:
    """Raise UsageError if matplotlib can't be imported."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(
            "a PNG is drawn by matplotlib, which is not installed",
            "Install it: pip install 'matplotlib>=3.9' (siltstone's extra `plot`). Or give --out NAME.html, which "
            "needs nothing.",
        ) from None


def png_of(scene: Scene) -> bytes:
    """The picture, with 1.5 pixels for each pixel of the scene. Raises UsageError without matplotlib."""
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(scene.width / 100, scene.height / 100), dpi=100 * _SCALE, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), frameon=False)
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0), xticks=[], yticks=[])
    buffer = io.BytesIO()
    fonts: Any = {"font.family": "DejaVu Sans", "hatch.linewidth": 0.5}
    with rc_context(fonts), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        for depth, mark in enumerate(scene.marks):
            _draw(axes, mark, depth)
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw(axes: "Axes", mark: Mark, depth: int) -> None:
    from matplotlib.patches import Circle, Polygon, Rectangle

    look: dict[str, Any]
    match mark:
        case Box():
            if mark.is_hatched:
                look = {"fill": False, "hatch": "////", "edgecolor": "#6b7280", "linewidth": 0}
            elif mark.fill:
                look = {"facecolor": mark.fill, "alpha": mark.opacity, "linewidth": 0}
            else:
                return  # a place for a tooltip
            axes.add_patch(Rectangle((mark.x, mark.y), mark.width, mark.height, zorder=depth, **look))
        case Line():
            x, y = zip(*mark.points, strict=True)
            axes.plot(x, y, color=mark.colour, linewidth=mark.width * _POINT, zorder=depth, solid_joinstyle="round")
        case Area():
            points = list(mark.points)
            axes.add_patch(Polygon(points, facecolor=mark.fill, alpha=mark.opacity, linewidth=0, zorder=depth))
        case Dot():
            axes.add_patch(Circle((mark.x, mark.y), mark.radius, facecolor=mark.fill, linewidth=0, zorder=depth))
        case Label():
            axes.text(
                mark.x,
                mark.y,
                mark.text,
                size=mark.size * _POINT,
                color=mark.colour,
                ha=_ALIGNED[mark.anchor],
                va="baseline",
                weight="bold" if mark.is_bold else "normal",
                zorder=depth,
                parse_math=False,
            )
