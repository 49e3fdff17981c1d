"""The parts of `make test-slow`: what is too long for every run, and what chance decides, repeated."""

PARTS: dict[str, tuple[int, int]] = {
    "races": (5, 20),
    "laws": (10, 50),
    "kills": (2, 2),  # every point of every story
    "spark": (1, 1),
}
"""Each part's rounds, usually and in a soak: how many times as often as in `make test`."""
