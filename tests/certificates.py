"""Certificates of the tests' own, made anew by openssl: nothing here expires in a repository."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """A CA in a folder, and what it signs."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        """Skips the test where openssl is not installed."""
        if shutil.which("openssl") is None:
            pytest.skip("openssl makes the certificates of this test and is not installed")
        self._folder = folder
        self._key = folder / f"{name}.key"
        self.certificate = folder / f"{name}.pem"
        self._openssl(
            *("req", "-x509", *_CURVE, "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "keyUsage=critical,keyCertSign"),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def pair(self, name: str, *alternatives: str) -> Pair:
        """A certificate for the common name; alternatives: DNS:localhost, IP:127.0.0.1."""
        made = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extras = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        self._openssl("req", *_CURVE, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        names = f"subjectAltName={','.join(alternatives)}\n" if alternatives else ""
        extras.write_text("basicConstraints=CA:FALSE\n" + names)
        self._openssl(
            *("x509", "-req", "-in", request, "-days", "2", "-extfile", extras),
            *("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *("-out", made.certificate),
        )
        made.key.chmod(0o600)
        return made

    def lock(self, key: Path, locked: Path) -> None:
        """Writes the key once more, behind a password."""
        self._openssl("pkcs8", "-topk8", "-in", key, "-out", locked, "-passout", "pass:secret")

    def _openssl(self, *words: str | Path) -> None:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def server_pair(authority: Authority, name: str = "server") -> Pair:
    """A server's certificate for this machine's loopback names."""
    return authority.pair(name, "DNS:localhost", "IP:127.0.0.1")


def tls_flags(pair: Pair, client_ca: Path | None = None) -> list[str]:
    """The flags of `trimtab serve` for it."""
    flags = ["--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key)]
    return flags + (["--tls-client-ca-file", str(client_ca)] if client_ca else [])
