"""Places for the names of marks, where they cover nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minnow.reporting.plots.svg import LINE, fit, line, text_lines, width_of, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = sorted(range(-10, 11), key=lambda step: (abs(step), -step))
_NAME_WIDTH = 118


@dataclass(frozen=True)
class Box:
    """A rectangle of a plot."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Return whether two boxes have points in common besides their edges."""
        level = self.left < other.right and other.left < self.right
        return level and self.top < other.bottom and other.top < self.bottom

    def contains(self, other: Box) -> bool:
        """Return whether another box lies within this one."""
        level = self.left <= other.left and other.right <= self.right
        return level and self.top <= other.top and other.bottom <= self.bottom


def text_box(x: float, y: float, lines: Sequence[str], anchor: str) -> Box:
    """Return the box of `text_lines` with the same arguments."""
    width, half = max(map(width_of, lines)), LINE * len(lines) / 2
    left = x - width if anchor == "end" else x
    return Box(left, y - half, left + width, y + half)


@dataclass
class Placer:
    """Finder of free places for names.

    Attributes:
        frame: The part of the plot for names.
        taken: Boxes that no name may cover.
        crossed: Boxes that a name covers only if there is no other place.
    """

    frame: Box
    taken: list[Box] = field(default_factory=list)
    crossed: list[Box] = field(default_factory=list)

    def place_name(self, label: str, x: float, y: float) -> list[str]:
        """Draw the name of a mark where nothing else is, with a line to it if it stands apart.

        A name that crosses the baseline's line, or that is shortened, is better than none. Where
        there is no room at all there is no name; the tooltip and the tables have it.
        """
        for lines in (wrap(label, _NAME_WIDTH), [fit(label, _NAME_WIDTH)]):
            for avoided in ([*self.taken, *self.crossed], self.taken):
                if parts := self._place(lines, x, y, avoided):
                    return parts
        return []

    def _place(self, lines: Sequence[str], x: float, y: float, avoided: Sequence[Box]) -> list[str]:
        """Take the free place that is nearest to a mark."""
        for step in _STEPS:
            for anchor, side in (("start", 1), ("end", -1)):
                at_x, at_y = x + side * (9 if step == 0 else 16), y + step * LINE / 2
                box = text_box(at_x, at_y, lines, anchor)
                if self.frame.contains(box) and not any(map(box.overlaps, avoided)):
                    self.taken.append(box)
                    leader = line(x + side * 5, y, at_x - side * 2, at_y, "leader")
                    return [*([leader] if step else []), text_lines(at_x, at_y, lines, anchor)]
        return []
