"""Commands that measure: an install, a detector, this machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

from textdetect.cli.app import AsJson, DataFolder, Model, command, print_json, reads
from textdetect.cli.exits import FAILED, failed, say


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
    out: Annotated[str, Option("--out", "-o", metavar="FOLDER", help="Folder of the results.")],
    compare: Annotated[
        list[str] | None,
        Option(metavar="MODEL", help="Another detector on the same posts; may be repeated."),
    ] = None,
    data: DataFolder = None,
    part: Annotated[
        Literal["report", "select"],
        Option(help="Posts to measure: select to choose by, report to state (it is logged)."),
    ] = "report",
    max_fpr: Annotated[
        float, Option(metavar="A", help="False-positive rate of the frozen thresholds.")
    ] = 0.01,
    most: Annotated[
        int | None,
        Option(metavar="N", help="At most N posts of each class, source and language.", min=1),
    ] = None,
    metric: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="Another metric of the library evaluate; may be repeated."),
    ] = None,
    gate: Annotated[
        str | None, Option(metavar="FILE", help="YAML file of bars; exit code 1 below one.")
    ] = None,
    machine_label: Annotated[
        str | None, Option(metavar="L", help="Class of a foreign classifier: machine-written.")
    ] = None,
    device: Annotated[str | None, Option(metavar="D", help="cpu, cuda ...")] = None,
    show_texts: Annotated[
        bool, Option(help="Show the texts of the worst errors in the report.")
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
    from textdetect.recipe import corpus_folder, write_report

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
        Option(
            metavar="N",
            help="About how long it may take, in all.",
            show_default="90, or 900 with --full",
        ),
    ] = None,
    full: Annotated[bool, Option("--full", help="More rounds, of more posts.")] = False,
    out: Annotated[
        str | None, Option("--out", "-o", metavar="FILE", help="JSON file of the figures.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Measure this install: posts a second by each runtime, latency, memory.

    Nothing else should run meanwhile. See docs/speed.md.
    """
    from textdetect import benchmark
    from textdetect.cli.tables import show, show_pairs

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
