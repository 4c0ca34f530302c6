"""What posts are sliced by, beyond their columns."""

from __future__ import annotations

import pyarrow as pa
import pytest

from textdetect.evaluation.suite import find_suite
from textdetect.posts.corpus import COLUMNS, Posts
from textdetect.posts.dimensions import characters, dimension


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("这家店的服务员态度很好，下次还来", "simplified"),
        ("這家店的服務員態度很好，下次還來", "traditional"),
        ("這次真的很後悔 never again 買這個牌子", "traditional"),
        ("周末打卡 brunch，环境 nice，推荐", "with Latin words"),
        ("@user http 这车 XL 号太小了", "simplified"),
        ("人大", "simplified"),  # the same in both
        ("この店はとても良かったです", ""),
        ("so good to see you", ""),
        ("좋아요", ""),
        ("", ""),
    ],
)
def test_chinese_is_told_by_its_characters(text: str, expected: str) -> None:
    assert characters(text) == expected


def test_a_post_without_a_text_has_no_characters() -> None:
    columns = {name: [None, None] for name in COLUMNS} | {"text": ["你好吗", None], "label": [0, 0]}
    posts = Posts(pa.table({name: pa.array(columns[name], COLUMNS[name]) for name in COLUMNS}))
    assert dimension(posts, "characters").tolist() == ["simplified", ""]


def test_the_languages_are_sliced_by_the_way_chinese_is_written() -> None:
    assert "characters" in find_suite("languages").slices
