"""What the figures were measured on: processor, memory, versions."""

import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import duckdb

_ASK = """
import importlib.metadata, json
names = "siltstone polars pyarrow deltalake pyspark isal numpy".split()
print(json.dumps({name: importlib.metadata.version(name) for name in names}))
"""


def describe_machine(project_python: str) -> dict[str, Any]:
    """Processor, cores, memory in GiB, system, the commit, and the versions of what takes part."""
    told = subprocess.run([project_python, "-c", _ASK], capture_output=True, text=True, check=True).stdout
    here = Path(__file__).parent
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True)
    java = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    return {
        "processor": _first(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "commit": commit.stdout.strip(),
        "versions": {
            "python": platform.python_version(),
            "java": _first(r'version "([^"]+)"', java),
            "duckdb": duckdb.__version__,
            **json.loads(told),
        },
    }


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1].strip() if match else ""
