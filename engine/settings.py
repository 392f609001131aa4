"""What can be set, with its defaults. Only the values: where they come from is the server's business."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ModelPrices(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(default=0, ge=0)
    output: float = Field(default=0, ge=0)
    cached_input: float = Field(default=0, ge=0)


class ProviderSettings(BaseModel):
    """A provider of remote models: `[providers.NAME]` in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["anthropic", "openai"]
    # Any of them answers; one that is rate limited rests.
    api_keys: tuple[SecretStr, ...] = Field(min_length=1)
    # None for the provider's own.
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    # The models for ordinary and for hard questions.
    fast: str = Field(min_length=1)
    powerful: str = Field(min_length=1)
    # By model; one without prices counts as free.
    prices: dict[str, ModelPrices] = {}
    # Goes into every call as it is, for what a team wants of its models besides.
    extra_body: dict[str, Any] = {}
    # Models that reason refuse one.
    takes_temperature: bool = False


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
    providers: dict[str, ProviderSettings] = {}
    """Remote models, in the file only: [providers.NAME]; without any, the built-in engine answers."""
    routing: Literal["race", "hedge", "failover", "single"] = "hedge"
    """How calls are spread over the providers where a request does not say."""
    hedge_share: float = Field(default=0.1, ge=0, le=1)
    """Extra calls that hedging may make for each call."""
    first_text_timeout_ms: int = Field(default=4_000, ge=1)
    """How long a model may take to its first text, or to a whole structured answer."""
    next_text_timeout_ms: int = Field(default=3_000, ge=1)
    """How long a model may take from one piece of text to the next."""
    reply_timeout_ms: int = Field(default=20_000, ge=1)
    """How long a model may take to a whole reply."""
    connections_max: int = Field(default=8, ge=1, le=256)
    """HTTP/2 connections to each provider."""
    proxy: str | None = Field(default=None, pattern=r"^https?://")
    """An HTTP proxy to the providers; through it there is no HTTP/2, and cancelled calls cost a connection."""
    tracing: bool = False
    """OpenTelemetry spans of model calls; needs the extra `otel`, and goes where OTEL_EXPORTER_OTLP_ENDPOINT says."""
