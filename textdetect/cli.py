"""The command line: arguments in, exit codes out; what a command does is a function elsewhere.

It imports what a command needs only when that command runs.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from typing import Annotated, Any, Literal

import typer

from textdetect._version import __version__
from textdetect.exits import FAILED, UNREADABLE, failed, guard, say

Model = Annotated[str, typer.Option("--model", metavar="M", help="Name, folder or hub id.")]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Name, folder or hub id.")]
Runtime = Annotated[
    Literal["auto", "onnx", "openvino", "hf"],
    typer.Option("--runtime", help="Engine that runs the model."),
]
TextColumn = Annotated[
    str | None,
    typer.Option("--text-column", metavar="C", help="Column of the posts, if not a usual name."),
]
InputFormat = Annotated[
    str | None, typer.Option("--format", metavar="F", help="Input format, if no suffix tells.")
]
OutputFormat = Annotated[
    str | None, typer.Option(metavar="F", help="Output format, if no suffix tells.")
]
OutFolder = Annotated[
    str, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the new checkpoint.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

app = typer.Typer(
    name="textdetect",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def main() -> None:
    """Run the command line."""
    if not sys.warnoptions:  # what libraries say about themselves is not for whoever runs a command
        warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    app(prog_name="textdetect")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"textdetect {__version__}")
        raise typer.Exit


@app.callback()
def _commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Tell, with stated error rates, whether a machine wrote a post.

    A flag is a statistical statement about a text, never about a person,
    and no sole ground for a sanction.
    """


@app.command()
@guard
def score(
    source: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help="csv, tsv, jsonl, parquet, txt; folders; - is stdin."),
    ],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="OUT", help="File; FOLDER/ for many; - for stdout."),
    ] = None,
    input_format: InputFormat = None,
    output_format: OutputFormat = None,
    text_column: TextColumn = None,
    language_column: Annotated[
        str | None, typer.Option(metavar="C", help="Column of ISO 639-1 codes.")
    ] = None,
    max_fpr: Annotated[
        float, typer.Option(metavar="A", help="Share of human posts that may be flagged.")
    ] = 0.01,
    model: Model = "default",
    runtime: Runtime = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Workers; by default 1, for many files and Ray all cores."
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Whose workers: this machine's, or Ray's.")
    ] = "local",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in FOLDER, if there is one.")
    ] = False,
) -> int:
    """Score posts: every row with its verdict, to a file, to stdout or as a table.

    Many files go into a folder of Parquet files, in order; td_source and td_row
    say where a row came from. A run that was cut off goes on with --resume.
    """
    from textdetect.bulk import score_files
    from textdetect.posts.writers import TerminalWriter

    detector = None
    if (model, runtime) != ("default", "auto"):
        from textdetect.detector import Detector

        detector = Detector.from_pretrained(model, runtime=runtime)
    table = (
        TerminalWriter() if out is None and output_format is None and sys.stdout.isatty() else None
    )
    summary = score_files(
        source,
        table or out or "-",
        detector=detector,
        text_column=text_column,
        language_column=language_column,
        input_format=input_format,
        output_format=output_format,
        max_fpr=max_fpr,
        workers=workers,
        engine=engine,
        resume=resume,
    )
    if table is not None:
        table.show(summary.n_rows)
    say("\n".join(summary.lines()))
    if len(summary.failed) == summary.n_files:
        return FAILED
    return UNREADABLE if summary.n_unreadable or summary.failed else 0


@app.command()
@guard
def accounts(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="csv, tsv, jsonl or parquet; - for stdin.")
    ],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="OUT", help="Output file; - for stdout."),
    ] = None,
    input_format: InputFormat = None,
    output_format: OutputFormat = None,
    account_column: Annotated[
        str | None,
        typer.Option(metavar="C", help="Column of the accounts, if not a usual name."),
    ] = None,
    text_column: TextColumn = None,
    fdr: Annotated[
        float,
        typer.Option(metavar="A", help="Share of the flagged accounts that may be people's."),
    ] = 0.05,
    model: Model = "default",
    runtime: Runtime = "auto",
) -> int:
    """Tell for which accounts of a file of posts a machine writes: a row an account."""
    from textdetect.accounts import score_accounts
    from textdetect.detector import Detector
    from textdetect.posts.files import format_of_input, format_of_output, write_table
    from textdetect.tables import show

    write_as = format_of_output(out or "-", output_format, format_of_input(source, input_format))
    found = score_accounts(
        source,
        detector=Detector.from_pretrained(model, runtime=runtime),
        fdr=fdr,
        account=account_column,
        text=text_column,
        input_format=input_format,
    )
    table = found.to_table()
    if out is None and output_format is None and sys.stdout.isatty():
        by_p = table.sort_by([("p_value", "ascending")]).slice(0, 200)
        show("accounts, the most machine-like first", by_p.to_pylist())
    else:
        write_table(table, out or "-", format=write_as)
    say("\n".join(found.lines()))
    if out not in (None, "-"):
        say(f"written to {out}")
    return UNREADABLE if found.n_unreadable else 0


@app.command()
@guard
def train(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="YAML file, as configs/default.yaml.")
    ],
    data: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Parquet files, one a source; or in TEXTDETECT_DATA."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Folder of the run.",
            show_default="runs/NAME of the config",
        ),
    ] = None,
) -> int:
    """Train a detector: config to checkpoint, calibrated and measured. A cut-off run goes on.

    Prints which file set each value, then where the checkpoint is. Needs the extra "train".
    """
    from textdetect import config as configs
    from textdetect.recipe import corpus_folder
    from textdetect.recipe import train as train_on

    logging.basicConfig(format="textdetect: %(message)s")
    settings, origin = configs.load_config(config, configs.TrainConfig)
    for key, file in origin.items():
        typer.echo(f"{key}: from {file}")
    typer.echo(train_on(settings, corpus_folder(data), out or f"runs/{settings.name}"))
    return 0


@app.command()
@guard
def calibrate(
    model: ModelArgument,
    human: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Posts that people wrote: csv, tsv, jsonl, parquet, txt."
        ),
    ],
    out: OutFolder,
    labelled: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Posts with text and label (0 human, 1 machine): for probabilities.",
        ),
    ] = None,
    text_column: TextColumn = None,
    input_format: InputFormat = None,
    runtime: Runtime = "auto",
) -> int:
    """Fit a model's p-values on human posts of your own, and write it as a new checkpoint.

    The posts must be none that the model was trained on; 600 or more of a
    language support --max-fpr 0.01.
    """
    from textdetect.detector import Detector
    from textdetect.recipe import recalibrate
    from textdetect.tables import show

    folder = recalibrate(
        model,
        human,
        out,
        labelled=labelled,
        text_column=text_column,
        input_format=input_format,
        runtime=runtime,
    )
    calibration = Detector.from_pretrained(folder, runtime=runtime).calibration
    if calibration is not None:
        show(f"calibration for {calibration.numerics}", calibration.describe())
    typer.echo(folder)
    return 0


@app.command()
@guard
def export(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="transformers folder, or hub id, of a classifier."),
    ],
    out: OutFolder,
    name: Annotated[str, typer.Option(metavar="NAME", help="The model's name.")],
    max_length: Annotated[
        int, typer.Option(metavar="N", help="Tokens that the model reads.", min=3)
    ] = 256,
) -> int:
    """Write a classifier (0 human, 1 machine) as a checkpoint that runs without torch.

    It has no calibration yet: see "textdetect calibrate". Needs the extra "train".
    """
    from textdetect.export import export as export_to

    typer.echo(export_to(model, out, name=name, max_length=max_length))
    return 0


@app.command()
@guard
def info(model: Model = "default", as_json: AsJson = False) -> int:
    """Print what a bug report needs: versions, machine, and the model with its checksums."""
    from textdetect.about import about

    report = about(model)
    if as_json:
        _print_json(report)
    else:
        from textdetect.tables import show, show_pairs

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


@app.command()
@guard
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Name, folder or hub id; a baseline; module:function; a scoring URL; METRIC:LM.",
        ),
    ],
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", help="Name of a suite, YAML file, or folder of posts.")
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the results.")
    ],
    compare: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="Another detector on the same posts; may be repeated."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Parquet files, one a source; or in TEXTDETECT_DATA."),
    ] = None,
    part: Annotated[
        Literal["report", "select"],
        typer.Option(help="Posts to measure: select to choose by, report to state (it is logged)."),
    ] = "report",
    max_fpr: Annotated[
        float, typer.Option(metavar="A", help="False-positive rate of the frozen thresholds.")
    ] = 0.01,
    most: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="At most N posts of each class, source and language.", min=1
        ),
    ] = None,
    gate: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML file of bars; exit code 1 below one.")
    ] = None,
    machine_label: Annotated[
        str | None,
        typer.Option(metavar="L", help="Class of a foreign classifier: machine-written."),
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="D", help="cpu, cuda ...")] = None,
    show_texts: Annotated[
        bool, typer.Option(help="Show the texts of the worst errors in the report.")
    ] = False,
) -> int:
    """Measure a detector on a suite, beside its rivals: a table, and a report that opens offline.

    Suites: attacks, cross, humans, languages, lengths, modern, tweepfake,
    tweepfake-people. Scores are kept in the folder, so that the same call again
    costs no inference. Needs the extras "train" and "report".
    """
    from textdetect.evaluation import evaluate as run
    from textdetect.evaluation.gate import fallen, read_bars
    from textdetect.evaluation.measures import summary
    from textdetect.evaluation.suite import find_suite, posts_of
    from textdetect.recipe import corpus_folder, write_report
    from textdetect.tables import show

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
    )
    show(f"{found.facts['title'] or suite} ({part} part)", summary(found.table))
    typer.echo(write_report(found, out, command=shlex.join(["textdetect", *sys.argv[1:]])))
    below = fallen(found.table, bars)
    for line in below:
        say(f"below the bar: {line}")
    return FAILED if below else 0


@app.command()
@guard
def bench(
    model: Model = "default",
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="About how long it may take, in all.",
            show_default="90, or 900 with --full",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also what takes minutes: 1M rows, torch.compile.")
    ] = False,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="JSON file of the figures.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Measure this install: speed, latency and memory, beside others and the machine's limits.

    Beside it, where they are installed: transformers, torch, onnxruntime and
    OpenVINO on the same weights. Nothing else should run meanwhile. See
    docs/speed.md.
    """
    from textdetect import benchmark
    from textdetect.benchmark import table
    from textdetect.tables import show, show_pairs

    measured = benchmark.bench(model, seconds=seconds, full=full)
    if as_json:
        _print_json(measured.to_dict())
    else:
        show_pairs("this install", table.facts(measured))
        show("benchmark", table.rows(measured))
        show_pairs("not measured", measured.skipped)
    if out:
        benchmark.write_json(measured, out)
    if measured.busy:
        say(f"this machine was busy before (load {measured.load_before}); measure again when idle")
    return 0


def _print_json(values: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(values, indent=1, ensure_ascii=False))
