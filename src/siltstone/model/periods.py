"""Periods of time in microseconds, and their widest bounds."""

DAY_US = 86_400_000_000
EARLIEST_US, LATEST_US = -(1 << 61), 1 << 61
FAR_US = 1 << 55
"""Beyond every instant, and within what calendars reach."""
Window = tuple[int, int]
"""Microseconds: [start, end)."""
EVER: Window = EARLIEST_US, LATEST_US
