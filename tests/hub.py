"""A stand-in for the hub: a real server on this machine that keeps repositories as its client fills and reads them.

It answers what `huggingface_hub` asks to make a repository, to commit to it with large files on the side, and to read
its files; and it refuses as the hub does: 401, 403, 404, with the hub's error codes.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

OWNER, TOKEN = "anna", "hf_anna"  # the one user, and the token that may write
READER = "hf_reader"  # a token that may only read


@dataclass
class Repository:
    """Branches are names of commits, commits are names of files with the digest of their content."""

    private: bool = False
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    commits: dict[str, dict[str, str]] = field(default_factory=lambda: {"0" * 40: {}})

    def files(self, revision: str) -> tuple[str, dict[str, str]] | None:
        commit = self.branches.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else None


@dataclass
class Hub:
    """What the server keeps, and what a test watches or breaks."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)  # SHA-256 -> bytes
    uploads: list[str] = field(default_factory=list)  # digests of large files that came in whole
    before_upload: Callable[[], object] = lambda: None  # runs when a large file starts to come in
    broken: int | None = None  # answer everything with this status

    def keep(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self.contents[digest] = content
        return digest


class RefusalError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", **answer: str) -> None:
        self.status, self.code, self.message, self.answer = status, code, message, answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self) -> None:
        self.told: dict[str, str] = {}  # headers of the answer
        try:
            if "/large/" in self.path:
                self.hub.before_upload()
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.hub.broken:
                raise RefusalError(self.hub.broken)
            status, content = 200, self.respond(self.path.partition("?")[0])
        except RefusalError as refusal:
            status, content = refusal.status, json.dumps(refusal.answer).encode()
            self.told = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
        with suppress(ConnectionError):  # of a client that was killed
            self.send_response(status)
            for name, value in self.told.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if self.command != "HEAD" else b"")

    do_HEAD = do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names are http.server's

    def respond(self, path: str) -> bytes:
        for pattern, respond in ROUTES:
            found = re.fullmatch(pattern, f"{self.command} {path}")
            if found:
                told = respond(self, *found.groups())
                return told if isinstance(told, bytes) else json.dumps(told).encode()
        raise RefusalError(404)

    @property
    def token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def repository(self, name: str, *, write: bool = False) -> Repository:
        """The repository, if whoever asks may have it; what is private is not there for others."""
        found = self.hub.repositories.get(name)
        if self.token not in ("", TOKEN, READER):
            raise RefusalError(401, message="Invalid credentials in Authorization header")
        if found is None or (found.private and self.token != TOKEN):
            raise RefusalError(404 if self.token else 401, "RepoNotFound")
        if write and self.token != TOKEN:
            raise RefusalError(403, message="no write access")
        return found

    def create(self) -> Any:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if self.token not in (TOKEN, READER):
            raise RefusalError(401, message="Invalid credentials in Authorization header")
        if asked["organization"] != OWNER or self.token != TOKEN:
            raise RefusalError(403, message="no rights in this namespace")
        url = f"{self.hub.url}/{name}"
        if name in self.hub.repositories:
            raise RefusalError(409, url=url)
        self.hub.repositories[name] = Repository(bool(asked.get("private")) or asked.get("visibility") == "private")
        return {"url": url}

    def about(self, name: str) -> Any:
        return {"id": name, "private": self.repository(name).private, "tags": [], "siblings": []}

    def check_card(self) -> Any:
        parts = json.loads(self.body)["content"].split("---\n", 2)
        if parts[0] or len(parts) < 3:
            return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
        assert isinstance(yaml.safe_load(parts[1]), dict)
        return {"errors": [], "warnings": []}

    def branch(self, name: str, branch: str) -> Any:
        repository = self.repository(name, write=True)
        if branch in repository.branches:
            raise RefusalError(409)
        repository.branches[branch] = repository.branches["main"]
        return {}

    def before_commit(self, name: str, _: str) -> Any:
        self.repository(name, write=True)
        large = (".onnx", ".safetensors")
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(large) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(self.body)["files"]
            ]
        }

    def large_files(self, name: str) -> Any:
        self.repository(name, write=True)
        wanted = json.loads(self.body)["objects"]
        for one in wanted:
            if one["oid"] not in self.hub.contents:
                one["actions"] = {"upload": {"href": f"{self.hub.url}/large/{one['oid']}"}}
        return {"transfer": "basic", "objects": wanted}

    def take_large_file(self, digest: str) -> Any:
        if hashlib.sha256(self.body).hexdigest() != digest:
            raise RefusalError(400)
        self.hub.uploads.append(self.hub.keep(self.body))
        return b""

    def commit(self, name: str, branch: str) -> Any:
        repository = self.repository(name, write=True)
        before = repository.files(branch)
        if before is None:
            raise RefusalError(404, "RevisionNotFound")
        files = dict(before[1])
        for line in self.body.decode().splitlines():
            told = json.loads(line)
            value = told["value"]
            if told["key"] == "file":
                files[value["path"]] = self.hub.keep(base64.b64decode(value["content"]))
            elif told["key"] == "lfsFile":
                assert value["oid"] in self.hub.contents
                files[value["path"]] = value["oid"]
        commit = hashlib.sha1(self.body).hexdigest()
        repository.commits[commit], repository.branches[branch] = files, commit
        return {"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit}

    def resolve(self, name: str, revision: str, file: str) -> Any:
        found = self.repository(name).files(revision)
        if found is None:
            raise RefusalError(404, "RevisionNotFound")
        commit, files = found
        if file not in files:
            raise RefusalError(404, "EntryNotFound")
        self.told |= {"X-Repo-Commit": commit, "ETag": f'"{files[file]}"'}
        return self.hub.contents[files[file]]


MODEL = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, Callable[..., Any]]] = [
    ("POST /api/repos/create", Handler.create),
    ("POST /api/validate-yaml", Handler.check_card),
    (f"GET /api/models/{MODEL}", Handler.about),
    (rf"POST /api/models/{MODEL}/branch/([\w.-]+)", Handler.branch),
    (rf"POST /api/models/{MODEL}/preupload/([\w.-]+)", Handler.before_commit),
    (rf"POST /{MODEL}\.git/info/lfs/objects/batch", Handler.large_files),
    (r"PUT /large/(\w+)", Handler.take_large_file),
    (rf"POST /api/models/{MODEL}/commit/([\w.-]+)", Handler.commit),
    (rf"(?:HEAD|GET) /{MODEL}/resolve/([\w.-]+)/([\w.-]+)", Handler.resolve),
]


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """A hub without repositories, on a free port, until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
