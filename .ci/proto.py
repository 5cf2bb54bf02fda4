"""Everything that is done to the contract: `proto.py <command> ...`, commands run in order.

format    buf format, in place
lint      buf lint
generate  the Python code, into generated/python (or into the folder given by --into)
check     format, lint, breaking changes, generated code: changes nothing, exits 1 with reasons
release   takes the present contract as the released one; proto/CHANGELOG.md must say what changed
"""

from __future__ import annotations

import argparse
import datetime
import filecmp
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GENERATED = ROOT / "generated" / "python"
IMAGE = PROTO / "released" / "trimtab.v1.binpb"
CHANGELOG = PROTO / "CHANGELOG.md"
TOOLS = ROOT / ".tools" / "proto"
REQUIREMENTS = ROOT / ".ci" / "proto.requirements.txt"
UNRELEASED = "## Unreleased"
BIN = Path(sys.executable).parent


def run(*command: object, cwd: Path = ROOT) -> None:
    """Runs a command; a failure ends the program with its exit code's meaning: not in order."""
    if subprocess.run([str(part) for part in command], cwd=cwd, check=False).returncode:
        sys.exit(f"failed: {' '.join(str(part) for part in command)}")


def buf(*arguments: object) -> None:
    """Runs buf; it needs no network, as the contract has no dependencies."""
    run(BIN / "buf", *arguments)


def generator() -> Path:
    """The generator's own environment, made or renewed when its requirements changed."""
    stamp = TOOLS / ".requirements"
    python = TOOLS / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        run(BIN / "uv", "venv", "--quiet", "--clear", "--python", sys.executable, TOOLS)
        run(BIN / "uv", "pip", "install", "--quiet", "--python", python, "-r", REQUIREMENTS)
        shutil.copyfile(REQUIREMENTS, stamp)
    return python


def generate(into: Path = GENERATED) -> None:
    """Writes the code of every .proto file; code of files that are gone goes too."""
    python = generator()
    with tempfile.TemporaryDirectory() as folder:
        run(
            *(python, "-W", "ignore", "-m", "grpc_tools.protoc", "-I", PROTO),
            *(f"--{plugin}_out={folder}" for plugin in ("python", "pyi", "grpc_python")),
            f"--mypy_grpc_out=quiet:{folder}",
            f"--plugin=protoc-gen-mypy_grpc={TOOLS / 'bin' / 'protoc-gen-mypy_grpc'}",
            *sorted(PROTO.glob("trimtab/v1/*.proto")),
        )
        fresh = {path.relative_to(folder): path for path in sorted(Path(folder).rglob("*_pb2*"))}
        for name, path in fresh.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, into / name)
    for old in generated_code(into):
        if old.relative_to(into) not in fresh:
            old.unlink()


def generated_code(folder: Path) -> list[Path]:
    """The files below a folder that protoc and its plugins write."""
    return sorted(path for path in folder.rglob("*_pb2*") if path.suffix in {".py", ".pyi"})


def generated_differences() -> list[str]:
    """The paths under generated/python that a new generation would add, change or remove."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        names = {
            str(path.relative_to(base))
            for base in (fresh, GENERATED)
            for path in generated_code(base)
        }
        _, different, missing = filecmp.cmpfiles(fresh, GENERATED, sorted(names), shallow=False)
    return sorted([*different, *missing])


def breaks(against: Path) -> bool:
    """Whether the present contract breaks users of that image; buf prints how."""
    command: list[str | Path] = [BIN / "buf", "breaking", PROTO, "--against", against]
    return subprocess.run(command, cwd=ROOT, check=False).returncode != 0


def check() -> None:
    """Holds the contract and its code against the rules; exits 1 when one is broken."""
    buf("format", "--diff", "--exit-code", PROTO)
    buf("lint", PROTO)
    if breaks(IMAGE):
        sys.exit(
            "The contract breaks the released image. Undo that, or, before the first release tag: "
            "say what breaks and why in proto/CHANGELOG.md and run `make proto-release`."
        )
    if differences := generated_differences():
        sys.exit(f"generated/python is not up to date, run `make proto`: {', '.join(differences)}")


def unreleased(changelog: str) -> str:
    """The text of the changelog's Unreleased section; empty when it has none."""
    _, found, rest = changelog.partition(UNRELEASED + "\n")
    return rest.split("\n## ", 1)[0].strip() if found else ""


def release_refusal(notes: str, *, breaking: bool, tagged: bool) -> str:
    """Why this contract may not become the released one; empty when it may."""
    if not any(line.startswith("- ") for line in notes.splitlines()):
        return f"proto/CHANGELOG.md has no entry below '{UNRELEASED}': say what changed first."
    if breaking and tagged:
        return "A release is tagged: the contract may not break any more. Add, and deprecate."
    if breaking and not any(line.startswith("- Breaking: ") for line in notes.splitlines()):
        return "This breaks users: the changelog needs a line '- Breaking: <what and why>'."
    return ""


def release() -> None:
    """Replaces the released image and dates the changelog's entry, which names the new digest."""
    buf("lint", PROTO)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / IMAGE.name
        buf("build", PROTO, "--exclude-source-info", "--output", image)
        content = image.read_bytes()
    if IMAGE.exists() and IMAGE.read_bytes() == content:
        print("The released image is this contract already.")
        return
    tags = subprocess.run(
        ["git", "tag", "--list", "v*"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    changelog = CHANGELOG.read_text()
    refusal = release_refusal(
        unreleased(changelog), breaking=IMAGE.exists() and breaks(IMAGE), tagged=bool(tags.strip())
    )
    if refusal:
        sys.exit(refusal)
    IMAGE.parent.mkdir(exist_ok=True)
    IMAGE.write_bytes(content)
    today = datetime.datetime.now(tz=datetime.UTC).date()
    heading = f"## {today} image {hashlib.sha256(content).hexdigest()[:16]}\n"
    CHANGELOG.write_text(changelog.replace(UNRELEASED + "\n", f"{UNRELEASED}\n\n{heading}", 1))
    print(f"Released: {heading.strip()}")


def main() -> None:
    """Runs the commands in the order given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "commands", nargs="+", choices=["format", "lint", "generate", "check", "release"]
    )
    parser.add_argument("--into", type=Path, default=GENERATED, help="where `generate` writes")
    options = parser.parse_args()
    actions = {
        "format": lambda: buf("format", "--write", PROTO),
        "lint": lambda: buf("lint", PROTO),
        "generate": lambda: generate(options.into),
        "check": check,
        "release": release,
    }
    for command in options.commands:
        actions[command]()


if __name__ == "__main__":
    main()
