"""The page of a frontier: its statements match the results."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
from fakes import frontiers
from fakes.frontiers import BUNDLES, GGUFS
from fakes.pages import read, table, words

from minnow.frontier.report import make_title, render_report
from minnow.reporting import numbers

if TYPE_CHECKING:
    from fakes.comparisons import Made
    from fakes.pages import Element

    from minnow.frontier import Frontier

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("evaluate")]

every_kind = pytest.mark.parametrize("kind", frontiers.KINDS)


@cache
def made(kind: str) -> Frontier:
    return frontiers.KINDS[kind]()


@cache
def page(kind: str) -> Element:
    return read(render_report(made(kind)))


def plot(root: Element, name: str) -> Element:
    """Return the plot with a title."""
    (found,) = (e for e in root.iter("svg") if e.attrib["class"] == "plot" and e[0].text == name)
    return found


class TestTitle:
    @pytest.mark.parametrize(
        ("made", "expected"),
        [
            ((*BUNDLES, *GGUFS), "2 of 3 GGUFs are dominated by a bundle"),
            ((*BUNDLES, *GGUFS[1:]), "every GGUF is dominated by a bundle"),
            ((BUNDLES[0], *GGUFS), "no GGUF is dominated by a bundle"),
            ((*BUNDLES, GGUFS[1]), "GGUF q8_0 is dominated by a bundle"),
            ((*BUNDLES, GGUFS[0]), "GGUF f16 is dominated by no bundle"),
            (BUNDLES, "5 of 5 bundles on the frontier"),
        ],
    )
    def test_it_says_what_came_out(self, made: tuple[Made, ...], expected: str) -> None:
        assert make_title(frontiers.make(*made)) == f"BAAI/bge-small-en-v1.5: {expected}"


class TestPage:
    def test_every_gguf_has_its_verdict(self) -> None:
        shown = words(page("usual"))
        assert "GGUF q8_0 (36.7 MB): dominated by int8 (34.2 MB)." in shown
        assert "GGUF f16 (67.3 MB): no bundle dominates it." in shown

    @every_kind
    def test_the_tables_hold_the_figures(self, kind: str) -> None:
        found, rows = made(kind), table(page(kind), "fidelity")[1:]
        best = [point.name for point in found.best]
        assert len(rows) == len(found.measured) + (not found.has_baseline)
        for row, cells in zip(found.measured, rows, strict=False):
            point = row.point
            cosines = map(numbers.cosine, (point.mean, point.p5, point.minimum))
            on_it = "yes" if point.name in best else ""
            assert cells == [point.name, numbers.megabytes(point.size), *cosines, on_it]
        measures = table(page(kind), "measures")[1:]
        for row, cells in zip(found.measured, measures, strict=False):
            assert cells[1] == numbers.measure(row.result.scores.means["nDCG@10"])
            verdict = "baseline" if row.result.against is None else row.result.against.verdict
            assert cells[-1] == verdict
        assert len(table(page(kind), "usage")) == len(rows) + 1

    def test_what_was_refused(self) -> None:
        assert table(page("alone"), "refusals")[1:] == [
            ["int5", "0.93120", "0.95", "Refused: the converted model does not give the vectors "
             "of NumPy."],
            ["GGUF q3_k_m", "not measured", "0.8", "llama.cpp has no pooling."],
        ]  # fmt: skip
        assert "refused" not in words(page("one"))

    def test_notes_are_shown(self) -> None:
        assert all(note in words(page("alone")) for note in made("alone").notes)

    @every_kind
    def test_it_is_safe_and_refers_to_nothing(self, kind: str) -> None:
        root = page(kind)
        assert not {"script", "img", "a", "b"} & {element.tag for element in root.iter()}
        ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
        assert len(ids) == len(set(ids))
        for e in root.iter():
            assert e.attrib.get("aria-labelledby", ids[0]) in ids
        shown = words(root.findall("body")[0])
        assert not re.search(r"\b(nan|inf|infinity|none)\b", shown, re.IGNORECASE)
        for found in root.iter("table"):
            assert len({len(row) for row in found.iter("tr")}) == 1


class TestPlots:
    def test_two_series_and_a_line(self) -> None:
        drawn = plot(page("usual"), "Fidelity against size")
        looks = [e.attrib["class"] for e in drawn.iter("path") if "mark" in e.attrib["class"]]
        assert (looks.count("mark s1"), looks.count("mark s2")) == (5, 3)
        (stairs,) = (e for e in drawn.iter("path") if e.attrib["class"] == "stairs")
        assert stairs.attrib["d"].count("H") == len(made("usual").best) - 1
        assert "GGUF f16: 67.3 MB, mean cosine" in words(drawn)

    def test_the_baseline_is_among_the_qualities(self) -> None:
        drawn = plot(page("usual"), "nDCG@10 against size")
        assert "mark s0" in [e.attrib["class"] for e in drawn.iter("path")]
        drawn = plot(page("alone"), "nDCG@10 against size")
        assert "mark s0" not in [e.attrib["class"] for e in drawn.iter("path")]

    def test_nan_is_left_out(self) -> None:
        drawn = plot(page("broken"), "Fidelity against size")
        assert len([e for e in drawn.iter("path") if "mark" in e.attrib["class"]]) == 2

    def test_where_nothing_has_a_size(self) -> None:
        found = made("one")
        rows = tuple(replace(row, point=replace(row.point, size=0)) for row in found.measured)
        markup = render_report(
            replace(found, measured=rows, baseline=replace(found.baseline, size=0))
        )
        assert "against size" not in words(read(markup))
