"""What libraries say when storage fails, as one StorageError with the next move."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from obstore.exceptions import BaseError

from siltstone.errors import StorageError

Result = TypeVar("Result")

_TRIES = 5
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_XML = re.compile(r"<(?:\?xml|Error\b).*", re.DOTALL)
_LONGEST = 400
_NEXT_MOVES = {
    "local": "Check the path, its permissions and the free space.",
    "temporary": "Make room for temporary files, or set TMPDIR to a larger folder.",
    "denied": (
        "Give these credentials s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject there, or others by "
        "storage.profile."
    ),
    "region": "Set storage.region to the bucket's.",
    "s3": "Check the bucket's name, storage.endpoint and the network; then run again.",
}


@contextmanager
def explained(action: str, uri: str) -> Iterator[None]:
    """Turn what goes wrong inside into a StorageError that names the action and the object."""
    try:
        yield
    except (OSError, BaseError) as error:
        raise StorageError(f"can't {action} {uri}: {reason(error)}", _next_move(uri, error)) from error


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
    answer = [match[1] for tag in ("Code", "Message") if (match := re.search(f"<{tag}>([^<]*)</{tag}>", text))]
    text = " ".join(_XML.sub("", text).replace("↳", " ").split())
    strerror = f"{text} {': '.join(answer)}" if answer else text
    strerror = strerror.rstrip(". ")
    return strerror if len(strerror) <= _LONGEST else f"{strerror[:_LONGEST]}..."


def _next_move(uri: str, error: Exception) -> str:
    if not uri.startswith("s3://"):
        return _NEXT_MOVES["local"]
    if getattr(error, "strerror", None):
        return _NEXT_MOVES["temporary"]
    text = str(error)
    if "403 Forbidden" in text or "credential" in text:
        return _NEXT_MOVES["denied"]
    return _NEXT_MOVES["region" if "redirect" in text.lower() else "s3"]
