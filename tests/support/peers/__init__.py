"""Cases of other engines (tests/conformance/vectors), and how siltstone is run on them."""
