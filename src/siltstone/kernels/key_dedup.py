"""Which of several rows with one key stays: the rows of a run are compared with each other and with the table's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from siltstone.errors import RepeatedKeyError
from siltstone.model.contracts import Policy

KEPT, DUPLICATE, SUPERSEDED = 0, 1, 2

ORDER = ("source_file", "line")
"""What ranks rows with one key: the identity of their file, and the place in it (-1 in the table: it has one each)."""

_OLD, _ROW = "{old}", "{row}"


@dataclass(frozen=True)
class Deduplicated:
    """What becomes of each row: `fate` of the new ones (KEPT; DUPLICATE: equal to the row that stays; SUPERSEDED), and
    as places in `old` the rows of the table that new ones replace, and those that stay and keep new ones out."""

    fate: npt.NDArray[np.int8]
    replaced: npt.NDArray[np.int64]
    kept_by: npt.NDArray[np.int64]


def deduplicate_keys(new: pl.DataFrame, old: pl.DataFrame, key: Sequence[str], policy: Policy) -> Deduplicated:
    """Choose among rows with equal keys by the policy (see `Policy`).

    `new`, in which rows with equal keys follow each other, and `old` (rows of the table) have the key, `version` where
    the policy asks for it, the columns that make two rows equal, and ORDER. Of equal rows the one in the table stays,
    so that nothing is written again without need.
    Raises RepeatedKeyError under the policy `error`.
    """
    fate = np.zeros(new.height, np.int8)
    none = np.array([], np.int64)
    if policy == "all" or not new.height:
        return Deduplicated(fate, none, none)
    candidates = _candidates(new, old, key)
    if not candidates.height:
        return Deduplicated(fate, none, none)
    if policy == "error":
        _refuse(candidates, key)
    content = [c for c in new.columns if c not in (*key, *ORDER)]
    ranked = _ranked(candidates, key, content, policy)
    staying = pl.col("{stays}")
    is_old = pl.col(_OLD)
    gone = ranked.filter(~staying)
    fate[gone.filter(~is_old & pl.col("{equal}"))[_ROW].to_numpy()] = DUPLICATE
    fate[gone.filter(~is_old & ~pl.col("{equal}"))[_ROW].to_numpy()] = SUPERSEDED
    return Deduplicated(fate, gone.filter(is_old)[_ROW].to_numpy(), ranked.filter(is_old & staying)[_ROW].to_numpy())


def _candidates(new: pl.DataFrame, old: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The rows, old and new, with a key that occurs more than once and among the new ones."""
    follows = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in reversed(key))
    same = new.select(follows & (pl.int_range(pl.len()) > 0)).to_series()
    repeated = same | same.shift(-1, fill_value=False)
    marked = new.with_columns(pl.lit(value=False).alias(_OLD), pl.Series(_ROW, np.arange(new.height)))
    if not old.height:
        return marked.filter(repeated)
    shared = old.with_columns(pl.lit(value=True).alias(_OLD), pl.Series(_ROW, np.arange(old.height)))
    shared = shared.join(new.select(key), on=key, how="semi", nulls_equal=True)
    if shared.height:
        met = new.select(key).with_row_index("{n}").join(shared.select(key), on=key, how="semi", nulls_equal=True)
        also = np.zeros(new.height, bool)
        also[met["{n}"].to_numpy()] = True
        repeated = repeated | pl.Series(also)
    return pl.concat([marked.filter(repeated), shared.select(marked.columns)], how="vertical_relaxed")


def _refuse(candidates: pl.DataFrame, key: Sequence[str]) -> None:
    first = candidates.sort([*key, _OLD, *ORDER]).row(0, named=True)
    raise RepeatedKeyError({name: first[name] for name in key}, first["source_file"])


def _ranked(candidates: pl.DataFrame, key: Sequence[str], content: Sequence[str], policy: Policy) -> pl.DataFrame:
    """The candidates with `{stays}` and `{equal}`: whether a row is like the one of its key that stays."""
    if policy == "distinct":
        in_order = candidates.sort([_OLD, *ORDER], descending=[True, False, False], nulls_last=True)
        stays = pl.int_range(pl.len()).over([*key, *content]) == 0
        return in_order.with_columns(stays.alias("{stays}"), pl.lit(value=True).alias("{equal}"))
    by = [*ORDER] if policy in ("first", "last") else ["version", *ORDER]
    winners_first = candidates.sort(by, descending=policy != "first", nulls_last=policy != "first")
    is_winner = pl.int_range(pl.len()).over(key) == 0
    winner = winners_first.filter(is_winner).select(*key, *(pl.col(c).alias(f"{{winner}}{c}") for c in content))
    joined = winners_first.join(winner, on=key, how="left", nulls_equal=True, maintain_order="left")
    equal = pl.all_horizontal(pl.col(c).eq_missing(pl.col(f"{{winner}}{c}")) for c in content)
    marked = joined.with_columns(equal.alias("{equal}"))
    # Of all that are equal to the winner a row of the table stays, else the winner itself.
    best = pl.when(pl.col("{equal}")).then(pl.when(pl.col(_OLD)).then(0).otherwise(1)).otherwise(2)
    in_order = marked.with_columns(best.alias("{best}")).sort("{best}", maintain_order=True)
    return in_order.with_columns((pl.int_range(pl.len()).over(key) == 0).alias("{stays}"))
