"""Jobs on one table: optimize, verify, vacuum, describe."""
