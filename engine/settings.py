"""What can be set, with its defaults. Only the values: where they come from is the server's business."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """All settings, flat: one name each in the file, the environment and on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    grpc_address: str = Field(default="127.0.0.1:50051", pattern=r"^.*:\d{1,5}$")
    """Where gRPC is served: host:port. Port 0 takes a free one."""
    metrics_address: str = Field(default="127.0.0.1:9464", pattern=r"^(.*:\d{1,5})?$")
    """Where Prometheus scrapes: host:port; empty for no metrics port."""
    data_dir: Path = Path("data")
    """Where conversations are kept."""
    cache_dir: Path
    """Where the embedder and the trained detector are kept once they are built."""
    domain: str = "sales"
    """The domain pack of a conversation that names none."""
    domains_dir: Path | None = None
    """A directory with packs of your own, one directory each."""
    log_format: Literal["console", "json"] = "console"
    """How log lines are written."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged."""
    turn_timeout_ms: int = Field(default=30_000, ge=1, le=600_000)
    """The deadline of a turn whose caller sets none."""
    concurrent_turns_max: int = Field(default=256, ge=1)
    """Turns in flight; beyond it, RESOURCE_EXHAUSTED."""
    waiting_turns_max: int = Field(default=16, ge=1)
    """Turns that may wait for an earlier one of the same conversation; beyond it, RESOURCE_EXHAUSTED."""
    retention_days: float = Field(default=90, gt=0)
    """A conversation that does not go on is erased after this."""
    drain_timeout_ms: int = Field(default=10_000, ge=0)
    """How long calls in flight may go on after SIGTERM."""
    stats_window_s: int = Field(default=300, ge=10)
    """What the sliding-window quantiles cover."""
