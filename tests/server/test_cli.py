"""The command line, as a person or a script uses it: serve, chat, lint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from repartee.v1 import conversation_pb2 as pb

from engine import packs
from tests.server.conftest import StartProcess
from tests.server.harness import Client, Server, repartee, scrape

OUTAGE = "My website is down since 2 November, error 502."


def address(server: Server) -> str:
    return f"--grpc-address=127.0.0.1:{server.app.port}"


# -- help


def test_help_tells_of_every_command() -> None:
    done = repartee("--help")
    assert done.returncode == 0
    assert [name for name in ("serve", "chat", "lint") if name not in done.stdout] == []
    assert repartee().stdout.split() == done.stdout.split()


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("serve", ["--grpc-address", "--metrics-address", "--data-dir", "--domain", "--log-format", "--config"]),
        ("chat", ["--grpc-address", "--conversation", "--domain", "--json"]),
        ("lint", ["pack", "--domains-dir"]),
    ],
)
def test_every_command_explains_itself(command: str, flags: list[str]) -> None:
    done = repartee(command, "--help")
    assert done.returncode == 0
    assert [flag for flag in flags if flag not in done.stdout] == []


def test_a_command_that_is_not_there_is_refused() -> None:
    done = repartee("sevre")
    assert done.returncode == 2
    assert "sevre" in done.stderr


# -- chat


def test_one_message_gets_a_reply_and_what_was_made_of_it(server: Server) -> None:
    done = repartee("chat", OUTAGE, address(server))
    assert (done.returncode, done.stderr) == (0, "")
    assert "outage_report" in done.stdout
    assert "product_affected = website “website”" in done.stdout
    assert " ms: " in done.stdout
    assert "conversations/" in done.stdout


def test_a_conversation_can_be_piped_in(server: Server) -> None:
    done = repartee("chat", "--json", address(server), input=f"{OUTAGE}\n\n  \nPlease refund me $15.\n")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["turn"]["message"] == OUTAGE
    assert second["conversation"]["name"] == first["conversation"]["name"]
    assert second["conversation"]["turn_count"] == 2
    assert "refund_amount" in second["conversation"]["slots"]
    again = repartee("chat", "--json", "Hello", f"--conversation={first['conversation']['name']}", address(server))
    assert json.loads(again.stdout)["conversation"]["turn_count"] == 3


def test_the_domain_of_a_talk_can_be_chosen(server: Server) -> None:
    done = repartee("chat", "--json", "--domain=sales", address(server), input="Hello\nMy website is down.\n")
    assert [json.loads(line)["conversation"]["domain"] for line in done.stdout.splitlines()] == ["sales", "sales"]


def test_a_turn_that_is_refused_ends_the_talk_with_an_error(server: Server) -> None:
    done = repartee("chat", "--conversation=conversations/nobody", address(server), input="Hello\nAgain\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("NOT_FOUND: ") == 1


def test_without_a_server_chat_says_what_to_do(server: Server) -> None:
    done = repartee("chat", "Hello", "--grpc-address=127.0.0.1:1")
    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stderr
    assert "127.0.0.1:1" in done.stderr
    assert "make run" in done.stderr


def test_text_that_looks_like_markup_is_shown_as_it_is(server: Server) -> None:
    done = repartee("chat", "[bold]My website[/bold] is down, error [/red] 502.", address(server))
    assert (done.returncode, done.stderr) == (0, "")


# -- lint


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return shutil.copytree(packs.BUILT_IN / "support", tmp_path / "support")


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_sound_pack_passes(pack: Path) -> None:
    for done in (repartee("lint", "support"), repartee("lint", str(pack))):
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.rstrip().endswith("sound")


def test_every_fault_of_a_pack_is_told(pack: Path) -> None:
    change(pack / "situations.toml", '"warm_welcome"', '"cold_shoulder"')
    change(pack / "plays.toml", "{status}", "{no_such_fact}")
    done = repartee("lint", str(pack))
    assert done.returncode == 1
    assert "cold_shoulder" in done.stdout
    assert "no_such_fact" in done.stdout
    assert "warm_welcome" in done.stdout
    assert "faults" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("plays.toml", "principle = ", "principel = ", ["plays.toml", "warm_welcome", "principel"]),
        ("slots.toml", "[[slot]]", "[[slot", ["slots.toml", "line"]),
        ("slots.toml", "'{services}'", "'{services}('", ["slots.toml", "product_affected"]),
        ("pack.toml", 'id = "support"', "", ["pack.toml", "id"]),
    ],
)
def test_a_pack_that_cannot_be_read_says_where(pack: Path, file: str, old: str, new: str, told: list[str]) -> None:
    change(pack / file, old, new)
    done = repartee("lint", str(pack))
    assert done.returncode == 2
    assert [part for part in told if part not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_a_pack_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = repartee("lint", "nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_a_pack_of_ones_own_stands_before_the_built_in_one(pack: Path) -> None:
    change(pack / "pack.toml", 'title = "Hosting support"', 'title = ""\nnonsense = 1')
    done = repartee("lint", "support", f"--domains-dir={pack.parent}")
    assert done.returncode == 2
    assert "nonsense" in done.stderr


# -- serve


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--log-level=loud"], ["the command line", "log_level = 'loud'"]),
        (["--grpc-address=here"], ["grpc_address = 'here'"]),
        (["--config=none.toml"], ["none.toml", "cannot be read"]),
        (["--domain=nowhere", "--grpc-address=127.0.0.1:0"], ["domain = 'nowhere'", "support"]),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_started(
    tmp_path: Path, domains_dir: Path, cache_dir: Path, arguments: list[str], told: list[str]
) -> None:
    common = [f"--domains-dir={domains_dir}", f"--cache-dir={cache_dir}"]
    done = repartee("serve", *common, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert [part for part in told if part not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("pack.toml", 'id = "support"', 'id = "other"', "id 'other' is not the name of its directory"),
        ("situations.toml", '"warm_welcome"', '"cold_shoulder"', "cold_shoulder, which does not exist"),
        ("examples/upset.toml", "messages = [", "messages = []\nunused = [", "upset"),
    ],
)
def test_a_pack_that_is_not_sound_is_not_served(
    pack: Path, cache_dir: Path, file: str, old: str, new: str, told: str
) -> None:
    change(pack / file, old, new)
    data_dir = pack.parent / "data"
    done = repartee(
        "serve",
        f"--domains-dir={pack.parent}",
        f"--cache-dir={cache_dir}",
        f"--data-dir={data_dir}",
        "--grpc-address=127.0.0.1:0",
        "--metrics-address=",
    )
    assert done.returncode == 2
    assert str(pack) in done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not data_dir.exists()


@pytest.mark.parametrize("which", ["grpc", "metrics"])
def test_a_port_that_is_taken_is_named(
    server: Server, tmp_path: Path, domains_dir: Path, cache_dir: Path, which: str
) -> None:
    ports = {"grpc": 0, "metrics": 0} | {which: getattr(server.app, "port" if which == "grpc" else "metrics_port")}
    done = repartee(
        "serve",
        *(f"--{name}-address=127.0.0.1:{port}" for name, port in ports.items()),
        f"--domains-dir={domains_dir}",
        f"--cache-dir={cache_dir}",
        f"--data-dir={tmp_path}",
    )
    assert done.returncode == 2
    assert f"{which}_address = '127.0.0.1:{ports[which]}'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_process_tells_its_log_nothing_of_what_was_said(start_process: StartProcess, tmp_path: Path) -> None:
    canary = "canary-5b1e"
    file = tmp_path / "repartee.toml"
    file.write_text("stats_window_s = 60\n")
    process = start_process(REPARTEE_CONFIG=str(file))
    client = Client(process.port)
    message = f"My website is down, error 502, says {canary}."
    answer = client.talk.Respond(pb.RespondRequest(message=message), metadata=(("x-request-id", "one"),))
    repartee("chat", canary, f"--grpc-address=127.0.0.1:{process.port}")
    page = scrape(process.metrics_port)
    process.terminate()
    assert process.ended() == 0
    log = "".join(process.lines)
    entries = [json.loads(line) for line in process.lines]
    events = [entry["event"] for entry in entries]
    assert events.index("serving") < events.index("call")
    assert events[-2:] == ["draining", "stopped"]
    assert {"event": "call", "request_id": "one", "code": "OK"}.items() <= next(
        entry for entry in entries if entry["event"] == "call"
    ).items()
    for text in (canary, answer.turn.reply, answer.turn.reply[:20]):
        assert text not in log
        assert text not in page
