"""What libraries say when storage fails, as one StorageError with the next move."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from obstore.exceptions import BaseError

from siltstone.errors import StorageError

Result = TypeVar("Result")

_TRIES = 5
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_XML = re.compile(r"<(?:\?xml|Error\b).*", re.DOTALL)
_REFUSED = re.compile(
    r"Error performing ([A-Z]+) .*?(?:, (after \d+ retries))?(?:, .*?)? - .*? status code:? (\d{3} [\w -]*\w)"
)
_LONGEST = 400
_NEXT_MOVES = {
    "local": "Check the path, its permissions and the free space.",
    "denied": (
        "Give these credentials s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject there, or others by "
        "storage.profile."
    ),
    "key": "Enable the KMS key, and allow these credentials kms:GenerateDataKey and kms:Decrypt with it.",
    "expired": "Log in again or renew the token, then run again.",
    "unknown": "Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give others by storage.profile.",
    "clock": "Set this machine's clock, then run again.",
    "full": "Make room in the store, then run again.",
    "down": "The store is overloaded or down: run again later.",
    "region": "Set storage.region to the bucket's.",
    "s3": "Check the bucket's name, storage.endpoint and the network; then run again.",
}
_LIMITS = {
    "quota exceeded": "Raise the quota or delete files, then run again.",
    "File too large": "Raise the limit on the size of a file (ulimit -f), then run again.",
    "Permission denied": _NEXT_MOVES["local"],
    "Read-only file system": "Mount it for writing, or give another place.",
}
_CAUSES = {
    "key": r"kms[.:]",
    "expired": r"expired|InvalidToken|TokenRefreshRequired|^HEAD gave 400",
    "unknown": r"InvalidAccessKeyId|SignatureDoesNotMatch",
    "clock": r"RequestTimeTooSkewed",
    "full": r"StorageFull|QuotaExceeded|\b507 ",
    "down": r"SlowDown|\b50[023] ",
    "region": r"redirect|AuthorizationHeaderMalformed",
    "denied": r"\b403 |AccessDenied|credential",
}
"""What a store's refusal holds, in any case of letters, by its next move; the first that fits counts. The answer to a
HEAD has no code: where that to a token that has expired is 400, it is hardly anything else."""


@contextmanager
def explained(action: str, uri: str) -> Iterator[None]:
    """Turn what goes wrong inside into a StorageError that names the action and the object."""
    try:
        yield
    except (OSError, BaseError) as error:
        raise StorageError(f"can't {action} {uri}: {reason(error)}", next_move(uri, error)) from error


def whole(call: Callable[[], Result]) -> Result:
    """The result of a call that only reads, made again where an answer breaks off in the middle: obstore sees to that
    for objects, but neither it nor delta-rs for listings and logs."""
    for _ in range(_TRIES - 1):
        try:
            return call()
        except (OSError, BaseError) as error:
            if "response body" not in str(error):
                raise
    return call()


def reason(error: Exception) -> str:
    """The message of an error of the operating system, obstore or delta-rs, on one line. Of a store's XML answer it has
    only the code and the message: the rest repeats the signed request."""
    if strerror := getattr(error, "strerror", None):
        return str(strerror)
    text = _ANSI.sub("", str(error)).partition("Debug source:")[0]
    text = re.sub(r"\s*↳\s*", ": ", text)  # delta-rs breaks lines at colons
    answer = [match[1] for tag in ("Code", "Message") if (match := re.search(f"<{tag}>([^<]*)</{tag}>", text))]
    text = " ".join(_XML.sub("", text).split())
    refused = _REFUSED.search(text)
    if refused and (answer or refused[1] == "HEAD"):
        method, retries, status = refused.groups()
        text = f"{method} gave {status}{f' {retries}' if retries else ''}:"
    text = " ".join([text, *": ".join(answer).split()]).rstrip(".: ")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def next_move(uri: str, error: Exception, otherwise: str = "") -> str:
    """What to do about an error at a place; `otherwise`, if given, where the error doesn't tell."""
    told = reason(error)
    if not uri.startswith("s3://"):
        return _of_disk(uri, told, otherwise)
    if getattr(error, "strerror", None):
        return f"{_of_disk(tempfile.gettempdir(), told)} Or set TMPDIR to a larger folder."
    cause = next((cause for cause, pattern in _CAUSES.items() if re.search(pattern, told, re.IGNORECASE)), "")
    return _NEXT_MOVES[cause] if cause else otherwise or _NEXT_MOVES["s3"]


def _of_disk(path: str, told: str, otherwise: str = "") -> str:
    """The next move after what a local disk reported."""
    if "No space left" in told:
        return _make_room(path)
    move = next((move for words, move in _LIMITS.items() if words in told), "")
    return move or otherwise or _NEXT_MOVES["local"]


def _make_room(path: str) -> str:
    folder = path
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    state = os.statvfs(folder)
    if state.f_files and not state.f_favail:
        return f"Delete files: no inode is free for another one in {folder}. Then run again."
    return f"Make room: {state.f_bavail * state.f_frsize:,} bytes are free in {folder}. Then run again."
