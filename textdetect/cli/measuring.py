"""Commands that measure: an install, a detector, this machine; and how files are read."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument

from textdetect.cli.app import (
    AsJson,
    DataFolder,
    Model,
    Sources,
    command,
    option,
    print_json,
    reads,
)
from textdetect.cli.exits import FAILED, UNREADABLE, failed, say


@command
def info(model: Model = "default", as_json: AsJson = False) -> int:
    """Print what a bug report needs: versions, machine, and the model with its checksums."""
    from textdetect.cli.about import about

    report = about(model)
    if as_json:
        print_json(report)
    else:
        from textdetect.cli.tables import show, show_pairs

        asked = report["model"]
        plain = {key: value for key, value in report.items() if not isinstance(value, dict)}
        show_pairs("installed", plain | report["libraries"])
        show_pairs("machine", report["machine"])
        show_pairs("model", {k: v for k, v in asked.items() if k not in ("files", "strata")})
        show("files", asked.get("files", []))
        for numerics, strata in asked.get("strata", {}).items():
            show(f"calibration for {numerics}", strata)
    error = report["model"]["error"]
    return failed(FAILED, error) if error else 0


@command
@reads()
def evaluate(
    model: Annotated[
        str,
        Argument(
            metavar="MODEL",
            help="Name, folder or hub id; a baseline; module:function; a scoring URL; METRIC:LM.",
        ),
    ],
    suite: Annotated[
        str, Argument(metavar="SUITE", help="Name of a suite, YAML file, or folder of posts.")
    ],
    out: Annotated[str, option("Folder of the results.", "FOLDER", "--out", "-o")],
    compare: Annotated[
        list[str] | None, option("Another detector on the same posts; may be repeated.", "MODEL")
    ] = None,
    data: DataFolder = None,
    part: Annotated[
        Literal["report", "select"],
        option("Posts to measure: select to choose by, report to state (it is logged)."),
    ] = "report",
    max_fpr: Annotated[float, option("False-positive rate of the frozen thresholds.", "A")] = 0.01,
    most: Annotated[
        int | None, option("At most N posts of each class, source and language.", "N", min=1)
    ] = None,
    metric: Annotated[
        list[str] | None, option("Another metric of the library evaluate; may be repeated.", "NAME")
    ] = None,
    gate: Annotated[str | None, option("YAML file of bars; exit code 1 below one.", "FILE")] = None,
    machine_label: Annotated[
        str | None, option("Class of a foreign classifier: machine-written.", "L")
    ] = None,
    device: Annotated[str | None, option("cpu, cuda ...", "D")] = None,
    show_texts: Annotated[
        bool, option("Show the texts of the worst errors in the report.")
    ] = False,
    **reading: Any,
) -> int:
    """Measure a detector on a suite, beside its rivals: a table, and a report that opens offline.

    Suites: attacks, humans, languages, lengths, modern, tweepfake,
    tweepfake-people. Scores are kept in the folder, so that the same call again
    costs no inference. Needs the extras "train" and "report".
    """
    from textdetect.cli.tables import show
    from textdetect.evaluation import evaluate as run
    from textdetect.evaluation.gate import fallen, read_bars
    from textdetect.evaluation.measures import summary
    from textdetect.evaluation.suite import find_suite, posts_of
    from textdetect.training import corpus_folder, write_report

    bars = read_bars(gate) if gate else ()
    found = run(
        model,
        find_suite(suite),
        posts_of(suite) or corpus_folder(data),
        out,
        compare_with=compare or (),
        part=part,
        max_fpr=max_fpr,
        machine_label=machine_label,
        device=device,
        show_texts=show_texts,
        n_most=most,
        metrics=metric or (),
        **reading,
    )
    more = [Path(name).name for name in metric or ()]
    show(f"{found.facts['title'] or suite} ({part} part)", summary(found.table, more=more))
    typer.echo(write_report(found, out, command=shlex.join(["textdetect", *sys.argv[1:]])))
    below = fallen(found.table, bars)
    for line in below:
        say(f"below the bar: {line}")
    return FAILED if below else 0


@command
def bench(
    model: Model = "default",
    seconds: Annotated[
        float | None,
        option("About how long it may take, in all.", "N", show_default="90, or 900 with --full"),
    ] = None,
    full: Annotated[bool, option("More rounds, of more posts.", None, "--full")] = False,
    out: Annotated[str | None, option("JSON file of the figures.", "FILE", "--out", "-o")] = None,
    as_json: AsJson = False,
) -> int:
    """Measure this install: posts a second by each runtime, latency, memory.

    Nothing else should run meanwhile. See docs/speed.md.
    """
    from textdetect.cli.tables import show, show_pairs
    from textdetect.evaluation import benchmark

    measured = benchmark.bench(model, seconds=seconds, full=full)
    if as_json:
        print_json(measured.to_dict())
    else:
        show_pairs("this install", measured.facts())
        show("benchmark", measured.rows())
        show_pairs("not measured", measured.skipped)
    if out:
        benchmark.write_json(measured, out)
    if measured.busy:
        say(f"this machine was busy before (load {measured.load_before}); measure again when idle")
    return 0


@command
@reads("account-column", "time-column", "time-zone")
def read(
    source: Sources,
    out: Annotated[
        str | None, option("Posts in the common form: Parquet.", "OUT", "--out", "-o")
    ] = None,
    **reading: Any,
) -> int:
    """Show what is understood of files of posts: layout, columns, times, counts, first rows.

    Reads them whole. -o writes the posts in the common form, which every command
    takes: id, account, time, text, language, url, hashtags, reply_to, repost.
    """
    from textdetect.cli.tables import show, show_pairs
    from textdetect.posts.tables import overview, read_posts, readings_of
    from textdetect.posts.writers import format_of_output, inert, write_table

    write_as = format_of_output(out, None, "parquet") if out else ""
    posts, n_bad = read_posts(source, progress=None, **reading)
    for name, pairs in overview(posts).items():
        show_pairs(name, pairs)
    shown = [n for n in ("account", "time", "text", "repost") if n in posts.column_names]
    first = posts.select(shown).slice(0, 5).to_pylist()
    show("first rows", [{n: inert(str(v)[:70]) for n, v in row.items()} for row in first])
    for told in readings_of(posts):
        for row, line, why in told["bad"]:
            say(f"unreadable: {told['name']}: row {row}{f' (line {line})' if line else ''}: {why}")
    if out:
        write_table(posts, out, format=write_as)
        typer.echo(f"written to {out}")
    return UNREADABLE if n_bad else 0
