"""Reader of `Router` modules: modules for queries, and others for documents.

A route is read as a model of its own, whose network lies in the folder of its first module.

Source: `Router` of sentence-transformers 6.2 (base/modules/router.py), which also reads what
`Asym` of versions 2 to 4 wrote.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from minnow.errors import SourceError, UnsupportedModelError
from minnow.model.config import read_json, read_object
from minnow.model.config_keys import unknown_keys
from minnow.model.listing import MODULES, ROUTER_CONFIG, is_router
from minnow.model.source import ModelSource

Rows = Sequence[Mapping[str, Any]]

_PARAMETERS = ("default_route", "allow_empty_key", "route_mappings")
_TEXT = "text"


@dataclass(frozen=True)
class Routes:
    """The encoders of a source.

    Attributes:
        query: The source as the model of queries.
        document: The source as the model of documents; equal to `query` where they share a route.
        default: The role of a text that comes with none: "query", "document", or None, where
            sentence-transformers refuses such a text.
    """

    query: ModelSource
    document: ModelSource
    default: Literal["query", "document"] | None


def read_routes(source: ModelSource) -> Routes | None:
    """Read the routes of a source; None where it has one encoder.

    Raises:
        SourceError: modules.json or the router's configuration has another form.
        UnsupportedModelError: There is no route for queries or documents, or a text without a role
            has a third one.
    """
    rows = _rows(source)
    if not any(map(_routes, rows)):
        return None
    config = _config(source, rows)
    query, document = config.route("query"), config.route("document")
    plain = config.route(None)
    if plain not in (query, document, None):
        raise UnsupportedModelError(
            f"{config.path} sends texts without a role to {plain!r}, which is neither the route of "
            f"queries ({query!r}) nor that of documents ({document!r}). A bundle holds these two."
        )
    ours = (of_route(source, query), of_route(source, document))
    if plain is None:
        return Routes(*ours, None)
    return Routes(*ours, "document" if plain == document else "query")


def refuse_routes(source: ModelSource) -> None:
    """Refuse a source of two encoders where one is needed.

    Raises:
        UnsupportedModelError: It has a router, and none of its routes is meant.
    """
    if source.route is None and any(map(_routes, _rows(source))):
        raise UnsupportedModelError(
            f"{source.name} has an encoder for queries and one for documents, and this takes a "
            "model with one. `minnow convert` makes a bundle of both."
        )


def of_route(source: ModelSource, route: str | None) -> ModelSource:
    """Return a source as the model of one of its routes; None is the source itself.

    Raises:
        SourceError: There is no such route.
    """
    if route is None:
        return source
    rows = _rows(source)
    if not any(map(_routes, rows)):
        raise SourceError(f"{source.name} has no routes, and so none named {route!r}.")
    network = None if not _routes(rows[0]) else _path(routed_rows(source, rows, route)[0])
    return replace(source, route=route, route_network=network)


def routed_rows(source: ModelSource, rows: Rows, route: str) -> list[Mapping[str, Any]]:
    """Replace the Router among the rows of modules.json by the modules of a route.

    Raises:
        SourceError: The router's configuration has another form, or no such route.
    """
    config = _config(source, rows)
    if route not in config.structure:
        raise SourceError(f"{config.path} has no route {route!r}; it has {config.known}.")
    found: list[Mapping[str, Any]] = []
    for row in rows:
        inside = f"{_path(row)}/" if _path(row) else ""
        ids = config.structure[route] if _routes(row) else ()
        found += [{"type": config.types[i], "path": inside + i} for i in ids]
        found += [] if _routes(row) else [row]
    return found


@dataclass(frozen=True)
class _Config:
    """A router's configuration: where it is, and its content."""

    path: Path
    types: Mapping[str, str]
    structure: Mapping[str, Sequence[str]]
    parameters: Mapping[str, Any]

    @property
    def known(self) -> str:
        return ", ".join(self.structure)

    def route(self, role: str | None) -> Any:
        """Choose the route of a text, as `Router._resolve_route` does.

        Raises:
            UnsupportedModelError: A role has none.
        """
        mappings = self.mappings()
        for key in ((role, _TEXT), (role, None), (None, _TEXT), (None, None)):
            if key in mappings:
                return mappings[key]
        for name in (role, _TEXT):
            if name in self.structure:
                return name
        if role is None:
            default = self.parameters.get("default_route")
            empty = self.parameters.get("allow_empty_key", True)
            return next(iter(self.structure)) if default is None and empty else default
        raise UnsupportedModelError(
            f"{self.path} has no route for a {role}, only {self.known}: sentence-transformers' "
            f"encode_{role} fails too. Name one {role!r} in its structure, or in route_mappings."
        )

    def mappings(self) -> dict[Any, str]:
        """Read which route each task and modality are mapped to."""
        stated = self.parameters.get("route_mappings") or {}
        try:
            return {ast.literal_eval(key): str(route) for key, route in stated.items()}
        except (ValueError, SyntaxError, TypeError, AttributeError, RecursionError) as error:
            raise SourceError(
                f"{self.path}: route_mappings should map a task and a modality to a route, "
                f"not be {stated!r:.80}."
            ) from error


def _config(source: ModelSource, rows: Rows) -> _Config:
    places = [_path(row) for row in rows if _routes(row)]
    if len(places) != 1:
        raise UnsupportedModelError(f"{source.name} has {len(places)} routers, one behind another.")
    names = [f"{places[0]}/{name}".lstrip("/") for name in (ROUTER_CONFIG, "config.json")]
    path = next((source.folder / n for n in names if (source.folder / n).is_file()), None)
    if path is None:
        raise SourceError(f"{source.name} has no {names[0]}, which its {MODULES} names.")
    content = read_object(path)
    faults = unknown_keys(content, ("types", "structure", "parameters"))
    parameters = content.get("parameters") or {}
    types, structure = content.get("types"), content.get("structure")
    if (
        not isinstance(types, dict)
        or not isinstance(structure, dict)
        or not isinstance(parameters, dict)
        or not structure
        or not all(
            isinstance(ids, list) and ids and {*ids} <= {*types} for ids in structure.values()
        )
        or any(str(i).startswith("/") or ".." in str(i).split("/") for i in types)
    ):
        raise SourceError(f"{path} should have types, and a structure of routes of these types.")
    faults += unknown_keys(parameters, _PARAMETERS)
    if faults:
        raise UnsupportedModelError(
            f"{path} asks for {', '.join(faults)}, which minnow does not compute."
        )
    found = _Config(path, types, structure, parameters)
    targets = {*found.mappings().values()} | ({parameters.get("default_route")} - {None})
    if strange := sorted(map(str, targets - {*structure})):
        raise SourceError(f"{path} names routes that it does not have: {', '.join(strange)}.")
    return found


def _rows(source: ModelSource) -> Rows:
    path = source.folder / MODULES
    rows = read_json(path) if path.is_file() else []
    good = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return rows if good else []  # `read_modules` says what is wrong


def _routes(row: Mapping[str, Any]) -> bool:
    return is_router(str(row.get("type")))


def _path(row: Mapping[str, Any]) -> str:
    path = str(row.get("path", "")).replace("\\", "/").strip("/").removeprefix("./")
    return "" if path == "." else path
