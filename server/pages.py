"""Page tokens: opaque to callers, bound to the list that they were given for."""

from __future__ import annotations

import base64
import hashlib

from engine.errors import InvalidField
from engine.ports import Page


def next_token(after: str, scope: str) -> str:
    """The token for what comes after a key; empty where nothing does."""
    return base64.urlsafe_b64encode(_mark(scope) + after.encode()).decode() if after else ""


def page_of(size: int, token: str, scope: str) -> Page:
    """The page that a request asks for. Raises InvalidField on a token that is not this list's."""
    if not token:
        return Page("", size)
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        after = raw[4:].decode()
    except ValueError:
        raw, after = b"", ""
    if not after or raw[:4] != _mark(scope):
        raise InvalidField("page_token", "is not one that this list has given; leave it empty to start over")
    return Page(after, size)


def _mark(scope: str) -> bytes:
    return hashlib.sha256(scope.encode()).digest()[:4]
