"""The nouns of siltstone as plain values: contracts, schemas, accounts, data files."""
