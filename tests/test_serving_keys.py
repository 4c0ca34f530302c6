"""Who may ask a server, how much, and that nothing of a post leaves it but the verdict."""

from __future__ import annotations

import contextlib
import json
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, served, stubbed
from typer.testing import CliRunner

from textdetect import Client, errors
from textdetect.cli import app

pytest.importorskip("granian")
keys_of = pytest.importorskip("textdetect.serving.keys")

CANARY = "canaryx7q2 so good to see you all"
POSTS = {"posts": [{"text": CANARY}]}


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """Make a file of two keys."""
    made = {name: keys_of.make_key(name, rate) for name, rate in (("one", 20), ("two", None))}
    lines = ["# who may ask", *(line for _, line in made.values())]
    (tmp_path / "keys.txt").write_text("\n".join(lines))
    return {name: secret for name, (secret, _) in made.items()}


@pytest.fixture
def server(tmp_path: Path, secrets: dict[str, str]) -> Iterator[Served]:
    with stubbed(tmp_path, "--keys", str(tmp_path / "keys.txt")) as running:
        yield running


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_only_known_keys_are_let_in(server: Served, secrets: dict[str, str]) -> None:
    for path, body in (("/v1/score", POSTS), ("/v1/model", None), ("/metrics", None)):
        for headers in ({}, _bearer("td-wrong"), {"Authorization": secrets["one"]}):
            status, said, answer = server.ask(path, body, **headers)
            assert (status, said["error"]["type"]) == (401, "not_allowed")
            assert answer["Www-Authenticate"] == "Bearer"
        assert server.ask(path, body, **_bearer(secrets["one"]))[0] == 200
        assert server.ask(path, body, X_API_Key=secrets["two"])[0] == 200
    assert server.ask("/health/ready")[0] == 200
    with pytest.raises(errors.NotAllowed):
        Client(server.url).predict("so good to see you")
    assert Client(server.url, api_key=secrets["two"]).predict("so good to see you")


def test_a_key_has_its_own_rate(server: Served, secrets: dict[str, str]) -> None:
    many = {"posts": POSTS["posts"] * 15}
    statuses = [server.ask("/v1/score", many, **_bearer(secrets["one"]))[0] for _ in range(2)]
    assert statuses == [200, 429]
    status, said, headers = server.ask("/v1/score", many, **_bearer(secrets["one"]))
    assert (status, said["error"]["type"]) == (429, "busy")
    assert int(headers["Retry-After"]) >= 1
    assert {server.ask("/v1/score", many, **_bearer(secrets["two"]))[0] for _ in range(5)} == {200}


def test_a_revoked_key_is_refused_after_a_hangup_signal(
    server: Served, secrets: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "keys.txt"
    kept = [line for line in file.read_text().splitlines() if not line.startswith("one")]
    file.write_text("not a key at all")
    server.process.send_signal(signal.SIGHUP)
    server.wait_until(lambda: "keys stay as they were" in server.log.read_text())
    assert (
        server.ask("/v1/model", **_bearer(secrets["one"]))[0] == 200
    )  # a bad file changes nothing
    file.write_text("\n".join(kept))
    server.process.send_signal(signal.SIGHUP)
    server.wait_until(lambda: server.ask("/v1/model", **_bearer(secrets["one"]))[0] == 401)
    assert server.ask("/v1/model", **_bearer(secrets["two"]))[0] == 200


@pytest.mark.alone
def test_the_time_of_a_refusal_does_not_depend_on_the_key(tmp_path: Path) -> None:
    # Enough keys for comparing them to take longer than what only an unknown one costs: its error.
    made = [keys_of.make_key(f"k{i}") for i in range(2_000)]
    (tmp_path / "keys.txt").write_text("\n".join(line for _, line in made))
    keys = keys_of.Keys(tmp_path / "keys.txt")
    first, last, none = made[0][0], made[-1][0], "td-" + "x" * 43

    def took_s(secret: str) -> float:
        start_s = time.perf_counter()
        for _ in range(3):
            with contextlib.suppress(errors.NotAllowed):
                keys.who(secret)
        return time.perf_counter() - start_s

    rounds = [[took_s(secret) for secret in (first, last, none)] for _ in range(60)]
    medians = [statistics.median(each) for each in zip(*rounds, strict=True)]
    assert max(medians) / min(medians) < 1.1


def test_a_file_of_keys_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    for text, why in (
        ("", "no key"),
        ("a b", "line 1"),
        ("a " + "0" * 64 + "\n" + "a " + "0" * 64, "line 2"),
    ):
        file.write_text(text)
        with pytest.raises(errors.InvalidInput, match=why):
            keys_of.Keys(file)


def test_the_command_shows_a_key_once_and_stores_its_hash(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["key", "newsroom", "--rate", "600"])
    secret = ran.stderr.split()[-1]
    (tmp_path / "keys.txt").write_text(ran.stdout)
    assert secret not in ran.stdout
    found = keys_of.Keys(tmp_path / "keys.txt").who(secret)
    assert (found.name, found.posts_per_minute) == ("newsroom", 600)
    assert CliRunner().invoke(app, ["key", "two words"]).exit_code == 2


def test_a_public_address_needs_keys_or_a_word(tmp_path: Path) -> None:
    from textdetect.serving import serve

    with pytest.raises(errors.InvalidInput, match="--keys"):
        serve(None, host="0.0.0.0")  # type: ignore[arg-type]
    ran = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0"])
    assert (ran.exit_code, ran.stderr.count("\n")) == (2, 2)


@pytest.mark.slow
def test_no_text_appears_in_any_log_metric_or_error(tmp_path: Path) -> None:
    bad: list[bytes | dict[str, object]] = [
        POSTS,
        {"posts": [{"text": CANARY, CANARY: 1}]},
        {"posts": [{"text": [CANARY]}]},
        {"posts": [{"text": CANARY, "language": CANARY}]},
        {"posts": CANARY},
        {"posts": [{"text": CANARY * 20_000}]},
        {"posts": [{"text": CANARY}], "max_fpr": CANARY},
        {CANARY: CANARY},
        {"inputs": CANARY},
        {"inputs": {CANARY: CANARY}},
        {"inputs": [[CANARY, CANARY]]},
        {"input": CANARY},
        {"input": [{"type": CANARY, "text": CANARY}]},
        {"posts": [{"account": CANARY, "text": 1}]},
        json.dumps(POSTS).encode()[:-3],
        b'{"posts": [{"text": "\\ud800' + CANARY.encode() + b'"}]}',
        CANARY.encode(),
        b"\xff\xfe" + CANARY.encode(),
        {"posts": [{"text": f"{CANARY} end this process"}]},
    ]
    paths = (
        "/v1/score",
        "/v1/accounts",
        "/predict",
        "/v1/moderations",
        "/",
        f"/{CANARY.split()[0]}",
    )
    said = []
    with stubbed(tmp_path, "--limits", '{"request_s": 5}') as server:
        for path in paths:
            for body in bad:
                for kind in ("application/json", "application/x-ndjson", CANARY.split()[0]):
                    status, answer, headers = server.ask(path, body, Content_Type=kind)
                    answered = json.dumps([answer, list(headers.items())])
                    if status != 200 or "error" in answered:
                        said.append(answered)
        server.ask(f"/v1/score?max_fpr={CANARY.split()[0]}", POSTS)
        said.append(server.ask("/metrics")[1])
        log = server.log
    assert len(said) > 100
    assert all("canaryx7q2" not in each for each in said)
    assert "canaryx7q2" not in log.read_text()


def test_the_embedded_model_serves_behind_keys(tmp_path: Path, secrets: dict[str, str]) -> None:
    with served(tmp_path, "--keys", str(tmp_path / "keys.txt"), "--workers", "1") as server:
        client = Client(server.url, api_key=secrets["two"])
        assert client.predict("so good to see you all again").language == "en"
        assert '"key": "two"' in server.log.read_text()
        assert secrets["two"] not in server.log.read_text()
