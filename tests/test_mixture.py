"""The training list: which posts, how often, and how much of each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdetect._ground.config import DataConfig
from textdetect.errors import ConfigError, DataError
from textdetect.posts.corpus import COLUMNS, Posts
from textdetect.posts.mixture import TrainingList, hardest, training_list


def many(n: int, label: int, **columns: str) -> list[dict[str, Any]]:
    made = {
        "kind": "machine" if label else "human",
        "source": "one",
        "language": "en",
        "domain": "tweets",
        **columns,
    }
    name = "-".join((*sorted(made.values()), str(label)))
    return [{"text": f"post {i} of {name}", "label": label, **made} for i in range(n)]


def posts(rows: list[dict[str, Any]]) -> Posts:
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    return Posts(pa.table({name: pa.array(columns[name], COLUMNS[name]) for name in COLUMNS}))


def chosen(
    rows: list[dict[str, Any]], *, parts: list[str] | None = None, seed: int = 0, **config: Any
) -> TrainingList:
    part = np.array(["train"] * len(rows) if parts is None else parts, dtype=object)
    return training_list(posts(rows), part, DataConfig(**config), seed=seed)


def counts(
    rows: list[dict[str, Any]], made: TrainingList | np.ndarray[Any, Any], *names: str
) -> Counter[Any]:
    """Count the chosen posts by one column, or by several."""
    places = made.rows if isinstance(made, TrainingList) else made
    keys = (tuple(rows[place][name] for name in names) for place in places)
    return Counter(key[0] if len(names) == 1 else key for key in keys)


def test_each_source_language_and_class_is_capped_alike() -> None:
    rows = [
        *many(50, 0),
        *many(30, 1),
        *many(8, 0, source="two"),
        *many(90, 1, source="two"),
        *many(40, 0, language="zh"),
        *many(40, 1, language="zh"),
    ]
    made = chosen(rows, max_rows=20)
    assert counts(rows, made, "source", "language", "label") == {
        ("one", "en", 0): 20,
        ("one", "en", 1): 20,
        ("two", "en", 0): 8,
        ("two", "en", 1): 20,
        ("one", "zh", 0): 20,
        ("one", "zh", 1): 20,
    }
    assert max(Counter(made.rows.tolist()).values()) == 1


def test_only_the_train_part_trains() -> None:
    rows = many(20, 0) + many(20, 1)
    part = ["train", "calibration", "select", "report", "duplicate"] * 8
    made = chosen(rows, parts=part)
    assert {part[place] for place in made.rows} == {"train"}
    assert len(made.rows) == 8


def test_only_human_and_machine_posts_train() -> None:
    rows = [*many(9, 0), *many(9, 1), *many(9, 1, kind="assisted"), *many(9, 0, kind="edited")]
    assert counts(rows, chosen(rows), "kind") == {"human": 9, "machine": 9}


def test_an_evaluation_only_source_does_not_train_whatever_its_part() -> None:
    rows = [*many(9, 0), *many(9, 1), *many(9, 0, source="only"), *many(9, 1, source="only")]
    assert counts(rows, chosen(rows, evaluation_only=("only",)), "source") == {"one": 18}


def test_a_source_of_one_class_trains_only_beside_the_other_class_of_its_genre() -> None:
    both = [*many(10, 0), *many(10, 1)]
    for other in (
        many(30, 0, source="humans", domain="essays"),
        many(30, 0, source="humans", language="zh"),
        many(30, 1, source="machines", domain="essays"),
    ):
        rows = both + other
        assert counts(rows, chosen(rows), "source") == {"one": 20}


def test_a_source_of_one_class_gives_no_more_posts_than_the_other_class_has() -> None:
    rows = [
        *many(5, 0),
        *many(7, 1),
        *many(4, 1, source="two", domain="essays"),
        *many(4, 0, source="two", domain="essays"),
        *many(30, 0, source="humans"),
    ]
    assert counts(rows, chosen(rows), "source")["humans"] == 7
    assert counts(rows, chosen(rows, max_rows=3), "source")["humans"] == 3


def test_two_sources_of_one_class_each_can_train_together() -> None:
    rows = [*many(30, 0, source="humans"), *many(12, 1, source="machines")]
    assert counts(rows, chosen(rows), "source") == {"humans": 12, "machines": 12}


def test_one_class_in_one_language_does_not_bind_the_other_language() -> None:
    rows = [*many(10, 0), *many(10, 1), *many(10, 0, language="zh")]
    assert counts(rows, chosen(rows), "language") == {"en": 20}


def test_a_source_of_one_class_gives_no_post_of_a_genre_without_the_other_class() -> None:
    rows = [
        *many(10, 0),
        *many(10, 1),
        *many(50, 0, source="humans", domain="essays"),
        *many(50, 0, source="humans"),
    ]
    assert counts(rows, chosen(rows), "source", "domain") == {
        ("one", "tweets"): 20,
        ("humans", "tweets"): 10,
    }


def test_a_source_may_be_seen_several_times() -> None:
    rows = [*many(4, 0), *many(4, 1), *many(4, 0, source="two"), *many(4, 1, source="two")]
    made = chosen(rows, repeat={"two": 3})
    assert counts(rows, made, "source") == {"one": 8, "two": 24}
    times = Counter(made.rows.tolist())
    assert {rows[place]["source"]: n for place, n in times.items()} == {"one": 1, "two": 3}


def test_what_machines_repeat_people_may_match_with_posts_of_their_own() -> None:
    rows = [*many(60, 0, source="humans"), *many(12, 1, source="machines")]
    made = chosen(rows, repeat={"machines": 3})
    assert counts(rows, made, "source") == {"humans": 36, "machines": 36}
    assert len({place for place in made.rows if rows[place]["source"] == "humans"}) == 36
    made = chosen(rows, repeat={"machines": 3, "humans": 2})
    assert counts(rows, made, "source") == {"humans": 36, "machines": 36}


def test_a_source_whose_own_split_stands_is_not_capped() -> None:
    rows = [*many(30, 0, source="own"), *many(40, 1, source="own"), *many(30, 0), *many(30, 1)]
    made = chosen(rows, own_split=("own",), max_rows=10)
    assert counts(rows, made, "source", "label") == {
        ("own", 0): 30,
        ("own", 1): 40,
        ("one", 0): 10,
        ("one", 1): 10,
    }


@pytest.mark.parametrize(
    "rows",
    [
        [],
        many(9, 0),
        many(9, 1),
        [*many(9, 0), *many(9, 1, kind="assisted")],
        [*many(9, 0), *many(9, 1, source="two", language="zh")],
    ],
)
def test_training_on_one_class_or_none_is_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="both classes"):
        chosen(rows)


def test_posts_of_which_none_may_train_are_refused() -> None:
    rows = [*many(9, 0), *many(9, 1)]
    with pytest.raises(DataError, match="both classes"):
        chosen(rows, parts=["report"] * 18)
    with pytest.raises(DataError, match="both classes"):
        chosen(rows, evaluation_only=("one",))


def test_crops_are_drawn_from_those_of_the_config() -> None:
    rows = [*many(300, 0), *many(300, 1)]
    made = chosen(rows, crops=(16, 64, 256))
    assert made.crops.shape == made.offsets.shape == made.rows.shape
    shares = [n / len(rows) for _, n in sorted(Counter(made.crops.tolist()).items())]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.07)
    assert not chosen(rows).crops.any()


def test_half_of_the_cuts_begin_where_the_post_begins() -> None:
    made = chosen([*many(300, 0), *many(300, 1)], crops=(16,))
    assert np.mean(made.offsets == 0) == pytest.approx(0.5, abs=0.07)
    assert made.offsets.max() < 1


def test_each_copy_of_a_post_is_cut_anew() -> None:
    rows = [*many(50, 0), *many(50, 1)]
    made = chosen(rows, crops=(16, 32, 64, 128), repeat={"one": 4})
    cuts = {place: set(made.crops[made.rows == place].tolist()) for place in made.rows.tolist()}
    assert max(len(lengths) for lengths in cuts.values()) > 2


def test_a_training_that_goes_on_cuts_the_same_posts_anew() -> None:
    rows = [*many(50, 0), *many(50, 1)]
    two = chosen(rows, crops=(16, 32, 64, 128), repeat={"one": 2})
    data = DataConfig(crops=(16, 32, 64, 128))
    part = np.array(["train"] * len(rows), dtype=object)
    second = training_list(posts(rows), part, data, seed=0, first_copy=1)
    for place in second.rows.tolist():
        cuts = two.crops[two.rows == place].tolist()
        assert second.crops[second.rows == place].tolist() == cuts[1:]


def test_a_share_of_the_posts_loses_its_links_and_a_share_its_names() -> None:
    rows = [*many(300, 0), *many(300, 1)]
    made = chosen(rows, drop_links=0.3)
    assert made.no_links.shape == made.no_names.shape == made.rows.shape
    assert made.no_links.mean() == pytest.approx(0.3, abs=0.07)
    assert made.no_names.mean() == pytest.approx(0.3, abs=0.07)
    assert (made.no_links & made.no_names).mean() == pytest.approx(0.09, abs=0.05)
    for share in (0.0, 1.0):
        made = chosen(rows, drop_links=share)
        assert made.no_links.mean() == made.no_names.mean() == share


def test_the_texts_are_those_of_the_list_without_what_they_lose() -> None:
    rows = [*many(2, 0), *many(2, 1)]
    normalised = ["@user so good http", "plain", "@user http", "good http"]
    kept = chosen(rows, repeat={"one": 2})
    assert kept.texts(normalised) == [normalised[place] for place in kept.rows]
    made = chosen(rows, drop_links=1.0)
    bare = dict(zip(made.rows.tolist(), made.texts(normalised), strict=True))
    assert bare == {0: "so good", 1: "plain", 2: "@user http", 3: "good"}


def lists(made: TrainingList) -> tuple[list[int], list[int], list[float]]:
    return made.rows.tolist(), made.crops.tolist(), made.offsets.tolist()


def test_a_seed_gives_one_list_and_another_seed_another() -> None:
    rows = [*many(60, 0), *many(60, 1)]
    options: dict[str, Any] = {"max_rows": 20, "crops": (16, 64)}
    assert lists(chosen(rows, seed=1, **options)) == lists(chosen(rows, seed=1, **options))
    assert set(chosen(rows, seed=1, **options).rows) != set(chosen(rows, seed=2, **options).rows)
    crops = [chosen(rows, seed=seed, crops=(16, 64)).crops.tolist() for seed in (1, 2)]
    assert crops[0] != crops[1]


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_neither_the_choice_nor_the_cuts(order: Any) -> None:
    rows = [*many(20, 0), *many(20, 1), *many(9, 0, source="humans")]
    shuffled = list(rows)
    order.shuffle(shuffled)

    def cuts(rows: list[dict[str, Any]]) -> dict[str, tuple[int, float]]:
        made = chosen(rows, max_rows=8, crops=(16, 64))
        return {rows[i]["text"]: (n, at) for i, n, at in zip(*lists(made), strict=True)}

    assert cuts(shuffled) == cuts(rows)


def test_a_longer_list_holds_the_shorter_one() -> None:
    rows = [*many(60, 0), *many(60, 1)]
    assert set(chosen(rows, max_rows=10).rows) < set(chosen(rows, max_rows=20).rows)


def test_what_is_left_out_trains_nothing() -> None:
    rows = [
        *many(30, 0),
        *many(30, 1, generator="old"),
        *many(30, 1, generator="new"),
        *many(30, 0, source="two"),
        *many(30, 1, source="two", generator="old"),
    ]
    everything = chosen(rows)
    for name, value, n in (("generator", "new", 30), ("source", "two", 60)):
        listed = chosen(rows, leave_out={name: (value,)})
        assert len(listed.rows) == len(everything.rows) - n
        assert value not in {rows[row].get(name) for row in listed.rows}
    lengths = chosen(rows, leave_out={"length": ("over 128 words",)})
    assert lengths.rows.tolist() == everything.rows.tolist()
    with pytest.raises(ConfigError, match="leave_out"):
        chosen(rows, leave_out={"colour": ("red",)})


def test_a_share_of_the_posts_of_people_and_machines_alike_is_attacked() -> None:
    rows = [*many(2_000, 0), *many(2_000, 1)]
    made = chosen(rows, max_rows=2_000, augment={"leet": 0.1, "insertion": 0.2})
    by_class = Counter(
        (attack.family, rows[row]["label"])
        for row, attack in zip(made.rows, made.attacks, strict=True)
        if attack is not None
    )
    assert set(by_class) == {(f, y) for f in ("leet", "insertion") for y in (0, 1)}
    for (family, _), n in by_class.items():
        assert n == pytest.approx({"leet": 200, "insertion": 400}[family], rel=0.2)
    assert all(0 < attack.budget <= 1 for attack in made.attacks if attack)
    normalised = [row["text"] for row in rows]
    changed = [
        (attack is not None, text != normalised[row])
        for row, attack, text in zip(made.rows, made.attacks, made.texts(normalised), strict=True)
    ]
    assert not any(new for attacked, new in changed if not attacked)
    assert sum(new for attacked, new in changed if attacked) > 0.9 * sum(a for a, _ in changed)
    again = chosen(rows, max_rows=2_000, augment={"leet": 0.1, "insertion": 0.2})
    assert again.texts(normalised) == made.texts(normalised)


@pytest.mark.parametrize(
    "augment", [{"zero_width": 0.1}, {"nothing": 0.1}, {"leet": 0.6, "space": 0.5}, {"leet": -0.1}]
)
def test_attacks_that_cannot_train_are_refused(augment: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"data\.augment"):
        chosen([*many(5, 0), *many(5, 1)], augment=augment)


def test_some_of_a_list_are_a_list() -> None:
    rows = [*many(20, 0), *many(20, 1)]
    made = chosen(rows, crops=(8, 16), augment={"leet": 0.5})
    some = made.take(np.array([3, 11, 30]))
    assert some.rows.tolist() == made.rows[[3, 11, 30]].tolist()
    assert some.attacks == tuple(made.attacks[i] for i in (3, 11, 30))
    normalised = [row["text"] for row in rows]
    assert some.texts(normalised) == [made.texts(normalised)[i] for i in (3, 11, 30)]


def test_a_genre_may_count_as_another() -> None:
    rows = [
        *many(50, 0, source="people", domain="comment"),
        *many(30, 1, source="m", domain="chat"),
    ]
    with pytest.raises(DataError):
        chosen(rows)
    made = chosen(rows, genres={"chat": "comment"})
    assert counts(rows, made, "label") == {0: 30, 1: 30}


def test_people_whom_a_machine_was_written_beside_come_first() -> None:
    people = many(40, 0, source="people")
    for row in people[:10]:
        row["group"] = row["text"]
    machines = [row | {"group": f"post {i} of"} for i, row in enumerate(many(12, 1, source="m"))]
    for i, row in enumerate(machines[:10]):
        row["group"] = people[i]["group"]
    rows = [*people, *machines]
    made = chosen(rows)
    assert counts(rows, made, "label") == {0: 12, 1: 12}
    assert set(range(10)) <= set(made.rows.tolist())


def test_the_hardest_are_those_that_a_model_gets_wrong_and_their_counterparts() -> None:
    rows = [*many(20, 0), *many(20, 1)]
    rows[3]["group"] = rows[24]["group"] = "pair"
    made = chosen(rows)
    logits = np.array([float(row) for row in made.rows])  # people 0 to 19, machines 20 to 39
    hard = {3, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24}
    kept = hardest(posts(rows), made, logits, 0.25, seed=0).rows.tolist()
    assert set(kept) >= hard
    assert len(kept) == len(set(kept)) == len(hard) + len(hard) // 3
    assert kept == hardest(posts(rows), made, logits, 0.25, seed=0).rows.tolist()


def test_evening_takes_fewer_of_the_posts_that_their_marks_give_away() -> None:
    people, machines = many(300, 0), many(300, 1)
    for row in machines[:200]:
        row["text"] += "!!! :)"
    for row in people[:20]:
        row["text"] += "!!! :)"
    rows = [*people, *machines]
    marked = [row["text"].endswith(":)") for row in rows]

    def share(made: TrainingList, label: int) -> float:
        mine = [row for row in made.rows if rows[row]["label"] == label]
        return float(np.mean([marked[row] for row in mine]))

    plain, even = chosen(rows), chosen(rows, even=True)
    assert len(even.rows) < len(plain.rows)
    assert share(even, 1) - share(even, 0) < share(plain, 1) - share(plain, 0) - 0.1
    assert share(chosen(rows, even=True, repeat={"one": 1}), 1) == share(plain, 1)
