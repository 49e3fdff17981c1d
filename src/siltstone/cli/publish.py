"""`siltstone publish`: its arguments, and what people read of it on stdout."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from siltstone.cli.arguments import as_option, config_of, setting_arguments
from siltstone.cli.progress import Reporter

_SHOWN = 5


def publish_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The arguments of the publish job, shared with jobs/publish.py."""
    parser.add_argument("layout", choices=("mortar",), help="what to publish as: mortar")
    parser.add_argument("lake", help="folder or s3:// URI of tables; its table readings is published")
    parser.add_argument("out", help="folder or s3:// URI to publish to, one that holds nothing else")
    parser.add_argument(
        "--source",
        default="mortar",
        metavar="NAME",
        help="publish readings of this source, or of all (default: mortar)",
    )
    parser.add_argument(
        "--collection",
        action="append",
        default=[],
        metavar="SITE",
        help="publish this one; repeatable (default: every)",
    )
    parser.add_argument(
        "--keys-in-files",
        action="store_true",
        help="write the columns collection and uuid into the files too, for single files that are handed out; "
        "pyarrow.parquet.read_table and pandas can't read such a folder as one then",
    )
    parser.add_argument("--archive", choices=("zip", "tar.gz"), help="also write all of it as one file, OUT.zip")
    parser.add_argument("--archive-to", metavar="URI", help="where the archive goes (default: beside OUT)")
    setting_arguments(parser)
    return parser


def run_publish(args: argparse.Namespace) -> int:
    """Publish as the arguments say, print the summary; 0."""
    from siltstone.api.publish import publish

    config = config_of(args)
    with Reporter() as progress:
        summary = publish(
            args.lake,
            args.out,
            source=args.source,
            collections=args.collection,
            keys_in_files=args.keys_in_files,
            archive=args.archive,
            archive_to=args.archive_to,
            config=config,
            progress=progress,
            said=as_option,
        )
    print_published(summary, as_json=args.json)
    return 0


def print_published(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """What was published, for people, and with `as_json` one JSON object on the last line."""
    s, console = summary, Console(soft_wrap=True, highlight=False, markup=False)
    names = s["collections"]
    whole = f"{s['rows']:,} rows of {s['streams']:,} streams in {s['files']:,} files, {s['bytes'] / 1e6:,.1f} MB"
    unpublished = [
        (s["not_published"], "readings are text: Mortar has no place for them, they are not published"),
        (s["nanoseconds_cut"], "readings lost their nanoseconds: Mortar's times are microseconds"),
        (s["not_good"], "readings are of a quality other than good, which Mortar does not tell"),
    ]
    lines = [
        f"nothing to do: {whole} are what {s['table']} says ({s['seconds']:.1f} s)"
        if s["edition"] is None
        else f"rows         {s['rows_added']:,} added, {s['rows_removed']:,} superseded ones taken out",
        f"written      {s['files_written']:,} files, {s['bytes_written'] / 1e6:,.1f} MB"
        + (f"; {s['files_replaced']:,} replaced" if s["files_replaced"] else "")
        if s["edition"] is not None
        else "",
        f"published    {whole}, {len(names):,} collections: {', '.join(names[:_SHOWN])}"
        f"{' ...' if len(names) > _SHOWN else ''} ({s['out']}, edition {s['edition']}, {s['seconds']:.1f} s)"
        if s["edition"] is not None
        else "",
        *(f"{count:,} {what}" for count, what in unpublished if count),
    ]
    if s["renamed"]:
        lines.append(f"{len(s['renamed']):,} series are no UUIDs and got one made of their names:")
        lines += [f"  {series} is {stream}" for series, stream in list(s["renamed"].items())[:_SHOWN]]
    if s.get("archive"):
        lines.append(f"archive      {s['archive']}, {s['archive_bytes'] / 1e6:,.1f} MB, SHA-256 {s['archive_sha256']}")
    console.print(*filter(None, lines), sep="\n", soft_wrap=True)
    if as_json:
        print(json.dumps(dict(s), default=str), flush=True)  # noqa: T201
