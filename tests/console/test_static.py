"""The files of others that pages load: as they were published, with licence, and in the package that is installed."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

from outhaul.console import pages

FOLDER = files("outhaul.console") / "static"
OURS = {"console.css", "console.js", "icon.svg"}


def parts() -> set[str]:
    """The files that others are joined of."""
    return {one for of in pages.JOINED.values() for one in of}


def test_the_files_of_others_are_those_that_the_notice_names() -> None:
    notice = FOLDER.joinpath("NOTICE").read_text()
    named = dict(re.findall(r"^(\S+) +sha256:([0-9a-f]{64})$", notice, re.MULTILINE))
    assert {*named, *pages.JOINED} == {*pages.STATIC, *parts()} - OURS
    for name, digest in named.items():
        assert hashlib.sha256(FOLDER.joinpath(name).read_bytes()).hexdigest() == digest, name
    assert "MIT License" in notice
    assert "Zero-Clause BSD" in notice


def test_nothing_lies_there_that_no_page_asks_for() -> None:
    there = {one.name for one in FOLDER.iterdir()}
    assert there == {*pages.STATIC, *parts(), "NOTICE"} - set(pages.JOINED)


def test_joined_files_are_whole_and_in_order() -> None:
    for name, of in pages.JOINED.items():
        assert pages.static(name) == b"\n".join(FOLDER.joinpath(one).read_bytes() for one in of)


def test_style_sheets_and_scripts_load_nothing_from_elsewhere() -> None:
    for name in pages.STATIC:
        text = pages.static(name).decode()
        assert not re.search(r"@import|url\((?![\"']?data:)|sourceMappingURL", text), name
