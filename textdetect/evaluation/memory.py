"""What was computed of a text, kept for the next time: no scorer is asked twice.

Texts are known by their hash alone, so that no file holds one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.files import write_atomically
from textdetect._ground.progress import bar

CHUNK: Final = 4_096
"""Texts that are computed, and kept, at a time."""


def digest(*parts: str) -> bytes:
    """Give 16 bytes that stand for texts in their order."""
    return blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Memory:
    """A row of `width` numbers for each text, computed once.

    A folder keeps them for later runs, a file a chunk, so that a run that was cut off goes on; `of`
    is what the numbers depend on besides the text.

    >>> memory = Memory(1)
    >>> memory.recall(["a", "bb", "a"], lambda texts: np.array([[len(t)] for t in texts])).tolist()
    [[1], [2], [1]]
    >>> len(memory)
    2
    """

    def __init__(self, width: int, *, folder: Path | None = None, of: Sequence[str] = ()) -> None:
        self._width = width
        self._folder = None if folder is None else folder / digest(*of).hex()
        self._known: dict[bytes, NDArray[Any]] = {}
        for file in sorted(self._folder.glob("*.npz")) if self._folder else ():
            with np.load(file, allow_pickle=False) as kept:
                self._known |= zip(map(bytes, kept["keys"]), kept["values"], strict=True)

    def __len__(self) -> int:
        return len(self._known)

    def recall(
        self,
        texts: Sequence[str],
        compute: Callable[[list[str]], NDArray[Any]],
        *,
        seen_as: Callable[[str], str] | None = None,
        progress: bool | None = None,
        what: str | None = None,
    ) -> NDArray[Any]:
        """Give each text's numbers, shape (n, width); those that are not known are computed.

        Texts that `seen_as` makes one are computed once. `progress` and `what` are of the bar.
        """
        keys = [digest(text if seen_as is None else seen_as(text)) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        todo = list(new)
        with bar(len(todo), progress, what=what) as shown:
            for first in range(0, len(todo), CHUNK):
                chunk = todo[first : first + CHUNK]
                values = compute([new[key] for key in chunk])
                self._known |= zip(chunk, values, strict=True)
                self._keep(b"".join(chunk), values)
                shown.update(len(chunk))
        return np.array([self._known[key] for key in keys]).reshape(len(keys), self._width)

    def _keep(self, keys: bytes, values: NDArray[Any]) -> None:
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            stream = BytesIO()
            np.savez(stream, keys=np.frombuffer(keys, "V16"), values=values)
            name = blake2b(keys, digest_size=16).hexdigest()
            write_atomically(self._folder / f"{name}.npz", stream.getvalue())
