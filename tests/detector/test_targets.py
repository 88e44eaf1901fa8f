from pathlib import Path

from detector.targets import expand, targets_of


def test_globs_are_spelled_out_in_order_and_other_names_stay(tmp_path: Path) -> None:
    for name in ("b.vtt", "a.vtt", "c.txt"):
        (tmp_path / name).touch()
    found = list(expand([f"{tmp_path}/*.vtt", "-", "missing.vtt"]))
    assert found == [f"{tmp_path}/a.vtt", f"{tmp_path}/b.vtt", "-", "missing.vtt"]


def test_a_file_whose_name_looks_like_a_glob_is_itself(tmp_path: Path) -> None:
    (tmp_path / "a[1].vtt").touch()
    assert list(expand([f"{tmp_path}/a[1].vtt"])) == [f"{tmp_path}/a[1].vtt"]


def test_a_glob_that_matches_nothing_gives_nothing(tmp_path: Path) -> None:
    assert list(expand([f"{tmp_path}/*.nothing"])) == []


def test_without_a_folder_everything_goes_to_standard_output() -> None:
    assert targets_of(["a.vtt", "-"], None, "json") == [("a.vtt", None), ("-", None)]


def test_no_report_is_written_over_another_or_over_what_is_read(tmp_path: Path) -> None:
    names = ["x/a.vtt", "y/a.vtt", "A.srt", f"{tmp_path}/b.json"]
    paths = [path for _, path in targets_of(names, tmp_path, "json")]
    assert [path and path.name for path in paths] == [
        "a.vtt.json",
        "a.vtt-2.json",
        "A.srt.json",
        "b.json.json",
    ]
