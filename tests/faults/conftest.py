"""The same servers as in tests/server."""

from __future__ import annotations

from tests.server.conftest import cache_dir, domains_dir

__all__ = ["cache_dir", "domains_dir"]
