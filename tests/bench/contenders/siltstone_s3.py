"""siltstone from a bucket to a lake in the same bucket, on an S3 server of this machine that lets each request wait.

The server, moto, runs in this process and the job in one of its own. READY when the input is in the bucket; after DONE
the lake is copied to `out`.
"""

import os
import subprocess
import sys
from pathlib import Path

import obstore
from arguments import arguments

sys.path.insert(0, str(Path(__file__).parents[2]))
from siltstone.model.access import Access
from siltstone.storage.access import bucket_store
from support.s3_server import FaultyS3


def main() -> None:
    parser = arguments("input", "out")
    parser.add_argument("--latency-ms", type=int, required=True)
    args = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}
    server = FaultyS3()
    bucket = server.bucket()
    for path in sorted(args.input.rglob("*.gz")):
        server.put(bucket, f"in/{path.relative_to(args.input)}", path.read_bytes())
    server.faults.latency_s = args.latency_ms / 1000
    command = [sys.executable, "-m", "siltstone", "compact", "datalog", f"s3://{bucket}/in", f"s3://{bucket}/lake"]
    command += ["--engine", "local", "--set", f"storage.endpoint={server.url}", "--set", "storage.path_style=true"]
    print("READY", flush=True)
    subprocess.run(command, check=True)
    print("DONE", flush=True)
    server.faults.latency_s = 0
    store = bucket_store(Access(endpoint=server.url, path_style=True), bucket)
    for key in [found["path"] for found in obstore.list(store, "lake/").collect()]:
        copy = args.out / key.removeprefix("lake/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(obstore.get(store, key).bytes())
    server.close()


if __name__ == "__main__":
    main()
