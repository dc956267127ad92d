"""A Hugging Face Hub on this machine: serves model repositories over HTTP, and takes uploads."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

    import pytest
    from typing_extensions import Self

_API = re.compile(r"/api/models/(?P<id>.+?)(?:/(?P<verb>revision|tree)/(?P<revision>[^/]+))?")
_RESOLVE = re.compile(r"/(?P<id>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_WRITE = re.compile(
    r"(?:/api/models/)?/?(?P<id>[^/]+/[^/]+?)(?:\.git/info/lfs)?/"
    r"(?P<verb>preupload|objects/batch|commit)(?:/main)?"
)
_RANGE = re.compile(r"bytes=(\d+)-")


@dataclass(frozen=True)
class Request:
    """One request to the hub; `path` includes the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


@dataclass(frozen=True)
class Fault:
    """How the hub misbehaves, instead of or while answering.

    Attributes:
        status: Answer with this HTTP status.
        cut_after: Send so many bytes of the body, then close the connection; once.
        delay: Wait so many seconds first.
    """

    status: int | None = None
    cut_after: int | None = None
    delay: float = 0.0


@dataclass
class Repository:
    """A model repository: commit -> its files, branch or tag -> its commit."""

    model_id: str
    private: bool
    gated: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)


@dataclass
class Reply:
    """An answer: JSON unless `body` is given as bytes."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing about clients that disconnected."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class FakeHub:
    """The Hub's model API and downloads, as far as huggingface_hub's snapshot_download goes.

    It takes commits of regular files and of large ones (those that end with .mnn), too.

    Use it as a context manager, `add` folders to it, and point HF_ENDPOINT at its `url`.

    Attributes:
        requests: Every request, in order of arrival.
        faults: (method, end of the path) -> how to misbehave there.
        page_size: Entries on a page of a file listing.
        token: The only access token that the hub knows.
    """

    def __init__(self, *, token: str = "hf_right", page_size: int = 1000) -> None:
        self.requests: list[Request] = []
        self.faults: dict[tuple[str, str], Fault] = {}
        self.page_size = page_size
        self.token = token
        self._repositories: dict[str, Repository] = {}
        self._large: dict[str, bytes] = {}
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop; later connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def add(
        self,
        model_id: str,
        files: Path | Mapping[str, str],
        *,
        revision: str = "main",
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Commit files to a branch; a first commit makes the repository.

        Args:
            model_id: The repository.
            files: A folder, taken as it is now, or path -> text.
            revision: The branch or tag that now means this commit.
            private: Whether a token is needed to see the repository.
            gated: Whether access to its files is denied; of the first commit, like `private`.

        Returns:
            The commit.
        """
        repository = self._repositories.setdefault(model_id, Repository(model_id, private, gated))
        if isinstance(files, Path):
            paths = [path for path in files.rglob("*") if path.is_file()]
            content = {path.relative_to(files).as_posix(): path.read_bytes() for path in paths}
        else:
            content = {name: text.encode() for name, text in files.items()}
        commit = _digest(repr(sorted(content.items())).encode())
        repository.commits[commit] = content
        repository.refs[revision] = commit
        return commit

    def downloads(self, model_id: str) -> list[str]:
        """Return the names of a repository's files that were downloaded, sorted."""
        paths = [r.path for r in self.requests if r.method == "GET"]
        matches = [_RESOLVE.fullmatch(unquote(path)) for path in paths]
        return sorted(m["file"] for m in matches if m and m["id"] == model_id)

    def environment(self, home: Path, **variables: str) -> dict[str, str]:
        """Return the environment of a child process that uses this hub only.

        Args:
            home: What HF_HOME shall be.
            variables: More variables, such as HF_TOKEN.
        """
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_"))}
        return {
            **clean,
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "NO_PROXY": "127.0.0.1",
            **variables,
        }

    def use(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        """Make huggingface_hub of this process, which read its environment, use this hub."""
        from huggingface_hub import constants, file_download

        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_DISABLE_TELEMETRY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        for module in (constants, file_download):
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)

    def answer(self, request: Request) -> Reply:
        """Return the hub's reply to a request, without faults."""
        url = urlsplit(request.path)
        path = unquote(url.path) if "/resolve/" in url.path else url.path
        if request.authorization not in (None, f"Bearer {self.token}"):
            return _refusal(401, None, "Invalid credentials in Authorization header")
        if request.method in ("POST", "PUT"):
            return self._write(request, path)
        match = _API.fullmatch(path) or _RESOLVE.fullmatch(path)
        if match is None:
            return _refusal(404, None, "Sorry, we can't find the page you are looking for.")
        groups = match.groupdict()
        repository = self._repositories.get(groups["id"])
        if repository is None or (repository.private and request.authorization is None):
            status = 401 if request.authorization is None else 404
            return _refusal(status, "RepoNotFound", "Repository not found")
        revision = unquote(groups["revision"] or "main")
        commit = repository.commit_of(revision)
        if commit is None:
            return _refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        query = parse_qs(url.query)
        if "file" in groups:
            return _file(repository, commit, groups["file"], request)
        if groups["verb"] == "tree":
            return self._tree(repository, commit, url.path, query)
        return Reply(body=_info(repository, commit, query))

    def uploads(self) -> list[str]:
        """Return the SHA-256 of every large file that was uploaded, in order."""
        paths = [urlsplit(r.path).path for r in self.requests if r.method == "PUT"]
        return [path.rpartition("/")[2] for path in paths]

    def _write(self, request: Request, path: str) -> Reply:
        if path == "/api/validate-yaml":
            return Reply(body={"errors": [], "warnings": []})
        if path.startswith("/upload/"):
            self._large[path.rpartition("/")[2]] = request.body
            return Reply()
        if request.authorization is None:
            return _refusal(401, None, "Invalid username or password.")
        if path == "/api/repos/create":
            asked = json.loads(request.body)
            name = f"{asked['organization']}/{asked['name']}"
            self.add(name, {".gitattributes": ""}, private=bool(asked.get("private")))
            return Reply(body={"url": f"{self.url}/{name}"})
        match = _WRITE.fullmatch(path)
        repository = self._repositories.get(match["id"]) if match else None
        if match is None or repository is None:
            return _refusal(404, "RepoNotFound", "Repository not found")
        return self._commit(repository, match["verb"], request.body)

    def _commit(self, repository: Repository, verb: str, body: bytes) -> Reply:
        before = repository.commits[repository.refs["main"]]
        if verb == "preupload":
            names = [row["path"] for row in json.loads(body)["files"]]
            kinds = {name: "lfs" if name.endswith(".mnn") else "regular" for name in names}
            modes = [
                {"path": name, "uploadMode": kind, "shouldIgnore": False}
                for name, kind in kinds.items()
            ]
            return Reply(body={"files": modes})
        if verb == "objects/batch":
            objects = json.loads(body)["objects"]
            for each in objects:
                if each["oid"] not in self._large:
                    each["actions"] = {"upload": {"href": f"{self.url}/upload/{each['oid']}"}}
            return Reply(body={"transfer": "basic", "objects": objects})
        files = dict(before)
        for row in map(json.loads, body.splitlines()):
            value = row["value"]
            if row["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                files[value["path"]] = self._large[value["oid"]]
            elif row["key"] == "deletedFile":
                del files[value["path"]]
        commit = _digest(repr(sorted(files.items())).encode())
        repository.commits[commit] = files
        repository.refs["main"] = commit
        address = f"{self.url}/{repository.model_id}/commit/{commit}"
        return Reply(body={"commitOid": commit, "commitUrl": address})

    def _tree(
        self, repository: Repository, commit: str, path: str, query: dict[str, list[str]]
    ) -> Reply:
        files = repository.commits[commit]
        folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
        entries: list[dict[str, Any]] = [
            {"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in folders
        ]
        entries += [
            {"type": "file", "path": name, "size": len(content), "oid": _digest(content)}
            for name, content in files.items()
        ]
        entries.sort(key=lambda entry: str(entry["path"]))
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.page_size
        link = f'<{self.url}{path}?recursive=True&cursor={end}>; rel="next"'
        return Reply(body=entries[start:end], headers={"Link": link} if end < len(entries) else {})


def _info(repository: Repository, commit: str, query: dict[str, list[str]]) -> dict[str, Any]:
    siblings: list[dict[str, Any]] = [{"rfilename": name} for name in repository.commits[commit]]
    if "blobs" in query:
        for sibling in siblings:
            content = repository.commits[commit][sibling["rfilename"]]
            sibling |= {"size": len(content), "blobId": _digest(content)}
    info = {
        "id": repository.model_id,
        "modelId": repository.model_id,
        "sha": commit,
        "private": repository.private,
        "gated": "auto" if repository.gated else False,
        "disabled": False,
        "tags": ["sentence-transformers"],
        "siblings": siblings,
    }
    wanted = {"id", "modelId", *query["expand"]} if "expand" in query else info.keys()
    return {key: value for key, value in info.items() if key in wanted}


def _file(repository: Repository, commit: str, name: str, request: Request) -> Reply:
    if repository.gated:
        status = 401 if request.authorization is None else 403
        return _refusal(status, "GatedRepo", f"Access to {repository.model_id} is restricted")
    content = repository.commits[commit].get(name)
    if content is None:
        return _refusal(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
    headers = {
        "ETag": f'"{_digest(content)}"',
        "X-Repo-Commit": commit,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None:
        return Reply(body=content, headers=headers)
    start = int(match[1])
    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Reply(206, content[start:], headers)


def _refusal(
    status: int, code: str | None, message: str, headers: dict[str, str] | None = None
) -> Reply:
    coded = {"X-Error-Code": code} if code else {}
    return Reply(
        status, {"error": message}, {"X-Error-Message": message, **coded, **(headers or {})}
    )


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _handler_of(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            request = Request(self.command, self.path, headers, body)
            hub.requests.append(request)
            fault = self._fault()
            time.sleep(fault.delay)
            reply = hub.answer(request) if fault.status is None else Reply(fault.status)
            is_bytes = isinstance(reply.body, bytes)
            answer = reply.body if is_bytes else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            kind = {} if is_bytes else {"Content-Type": "application/json"}
            for key, value in {**kind, **reply.headers, "Content-Length": str(len(answer))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer[: fault.cut_after])

        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

        def _fault(self) -> Fault:
            path = urlsplit(self.path).path
            for key in [k for k in hub.faults if k[0] == self.command and path.endswith(k[1])]:
                fault = hub.faults[key]
                return hub.faults.pop(key) if fault.cut_after is not None else fault
            return Fault()

        def log_message(self, *args: object) -> None:
            """Print nothing."""

    return Handler
