"""Measure verdicts on accounts that trained and calibrated nothing: the report part of a config.

python training/accounts.py configs/default.yaml [--model MODEL] [--data FOLDER]

Prints, by source and kind, how many accounts have p ≤ 0.05, with the exact one-sided binomial
p-value against a promise of 5%; the same for people by their number of posts; the AUROC by account;
what is flagged at two false-discovery rates; and, for each language, how many of 5 bots among 500
accounts are found at one of 5%, on average over 200 draws, with how many people among the flagged.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from scipy.stats import binomtest, kstest

from textdetect._ground.config import TrainConfig, load_config
from textdetect.accounts import AccountVerdicts, score_accounts
from textdetect.model.detector import Detector
from textdetect.statistics.metrics import auroc
from textdetect.statistics.multiplicity import benjamini_hochberg
from textdetect.training import corpus_folder, split_corpus

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("config", help="YAML file of the run, as configs/default.yaml")
parser.add_argument("--model", default="default", help="embedded name or checkpoint folder")
parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
RATE = 0.05
KEYS = ("source", "kind", "account")
N_BOTS, N_PEOPLE, N_DRAWS = 5, 495, 200


def main() -> None:
    """Split, judge, print."""
    arguments = parser.parse_args()
    config, _ = load_config(arguments.config, TrainConfig)
    posts, parts = split_corpus(config, corpus_folder(arguments.data))
    account = posts.column("account")
    known = posts.classed & (account != "") & (parts.part == "report")
    chosen = posts.take(np.flatnonzero(known))
    owners = [f"{s} {k} {a}" for s, k, a in zip(*map(chosen.column, KEYS), strict=True)]
    detector = Detector.from_pretrained(arguments.model)
    dump = {"account": owners, "text": chosen.texts}
    first = score_accounts(dump, detector=detector, fdr=RATE)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, name in enumerate(first.account):
        if np.isfinite(first.p_value[i]):
            groups[tuple(name.split(" ", 2)[:2])].append(i)
    print("| source | kind | accounts | p ≤ 0.05 | binomial p |\n|---|---|---|---|---|")
    for (source, what), places in sorted(groups.items()):
        print(f"| {source} | {what} | {_line(first.p_value[places])} |")
    people = [i for (_, what), places in groups.items() if what == "human" for i in places]
    p, n = first.p_value[people], first.n_scored[people]
    print("\n| people with posts | accounts | p ≤ 0.05 | binomial p |\n|---|---|---|---|")
    for low, high in ((3, 5), (6, 11), (12, int(n.max()))):
        print(f"| {low} to {high} | {_line(p[(n >= low) & (n <= high)])} |")
    print(f"| all | {_line(p)} |")
    below = kstest(p, "uniform", alternative="greater").pvalue
    print(f"people's p-values below uniform, by Kolmogorov and Smirnov: p = {below:.3f}")
    for source in sorted({source for source, _ in groups}):
        both = [groups.get((source, what), []) for what in ("human", "machine")]
        if all(both):
            scores = first.score[[*both[0], *both[1]]]
            truth = [0] * len(both[0]) + [1] * len(both[1])
            print(f"AUROC by account, {source}: {auroc(truth, scores):.3f}")
    print(f"fewest possible at FDR {RATE}: {first.fewest}")
    for rate in (RATE, 2 * RATE):
        print(f"flagged at FDR {rate}: {(first.q_value <= rate).sum()}")
    kinds = np.array([name.split(" ", 2)[1] for name in first.account])
    print(
        f"\n{N_BOTS} bots among {N_BOTS + N_PEOPLE} accounts, at a false-discovery rate of {RATE}:"
    )
    print("| language | people | bots | found | people among the flagged |\n|---|---|---|---|---|")
    for code in sorted(set(first.language)):
        _mixes(first, kinds, code)


def _mixes(verdicts: AccountVerdicts, kinds: np.ndarray, code: str) -> None:
    """Draw accounts of a language with replacement and flag among them, as a dump of them would."""
    judged = np.isfinite(verdicts.p_value) & (verdicts.language == code)
    people, bots = (verdicts.p_value[judged & (kinds == kind)] for kind in ("human", "machine"))
    if min(len(people), len(bots)) < N_BOTS:
        return
    rng, found, wrong = np.random.default_rng(0), [], []
    for _ in range(N_DRAWS):
        drawn = np.append(rng.choice(people, N_PEOPLE), rng.choice(bots, N_BOTS))
        flagged = benjamini_hochberg(drawn) <= RATE
        found.append(flagged[N_PEOPLE:].mean())
        wrong.append(flagged[:N_PEOPLE].sum() / max(1, flagged.sum()))
    means = f"{np.mean(found):.2f} | {np.mean(wrong):.3f}"
    print(f"| {code} | {len(people)} | {len(bots)} | {means} |")


def _line(p: np.ndarray) -> str:
    n = int((p <= RATE).sum())
    return f"{len(p)} | {n} | {binomtest(n, len(p), RATE, alternative='greater').pvalue:.2f}"


if __name__ == "__main__":
    main()
