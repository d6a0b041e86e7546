"""What `make torture` plans to do to a run; the torture itself is `python -m benchmarks.torture`."""

import pytest

from benchmarks.torture.disturbances import FIRST_ROUNDS, FULL_DISK, KINDS, MOST_HARMED, plan_of_round


def test_the_first_rounds_have_every_kind():
    planned = [one.kind for number in range(len(FIRST_ROUNDS)) for one in plan_of_round(number, 7).disturbances]
    assert set(planned) == set(KINDS)


@pytest.mark.parametrize("number", range(len(FIRST_ROUNDS), len(FIRST_ROUNDS) + 3 * len(KINDS)))
def test_a_round_can_be_and_blames_nobody(number):
    plan = plan_of_round(number, 1000 + number)
    assert plan == plan_of_round(number, 1000 + number)
    kinds = [one.kind for one in plan.disturbances]
    assert list(KINDS)[(number - len(FIRST_ROUNDS)) % len(KINDS)] in kinds
    assert all(plan.place in KINDS[kind].places for kind in kinds)
    assert sum(KINDS[kind].harms for kind in kinds) <= MOST_HARMED
    assert (plan.disk is not None) == (FULL_DISK in kinds)
    assert all(0 < one.at <= 1 for one in plan.disturbances)
