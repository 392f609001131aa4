"""Puts the settings together: defaults, then the file, the environment, the flags, each over the last."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.settings import Settings

PREFIX = "REPARTEE_"


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
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        fault = error.errors()[0]
        key = str(fault["loc"][0])
        source = next((name for name in reversed(sources) if key in sources[name]), "the defaults")
        meant = Settings.model_fields[key].description
        raise ConfigError(f"{source}: {key} = {fault['input']!r}: {fault['msg']}. It sets: {meant}") from None


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None
