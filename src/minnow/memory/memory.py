"""Memories in a file: remembered, recalled, reflected on, forgotten."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.engines import EngineOptions
from minnow.errors import InputError
from minnow.indexfile.encodings import decode_rows
from minnow.indexfile.models import check_questions, open_model
from minnow.indexfile.opening import make_store, open_store
from minnow.indexfile.reranking import count_candidates
from minnow.indexfile.settings import DEFAULT_TOKENS, IndexSettings
from minnow.indexfile.store import OpenIndexFile
from minnow.memory import rows
from minnow.memory.closeness import known_background, least_cosine
from minnow.memory.clusters import Grouping, average_linkage
from minnow.memory.dates import read_period
from minnow.memory.items import Observation, Recalled, Selection, checked_ids, milliseconds_of
from minnow.memory.merging import encode_whole, write_or_merge
from minnow.memory.ranking import Question, rank, rerank
from minnow.memory.retention import outdated
from minnow.memory.scoring import Weights
from minnow.memory.view import View
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from typing_extensions import Unpack

    from minnow.bundle import Bundle
    from minnow.engines import EngineArguments
    from minnow.indexfile.encodings import Floats
    from minnow.indexfile.filters import Parameters
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.reranking import TextRanker
    from minnow.indexfile.store import Store
    from minnow.memory.items import Item
    from minnow.memory.retention import Retention


DUPLICATE = 0.85
"""The closeness from which two texts may say the same, if they have the same words too."""

_AT_A_TIME = 256
_PURPOSE = "To remember, recall and reflect in"
_MOST_RECALLED = 1000
_WIDEST = 100


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class Memory(OpenIndexFile):
    """Memories of an app, in a file that may hold documents too.

    Safe to use from several threads and processes.

    ```python
    with Memory.open("notes.index", "bge-small.minnow") as memory:
        memory.remember("Emma is allergic to peanuts.", importance=0.9, tags=["family"])
        for found in memory.recall("what can I cook for Emma?", k=3):
            print(found.score, found.item.text)
    ```
    """

    def __init__(
        self,
        store: Store,
        model: SearchModel | None = None,
        *,
        clock: Callable[[], datetime] = _utc_now,
        duplicate: float = DUPLICATE,
    ) -> None:
        """Keep memories in an open file; `open` opens it.

        Args:
            store: The file; to remember, open for writing.
            model: The model that makes the vectors; without one memories can only be listed and
                forgotten.
            clock: Returns the time, with a time zone. With a fixed one everything is
                deterministic.
            duplicate: Closeness from which a text is merged with a memory; above 1, never.

        Raises:
            IndexFileError: The file is of another model.
            InputError: `duplicate` is out of range.
        """
        if not duplicate > 0:
            raise InputError(
                f"duplicate is {duplicate}; it should be above 0, such as {DUPLICATE}."
            )
        super().__init__(store, model)
        self._clock, self._duplicate = clock, duplicate
        rows.prepare(store)
        self._view = View(store)

    @classmethod
    def open(
        cls,
        file: str | Path,
        bundle: str | Path | Bundle | None = None,
        options: EngineOptions = EngineOptions(),
        *,
        writable: bool = True,
        create: bool = True,
        clock: Callable[[], datetime] = _utc_now,
        duplicate: float = DUPLICATE,
        **changes: Unpack[EngineArguments],
    ) -> Memory:
        """Open a file of memories, or make it.

        Args:
            file: The file, which may be an index of documents too.
            bundle: The model; without one memories can only be listed and forgotten.
            options: Which engine runs the model, and how.
            writable: Whether to remember, touch or forget anything.
            create: Whether to make the file where there is none, which takes a bundle.
            clock: As in `Memory`.
            duplicate: As in `Memory`.
            **changes: Fields of the options, as in `Embedder.open`.

        Raises:
            InputError: There is no such file, and no bundle to make it with.
            IndexFileError: It is no index, damaged, of another model, or from a newer minnow.
            OutputError: It cannot be written.
            BundleError, EngineError, SourceError, MissingExtraError: As `Embedder.open`.
        """
        path = Path(file)
        with ExitStack() as stack:
            model: SearchModel | None = None
            if bundle is not None:
                opened = open_model(bundle, replace(options, **changes))
                model = stack.enter_context(opened)
            if model is not None and writable and create:
                settings = IndexSettings(min(DEFAULT_TOKENS, model.room))
                store = make_store(path, model.fingerprint, settings)
            else:
                store = open_store(path, writable=writable)
            stack.callback(store.close)
            memory = cls(store, model, clock=clock, duplicate=duplicate)
            memory._stack = stack.pop_all()
        return memory

    def close(self) -> None:
        """Close the file, and the model if it was opened with the file."""
        super().close()
        self._view.words.close()

    def __len__(self) -> int:
        """Return the number of memories."""
        with self.store.reading():
            return len(self._view.data().ids)

    def remember(
        self,
        text: str,
        *,
        importance: float = 0.5,
        at: datetime | None = None,
        tags: Collection[str] = (),
        sources: Collection[int] = (),
        speaker: str = "",
        session: str = "",
    ) -> Item:
        """Remember a text; one that repeats a memory is merged with it.

        A merged memory keeps its text and lists the other wording, so that nothing is lost. It
        takes the greater importance, the earlier `created`, the later `used`, and all tags and
        sources. A text repeats a memory if their vectors are close enough, and if it has the same
        words in an order that leaves the meaning (`minnow.memory.wording`). Insights are merged
        with insights only, and turns of a session with nothing.

        The arguments are the fields of `Observation`.

        Returns:
            The memory; `times` says whether it was merged.

        Raises:
            InputError: The text is empty or too long, another argument is invalid, or there is
                no model.
            IndexFileError, OutputError: The file is damaged, or cannot be used.
        """
        seen = Observation(text, importance, at, tags, sources, speaker, session)
        return self.remember_many([seen])[0]

    def remember_many(self, observations: Iterable[Observation]) -> list[Item]:
        """Remember several texts, all or none, as if one by one; return their memories in order."""
        wanted = [observation.cleaned() for observation in observations]
        for observation in wanted:
            observation.check()
        vectors, blobs = self._encode([observation.text for observation in wanted])
        stored = decode_rows(blobs, self.fingerprint.width, self.settings.encoding)
        least, now = least_cosine(self._duplicate, self._background()), self._now()
        with self._view.changing() as (database, changed):
            ids = write_or_merge(
                self.store, self._view, wanted, vectors, stored, blobs, least=least, now=now
            )
            changed.update(ids)
            return rows.read_items(database, ids)

    def copy_from(self, other: Memory) -> int:
        """Copy the memories of another file, also of another model, and embed them again.

        Memories that exist already, with the same text and time, are skipped, so that a copy may
        be stopped and run again.

        Returns:
            The number of memories copied.
        """
        items = other.items()[::-1]
        count = 0
        for start in range(0, len(items), _AT_A_TIME):
            block = items[start : start + _AT_A_TIME]
            _, blobs = self._encode([item.text for item in block])
            with self.store.writing() as database:
                count += rows.copy(database, block, blobs)
        with self.store.writing() as database:
            rows.copy_links(database, items)
        return count

    # --- recalling -------------------------------------------------------------------------

    def recall(
        self,
        query: str,
        k: int = 5,
        *,
        weights: Weights | None = None,
        tags: Collection[str] = (),
        speaker: str | None = None,
        session: str | None = None,
        where: str | None = None,
        params: Parameters = (),
        window: int = 0,
        reranker: TextRanker | None = None,
        candidates: int | None = None,
        touch: bool = True,
    ) -> list[Recalled]:
        """Find the memories that answer a question, the best first.

        A time that the question names ("two weeks ago") is read by the clock, see `read_period`.

        Args:
            query: The question.
            k: The most memories, from 1 to 1000.
            weights: Weights of the parts of the score; `Weights()` by default.
            tags: Only memories that have all of these.
            speaker: Only those of this speaker.
            session: Only those of this session.
            where: Only those that fulfil a condition in SQL on the columns of the table, such as
                "kind = 'insight' AND created > ?".
            params: The values of its `?`, or of its `:name` as a mapping.
            window: How many turns before and after each memory come along.
            reranker: Orders what was found, such as an open `Reranker`.
            candidates: How many memories it reads; 50 by default, or k if that is more.
            touch: Whether the memories found count as used now.

        Raises:
            InputError: An argument is out of range, the question is no string, or there is no
                model.
            IndexFileError, OutputError: The file is damaged, or cannot be used.
        """
        check_questions([query])
        if not isinstance(k, int) or not 1 <= k <= _MOST_RECALLED:
            raise InputError(f"k is {k}; it should be from 1 to {_MOST_RECALLED}.")
        if not isinstance(window, int) or not 0 <= window <= _WIDEST:
            raise InputError(f"window is {window}; it should be from 0 to {_WIDEST}.")
        depth = count_candidates(reranker, candidates, k)
        selection = Selection(tags, speaker, session, where, params)
        model, now = self._require_model(_PURPOSE), self._clock()
        with self.store.reading():
            columns = self._view.data()
            period, asked = read_period(query, now, columns.latest)
            mentions = columns.find_mentions(asked)
            first = mentions.first_person if columns.said().all() else asked
        forms = list(dict.fromkeys((first, mentions.first_person)))
        question = Question(mentions, model.encode_queries(forms)[[0, -1]], period)
        with self.store.reading():
            allowed = self._view.allowed(selection)
            at, chosen = milliseconds_of(now), weights or Weights()
            ranked = rank(self._view, question, depth, allowed, at, chosen)
            found = self._view.recalled(ranked, window)
        found = rerank(reranker, query, found, k)
        if touch and found:
            with self._view.changing() as (database, changed):
                changed.update(one.item.id for one in found)
                rows.touch(database, changed, milliseconds_of(now))
        return found

    def items(
        self,
        *,
        tags: Collection[str] = (),
        speaker: str | None = None,
        session: str | None = None,
        where: str | None = None,
        params: Parameters = (),
        limit: int | None = None,
    ) -> list[Item]:
        """Return memories, the newest first; arguments as in `recall`.

        Raises:
            InputError: `limit` is negative, or another argument cannot be used.
        """
        if limit is not None and limit < 0:
            raise InputError(f"limit is {limit}; it should be 0 or more.")
        with self.store.reading() as database:
            allowed = self._view.allowed(Selection(tags, speaker, session, where, params))
            ids = self._view.data().ids if allowed is None else allowed
            return rows.read_items(database, self._view.newest_first(ids)[:limit])

    # --- reflecting ------------------------------------------------------------------------

    def clusters(self, grouping: Grouping | None = None) -> list[list[Item]]:
        """Group recent memories that have led to no insight by subject.

        The largest cluster comes first; within one, the oldest memory.
        """
        grouping = grouping or Grouping()
        least = least_cosine(grouping.closeness, self._background())
        with self.store.reading():
            items, vectors = self._view.recent(grouping.last)
        groups = average_linkage(vectors, least)
        return [[items[row] for row in rows] for rows in groups if len(rows) >= grouping.smallest]

    def reflect(
        self,
        conclude: Callable[[Sequence[Item]], str | None],
        grouping: Grouping | None = None,
    ) -> list[Item]:
        """Conclude insights from recent memories, remember and return them.

        Each insight is remembered immediately, with links to its memories, the tags that all of
        them have, and the greatest importance among them. A memory is reflected on once; insights
        are memories too, and may be reflected on later.

        Args:
            conclude: Receives the memories of a cluster, the oldest first, and returns what
                follows from them, such as a language model's answer; None or an empty text if
                nothing does.
            grouping: How memories are grouped.

        Raises:
            InputError: An insight is too long for the model. Earlier ones are remembered.
        """
        insights = []
        for cluster in self.clusters(grouping):
            text = conclude(cluster)
            with self.store.reading() as database:
                there = rows.read_items(database, (item.id for item in cluster))
            if text is None or not text.strip() or not there:
                continue
            insight = self.remember(
                text.strip(),
                importance=max(item.importance for item in cluster),
                tags=set.intersection(*(set(item.tags) for item in cluster)),
                sources=[item.id for item in there],
            )
            insights.append(insight)
        return insights

    # --- forgetting ------------------------------------------------------------------------

    def forget(self, *ids: int) -> list[Item]:
        """Delete memories and return them; insights from them stay, and unknown ids are ignored.

        Raises:
            InputError: An id is no integer; nothing is deleted then.
        """
        wanted = dict.fromkeys(checked_ids(ids))
        with self._view.changing() as (database, changed):
            forgotten = rows.read_items(database, wanted)
            changed.update(item.id for item in forgotten)
            rows.remove(database, changed)
        return forgotten

    def forget_outdated(self, retention: Retention, *, dry_run: bool = False) -> list[Item]:
        """Delete memories by rules.

        Args:
            retention: The rules.
            dry_run: Whether to delete nothing, and only return what would be deleted.

        Returns:
            The forgotten memories, by id.
        """
        with self.store.reading() if dry_run else self.store.writing() as database:
            data, now = self._view.data(), self._now()
            ids = outdated(data.rows, now, retention)
            forgotten = rows.read_items(database, ids)
            if not dry_run:
                rows.remove(database, ids)
        return forgotten

    def _now(self) -> int:
        return milliseconds_of(self._clock())

    def _encode(self, texts: Sequence[str]) -> tuple[Floats, list[bytes]]:
        return encode_whole(self._require_model(_PURPOSE), texts, self.settings.encoding)

    def _background(self) -> float:
        return known_background(self.store, partial(self._require_model, _PURPOSE))
