"""The documentation as it is built: without a warning, and with nothing from elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from docs import calls
from outhaul import dialects, siblings, written
from tests.pages import DOCS, ROOT, blocks

WITH_TOML = sorted(page for page in DOCS.rglob("*.md") if "```toml" in page.read_text())
BUILT = ROOT / "build" / "docs"
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)\"|<link\b(?=[^>]*stylesheet)[^>]*\bhref=\"([^\"]+)\""
)


@pytest.mark.heavy
def test_the_documentation_is_built_without_a_warning_and_loads_nothing_from_elsewhere() -> None:
    made = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    written = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    assert not {str(page) for page in written if not (BUILT / page).exists()}
    for page in BUILT.rglob("*.html"):
        loaded = [script or style for script, style in LOADED.findall(page.read_text())]
        assert loaded
        assert not [url for url in loaded if urlsplit(url).netloc], page.name


@pytest.mark.parametrize("page", WITH_TOML, ids=lambda page: page.stem)
def test_catalog_files_that_pages_show_are_well_shaped(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.kind == "toml":
            file = tmp_path / "catalog.toml"
            file.write_text(block.text)
            read = written.read(file, siblings.names(dialects))
            assert read.written.resources or read.sections


def test_the_calls_of_each_dialect_have_a_page(tmp_path: Path) -> None:
    calls.main(tmp_path)
    for name in dialects.described():
        text = (tmp_path / f"{name}.md").read_text()
        assert json.loads((tmp_path / f"{name}.json").read_text()) == dialects.document(name)
        for path, item in dialects.document(name)["paths"].items():
            assert all(f"## {method.upper()} {path}\n" in text for method in item if method != "head")
