"""A picture as marks, in pixels from its upper left corner; the PNG and the page both draw them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle. Without `fill` it is hatched if `is_hatched`, else invisible, a place for the tooltip `tip`."""

    x: float
    y: float
    width: float
    height: float
    fill: str = ""
    opacity: float = 1.0
    is_hatched: bool = False
    tip: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: Sequence[Point]
    colour: str
    width: float = 1.0


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    fill: str
    opacity: float = 1.0


@dataclass(frozen=True)
class Dot:
    """A filled circle."""

    x: float
    y: float
    radius: float
    fill: str


@dataclass(frozen=True)
class Label:
    """Text on a base line; `x` is its start, middle or end."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    anchor: Anchor = "start"
    is_bold: bool = False


Mark = Box | Line | Area | Dot | Label


@dataclass(frozen=True)
class Scene:
    """All marks; later ones cover earlier ones. `name` is the title of the picture."""

    width: int
    height: int
    name: str
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Frame:
    """The rectangle of the values of a panel: its sides in pixels, the instants of the left and right side (`span`),
    the values of the bottom and the top."""

    left: float
    right: float
    top: float
    bottom: float
    span: tuple[int, int]
    low: float
    high: float

    def x(self, us: float) -> float:
        start, end = self.span
        return self.left + (us - start) / max(end - start, 1) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.low) / (self.high - self.low) * (self.bottom - self.top)
