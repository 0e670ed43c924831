"""Commerce Layer's own clients, unchanged, beside a sandbox that their fixed hosts lead to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import sandboxes
from tests.sandboxes import Sandbox

CLIENTS = Path(__file__).parents[2] / ".clients"


@pytest.fixture(scope="session")
def clients() -> Path:
    """Where they are installed, with a Node."""
    assert (CLIENTS / ".ready").exists(), "`make test` installs them; alone: make .clients/.ready"
    return CLIENTS


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A small shop: 60 skus, 600 line items for 2 seconds."""
    home = tmp_path_factory.mktemp("sandbox")
    with sandboxes.started(home, "--scale", "0.1", "--rows-per-second", "300") as found:
        yield found
