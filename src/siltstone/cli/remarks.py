"""What a run says on stderr beside its summary, where it may not have done what was meant."""

from typing import TYPE_CHECKING

from siltstone.cli.console import notice
from siltstone.errors import SiltstoneError
from siltstone.model.derived_summary import AggregateSummary, DerivedSummary

if TYPE_CHECKING:
    from siltstone.config.model import Config
    from siltstone.model.derived_summary import ConventionSummary, ResampleSummary


def remark_if_nothing(summary: DerivedSummary, given: str) -> None:
    """Say that a run made no row of rows that it read, and what to do."""
    if isinstance(summary, AggregateSummary) and summary.buckets_touched is not None:
        return  # a later run may bring nothing that was asked for
    if summary.run and summary.rows_in and not summary.rows_out:
        notice(
            f"no row was made of the {summary.rows_in:,} rows of {given}: no series fits what was asked for, or "
            "none has points in that time. Names are compared as they are written, capitals included. To ask for "
            f"something else, give another folder than {summary.table}, or delete that one."
        )


def remark_on_capitals(
    summary: "AggregateSummary | ConventionSummary | ResampleSummary", config: "Config", file: str | None
) -> None:
    """Name the rules of a file that fit no series of the table that was made, and would if capitals did not count."""
    if file is None or not summary.run:
        return
    from siltstone.api.rules import rules_met_by_other_capitals

    try:
        patterns = rules_met_by_other_capitals(summary, config)
    except SiltstoneError as error:  # the run is committed all the same
        notice(f"whether the rules of {file} fit but for capitals could not be seen: {error}")
        return
    for pattern in patterns:
        notice(f"the rule {pattern} of {file} fits no series as it is written, only with other capitals, which count")
