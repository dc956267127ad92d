"""Memories, as users open them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.engines import EngineOptions
from minnow.errors import InputError
from minnow.memory import table
from minnow.memory.closeness import background, least_cosine
from minnow.memory.clusters import Grouping, average_linkage
from minnow.memory.items import Observation, milliseconds_of
from minnow.memory.merging import write_or_merge
from minnow.memory.retention import outdated
from minnow.memory.scoring import Weights
from minnow.memory.view import View
from minnow.search import Settings, make_store, open_model, open_store
from minnow.search.encodings import encode_rows
from minnow.search.facts import from_json
from minnow.search.fingerprint import check_fingerprint
from minnow.search.indexing import DEFAULT_TOKENS
from minnow.search.models import first_too_long
from minnow.search.schema import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from minnow.bundle import Bundle
    from minnow.engines import EngineArguments
    from minnow.memory.items import Item, Recalled
    from minnow.memory.retention import Retention
    from minnow.search import SearchModel, Store
    from minnow.search.filters import Parameters

    Floats = NDArray[np.float32]

DUPLICATE = 0.95
"""How close two texts are that say the same."""

_AT_A_TIME = 256
_MOST_RECALLED = 1000


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class Memory:
    """What an app remembers, in a file that may hold documents too.

    Safe to use from several threads and processes.

    ```python
    from minnow.memory import Memory

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
            store: The file; to remember, opened for writing.
            model: Makes the vectors; without one memories are listed and forgotten only.
            clock: Says what time it is, with a time zone. With a fixed one all is deterministic.
            duplicate: How close a text must be to a memory to be merged with it; above 1, never.

        Raises:
            IndexFileError: The file is of another model.
            InputError: A setting is out of range.
        """
        if not duplicate > 0:
            raise InputError(
                f"duplicate is {duplicate}; it should be above 0, such as {DUPLICATE}."
            )
        self._stack = ExitStack()
        self.store, self._model, self._clock, self._duplicate = store, model, clock, duplicate
        self.fingerprint = store.fingerprint
        if model is not None:
            check_fingerprint(self.fingerprint, model.fingerprint, str(store.path))
        self._encoding = store.settings.encoding
        table.prepare(store)
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
            file: Where it is, or shall be; an index of documents will do.
            bundle: The model; without one memories are listed and forgotten only.
            options: Which engine runs the model, and how.
            writable: Whether anything is to be remembered, touched or forgotten.
            create: Whether to make the file where there is none; that takes a bundle.
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
                fresh = Settings(min(DEFAULT_TOKENS, model.room))
                store = make_store(path, model.fingerprint, fresh)
            else:
                store = open_store(path, writable=writable)
            stack.callback(store.close)
            memory = cls(store, model, clock=clock, duplicate=duplicate)
            memory._stack = stack.pop_all()
        return memory

    def __len__(self) -> int:
        """How many memories there are."""
        with self.store.reading():
            return len(self._view.facts().ids)

    def remember(
        self,
        text: str,
        *,
        importance: float = 0.5,
        at: datetime | None = None,
        tags: Collection[str] = (),
        sources: Collection[int] = (),
    ) -> Item:
        """Remember something; a text that says what a memory says is merged with it.

        A merged memory keeps its text and lists the other wording, so that nothing is lost. It
        takes the greater importance, the earlier `created`, the later `used`, and all tags and
        sources. Two texts say the same where their vectors are close enough and their numbers are
        the same; insights are merged with insights only.

        Args:
            text: What; it has to fit the model whole.
            importance: From 0, everyday, to 1.
            at: When it was, with a time zone; now by default.
            tags: Words to find it by.
            sources: Ids of the memories that it is concluded from; with some it is an insight.

        Returns:
            The memory; `times` says whether it was merged.

        Raises:
            InputError: The text is empty or too long, an argument is not what it should be, or
                there is no model.
            IndexFileError, OutputError: The file is damaged, or cannot be used.
        """
        return self.remember_many([Observation(text, importance, at, tags, sources)])[0]

    def remember_many(self, observations: Iterable[Observation]) -> list[Item]:
        """Remember several things, all or none; the memory of each, in order. See `remember`."""
        wanted = list(observations)
        for observation in wanted:
            observation.check()
        vectors, rows = self._encode([observation.text for observation in wanted])
        least, now = least_cosine(self._duplicate, self._background()), self._now()
        with self.store.writing() as database:
            ids = write_or_merge(
                self.store, self._view, wanted, vectors, rows, least=least, now=now
            )
            return table.read_items(database, ids)

    def copy_from(self, other: Memory) -> int:
        """Take over the memories of another file, also of another model: they are embedded anew.

        Those that are here already, with the same text and time, are left alone, so that it may be
        stopped and run again. Returns how many were taken over.
        """
        items = other.items()[::-1]
        count = 0
        for start in range(0, len(items), _AT_A_TIME):
            block = items[start : start + _AT_A_TIME]
            _, rows = self._encode([item.text for item in block])
            with self.store.writing() as database:
                count += table.copy(database, block, rows)
        with self.store.writing() as database:
            table.copy_links(database, items)
        return count

    # --- recalling -------------------------------------------------------------------------

    def recall(
        self,
        query: str,
        k: int = 5,
        *,
        weights: Weights | None = None,
        tags: Collection[str] = (),
        where: str | None = None,
        params: Parameters = (),
        touch: bool = True,
    ) -> list[Recalled]:
        """Find the memories that matter for a question, the best first.

        Args:
            query: The question.
            k: How many at most, from 1 to 1000.
            weights: Of relevance, recency and importance, each scaled to [0, 1] over the memories
                that may be found; all 1 by default.
            tags: Only memories that have all of these.
            where: Only memories that fulfil a condition in SQL on the columns of the table, such
                as "kind = 'insight' AND created > ?".
            params: The values of its `?`, or of its `:name` as a mapping.
            touch: Whether those that are found count as used now.

        Raises:
            InputError: An argument is out of range, or there is no model.
            IndexFileError, OutputError: The file is damaged, or cannot be used.
        """
        if not 1 <= k <= _MOST_RECALLED:
            raise InputError(f"k is {k}; it should be from 1 to {_MOST_RECALLED}.")
        model = self._need_model()
        vector, now = model.encode_queries([query])[0], self._now()
        with self.store.reading():
            allowed = self._view.allowed(tags, where, params)
            found = self._view.rank(vector, k, allowed, now, weights or Weights())
        if touch and found:
            with self.store.writing() as database:
                table.touch(database, (one.item.id for one in found), now)
        return found

    def items(
        self,
        *,
        tags: Collection[str] = (),
        where: str | None = None,
        params: Parameters = (),
        limit: int | None = None,
    ) -> list[Item]:
        """Memories, the newest first; arguments as in `recall`."""
        with self.store.reading() as database:
            allowed = self._view.allowed(tags, where, params)
            return table.read_items(database, self._view.newest_first(allowed)[:limit])

    # --- reflecting ------------------------------------------------------------------------

    def clusters(self, grouping: Grouping | None = None) -> list[list[Item]]:
        """Recent memories that nothing was concluded from yet, by subject.

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
        """Have something concluded from recent memories, remember it, and return these insights.

        Each insight is remembered as soon as it is there, with links to the memories behind it,
        the tags that all of them have, and the greatest importance among them. Memories are
        reflected on once; insights are memories too, and may be reflected on later.

        Args:
            conclude: Is given the memories of a cluster, the oldest first, and says what follows
                from them, such as a language model's answer; None or nothing where nothing does.
            grouping: Which memories are given together.

        Raises:
            InputError: An insight is too long for the model. Those before it are remembered.
        """
        insights = []
        for cluster in self.clusters(grouping):
            text = conclude(cluster)
            with self.store.reading() as database:
                there = table.read_items(database, (item.id for item in cluster))
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
        """Drop memories; insights from them stay.

        Returns what was forgotten; ids of memories that are not there are passed over.
        """
        with self.store.writing() as database:
            gone = table.read_items(database, dict.fromkeys(ids))
            table.remove(database, (item.id for item in gone))
        return gone

    def forget_outdated(
        self, retention: Retention, *, weights: Weights | None = None, dry_run: bool = False
    ) -> list[Item]:
        """Drop what is not to be kept.

        Args:
            retention: What stays.
            weights: Of recency and importance, for its `keep`.
            dry_run: Whether to drop nothing, and only say what would be.

        Returns:
            What was forgotten, by id.
        """
        with self.store.reading() if dry_run else self.store.writing() as database:
            facts, now = self._view.facts(), self._now()
            ids = outdated(facts, now, retention, weights or Weights())
            gone = table.read_items(database, ids)
            if not dry_run:
                table.remove(database, ids)
        return gone

    def check(self) -> list[str]:
        """Read the whole file, and name what is wrong with it."""
        return self.store.check()

    def close(self) -> None:
        """Close the file, and the bundle."""
        self.store.close()
        self._stack.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _now(self) -> int:
        return milliseconds_of(self._clock())

    def _need_model(self) -> SearchModel:
        if self._model is None:
            raise InputError(
                f"To remember, recall and reflect in {self.store.path}, give the bundle it was "
                f"made with ({self.fingerprint.shown})."
            )
        return self._model

    def _encode(self, texts: Sequence[str]) -> tuple[Floats, list[bytes]]:
        """Their vectors, and the same as they are stored."""
        model = self._need_model()
        if found := first_too_long(model, texts):
            number, tokens = found
            raise InputError(
                f"The text {texts[number][:60]!r} has {tokens} tokens; the model takes "
                f"{model.room}. Remember it in parts."
            )
        vectors = model.encode_documents(texts)
        return vectors, encode_rows(vectors, self._encoding)

    def _background(self) -> float:
        """The model's, found once for each file."""
        known = self.store.fact(BACKGROUND)
        if known is None:
            known = repr(round(background(self._need_model()), 4))
            if self.store.writable:
                self.store.put_fact(BACKGROUND, known)
        return from_json(known, float)
