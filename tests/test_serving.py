"""The server answers what a Detector answers, in every dialect, to the clients people have."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from served import Served, served, stubbed

from textdetect import AsyncClient, Client, Detector, Verdicts, errors, score_files
from textdetect.evaluation.benchmark import made_posts

httpx = pytest.importorskip("httpx")
pytest.importorskip("granian")
pytest.importorskip("fastapi")

ODD = [
    None,
    "",
    "  ",
    "so",
    "\ud800 hello to all my friends",
    "x" * 200_000,
    "好 的 今天",
    "a\0b c d e",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def posts() -> list[str]:
    return made_posts("short", 600) + made_posts("chinese", 190) + made_posts("long", 10)


@pytest.fixture(scope="module")
def expected(posts: list[str], embedded: Detector) -> Verdicts:
    return embedded.predict(posts)


def _patiently(server: Served, path: str, body: Any) -> Any:
    """Ask until there is room."""
    while True:
        status, answer, headers = server.ask(path, body)
        if status == 200:
            return answer
        assert status == 429
        time.sleep(int(headers["Retry-After"]))


@pytest.mark.slow
def test_eight_hundred_posts_get_the_detectors_verdicts_through_every_dialect_at_once(
    server: Served, posts: list[str], expected: Verdicts
) -> None:
    def score() -> list[Any]:
        return list(Client(server.url, batch_posts=100, n_retries=60).predict(posts))

    async def asynchronously() -> list[Any]:
        async with AsyncClient(server.url, batch_posts=64, n_retries=60) as client:
            return list(await client.predict(posts))

    def stream() -> list[Any]:
        lines = "\n".join(json.dumps({"id": str(i), "text": t}) for i, t in enumerate(posts))
        _, text, _ = server.ask("/v1/score", lines.encode(), Content_Type="application/x-ndjson")
        rows = [json.loads(line) for line in text.splitlines()]
        assert [row.pop("id") for row in rows] == [str(i) for i in range(len(posts))]
        return rows

    def predict() -> list[Any]:
        found = []
        for first in range(0, len(posts), 250):
            body = {"inputs": [[text] for text in posts[first : first + 250]]}
            found += _patiently(server, "/predict", body)
        return found

    def moderations() -> list[Any]:
        found = []
        for first in range(0, len(posts), 500):
            body = {"input": posts[first : first + 500]}
            found += _patiently(server, "/v1/moderations", body)["results"]
        return found

    jobs = (score, lambda: asyncio.run(asynchronously()), stream, predict, moderations)
    with ThreadPoolExecutor(len(jobs)) as pool:
        scored, later, streamed, classes, moderated = (
            each.result() for each in [pool.submit(job) for job in jobs]
        )
    assert scored == list(expected)
    assert later == list(expected)
    assert streamed == expected.to_dicts(nan_as_none=True)
    machine = [next(c["score"] for c in each if c["label"] == "machine") for each in classes]
    assert machine == expected.probability.tolist()
    assert [each["flagged"] for each in moderated] == expected.flagged.tolist()
    scores = [each["category_scores"]["machine_written"] for each in moderated]
    assert scores == expected.probability.tolist()


def test_odd_posts_get_the_detectors_verdicts_too(server: Served, embedded: Detector) -> None:
    with Client(server.url) as client:
        assert client.predict(ODD) == embedded.predict(ODD)
        assert client.predict(ODD, max_fpr=0.05, language="en") == embedded.predict(
            ODD, max_fpr=0.05, language="en"
        )
        codes = ["en", None, "zh", "de", None, "en", "zh", "xx"]
        assert client.predict(ODD, language=codes) == embedded.predict(ODD, language=codes)
        assert client.predict("so good to see you") == embedded.predict("so good to see you")
        assert client.predict([]) == embedded.predict([])
        assert client(ODD[3:5]) == embedded(ODD[3:5])
        assert list(client.predict_iter(iter(ODD[3:5]))) == list(embedded.predict(ODD[3:5]))
        assert client.logits(ODD[3:5]).tolist() == embedded.logits(ODD[3:5]).tolist()
        assert (client.name, client.version) == (embedded.name, embedded.version)
        assert (client.fingerprint, client.numerics) == (embedded.fingerprint, embedded.numerics)
        assert client.languages == embedded.languages


def test_a_client_raises_what_a_detector_raises(server: Served) -> None:
    client = Client(server.url, n_retries=0)
    with pytest.raises(errors.InvalidInput, match="text 1: expected str"):
        client.predict(["a", 1])
    with pytest.raises(errors.InvalidInput, match="max_fpr"):
        client.predict("a", max_fpr=2)
    with pytest.raises(errors.TooFewCalibration):
        client.predict("a", max_fpr=1e-9)
    with pytest.raises(errors.InvalidInput, match="expected 1 codes"):
        client.predict(["a"], language=["en", "en"])
    with pytest.raises(errors.InvalidInput, match="language"):
        client.predict(["so good to see you"], language="English")
    with pytest.raises(errors.InvalidInput, match="url"):
        Client("ftp://host")
    with pytest.raises(errors.ServerBusy, match="does not answer"):
        Client("http://127.0.0.1:9", n_retries=0).predict("a")
    with pytest.raises(errors.ServerError):
        Client(server.url + "/nowhere", n_retries=0).predict("a")


def test_files_are_scored_by_a_server_as_by_a_detector(
    server: Served, embedded: Detector, tmp_path: Path
) -> None:
    file = tmp_path / "posts.csv"
    file.write_text("id,text\n1,so good to see you all again\n2,\n3,the weather was fine today\n")
    score_files(file, tmp_path / "there.csv", detector=Client(server.url))
    score_files(file, tmp_path / "here.csv", detector=embedded)
    assert (tmp_path / "there.csv").read_text() == (tmp_path / "here.csv").read_text()
    score_files([file, file], f"{tmp_path}/many/", detector=Client(server.url), workers=1)
    assert len(list((tmp_path / "many").glob("*.parquet"))) == 1


def test_the_moderation_client_of_openai_works_unchanged(
    server: Served, embedded: Detector
) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    text = "so good to see you all again last night"
    one = client.moderations.create(input=text)
    assert one.results[0].flagged == embedded.predict(text).flagged
    scores = one.results[0].category_scores.model_dump()
    assert scores["machine_written"] == embedded.predict(text).probability
    parts = [{"type": "text", "text": text}] * 2
    assert len(client.moderations.create(input=parts, model="omni-moderation-latest").results) == 2
    with pytest.raises(openai.UnprocessableEntityError):
        client.moderations.create(input=[{"type": "image_url", "image_url": {"url": "data:"}}])


def test_the_inference_client_of_the_hub_works_unchanged(
    server: Served, embedded: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_OFFLINE", False
    )  # it is asked for this host alone
    text = "so good to see you all again last night"
    for path in ("", "/"):
        found = hub.InferenceClient(server.url + path).text_classification(text)
        scores = {each.label: each.score for each in found}
        assert scores["machine"] == embedded.predict(text).probability
        assert scores["not_flagged"] == pytest.approx(1 - scores["machine"])
        (best,) = hub.InferenceClient(server.url + path).text_classification(text, top_k=1)
        assert best == max(found, key=lambda each: each.score)
    raw = hub.InferenceClient(server.url).text_classification(text, function_to_apply="none")
    logit = embedded.predict(text).logit
    assert {each.label: each.score for each in raw} == {"machine": logit, "not_flagged": 0.0}


def test_a_list_of_strings_is_a_batch_as_in_text_embeddings_inference(
    server: Served, embedded: Detector
) -> None:
    texts = ["so good to see you all again last night", "", "the weather was fine today, was it"]
    known = [None if p != p else p for p in embedded.predict(texts).probability.tolist()]
    for path in ("/predict", "/"):
        for inputs in (texts, [[text] for text in texts], [texts[0], [texts[1]], texts[2]]):
            status, found, _ = server.ask(path, {"inputs": inputs})
            assert status == 200
            scores = [{c["label"]: c["score"] for c in each} for each in found]
            assert [each["machine"] for each in scores] == known
            assert [found[1][0]["label"], found[1][0]["score"]] == ["not_flagged", None]
        assert server.ask(path, {"inputs": texts[:1]})[1] == found[:1]
        assert server.ask(path, {"inputs": []})[1] == []
    status, alone, _ = server.ask("/predict", {"inputs": texts[0], "truncate": True})
    assert (status, alone) == (200, found[0])
    assert alone[0]["score"] >= alone[1]["score"]
    raw = server.ask("/predict", {"inputs": texts[0], "raw_scores": True})[1]
    assert {c["label"]: c["score"] for c in raw}["machine"] == embedded.predict(texts[0]).logit


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/predict", {"inputs": [["a", "b"]]}, 422, "inputs.0: List should have at most 1 item"),
        ("/", {"inputs": [5]}, 422, "inputs.0: expected a string or a list of one string"),
        ("/", {"inputs": {}}, 422, "inputs: expected a string or a list"),
        ("/", {"inputs": [[5]]}, 422, "inputs.0.0: Input should be a valid string"),
        ("/", {"inputs": "a", "parameters": {"top_k": 0}}, 422, "parameters.top_k: Input should"),
        ("/v1/moderations", {"input": [{"type": "image_url"}]}, 422, "input.0.type: Input should"),
        ("/v1/score", {"posts": ["a", 1]}, 422, "posts.1: expected a string or an object"),
        ("/v1/score", {"posts": ["a", {"text": 1}]}, 422, "posts.1.text: Input should be a valid"),
        ("/v1/score", {"posts": ["a" * 100_001]}, 413, "posts.0: String should have at most"),
    ],
)
def test_what_is_wrong_with_a_body_is_said_truthfully(
    server: Served, path: str, body: Any, status: int, said: str
) -> None:
    found, answer, _ = server.ask(path, body)
    assert (found, answer["error"]["message"][: len(said)]) == (status, said)


def test_posts_may_be_plain_strings_and_languages_bcp_47(server: Served) -> None:
    text = "so good to see you all again last night"
    codes = ("en", "en-US", "EN_gb", "zh-CN", "zh-Hans-CN", "und")
    posts = [text, {"id": "2", "text": text}, *({"text": text, "language": c} for c in codes)]
    status, answer, _ = server.ask("/v1/score", {"posts": posts})
    plain, second, in_english = answer["verdicts"][:3]
    assert status == 200
    assert plain == second | {"id": None} == in_english
    assert len(answer["verdicts"]) == len(posts)


def test_accounts_are_judged_as_by_the_function(server: Served, embedded: Detector) -> None:
    from textdetect import score_accounts

    posts = made_posts("short", 60)
    owners = [f"account {i % 5}" for i in range(60)]
    rows = [{"account": a, "text": t} for a, t in zip(owners, posts, strict=True)]
    status, answer, _ = server.ask("/v1/accounts", {"posts": rows, "fdr": 0.1})
    here = score_accounts({"account": owners, "text": posts}, detector=embedded, fdr=0.1)
    assert status == 200
    assert answer["accounts"] == here.to_table().to_pylist()
    assert (answer["fdr"], answer["fewest"]) == (0.1, here.fewest)


def test_a_stream_answers_each_line_in_its_place(server: Served) -> None:
    lines = b'{"text":"so good to see you"}\nnot json\n\n{"text":1}\n{"id":"z","text":null}'
    status, text, headers = server.ask("/v1/score", lines, Content_Type="application/x-ndjson")
    rows = [json.loads(line) for line in text.splitlines()]
    assert (status, headers["Content-Type"]) == (200, "application/x-ndjson")
    assert ["error" in row for row in rows] == [False, True, True, False]
    assert (rows[3]["id"], rows[3]["reason"]) == ("z", "empty")
    for row in rows[1:3]:
        assert set(row["error"]) == {"type", "message", "param", "code"}
        assert row["error"]["type"] == "invalid_input"
    assert rows[2]["error"]["message"] == "text: Input should be a valid string"
    at_05 = server.ask("/v1/score?max_fpr=0.05", lines, Content_Type="application/x-ndjson")
    assert at_05[0] == 200
    assert server.ask("/v1/score?max_fpr=9", lines, Content_Type="application/x-ndjson")[0] == 422


def test_a_line_of_a_stream_is_answered_before_the_next_is_sent(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as there:
        there.sendall(
            b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for text in ("so good to see you", "the weather was fine today"):
            line = json.dumps({"id": text, "text": text}).encode() + b"\n"
            there.sendall(b"%x\r\n%s\r\n" % (len(line), line))
            got = b""
            while text.encode() not in got:
                got += there.recv(4_096)
        there.sendall(b"0\r\n\r\n")
        assert there.recv(4_096).endswith(b"0\r\n\r\n")


def test_it_says_what_it_is_and_how_it_is(server: Served, embedded: Detector) -> None:
    about = server.ask("/v1/model")[1]
    assert about["fingerprint"] == embedded.fingerprint
    assert about["limits"]["posts"] == 1_000
    assert server.ask("/health/live")[1] == server.ask("/health/ready")[1] == {"status": "ok"}
    server.ask("/v1/score", {"posts": [{"text": "so good to see you"}]})
    metrics = server.ask("/metrics")[1]
    assert 'textdetect_requests_total{path="/v1/score",status="200"}' in metrics
    assert "textdetect_posts_total{label=" in metrics
    assert "textdetect_workers_ready" in metrics
    document = server.ask("/openapi.json")[1]
    assert (
        document["components"]["schemas"]["ScoreRequest"]["properties"]["posts"]["maxItems"]
        == 1_000
    )
    assert server.ask("/info")[1]["model_type"]["classifier"]["id2label"]["1"] == "machine"


def test_every_answer_has_security_headers_and_an_id(server: Served) -> None:
    for path in ("/", "/v1/model", "/nowhere", "/page/app.js"):
        _, _, headers = server.ask(path)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert len(headers["X-Request-Id"]) == 32
        assert "Access-Control-Allow-Origin" not in headers
    assert server.ask("/v1/model", X_Request_ID="mine-1")[2]["X-Request-Id"] == "mine-1"
    assert server.ask("/v1/model", X_Request_ID="<b>")[2]["X-Request-Id"] != "<b>"


def test_a_stub_serves_without_a_model(tmp_path: Path) -> None:
    with stubbed(tmp_path, "--workers", "2") as stub:
        assert Client(stub.url).predict(["so good to see you all"] * 3).label.tolist()
        assert stub.ask("/v1/accounts", {"posts": []})[0] == 404  # it has no human accounts


def test_one_clients_batches_shut_no_other_client_out(tmp_path: Path) -> None:
    def of(client: str, n_posts: int) -> int:
        posts = [f"so good to see you all again, {random.random()}" for _ in range(n_posts)]
        return ask_from(client, stub, {"posts": posts})

    with stubbed(tmp_path, "--post-ms", "10") as stub, ThreadPoolExecutor(6) as pool:
        assert of("127.0.0.3", 16) == 200  # so that the rate is known
        batch = pool.submit(of, "127.0.0.2", 1_000)
        stub.wait_until(lambda: "waiting_posts 0.0" not in stub.ask("/metrics")[1])
        more = [pool.submit(of, "127.0.0.2", 300) for _ in range(4)]
        taken_s = []
        for _ in range(10):
            start_s = time.perf_counter()
            assert of("127.0.0.3", 1) == 200
            taken_s.append(time.perf_counter() - start_s)
        assert {each.result() for each in more} == {429}
        assert not batch.done()
        assert max(taken_s) < 2.0


def ask_from(address: str, server: Served, body: Any) -> int:
    """Ask from one of the loopback's addresses, each of which is a client of its own."""
    link = http.client.HTTPConnection(
        "127.0.0.1", server.port, timeout=30, source_address=(address, 0)
    )
    with contextlib.closing(link):
        link.request("POST", "/v1/score", json.dumps(body), {"Content-Type": "application/json"})
        return link.getresponse().status


def test_the_answers_of_an_older_server_are_read_with_a_note() -> None:
    model = {"name": "m", "version": "1", "fingerprint": "f", "numerics": "n"}
    old = {"id": None, "label": "human", "probability": 0.1, "logit": -2.2, "p_value": 0.8}
    old |= {"flagged": False, "language": "en", "reason": None, "n_tokens": 6, "truncated": False}

    def answer(request: Any) -> Any:
        if request.method == "GET":
            return httpx.Response(200, json=model | {"smallest_max_fpr": 0.001})
        assert json.loads(request.content)["max_fpr"] == 0.01
        return httpx.Response(200, json={"model": model, "max_fpr": 0.01, "verdicts": [old]})

    client = Client("http://old:1")
    client._http = httpx.Client(base_url=client.url, transport=httpx.MockTransport(answer))
    texts = pd.Series(["<b>so</b> good to see you"], index=[7])
    with pytest.warns(UserWarning, match='say "human"'):
        verdicts = client.predict(texts, max_fpr=np.float32(0.01))
    assert (verdicts.label.tolist(), verdicts.notes.tolist()) == (["not_flagged"], [()])
    assert verdicts.to_pandas().index.tolist() == [7]
    assert "&lt;b&gt;so" in verdicts._repr_html_()
    with pytest.raises(errors.InvalidInput, match="language"):
        client.predict(iter(["so good"]), language=["en", "en"])
