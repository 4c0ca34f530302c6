"""Write the table by which languages are told apart, from the model that py3langid ships.

python training/languages.py [OUT]

Only the candidates' columns are kept, as py3langid would choose them: they are read at every start.
Run it when py3langid brings another model or the candidates change, and recalibrate then.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from textdetect.posts.language import CANDIDATES, TABLE


def main(out: Path = TABLE) -> None:
    """Write the table."""
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(CANDIDATES)
    np.savez_compressed(
        out,
        ptc=identifier.nb_ptc,
        pc=identifier.nb_pc,
        classes=np.array(identifier.nb_classes),
        nextmove=np.asarray(identifier.tk_nextmove),
        nextmove_row=np.asarray(identifier.tk_row),
        out_feat=np.asarray(identifier.tk_output, dtype=np.int32),
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
