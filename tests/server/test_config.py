"""Settings: defaults, then the file, the environment, the flags; every error says where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.settings import Settings
from server.config import ConfigError, settings_from

DEFAULTS = {"cache_dir": "/cache"}


def read(tmp_path: Path, file: str = "", environment: Mapping[str, str] | None = None, **flags: object) -> Settings:
    path = tmp_path / "repartee.toml"
    path.write_text(file)
    return settings_from(DEFAULTS, path, environment or {}, flags)


def test_without_anything_the_defaults_hold() -> None:
    settings = settings_from(DEFAULTS, None, {}, {})
    assert settings == Settings(cache_dir=Path("/cache"))
    assert settings.grpc_address == "127.0.0.1:50051"


def test_the_file_is_over_the_defaults_the_environment_over_it_and_flags_over_all(tmp_path: Path) -> None:
    file = 'domain = "file"\nlog_level = "error"\ncache_dir = "/file"\nturn_timeout_ms = 1\n'
    environment = {"REPARTEE_DOMAIN": "environment", "REPARTEE_LOG_LEVEL": "debug"}
    settings = read(tmp_path, file, environment, domain="flag", log_level=None)
    assert (settings.domain, settings.log_level, settings.turn_timeout_ms) == ("flag", "debug", 1)
    assert settings.cache_dir == Path("/file")


def test_the_environment_is_read_as_the_setting_s_type(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        environment={
            "REPARTEE_TURN_TIMEOUT_MS": "1500",
            "REPARTEE_RETENTION_DAYS": "0.5",
            "REPARTEE_DOMAINS_DIR": "/packs",
            "REPARTEE_METRICS_ADDRESS": "",
            "PATH": "/bin",
            "repartee_domain": "not ours",
        },
    )
    assert (settings.turn_timeout_ms, settings.retention_days) == (1500, 0.5)
    assert (settings.domains_dir, settings.metrics_address) == (Path("/packs"), "")
    assert settings.domain == "sales"


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::]:50051", "localhost:1", ":50051", "unix-host:65535"])
def test_an_address_is_host_and_port(tmp_path: Path, address: str) -> None:
    assert read(tmp_path, grpc_address=address).grpc_address == address


@pytest.mark.parametrize(
    ("file", "environment", "flags", "told"),
    [
        ("domian = 'x'", {}, {}, ["repartee.toml", "domian", "no such setting", "domain"]),
        ("", {"REPARTEE_DOMIAN": "x"}, {}, ["the environment", "REPARTEE_DOMIAN", "no such setting"]),
        ("", {}, {"domian": "x"}, ["the command line", "domian", "no such setting"]),
        ("turn_timeout_ms = 0", {}, {}, ["repartee.toml", "turn_timeout_ms = 0", "greater than or equal to 1"]),
        ("turn_timeout_ms = 'soon'", {}, {}, ["repartee.toml", "turn_timeout_ms = 'soon'", "integer"]),
        ("", {"REPARTEE_TURN_TIMEOUT_MS": "soon"}, {}, ["the environment", "turn_timeout_ms = 'soon'", "integer"]),
        ("", {"REPARTEE_GRPC_ADDRESS": "here"}, {}, ["the environment", "grpc_address = 'here'"]),
        ("", {}, {"log_level": "loud"}, ["the command line", "log_level = 'loud'", "debug"]),
        ("log_level = 'loud'", {}, {"domain": "x"}, ["repartee.toml", "log_level = 'loud'"]),
        ("retention_days = 0", {}, {}, ["repartee.toml", "retention_days = 0"]),
        ("[server]\nport = 1", {}, {}, ["repartee.toml", "server", "no such setting"]),
        ("a = = 1", {}, {}, ["repartee.toml", "line 1"]),
    ],
)
def test_an_error_names_the_source_the_key_and_the_value(
    tmp_path: Path, file: str, environment: dict[str, str], flags: dict[str, object], told: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, file, environment, **flags)
    assert [part for part in told if part not in str(caught.value)] == []


def test_a_stronger_source_mends_a_weaker_one(tmp_path: Path) -> None:
    assert read(tmp_path, "log_level = 'loud'", log_level="info").log_level == "info"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match=f"^{path}: cannot be read: ."):
            settings_from(DEFAULTS, path, {}, {})
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=f"^{binary}: "):
        settings_from(DEFAULTS, binary, {}, {})


# -- providers


def test_a_key_in_the_environment_is_enough() -> None:
    settings = settings_from(DEFAULTS, None, {"ANTHROPIC_API_KEY": "one, two,", "OPENAI_API_KEY": ""}, {})
    assert set(settings.providers) == {"anthropic"}
    provider = settings.providers["anthropic"]
    assert [key.get_secret_value() for key in provider.api_keys] == ["one", "two"]
    assert provider.base_url is None
    assert provider.fast
    assert provider.powerful


def test_without_any_key_there_is_no_provider() -> None:
    assert settings_from(DEFAULTS, None, {"ANTHROPIC_BASE_URL": "https://x"}, {}).providers == {}


def test_the_file_sets_models_and_the_environment_the_key(tmp_path: Path) -> None:
    path = tmp_path / "repartee.toml"
    path.write_text('[providers.openai]\nfast = "mine"\nprices = { mine = { input = 0.5 } }\n')
    settings = settings_from(DEFAULTS, path, {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://proxy/v1"}, {})
    provider = settings.providers["openai"]
    assert (provider.fast, provider.base_url, provider.prices["mine"].input) == ("mine", "https://proxy/v1", 0.5)
    assert provider.powerful


def test_a_further_provider_has_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "repartee.toml"
    path.write_text(
        '[providers.vllm]\nkind = "openai"\nbase_url = "http://models/v1"\napi_keys = ["k"]\nfast = "a"\npowerful = "b"\n'
    )
    assert settings_from(DEFAULTS, path, {}, {}).providers["vllm"].powerful == "b"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[providers.vllm]\nkind = "openai"\napi_keys = ["sk-secret"]\nfast = "a"\n', "providers.vllm.powerful"),
        (
            '[providers.vllm]\nkind = "grok"\napi_keys = ["sk-secret"]\nfast = "a"\npowerful = "b"\n',
            "providers.vllm.kind",
        ),
        ('[providers.anthropic]\napi_keys = ["sk-secret"]\nbase_url = "sk-secret"\n', "providers.anthropic.base_url"),
        ('[providers.anthropic]\napi_keys = ["sk-secret"]\nmodel = "x"\n', "providers.anthropic.model"),
        ('providers = "sk-secret"\n', "providers"),
    ],
)
def test_what_is_wrong_with_a_provider_is_named_and_no_secret_shown(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "repartee.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        settings_from(DEFAULTS, path, {}, {})
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "sk-secret" not in str(caught.value)
