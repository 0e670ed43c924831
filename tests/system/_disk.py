"""A small file system of a test's own, which fills."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Disk:
    """A small file system of our own, as only root can make it; elsewhere a folder with a limit on file sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.mounted = os.geteuid() == 0 and self._mount("size=2m")

    def _mount(self, options: str) -> bool:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=False, capture_output=True
        )
        return done.returncode == 0

    def change(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True, capture_output=True)

    def remove(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", self.folder], check=False, capture_output=True)
