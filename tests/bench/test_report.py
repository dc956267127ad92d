"""The page of a benchmark: its statements match the results."""

from __future__ import annotations

import pytest
from fakes.benchmarks import make
from fakes.comparisons import HOSTILE
from fakes.pages import read, small_print, table, words

from minnow.bench.report import QUANTITIES, describe_setup, make_title, render_report

pytestmark = pytest.mark.extra("evaluate")


def test_the_title_names_the_fastest() -> None:
    assert make_title(make()) == "onnx:second is the fastest in bulk, with 4,000 tokens/s"
    assert make_title(make("only.minnow")) == "only.minnow: 2,000 tokens/s"


def test_the_machine_is_described() -> None:
    lines = describe_setup(make())
    assert lines[0] == "words/test: 64 documents of 1000 tokens, 40 queries of 15 to 17 tokens"
    assert lines[1] == "A processor, 2 CPUs (avx2, avx512f), 8 GiB"
    assert lines[3].endswith("reaches 100 GFLOP/s with them")


def test_the_table_has_every_quantity() -> None:
    page = read(render_report(make()))
    head, first, second = table(page, "speeds")
    assert [quantity.column for quantity in QUANTITIES] == head[1 : 1 + len(QUANTITIES)]
    assert first[1:4] == ["2,000", "20", "4.0"]
    assert second[1:4] == ["4,000", "40", "2.0"]
    assert second[-2:] == ["250 MB", "90.0 MB"]
    _, beside, beside_second = small_print(page, "speeds")
    assert beside[:2] == ["1,800 to 2,200", "×1.00"]
    assert beside_second[:2] == ["3,600 to 4,400", "×2.00"]
    assert "×0.50" in beside_second


def test_what_is_not_known_is_not_drawn() -> None:
    page = read(render_report(make(operations=None)))
    plots = [e[0].text for e in page.iter("svg") if e.attrib["class"] == "plot"]
    assert plots == ["Many documents", "One short query", QUANTITIES[4].title]
    assert "not known" in words(page)
    assert "The machine was busy." in words(page)


@pytest.mark.parametrize("label", HOSTILE)
def test_any_name(label: str) -> None:
    page = read(render_report(make(label, "b", *"cdefghij")))
    assert not list(page.iter("script"))
