"""DuckDB in the seed's way: every byte sniffed, columns united by name, partitioned Parquet.

The one change: the date comes from plain arithmetic, so that no session's time zone can shift it.
"""

import duckdb
from arguments import arguments

_COPY = """
COPY (
    SELECT *, split_part(filename, '/', {site}) AS dstrct_code,
        CAST(make_timestamp(heartbeat * 1000000) + INTERVAL 8 HOURS AS DATE) AS hiveperiod
    FROM read_json({files}, format = 'newline_delimited', union_by_name = true, sample_size = -1, filename = true)
) TO '{out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (hiveperiod, dstrct_code), APPEND)
"""


def main() -> None:
    parser = arguments("input", "out")
    parser.add_argument("--batch", type=int, default=0, help="files of one COPY; 0: all")
    args = parser.parse_args()
    files = [str(path) for path in sorted(args.input.rglob("*.gz"))]
    batch = args.batch or len(files)
    connection = duckdb.connect(config={"threads": args.cores})
    connection.sql("SET enable_progress_bar = false")
    site = len(args.input.parts) + 1  # of the path's parts, counted from 1, the one below the input
    for start in range(0, len(files), batch):
        connection.execute(_COPY.format(site=site, files=files[start : start + batch], out=args.out))


if __name__ == "__main__":
    main()
