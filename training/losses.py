"""What the network is told it got wrong, head by head.

Every head counts only the turns whose speaker it is about. A head without a target in a batch
adds a zero that still has a gradient, so that all processes of a distributed run see the same
parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from training.config import LossConfig


@dataclass(frozen=True, slots=True)
class SessionLoss:
    """The sum of all heads' losses; called as HF Trainer calls a `compute_loss_func`."""

    config: LossConfig

    def __call__(
        self,
        outputs: Mapping[str, Tensor],
        labels: Mapping[str, Tensor],
        num_items_in_batch: object = None,
    ) -> Tensor:
        """The loss of a batch, a scalar: the mean over the members.

        Args:
            outputs: logits by head, as models.network.RuptureModel.forward gives in training.
            labels: targets and masks, as training.batches.Collator makes them.
            num_items_in_batch: not used: a session counts by its turns, not by its tokens.
        """
        n_members = len(outputs["labels"])
        lost = [
            getattr(self.config, head) * part
            for member in range(n_members)
            for head, part in self.by_head(
                {name: own[member] for name, own in outputs.items()}, labels
            ).items()
        ]
        return torch.stack(lost).sum() / n_members

    def by_head(
        self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Each head's loss before its weight, scalars, of one member."""
        own = labels["own"]
        client, therapist = own[..., :1], own[..., 2:3]
        found = {
            "labels": self._labels(outputs["labels"], labels),
            "markers": _columns(outputs["markers"], labels["markers"], client),
            "strategies": _columns(outputs["strategies"], labels["strategies"], therapist),
            "intensity": _squared(
                outputs["intensity"][..., 0], labels["intensity"], client[..., 0]
            ),
        }
        for head in ("pillars", "talk", "behaviour"):
            if head in outputs:
                found[head] = _choice(outputs[head], labels[head])
        if "ratings" in outputs:
            known = ~torch.isnan(labels["ratings"])
            target = torch.nan_to_num(labels["ratings"])
            found["ratings"] = _squared(outputs["ratings"], target, known.float())
        return found

    def _labels(self, logits: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
        """Mean over the labels that a turn's speaker can carry, each turn by its weight."""
        config, sure, real = self.config, labels["sure"], labels["is_real"]
        count = sure + config.unsure * (1 - sure)
        count = count * (real + config.invented * (1 - real))
        lost = binary_cross_entropy_with_logits(
            logits,
            labels["labels"],
            reduction="none",
            pos_weight=logits.new_tensor(config.positive),
        )
        return _mean(lost, labels["own"] * count.unsqueeze(-1))


def _columns(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy summed over columns, mean over the turns of the mask (…, 1)."""
    lost = binary_cross_entropy_with_logits(logits, target, reduction="none")
    return _mean(lost.sum(dim=-1, keepdim=True), mask)


def _squared(value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return _mean((value - target) ** 2, mask)


def _choice(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of one choice a turn, mean over the turns that have one (target not -1)."""
    lost = cross_entropy(logits.flatten(0, -2), target.flatten(), ignore_index=-1, reduction="none")
    return _mean(lost, (target.flatten() >= 0).float())


def _mean(lost: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean; 0 where nothing has weight, still with a gradient."""
    total = weight.sum()
    return (lost * weight).sum() / torch.where(total > 0, total, torch.ones_like(total))
