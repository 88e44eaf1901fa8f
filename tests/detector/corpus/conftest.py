"""A small invented corpus, and its reports by the rules, scored once."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from detector.batch import Request
from detector.corpus import run
from detector.corpus.run import Summary, Workers

RULES = Request(checkpoint="rules")

Rows = list[dict[str, Any]]


def rows_of(dialogue: Sequence[str], n_sessions: int) -> Rows:
    """Sessions of one dialogue, each begun at another turn, of clients with four sessions each."""
    roles = {"T": "therapist", "C": "client"}
    found: Rows = []
    for n in range(n_sessions):
        lines = dialogue[2 * (n % 4) :]
        turns = [
            {
                "speaker": line[0],
                "role": roles[line[0]],
                "text": line[3:],
                "start_s": 10.0 * place,
                "end_s": 10.0 * place + 8.0 - n % 3,
            }
            for place, line in enumerate(lines)
        ]
        known = {"client_id": f"c{n // 4}", "session_number": n % 4 + 1}
        found.append({"session_id": f"s{n:03}", **known, "turns": turns})
    return found


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    """A JSONL file; a row that is a text stands there as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    path.write_text(text, "utf-8")
    return path


@pytest.fixture(scope="session")
def make_rows(dialogue: tuple[str, ...]) -> Callable[[int], Rows]:
    """Rows of a JSONL corpus: `make_rows(n_sessions)`."""
    return lambda n_sessions: rows_of(dialogue, n_sessions)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, dialogue: tuple[str, ...]) -> Path:
    """A JSONL corpus of 48 sessions of twelve clients."""
    return write_lines(tmp_path_factory.mktemp("corpus") / "all.jsonl", rows_of(dialogue, 48))


def score(names: Sequence[Path | str], out: Path, **more: Any) -> Summary:
    """Scores by the rules in this process, unless more is said."""
    given = {"workers": Workers(1), **more}
    return run.score([str(name) for name in names], out, RULES, **given)


@pytest.fixture(scope="session")
def reports(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports of the corpus, in one run of one process. Read only."""
    out = tmp_path_factory.mktemp("reports") / "reports.parquet"
    score([corpus], out)
    return out


@pytest.fixture(scope="session")
def score_corpus() -> Callable[..., Summary]:
    """`score_corpus([paths], out, workers=…, most=…)`."""
    return score


@pytest.fixture(scope="session")
def write_corpus() -> Callable[[Path, Sequence[Any]], Path]:
    """Writes rows as a JSONL file: `write_corpus(path, rows)`."""
    return write_lines
