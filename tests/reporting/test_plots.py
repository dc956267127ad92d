"""Plots: positions, descriptions, and that any name and number can be drawn."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.reporting import plots
from minnow.reporting.plots import svg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Element = ElementTree.Element

# XML allows neither control characters nor half pairs; the page replaces them.
labels = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), min_size=1)
cosines = st.floats(-1, 1) | st.sampled_from([1.0, 0.0, -1.0, 0.99999999])
parts = st.floats(0, 1)
signed = st.floats(-1, 1)
sizes = st.floats(1, 1e12)


@dataclass(frozen=True)
class Picture:
    """A plot that was read back."""

    root: Element

    @property
    def size(self) -> tuple[float, float]:
        left, top, width, height = map(float, self.root.attrib["viewBox"].split())
        assert (left, top) == (0, 0)
        return width, height

    @property
    def words(self) -> list[str]:
        return ["".join(text.itertext()) for text in self.root.iter("text")]

    @property
    def tooltips(self) -> list[str]:
        return [title.text or "" for g in self.root.iter() for title in g.findall("title")][1:]

    def having(self, class_: str) -> list[Element]:
        return [e for e in self.root.iter() if class_ in e.attrib.get("class", "").split()]

    def points(self) -> Iterator[tuple[float, float]]:
        """Return the ends and corners of all that is drawn."""
        for element in self.root.iter():
            values = {k: v for k, v in element.attrib.items() if re.fullmatch("[xy][12]?", k)}
            at = {k: float(v) for k, v in values.items()}
            if {"x", "y"} <= set(at):
                yield at["x"], at["y"]
                width, height = (float(element.attrib.get(k, 0)) for k in ("width", "height"))
                assert width >= 0 <= height
                yield at["x"] + width, at["y"] + height
            elif "x1" in at:
                yield at["x1"], at["y1"]
                yield at["x2"], at["y2"]
            for pair in element.attrib.get("points", "").split():
                x, y = pair.split(",")
                yield float(x), float(y)
            if found := re.match(r"translate\((\S+) (\S+)\)", element.attrib.get("transform", "")):
                yield float(found[1]), float(found[2])


def read(markup: str) -> Picture:
    """Read a plot, and check what holds of every plot."""
    picture = Picture(ElementTree.fromstring(markup))
    root = picture.root
    assert root.attrib["role"] == "img"
    assert [child.tag for child in root[:2]] == ["title", "desc"]
    assert root[0].text == picture.words[0]
    assert root[1].text
    width, height = picture.size
    for x, y in picture.points():
        assert -0.1 <= x <= width + 0.1
        assert -0.1 <= y <= height + 0.1
    assert not re.search(r"\b(nan|inf|infinity|none)\b", attributes(root), re.IGNORECASE)
    return picture


def attributes(root: Element) -> str:
    return " ".join(value for element in root.iter() for value in element.attrib.values())


def key(label: str = "int8", style: int = 1) -> plots.LegendKey:
    return plots.LegendKey(label, style)


keys = st.builds(plots.LegendKey, labels, st.integers(0, svg.STYLES - 1))


# --- words and elements ------------------------------------------------------------------


class TestWords:
    @given(labels, st.floats(60, 300))
    def test_they_fit(self, words: str, room: float) -> None:
        assert svg.width_of(svg.fit(words, room)) <= room
        lines = svg.wrap(words, room)
        assert 1 <= len(lines) <= 2
        assert all(svg.width_of(line) <= room for line in lines)

    def test_a_name_is_broken_between_its_parts(self) -> None:
        assert svg.wrap("int8", 100) == ["int8"]
        assert svg.wrap("bge-small-en-v1.5-int8", 110) == ["bge-small-en-", "v1.5-int8"]

    def test_what_is_left_out_is_in_the_middle(self) -> None:
        assert svg.fit("a-very-long-name-of-a-model-int8", 120) == "a-very-l…del-int8"


class TestElements:
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_is_no_coordinate_is_not_written(self, value: float) -> None:
        with pytest.raises(ValueError, match="is not a coordinate"):
            svg.element("line", x1=value)

    def test_coordinates_are_short(self) -> None:
        numbers = (1.0, 1.26, -0.04, 1234567.0)
        assert [svg.coordinate(n) for n in numbers] == ["1", "1.3", "0", "1234567"]

    @given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
    def test_words_stay_words(self, words: str) -> None:
        written = svg.element("g", svg.tooltip(words), class_=words)
        read_back = ElementTree.fromstring(written.replace("\r", "&#13;"))
        assert read_back[0].text == (words or None)

    def test_looks_are_given_out_in_turn(self) -> None:
        looks = [svg.style_of(position) for position in range(10)]
        assert looks == [0, 1, 2, 3, 4, 5, 6, 7, 1, 2]


# --- plots -------------------------------------------------------------------------------


class TestIntervals:
    def test_the_band_is_the_margin(self) -> None:
        markup = plots.intervals_plot(
            [plots.Range(key(), -0.01, -0.02, 0.0, "worse")], "nDCG@10", 0.01
        )
        picture = read(markup)
        (band,) = picture.having("band")
        (interval,) = picture.having("range")
        left, width = float(band.attrib["x"]), float(band.attrib["width"])
        assert float(interval.attrib["x2"]) == pytest.approx(left + width / 2, abs=0.2)
        assert float(interval.attrib["x1"]) < left
        assert picture.tooltips[-1] == "int8: −0.0100 (95 % interval −0.0200 to 0.0000), worse"

    @given(
        st.lists(st.builds(plots.Range, keys, signed, signed, signed, labels), min_size=1),
        st.floats(0, 1),
    )
    def test_any(self, ranges: list[plots.Range], margin: float) -> None:
        assert len(read(plots.intervals_plot(ranges, "MRR@10", margin)).having("range")) == len(
            ranges
        )


class TestSize:
    def test_closer_is_higher_and_values_near_one_stay_distinct(self) -> None:
        points = [
            plots.Marker(key("a"), 20e6, 0.99, 0.9),
            plots.Marker(key("b"), 40e6, 0.999, 0.99),
            plots.Marker(key("c"), 80e6, 0.99999, 0.9999),
        ]
        picture = read(plots.fidelity_plot(points, plots.Marker(key("base", 0), 133e6, 1)))
        marks = [re.findall(r"[\d.]+", m.attrib["transform"]) for m in picture.having("mark")]
        places = [(float(x), float(y)) for x, y, *_ in marks]
        (a, b, c) = places
        assert a[0] < b[0] < c[0]
        assert a[1] > b[1] > c[1]
        assert (a[1] - b[1]) * 2 == pytest.approx(b[1] - c[1], abs=0.5)
        assert len(picture.having("baseline")) == 1
        assert {"a", "b", "c", "baseline", "0.999"} <= set(picture.words)
        assert "c: 80.0 MB, mean cosine 0.9999900, worst 0.99990" in picture.tooltips

    def test_names_do_not_lie_upon_each_other(self) -> None:
        """All systems have one place: their names are apart, each with a line to the mark."""
        points = [plots.Marker(key(f"copy-number-{i}"), 133e6, 1.0, 1.0) for i in range(5)]
        picture = read(plots.fidelity_plot(points, plots.Marker(key("base", 0), 133e6, 1)))
        names = [t for t in picture.root.iter("text") if (t.findtext("tspan") or "")[:4] == "copy"]
        places = {(t[0].attrib["x"], t[0].attrib["y"]) for t in names}
        assert len(places) == len(names) == 5
        assert len(picture.having("leader")) >= 4

    @given(
        st.lists(
            st.builds(plots.Marker, keys, sizes, cosines, cosines | st.none()),
            min_size=1,
            max_size=9,
        ),
        sizes,
        st.booleans(),
    )
    def test_any_fidelity(self, markers: list[plots.Marker], size: float, stairs: bool) -> None:
        best = sorted(markers, key=lambda marker: marker.size) if stairs else []
        base = plots.Marker(key("base", 0), size, 1)
        picture = read(plots.fidelity_plot(markers, base, best=best))
        assert len(picture.having("mark")) == len(markers)

    def test_the_frontier_is_a_line_of_steps(self) -> None:
        best = [plots.Marker(key("a"), 20e6, 0.99), plots.Marker(key("b"), 40e6, 0.999)]
        other = plots.Marker(key("c", 2), 80e6, 0.99)
        base = plots.Marker(key("base", 0), 133e6, 1)
        picture = read(plots.fidelity_plot([*best, other], base, best=best))
        (stairs,) = picture.having("stairs")
        corners = [float(n) for n in re.findall(r"[\d.]+", stairs.attrib["d"])]
        marks = [re.findall(r"[\d.]+", m.attrib["transform"]) for m in picture.having("mark")]
        (a, b, _) = [[float(x), float(y)] for x, y, *_ in marks]
        assert corners == [*a, *b]
        assert "a: 20.0 MB, mean cosine 0.99000, on the frontier" in picture.tooltips
        assert "c: 80.0 MB, mean cosine 0.99000" in picture.tooltips
        assert not read(plots.fidelity_plot([other], base, best=[other])).having("stairs")

    @given(st.lists(st.builds(plots.Marker, keys, sizes, parts), min_size=1, max_size=9))
    def test_any_quality(self, points: list[plots.Marker]) -> None:
        assert len(read(plots.quality_plot(points, "nDCG@10")).having("mark")) == len(points)


class TestRecall:
    def test_equal_curves_stand_beside_each_other(self) -> None:
        curve = (0.5, 0.6, 0.7, 0.8)
        curves = [plots.Curve(key(name), curve) for name in "abcdefg"]
        drawn = read(plots.recall_plot(curves, (1, 3, 5, 10))).having("curve")
        assert len({line.attrib["points"] for line in drawn}) == 7

    def test_what_a_mark_stands_for(self) -> None:
        picture = read(plots.recall_plot([plots.Curve(key(), (0.5, 1.0))], (1, 10)))
        assert picture.tooltips == ["int8: Recall@1 0.5000", "int8: Recall@10 1.0000"]

    @given(st.lists(st.builds(plots.Curve, keys, st.tuples(*[parts] * 4)), min_size=1, max_size=9))
    def test_any(self, curves: list[plots.Curve]) -> None:
        height = plots.plot_height(len(curves))
        assert len(read(plots.recall_plot(curves, (1, 3, 5, 10), height)).having("curve")) == len(
            curves
        )


class TestCosines:
    def test_every_text_is_in_a_bar(self) -> None:
        values = 1 - 10.0 ** -np.random.default_rng(0).normal(3, 0.5, 5000)
        picture = read(plots.histogram_plot([plots.Cosines(key(), values)], "documents"))
        counts = [re.search(r": ([\d,]+) documents", words) for words in picture.tooltips]
        assert sum(int(found[1].replace(",", "")) for found in counts if found) == 5000
        assert len(counts) <= 28

    def test_texts_without_a_cosine_are_counted(self) -> None:
        row = plots.Cosines(key(), np.array([0.5, 0.6]), undefined=3)
        assert "3 without a cosine" in read(plots.histogram_plot([row], "queries")).words

    @given(st.lists(st.tuples(keys, st.lists(cosines, min_size=1)), min_size=1, max_size=8))
    def test_any(self, rows: list[tuple[plots.LegendKey, list[float]]]) -> None:
        found = [plots.Cosines(name, np.array(values)) for name, values in rows]
        assert len(read(plots.histogram_plot(found, "documents")).having("bars")) == len(rows)


class TestGains:
    def gains(self, *values: float) -> plots.Gains:
        changed = tuple(plots.Gain(f"q{i}", value) for i, value in enumerate(sorted(values)))
        return plots.Gains(key(), changed, queries=300)

    def test_a_bar_for_each_query_that_changed(self) -> None:
        picture = read(plots.gains_plot([self.gains(-0.5, 0.25, -0.1)]))
        assert picture.tooltips == ["q0: −0.5000", "q1: −0.1000", "q2: +0.2500"]
        assert "2 lost, 1 gained, 297 unchanged" in picture.words

    def test_many_share_bars(self) -> None:
        values = np.random.default_rng(0).uniform(-1, 1, 1999)
        picture = read(plots.gains_plot([self.gains(*values)]))
        assert len([*picture.having("loss"), *picture.having("gain")]) <= 81
        assert "Queries that changed, 25 per bar" in picture.words

    def test_none(self) -> None:
        picture = read(plots.gains_plot([self.gains()]))
        assert "0 lost, 0 gained, 300 unchanged" in picture.words
        assert picture.tooltips == []

    @given(st.lists(st.tuples(keys, st.lists(signed, max_size=200)), min_size=1, max_size=8))
    def test_any(self, rows: list[tuple[plots.LegendKey, list[float]]]) -> None:
        found = []
        for name, values in rows:
            changed = tuple(plots.Gain(name.label, value) for value in sorted(values) if value)
            found.append(plots.Gains(name, changed, queries=400))
        read(plots.gains_plot(found))


HOSTILE = "</title><script>alert(1)</script>\"'&"


@pytest.mark.parametrize(
    "draw",
    [
        lambda k: plots.intervals_plot([plots.Range(k, 0, 0, 0, HOSTILE)], HOSTILE, 0),
        lambda k: plots.fidelity_plot([plots.Marker(k, 1e6, 0.5, 0.1)], plots.Marker(k, 1e6, 1)),
        lambda k: plots.quality_plot([plots.Marker(k, 1e6, 0.5)], HOSTILE),
        lambda k: plots.recall_plot([plots.Curve(k, (0.5, 1.0))], (1, 10)),
        lambda k: plots.histogram_plot([plots.Cosines(k, np.ones(1))], HOSTILE),
        lambda k: plots.gains_plot([plots.Gains(k, (plots.Gain(HOSTILE, 1.0),), 1)]),
    ],
)
def test_no_name_becomes_markup(draw: Callable[[plots.LegendKey], str]) -> None:
    markup = draw(key(HOSTILE))
    assert "<script" not in markup
    assert HOSTILE in (read(markup).root[1].text or "")


def test_a_legend_mark_is_no_picture_to_speak_of() -> None:
    root = ElementTree.fromstring(plots.legend_mark(3))
    assert root.attrib["aria-hidden"] == "true"


def test_heights_grow_with_rows() -> None:
    heights = [plots.plot_height(rows) for rows in (1, 2, 6)]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]


class TestSpans:
    @given(st.lists(st.tuples(labels, sizes, parts, parts), min_size=1, max_size=12))
    def test_any(self, rows: list[tuple[str, float, float, float]]) -> None:
        spans = [
            plots.Span(
                plots.LegendKey(label, i % 8), low, low * (1 + a), low * (1 + a) * (1 + b), "7 ms"
            )
            for i, (label, low, a, b) in enumerate(rows)
        ]
        picture = read(plots.spans_plot(spans, "Speed", "tokens/s"))
        assert len(picture.having("range")) == len(spans)

    def test_the_axis_begins_at_zero_or_is_logarithmic(self) -> None:
        near = [plots.Span(plots.LegendKey(n, i), 9, 10, 12, "10") for i, n in enumerate("ab")]
        words = read(plots.spans_plot(near, "Speed", "s")).words
        assert "0" in words
        assert "s" in words
        far = [*near, plots.Span(plots.LegendKey("c", 2), 900, 1000, 1100, "1000")]
        words = read(plots.spans_plot(far, "Speed", "s")).words
        assert "s, logarithmic" in words
        assert {"10", "100", "1,000"} <= set(words)

    def test_marks_are_in_the_order_of_their_figures(self) -> None:
        spans = [plots.Span(plots.LegendKey(str(v), 0), v, v, v, f"{v} s") for v in (1, 2, 4)]
        picture = read(plots.spans_plot(spans, "Speed", "s"))
        places = [float(line.attrib["x1"]) for line in picture.having("range")]
        assert places[1] - places[0] == pytest.approx((places[2] - places[1]) / 2, abs=0.2)
        assert picture.tooltips == ["1: 1 s", "2: 2 s", "4: 4 s"]
