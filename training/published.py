"""A published checkpoint as one more scorer, on sessions that it has not learned from."""

from collections.abc import Sequence

import numpy as np

from detector.pipeline import Detector
from detector.scoring import FITTED
from models.errors import ModelError
from training.corpus import TrainingDataError
from training.evaluation import Scorer
from training.rules import Example


def score_published(name: str, examples: Sequence[Example]) -> Scorer:
    """What a checkpoint says of these sessions as `rupture score` would, ratings aside.

    Args:
        name: in the registry, or a folder; "rules" for the shipped rules without a network.
        examples: sessions of one's own.

    Raises: TrainingDataError: there is no such checkpoint, or it learned from these sessions: what
        we publish was fitted on AnnoMI.
    """
    if any(ex.session.source == "annomi" for ex in examples):
        raise TrainingDataError(
            f"{name} was fitted on AnnoMI, where its figures would flatter it: compare it on "
            "sessions of your own alone"
        )
    try:
        detector = Detector.load(name)
    except ModelError as error:
        raise TrainingDataError(str(error)) from None
    found = [detector.score(ex.session.transcript).scores for ex in examples]
    scores = [{label: np.nan_to_num(one[label]) for label in FITTED} for one in found]
    said = "the published checkpoint as it stands; none of these sessions is to be known to it"
    return Scorer("published", f"checkpoint {name}", said, scores)
