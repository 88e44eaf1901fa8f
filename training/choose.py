"""Which of several runs to go on with: `rupture choose RUN…`, on sessions kept for choosing.

What is chosen by looking at a figure has that figure flattered. So choices are made on the train
split alone, cut into other folds than `rupture evaluate` reports on (`CHOICE_SEED`): a run for
choosing has `splits = ["train"]` and that fold seed in its configuration. The dev split has no
part in them. The labels are a language model's under our codebook, not clinicians'.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from detector.markers import MarkerRules
from detector.scoring import FITTED
from training.corpus import TrainingDataError, load_annomi, load_synthetic, told
from training.folds import by_session, fit_folds
from training.fuse import cross_fuse, readings
from training.pairs import precisions
from training.predictions import read_predictions
from training.rules import Example, read_examples

CHOICE_SEED = 7
"""Of the folds that choices are made on; `rupture evaluate` reports on other ones."""


def compare(
    runs: Sequence[Path], real: Sequence[Example], invented: Sequence[Example]
) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Average precision by label of the rules, and of each run alone and with the rules.

    Args:
        runs: folders of training runs on the train split, folds by CHOICE_SEED.
        real: the train split's sessions, in the order of `load_annomi`.
        invented: the invented sessions, which every fit of the rules sees.

    Raises: TrainingDataError: a run is of other folds or of other sessions.
    """
    found = [read_predictions(run, real, fold_seed=CHOICE_SEED) for run in runs]
    rules = fit_folds(real, invented, seed=CHOICE_SEED)
    own = by_session(rules, real, lambda fold, ex: fold.fitted.predict(ex))
    yield "the rules", precisions(real, own)
    for run in found:
        yield f"{run.name}, alone", precisions(real, [run.scores(ex) for ex in real])
        fused = cross_fuse(real, rules, readings(run, real))
        yield f"{run.name}, with the rules", precisions(real, [one.scores for one in fused])


@told()
def command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of training runs.")],
) -> None:
    """Compare runs on the sessions kept for choosing; never on what is reported."""
    rules = MarkerRules()
    real = read_examples((s for s in load_annomi() if s.split == "train"), rules)
    if not real:
        raise TrainingDataError("there is no session of the train split")
    typer.echo(f"| {len(real)} sessions | {' | '.join(FITTED)} |\n|---|{'---|' * len(FITTED)}")
    for name, known in compare(runs, real, read_examples(load_synthetic(), rules)):
        typer.echo(f"| {name} | {' | '.join(f'{known[label]:.3f}' for label in FITTED)} |")


if __name__ == "__main__":
    typer.run(command)
