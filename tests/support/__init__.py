"""What tests share: input and tables to run jobs on, servers, oracles; no test is here."""
