"""The page that a server shows: what it sends, shows and keeps still, in a real browser."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from served import stubbed

import textdetect

pytestmark = pytest.mark.slow
HERE = Path(textdetect.__file__).parent / "serving" / "page"
FILES = {"/": "index.html", "/page/app.css": "app.css", "/page/app.js": "app.js"}
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MODEL = {"name": "default", "version": "2.0.0", "fingerprint": "ab" * 32, "numerics": "some-fp32"}
REFUSAL = {"error": {"type": "any", "message": "<b>no</b>", "param": None, "code": None}}
LIVE = "This robot writes a post for you."
NASTY = "<img src=x onerror=\"document.title='ran'\"><script>document.title='ran'</script> is it"
POSTS = [LIVE, "It rained right through my shoes.", "short", "a maybe post, who can tell", NASTY]


def verdict(text: str | None) -> dict[str, Any]:
    """Judge by a rule that a test can foresee."""
    text = text or ""
    n = len(text.split())
    reason = "empty" if n == 0 else "too_short" if n < 4 else None
    reason = reason or ("inconclusive" if "maybe" in text else None)
    label = "uncertain" if reason else "machine" if "robot" in text else "not_flagged"
    figures = {"machine": (0.998, 6.2, 0.00213), "uncertain": (0.61, 0.4, 0.04)}
    found = figures.get(label, (0.07, -2.6, 0.6)) if n else (None, None, None)
    verdict = dict(zip(("probability", "logit", "p_value"), found, strict=True))
    verdict |= {"label": label, "flagged": label == "machine", "reason": reason, "id": None}
    verdict |= {"language": "en" if n else "und", "n_tokens": n, "truncated": False}
    return verdict | {"notes": ["html"] if "<img" in text else []}


class Standin(ThreadingHTTPServer):
    """A server of the page with a rule in place of a model."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.limits = {"posts": 1000, "characters": 100_000, "body_bytes": 8_388_608}
        self.sent: list[dict[str, Any]] = []  # the body of every request that was judged
        self.refusals: list[tuple[int, dict[str, str]]] = []  # of the next requests to judge
        self.key: str | None = None  # the header that is asked for
        self.keys: list[str | None] = []  # what came instead, with every request
        self.most, self.end = 1000, Event()  # requests that are judged; more wait for the end

    @property
    def texts(self) -> list[str | None]:
        return [post["text"] for body in self.sent for post in body["posts"]]


class Answer(BaseHTTPRequestHandler):
    server: Standin

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path in FILES:
            file = HERE / FILES[self.path]
            self.answer(200, file.read_bytes(), {"Content-Type": KINDS[file.suffix]})
        elif not self.is_refused([]):
            rest = {"languages": ["en", "zh"], "max_fpr": 0.01, "smallest_max_fpr": 0.0075}
            self.answer(200, MODEL | rest | {"limits": self.server.limits})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if len(self.server.sent) >= self.server.most:
            self.server.end.wait(60)
        elif not self.is_refused(self.server.refusals):
            self.server.sent.append(body)
            verdicts = [verdict(post["text"]) for post in body["posts"]]
            self.answer(200, {"model": MODEL, "max_fpr": body["max_fpr"], "verdicts": verdicts})

    def is_refused(self, refusals: list[tuple[int, dict[str, str]]]) -> bool:
        self.server.keys.append(self.headers["Authorization"])
        known = self.server.key in (None, self.headers["Authorization"])
        refusal = (401, {}) if not known else refusals.pop(0) if refusals else None
        if refusal:
            self.answer(refusal[0], REFUSAL, refusal[1])
        return refusal is not None

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        base = {"Content-Type": "application/json", "Content-Security-Policy": POLICY}
        base |= {"X-Content-Type-Options": "nosniff", "Content-Length": str(len(data))}
        self.send_response(status)
        for name, value in (base | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[Standin]:
    with Standin() as standin:
        Thread(target=standin.serve_forever, args=[0.05], daemon=True).start()
        yield standin
        standin.end.set()
        standin.shutdown()


@contextmanager
def page(chromium: Any, server: Standin, *, width: int = 1440, **options: Any) -> Iterator[Any]:
    """Open the page; in the end it has asked no other host, and no script or policy complained."""
    size = {"width": width, "height": 900}
    with chromium.new_context(viewport=size, **({"locale": "en-US"} | options)) as context:
        tab, said, asked = context.new_page(), [], []
        tab.set_default_timeout(10_000)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(server.url)
        tab.wait_for_selector("#model dt:nth-of-type(2), #key:visible")
        yield tab
        assert [text for text in said if "the server responded with a status" not in text] == []
        assert [url for url in asked if not url.startswith((server.url, "data:,", "blob:"))] == []
        assert tab.evaluate("document.cookie + localStorage.length + sessionStorage.length") == "00"
        assert tab.title().startswith("textdetect")  # no markup of a post ran


@pytest.fixture
def tab(chromium: Any, server: Standin) -> Iterator[Any]:
    with page(chromium, server) as opened:
        yield opened


def judge(tab: Any, text: str = "", *, says: str = "Done.") -> None:
    if text:
        tab.fill("#posts", text)
    tab.click("#judge")
    tab.locator("#status", has_text=says).wait_for(state="attached")


def choose(tab: Any, name: str, content: str | bytes) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    tab.set_input_files("#file", {"name": name, "mimeType": "", "buffer": data})


def column(tab: Any, name: str) -> list[str]:
    return [text.strip() for text in tab.locator(f"#rows .{name}").all_inner_texts()]


def test_pasted_posts_get_verdicts_in_words_and_figures(tab: Any, server: Standin) -> None:
    facts = tab.locator("#model dd").all_inner_texts()
    assert facts == ["default", "2.0.0", "some-fp32", "ab" * 8, "English and Chinese"]
    assert "never the sole ground" in tab.inner_text("header")
    judge(tab, "\n\n".join(POSTS))
    assert (server.texts, server.sent[0]["max_fpr"]) == (POSTS, 0.01)
    assert column(tab, "label")[:3] == ["▲ machine", "○ not flagged", "? uncertain"]
    assert column(tab, "p_value")[:2] == ["0.00213", "0.6"]
    assert column(tab, "probability")[:2] == [">99%", "7%"]
    assert column(tab, "reason")[2] == "too few words to tell"
    assert "5 posts: 1 flagged as machine-written, 2 uncertain" in tab.inner_text("#summary")
    tab.select_option("#filter", "machine")
    assert column(tab, "post") == [LIVE]
    judge(tab, "  ", says="")
    assert tab.inner_text("#error").startswith("There is nothing to judge")


def test_all_of_the_text_can_be_one_post(tab: Any, server: Standin) -> None:
    tab.check("[value=whole]")
    tab.select_option("#max-fpr", "0.05")
    judge(tab, f"one\n\n{LIVE} " + "word " * 60)
    assert (len(server.texts), server.sent[0]["max_fpr"]) == (1, 0.05)
    tab.click("#rows summary")
    assert tab.inner_text("#rows .full") == server.texts[0]


def test_a_csv_file_is_read_by_the_rfc_and_its_markup_stays_text(tab: Any, server: Standin) -> None:
    content = (
        f'\ufeffid,{NASTY},Post\r\n1,"a ""quoted"" cell","first of a robot,\nand second"\r\n\r\n'
        '2,,=2+2 is a formula here\r\n3,x\r\n4,-1,"' + NASTY.replace('"', '""') + '"'
    )
    choose(tab, f"{NASTY.replace('/', '')}.csv", content)
    tab.locator("#file-count", has_text="4 posts").wait_for()
    assert tab.locator("#column option").all_inner_texts()[1].startswith("<img src=x")
    judge(tab)
    assert server.texts == ["first of a robot,\nand second", "=2+2 is a formula here", NASTY]
    assert column(tab, "reason")[2] == "the row could not be read"
    assert column(tab, "post")[3] == NASTY
    server.refusals = [(413, {})]
    tab.select_option("#column", "0")
    judge(tab, says="")
    tab.locator("#error", has_text="The server refused (413): <b>no</b>").wait_for()
    assert tab.locator("img, script:not([src]), b, main script").count() == 0
    judge(tab)
    assert server.texts[3:] == ["1", "2", "4"]


def test_a_file_can_be_dropped_and_an_odd_column_be_chosen(tab: Any, server: Standin) -> None:
    drop = """content => {
        const [files, how] = [new DataTransfer(), {bubbles: true, cancelable: true}];
        files.items.add(new File([content], "a.jsonl"));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: files, ...how}));
    }"""
    lines = ['{"a": 1, "words": "one robot of a post"}', "broken", '{"words": null, "b": "x"}']
    tab.evaluate(drop, "\r\n".join(lines))
    tab.locator("#file-count", has_text="3 posts").wait_for()
    tab.click("#judge")
    assert tab.inner_text("#error") == "Choose the column of the posts."
    tab.select_option("#column", "1")
    judge(tab)
    assert server.texts == ["one robot of a post", None]
    assert column(tab, "reason") == ["", "the row could not be read", "nothing to read"]


def test_files_are_read_or_refused_in_words(tab: Any, server: Standin) -> None:
    for name, content, wanted in (
        ("a.txt", "a robot\r\n\r\nb", ["a robot", "b"]),
        ("a.tsv", 'n\ttext\n1\t"c\td"\n', ["c\td"]),
        ("a.csv", "n;内容\n1;a,b\n", ["a,b"]),
        ("a.csv", 'any\n5" nails\n', ['5" nails']),
        ("A.CSV", "n,text\n1,好".encode("utf-16"), ["好"]),
        ("a.csv", "n,text\n1,\xff".encode("latin-1"), "not text in UTF-8"),
        ("a.csv", 'n,text\n1,"a\n\n', "line 2 is never closed"),
        ("a.csv", "n,text\n", "no rows"),
        ("a.xlsx", "n,text\n1,a", "can’t be read here"),
    ):
        choose(tab, name, content)
        if isinstance(wanted, str):
            tab.locator("#error", has_text=wanted).wait_for()
        else:
            tab.locator("#preview", has_text=wanted[0].replace("\t", " ")).wait_for()
            judge(tab)
            assert [post["text"] for post in server.sent[-1]["posts"]] == wanted


def test_the_keyboard_is_enough(tab: Any, server: Standin) -> None:
    def go(to: str) -> None:
        for _ in range(20):
            tab.keyboard.press("Tab")
            at = tab.evaluate_handle("document.activeElement")
            ring = "e => getComputedStyle(e.closest('.drop') ?? e).outlineWidth"
            assert at.evaluate(ring) == "2px"
            if at.evaluate("e => e.id || e.className") == to:
                return
        raise AssertionError(f"no way to {to}")

    go("skip")
    tab.keyboard.press("Enter")
    go("posts")
    tab.keyboard.type(LIVE)
    go("max-fpr")
    tab.keyboard.press("ArrowDown")
    go("judge")
    tab.keyboard.press("Enter")
    tab.locator("#status", has_text="Done.").wait_for()
    assert (column(tab, "label"), server.sent[0]["max_fpr"]) == (["▲ machine"], 0.05)
    with tab.expect_download():
        go("download")
        tab.keyboard.press("Enter")
    tab.focus("#posts")
    with tab.expect_file_chooser() as chooser:
        go("file")
        tab.keyboard.press("Enter")
    chooser.value.set_files({"name": "a.txt", "mimeType": "", "buffer": b"a robot"})
    tab.locator("#file-count", has_text="1 post").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_it_fits_and_axe_agrees(chromium: Any, server: Standin, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with page(chromium, server, width=width, color_scheme=scheme) as tab:
        for text in (None, "\n".join([*POSTS, "a" * 3000, "今天下雨，我的新鞋全湿了。"])):
            if text:
                judge(tab, text)
                tab.click("#rows summary")
            assert tab.evaluate("document.documentElement.scrollWidth") == width
            found = axe.run(tab).response["violations"]
            assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


def test_it_speaks_chinese(chromium: Any, server: Standin) -> None:
    with page(chromium, server, locale="zh-CN") as tab:
        assert tab.get_attribute("html", "lang") == "zh-Hans"
        judge(tab, "\n".join(POSTS), says="完成。")
        assert column(tab, "label")[:3] == ["▲ 机器", "○ 未标记", "? 不确定"]
        chinese = tab.locator("[data-t], dt, dd, [role=status]").all_text_contents()
        tab.click("text=English")
        assert (tab.get_attribute("html", "lang"), column(tab, "label")[0]) == ("en", "▲ machine")
        english = tab.locator("[data-t], dt, dd, [role=status]").all_text_contents()
        same = [word for word, other in zip(english, chinese, strict=True) if word == other]
        assert same == ["default", "2.0.0", "some-fp32", "ab" * 8]


def test_a_long_table_comes_bit_by_bit(tab: Any, server: Standin) -> None:
    judge(tab, "\n".join(f"post {i} of a person" for i in range(450)))
    assert [len(body["posts"]) for body in server.sent] == [250, 200]
    assert len(column(tab, "label")) == 200
    for n in (400, 450):
        tab.click("#more")
        assert len(column(tab, "label")) == n
        assert tab.evaluate("document.activeElement.cells[0].innerText") in ("201", "401")
    assert not tab.is_visible("#more")


def test_many_posts_go_in_pieces_at_the_servers_pace(chromium: Any, server: Standin) -> None:
    server.limits |= {"posts": 3, "characters": 40, "body_bytes": 400}
    server.refusals = [(429, {"Retry-After": "1"}), (503, {"Retry-After": "0"})]
    texts = [f"post {i} of a person" for i in range(7)] + ["😀" * 50, "é" * 40]
    with page(chromium, server) as tab:
        judge(tab, "\n".join(texts), says="going on in 1 s")
        tab.locator("#status", has_text="Done.").wait_for()
        assert [len(body["posts"]) for body in server.sent] == [3, 3, 1, 1, 1]
        assert server.texts == [*texts[:7], "😀" * 40, texts[8]]
        assert [name for name in column(tab, "label") if "only its beginning" in name] != []


def test_a_run_can_be_stopped_and_keeps_what_it_has(chromium: Any, server: Standin) -> None:
    server.limits |= {"posts": 2}
    busy = [(429, {"Retry-After": "99"})]
    for n, says, server.most, server.refusals in ((2, "2 of 5", 1, []), (0, "99 s", 2, busy)):
        with page(chromium, server) as tab:
            judge(tab, "\n".join(POSTS), says=says)
            tab.click("#stop")
            tab.locator("#status", has_text=f"Stopped: {n} of 5").wait_for()
            assert tab.evaluate("document.activeElement.id") == "judge"
            assert len(column(tab, "label")) == n


def test_a_key_is_asked_for_and_sent_and_nowhere_kept(chromium: Any, server: Standin) -> None:
    server.key = "Bearer secret-1"
    with page(chromium, server) as tab:
        judge(tab, LIVE, says="")
        tab.locator("#error", has_text="asks for an API key").wait_for()
        for key, says in {"wrong": "not accept", "好": "not accept", "secret-1": ""}.items():
            assert tab.evaluate("document.activeElement.id") == "key"
            tab.fill("#key", key)
            tab.keyboard.press("Enter")
            tab.locator("#error", has_text=says).wait_for(state="attached")
        tab.locator("#status", has_text="Done.").wait_for()
        assert set(server.keys) == {None, "Bearer wrong", "Bearer secret-1"}


def test_the_download_has_every_column_and_no_formula(tab: Any, server: Standin) -> None:
    rows = [["=id", "text", "td_label", "n"], ["@x", "=2+2 is, a formula", "old", "-1"]]
    rows += [["+1", "\ta robot in a post", "", "\r"], ["ok", 'a "quoted"\npost here', "", "7"]]
    content = io.StringIO()
    csv.writer(content).writerows(rows)
    choose(tab, "a.csv", content.getvalue())
    tab.wait_for_selector("#chosen")
    judge(tab)
    with tab.expect_download() as download:
        tab.click("#download")
    assert download.value.suggested_filename == "verdicts.csv"
    text = download.value.path().read_bytes().decode("utf-8-sig")
    got = list(csv.reader(io.StringIO(text, newline="")))
    first = dict(zip(got[0], got[1], strict=True))
    assert [row[:4] for row in got] == [
        ["'=id", "text", "n", "td_label"],
        ["'@x", "'=2+2 is, a formula", "'-1", "not_flagged"],
        ["'+1", "'\ta robot in a post", "'\r", "machine"],
        ["ok", 'a "quoted"\npost here', "7", "not_flagged"],
    ]
    wanted = {"logit": "-2.6", "p_value": "0.6", "flagged": "false", "fingerprint": "ab" * 32}
    assert {name: first[f"td_{name}"] for name in wanted} == wanted


def test_without_scripts_the_page_points_to_the_api(chromium: Any, server: Standin) -> None:
    with chromium.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto(server.url)
        assert "POST /v1/score" in tab.inner_text("body")
        assert not tab.is_visible("#form")


def test_a_real_server_shows_the_page_and_answers_it(chromium: Any, tmp_path: Path) -> None:
    pytest.importorskip("granian")
    with stubbed(tmp_path) as running, chromium.new_context(locale="en-US") as context:
        opened = context.new_page()
        answer = opened.goto(running.url)
        assert answer.headers["content-security-policy"] == POLICY
        opened.locator("textarea").fill("\n".join(POSTS))
        opened.locator("#judge").click()
        opened.locator("tbody tr").nth(len(POSTS) - 1).wait_for()
        assert opened.locator("tbody tr").count() == len(POSTS)
        assert opened.title() != "ran"


@pytest.mark.parametrize("width", [390, 1440])
def test_the_api_page_shows_every_endpoint_and_tries_it_offline(
    chromium: Any, tmp_path: Path, width: int
) -> None:
    pytest.importorskip("granian")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    size = {"width": width, "height": 900}
    with stubbed(tmp_path) as running, chromium.new_context(viewport=size) as context:
        opened, asked, said = context.new_page(), [], []
        opened.set_default_timeout(10_000)
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        assert opened.goto(f"{running.url}/docs").headers["content-security-policy"] == POLICY
        opened.wait_for_selector("main section")
        paths = running.ask("/openapi.json")[1]["paths"]
        names = {f"{method.upper()} {path}" for path, each in paths.items() for method in each}
        headings = opened.locator("main h2").all_inner_texts()
        assert set(headings) == names - {"GET /", "GET /docs"}
        for name in headings:
            opened.get_by_role("button", name=f"Try {name}", exact=True).click()
            opened.locator("section", has=opened.get_by_text(name, exact=True)).locator(
                "[role=status]", has_text="200"
            ).wait_for()
        scored = opened.locator("section", has=opened.get_by_text("POST /v1/score", exact=True))
        assert '"label":' in scored.locator("form pre").inner_text()
        nasty = json.dumps({"posts": [{"id": NASTY, "text": NASTY}]})
        scored.locator("textarea").fill(nasty)
        scored.locator("button").click()
        scored.locator("form pre", has_text="<img src=x").wait_for()
        scored.locator("textarea").fill("{")
        scored.locator("button").click()
        scored.locator("[role=status]", has_text="422").wait_for()
        for each in opened.locator("summary").all():
            each.click()
        assert "characters ≤ 100000" in scored.locator("details").inner_text()
        assert opened.evaluate("document.documentElement.scrollWidth") == width
        found = axe.run(opened).response["violations"]
        assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
        assert opened.title() == "textdetect: API"
        assert [url for url in asked if not url.startswith((running.url, "data:,"))] == []
        assert [text for text in said if "the server responded with a status" not in text] == []


def test_the_api_page_asks_for_a_key_where_the_server_does(chromium: Any, tmp_path: Path) -> None:
    keys_of = pytest.importorskip("textdetect.serving.keys")
    secret, line = keys_of.make_key("one")
    (tmp_path / "keys.txt").write_text(line)
    options = ("--keys", str(tmp_path / "keys.txt"))
    with stubbed(tmp_path, *options) as running, chromium.new_context() as context:
        opened = context.new_page()
        opened.goto(f"{running.url}/docs")
        for key, status in (("", "401"), ("好", "can’t be sent"), (secret, "200")):
            opened.fill("#key", key)
            opened.get_by_role("button", name="Try GET /v1/model", exact=True).click()
            opened.locator("[role=status]", has_text=status).wait_for()
