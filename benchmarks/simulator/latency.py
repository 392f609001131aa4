"""How long a simulated call takes: drawn from a shape, and the same for the same call. Pure.

Time to the first token: a base and a little for each token of the prompt, times a
lognormal factor; a share of the calls are stragglers, several times slower. The same
factor stretches the time between tokens. Two providers asked the same question draw from
one common and one own normal, so that their correlation can be set.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict, Field

_PRESETS = Path(__file__).parent / "presets"
_NORMAL = NormalDist()


class ModelShape(BaseModel):
    """Of the models whose name holds one of `names`; the first that fits counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...] = Field(min_length=1)
    first_ms: float = Field(ge=0)
    prompt_ms_per_token: float = Field(ge=0)
    gap_ms: float = Field(ge=0)
    sigma: float = Field(ge=0)
    straggler_share: float = Field(default=0, ge=0, le=1)
    straggler_factor: float = Field(default=1, ge=1)


class Shape(BaseModel):
    """A file of presets/."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Of the logarithms of two providers' times for the same call.
    correlation: float = Field(ge=0, le=1)
    model: tuple[ModelShape, ...] = Field(min_length=1)

    def of(self, name: str) -> ModelShape:
        return next(shape for shape in self.model if any(part in name for part in shape.names))


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: to the first token, and from one token to the next."""

    first_s: float
    gap_s: float


def preset(name: str) -> Shape:
    """A shape by the name of its preset, or by its file's path."""
    path = _PRESETS / f"{name}.toml"
    return Shape.model_validate(tomllib.loads((path if path.is_file() else Path(name)).read_text()))


def presets() -> list[str]:
    return sorted(path.stem for path in _PRESETS.glob("*.toml"))


def timing(shape: Shape, seed: int, provider: str, model: str, call: str, prompt_tokens: int) -> Timing:
    """The timing of a call; `call` names the question, and the how-manieth time it is asked."""
    of = shape.of(model)
    common, own = _normal(seed, "all", call), _normal(seed, f"{provider} {model}", call)
    z = math.sqrt(shape.correlation) * common + math.sqrt(1 - shape.correlation) * own
    factor = math.exp(of.sigma * z)
    if _uniform(seed, f"straggler {provider} {model}", call) < of.straggler_share:
        factor *= of.straggler_factor
    first_ms = (of.first_ms + of.prompt_ms_per_token * prompt_tokens) * factor
    return Timing(first_ms / 1e3, of.gap_ms * factor / 1e3)


def _uniform(seed: int, of: str, call: str) -> float:
    digest = hashlib.blake2b(f"{seed}\0{of}\0{call}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**64


def _normal(seed: int, of: str, call: str) -> float:
    return _NORMAL.inv_cdf(_uniform(seed, of, call))
