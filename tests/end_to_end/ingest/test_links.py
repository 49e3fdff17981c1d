"""Links in INPUT: followed wherever they lead; a file is taken once, under its real path."""

from support.fleet import NOON, World, record

ONE, TWO = "BRCB/DEV1/2025121012", "BRCB/DEV2/2025121012"


def test_files_that_links_lead_to_are_taken_once_under_their_real_path(world: World) -> None:
    elsewhere = World(world.root / "elsewhere")
    elsewhere.deliver({TWO: [record(NOON, n=2)]})
    world.deliver({ONE: [record(NOON, n=1)]})
    (world.input / "more").symlink_to(elsewhere.input)
    (world.input / "again").symlink_to(elsewhere.input / "BRCB")
    (world.input / "BRCB/loop").symlink_to(world.input)
    (world.input / "2025121012.txt.gz").symlink_to(elsewhere.path(TWO))
    assert world.compact()["files_ingested"] == 2
    assert world.rows("n", "source_file") == [(1.0, ONE), (2.0, str(elsewhere.path(TWO).resolve().parent))]
    (world.input / "again").unlink()
    assert world.compact()["files_skipped"] == 2


def test_the_real_name_decides_whether_a_linked_file_is_one_of_the_source(world: World) -> None:
    world.deliver({ONE: [record(NOON, n=1)]})
    blob = world.root / "blob"
    world.path(ONE).rename(blob)
    world.path(ONE).symlink_to(blob)
    world.deliver({TWO: [record(NOON, n=2)]})
    summary = world.compact()
    assert (summary["files_ingested"], summary["files_ignored"]) == (1, 1)


def test_a_link_to_nothing_is_told_and_taken_once_it_leads_somewhere(world: World) -> None:
    world.deliver({ONE: [record(NOON, n=1)], TWO: [record(NOON, n=2)]})
    world.path(TWO).rename(world.root / "kept")
    world.path(TWO).symlink_to(world.input / "BRCB/DEV3/2025121012/2025121012.txt.gz")
    assert world.compact()["files_deferred"] == 1
    assert world.compact()["files_deferred"] == 1
    world.path("BRCB/DEV3/2025121012").parent.mkdir(parents=True)
    (world.root / "kept").rename(world.path("BRCB/DEV3/2025121012"))
    assert world.compact()["files_ingested"] == 1
    assert world.rows("n") == [(1.0,), (2.0,)]
