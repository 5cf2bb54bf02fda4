"""`trimtab token` and the options that reach a secured sidecar."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from trimtab_server.cli import app
from trimtab_server.credentials import read_callers
from trimtab_server.domain.access import Role, token_digest

RUNNER = CliRunner()
OPTIONS = ("--token-file", "--tls-ca", "--tls-cert", "--tls-key")


def _made(*words: str) -> tuple[str, str]:
    """The token, and the rest of what was printed."""
    done = RUNNER.invoke(app, ["token", *words])
    assert done.exit_code == 0, done.output
    [token] = [line for line in done.output.splitlines() if line.startswith("trimtab_")]
    return token, done.output.replace(token, "")


def test_a_token_is_shown_once_and_its_entry_is_one(tmp_path: Path) -> None:
    """The printed entry is a caller of an access file that knows the token."""
    token, rest = _made('al"pha', "--role", "ingest", "--role", "read", "--role", "read")
    path = tmp_path / "access.toml"
    path.write_text(rest[rest.index("[[callers]]") :])
    path.chmod(0o600)
    (caller,) = read_callers(str(path), with_certificates=False)
    assert caller.name == 'al"pha'
    assert caller.roles == {Role.INGEST, Role.READ}
    assert caller.token_sha256 == token_digest(token)


def test_no_two_tokens_are_alike() -> None:
    """Each holds 256 bits of the machine's chance."""
    tokens = {_made("a", "--role", "read")[0] for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= len("trimtab_") + 43


@pytest.mark.parametrize("words", [["a"], ["", "--role", "read"], ["a", "--role", "admin"]])
def test_a_token_without_a_name_or_a_role_is_refused(words: list[str]) -> None:
    """Exit code 2, and no token."""
    done = RUNNER.invoke(app, ["token", *words])
    assert done.exit_code == 2
    assert "trimtab_" not in done.output


def _commands(group: typer.Typer, *path: str) -> list[tuple[str, ...]]:
    """The words of every command that takes an address."""
    found = []
    for each in group.registered_commands:
        done = RUNNER.invoke(app, [*path, str(each.name), "--help"], env={"COLUMNS": "200"})
        if "--address" in done.output:
            found.append((*path, str(each.name)))
    for each_group in group.registered_groups:
        assert each_group.typer_instance is not None
        found += _commands(each_group.typer_instance, *path, str(each_group.name))
    return found


def test_every_command_that_talks_to_a_sidecar_takes_the_credentials() -> None:
    """None is forgotten: what takes --address takes them, and names the one that will not do."""
    found = _commands(app)
    assert {("status",), ("events", "list"), ("spool", "drain")} <= set(found)
    for words in found:
        done = RUNNER.invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
        assert [option for option in OPTIONS if option not in done.output] == []


def test_options_of_one_run_are_gone_in_the_next(tmp_path: Path) -> None:
    """And a mistake in them is one line with its name."""
    absent = str(tmp_path / "absent")
    command = ["status", "--address", "127.0.0.1:1"]
    done = RUNNER.invoke(app, [*command, "--token-file", absent])
    assert done.exit_code == 2
    assert f"token_file: cannot read {absent}" in done.stderr
    done = RUNNER.invoke(app, [*command, "--tls-cert", absent])
    assert (done.exit_code, done.stderr) == (2, "trimtab: tls_cert: needs tls_key too\n")
    done = RUNNER.invoke(app, ["status", "--address", "10.0.0.1:1", "--token-file", absent])
    assert done.exit_code == 2
    assert done.stderr.startswith("trimtab: token_file: a token goes to 10.0.0.1:1 over TLS only")
    done = RUNNER.invoke(app, command)
    assert "no sidecar answers" in done.stderr
