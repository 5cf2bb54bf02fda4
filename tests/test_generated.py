"""The generated code follows the contract, and the changelog names the released image."""

import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def proto() -> ModuleType:
    """The script behind `make proto` and the contract checks."""
    spec = importlib.util.spec_from_file_location("proto_script", ROOT / ".ci" / "proto.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files_below(folder: Path) -> set[str]:
    """Paths of the files that git has or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return {path for path in listed if (folder / path).is_file()}


def test_generating_again_gives_the_committed_files(proto: ModuleType, tmp_path: Path) -> None:
    """Byte for byte, and nothing stands beside them but the manifests."""
    proto.generate(tmp_path)
    fresh = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    committed = ROOT / "generated" / "python"
    for name in sorted(fresh):
        assert (committed / name).read_bytes() == (tmp_path / name).read_bytes(), name
    assert files_below(committed) == fresh | {"pyproject.toml", "trimtab/v1/py.typed"}
    assert {path.split("/")[0] for path in files_below(ROOT / "generated")} == {"python"}


def test_every_proto_file_has_its_code(proto: ModuleType) -> None:
    """Nothing of the contract is left out of the generation."""
    sources = {path.stem for path in (ROOT / "proto" / "trimtab" / "v1").glob("*.proto")}
    generated = {path.stem for path in proto.generated_code(ROOT / "generated" / "python")}
    assert generated == {f"{name}_pb2{part}" for name in sources for part in ("", "_grpc")}


def test_stale_missing_and_changed_code_is_noticed(
    proto: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check names the file that differs, the one that is gone and the one too many."""
    proto.generate(tmp_path)
    monkeypatch.setattr(proto, "GENERATED", tmp_path)
    assert proto.generated_differences() == []
    code = tmp_path / "trimtab" / "v1"
    (code / "event_pb2.py").write_text("# edited by hand\n")
    (code / "error_pb2.pyi").unlink()
    (code / "gone_pb2.py").write_text("")
    assert proto.generated_differences() == [
        f"trimtab/v1/{name}" for name in ("error_pb2.pyi", "event_pb2.py", "gone_pb2.py")
    ]
    proto.generate(tmp_path)
    assert not (code / "gone_pb2.py").exists()


def test_changelog_names_the_released_image(proto: ModuleType) -> None:
    """The newest dated heading holds the digest of the image that the check compares with."""
    headings = re.findall(r"^## \S+ image (\w+)$", proto.CHANGELOG.read_text(), re.MULTILINE)
    assert headings[0] == hashlib.sha256(proto.IMAGE.read_bytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("notes", "breaking", "tagged", "refused"),
    [
        ("", False, False, "no entry"),
        ("- A new field.", False, False, ""),
        ("- A new field.", True, False, "Breaking: "),
        ("- Breaking: renamed x, because y.", True, False, ""),
        ("- Breaking: renamed x, because y.", True, True, "tagged"),
        ("- A new field.", False, True, ""),
    ],
)
def test_release_needs_its_words(
    proto: ModuleType, notes: str, breaking: bool, tagged: bool, refused: str
) -> None:
    """A new image needs an entry; a breaking one says so, and only before the first release tag."""
    answer = proto.release_refusal(notes, breaking=breaking, tagged=tagged)
    assert refused in answer
    assert bool(answer) == bool(refused)


@pytest.mark.parametrize(
    ("before", "after", "breaking"),
    [
        ("string order_id = 8;", "string order_id = 8;", False),
        ("string order_id = 8;", "string order_key = 8;", True),
        ("string order_id = 8;", "int64 order_id = 8;", True),
        ("EVENT_KIND_SIGNAL = 1;", "EVENT_KIND_SIGNALS = 1;", True),
        ("string order_id = 8;", "string order_id = 8;\n  string new_field = 99;", False),
    ],
)
def test_breaking_changes_are_noticed(
    proto: ModuleType, tmp_path: Path, before: str, after: str, breaking: bool
) -> None:
    """A rename or another type breaks users; a new field does not."""
    buf = Path(sys.executable).parent / "buf"
    image = tmp_path / "image.binpb"
    subprocess.run([buf, "build", proto.PROTO, "--output", image], check=True)
    for source in proto.PROTO.rglob("*.[py]*"):
        if source.suffix in {".proto", ".yaml"}:
            target = tmp_path / "proto" / source.relative_to(proto.PROTO)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text().replace(before, after))
    changed = subprocess.run(
        [buf, "breaking", tmp_path / "proto", "--against", image],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (changed.returncode != 0) == breaking, changed.stdout + changed.stderr
