"""What a search for campaigns found, as frozen objects; it does not know how it was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textdetect.campaigns.power import Detectable
from textdetect.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a search; with the posts they give the same result again.

    Attributes:
        window_s: two touches of one object at most so many seconds apart are a meeting.
        fdr: the bound on the false-discovery rate, in [1 / (n_worlds + 1), 1).
        n_worlds: permuted worlds, ≥ 1.
        seed: of the worlds and of Louvain, ≥ 0.
        near_duplicate: overlap of shingles from which two texts are one object.
        n_spared: objects, and hours, without which a campaign must stand, ≥ 0.
        objects: the columns of objects that were looked for.
        alike_s: posts so close, and more alike than those of different days, share an object.
        wider_s: wider windows, in which texts of posts without a link are meetings, too.
        power: whether to say what could have been found, where nothing is.
        rules: 3 as in bundles of format 3, or 4: objects from texts, each tag one; pairs stay that
            are 100 times as likely by chance; an hour and its object are spared at once; no
            meetings between strata.
    """

    window_s: float
    fdr: float
    n_worlds: int
    seed: int
    near_duplicate: float
    n_spared: int
    objects: tuple[str, ...]
    alike_s: float = 600.0
    wider_s: tuple[float, ...] = ()
    power: bool = False
    rules: int = 4

    def __post_init__(self) -> None:
        if self.n_worlds < 1 or self.seed < 0 or self.n_spared < 0:
            raise InvalidInput(
                f"n_worlds ≥ 1, seed ≥ 0 and n_spared ≥ 0 expected, got {self.n_worlds}, "
                f"{self.seed}, {self.n_spared}"
            )
        if self.rules not in (3, 4):
            raise InvalidInput(f"rules 3 or 4 expected, got {self.rules}")
        if not 0 < self.fdr < 1:
            raise InvalidInput(f"fdr in (0, 1) expected, got {self.fdr}")
        if self.fdr < self.smallest_p_value - 1e-12:
            needed = int(np.ceil(1 / self.fdr - 1e-9)) - 1
            raise InvalidInput(
                f"{self.n_worlds} worlds allow p-values down to {self.smallest_p_value:.3g}; "
                f"for fdr={self.fdr:g} pass n_worlds={needed} or more"
            )

    @property
    def smallest_p_value(self) -> float:
        """The smallest p-value that so many worlds allow."""
        return 1 / (self.n_worlds + 1)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One group of accounts that move together.

    Attributes:
        number: 0 for the strongest.
        accounts: their names, sorted.
        n_core: how many of them are its core; the others turn up with the core again and again.
        statistic: the highest score among them, in the window where it stands out most.
        p_value: share of worlds, the observed one counted, that hold a score as high.
        q_value: empirical false-discovery rate of the list down to this campaign.
        n_edges: pairs of its accounts that met more often than chance explains.
        n_objects, n_posts: distinct objects on which the core met, and posts behind that.
        first, last: time of the first and the last of these posts, UTC.
        stability: agreement of five Louvain runs on its cells, 1 = the same.
    """

    number: int
    accounts: tuple[str, ...]
    n_core: int
    statistic: float
    p_value: float
    q_value: float
    n_edges: int
    n_objects: int
    n_posts: int
    first: datetime
    last: datetime
    stability: float


@dataclass(frozen=True, slots=True)
class Behind:
    """The meetings behind the edges: edge number, ascending, and the rows of the two posts."""

    edge: NDArray[np.int64]
    first_row: NDArray[np.int64]
    second_row: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Campaigns:
    """What a search found.

    Attributes:
        campaigns: strongest first; empty if nothing exceeds the permuted worlds.
        accounts: a row an account, sorted by name: account; campaign, null where none; core,
            whether it is of a core; cell, the part of the core that Louvain puts it in; n_posts;
            n_partners, accounts it met beyond chance; score, its weighted coreness
            (in a wider window, by how high the permuted worlds' are there);
            p_value, pooled over accounts and worlds; q_value, the empirical false-discovery rate
            among accounts (around a core: of turning up with it). An account is in a campaign only
            if the campaign is listed.
        edges: a row a pair: a, b, n_meetings, expected, surprise (−log10 p), campaign.
        narratives: a row a message of a campaign; see `narratives.find_narratives`.
        timeline: a row a post of a campaign's messages and meetings: campaign; row, of the dump;
            time, in UTC to the minute.
        null_maxima: the highest score of each permuted world, shape (n_worlds,).
        settings: the options.
        notes: what of the input did not enter the search.
        behind: the meetings behind the edges; see `posts_behind`.
        power: what could have been found, if `settings.power` and no campaign is listed.
    """

    campaigns: tuple[Campaign, ...]
    accounts: pa.Table
    edges: pa.Table
    narratives: pa.Table
    timeline: pa.Table
    null_maxima: NDArray[np.float64]
    settings: Settings
    notes: tuple[str, ...]
    behind: Behind
    power: tuple[Detectable, ...] = ()

    def posts_behind(self, edge: int) -> NDArray[np.int64]:
        """Give the rows of the posts behind an edge: shape (n_meetings, 2), rows of the dump.

        Args:
            edge: row of the table `edges`.

        Raises:
            InvalidInput: no such row.
        """
        if not 0 <= edge < self.edges.num_rows:
            raise InvalidInput(f"an edge in [0, {self.edges.num_rows}) expected, got {edge}")
        low, high = np.searchsorted(self.behind.edge, [edge, edge + 1])
        return np.stack([self.behind.first_row[low:high], self.behind.second_row[low:high]], axis=1)

    def __str__(self) -> str:
        """Say in a few lines what was found, and how sure that is."""
        lines = [
            f"{len(self.campaigns)} campaign(s) at a false-discovery rate of "
            f"{self.settings.fdr:g}; {self.settings.n_worlds} permuted worlds, "
            f"smallest p-value {self.settings.smallest_p_value:.3g}, "
            f"their highest scores {self.null_maxima.min():.1f} to {self.null_maxima.max():.1f}"
        ]
        lines += [
            f"  {c.number}: {len(c.accounts)} accounts, {c.n_objects} objects, "
            f"{c.first:%Y-%m-%d} to {c.last:%Y-%m-%d}, statistic {c.statistic:.1f}, "
            f"p {c.p_value:.3g}, q {c.q_value:.3g}"
            for c in self.campaigns
        ]
        if self.power:
            lines.append(
                "no group found; of networks that post ten messages, each by six in ten of their "
                "accounts within four minutes, 80% would have been found here with"
            )
        for one in self.power:
            enough = f"{one.n_accounts} accounts or more" if one.n_accounts else "none up to 100"
            lines.append(f"  {one.kind}: {enough}")
        return "\n".join([*lines, *self.notes])
