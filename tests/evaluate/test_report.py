"""The page of a comparison: its statements match the results."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import pytest
from fakes import comparisons
from fakes.pages import made, page, read, small_print, table, words

from minnow.evaluate import MEASURES
from minnow.evaluate.bootstrap import Interval
from minnow.evaluate.metrics import HEADLINE
from minnow.evaluate.report import render_report
from minnow.evaluate.results import DEPTH, Difference
from minnow.reporting import numbers

if TYPE_CHECKING:
    from minnow.evaluate import Verdict
    from minnow.evaluate.results import Against, Comparison

pytestmark = pytest.mark.extra("evaluate")

every_kind = pytest.mark.parametrize("kind", comparisons.KINDS)


def against(comparison: Comparison, candidate: int = 0) -> Against:
    found = comparison.candidates[candidate].against
    assert found is not None
    return found


def with_verdict(verdict: Verdict) -> Comparison:
    """Return a comparison of two systems with one verdict on the headline measure."""
    comparison = made("two")
    found = against(comparison)
    difference = Difference(Interval(-0.0123, -0.0234, 0.0042, 300), verdict)
    changed = replace(found, differences={**found.differences, HEADLINE: difference})
    candidate = replace(comparison.systems[1], against=changed)
    return replace(comparison, systems=(comparison.systems[0], candidate))


class TestHeadline:
    @pytest.mark.parametrize(
        ("verdict", "expected"),
        [
            ("better", "{candidate} is better than {baseline}"),
            ("worse", "{candidate} is worse than {baseline}"),
            (
                "equivalent",
                "{candidate} is equivalent to {baseline}, within the margin of 0.01",
            ),
            (
                "too few queries to tell",
                "There are too few queries to tell {candidate} from {baseline}",
            ),
        ],
    )
    def test_of_one_candidate(self, verdict: Verdict, expected: str) -> None:
        comparison = with_verdict(verdict)
        root = read(render_report(comparison))
        baseline, candidate = (system.label for system in comparison.systems)
        title = expected.format(candidate=candidate, baseline=baseline)
        assert words(next(root.iter("h1"))) == title
        sentence = "nDCG@10 differs by −0.0123 (95 % interval −0.0234 to +0.0042)."
        assert sentence in words(root)

    def test_of_several(self) -> None:
        root = page("seven")
        title = words(next(root.iter("h1")))
        assert title.startswith("6 systems against st:bge-small-en-v1.5: 3 equivalent, 2 worse")
        (verdicts,) = (e for e in root.iter("ul") if e.attrib.get("class") == "verdicts")
        for item, system in zip(verdicts, made("seven").candidates, strict=True):
            assert system.against is not None
            interval = system.against.differences[HEADLINE].interval
            assert system.label in words(item)
            assert system.against.verdict in words(item)
            assert numbers.signed(interval.difference) in words(item)
            ends = f"(95 % interval {numbers.signed(interval.low)} to "
            assert ends + numbers.signed(interval.high) in words(item)

    def test_a_name_that_runs_the_other_way_turns_nothing_else(self) -> None:
        comparison = comparisons.make(replace(comparisons.INT8, label="\u202eturned"))
        title = words(next(read(render_report(comparison)).iter("h1")))
        assert "\u2068\u202eturned\u2069" in title

    def test_a_margin_without_end_is_the_whole_range(self) -> None:
        root = read(render_report(replace(with_verdict("equivalent"), margin=inf)))
        assert words(next(root.iter("h1"))).endswith("within the margin of 1")


@every_kind
class TestTables:
    def test_measures(self, kind: str) -> None:
        head, *rows = table(page(kind), "measures")
        assert head == ["System", *MEASURES, "Gold cosine"]
        for row, system in zip(rows, made(kind).systems, strict=True):
            means = [*system.scores.means.values(), system.gold_cosine]
            assert [float(cell) for cell in row[1:]] == pytest.approx(means, abs=6e-5)

    def test_ratios(self, kind: str) -> None:
        comparison = made(kind)
        _, *rows = small_print(page(kind), "measures")
        base = comparison.baseline.scores.means
        for row, system in zip(rows, comparison.systems, strict=True):
            for cell, name in zip(row, MEASURES, strict=False):
                ratio = system.scores.means[name] / base[name]
                assert float(cell.removeprefix("×")) == pytest.approx(ratio, abs=6e-4)

    def test_differences(self, kind: str) -> None:
        _, *rows = table(page(kind), "differences")
        found = iter(rows)
        for system in made(kind).candidates:
            assert len(next(found)) == 1
            assert system.against is not None
            for name, row in system.against.differences.items():
                ends = f"{numbers.signed(row.interval.low)} to {numbers.signed(row.interval.high)}"
                difference = numbers.signed(row.interval.difference)
                assert next(found) == [name, row.verdict, difference, ends]

    def test_usage(self, kind: str) -> None:
        _, *rows = table(page(kind), "usage")
        for row, system in zip(rows, made(kind).systems, strict=True):
            usage = system.usage
            assert row[1:] == [
                numbers.megabytes(system.size),
                numbers.seconds(usage.load_seconds),
                numbers.rate(usage.texts_per_second),
                numbers.megabytes(usage.peak_bytes),
                str(usage.threads),
                usage.measured,
            ]

    def test_changes(self, kind: str) -> None:
        root = page(kind)
        for position, system in enumerate(made(kind).candidates, start=1):
            assert system.against is not None
            changes = system.against.changes
            if not changes:
                continue
            rows = [r for r in table(root, f"changes-{position}") if len(r) == 3][1:]
            worst = [change for change in changes if change.gain < 0][:10]
            best = [change for change in reversed(changes) if change.gain > 0][:10]
            places = [
                [numbers.rank(c.before, DEPTH), numbers.rank(c.after, DEPTH)]
                for c in [*worst, *best]
            ]
            assert [row[1:] for row in rows] == places
            sentence = f"{system.against.losses} lost, {system.against.gains} gained"
            assert sentence in words(root)


class TestCosines:
    def test_they_are_those_of_the_comparison(self) -> None:
        _, *rows = table(page("seven"), "cosines")
        found = iter(rows)
        for system in made("seven").candidates:
            assert system.against is not None
            for name in ("documents", "queries"):
                fidelity = getattr(system.against, name)
                row = next(found)[-5:]
                figures = (fidelity.mean, fidelity.p5, fidelity.minimum)
                assert row[:4] == [name, *map(numbers.cosine, figures)]
                assert all(f"{id_} {numbers.cosine(c)}" in row[4] for id_, c in fidelity.worst)

    def test_another_model(self) -> None:
        rows = table(page("mixed"), "cosines")
        assert rows[-1][-1] == (
            "This system runs another model; its vectors cannot be compared one by one."
        )

    def test_other_models_alone(self) -> None:
        root = page("across models")
        assert "The systems run different models" in words(root)
        titles = [svg[0].text for svg in root.iter("svg") if svg.attrib["class"] == "plot"]
        assert "nDCG@10 against size" in titles
        assert "Fidelity against size" not in titles

    def test_texts_without_a_cosine_are_counted(self) -> None:
        rows = table(page("unmeasured"), "cosines")
        assert rows[1][2:5] == ["not measured"] * 3
        assert rows[1][5].endswith("; 3 without a cosine")


def test_what_was_compared() -> None:
    comparison, shown = made("two"), words(page("two"))
    for fact in (comparison.dataset.fingerprint, comparison.dataset.name, "300", "1,200"):
        assert fact in shown
    assert all(note in shown for note in comparison.notes)
    assert all(system.name in shown for system in comparison.systems)


def test_equal_rankings_are_reported() -> None:
    sentence = (
        "bge-small-copy.minnow: the first relevant document of every query has the same rank."
    )
    assert sentence in words(page("identical"))


def test_a_system_of_no_size_is_in_no_plot_of_sizes() -> None:
    comparison = made("across models")
    weightless = tuple(replace(system, size=0) for system in comparison.systems)
    root = read(render_report(replace(comparison, systems=weightless)))
    assert "against size" not in words(root)
    assert table(root, "usage")[1][1] == "not measured"
