"""The rules of the house, held by the syntax tree of every file.

`violations(path, source)` names each rule that a file breaks; the tests run it over the repository
and, with doctored files, over itself: a rule that cannot fail holds nothing.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOP_LEVEL = {
    *("Makefile", "README.md", "clients", "constraints.txt", "deploy", "generated", "proto"),
    *("pyproject.toml", "server", "tests"),
}
LINES_MAX = 400
FUNCTION_LINES_MAX = 70
BANNED_NAMES = {"utils", "helpers", "manager", "engine", "common", "core"}

SERVER, CLIENT, CONTRACT = "trimtab_server", "trimtab_client", "trimtab"
# What a layer of the server may import of ours, and what it may never import.
_SQL = {"sqlmodel", "sqlalchemy", "alembic", "psycopg", "sqlite3"}
_MAY_IMPORT: dict[str, set[str]] = {
    "domain": {"domain"},
    "store": {"store", "domain", "errors"},
    "loop": {"loop", "store", "domain", "errors", "telemetry"},
    "reports": {"store", "domain", "errors"},
    "report_jobs": {"store", "domain", "errors"},
    "maintenance": {"store", "domain", "errors"},
    "rpc": {"rpc", "loop", "reports", "domain", "errors", "telemetry", CONTRACT},
    "cli": {"cli", "demo", "domain", "settings", CLIENT},
    "demo": {"demo", "domain", CLIENT},
    "settings": {"settings_gate", "settings_reports", "settings_shadow"},
    "settings_gate": {"settings_breakers"},
    "settings_breakers": set(),
    "settings_reports": {"settings_breakers"},
    "settings_shadow": {"settings_breakers"},
    "gate_policy": {"settings_gate", "settings_breakers", "domain"},
    "credentials": {"domain", "errors"},
    "host": {"errors"},
    "errors": {"domain"},
    "telemetry": {"domain"},
    "exporters": {"telemetry"},
    "__main__": {"cli"},
    "": set(),
}
_NEVER_IMPORT: dict[str, set[str]] = {
    "domain": {"grpc", "google", "opentelemetry", "asyncio", "tenacity", *_SQL},
    "store": {"grpc", "google", "asyncio"},
    "loop": {"grpc", "google", *_SQL},
    "reports": {"grpc", "google", *_SQL},
    "report_jobs": {"grpc", "google", "asyncio", *_SQL},
    "maintenance": {"grpc", "google", *_SQL},
    "credentials": {"grpc", "google", *_SQL},
    "rpc": {"sklearn", *_SQL},
}
_CLIENT_MAY_IMPORT = {CLIENT, CONTRACT, "grpc", "google", "opentelemetry"}
# They build the parts and join them, and may import all of them.
_BUILDERS = {"app", "gating", "learning"}
# The only files of a layer that may import another one: `trimtab serve` starts the app and says
# what is wrong with its configuration; maintenance works on a database that nobody need serve.
_DOORS = {
    *(("cli/serve.py", "app"), ("cli/serve.py", "errors")),
    *(("cli/maintenance.py", "app"), ("cli/maintenance.py", "errors")),
}

_CLOCK_AND_CHANCE = re.compile(
    r"(time\.(time|monotonic|perf_counter|process_time|thread_time)(_ns)?|time\.clock_gettime(_ns)?"
    r"|datetime\.datetime\.(now|utcnow|today)|datetime\.date\.today"
    r"|random\.(?!Random$)\w+|secrets\.\w+|os\.(urandom|getrandom)|uuid\.uuid[1467]"
    r"|numpy\.random\.(?!(Generator|BitGenerator|SeedSequence|PCG64|PCG64DXSM|Philox|default_rng)$)\w+"
    r"|asyncio\.get_(running|event)_loop\(\)\.time)"
)
_SEEDED = {"random.Random", "numpy.random.default_rng", "numpy.random.SeedSequence"}
# (file, name): why it may read the clock or chance outside of app.py.
_CLOCK_EXCEPTIONS: dict[tuple[str, str], str] = {
    ("cli/token.py", "secrets.token_urlsafe"): "a token is chance; it is made for an operator, and"
    " nothing that a sidecar does depends on it",
}

_QUEUES = {"Queue", "LifoQueue", "PriorityQueue", "JoinableQueue", "SimpleQueue"}
_UNFINISHED = re.compile(
    r"\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b"
)  # written so that it does not find itself


def layer_of(module_path: str) -> str:
    """The layer of a path below trimtab_server: its folder, or its name without .py."""
    first = module_path.split("/", maxsplit=1)[0].removesuffix(".py")
    return "" if first == "__init__" else first


def dotted_names(tree: ast.AST) -> dict[str, str]:
    """What each imported name of a file stands for, for example np -> numpy."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """The full name that an expression stands for, or an empty string."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, names)
        return f"{base}.{node.attr}" if base else ""
    if isinstance(node, ast.Call):
        base = dotted(node.func, names)
        return f"{base}()" if base else ""
    return ""


def imported_modules(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, wherever it stands, by string too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name in {"import_module", "__import__"}:
                yield node.lineno, str(node.args[0].value)


def import_violations(path: str, tree: ast.AST) -> Iterator[str]:
    """Imports that the table of layers does not allow."""
    package = ".".join(Path(path).with_suffix("").parts[:-1])
    for marker in ("server.", "clients.python."):
        package = package.removeprefix(marker)
    inside = path.removeprefix(f"server/{SERVER}/")
    layer = layer_of(inside)
    for line, module in imported_modules(tree, package):
        top, _, rest = module.partition(".")
        if path.startswith("clients/"):
            if top not in _CLIENT_MAY_IMPORT and top not in sys.stdlib_module_names:
                yield f"{path}:{line}: import: the client may not import {module}"
            continue
        if layer in _BUILDERS:
            continue
        if top in _NEVER_IMPORT.get(layer, set()):
            yield f"{path}:{line}: import: {layer} may never import {top}"
        target = rest.split(".")[0] if top == SERVER else top
        ours = top in {SERVER, CLIENT, CONTRACT} and target not in {"", "__version__"}
        if ours and target not in _MAY_IMPORT.get(layer, set()) and (inside, target) not in _DOORS:
            yield f"{path}:{line}: import: {layer or 'the package'} may not import {target}"


def clock_violations(path: str, tree: ast.AST) -> Iterator[str]:
    """Reads of the clock or of chance outside of app.py, called or passed on."""
    names = dotted_names(tree)
    inside = path.removeprefix(f"server/{SERVER}/")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node, names)
            if _CLOCK_AND_CHANCE.fullmatch(name) and (inside, name) not in _CLOCK_EXCEPTIONS:
                yield f"{path}:{node.lineno}: clock: {name} is read outside of app.py"
        elif isinstance(node, ast.Call) and not [*node.args, *node.keywords]:
            yield from (
                f"{path}:{node.lineno}: clock: {name} without a seed"
                for name in _SEEDED & {dotted(node.func, names)}
            )


def _maximum(call: ast.Call, keyword: str, position: int) -> ast.expr | None:
    for given in call.keywords:
        if given.arg == keyword:
            return given.value
    return call.args[position] if len(call.args) > position else None


def queue_violations(path: str, tree: ast.AST, lines: list[str]) -> Iterator[str]:
    """Queues without a maximum size, and unbounded deques without a reason."""
    names = dotted_names(tree)
    for node in ast.walk(tree):
        factory = node.value if isinstance(node, ast.keyword) else None
        if factory and dotted(factory, names) == "collections.deque":
            yield f"{path}:{factory.lineno}: queue: a deque without maxlen"
        if not isinstance(node, ast.Call):
            continue
        func = node.func
        last = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
        last = names.get(last, last).rsplit(".", maxsplit=1)[-1]
        if last in _QUEUES:
            size = _maximum(node, "maxsize", 0)
            endless = isinstance(size, ast.UnaryOp) or (
                isinstance(size, ast.Constant) and not size.value
            )
            if last == "SimpleQueue" or size is None or endless:
                yield f"{path}:{node.lineno}: queue: {last} without a maximum size"
        elif last == "deque":
            size = _maximum(node, "maxlen", 1)
            reason = any("# bounded:" in line for line in lines[node.lineno - 1 : node.end_lineno])
            if (size is None or (isinstance(size, ast.Constant) and not size.value)) and not reason:
                yield f"{path}:{node.lineno}: queue: a deque without maxlen"


def size_violations(path: str, tree: ast.AST, lines: list[str]) -> Iterator[str]:
    """Files and functions that are too long to read."""
    if len(lines) > LINES_MAX:
        yield f"{path}:1: size: {len(lines)} lines, more than {LINES_MAX}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{path}:{node.lineno}: size: {node.name} has {length} lines"


def name_violations(path: str) -> Iterator[str]:
    """Modules and packages whose name says nothing."""
    for part in Path(path).with_suffix("").parts:
        if part in BANNED_NAMES:
            yield f"{path}:1: name: '{part}' says nothing about what is inside"


def violations(path: str, source: str) -> list[str]:
    """Every rule that a file breaks, as `path:line: rule: what`."""
    lines = source.splitlines()
    found = [
        f"{path}:{number}: unfinished: {line.strip()[:60]}"
        for number, line in enumerate(lines, 1)
        if _UNFINISHED.search(line)
    ]
    found += name_violations(path)
    if not path.endswith(".py"):
        return found
    tree = ast.parse(source)
    found += size_violations(path, tree, lines)
    if path.startswith(("server/", "clients/")):
        found += import_violations(path, tree)
        found += queue_violations(path, tree, lines)
    if path.startswith(f"server/{SERVER}/") and path != f"server/{SERVER}/app.py":
        found += clock_violations(path, tree)
    return found


def repository_files() -> list[str]:
    """What is committed or about to be: tracked files and new ones that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [path for path in listed if (ROOT / path).is_file()]


TEXT = (".py", ".proto", ".toml", ".yaml", ".yml", ".md", ".service", ".txt", ".csv", ".json")
FILES = [
    path
    for path in repository_files()
    if not path.startswith("generated/") and (path.endswith(TEXT) or path == "Makefile")
]


def test_every_file_keeps_the_rules_of_the_house() -> None:
    """Import table, clock, queues, sizes, names, nothing unfinished: over every file at once."""
    assert len(FILES) > 20
    found = [each for path in FILES for each in violations(path, (ROOT / path).read_text("utf-8"))]
    assert not found, "\n" + "\n".join(found)


def test_top_level_holds_only_what_the_house_names() -> None:
    """A new folder at the top is a decision, not an accident."""
    found = {path.split("/")[0] for path in repository_files()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL


def test_serving_path_loads_no_heavy_library() -> None:
    """Fits and heavy reports run in worker processes: the RPC process starts in under a second."""
    heavy = ("sklearn", "scipy", "pandas", "arch", "pyarrow", "skfolio")
    code = f"import sys, trimtab_server.app; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip() == "[]"


S = f"server/{SERVER}/"
_long: Callable[[int], str] = lambda count: "x = 1\n" * count  # noqa: E731 - two uses below
DOCTORED = [
    ("import", S + "domain/a.py", "import grpc"),
    ("import", S + "domain/a.py", "import asyncio.events as e"),
    ("import", S + "domain/a.py", "from trimtab_server.store import events"),
    ("import", S + "domain/a.py", "from ..store import events"),
    ("import", S + "domain/a.py", "from .. import store"),
    ("import", S + "domain/a.py", "def f():\n    from trimtab.v1 import event_pb2"),
    ("import", S + "domain/a.py", "import importlib\nimportlib.import_module('sqlalchemy.orm')"),
    ("import", S + "store/a.py", "from trimtab_server import loop"),
    ("import", S + "store/a.py", "import asyncio"),
    ("import", S + "loop/a.py", "from sqlmodel import Session"),
    ("import", S + "loop/a.py", "from trimtab_server.rpc import convert"),
    ("import", S + "reports.py", "from trimtab_server.loop import ingest"),
    ("import", S + "rpc/a.py", "import trimtab_server.store.events"),
    ("import", S + "rpc/a.py", "import sklearn"),
    ("import", S + "rpc/a.py", "import trimtab_client"),
    ("import", S + "cli/a.py", "from trimtab_server.app import serve"),
    ("import", S + "demo/a.py", "from trimtab_server.loop import ingest"),
    ("import", S + "settings.py", "from trimtab_server.domain import events"),
    ("import", S + "loop/a.py", "from trimtab_server.settings import Settings"),
    ("import", S + "newcomer/a.py", "from trimtab_server.domain import events"),
    ("import", "clients/python/trimtab_client/a.py", "import trimtab_server"),
    ("import", "clients/python/trimtab_client/a.py", "import numpy"),
    ("clock", S + "domain/a.py", "import time\ntime.time_ns()"),
    ("clock", S + "domain/a.py", "from time import monotonic as m\nf(m)"),
    ("clock", S + "rpc/a.py", "import datetime as d\nd.datetime.now(tz=d.UTC)"),
    ("clock", S + "cli/a.py", "from datetime import datetime\ndatetime.now()"),
    ("clock", S + "loop/a.py", "import asyncio\nasyncio.get_running_loop().time()"),
    ("clock", S + "domain/a.py", "import numpy as np\nnp.random.normal()"),
    ("clock", S + "domain/a.py", "import numpy as np\nnp.random.default_rng()"),
    ("clock", S + "domain/a.py", "import random\nrandom.shuffle(x)"),
    ("clock", S + "store/a.py", "from uuid import uuid4\nuuid4()"),
    ("clock", S + "store/a.py", "import os\nos.urandom(8)"),
    ("clock", S + "store/a.py", "import secrets\nsecrets.token_hex()"),
    ("queue", S + "loop/a.py", "import asyncio\nasyncio.Queue()"),
    ("queue", S + "loop/a.py", "import asyncio\nasyncio.Queue(maxsize=0)"),
    ("queue", S + "loop/a.py", "from queue import Queue as Q\nQ(-1)"),
    ("queue", S + "loop/a.py", "import queue\nqueue.SimpleQueue()"),
    ("queue", S + "loop/a.py", "context.Queue()"),
    ("queue", S + "loop/a.py", "from collections import deque\ndeque()"),
    ("queue", S + "loop/a.py", "from collections import deque\ndeque(x, maxlen=None)"),
    ("queue", S + "a.py", "from collections import deque\nx = field(default_factory=deque)"),
    ("size", "tests/a.py", _long(LINES_MAX + 1)),
    ("size", S + "domain/a.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
    ("name", S + "loop/utils.py", ""),
    ("name", "tests/core/a.py", ""),
    ("unfinished", "deploy/a.yaml", f"# {'T'}ODO later"),
]
ALLOWED = [
    (
        S + "app.py",
        "import time\nimport grpc\nfrom trimtab_server.store import Store\ntime.time_ns()",
    ),
    (
        S + "cli/serve.py",
        "from trimtab_server.app import serve\nfrom trimtab_server import settings",
    ),
    (S + "cli/a.py", "import trimtab_client\nfrom trimtab_server import __version__"),
    (S + "rpc/a.py", "from trimtab.v1 import event_pb2\nfrom . import convert\nimport grpc"),
    (
        S + "domain/a.py",
        "import numpy as np\nnp.random.default_rng(7)\ndef f(r: np.random.Generator): r",
    ),
    (S + "domain/a.py", "import random\nrandom.Random(7).random()\nfrom datetime import datetime"),
    (S + "domain/a.py", "def f(now_ns, time):\n    return time.time() + now_ns"),
    (
        S + "loop/a.py",
        "import asyncio, collections\nasyncio.Queue(limit)\ncollections.deque((), 5)",
    ),
    (S + "loop/a.py", "from collections import deque\nq = deque()  # bounded: by the window"),
    (S + "domain/a.py", "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)),
    ("tests/a.py", _long(LINES_MAX)),
    (
        "clients/python/trimtab_client/a.py",
        "import time\nimport grpc\nfrom trimtab.v1 import x\ntime.time()",
    ),
]


@pytest.mark.parametrize(("rule", "path", "source"), DOCTORED)
def test_a_doctored_file_is_caught(rule: str, path: str, source: str) -> None:
    """Each rule fails on a file that breaks it, and names that rule."""
    assert any(f": {rule}: " in each for each in violations(path, source))


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_an_orderly_file_passes(path: str, source: str) -> None:
    """The rules do not cry wolf."""
    assert violations(path, source) == []


def test_every_exception_is_used_and_has_its_reason() -> None:
    """An exception that nothing needs any more goes."""
    for (inside, name), reason in _CLOCK_EXCEPTIONS.items():
        assert len(reason) > 20
        assert name.rsplit(".", maxsplit=1)[-1] in (ROOT / S / inside).read_text("utf-8")
