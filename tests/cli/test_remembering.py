"""`minnow memory`, as a user types it."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from fakes.llms import make_llm
from fakes.programs import Done, run_minnow

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import BundleStore

pytestmark = pytest.mark.extra("convert")


@pytest.fixture(scope="module")
def bundles(bundle_store: BundleStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two bundles; for reading only."""
    folder = tmp_path_factory.mktemp("remembering")
    bundle_store.copy_two(folder)
    return folder


@pytest.fixture(scope="module")
def kept(bundles: Path) -> Path:
    """A file of three memories; their numbers keep them apart, for tiny models see little."""
    model = ("-b", bundles / "tiny.minnow")
    for text, options in (
        ("river 1 is cold", ("--importance", "0.9", "-t", "wet", "--at", "2026-03-01T09:30Z")),
        ("fish 2 sleep", ("-t", "wet", "-t", "fish", "--at", "2026-03-02")),
        ("boats 3 float", ()),
    ):
        done = run_minnow("memory", "add", "a.memory", *model, text, *options, cwd=bundles)
        assert done.code == 0, done.stderr
    return bundles / "a.memory"


@pytest.fixture
def place(tmp_path: Path, kept: Path) -> Path:
    """A folder with a copy of that file."""
    shutil.copy(kept, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LLM that says one thing; for reading only."""
    return make_llm(tmp_path_factory.mktemp("llm") / "llm")


def refused(done: Done, code: int, words: str) -> None:
    assert (done.code, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert words in done.stderr


def run_json(place: Path, *arguments: object) -> Any:
    done = run_minnow("memory", *arguments, "--json", cwd=place)
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


class TestAdd:
    def test_what_it_prints(self, place: Path, bundles: Path) -> None:
        texts = ("fish 2 sleep", "train 4 leaves", "train 4 leaves", "  boats 3 float")
        model = ("-b", bundles / "tiny.minnow")
        done = run_minnow("memory", "add", "a.memory", *model, *texts, cwd=place)
        assert done.stdout.splitlines() == ["2  merged", "4  remembered", "4  merged", "3  merged"]

    def test_as_json(self, place: Path, bundles: Path) -> None:
        model = ("-b", bundles / "tiny.minnow")
        (item,) = run_json(
            place, "add", "a.memory", *model, "so it is wet", "--source", 1, "--source", 2
        )
        assert (item["id"], item["kind"], item["sources"]) == (4, "insight", [1, 2])

    def test_lines_of_stdin(self, place: Path, bundles: Path) -> None:
        model = ("-b", bundles / "tiny.minnow")
        done = run_minnow(
            "memory", "add", "b.memory", *model, "-", cwd=place, stdin=b"5 fish\n\n6 boats\n"
        )
        assert done.stdout.splitlines() == ["1  remembered", "2  remembered"]

    def test_from_another_file(self, place: Path, bundles: Path) -> None:
        refused(
            run_minnow("memory", "recall", "a.memory", "x", "-b", bundles / "other.minnow",
                       cwd=place), 11, "the weights",
        )  # fmt: skip
        add = ("add", "b.memory", "-b", bundles / "other.minnow", "--from", "a.memory")
        assert run_json(place, *add)["taken_over"] == 3
        assert run_json(place, *add)["taken_over"] == 0
        ours, theirs = (run_json(place, "list", f"{name}.memory") for name in "ba")
        for key in ("text", "created", "used", "importance", "tags"):
            assert [item[key] for item in ours] == [item[key] for item in theirs]

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [((), 2, "--from"), (("x", "--from", "a.memory"), 2, "--from"), ((" ",), 8, "empty"),
         (("x", "--at", "noon"), 2, "2026-03-01T09"), (("x", "--importance", "2"), 2, "equal to 1"),
         (("x", "--source", "99"), 8, "no memory 99"), (("word " * 90,), 8, "tokens"),
         (("--from", "nope"), 8, "no file")],
    )  # fmt: skip
    def test_what_is_refused(
        self, place: Path, bundles: Path, arguments: tuple[str, ...], code: int, words: str
    ) -> None:
        model = ("-b", bundles / "tiny.minnow")
        done = run_minnow("memory", "add", "a.memory", *model, *arguments, cwd=place)
        refused(done, code, words)
        assert len(run_json(place, "list", "a.memory")) == 3


class TestRecall:
    @pytest.mark.parametrize("command", [("recall", "x"), ("reflect",)])
    def test_no_file_is_made(self, tmp_path: Path, bundles: Path, command: tuple[str, ...]) -> None:
        name, *more = command
        model = ("-b", bundles / "tiny.minnow")
        done = run_minnow("memory", name, "typo.memory", *more, *model, cwd=tmp_path)
        refused(done, 8, "There is no file typo.memory")
        assert list(tmp_path.iterdir()) == []

    def test_for_people(self, place: Path, bundles: Path) -> None:
        done = run_minnow(
            "memory", "recall", "a.memory", "fish 2 sleep", "-b", bundles / "tiny.minnow", "-k", 1,
            "--recency", 0, "--importance", 0.1, "--context", 0, cwd=place,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        assert lines[0] == "1.200  (relevance 1.000, speaker 0.150, importance 0.050)"
        assert lines[1] == "    2  fish 2 sleep"
        assert lines[2].endswith("importance 0.5; tags fish, wet")
        assert len(lines) == 3

    def test_weights_and_filters(self, place: Path, bundles: Path) -> None:
        model = ("-b", bundles / "tiny.minnow", "--no-touch")
        only = ("--relevance", 0, "--recency", 0, "--context", 0)
        assert run_json(place, "recall", "a.memory", "x", *model, *only, "-k", 1)[0]["id"] == 1
        found = run_json(place, "recall", "a.memory", "x", *model, "--tag", "wet", "--tag", "fish")
        assert [one["id"] for one in found] == [2]
        where = ("--where", "importance < 0.9")
        assert {
            one["id"] for one in run_json(place, "recall", "a.memory", "x", *model, *where)
        } == {
            2,
            3,
        }
        assert run_json(place, "recall", "a.memory", "x", *model, "--tag", "none") == []

    def test_weights_by_name(self, place: Path, bundles: Path) -> None:
        """With those of the paper, scaled over all memories, the newest comes first."""
        model = ("-b", bundles / "tiny.minnow", "--no-touch", "--weights", "park2023")
        (one,) = run_json(place, "recall", "a.memory", "x", *model, "--importance", 0, "-k", 1)
        assert (one["id"], one["parts"]["recency"]) == (3, 1)

    def test_turns_of_a_conversation(self, place: Path, bundles: Path) -> None:
        model = ("-b", bundles / "tiny.minnow")
        for who, text in (("Eve", "how are you?"), ("Tom", "fine"), ("Eve", "I go to Rome 7")):
            add = ("add", "c.memory", *model, text, "--speaker", who, "--session", "1")
            (item,) = run_json(place, *add)
            assert (item["speaker"], item["session"]) == (who, "1")
        ask = ("recall", "c.memory", "Where does Eve go, Rome 7?", *model, "--no-touch")
        (one,) = run_json(place, *ask, "-k", 1, "--window", 1, "--session", "1")
        assert ([i["id"] for i in one["before"]], one["id"], one["after"]) == ([2], 3, [])
        assert [i["id"] for i in run_json(place, *ask, "--speaker", "Tom")] == [2]
        assert len(run_json(place, "list", "c.memory", "--speaker", "Eve")) == 2
        done = run_minnow("memory", *ask, "-k", 1, "--window", 1, cwd=place)
        assert [line.strip() for line in done.stdout.splitlines()[1:4:2]] == [
            "2  fine", "3  I go to Rome 7"
        ]  # fmt: skip

    def test_what_cannot_be_written_is_recalled_from(
        self, place: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = ("memory", "recall", "a.memory", "Emma", "-b", bundles / "tiny.minnow")
        monkeypatch.setattr("minnow.indexfile.opening.is_writable", lambda _: False)
        done = run_minnow(*command, cwd=place)
        assert done.code == 0
        assert done.stderr.startswith("warning: what was found does not count as used: Cannot use")
        assert done.stdout == run_minnow(*command, "--no-touch", cwd=place).stdout != ""

    @pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system has no tzset")
    def test_days_are_those_of_this_machine(
        self, place: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As --at and what is shown; they were UTC's."""
        model = ("-b", bundles / "tiny.minnow")
        try:
            monkeypatch.setenv("TZ", "NZST-12")
            time.tzset()
            for text, at in (("eels 7", "2024-05-03T01:00"), ("crabs 8", "2024-05-02T23:00")):
                assert run_json(place, "add", "a.memory", *model, text, "--at", at)
            found = run_json(place, "recall", "a.memory", *model, "what was on 2024-05-03")
        finally:
            monkeypatch.undo()
            time.tzset()
        parts = {row["text"]: row["parts"]["time"] for row in found}
        assert parts["eels 7"] == pytest.approx(0.2)
        assert parts["crabs 8"] < 0.199

    def test_touch(self, place: Path, bundles: Path) -> None:
        before = {item["id"]: item["used"] for item in run_json(place, "list", "a.memory")}
        query = ("recall", "a.memory", "fish 2 sleep", "-b", bundles / "tiny.minnow")
        run_json(place, *query, "-k", 2, "--no-touch")
        assert {item["id"]: item["used"] for item in run_json(place, "list", "a.memory")} == before
        found = {one["id"] for one in run_json(place, *query, "-k", 2)}
        after = {item["id"]: item["used"] for item in run_json(place, "list", "a.memory")}
        assert {id_ for id_ in before if after[id_] != before[id_]} == found


def test_list(place: Path) -> None:
    assert [item["id"] for item in run_json(place, "list", "a.memory")] == [3, 2, 1]
    assert [
        item["id"] for item in run_json(place, "list", "a.memory", "--tag", "wet", "-n", 1)
    ] == [2]
    done = run_minnow("memory", "list", "a.memory", "--where", "id = 1", cwd=place)
    assert done.stdout.splitlines()[0] == "    1  river 1 is cold"
    refused(run_minnow("memory", "list", "a.memory", "--where", "a = 1", cwd=place), 8, "Columns")
    refused(run_minnow("memory", "list", "nope", cwd=place), 8, "no file")


def test_reflect(place: Path, bundles: Path) -> None:
    model = ("-b", bundles / "tiny.minnow", "--smallest", 2)
    near = run_json(place, "reflect", "a.memory", *model, "--closeness", 0.001)
    assert all(len(cluster) >= 2 for cluster in near)
    done = run_minnow("memory", "reflect", "a.memory", *model, "--closeness", 1, cwd=place)
    assert done.stdout == ""
    assert "no recent memories belong together" in done.stderr


def test_an_llm_concludes(place: Path, bundles: Path, llm: Path) -> None:
    """MNN's own engine, with an LLM that can say one thing."""
    model = ("-b", bundles / "tiny.minnow", "--closeness", 0.001)
    none = run_json(place, "reflect", "a.memory", *model, "--smallest", 9, "--llm", llm)
    assert none == []
    (insight,) = run_json(place, "reflect", "a.memory", *model, "--smallest", 3, "--llm", llm)
    assert insight["text"] == "Fish sleep with open eyes [1]."
    assert (insight["kind"], insight["sources"]) == ("insight", [1, 2, 3])
    assert run_json(place, "list", "a.memory")[0]["id"] == insight["id"]
    done = run_minnow("memory", "reflect", "a.memory", *model, "--smallest", 2, "--llm", "nope",
                      cwd=place)  # fmt: skip
    assert (done.code, "no recent memories" in done.stderr) == (0, True)


def test_forget(place: Path) -> None:
    done = run_minnow("memory", "forget", "a.memory", 3, 99, cwd=place)
    assert done.stdout.splitlines()[0] == "    3  boats 3 float"
    assert "there is no memory 99" in done.stderr
    rule = ("forget", "a.memory", "--unused-for", "1d", "--spare", 0.8)
    assert [item["id"] for item in run_json(place, *rule, "--dry-run")] == [2]
    assert [item["id"] for item in run_json(place, *rule)] == [2]
    assert [item["id"] for item in run_json(place, "forget", "a.memory", "--keep", 0)] == [1]
    assert run_json(place, "list", "a.memory") == []
    for wrong in ((), (1, "--keep", 1), ("--keep", 1, "--unused-for", "1y"), (1, "--dry-run")):
        refused(run_minnow("memory", "forget", "a.memory", *wrong, cwd=place), 2, "")
