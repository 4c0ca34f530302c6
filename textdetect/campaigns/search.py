"""The whole search: a dump of posts → campaigns, tested against permuted worlds.

It names accounts that move together. Who pays them, whether they are machines, and whether what
they say is false, it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textdetect._ground.progress import bar
from textdetect.campaigns.communities import cells, components, coreness, spare
from textdetect.campaigns.membership import attached
from textdetect.campaigns.narratives import find_narratives
from textdetect.campaigns.null import permuted_worlds
from textdetect.campaigns.power import Detectable, find_power, share_alike
from textdetect.campaigns.projection import Edges, Meetings, find_edges, find_meetings
from textdetect.campaigns.results import Behind, Campaign, Campaigns, Settings
from textdetect.campaigns.tactics import Codebook
from textdetect.campaigns.traces import OBJECTS, Dump, Traces, find_traces, objects_of, read_dump
from textdetect.errors import InvalidInput
from textdetect.statistics.multiplicity import empirical_q_values, list_q_values, max_p_value

_UNITS_S: Final = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DAY_S: Final = 86_400.0
_FIRM: Final = 2.0
"""The least score by which the permuted worlds of a window are told to be quiet or loud."""


def find_campaigns(
    posts: Any,
    *,
    window: str | float | timedelta = "5min",
    wider: Sequence[str | float | timedelta] = ("1h", "1d", "3d"),
    alike: str | float | timedelta = "10min",
    fdr: float = 0.05,
    n_worlds: int = 19,
    seed: int = 0,
    account: str | None = None,
    time: str | None = None,
    text: str | None = None,
    objects: Sequence[str] = OBJECTS,
    time_zone: str | None = None,
    near_duplicate: float = 0.6,
    n_spared: int = 3,
    power: bool = False,
    rules: int = 4,
    codebook: Codebook | None = None,
    progress: bool | None = None,
) -> Campaigns:
    """Find groups of accounts that meet again and again, beyond what chance explains.

    A campaign is listed if its statistic, the highest score among its accounts, exceeds the highest
    of all accounts in so many permuted worlds that p ≤ `fdr` (for the strongest), and if the
    empirical false-discovery rate of the list down to it is at most `fdr`. Its core are accounts
    whose scores are reached by so few accounts of permuted worlds that the same rate among accounts
    is at most `fdr`; around it are accounts that turn up with the core at three or more of its
    objects, by the same rule. The promise is against the null of `textdetect.campaigns.null`:
    objects with their times, accounts with their activity and hours. docs/campaigns.md says what it
    cannot see.

    Args:
        posts: a pyarrow Table, a pandas or polars DataFrame, a mapping of columns or a list of
            dicts, a row a post.
        window: two touches of one object so close are a meeting: "60s", "5min", seconds.
        wider: more windows, for texts of posts without a link alone: who share the same links
            within a day have an interest in common. An account's score is the highest of all
            windows, each in units of its permuted worlds', and so is theirs: it costs no error.
        alike: posts so close, whose own words are more alike than 99.9% of pairs a day apart,
            touch one object; 0: none do. See `likeness`.
        fdr: in [1 / (n_worlds + 1), 1).
        n_worlds: permuted worlds; p-values go down to 1 / (n_worlds + 1).
        seed: of the worlds and of Louvain.
        account, time, text, objects, time_zone: the columns; see `read_dump`.
        near_duplicate: overlap of shingles from which two texts are one object, in (0, 1].
        n_spared: a campaign must stand without its so many most shared objects and hours.
        power: where nothing is found, say what could have been: networks are planted.
        rules: 3 to search as for bundles of format 3; see `Settings`.
        codebook: what suggests tactics; None for the one that comes with the package.
        progress: show a bar over the worlds; None: if stderr is a terminal.

    Raises:
        InvalidInput: a column, time, or option that cannot be used, or too few worlds for `fdr`.
        MissingDependency: scipy or networkx is not installed.

    >>> posts = [
    ...     {"account": f"p{i % 199}", "time": 977 * i, "url": f"example.org/{i % 301}"}
    ...     for i in range(2_000)
    ... ]
    >>> posts += [
    ...     {"account": f"bot{i}", "time": 90_000 * day + 9 * i, "url": f"example.org/new/{day}"}
    ...     for day in range(10) for i in range(12)
    ... ]
    >>> found = find_campaigns(posts, window="5min")
    >>> len(found.campaigns), found.campaigns[0].p_value
    (1, 0.05)
    """
    wider_s = sorted({_window_s(one, 7 * _DAY_S) for one in wider})
    settings = Settings(
        window_s=_window_s(window),
        fdr=fdr,
        n_worlds=n_worlds,
        seed=seed,
        near_duplicate=near_duplicate,
        n_spared=n_spared,
        objects=tuple(objects),
        alike_s=_window_s(alike),
        wider_s=tuple(w for w in wider_s if w > _window_s(window)),
        power=power,
        rules=rules,
    )
    dump = read_dump(
        posts, account=account, time=time, text=text, objects=objects, time_zone=time_zone
    )
    traces = find_traces(
        dump, near_duplicate=near_duplicate, from_text=rules > 3, alike_s=settings.alike_s
    )
    meetings = _meetings(traces, settings)
    book = codebook or Codebook.read()
    return _Search(dump, traces, meetings, settings, book, progress).run()


@dataclass(frozen=True, slots=True)
class _Group:
    """Accounts that hold together in a window, and how firmly."""

    members: NDArray[np.int64]
    statistic: float
    window: int
    p_value: float = 1.0
    q_value: float = 1.0


def _merged(groups: list[_Group]) -> list[_Group]:
    """Make those of several windows one that have an account in common, strongest first."""
    kept: list[_Group] = []
    for group in sorted(groups, key=lambda one: (-one.statistic, int(one.members[0]))):
        free = group.members
        meets = [i for i, one in enumerate(kept) if np.isin(free, one.members).any()]
        for one in kept:
            free = np.setdiff1d(free, one.members)
        if meets:
            stronger = kept[meets[0]]
            kept[meets[0]] = replace(stronger, members=np.union1d(stronger.members, free))
        else:
            kept.append(group)
    return kept


@dataclass(frozen=True, slots=True)
class _Search:
    """One dump under one set of options."""

    dump: Dump
    traces: Traces
    meetings: list[Meetings]
    settings: Settings
    codebook: Codebook
    progress: bool | None

    @property
    def n_accounts(self) -> int:
        return max(len(self.dump.accounts), int(self.traces.account.max(initial=-1)) + 1)

    @property
    def min_surprise(self) -> float:
        """−log10 p from which a pair is an edge: so that chance gives an account 100 at most."""
        n_chance = 100 if self.settings.rules > 3 else 10
        return max(20 / n_chance, float(np.log10(max(1, self.n_accounts) / n_chance)))

    def spare(self, edges: Edges, group: NDArray[np.int64], meetings: Meetings) -> Edges:
        n, least, in_turn = self.settings.n_spared, self.min_surprise, self.settings.rules < 4
        return spare(
            edges, group, self.traces, meetings, n_spared=n, min_surprise=least, in_turn=in_turn
        )

    def world(self, account: NDArray[np.int32]) -> tuple[list[Edges], NDArray[np.float64]]:
        """Give each window's edges in one world, and every account's score in each."""
        edges, scores = [], np.zeros((len(self.meetings), self.n_accounts))
        for i, meetings in enumerate(self.meetings):
            found = find_edges(self.traces, meetings, account, min_surprise=self.min_surprise)
            lighter = self.spare(found, components(found, self.n_accounts), meetings)
            scores[i] = coreness(lighter, self.n_accounts)
            edges.append(found)
        return edges, scores

    def run(self) -> Campaigns:
        """Search the observed world and the permuted ones alike, and compare.

        Over the windows, every world has its maximum, and the observed one is a world as any other
        (Westfall and Young, "Resampling-based multiple testing", 1993).
        """
        all_edges, by_window = self.world(self.traces.account)
        worlds = permuted_worlds(self.traces, self.settings.n_worlds, self.settings.seed)
        found = []
        with bar(self.settings.n_worlds, self.progress, unit="world") as shown:
            for account in worlds:
                found.append(self.world(account)[1])
                shown.update(1)
        highest = np.array([world.max(axis=1, initial=0.0) for world in [by_window, *found]])
        usual = np.maximum(_FIRM, np.median(highest, axis=0))
        unit = (usual[0] / usual)[:, None]
        by_window = by_window * unit
        scores = by_window.max(axis=0, initial=0.0)
        null = [(world * unit).max(axis=0, initial=0.0) for world in found]
        maxima = np.array([float(world.max(initial=0.0)) for world in null])
        pooled = np.sort(np.concatenate([world[world > 0] for world in null]))
        above = 1 + len(pooled) - np.searchsorted(pooled, scores, side="left")
        above = np.where(scores > 0, above, 1 + self.settings.n_worlds * len(scores))
        p_values = above / (1 + self.settings.n_worlds * max(1, len(scores)))
        q_values = empirical_q_values(scores, pooled, self.settings.n_worlds)
        member = (q_values <= self.settings.fdr) & (scores > 0)
        least = float(scores[member].min()) if member.any() else np.inf
        groups: list[_Group] = []
        for i, edges in enumerate(all_edges):
            within = (by_window[i] >= least) & member
            groups += self._groups(i, edges, by_window[i], within, float(unit[i, 0]))
        groups = self._listed(_merged(groups), maxima)
        edges = self._united(all_edges, unit[:, 0])
        campaigns, columns = self._campaigns(groups, edges, q_values)
        number = columns["campaign"]
        columns = columns | {"score": scores, "p_value": p_values}
        of_edge = np.where(number[edges.a] == number[edges.b], number[edges.a], -1)
        narratives = find_narratives(
            self.dump, number, near_duplicate=self.settings.near_duplicate, codebook=self.codebook
        )
        return Campaigns(
            campaigns=campaigns,
            accounts=self._account_table(edges, columns),
            edges=self._edge_table(edges, of_edge),
            narratives=narratives,
            timeline=self._timeline(number, edges.take(of_edge >= 0), narratives),
            null_maxima=maxima,
            settings=self.settings,
            notes=self._notes(),
            power=self._power(maxima, unit) if self.settings.power and not campaigns else (),
            behind=Behind(
                edges.meeting_edge, *(self.dump.row[posts] for posts in self._posts(edges))
            ),
        )

    def _power(
        self, maxima: NDArray[np.float64], unit: NDArray[np.float64]
    ) -> tuple[Detectable, ...]:
        """Say which networks, planted into this dump, would have exceeded its permuted worlds."""
        settings = self.settings
        n_higher = int(settings.fdr * (len(maxima) + 1) + 1e-9) - 1

        def scores(traces: Traces) -> NDArray[np.float64]:
            planted = replace(self, traces=traces, meetings=_meetings(traces, settings))
            by_window = planted.world(traces.account)[1] * unit
            return np.asarray(by_window.max(axis=0), dtype=np.float64)

        share = 0.0
        if "text" in self.dump.columns and settings.alike_s:
            said, reposted = objects_of(self.dump.columns["text"], self.dump.marked)
            own = ["" if other else one for one, other in zip(said, reposted, strict=True)]
            share = share_alike(own, self.dump.time_s, settings.alike_s)
        return find_power(
            self.traces,
            len(self.dump.accounts),
            scores=scores,
            maxima=maxima,
            n_higher=n_higher,
            share_alike=share,
            seed=settings.seed,
            progress=self.progress,
        )

    def _posts(self, edges: Edges) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the two posts of each meeting behind the edges."""
        first, second = self._ends(edges)
        return self.traces.post[first], self.traces.post[second]

    def _ends(self, edges: Edges) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the two traces of each meeting behind united edges."""
        first = np.concatenate([each.first for each in self.meetings])
        second = np.concatenate([each.second for each in self.meetings])
        return first[edges.meeting], second[edges.meeting]

    def _united(self, parts: list[Edges], unit: NDArray[np.float64]) -> Edges:
        """Put the edges of all windows together, of each pair the most surprising one."""
        n_edges = np.cumsum([0, *(len(part) for part in parts)])
        n_met = np.cumsum([0, *(len(each.first) for each in self.meetings)])
        edges = Edges(
            np.concatenate([part.a for part in parts]),
            np.concatenate([part.b for part in parts]),
            np.concatenate([part.count for part in parts]),
            np.concatenate([part.expected for part in parts]),
            np.concatenate([part.surprise for part in parts]),
            np.concatenate([part.meeting_edge + n_edges[i] for i, part in enumerate(parts)]),
            np.concatenate([part.meeting + n_met[i] for i, part in enumerate(parts)]),
        )
        weight = edges.surprise * np.repeat(unit, np.diff(n_edges))
        order = np.lexsort((-weight, edges.b, edges.a))
        pairs = np.stack([edges.a[order], edges.b[order]])
        again = np.all(np.diff(pairs, axis=1, prepend=-1) == 0, axis=0)
        kept = np.ones(len(edges), dtype=bool)
        kept[order[again]] = False
        return edges.take(kept)

    def _groups(
        self,
        window: int,
        edges: Edges,
        scores: NDArray[np.float64],
        member: NDArray[np.bool_],
        unit: float,
    ) -> list[_Group]:
        """Give the groups among the members in a window, each spared on its own as well."""
        meetings = self.meetings[window]
        inside = edges.take(member[edges.a] & member[edges.b])
        lighter = self.spare(inside, components(inside, self.n_accounts), meetings)
        again = np.minimum(coreness(lighter, self.n_accounts) * unit, scores)
        group = components(lighter, self.n_accounts)
        in_one = np.flatnonzero(again > 0)
        order = in_one[np.argsort(group[in_one], kind="stable")]
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        parts = [np.sort(part) for part in np.split(order, starts)[1:] if len(part) >= 3]
        return [_Group(part, float(again[part].max()), window) for part in parts]

    def _listed(self, groups: list[_Group], maxima: NDArray[np.float64]) -> list[_Group]:
        """Keep the groups whose p-value, from the maxima, and whose q-value are ≤ fdr.

        The q-value of the k-th is the mean number of permuted worlds that hold one as strong, per
        world and counting the observed one, over k.
        """
        p_values = [max_p_value(each.statistic, maxima) for each in groups]
        q_values = list_q_values(np.array(p_values))
        return [
            replace(each, p_value=p, q_value=float(q))
            for each, p, q in zip(groups, p_values, q_values, strict=True)
            if p <= self.settings.fdr and q <= self.settings.fdr
        ]

    def _campaigns(
        self,
        groups: list[_Group],
        edges: Edges,
        q_values: NDArray[np.float64],
    ) -> tuple[tuple[Campaign, ...], dict[str, NDArray[Any]]]:
        """Describe the listed groups, each with the accounts around it.

        Returns:
            The campaigns; and of each account: campaign and cell, −1 where none, core, q_value.
        """
        number = np.full(self.n_accounts, -1, dtype=np.int64)
        cell, core, q_values = number.copy(), np.zeros(self.n_accounts, dtype=bool), q_values.copy()
        for group in groups:
            core[group.members] = True
        campaigns = []
        for i, group in enumerate(groups):
            members = group.members
            number[members] = i
            inside = edges.take((number[edges.a] == i) & (number[edges.b] == i))
            cell[members], stability = cells(inside, members, self.settings.seed)
            around = self._around(group, inside, core | (number >= 0))
            joins = np.flatnonzero(around <= self.settings.fdr)
            number[joins], q_values[joins] = i, around[joins]
            everyone = np.sort(np.concatenate([members, joins]))
            touches = np.concatenate(self._ends(inside))
            times = self.traces.time_s[touches]
            campaigns.append(
                Campaign(
                    number=i,
                    accounts=tuple(self.dump.accounts[everyone].tolist()),
                    n_core=len(members),
                    statistic=group.statistic,
                    p_value=group.p_value,
                    q_value=group.q_value,
                    n_edges=len(inside),
                    n_objects=len(np.unique(self.traces.object[touches])),
                    n_posts=len(np.unique(self.traces.post[touches])),
                    first=datetime.fromtimestamp(float(times.min()), tz=UTC),
                    last=datetime.fromtimestamp(float(times.max()), tz=UTC),
                    stability=stability,
                )
            )
        return tuple(campaigns), {
            "campaign": number,
            "cell": cell,
            "core": core,
            "q_value": q_values,
        }

    def _around(self, group: _Group, edges: Edges, taken: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Give the q-values of belonging to a core's surroundings; 1 for those taken."""
        core = np.zeros(self.n_accounts, dtype=bool)
        core[group.members] = True
        met_on = np.zeros(len(self.traces.kinds), dtype=bool)
        met_on[self.traces.object[self._ends(edges)[0]]] = True
        n, seed = self.settings.n_worlds, self.settings.seed
        q_values = attached(
            self.traces, self.meetings[group.window], core, met_on, n_worlds=n, seed=seed
        )
        return np.where(taken, 1.0, q_values)

    def _account_table(self, edges: Edges, columns: dict[str, NDArray[Any]]) -> pa.Table:
        ends, n = np.concatenate([edges.a, edges.b]), self.n_accounts
        return pa.table(
            {
                "account": pa.array(self.dump.accounts, pa.string()),
                "campaign": _or_null(columns["campaign"]),
                "core": columns["core"],
                "cell": _or_null(columns["cell"]),
                "n_posts": np.bincount(self.dump.account, minlength=n),
                "n_partners": np.bincount(ends, minlength=n),
                **{name: columns[name] for name in ("score", "p_value", "q_value")},
            }
        )

    def _edge_table(self, edges: Edges, campaign: NDArray[np.int64]) -> pa.Table:
        return pa.table(
            {
                "a": pa.array(self.dump.accounts[edges.a], pa.string()),
                "b": pa.array(self.dump.accounts[edges.b], pa.string()),
                "n_meetings": edges.count,
                "expected": edges.expected,
                "surprise": edges.surprise,
                "campaign": _or_null(campaign),
            }
        )

    def _timeline(self, number: NDArray[np.int64], inside: Edges, narratives: pa.Table) -> pa.Table:
        """Give every post of the campaigns' messages and meetings once, by campaign and time."""
        shown = np.isin(self.dump.row, pc.list_flatten(narratives["rows"]).to_numpy())
        for posts in self._posts(inside):
            shown[posts] = True
        of = number[self.dump.account[shown]]
        minutes = (self.dump.time_s[shown] // 60).astype(np.int64) * 60_000_000
        order = np.argsort(of, kind="stable")
        return pa.table(
            {
                "campaign": of[order],
                "row": self.dump.row[shown][order],
                "time": pa.array(minutes[order], pa.timestamp("us", "UTC")),
            }
        )

    def _notes(self) -> tuple[str, ...]:
        """Say what of the input did not enter the search."""
        dump, meetings = self.dump, self.meetings[0]
        notes = {
            f"{dump.n_missing} posts without an account or a time left out": dump.n_missing,
            f"{dump.n_repeats} posts left out that repeat another: the same id, account, "
            "time and text": dump.n_repeats,
            f"{dump.n_shared_ids} posts have another post's id and stay: their account, "
            "time or text differs": dump.n_shared_ids,
            f"{meetings.n_cut} meetings in the most crowded moments left out "
            f"(each trace meets at most the next {meetings.max_lag} of its object)": meetings.n_cut,
        }
        return tuple(note for note, n in notes.items() if n)


def _meetings(traces: Traces, settings: Settings) -> list[Meetings]:
    """Find the meetings in each window."""
    usual = find_meetings(traces, settings.window_s, across=settings.rules < 4)
    return [usual, *(find_meetings(traces, w, bare=True) for w in settings.wider_s)]


def _or_null(numbers: NDArray[np.int64]) -> pa.Array:
    return pa.array(numbers, mask=numbers < 0)


def _window_s(window: str | float | timedelta, most_s: float = _DAY_S) -> float:
    """Give a window in seconds."""
    if isinstance(window, timedelta):
        seconds = window.total_seconds()
    elif isinstance(window, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)", window.strip())
        if not match:
            raise InvalidInput(f'a window as "60s", "5min" or "1h" expected, got {window!r}')
        seconds = float(match[1]) * _UNITS_S[match[2]]
    else:
        seconds = float(window)
    if not 0 <= seconds <= most_s:
        days = "one day" if most_s == _DAY_S else "a week"
        raise InvalidInput(f"a window of 0 s to {days} expected, got {seconds:g} s")
    return seconds
