"""Detectors by a string: each form is found, and every answer is checked in one place."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_classifier
from tiny_lm import tiny_lm

from textdetect import Detector
from textdetect.errors import DetectorFailed, InvalidInput, ModelNotFound
from textdetect.evaluation import Checked, resolve
from textdetect.evaluation.remote import UrlScorer

SECRET = "nobody may read this"
Answer = Callable[[int, list[str]], tuple[int, bytes]]
"""(number of the request, its texts) → status, body."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Answer
    n_requests = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.n_requests += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = [post["text"] for post in body["posts"]]
        status, answer = self.server.answer(self.server.n_requests, texts)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


def verdicts(field: str = "logit", by: Callable[[str], Any] = len, more: int = 0) -> Answer:
    """Make an answer of one verdict a post, and `more` besides."""

    def answer(_: int, texts: list[str]) -> tuple[int, bytes]:
        rows = [{field: by(text), "id": 1} for text in [*texts, *["x"] * more]]
        return 200, json.dumps({"verdicts": rows}).encode()

    return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield http
        http.shutdown()


def at(server: Server, **options: Any) -> Checked:
    url = f"http://127.0.0.1:{server.server_port}/v1/score?key=hidden"
    return Checked(UrlScorer(url, pause_s=0.01, **options))


def test_a_url_scores_by_logits_or_probabilities(server: Server) -> None:
    server.answer = verdicts()
    texts = ["a", "bcd", "e\ud83d", "你好"] * 40
    assert at(server).score(texts).tolist() == [1.0, 3.0, 2.0, 2.0] * 40
    assert server.n_requests == 3
    server.answer = verdicts("probability", lambda text: None if text == "a" else 0.25)
    np.testing.assert_array_equal(at(server).score(["a", "b"]), [np.nan, 0.25])
    assert at(server).score([]).shape == (0,)
    url = f"http://127.0.0.1:{server.server_port}"
    assert resolve(url).score(["b"]).tolist() == [0.25]


def test_a_url_is_named_without_its_query(server: Server) -> None:
    assert at(server).name == f"http://127.0.0.1:{server.server_port}/v1/score"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (verdicts(more=1), "2 posts were sent, 3 verdicts came back"),
        (verdicts("score"), "not every verdict has a logit"),
        (verdicts(by=str), "a score is a str; expected a number or null"),
        (verdicts(by=lambda _: True), "a score is a bool"),
        (verdicts(by=lambda _: float("inf")), "2 of 2 scores are infinite"),
        (verdicts(by=lambda _: 10**400), "raised OverflowError"),
        (lambda *_: (200, b"hello"), "expected JSON"),
        (lambda *_: (200, b"[1]"), "expected JSON"),
        (lambda *_: (200, b'{"verdicts": [1, 2]}'), "expected JSON"),
        (lambda *_: (200, b'{"verdicts": "ab"}'), "expected JSON"),
        (lambda *_: (400, SECRET.encode()), "no answer after 1 try: status 400"),
        (lambda *_: (302, b""), "no answer after 1 try: status 302"),
        (lambda *_: (500, SECRET.encode()), "no answer after 3 tries: status 500"),
    ],
)
def test_a_url_that_answers_something_else_fails(server: Server, answer: Answer, says: str) -> None:
    server.answer = answer
    with pytest.raises(DetectorFailed, match=says) as caught:
        at(server).score([SECRET, "b"])
    assert "127.0.0.1" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_url_is_tried_again_a_few_times(server: Server) -> None:
    fine = verdicts()
    server.answer = lambda n, texts: fine(n, texts) if n == 3 else (503, b"")
    assert at(server).score(["abc"]).tolist() == [3.0]
    assert server.n_requests == 3


def test_a_url_that_does_not_answer_in_time_fails(server: Server) -> None:
    failed = threading.Event()
    server.answer = lambda *_: (200 if failed.wait(60) else 500, b"{}")
    with pytest.raises(DetectorFailed, match="no answer after 2 tries: a timeout"):
        at(server, timeout_s=0.1, n_retries=1).score(["a"])
    failed.set()


def test_a_url_where_nobody_listens_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DetectorFailed, match="no answer after 1 try: ConnectionRefusedError"):
        UrlScorer("http://127.0.0.1:9/", n_retries=0).score(["a"])


@pytest.mark.parametrize(
    "url", ["ftp://h/x", "file:///etc/passwd", "http://", "http://u:p@h/", "http://["]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="scoring URL") as caught:
        resolve(url)
    assert "passwd" not in str(caught.value)


MODULE = """
import numpy as np

class Kind:
    @staticmethod
    def score(texts): return [float(len(text)) for text in texts]

def plain(texts):
    assert type(texts) is list
    return [0.5 if text else float("nan") for text in texts]
def short(texts): return [0.5]
def nested(texts): return [[0.5] for _ in texts]
def ragged(texts): return [[0.5], 1.0]
def infinite(texts): return np.array([np.inf, 0.5])
def words(texts): return ["0.5", "high"]
def flags(texts): return [True, False]
def nothing(texts): return None
def holes(texts): return [None, 0.5]
def half(texts): return np.array([0.5, 0.25], dtype=np.float16)
def raises(texts): raise ValueError("bad text: " + texts[0])
number = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a working directory that holds a module of detectors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_detectors.py").write_text(MODULE)
    (tmp_path / "broken_detectors.py").write_text("raise RuntimeError('at import')")
    yield tmp_path
    for name in ("my_detectors", "broken_detectors"):
        sys.modules.pop(name, None)


def test_a_function_is_found_in_the_working_directory(here: Path) -> None:
    path = list(sys.path)
    np.testing.assert_array_equal(resolve("my_detectors:plain").score(["a", ""]), [0.5, np.nan])
    scores = resolve("my_detectors:half").score(("a", "b"))
    assert (scores.dtype, scores.tolist()) == (np.float64, [0.5, 0.25])
    assert resolve("my_detectors:Kind.score").score(["abc"]).tolist() == [3.0]
    assert resolve("my_detectors:plain").name == "my_detectors:plain"
    assert sys.path == path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("short", r"expected scores of shape \(2,\), got \(1,\)"),
        ("nested", r"expected scores of shape \(2,\), got \(2, 1\)"),
        ("ragged", "raised ValueError"),
        ("infinite", "1 of 2 scores are infinite"),
        ("words", "expected float scores"),
        ("flags", "expected float scores .* got bool"),
        ("holes", "expected float scores .* got object"),
        ("nothing", r"got \(\)"),
        ("raises", r"raised ValueError at my_detectors.py:\d+"),
    ],
)
def test_what_a_function_gives_is_checked(here: Path, name: str, says: str) -> None:
    with pytest.raises(DetectorFailed, match=says) as caught:
        resolve(f"my_detectors:{name}").score([SECRET, "b"])
    assert f"my_detectors:{name}" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or name not in ("ragged", "raises")


def test_a_function_that_is_not_there_is_invalid(here: Path) -> None:
    with pytest.raises(InvalidInput, match="no module 'no_such_module'"):
        resolve("no_such_module:score")
    for name in ("absent", "number"):
        with pytest.raises(InvalidInput, match=f"has no function '{name}'"):
            resolve(f"my_detectors:{name}")
    with pytest.raises(DetectorFailed, match="its module raised RuntimeError"):
        resolve("broken_detectors:score")


def test_a_checkpoint_of_ours_scores_by_its_logits(tiny: Path) -> None:
    texts = ["so good, so cheap, and my dog loves it", "", "delve into the delve"]
    scorer = resolve(str(tiny))
    scores = scorer.score(texts)
    np.testing.assert_array_equal(scores, Detector.from_pretrained(tiny).logits(texts))
    assert np.isnan(scores).tolist() == [False, True, False]
    assert not scorer.needs_fit
    with pytest.raises(InvalidInput, match="is not fitted: it scores as it is"):
        scorer.fit(texts, [0, 0, 1])


def test_someone_elses_classifier_needs_the_name_of_its_machine_class(tmp_path: Path) -> None:
    folder = str(tiny_classifier(tmp_path / "theirs"))
    texts = ["the dog walked", "delve the delve"]
    human = resolve(folder, machine_label="human").score(texts)
    np.testing.assert_allclose(human, -resolve(folder, machine_label="machine").score(texts))
    with pytest.raises(InvalidInput, match="machine_label"):
        resolve(folder, machine_label="fake")


def test_a_model_that_is_not_there_is_said_so() -> None:
    with pytest.raises(ModelNotFound, match="no model 'no-such-model'"):
        resolve("no-such-model")


def test_zero_shot_metrics_share_the_models_that_they_name(tmp_path: Path) -> None:
    one, two = (str(tiny_lm(tmp_path / name, seed=i)) for i, name in enumerate(("one", "two")))
    loaded: dict[str, Any] = {}
    scorers = [resolve(f"{m}:{one}", loaded=loaded) for m in ("lrr", "fast-detectgpt")]
    pair = resolve(f"binoculars:{one},{two}", loaded=loaded)
    assert list(loaded) == [one, f"{one},{two}"]
    assert pair.name == f"binoculars:{one},{two}"
    for scorer in (*scorers, pair):
        assert np.isnan(scorer.score(["some text", "a"])).tolist() == [False, True]
    with pytest.raises(InvalidInput, match="needs two models"):
        resolve(f"binoculars:{one}", loaded=loaded)


@pytest.mark.parametrize("name", ["bag-of-words", "stylometry", "length", "constant"])
def test_a_baseline_is_fitted_before_it_scores(name: str) -> None:
    scorer = resolve(name)
    assert (scorer.name, scorer.needs_fit) == (name, True)
    with pytest.raises(InvalidInput, match=f"{name} must be fitted first"):
        scorer.score(["a"])
    scorer.fit(["so good", "it is, indeed, so good"] * 3, [0, 1] * 3)
    assert not scorer.needs_fit
    assert scorer.score(["so", "indeed"]).shape == (2,)
