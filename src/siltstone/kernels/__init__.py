"""Pure algorithms on rows and sizes: bin packing, merging, deduplication, histories."""
