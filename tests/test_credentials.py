"""What a start reads to secure itself, and what it refuses, with the reason."""

import re
from pathlib import Path

import pytest

from tests.callers import access_file, entry, new_token
from tests.certificates import Authority, Pair, server_pair
from trimtab_server.credentials import read_callers, tls_keys
from trimtab_server.domain.access import Caller, Role, token_digest
from trimtab_server.errors import ConfigurationError

README = Path(__file__).resolve().parent.parent / "README.md"
TOKENS = {role.value: new_token() for role in Role}
CALLERS = tuple(
    Caller(role, frozenset([Role(role)]), token_digest(token)) for role, token in TOKENS.items()
)
MODES = [
    *((0o600, True), (0o640, True), (0o400, True), (0o440, True)),
    *((0o644, False), (0o604, False), (0o660, False), (0o602, False), (0o700, False)),
]


def test_an_access_file_is_read(tmp_path: Path) -> None:
    """Its callers, in order, with roles and what they are known by."""
    path = access_file(tmp_path / "a.toml", TOKENS, entry("e", ["read"], certificate="e.local"))
    found = read_callers(str(path), with_certificates=True)
    assert found == (*CALLERS, Caller("e", frozenset([Role.READ]), certificate="e.local"))
    assert not any(token_digest(token).hex() in repr(found) for token in TOKENS.values())


_ONE, _TWO = new_token(), new_token()
BAD_FILES = {
    "a.toml is no TOML file": "[[callers]",
    "callers: nobody may call": "",
    "callers: needs tables": 'callers = ["x"]',
    "users: unknown key": "[[users]]",
    "callers.0.name: needs 1 to 64 characters": entry("", ["read"], token=_ONE),
    "callers.0.name: needs printable": entry("a\nb", ["read"], token=_ONE),
    "callers.0.roles: needs a list of ingest, read, operate": entry("a", ["admin"], token=_ONE),
    "callers.1.roles: needs a list": entry("a", ["read"], token=_ONE) + entry("b", [], token=_TWO),
    "callers.0: tell one of token_sha256 and certificate": '[[callers]]\nname = "a"',
    "callers.0.token_sha256: needs the SHA-256": entry("a", ["read"], token=_ONE).replace(
        token_digest(_ONE).hex(), _ONE
    ),
    "callers.0.token: unknown key": entry("a", ["read"], token=_ONE) + f'token = "{_ONE}"',
    "callers.1.name: another caller": entry("a", ["read"], token=_ONE)
    + entry("a", ["read"], token=_TWO),
    "callers.1.token_sha256: another caller": entry("a", ["read"], token=_ONE)
    + entry("b", ["read"], token=_ONE),
    "callers.0.certificate: needs the setting tls_client_ca_file": entry(
        "a", ["read"], certificate="a.local"
    ),
}


@pytest.mark.parametrize(("words", "text"), BAD_FILES.items(), ids=BAD_FILES.keys())
def test_a_mistake_in_the_access_file_is_named(tmp_path: Path, words: str, text: str) -> None:
    """With the key at fault, and without what a hasty hand has pasted there."""
    path = tmp_path / "a.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError) as refused:
        read_callers(str(path), with_certificates=False)
    assert str(refused.value).startswith("access_file: ")
    assert words in str(refused.value)
    assert _ONE not in str(refused.value)


@pytest.mark.parametrize(("mode", "is_fine"), MODES)
def test_an_access_file_that_others_can_touch_is_refused(
    tmp_path: Path, mode: int, is_fine: bool
) -> None:
    """0640 at most, and the reason says so."""
    path = access_file(tmp_path / "a.toml", TOKENS)
    path.chmod(mode)
    if is_fine:
        assert read_callers(str(path), with_certificates=False) == CALLERS
        return
    with pytest.raises(ConfigurationError, match=rf"^access_file: .* mode {mode:04o}.*0640"):
        read_callers(str(path), with_certificates=False)


def test_without_an_access_file_there_are_no_callers() -> None:
    """Then nobody is asked: on this machine only, or behind client certificates."""
    assert read_callers("", with_certificates=False) == ()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * ((1 << 20) + 1)])
def test_an_access_file_that_cannot_be_one_is_refused(tmp_path: Path, content: bytes) -> None:
    """Not text, or endless: one line that names it."""
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    path.chmod(0o600)
    for each in (path, tmp_path, tmp_path / "absent.toml"):
        with pytest.raises(ConfigurationError, match=r"^access_file: "):
            read_callers(str(each), with_certificates=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """A server's certificate."""
    return server_pair(authority)


def _refused(cert: Path, key: Path, client_ca: Path | str = "") -> str:
    with pytest.raises(ConfigurationError) as refused:
        tls_keys(str(cert), str(key), str(client_ca))
    return str(refused.value)


def test_the_files_of_tls_are_read(authority: Authority, pair: Pair) -> None:
    """As they are; no file, no TLS; and the key never shows."""
    assert tls_keys("", "", "") is None
    found = tls_keys(str(pair.certificate), str(pair.key), str(authority.certificate))
    assert found is not None
    assert found.certificate == pair.certificate.read_bytes()
    assert found.key == pair.key.read_bytes()
    assert found.client_ca == authority.certificate.read_bytes()
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize(("mode", "is_fine"), MODES)
def test_a_key_that_others_can_touch_is_refused(
    pair: Pair, tmp_path: Path, mode: int, is_fine: bool
) -> None:
    """0640 at most, like the access file; a certificate may be read by all."""
    key = tmp_path / "server.key"
    key.write_bytes(pair.key.read_bytes())
    key.chmod(mode)
    pair.certificate.chmod(0o644)
    if is_fine:
        assert tls_keys(str(pair.certificate), str(key), "") is not None
    else:
        words = _refused(pair.certificate, key)
        assert words.startswith(f"tls_key_file: {key} has mode {mode:04o}")


def test_a_mistake_in_the_files_of_tls_is_named(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    """Missing, mixed up, of another certificate, or with a password: refused at the start, not by
    the first handshake."""
    absent = tmp_path / "absent.pem"
    assert _refused(absent, pair.key).startswith(f"tls_cert_file: cannot read {absent}")
    assert _refused(pair.certificate, absent).startswith(f"tls_key_file: cannot read {absent}")
    words = _refused(pair.certificate, pair.key, absent)
    assert words.startswith(f"tls_client_ca_file: cannot read {absent}")
    locked = tmp_path / "locked.key"
    authority.lock(pair.key, locked)
    other = server_pair(authority, "other")
    for cert, key in (
        (pair.certificate, other.key),
        (pair.certificate, locked),
        (pair.key, pair.certificate),
    ):
        key.chmod(0o600)
        assert _refused(cert, key).startswith("tls_cert_file, tls_key_file: no PEM certificate")
    pair.certificate.chmod(0o644)
    words = _refused(pair.certificate, pair.key, pair.key)
    assert words == f"tls_client_ca_file: {pair.key} holds no PEM certificate"


def test_the_access_file_of_the_readme_is_one(tmp_path: Path) -> None:
    """What a newcomer copies is taken."""
    part = README.read_text("utf-8").split("## Beyond this machine")[1].split("\n## ")[0]
    block = re.search(r"```toml\n(.*?)```", part, re.DOTALL)
    assert block is not None
    path = tmp_path / "access.toml"
    path.write_text(block.group(1))
    path.chmod(0o640)
    found = read_callers(str(path), with_certificates=True)
    assert [each.name for each in found] == ["alpha-1", "alpha-2"]
