"""What lies in a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path


def tree(folder: Path) -> dict[str, str]:
    """Every entry below a folder: where links lead, and a hash of what files hold."""
    found = {}
    for entry in sorted(folder.rglob("*")):
        name = str(entry.relative_to(folder))
        if entry.is_symlink():
            found[name] = f"link to {entry.readlink()}"
        elif entry.is_dir():
            found[name] = "folder"
        else:
            found[name] = hashlib.sha256(entry.read_bytes()).hexdigest()
    return found
