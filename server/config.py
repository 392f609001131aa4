"""Puts the settings together: defaults, then the file, the environment, the flags, each over the last."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.settings import Settings

PREFIX = "REPARTEE_"
# The newest models that the SDKs name: a fast one, and a powerful one that is still quick to its first word.
_KNOWN_PROVIDERS: dict[str, dict[str, Any]] = {
    "anthropic": {"kind": "anthropic", "fast": "claude-haiku-5-5", "powerful": "claude-sonnet-5-5"},
    "openai": {"kind": "openai", "fast": "gpt-6-luna", "powerful": "gpt-6.2-sol"},
}


class ConfigError(Exception):
    """A setting that is wrong: where it stands, its key, its value, and what is allowed."""


def settings_from(
    defaults: Mapping[str, Any], file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> Settings:
    """The settings that are in force.

    Args:
        defaults: what the platform says, for example where caches belong.
        file: a TOML file, keys as in `Settings`; None for none.
        environment: `REPARTEE_GRPC_ADDRESS` sets `grpc_address`, and so on.
        flags: from the command line; a None is a flag that was not given.

    Raises:
        ConfigError: on the first wrong file, key or value.
    """
    named = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)}
    given = {name: value for name, value in flags.items() if value is not None}
    sources = {str(file): _read(file), "the environment": named, "the command line": given}
    for source, values in sources.items():
        for key in values:
            if key not in Settings.model_fields:
                shown = f"{PREFIX}{key.upper()}" if source == "the environment" else key
                raise ConfigError(f"{source}: {shown}: no such setting; there are {', '.join(Settings.model_fields)}")
    merged = dict(defaults)
    for values in sources.values():
        merged |= values
    merged["providers"] = _providers(merged.get("providers", {}), environment)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        fault = error.errors()[0]
        key = str(fault["loc"][0])
        place = ".".join(map(str, fault["loc"]))
        source = next((name for name in reversed(sources) if key in sources[name]), "the defaults")
        meant = Settings.model_fields[key].description
        # What belongs to a provider may be a secret, or stand beside one.
        value = "" if key == "providers" else f" = {fault['input']!r}"
        raise ConfigError(f"{source}: {place}{value}: {fault['msg']}. It sets: {meant}") from None


def _providers(named: Any, environment: Mapping[str, str]) -> Any:  # noqa: ANN401  (not validated yet)
    """The providers of the file, with what their SDKs' users expect of the environment.

    A key in the environment is enough for Anthropic and OpenAI; without any key they are not there.
    """
    if not isinstance(named, dict):
        return named
    providers = dict(named)
    for name, defaults in _KNOWN_PROVIDERS.items():
        keys = [key.strip() for key in environment.get(f"{name.upper()}_API_KEY", "").split(",") if key.strip()]
        from_environment: dict[str, Any] = {"api_keys": keys} if keys else {}
        if base_url := environment.get(f"{name.upper()}_BASE_URL"):
            from_environment["base_url"] = base_url
        provider = providers.pop(name, {})
        if not isinstance(provider, dict):
            return named
        provider = {**defaults, **from_environment, **provider}
        if "api_keys" in provider:
            providers[name] = provider
    return providers


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None
