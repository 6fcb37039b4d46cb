"""Whatever happens to links and nodes, once all is well again every process has ended once, in every record of it."""

from __future__ import annotations

import pytest

from tests.sim.seeds import failures, replay

SEEDS = 500


@pytest.mark.slow
def test_every_promise_holds_for_every_seed() -> None:
    broken = [f"{fault}\n  again: {replay(seed)}" for seed, fault in failures(range(SEEDS)) if fault]
    assert not broken, "\n".join(broken)
