"""Time aggregates of event series: pure kernels on sorted points, whose partial states merge exactly."""
