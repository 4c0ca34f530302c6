"""What a run tells its readers: the model card, and the page of an evaluation."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any, Final

from textdetect._ground.files import write_atomically
from textdetect.errors import InvalidInput
from textdetect.evaluation import Evaluation
from textdetect.evaluation.figures import markdown
from textdetect.model.checkpoint import CARD, Manifest, open_checkpoint, write_manifest
from textdetect.model.detector import Detector
from textdetect.model.runtimes.choice import RuntimeName

CAUTION: Final = """A flag is a statistical statement about a text, not about a person. It is never
the sole ground for a sanction or a legal claim, and not for grading essays, hiring or asylum."""


def write_report(
    found: Evaluation, out: str | os.PathLike[str], *, command: str | None = None
) -> Path:
    """Write what an evaluation found as a page that opens offline: `out`/SUITE.html.

    Args:
        command: what makes it again, for the reader.
    """
    from textdetect.evaluation import report

    file = Path(out) / f"{found.facts['suite']}.html"
    results = report.Results(
        found.table,
        found.curves,
        found.errors,
        found.facts | ({"command": command} if command else {}),
        re.split(r"(?<=\.)\s", CAUTION),
    )
    return report.write(results, file)


def finish(folder: Path, tables: dict[str, Any], *, runtime: RuntimeName = "auto") -> None:
    """Put the figures into the manifest and write the folder's card."""
    manifest = dataclasses.replace(own_manifest(folder), figures=tables)
    text = card(manifest, Detector.from_pretrained(folder, runtime=runtime))
    write_atomically(folder / CARD, text.encode())
    write_manifest(folder, manifest)


def card(manifest: Manifest, detector: Detector) -> str:
    """Render the model card from the manifest and the calibration."""
    calibration = detector.calibration
    blocks = [
        f"# {manifest.name} {manifest.version}",
        f"Languages: {', '.join(manifest.languages) or 'none supported'}. Reads "
        f"{manifest.max_length} tokens. Trained from {manifest.training.get('encoder', '?')} on "
        f"{manifest.training.get('n_posts', 0):,} posts.",
        CAUTION,
        "## Calibration",
        "Human posts that no training saw. `smallest_p_value` is the smallest `max_fpr` that the "
        "stratum can support.",
        markdown(calibration.describe()) if calibration and calibration.strata else "none",
    ]
    titles = {
        "sources": "AUROC by source (held-out part)",
        "machines_only": "AUROC within language and genre, sources without people (held-out part)",
        "humans": "Humans flagged (held-out part), by panel",
        "machines": "Machine posts flagged (held-out part)",
        "languages": "Machine posts flagged, mean over sources",
        "slices": "People and machine posts flagged, by genre, generator and length",
    }
    for name, table in manifest.figures.items():
        if table:
            blocks += [f"## {titles.get(name, name)}", markdown(table)]
    return "\n\n".join(blocks) + "\n"


def own_manifest(folder: Path) -> Manifest:
    """Return the manifest of a checkpoint of ours.

    Raises:
        InvalidInput: the folder is someone else's model.
    """
    manifest = open_checkpoint(folder).manifest
    if manifest is None:
        raise InvalidInput(f"{folder} is no textdetect checkpoint: it has no detector.json")
    return manifest
