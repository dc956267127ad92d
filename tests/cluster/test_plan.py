"""The plan for a billion passages on the page is the one that its command prints."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.extra("parquet")


def test_the_page_has_the_plan_of_its_rates() -> None:
    program = runpy.run_path(str(ROOT / "benchmarks" / "cluster.py"))
    page = (ROOT / "docs" / "cluster.md").read_text("utf-8")
    rates = re.findall(r"--rate (\d+)", page)
    overhead = re.search(r"plan .*--overhead (\d+)", page)
    assert rates
    assert overhead
    plans = [program["Plan"](float(rate), float(overhead[1])) for rate in rates]
    assert "\n".join(program["plan_table"](plans)) in page
    assert f"**Files**: {plans[0].parts:,}," in page
