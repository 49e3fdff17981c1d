"""What belongs to readings: where their devices and assets are, in trees of any depth. polars frames in and out."""
