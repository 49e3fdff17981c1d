"""What the pages say already and the command line does not know yet. Remove this module, and what imports it, once
`optimize`, LAKE/TABLE, `--rules` and commas in `--measure` are there and the two pages are written; then `make docs`
and the tests tell what is left.
"""

from collections.abc import Sequence

PAGES: set[str] = set()  # written by others; links to them are no dead ones
_OF_A_TABLE = ("settle", "verify", "vacuum", "quarantine")


def words_of_today(words: Sequence[str]) -> list[str]:
    """The arguments of a command in the words that are known today."""
    today = []
    for before, word in zip(("", *words), words, strict=False):
        if before == "--measure":
            first, *more = word.split(",")
            today += [first, *(part for name in more for part in ("--measure", name))]
        elif before == "--set":
            today.append(word.replace("optimize.", "settle."))
        else:
            today.append({"--rules": "--measurements", "optimize": "settle"}.get(word, word))
    if today[0] in _OF_A_TABLE and (len(today) == 2 or today[2].startswith("-")):
        today[1:2] = today[1].rsplit("/", 1)
    if today[0] == "show" and len(today) > 1 and "/" in today[1]:
        today[1:2] = today[1].rsplit("/", 1)
    return today


def yaml_of_today(text: str) -> str:
    """A configuration in the words that are known today."""
    return text.replace("\noptimize:", "\nsettle:")
