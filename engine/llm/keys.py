"""The API keys of one provider: a key that is rate limited or refused rests, the others go on. Pure."""

from __future__ import annotations

from collections.abc import Sequence

# Where a provider does not say how long it wants to be left alone.
COOL_DOWN_S = 1.0
# A key that was refused may be put right meanwhile.
REFUSED_S = 300.0
# Whatever a provider asks for.
_COOL_DOWN_S_MAX = 3600.0


class Keys:
    """Keeps the keys; never shows one."""

    def __init__(self, keys: Sequence[str]) -> None:
        """At least one key."""
        self._ready_s = dict.fromkeys(keys, 0.0)

    def __repr__(self) -> str:
        return f"Keys({len(self._ready_s)})"

    def pick(self, now_s: float, draw: float) -> str | None:
        """One of the keys that are ready, by a uniform draw in [0, 1); None where all of them rest."""
        ready = [key for key, ready_s in self._ready_s.items() if ready_s <= now_s]
        return ready[int(draw * len(ready))] if ready else None

    def rate_limited(self, key: str, retry_after_s: float, now_s: float) -> None:
        self._rest(key, now_s + min(_COOL_DOWN_S_MAX, retry_after_s or COOL_DOWN_S))

    def refused(self, key: str, now_s: float) -> None:
        self._rest(key, now_s + REFUSED_S)

    def ready_at_s(self, now_s: float) -> float:
        """When the next key is ready; now, where one is."""
        return max(now_s, min(self._ready_s.values()))

    def _rest(self, key: str, until_s: float) -> None:
        self._ready_s[key] = max(self._ready_s[key], until_s)
