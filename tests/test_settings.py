"""One settings object: flag over environment over file over default, and each mistake named."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trimtab_server.settings import (
    ENV_PREFIX,
    Settings,
    SettingsError,
    load,
    sources,
    unknown_variables,
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file that sets a number and a word."""
    path = tmp_path / "trimtab.toml"
    path.write_text('commit_events_max = 11\nlog_level = "debug"\n')
    return path


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer in turn, and `sources` tells which one it was."""
    assert load().commit_events_max == 4_096
    assert sources()["commit_events_max"] == "default"
    assert load(config).commit_events_max == 11
    assert sources(config)["commit_events_max"] == f"file {config}"
    monkeypatch.setenv("TRIMTAB_COMMIT_EVENTS_MAX", "22")
    assert load(config).commit_events_max == 22
    where = "environment TRIMTAB_COMMIT_EVENTS_MAX"
    assert sources(config)["commit_events_max"] == where
    assert load(config, {"commit_events_max": "33"}).commit_events_max == 33
    assert sources(config, {"commit_events_max": "33"})["commit_events_max"] == "flag"
    assert load(config).log_level == "debug"


def test_a_flag_that_was_not_given_changes_nothing(config: Path) -> None:
    """None is what the command line passes for a flag that is absent."""
    assert load(config, {"commit_events_max": None}).commit_events_max == 11
    assert sources(config, {"commit_events_max": None})["commit_events_max"] == f"file {config}"


def test_the_environment_repairs_a_bad_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is overridden is not looked at."""
    config.write_text("commit_events_max = -1\n")
    monkeypatch.setenv("TRIMTAB_COMMIT_EVENTS_MAX", "5")
    assert load(config).commit_events_max == 5


def test_an_unknown_key_is_named_with_its_file(config: Path) -> None:
    """A misspelt setting never passes in silence."""
    config.write_text("commit_event_max = 5\n")
    with pytest.raises(SettingsError, match=r"trimtab\.toml: unknown setting 'commit_event_max'"):
        load(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("commit_events_max", "many"),
        ("commit_events_max", 0),
        ("commit_events_max", 10**9),
        ("future_skew_s_max", "nan"),
        ("future_skew_s_max", -1),
        ("durability", "maybe"),
        ("log_level", "loud"),
        ("reflection", "perhaps"),
        ("grace_s", "inf"),
        ("slow_reader_s", 0.0),
        ("listen", 7_517),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, name: str, value: Any) -> None:
    """Flag or file: the message begins with the setting at fault."""
    with pytest.raises(SettingsError, match=f"^setting {name}: "):
        load(None, {name: value})
    path = tmp_path / "bad.toml"
    path.write_text(f'{name} = "{value}"\n' if isinstance(value, str) else f"{name} = {value}\n")
    with pytest.raises(SettingsError, match=f"^setting {name}: "):
        load(path)


def test_a_bad_value_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is held to the same rules."""
    monkeypatch.setenv("TRIMTAB_STREAMS_MAX", "0")
    with pytest.raises(SettingsError, match=r"^setting streams_max: "):
        load()


@pytest.mark.parametrize("text", ["commit_events_max = ", "\x00", "= 5", "[a\n"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, text: str) -> None:
    """So is one that cannot be read."""
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"cannot read .*broken\.toml"):
        load(path)
    with pytest.raises(SettingsError, match=r"cannot read .*absent\.toml"):
        load(tmp_path / "absent.toml")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"cannot read .*broken\.toml"):
        load(path)


def test_every_setting_says_what_it_means() -> None:
    """A description for each, and the unit in the name of what is measured."""
    for name, field in Settings.model_fields.items():
        assert field.description, name
        if field.annotation is float:
            assert set(name.split("_")) & {"s", "ms", "ratio"}, name


def test_settings_do_not_change() -> None:
    """They are frozen."""
    with pytest.raises(ValidationError):
        load().grace_s = 5


def test_a_bare_path_is_a_sqlite_file() -> None:
    """A database is a URL or a path."""
    assert load(None, {"database": "/data/x.db"}).database_url == "sqlite:////data/x.db"
    assert load(None, {"database": "x.db"}).database_url == "sqlite:///x.db"
    assert load(None, {"database": "postgresql://h/d"}).database_url == "postgresql://h/d"


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks like a setting and is none; ours for other purposes are none of them."""
    monkeypatch.setenv("TRIMTAB_STREAM_MAX", "3")
    monkeypatch.setenv("TRIMTAB_ADDRESS", "127.0.0.1:1")
    assert unknown_variables() == ["TRIMTAB_STREAM_MAX"]


@pytest.mark.parametrize("name", ["listen", "prometheus_listen"])
@pytest.mark.parametrize("address", ["0.0.0.0:1", "example.com:1", "foo"])
def test_an_address_beyond_this_machine_is_refused(name: str, address: str) -> None:
    """By every command that reads settings, not only by the server."""
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load(None, {name: address})


TLS = {"tls_cert_file": "c", "tls_key_file": "k"}
WAYS = "tokens (access_file) or client certificates (tls_client_ca_file)"


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:0", "desk.example.com:7517"])
def test_beyond_this_machine_needs_tls_and_a_way_to_know_callers(listen: str) -> None:
    """What is missing is named, and only that; with both it may listen anywhere."""
    for told, missing in (
        ({}, f"TLS (tls_cert_file and tls_key_file), and {WAYS}"),
        ({"access_file": "a"}, "TLS (tls_cert_file and tls_key_file)"),
        (TLS, WAYS),
    ):
        with pytest.raises(SettingsError) as refused:
            load(None, {"listen": listen, **told})
        assert str(refused.value).startswith(f"listen: {listen} is not a loopback address")
        assert str(refused.value).endswith(f"the sidecar needs {missing}")
    for way in ({"access_file": "a"}, {"tls_client_ca_file": "ca"}):
        assert load(None, {"listen": listen, **TLS, **way}).listen == listen


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"tls_cert_file": "c"}, "tls_cert_file: needs tls_key_file too"),
        ({"tls_key_file": "k"}, "tls_key_file: needs tls_cert_file too"),
        (
            {"tls_client_ca_file": "ca"},
            "tls_client_ca_file: needs tls_cert_file and tls_key_file too",
        ),
    ],
)
def test_half_of_tls_is_refused(told: dict[str, str], words: str) -> None:
    """On loopback too: whoever asks for it must not believe that it is there."""
    with pytest.raises(SettingsError) as refused:
        load(None, told)
    assert str(refused.value) == words


def test_metrics_stay_on_this_machine() -> None:
    """They have no TLS and no tokens of their own, whatever the sidecar has."""
    told = {"listen": "0.0.0.0:1", **TLS, "access_file": "a", "prometheus_listen": "0.0.0.0:2"}
    with pytest.raises(SettingsError, match=r"^prometheus_listen: .*this machine only"):
        load(None, told)


@pytest.mark.parametrize(
    "listen",
    ["", ":1", "h", "h:", "h:x", "h:99999", "a b:1", "-h:1", "[x]:1", "::1:1", "dns:///h:1"],
)
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    """With TLS and tokens too: nothing is handed to gRPC that it may read in another way."""
    with pytest.raises(SettingsError, match="is not host:port or unix:/path"):
        load(None, {"listen": listen, **TLS, "access_file": "a"})


def test_reflection_follows_the_address_unless_told() -> None:
    """On where only this machine reaches it."""
    away = {"listen": "0.0.0.0:1", **TLS, "access_file": "a"}
    assert load().has_reflection
    assert load(None, {"listen": "unix:/run/t.sock"}).has_reflection
    assert not load(None, away).has_reflection
    assert load(None, {**away, "reflection": True}).has_reflection
    assert not load(None, {"reflection": False}).has_reflection
