"""Puts the remote models together: providers by their settings, each imported only where it is configured."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from pydantic import SecretStr

from engine.complexity import Tier
from engine.events import Emit
from engine.llm.breaker import Breaker
from engine.llm.hedging import HedgeBudget
from engine.llm.http2 import HttpClient, HttpError, HttpSettings, new_client, warm_up
from engine.llm.keys import Keys
from engine.llm.model import Prices
from engine.llm.race import StreamTimeouts
from engine.llm.remote import Dialect, Remote
from engine.llm.router import Router, RouterSettings, Target
from engine.settings import ProviderSettings, Settings
from engine.step import Routing

_NO_PRICES = Prices()
log = structlog.get_logger()


class RemoteModels:
    """The router over all configured models, and the connections that they share."""

    def __init__(self, settings: Settings, emit: Emit) -> None:
        # Timing and load spreading need chance, not secrecy.
        draw = random.Random().random  # noqa: S311
        targets: dict[Tier, list[Target]] = {Tier.FAST: [], Tier.POWERFUL: []}
        self._http = new_client(HttpSettings(settings.connections_max, proxy=settings.proxy))
        self._base_urls: list[str] = []
        for name, provider in settings.providers.items():
            dialect = _dialect(provider, self._http)
            keys = Keys(_shown(provider.api_keys))
            self._base_urls.append(dialect.base_url)
            for tier, model in ((Tier.FAST, provider.fast), (Tier.POWERFUL, provider.powerful)):
                remote = Remote(name, model, dialect, keys, provider.extra_body, draw, lambda: datetime.now(UTC))
                given = provider.prices.get(model)
                prices = Prices(given.input, given.output, given.cached_input) if given else _NO_PRICES
                targets[tier].append(Target(remote, prices, Breaker()))
        self.router = Router(
            targets,
            RouterSettings(
                Routing(settings.routing),
                StreamTimeouts(
                    settings.first_text_timeout_ms / 1e3,
                    settings.next_text_timeout_ms / 1e3,
                    settings.reply_timeout_ms / 1e3,
                ),
                settings.first_text_timeout_ms / 1e3,
            ),
            HedgeBudget(settings.hedge_share),
            emit,
            draw,
        )

    async def warm_up(self) -> None:
        """Opens connections before the first turn needs one."""
        results = await asyncio.gather(
            *(warm_up(self._http, base_url) for base_url in self._base_urls), return_exceptions=True
        )
        for base_url, result in zip(self._base_urls, results, strict=True):
            if isinstance(result, HttpError):
                # It may be there when a turn needs it; until then its breaker and the others do.
                log.warning("a provider cannot be reached", base_url=base_url, error=str(result))
            elif result:
                raise result

    async def aclose(self) -> None:
        await self._http.aclose()


def _dialect(provider: ProviderSettings, http: HttpClient) -> Dialect:
    keys = _shown(provider.api_keys)
    # An SDK takes a second to import: only those that are asked for pay it.
    if provider.kind == "anthropic":
        from engine.llm.anthropic import Messages  # noqa: PLC0415

        return Messages(keys, provider.base_url, http, lambda: datetime.now(UTC))
    from engine.llm.openai import ChatCompletions  # noqa: PLC0415

    return ChatCompletions(
        keys, provider.base_url, http, lambda: datetime.now(UTC), takes_temperature=provider.takes_temperature
    )


def _shown(keys: Sequence[SecretStr]) -> list[str]:
    return [key.get_secret_value() for key in keys]
