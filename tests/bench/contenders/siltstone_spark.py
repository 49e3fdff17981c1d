"""siltstone on Spark. With a warm input the session is up, and has compacted that input, before READY."""

import os
from pathlib import Path

from arguments import arguments

from siltstone.cli.progress import Reporter
from siltstone.config.load import load_config
from siltstone.engine.session import spark_session
from siltstone.engine.spark import SparkEngine
from siltstone.ingest.job import compact


def main() -> None:
    parser = arguments("input", "lake")
    parser.add_argument("--warm-input", type=Path)
    parser.add_argument("--scratch", type=Path)
    args = parser.parse_args()
    os.environ["SPARK_MASTER"] = f"local[{args.cores}]"
    spark = spark_session("bench")
    engine, config = SparkEngine(spark), load_config()
    with Reporter() as progress:
        if args.warm_input:
            compact("datalog", str(args.warm_input), str(args.scratch / "warm"), config, engine, progress)
            print("READY", flush=True)
        compact("datalog", str(args.input), str(args.lake), config, engine, progress)
        if args.warm_input:
            print("DONE", flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
