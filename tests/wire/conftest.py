"""What the wire tests share: servers that run while a module's tests do, and one loop for everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.node import NodeServer, node_server


@pytest.fixture(scope="module")
def node() -> Iterator[NodeServer]:
    """Node's HTTP/2 server, with its own limits on resets."""
    with node_server() as server:
        yield server
