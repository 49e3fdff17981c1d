"""Where the checkout is, and what tests read of it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests/samples"
VECTORS = ROOT / "tests/conformance/vectors"
