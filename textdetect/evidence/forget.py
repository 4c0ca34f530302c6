"""The end of a bundle: its files, its folder and its key go; nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

from textdetect.evidence.bundle import MANIFEST, read_facts


def forget(bundle: str | os.PathLike[str], *, key_only: bool = False) -> list[str]:
    """Delete a bundle and the key beside it, or the key alone, which makes pseudonyms final.

    Only what the manifest lists is deleted; the folder stays if something else is in it. Copies,
    backups and what a disk keeps of deleted files are beyond its reach.

    Returns:
        The paths that were deleted.

    Raises:
        DataError: no bundle there.
        OSError: a file that can't be deleted.
    """
    folder = Path(os.path.normpath(bundle))
    listed = read_facts(folder)["files"]
    doomed = [Path(f"{folder}.key")]
    if not key_only:
        doomed += [folder / Path(name).name for name in [*listed, MANIFEST]]
    gone = [file for file in doomed if file.is_file()]
    for file in gone:
        file.unlink()
    if not key_only and not any(folder.iterdir()):
        folder.rmdir()
    return [str(file) for file in gone]
