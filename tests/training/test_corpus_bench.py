from training.corpus_bench import lines


def test_a_size_has_a_line_with_its_rate_and_peak_memory() -> None:
    head, *_, line, end = lines((2,), 1)
    assert "rules; load before:" in head
    assert end.strip().startswith("Load after:")
    cells = [cell.strip() for cell in line.strip("| ").split("|")]
    assert cells[0] == "2"
    assert 0 < float(cells[2]) < float(cells[3])
    assert 30 < float(cells[4].removesuffix(" MiB")) < 2000
