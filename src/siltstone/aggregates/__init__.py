"""Time aggregates of sorted series: pure, over whole arrays."""
