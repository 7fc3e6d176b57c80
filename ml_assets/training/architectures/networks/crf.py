"""A linear-chain conditional random field over labels: `0` outside, `1 + 2 c` start and `2 + 2 c` inside of class `c`.

Lafferty, McCallum & Pereira 2001, "Conditional Random Fields". Everything is batched: `emissions` are `(b, t, l)`; `steps` are
the transition scores `(l + 1, l)` from one label to the next, with those of the first label in the last row; `mask` is `(b,
t)`, True for the characters of each text.
"""

import torch

FORBIDDEN = -1e4
"""Score of transitions that cannot occur in a labelling of spans."""


def forbidden_steps(labels: int) -> torch.Tensor:
    """`(labels + 1, labels)` scores: `FORBIDDEN` into the inside of a class except from its start or inside, else 0."""
    found = torch.zeros(labels + 1, labels)
    for inside in range(2, labels, 2):
        found[:, inside] = FORBIDDEN
        found[inside - 1 : inside + 1, inside] = 0
    return found


def log_partition(emissions: torch.Tensor, steps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`(b,)` log of the sum over all label sequences; its gradient with respect to the emissions are the marginals."""
    reached = emissions[:, 0] + steps[-1]
    for place in range(1, emissions.shape[1]):
        further = (reached.unsqueeze(2) + steps[:-1]).logsumexp(1) + emissions[:, place]
        reached = further.where(mask[:, place].unsqueeze(1), reached)
    return reached.logsumexp(1)


def score_of(emissions: torch.Tensor, steps: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`(b,)` score of the `(b, t)` label sequences; labels beyond the mask are ignored."""
    labels = labels.clamp(min=0)
    found = (emissions.gather(2, labels.unsqueeze(2)).squeeze(2) * mask).sum(1)
    return found + steps[-1][labels[:, 0]] + (steps[labels[:, :-1], labels[:, 1:]] * mask[:, 1:]).sum(1)


def marginals(emissions: torch.Tensor, steps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`(b, t, l)` marginal probability of each label at each position."""
    with torch.enable_grad():
        emissions = emissions.detach().requires_grad_()
        [found] = torch.autograd.grad(log_partition(emissions, steps.detach(), mask).sum(), emissions)
    return found


def best_path(emissions: torch.Tensor, steps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`(b, t)` the most probable label sequence (Viterbi), padded with 0."""
    reached, came = emissions[:, 0] + steps[-1], []
    itself = torch.arange(emissions.shape[2]).expand_as(reached)
    for place in range(1, emissions.shape[1]):
        best, before = (reached.unsqueeze(2) + steps[:-1]).max(1)
        on = mask[:, place].unsqueeze(1)
        reached = (best + emissions[:, place]).where(on, reached)
        came.append(before.where(on, itself))
    found = [reached.argmax(1)]
    for before in reversed(came):
        found.append(before.gather(1, found[-1].unsqueeze(1)).squeeze(1))
    return torch.stack(found[::-1], 1).masked_fill(~mask, 0)
