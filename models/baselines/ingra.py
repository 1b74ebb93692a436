"""Inductive Granger causal modelling after InGRA (Chu, Wang et al., arXiv:2102.05298): one model for all shops.

Written from its published summaries, for no implementation is public and its formulas were not at hand; where they
leave a choice, the simpler one was taken and stands here. Every node's past is read by a recurrent memory of its own
that sees nothing else. A target is predicted from all memories, weighted by attention: the shop's own attention, a
softmax of how far each source lowers the error of predicting the target from its own past (Granger's definition; so
Schwab et al., AAAI 2019), mixed with the prototype, out of a fixed number learned with the model, that is most like it
(cosine similarity, Gumbel-softmax). Prototypes are pushed apart. The attention that a source gets is the score of its
edge. Weights are shared over shops. The caller chooses the number of torch threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.baselines.graph_base import EdgeScores, standardised
from models.shops.panel import ShopPanel


@dataclass(frozen=True, kw_only=True)
class InductiveGranger:
    """hidden: units of every node's memory. prototypes: number of common structures, chosen beforehand.

    mixing: weight of the prototype in the attention. diversity: weight of the prototypes' mutual similarity.
    temperature: of the choice of a prototype. learning_rate, steps: of Adam, all shops in every step.
    """

    hidden: int = 8
    prototypes: int = 5
    mixing: float = 0.5
    diversity: float = 0.01
    temperature: float = 0.5
    learning_rate: float = 0.01
    steps: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.hidden, self.prototypes, self.steps) < 1 or not 0 <= self.mixing <= 1:
            raise ValueError(
                f"hidden {self.hidden}, prototypes {self.prototypes}, steps {self.steps}, mixing {self.mixing}: give "
                "counts of 1 or more and a mixing weight between 0 and 1."
            )

    def score_edges(self, panel: ShopPanel, progress: Callable[[str], None] | None = None) -> EdgeScores:
        """Score by attention; present where a source gets more than all sources would on average."""
        import torch
        from torch.nn.functional import cosine_similarity, gumbel_softmax

        generator = torch.Generator().manual_seed(self.seed)
        series = torch.tensor(standardised(panel.values), dtype=torch.float32)
        nodes, units = series.shape[2], self.hidden

        def drawn(*shape, scale):
            return (torch.randn(shape, generator=generator) * scale).requires_grad_()

        inward = drawn(nodes, 4 * units, scale=1.0)  # a node's own value into its own memory
        recurrent = drawn(nodes, units, 4 * units, scale=units**-0.5)
        bias = drawn(nodes, 4 * units, scale=0.1)
        alone = drawn(nodes, nodes, units, scale=units**-0.5)  # [target, source, unit], one source at a time
        sharpness = torch.ones(nodes, requires_grad=True)
        common = drawn(nodes, self.prototypes, nodes, scale=1.0)  # [target, prototype, source]
        outward = drawn(
            nodes, nodes, units, scale=units**-0.5
        )  # [target, source, unit], all sources together
        level = drawn(nodes, scale=0.1)
        weights = [inward, recurrent, bias, alone, sharpness, common, outward, level]
        optimiser = torch.optim.Adam(weights, lr=self.learning_rate)
        past, future = series[:, :-1], series[:, 1:]
        own = torch.arange(nodes)

        def attention(memories, choose):
            """(shop, target, source); similarity of prototypes; errors with one source at a time."""
            each = torch.einsum("nsdu,jdu->nsjd", memories, alone)
            base = each[:, :, own, own]  # (shop, period, target): from its own past
            with_source = ((future - base)[..., None] - each).square().mean(1)
            without = (future - base).square().mean(1)
            gain = (1 - with_source / without[..., None].clamp_min(1e-6)).clamp_min(0.0)
            mine = torch.softmax(gain * nodes * torch.nn.functional.softplus(sharpness)[:, None], -1)
            structures = torch.softmax(common, -1)  # (target, prototype, source)
            alike = cosine_similarity(mine[:, :, None], structures[None], dim=-1).clamp_min(1e-6).log()
            chosen = choose(alike)
            mixed = self.mixing * torch.einsum("njk,jkd->njd", chosen, structures) + (1 - self.mixing) * mine
            similar = cosine_similarity(structures[:, :, None], structures[:, None], dim=-1).mean()
            return mixed, similar, without.mean() + with_source.mean()

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for step in range(self.steps):
                memories = _memories(past, inward, recurrent, bias)  # (shop, period, node, unit)
                share, similar, apart = attention(
                    memories, lambda alike: gumbel_softmax(alike, tau=self.temperature, dim=-1)
                )
                said = torch.einsum("njd,nsdu,jdu->nsj", share, memories, outward * nodes) + level
                error = (said - future).square().mean()
                loss = error + apart + self.diversity * similar
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimiser.step()
                if progress and (step + 1) % 50 == 0:
                    progress(f"InGRA step {step + 1} of {self.steps}: error {float(error.detach()):.4f}")
        with torch.no_grad():
            memories = _memories(past, inward, recurrent, bias)
            share, _, _ = attention(memories, lambda alike: torch.softmax(alike / self.temperature, -1))
        score = share.transpose(1, 2).double().numpy()
        return EdgeScores(score, score > 1 / nodes, "ingra")


def _memories(read, inward, recurrent, bias):
    """(shop, period, node, unit) from series (shop, period, node): each node's memory sees that node alone."""
    import torch

    units = recurrent.shape[1]
    entering = read[..., None] * inward + bias  # (shop, period, node, gates)
    memory = hidden = torch.zeros(*read[:, 0].shape, units)
    kept = []
    for now in entering.unbind(1):
        gates = now + torch.einsum("ndu,dug->ndg", hidden, recurrent)
        keep, write, show = torch.sigmoid(gates[..., : 3 * units]).chunk(3, -1)
        memory = keep * memory + write * torch.tanh(gates[..., 3 * units :])
        hidden = show * torch.tanh(memory)
        kept.append(hidden)
    return torch.stack(kept, 1)
