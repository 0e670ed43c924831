"""The rules of the house that no linter knows: sizes, names, siblings, imports, and docs that tell of everything."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
import tomllib
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from cogapp import Cog

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "outhaul"
FILE_LINES = 400
FUNCTION_LINES = 60
SHORT_FUNCTION_LINES = 30
LONG_FUNCTIONS = (
    0.05  # the share of functions that may be longer than short, never longer than FUNCTION_LINES
)

# Files that may be longer than FILE_LINES, each with the reason.
LONG_FILES: dict[str, str] = {}

SIBLINGS = ("sources", "formats", "stores", "origins", "engines", "dialects")
BANNED_NAMES = {"manager", "handler", "processor", "helper", "helpers", "entity", "dto", "util", "utils"} | {
    "common",
    "factory",
    "job",
    "misc",
    "task",
}
GLOSSARY = {
    *(
        "Source",
        "Catalog",
        "Resource",
        "Field",
        "Relationship",
        "Segment",
        "Condition",
        "Draft",
        "Selection",
        "Plan",
    ),
    *("Block", "Export", "Part", "Fragment", "Artifact", "Manifest", "Store", "Link", "Ledger", "Lease"),
    *("Attempt", "Engine", "Worker", "Keeper", "Event", "Outbox", "Caller", "Tenant", "Dialect", "Retention"),
}

# Patterns, written so that they do not find themselves.
NEVER_COMMITTED = {
    "a folder beside the clone": r"\.\./sha[r]ed",
    "a path of one machine": r"/wor[k]/(main|shared)\b|/ro[o]t/|/opt/(py[p]i|whe[e]ls)",
    "the address of a package index": (
        r"pyp[i]\.org|python[h]osted|https?://\S+/simpl[e]\b|registry\.np[m]js|--(extra-)?inde[x]-url|--find-link[s]"
    ),
}
HTTP_LIBRARIES = {"fastapi", "starlette", "uvicorn", "sse_starlette"}
SPEAK_HTTP = {"cli", "commands", "app", "demo", "dialects", "console", "sandbox", "client", "service"}
SPEAK_HTTP |= {"sending", "address", "connections"}
BEHIND_THE_SERVICE = {
    *(
        "sources",
        "formats",
        "stores",
        "origins",
        "engines",
        "ledger",
        "pipeline",
        "worker",
        "reconcile",
        "snapshots",
    ),
    *("manifest", "downloads", "webhooks", "blocks"),
}


@cache
def committed() -> tuple[Path, ...]:
    """Every file of the project, those not yet added included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return tuple(sorted({ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()}))


def python_files(*folders: str) -> list[Path]:
    parents = [ROOT / folder for folder in folders]
    return [
        path
        for path in committed()
        if path.suffix == ".py" and any(parent in path.parents for parent in parents)
    ]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length in lines of each function, decorators and docstring not counted."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_docstring = ast.get_docstring(node) is not None
            first = node.body[min(1, len(node.body) - 1)] if has_docstring else node.body[0]
            yield f"{short(path)}:{node.lineno} {node.name}", 1 + (node.end_lineno or 0) - first.lineno + 1


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports: `from a import b` gives `a.b`."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def place(path: Path) -> str:
    """The name directly below `outhaul` that a source file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def known_from(path: Path) -> set[str]:
    """The names directly below `outhaul` that a source file imports from."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("outhaul.")}


def test_no_file_is_longer_than_its_limit() -> None:
    lengths = {
        short(path): len(path.read_text().splitlines())
        for path in python_files("src", "tests", "bench", "docs")
    }
    too_long = {
        name: lines for name, lines in lengths.items() if lines > FILE_LINES and name not in LONG_FILES
    }
    assert not too_long
    assert all(lengths.get(name, 0) > FILE_LINES for name in LONG_FILES), (
        "an exception that is no longer needed"
    )


def test_functions_are_short() -> None:
    lengths = dict(found for path in python_files("src") for found in functions(path))
    assert not {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES}
    long = {name: lines for name, lines in lengths.items() if lines > SHORT_FUNCTION_LINES}
    assert len(long) <= LONG_FUNCTIONS * len(lengths) + 1, f"{len(long)} of {len(lengths)}: {long}"


def test_every_module_says_in_one_sentence_what_it_is() -> None:
    for path in python_files("src", "tests", "bench", "docs"):
        sentence = (ast.get_docstring(tree(path)) or "").partition("\n")[0]
        assert sentence.endswith("."), f"{short(path)} begins with a docstring of one sentence on one line"


def test_files_and_classes_are_named_by_what_they_are() -> None:
    for path in python_files("src", "tests", "bench", "docs"):
        words = set(path.stem.lower().split("_")) | {
            part.lower() for part in path.relative_to(ROOT).parts[:-1]
        }
        assert not words & BANNED_NAMES, short(path)
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                words = {word.lower() for word in re.findall(r"[A-Z]+[a-z]*", node.name)}
                assert not words & BANNED_NAMES, f"{short(path)}: {node.name}"


def test_tests_are_named_as_sentences() -> None:
    for path in python_files("tests"):
        names = [node.name for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
        curt = [name for name in names if name.startswith("test_") and len(name.split("_")) < 4]
        assert not curt, short(path)


def test_a_rule_that_is_switched_off_says_why() -> None:
    directive = re.compile(r"#\s*(noqa(: [A-Z]+\d+(, ?[A-Z]+\d+)*)?|type: ignore(\[[\w, -]+\])?)(?P<why>.*)$")
    for path in python_files("src", "tests", "bench", "docs"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = directive.search(line)
            assert not found or re.search(r"\w{2}", found["why"]), f"{short(path)}:{number} {line.strip()}"


@pytest.mark.parametrize("what", NEVER_COMMITTED)
def test_nothing_of_one_machine_is_committed(what: str) -> None:
    found = []
    for path in committed():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{short(path)}: {hit[0]}" for hit in re.finditer(NEVER_COMMITTED[what], text)]
    assert not found, what


@pytest.mark.parametrize("kind", SIBLINGS)
def test_a_folder_of_siblings_holds_only_siblings(kind: str) -> None:
    folder = PACKAGE / kind
    for path in committed():
        if folder in path.parents:
            inside = path.relative_to(folder).parts
            assert path.suffix == ".py", f"{short(path)} is no sibling"
            assert len(inside) <= (2 if kind == "dialects" else 1), f"{short(path)} lies too deep"


@pytest.mark.parametrize("kind", SIBLINGS)
def test_a_sibling_is_found_by_its_name_and_imported_by_nobody(kind: str) -> None:
    for path in python_files("src"):
        own = path.relative_to(PACKAGE).parts[1].removesuffix(".py") if place(path) == kind else None
        for name in imports(path):
            if name.startswith(f"outhaul.{kind}."):
                sibling = name.split(".")[2]
                is_module = (PACKAGE / kind / sibling).is_dir() or (PACKAGE / kind / f"{sibling}.py").exists()
                private = sibling.startswith("_") and own is not None
                assert not is_module or private or sibling == own, f"{short(path)} imports {name}"


def test_nothing_below_the_service_knows_http() -> None:
    for path in python_files("src"):
        libraries = {name.split(".")[0] for name in imports(path)} & HTTP_LIBRARIES
        assert not libraries or place(path) in SPEAK_HTTP, f"{short(path)} imports {libraries}"


def test_a_dialect_knows_the_service_and_nothing_behind_it() -> None:
    for path in python_files("src"):
        if place(path) in {"dialects", "console"}:
            assert not known_from(path) & BEHIND_THE_SERVICE, short(path)


def test_only_the_command_line_and_the_app_read_the_configuration() -> None:
    readers = {place(path) for path in python_files("src") if "config" in known_from(path)}
    assert readers <= {"cli", "commands", "app"}


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    heading = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading
    assert heading[1] == version


def commands() -> set[str]:
    """`outhaul token create` and all other commands, hidden ones left out."""
    import typer

    module = importlib.import_module("outhaul.cli")
    app = next(value for value in vars(module).values() if isinstance(value, typer.Typer))

    def walk(command: Any, name: str) -> Iterator[str]:
        children: dict[str, Any] = getattr(command, "commands", {})
        if not children and not command.hidden:
            yield name
        for child, below in children.items():
            yield from walk(below, f"{name} {child}")

    return set(walk(typer.main.get_command(app), "outhaul"))


def settings() -> set[str]:
    found = importlib.import_module("outhaul.config").Settings
    return set(getattr(found, "model_fields", None) or {field.name for field in dataclasses.fields(found)})


def errors() -> set[str]:
    module = importlib.import_module("outhaul.errors")
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }


def statuses() -> set[str]:
    status = importlib.import_module("outhaul.export").Status
    return {member.value for member in status} if isinstance(status, type(Enum)) else set(get_args(status))


# Where the reference tells of what, and what it must tell of.
TOLD = {
    "reference/commands.md": commands,
    "reference/settings.md": settings,
    "reference/errors.md": errors,
    "reference/statuses.md": statuses,
    "glossary.md": lambda: GLOSSARY,
}


@pytest.mark.parametrize("page", TOLD)
def test_the_reference_tells_of_everything(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    names = TOLD[page]()
    assert names
    assert not {name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)}


def test_the_reference_says_what_the_code_says() -> None:
    pages = sorted(str(page) for page in (ROOT / "docs" / "reference").glob("*.md"))
    assert Cog().main(["cog", "--check", "--verbosity=0", *pages]) == 0, "`make reference` puts it right"


@pytest.mark.parametrize("page", ["commands", "settings", "errors", "catalog-file"])
def test_nothing_in_the_reference_is_left_unsaid(page: str) -> None:
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text()
    # A default may be none, and some errors no dialect has; what a thing is stands last, or of errors behind the name.
    unsaid = r"^\| `[^`]+` \| +\|" if page == "errors" else r"\| +\|$"
    assert not [row for row in re.findall(r"^\| `.*", text, re.MULTILINE) if re.search(unsaid, row)]


def test_every_table_of_the_catalog_file_is_told_of() -> None:
    written = importlib.import_module("outhaul.written")
    text = (ROOT / "docs" / "reference" / "catalog-file.md").read_text()
    assert not {model.__name__ for model in written._Written.__subclasses__() if model.__name__ not in text}


def test_every_page_is_found_from_the_index_of_its_folder() -> None:
    for index in (ROOT / "docs").rglob("index.md"):
        pages = {page.name for page in committed() if page.parent == index.parent and page.suffix == ".md"}
        missing = {name for name in pages - {"index.md"} if f"({name}" not in index.read_text()}
        assert not missing, short(index)
