"""`siltstone publish`: readings become files for others."""

import argparse

from siltstone.cli.arguments import as_option, config_of, setting_arguments
from siltstone.cli.progress import Reporter
from siltstone.cli.run import telling_part

EXAMPLE = "siltstone publish mortar LAKE OUT --archive zip"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of publish."""
    parser.add_argument("layout", choices=("mortar",), metavar="LAYOUT", help="what to publish as: mortar")
    parser.add_argument("lake", metavar="LAKE", help="folder or s3:// URI of tables; its table readings is published")
    parser.add_argument("out", metavar="OUT", help="folder or s3:// URI to publish to, one that holds nothing else")
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


def run(args: argparse.Namespace) -> int:
    """Publish as the arguments say, print the summary, also where the archive alone is missing; 0."""
    config = config_of(args)
    from siltstone.api.publish import publish
    from siltstone.cli.printing_tables import print_published

    with telling_part(print_published, as_json=args.json), Reporter() as progress:
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
