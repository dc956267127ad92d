"""The commands around memories: keep, find, group and forget them."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from minnow.cli.app import app, print_facts, print_json
from minnow.cli.fields import options_from_fields
from minnow.cli.options import Json, RequiredBundle, RerankChoice, Window, not_empty
from minnow.cli.parsing import CommandLine
from minnow.errors import OutputError
from minnow.terminal import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.memory import Grouping, Item, Memory, Recalled

memory_app = CommandLine(help="Keep memories in a file, recall them, reflect on them.")
app.add_typer(memory_app, name="memory", rich_help_panel=None)

Weight = Annotated[float | None, typer.Option(min=0, help="Weigh this part of the score by this.")]
WeightsName = Literal["default", "park2023"]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

File = Annotated[Path, typer.Argument(metavar="FILE", help="A file of memories, or an index.")]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", "-t", metavar="TAG", help="Only memories with this tag; may be repeated."
    ),
]
Speaker = Annotated[str | None, typer.Option(metavar="NAME", help="Only what this speaker said.")]
Session = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only turns of this conversation.")
]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="SQL", help="Only such memories: text, kind, importance, created, used, times."
    ),
]


@memory_app.command("add")
def add_command(
    file: File,
    bundle: RequiredBundle,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT...", help="What to remember; - reads lines.")
    ] = None,
    importance: Annotated[
        float, typer.Option(min=0, max=1, help="Rate them from 0, everyday, to 1.")
    ] = 0.5,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Date them, as 2026-03-01T09:30; default: now."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", "-t", metavar="TAG", help="Give them this tag; may be repeated."),
    ] = None,
    source: Annotated[
        list[int] | None,
        typer.Option(metavar="ID", help="Say that they follow from this memory; may be repeated."),
    ] = None,
    speaker: Annotated[
        str, typer.Option(metavar="NAME", help="Say who said it, as questions name them.")
    ] = "",
    session: Annotated[
        str, typer.Option(metavar="NAME", help="Say which conversation it is a turn of.")
    ] = "",
    copy_from: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Copy the memories of a file, for a new model."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Remember texts; make the file if it is not there.

    A text that says the same as a memory is merged with it, and listed there as another wording.

    Example: minnow memory add my.memory -b bge-small.minnow "Emma eats no peanuts." -t family
    """
    from minnow.memory import Memory, Observation

    wanted = [line for text in texts or () for line in _lines(text)]
    if bool(wanted) == (copy_from is not None):
        raise UsageError("Give texts to remember, or a file with --from.")
    with Memory.open(file, bundle) as memory:
        if copy_from is not None:
            with Memory.open(copy_from, writable=False) as other:
                print_facts({"file": str(file), "taken_over": memory.copy_from(other)}, as_json)
            return
        when = None if at is None else _time(at)
        seen = [
            Observation(
                text, importance, when, tuple(tag or ()), tuple(source or ()), speaker, session
            )
            for text in wanted
        ]
        items = memory.remember_many(seen)
    if as_json:
        _print_items_as_json(items)
        return
    times = Counter(item.id for item in items)
    for text, item in zip(wanted, items, strict=True):
        if item.times == times.pop(item.id, 0):
            print(f"{item.id}  remembered")
        else:
            same = "" if item.text.strip() == text.strip() else f": {item.text}"
            print(f"{item.id}  merged{same}")


@memory_app.command("recall")
@options_from_fields
def recall_command(
    file: File,
    query: Annotated[
        str, typer.Argument(metavar="QUESTION", help="What to recall for.", callback=not_empty)
    ],
    bundle: RequiredBundle,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Print this many memories.")] = 5,
    weights: Annotated[
        WeightsName, typer.Option(help="Weigh the parts of the score so; see docs/memory.md.")
    ] = "default",
    relevance: Weight = None,
    recency: Weight = None,
    importance: Weight = None,
    context: Weight = None,
    half_life: Annotated[
        str | None, typer.Option(metavar="TIME", help="Halve the recency in 30d, 12h, 6w.")
    ] = None,
    window: Annotated[
        int, typer.Option(min=0, max=100, help="Print so many turns before and after it, too.")
    ] = 0,
    tag: Tags = None,
    speaker: Speaker = None,
    session: Session = None,
    where: Where = None,
    touch: Annotated[
        bool, typer.Option("--touch/--no-touch", help="Count what is found as used now, or do not.")
    ] = True,
    *,
    rerank: RerankChoice,
    as_json: Json = False,
) -> None:
    """Find the memories that answer a question.

    The parts that are printed add up to the score. A time in the question, as "last May" or "two
    weeks ago", counts by this machine's clock, and so does the name of a speaker.

    Example: minnow memory recall my.memory "what can I cook for Emma?" -b bge-small.minnow -k 3
    """
    from minnow.memory import Memory
    from minnow.memory.local_time import local_now
    from minnow.memory.scoring import WEIGHTS

    given: dict[str, Any] = {
        "relevance": relevance, "recency": recency, "importance": importance, "context": context,
        "half_life": _span(half_life),
    }  # fmt: skip
    chosen = replace(WEIGHTS[weights], **{k: v for k, v in given.items() if v is not None})
    with rerank.open() as reranker:

        def recall(*, touch: bool) -> list[Recalled]:
            with Memory.open(file, bundle, writable=touch, create=False, clock=local_now) as memory:
                return memory.recall(
                    query, k, weights=chosen, tags=tag or (), speaker=speaker, session=session,
                    where=where, window=window, reranker=reranker, candidates=rerank.candidates,
                    touch=touch,
                )  # fmt: skip

        try:
            found = recall(touch=touch)
        except OutputError as error:
            if not touch:
                raise
            found = recall(touch=False)
            warnings.warn(f"what was found does not count as used: {error}", stacklevel=1)
    if as_json:
        _print_items_as_json(found)
    elif found:
        _print_recalled(found)
    else:
        warnings.warn("nothing was found.", stacklevel=1)


@memory_app.command("reflect")
def reflect_command(
    file: File,
    bundle: RequiredBundle,
    llm: Annotated[
        Path | None,
        typer.Option(
            "--llm", help="Let this LLM conclude, a folder of MNN-LLM; else print groups."
        ),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="Group this many of the newest memories.")] = 100,
    closeness: Annotated[
        float,
        typer.Option(max=1, help="Group what is this close: 0 is unrelated, 1 the same."),
    ] = 0.4,
    smallest: Annotated[int, typer.Option(min=2, help="Leave out groups of fewer memories.")] = 3,
    window: Window = None,
    as_json: Json = False,
) -> None:
    """Group recent memories by subject, and remember what follows from them.

    Only memories that nothing was concluded from yet are grouped. With an LLM each group is handed
    to it, and its conclusion is remembered as an insight. Without, the groups are printed; remember
    a conclusion of yours with: minnow memory add FILE "..." --source ID --source ID

    Example: minnow memory reflect my.memory -b bge-small.minnow --llm qwen3-mnn
    """
    from minnow.memory import Grouping, Memory

    grouping = Grouping(last, closeness, smallest)
    with Memory.open(file, bundle, writable=llm is not None, create=False) as memory:
        if llm is not None:
            insights = _conclude(memory, grouping, llm, window)
            _print_items_as_json(insights) if as_json else _print_items(insights)
            return
        clusters = memory.clusters(grouping)
    if as_json:
        print_json([[item.facts() for item in cluster] for cluster in clusters])
        return
    for number, cluster in enumerate(clusters, start=1):
        print(f"{number}.  {len(cluster)} memories")
        _print_items(cluster)
    if not clusters:
        _warn_of_none()


def _conclude(memory: Memory, grouping: Grouping, llm: Path, window: int | None) -> list[Item]:
    """Return the insights of an LLM, which is loaded only if there is anything to conclude from."""
    from minnow.ask import MnnLlm, conclude_with

    if not memory.clusters(grouping):
        _warn_of_none()
        return []
    with MnnLlm.open(llm, window=window) as opened:
        return memory.reflect(conclude_with(opened), grouping)


def _warn_of_none() -> None:
    warnings.warn("no recent memories belong together.", stacklevel=2)


@memory_app.command("list")
def list_command(
    file: File,
    tag: Tags = None,
    speaker: Speaker = None,
    session: Session = None,
    where: Where = None,
    limit: Annotated[
        int | None, typer.Option("-n", min=1, help="Print only this many of the newest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List memories, the newest first.

    Example: minnow memory list my.memory --tag family --where "importance > 0.5"
    """
    from minnow.memory import Memory

    with Memory.open(file, writable=False) as memory:
        items = memory.items(
            tags=tag or (), speaker=speaker, session=session, where=where, limit=limit
        )
    _print_items_as_json(items) if as_json else _print_items(items)


@memory_app.command("forget")
def forget_command(
    file: File,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID...", help="Forget these memories.")
    ] = None,
    unused_for: Annotated[
        str | None, typer.Option(metavar="TIME", help="Forget those not used for 90d, 12h, 6w.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=0, help="Forget all but this many, by recency and importance.")
    ] = None,
    spare: Annotated[
        float | None, typer.Option(min=0, max=1, help="Keep those of at least this importance.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print which.")] = False,
    as_json: Json = False,
) -> None:
    """Forget memories, by number or by a rule.

    What was concluded from them stays. The forgotten memories are printed.

    Example: minnow memory forget my.memory 12 13

    Example: minnow memory forget my.memory --unused-for 90d --spare 0.8 --dry-run
    """
    from minnow.memory import Memory, Retention

    by_rule = unused_for is not None or keep is not None
    if bool(ids) == by_rule:
        raise UsageError("Give the numbers of memories, or a rule: --unused-for, --keep.")
    if ids and (dry_run or spare is not None):
        raise UsageError("--dry-run and --spare belong to the rules, not to numbers.")
    retention = Retention(_span(unused_for), keep, spare) if by_rule else None
    with Memory.open(file, writable=not dry_run) as memory:
        if retention is not None:
            gone = memory.forget_outdated(retention, dry_run=dry_run)
        else:
            gone = memory.forget(*ids or ())
    for missing in sorted(set(ids or ()) - {item.id for item in gone}):
        warnings.warn(f"there is no memory {missing}.", stacklevel=1)
    _print_items_as_json(gone) if as_json else _print_items(gone)


def _lines(text: str) -> list[str]:
    """Return the text, or for "-" the lines of stdin."""
    if text != "-":
        return [text]
    from minnow.streams import read_texts

    return [line for line in read_texts("-") if line.strip()]


def _time(text: str) -> datetime:
    """Read a time in ISO 8601; without a time zone it is local time."""
    try:
        at = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
        return at if at.tzinfo else at.astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"{text!r} is not a time; write it as 2026-03-01T09:30.") from error


def _span(text: str | None) -> timedelta | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if found is None:
        raise UsageError(f"{text!r} is not a span of time; write 30m, 12h, 90d or 6w.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _shown(at: datetime) -> str:
    """Write a time as local time; as UTC where local time has no such year."""
    with suppress(ValueError, OverflowError, OSError):
        at = at.astimezone()
    return at.strftime("%Y-%m-%d %H:%M")


def _print_items_as_json(found: Sequence[Item | Recalled]) -> None:
    print_json([one.facts() for one in found])


def _print_recalled(found: Sequence[Recalled]) -> None:
    for one in found:
        parts = ", ".join(f"{name} {part:.3f}" for name, part in one.parts.items() if part)
        reranked = "" if one.rerank_score is None else f"reranked {one.rerank_score:.3f}; "
        print(f"{reranked}{one.score:.3f}  ({parts})")
        _print_items([*one.before, one.item, *one.after])


def _print_items(items: Sequence[Item]) -> None:
    from minnow.search.results import one_line

    width = max((len(str(item.id)) for item in items), default=0)
    for item in items:
        margin = " " * (width + 6)
        print(f"{item.id:>{width + 4}}  {one_line(item.text)}")
        for wording in item.wordings:
            print(f"{margin}also: {one_line(wording)}")
        facts = [one_line(item.speaker)] if item.speaker else []
        facts += [_shown(item.created), f"importance {item.importance:g}"]
        facts += [f"{item.times} times"] if item.times > 1 else []
        facts += [one_line(f"tags {', '.join(item.tags)}")] if item.tags else []
        if item.sources:
            facts.append(f"concluded from {', '.join(map(str, item.sources))}")
        print(f"{margin}{'; '.join(facts)}")
