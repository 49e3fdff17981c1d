"""Tables: their versions and commits, the ledger of source files, data files, quarantine."""
