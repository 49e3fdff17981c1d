"""An S3 server on loopback that fails as it is told: moto behind a layer that refuses, forgets to answer, and waits."""

import os
import random
import re
import socket
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

os.environ["S3_UPLOAD_PART_MIN_SIZE"] = "1"  # moto reads it when it is imported
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client

REFUSED = ("500", "503")  # answered before any work
OF_SIGNATURE = "key-or-signature"  # in each refusal, as in those of S3: must not be repeated
REFUSALS = {
    "403": ("403 Forbidden", "AccessDenied", "as told"),
    "500": ("500 Internal Server Error", "InternalError", "as told"),
    "503": ("503 Slow Down", "SlowDown", "as told"),
    "InvalidAccessKeyId": (
        "403 Forbidden",
        "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
    ),
    "SignatureDoesNotMatch": (
        "403 Forbidden",
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
    ),
    "RequestTimeTooSkewed": (
        "403 Forbidden",
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
    ),
    "ExpiredToken": ("400 Bad Request", "ExpiredToken", "The provided token has expired."),
    "InvalidToken": ("400 Bad Request", "InvalidToken", "The provided token is malformed or otherwise invalid."),
    "KMS.DisabledException": (
        "400 Bad Request",
        "KMS.DisabledException",
        "arn:aws:kms:eu-central-1:111122223333:key/k is disabled.",
    ),
    "KMS denied": (
        "403 Forbidden",
        "AccessDenied",
        "User: arn:aws:iam::111122223333:user/u is not authorized to perform: kms:GenerateDataKey on resource: "
        "arn:aws:kms:eu-central-1:111122223333:key/k",
    ),
    "NoSuchBucket": ("404 Not Found", "NoSuchBucket", "The specified bucket does not exist"),
    "507": (
        "507 Insufficient Storage",
        "XMinioStorageFull",
        "Storage backend has reached its minimum free drive threshold.",
    ),
}
"""Status, code and message of each answer that refuses a call."""
TRIED_AGAIN = ("500", "503", "507")
PROXY = "a page of a proxy"
LOST = ("lost", "500 after")  # the work is done, but no answer comes, or a wrong one
CUT = "cut"  # the body of the answer ends in the middle


@dataclass
class Rule:
    """Calls that fail: `what` happens to the next `times` calls whose method and path (with query) match, the first
    `after` of them spared."""

    what: str
    method: str = ""
    path: str = ""
    times: int = 1
    after: int = 0

    def hits(self, method: str, path: str) -> bool:
        if not self.times or not re.fullmatch(self.method or ".*", method) or not re.search(self.path, path):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Faults:
    """What goes wrong now, and what was called; `share` is the part of all calls that fail in a way drawn from
    `kinds`; `latency_s` is added to calls whose path matches `slow_path`."""

    rules: list[Rule] = field(default_factory=list)
    share: float = 0.0
    kinds: tuple[str, ...] = (*REFUSED, *LOST)
    draws: random.Random = field(default_factory=lambda: random.Random(0))
    latency_s: float = 0.0
    slow_path: str = ""
    ignores_conditions: bool = False
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    def fail(self, what: str, method: str = "", path: str = "", times: int = 1, after: int = 0) -> None:
        self.rules.append(Rule(what, method, path, times, after))

    def fail_share(self, share: float, seed: int, *kinds: str) -> None:
        self.share, self.draws, self.kinds = share, random.Random(seed), kinds or self.kinds

    def next(self, method: str, path: str) -> str:
        """What happens to this call; "" for nothing."""
        what = next((rule.what for rule in self.rules if rule.hits(method, path)), "")
        if not what and self.draws.random() < self.share:
            what = self.draws.choice(self.kinds)
        self.calls.append((method, path, what))
        return what

    def count(self, method: str, path: str = "") -> int:
        return sum(m == method and re.search(path, p) is not None for m, p, _ in self.calls)


class FaultyS3:
    """The server; `url` is its endpoint. `faults` is looked at by every call."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._completed: set[str] = set()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def bucket(self) -> str:
        """A new bucket, and no faults any more."""
        self.faults = Faults()
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.put(name)
        return name

    def put(self, bucket: str, key: str = "", data: bytes = b"") -> None:
        """Write an object under any key that S3 allows, past all faults; without a key make the bucket."""
        quoted = urllib.parse.quote(f"/{bucket}/{key}" if key else f"/{bucket}")
        client = Client(self._app)
        answer = client.put(quoted, base_url=self.url, data=data)
        assert answer.status_code == 200, answer.get_data()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"] + query
        faults = self.faults
        with self._counted(faults):
            with self._lock:
                what = faults.next(method, path)
            if faults.latency_s and re.search(faults.slow_path, path):
                time.sleep(faults.latency_s)
            if what == PROXY or what in REFUSALS:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                return _refusal(what, start, method)
            if faults.ignores_conditions:
                environ.pop("HTTP_IF_NONE_MATCH", None)
            status, headers, body = self._worked(environ, method, path)
        if what == "500 after":
            return _refusal("500", start, method)
        if what == "lost" or (what == CUT and body):
            return _broken_off(environ, start, status, headers, body[: len(body) // 2] if what == CUT else b"")
        start(status, headers)
        return [body]

    def _worked(self, environ: dict[str, Any], method: str, path: str) -> tuple[str, list[tuple[str, str]], bytes]:
        """What moto answers."""
        answer: list[Any] = []
        completes = method == "POST" and "uploadId=" in path
        if completes and path in self._completed:
            # moto completes an upload twice; S3 may have forgotten it by then.
            return "404 Not Found", [("Content-Length", "0")], b""
        if "HTTP_IF_NONE_MATCH" in environ:
            with self._lock:  # moto looks and writes in two steps; S3 in one
                body = b"".join(self._app(environ, lambda *told: answer.extend(told)))
        else:
            body = b"".join(self._app(environ, lambda *told: answer.extend(told)))
        if completes and answer[0].startswith("200"):
            self._completed.add(path)
        return answer[0], answer[1], body

    @contextmanager
    def _counted(self, faults: Faults) -> Iterator[None]:
        with self._lock:
            faults.under_way += 1
            faults.most_under_way = max(faults.most_under_way, faults.under_way)
        try:
            yield
        finally:
            with self._lock:
                faults.under_way -= 1


def _refusal(what: str, start: Callable[..., Any], method: str) -> list[bytes]:
    if what == PROXY:
        return _answered("404 Not Found", "<html>no such host</html>", start, method)
    status, code, message = REFUSALS[what]
    told = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
        f"<AWSAccessKeyId>{OF_SIGNATURE}</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256 {OF_SIGNATURE}</StringToSign>"
        "</Error>"
    )
    return _answered(status, told, start, method)


def _answered(status: str, text: str, start: Callable[..., Any], method: str) -> list[bytes]:
    body = text.encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [] if method == "HEAD" else [body]


def _broken_off(
    environ: dict[str, Any], start: Callable[..., Any], status: str, headers: list[tuple[str, str]], body: bytes
) -> Iterator[bytes]:
    if body:
        start(status, headers)
        yield body
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionError("as told")


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as S3 does

    def log(self, *args: Any) -> None:
        """Nothing: what fails here is meant to."""
