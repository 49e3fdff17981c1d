"""Rules for how series are read between their points: those of a file, and those of it that fit nothing."""

from typing import TYPE_CHECKING, Any

from siltstone.api.arguments import Place, place_of

if TYPE_CHECKING:
    from siltstone.config.model import Config
    from siltstone.model.contracts import Contract
    from siltstone.model.derived_summary import AggregateSummary, ConventionSummary, ResampleSummary

    Made = AggregateSummary | ConventionSummary | ResampleSummary


def rules_of(file: Place | None) -> tuple[Any, ...]:
    """The rules of a file, and siltstone's own after them, as the specification of an aggregate keeps them."""
    from siltstone.aggregation.spec import rows_of
    from siltstone.config.series_rules import load_interpretations

    return rows_of(load_interpretations(None if file is None else place_of(file)))


def rules_met_by_other_capitals(made: "Made", config: "Config") -> list[str]:
    """The patterns of rules that fit no series of the table that a run made, and would if capitals did not count."""
    from siltstone.aggregation.rules_met import met_by_other_capitals

    return met_by_other_capitals(made.table, _contract_of(made), config)


def _contract_of(made: "Made") -> "Contract":
    """A contract by which a table is opened, whatever its measures."""
    from siltstone.aggregation.spec import AggregateSpec
    from siltstone.model.derived_summary import ConventionSummary, ResampleSummary

    if isinstance(made, ResampleSummary):
        from siltstone.derived.resample_tasks import RESAMPLED

        return RESAMPLED
    if isinstance(made, ConventionSummary):
        from siltstone.aggregation.convention_tasks import contract_of_convention

        return contract_of_convention(AggregateSpec("1h", measures=(), convention=made.convention))
    from siltstone.aggregation.output_rows import contract_of

    return contract_of(AggregateSpec("1h"))
