"""The parts of `make test-slow`: what is too long for every run, and what chance decides, repeated."""

PARTS: dict[str, tuple[int, int]] = {
    "races": (5, 20),  # runs that meet, by threads at once or at every moment
    "laws": (10, 50),  # what holds for drawn examples, and for every case of long lists
    "kills": (2, 2),  # a run that dies at every point of every story
    "faults": (1, 1),  # every storage operation fails once; what takes too much memory or time
    "fuzz": (5, 50),  # odd files for every reader, by the hundred
    "spark": (3, 3),  # each command and reader on Spark, every question
}
"""Each part's rounds, usually and in a soak: how many times as often as in `make test`."""
