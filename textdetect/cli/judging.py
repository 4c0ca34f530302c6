"""Commands that judge: posts, accounts, groups of accounts."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Literal

from typer import Argument

from textdetect.cli.app import Model, OutputFormat, Runtime, Sources, command, option, reads
from textdetect.cli.exits import FAILED, UNREADABLE, say

OutFile = Annotated[str | None, option("Output file; - for stdout.", "OUT", "--out", "-o")]


@command
@reads("language-column")
def score(
    source: Sources,
    out: Annotated[
        str | None, option("File; FOLDER/ for many; - for stdout.", "OUT", "--out", "-o")
    ] = None,
    output_format: OutputFormat = None,
    max_fpr: Annotated[float, option("Share of human posts that may be flagged.", "A")] = 0.01,
    model: Model = "default",
    runtime: Runtime = "auto",
    workers: Annotated[
        int | None, option("Workers; by default 1, for many files and Ray all cores.", "N", min=1)
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], option("Whose workers: this machine's, or Ray's.")
    ] = "local",
    resume: Annotated[
        bool, option("Go on with the run in FOLDER, if there is one.", None, "--resume")
    ] = False,
    url: Annotated[
        str | None, option("Ask a server (textdetect serve); its key: TEXTDETECT_API_KEY.", "U")
    ] = None,
    **reading: Any,
) -> int:
    """Score posts: every row with its verdict, to a file, to stdout or as a table.

    Many files go into a folder of Parquet files, in order; td_source and td_row
    say where a row came from. A run that was cut off goes on with --resume.
    """
    from textdetect.bulk import score_files
    from textdetect.posts.writers import TerminalWriter

    detector: Any = None
    if url is not None:
        from textdetect.model.client import Client

        detector = Client(url, api_key=os.environ.get("TEXTDETECT_API_KEY"))
    elif (model, runtime) != ("default", "auto"):
        from textdetect.model.detector import Detector

        detector = Detector.from_pretrained(model, runtime=runtime)
    table = (
        TerminalWriter() if out is None and output_format is None and sys.stdout.isatty() else None
    )
    summary = score_files(
        source,
        table or out or "-",
        detector=detector,
        output_format=output_format,
        max_fpr=max_fpr,
        workers=workers,
        engine=engine,
        resume=resume,
        **reading,
    )
    if table is not None:
        table.show(summary.n_rows)
    say("\n".join(summary.lines()))
    if len(summary.failed) == summary.n_files:
        return FAILED
    return UNREADABLE if summary.n_unreadable or summary.failed else 0


@command
@reads("account-column", "time-column", "time-zone")
def accounts(
    source: Sources,
    out: OutFile = None,
    output_format: OutputFormat = None,
    fdr: Annotated[
        float, option("Share of the flagged accounts that may be people's.", "A")
    ] = 0.05,
    model: Model = "default",
    runtime: Runtime = "auto",
    **reading: Any,
) -> int:
    """Tell for which accounts of files of posts a machine writes: a row an account."""
    from textdetect.accounts import score_accounts
    from textdetect.cli.tables import show
    from textdetect.model.detector import Detector
    from textdetect.posts.files import find_inputs, format_of_input
    from textdetect.posts.writers import format_of_output, write_table

    read_as = format_of_input(find_inputs(source)[0], reading["format"])
    write_as = format_of_output(out or "-", output_format, read_as)
    found = score_accounts(
        source,
        detector=Detector.from_pretrained(model, runtime=runtime),
        fdr=fdr,
        **reading,
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


Bundle = Annotated[str, Argument(metavar="FOLDER", help="A bundle of evidence.")]
KeyFile = Annotated[str | None, option("Key of the pseudonyms.", "FILE", "--key")]


@command
@reads("account-column", "time-column", "time-zone")
def campaigns(
    source: Sources,
    out: Annotated[str, option("Folder of the evidence; new.", "FOLDER", "--out", "-o")],
    object_column: Annotated[
        list[str] | None,
        option("Shared objects; repeatable.", "C", show_default="url hashtags reply_to"),
    ] = None,
    window: Annotated[str, option("So close is together.", "T")] = "5min",
    wider_window: Annotated[
        list[str] | None,
        option("More, for equal texts; repeatable.", "T", show_default="1h 1d 3d"),
    ] = None,
    fdr: Annotated[float, option("Share of what is listed that may be chance.", "A")] = 0.05,
    worlds: Annotated[int, option("Permuted worlds.", "N")] = 19,
    seed: Annotated[int, option("Of the worlds.", "N")] = 0,
    codebook: Annotated[
        str | None, option("YAML file of cues that suggest tactics.", "FILE")
    ] = None,
    score_texts: Annotated[
        bool, option("Also judge who writes: it takes longer.", None, "--score-texts")
    ] = False,
    model: Model = "default",
    runtime: Runtime = "auto",
    key: KeyFile = None,
    keep_names: Annotated[
        bool, option("No pseudonyms: for those who may see the names.", None, "--keep-names")
    ] = False,
    **reading: Any,
) -> int:
    """Find accounts that move together, and write the evidence.

    Names become pseudonyms by a key, which is written beside the folder, as
    FOLDER.key, unless it is given. The digest that is printed belongs apart from
    the folder: "textdetect verify FOLDER --digest D" shows whether it was changed.
    Needs the extra "campaigns".
    """
    from textdetect.accounts import score_accounts
    from textdetect.campaigns import find_campaigns
    from textdetect.campaigns.evidence import check_ready, dump_facts, write_bundle
    from textdetect.campaigns.evidence.keys import read_or_make_key
    from textdetect.campaigns.tactics import Codebook
    from textdetect.campaigns.traces import OBJECTS
    from textdetect.model.detector import Detector
    from textdetect.posts.tables import read_posts

    check_ready(out)
    objects = object_column or OBJECTS
    need = ("account", "time")
    posts, n_bad = read_posts(source, objects=objects, progress=None, need=need, **reading)
    found = find_campaigns(
        posts,
        window=window,
        wider=wider_window or ("1h", "1d", "3d"),
        fdr=fdr,
        n_worlds=worlds,
        seed=seed,
        objects=objects,
        codebook=Codebook.read(codebook),
        power=True,
    )
    automation = None
    if score_texts:
        detector = Detector.from_pretrained(model, runtime=runtime)
        automation = score_accounts(posts, detector=detector, fdr=fdr)
    digest = write_bundle(
        found,
        out,
        dump=None if "-" in source else dump_facts(source, posts),
        automation=automation,
        key=None if keep_names else read_or_make_key(key, out),
    )
    say(str(found))
    if automation is not None:
        say("\n".join(automation.lines()))
    if n_bad:
        say(f"unreadable: {n_bad:,} rows, or their times")
    say(f"written to {out}, digest {digest}")
    return UNREADABLE if n_bad else 0


@command
def verify(
    bundle: Bundle,
    dump: Annotated[
        list[str] | None, option("The dump: search it again; repeatable.", "FILE", "--input")
    ] = None,
    key: KeyFile = None,
    digest: Annotated[str | None, option("What was printed when it was made.", "D")] = None,
) -> int:
    """Check a bundle of evidence: every hash, and every statistic, computed again.

    Says what is wrong, a line each; exit code 1 then.
    """
    from textdetect.campaigns.evidence import verify as check
    from textdetect.campaigns.evidence.keys import read_key

    wrong = check(bundle, dump=dump or None, key=read_key(key) if key else None, digest=digest)
    for line in wrong:
        say(line)
    say(f"{bundle}: {f'{len(wrong)} things are wrong' if wrong else 'sound'}")
    return FAILED if wrong else 0


@command
def names(
    bundle: Bundle,
    key: Annotated[str, option("Key of the pseudonyms.", "FILE", "--key")],
    dump: Annotated[
        list[str] | None, option("The dump, if it is neither here nor beside.", "FILE", "--input")
    ] = None,
    out: OutFile = None,
    output_format: OutputFormat = None,
) -> int:
    """Turn the pseudonyms of a bundle back into names: a row an account.

    The bundle holds no name. The key tells which pseudonym each name of the dump has.
    """
    from textdetect.campaigns.evidence import name_accounts
    from textdetect.campaigns.evidence.keys import read_key
    from textdetect.posts.writers import format_of_output, write_table

    write_as = format_of_output(out or "-", output_format, "csv")
    table = name_accounts(bundle, key=read_key(key), dump=dump or None)
    write_table(table, out or "-", format=write_as)
    missing = table["account"].null_count
    say(f"{table.num_rows - missing} of {table.num_rows} accounts have a name in the dump")
    return UNREADABLE if missing else 0


@command
def forget(
    bundle: Bundle,
    key_only: Annotated[
        bool, option("Delete the key alone: its pseudonyms become final.", None, "--key-only")
    ] = False,
) -> int:
    """Delete a bundle of evidence and the key beside it; nothing else is touched."""
    from textdetect.campaigns.evidence import forget as delete

    gone = delete(bundle, key_only=key_only)
    say("\n".join(f"deleted {path}" for path in gone) or "there was no key")
    return 0
