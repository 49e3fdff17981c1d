"""DuckDB over an export of Haltian's: measurements to readings, repeated rows once, by date and site and sorted;
entities to states with the snapshots that they hold from and to.

A file that can't be read ends it; it keeps no accounts and commits nothing.
"""

from pathlib import Path

import duckdb
from arguments import arguments

_MEASUREMENTS = {
    "AmbientTemperature": {"ambientTemperature": "double"},
    "CO2": {"co2": "double"},
    "Distance": {"distance": "integer"},
    "OccupancyStatus": {"status": "integer"},
    "OccupantsCount": {"occupantsCount": "integer"},
    "DirectionalMovement": {"entries": "integer", "exits": "integer"},
}
_ENTITIES = ("device", "space")

_ONE = """
SELECT deviceId || '/{measurement}' AS series_id, ts, deviceId AS device_id, '{measurement}' AS measurement,
    CAST({field} AS DOUBLE) AS value, '{kind}' AS kind, min(filename) AS source_file, organizationId AS site
FROM read_parquet('{files}', union_by_name = true, filename = true)
GROUP BY deviceId, ts, {field}, organizationId
"""
_READINGS = """
COPY (
    SELECT series_id, ts, 'haltian' AS source, device_id, measurement, CAST(0 AS INTEGER) AS ts_nanos, value,
        CAST(NULL AS VARCHAR) AS text, kind, CAST(NULL AS VARCHAR) AS quality, CAST(NULL AS BIGINT) AS version,
        source_file, site, CAST(make_timestamp(epoch_us(ts)) AS DATE) AS date
    FROM ({rows})
    ORDER BY date, site, series_id, ts
) TO '{out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (date, site))
"""
# A state begins where the row before it of the same id is another or not of the snapshot before, and holds to the
# snapshot after its last one.
_STATES = """
COPY (
    WITH rows AS (
        SELECT * EXCLUDE (filename),
            CAST(strptime(split_part(filename, '/', -1)[:13], '%Y_%m_%d_%H') AS TIMESTAMPTZ) AS shot
        FROM read_parquet('{files}', union_by_name = true, filename = true)
    ), shots AS (
        SELECT shot, lead(shot) OVER (ORDER BY shot) AS following FROM (SELECT DISTINCT shot FROM rows)
    ), hashed AS (
        SELECT *, hash(*COLUMNS(* EXCLUDE (shot, following))) AS state FROM rows JOIN shots USING (shot)
    ), marked AS (
        SELECT *,
            state IS DISTINCT FROM lag(state) OVER same OR shot IS DISTINCT FROM lag(following) OVER same AS begins
        FROM hashed WINDOW same AS (PARTITION BY id ORDER BY shot)
    ), numbered AS (
        SELECT *, count_if(begins) OVER (PARTITION BY id ORDER BY shot) AS number FROM marked
    )
    SELECT id, min(shot) AS valid_from, CASE WHEN count(following) = count(*) THEN max(following) END AS valid_to,
        any_value(COLUMNS(* EXCLUDE (id, shot, following, state, begins, number)))
    FROM numbered GROUP BY id, number ORDER BY id, valid_from
) TO '{out}' (FORMAT parquet, COMPRESSION zstd)
"""


def main() -> None:
    args = arguments("input", "out").parse_args()
    connection = duckdb.connect(config={"threads": args.cores})
    connection.sql("SET enable_progress_bar = false")
    args.out.mkdir(parents=True)
    connection.execute(_READINGS.format(rows=readings(args.input), out=args.out / "readings"))
    for entity in _ENTITIES:
        (args.out / entity).mkdir()
        states = args.out / entity / "states.parquet"
        connection.execute(_STATES.format(files=args.input / entity / "**" / "*.parquet", out=states))


def readings(folder: Path) -> str:
    """The query of all measurements' rows, one for each field."""
    queries = []
    for name, fields in _MEASUREMENTS.items():
        files = folder / f"measurement{name}" / "**" / "*.parquet"
        for field, kind in fields.items():
            measurement = name if len(fields) == 1 else f"{name}.{field}"
            queries.append(_ONE.format(measurement=measurement, field=field, kind=kind, files=files))
    return " UNION ALL ".join(queries)


if __name__ == "__main__":
    main()
