"""What the exit codes mean, in the words of `siltstone help exit-codes`; docs/exit-codes.md says what to do."""

EXIT_CODES = """\
exit codes of every command:

    0  done; also when some input was quarantined, and when there was nothing to do
    1  a defect, or a worker process that died; nothing was committed
    2  wrong usage or configuration, or another engine has changed the table's rows; nothing was done
    3  done, but something was quarantined and --strict was given
    4  other runs committed first, again and again; nothing was committed
    5  the outcome of the commit is unknown; run it again, it finds out
    6  storage or cluster: a path can't be listed, read or written, or workers don't see it; Spark can't be reached or
       lost an executor; a file of a table is damaged or gone; nothing was committed
    7  verify found the table not to be what its manifests say
    9  done in part: what the message names is committed (--json lists it too), the rest is not
  130  stopped by Ctrl-C; the next run goes on from what was committed
  143  stopped by SIGTERM; the same

After 4, 5, 6, 9, 130 and 143 run the same command again, later. 1, 2, 3 and 7 want a person, and so do a 6 and a 9 that
come again, such as for a damaged data file: the message on stderr says what happened, where, and the next move. More:
docs/exit-codes.md
"""
