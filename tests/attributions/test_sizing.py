"""A batch grows while that makes it faster and memory holds it; it never asks for more than there is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.attributions.memory import Memory, parsed, resident
from equipoise.attributions.sizing import MOST, SHARE, Sizing


class Simulated:
    """A machine: seconds and bytes of a batch by its size."""

    def __init__(self, fixed_cost, per_photo, room, slowdown=None):
        self.fixed_cost, self.per_photo, self.room, self.slowdown = fixed_cost, per_photo, room, slowdown
        self.given_back = 0
        self.size = 0

    def seconds(self, size):
        slow = 2.0 if self.slowdown and size > self.slowdown else 1.0
        return slow * (self.fixed_cost + size * 0.1)

    def free(self):
        return self.room

    def begin(self):
        return 0

    def peak(self):
        return self.size * self.per_photo

    def give_back(self):
        self.given_back += 1


def work(sizing, machine, batches=60):
    used = []
    for _ in range(batches):
        size = sizing.next()
        used.append(size)
        machine.size = size
        sizing.begin()
        sizing.note(size, machine.seconds(size))
    return used


@settings(max_examples=100, deadline=None)
@given(
    fixed=st.floats(0, 5),
    per_photo=st.integers(1, 10**9),
    room=st.integers(10**6, 10**11),
    fixed_batch=st.none() | st.integers(1, 600),
)
def test_it_never_asks_for_more_than_memory_holds(fixed, per_photo, room, fixed_batch):
    machine = Simulated(fixed, per_photo, room)
    used = work(Sizing(machine, fixed_batch), machine)
    assert used[0] == 1 or fixed_batch is not None
    assert all(size == 1 or size * per_photo <= SHARE * room for size in used[1:])
    assert max(used) <= (fixed_batch or MOST)


def test_it_grows_where_that_pays_and_stops_where_it_does_not():
    assert work(Sizing(large := Simulated(1.0, 1, 10**9)), large)[-1] >= 64
    assert work(Sizing(small := Simulated(0.0, 1, 10**9)), small)[-1] == 1
    assert work(Sizing(bend := Simulated(1.0, 1, 10**9, slowdown=8)), bend)[-1] == 8


def test_a_batch_that_did_not_fit_is_not_tried_again():
    machine = Simulated(1.0, 1, None)
    sizing = Sizing(machine)
    work(sizing, machine, 8)
    sizing.too_large(sizing.next())
    limit = sizing.next()
    assert max(work(sizing, machine)) == limit
    assert machine.given_back == 1


def test_a_fixed_batch_begins_with_one_photo_to_see_what_it_takes():
    machine = Simulated(0.0, 100, 10_000)
    assert work(Sizing(machine, 32), machine, 3) == [1, 32, 32]
    tight = Simulated(0.0, 1000, 10_000)
    assert work(Sizing(tight, 32), tight, 3) == [1, 6, 6]


def test_a_photo_that_takes_no_new_memory_does_not_hold_a_batch_back():
    machine = Simulated(0.0, 0, 10_000)
    assert work(Sizing(machine, 32), machine, 3) == [1, 32, 32]


def test_the_memory_of_this_process_is_measured():
    memory = Memory(torch.device("cpu"))
    memory.give_back()  # else what other tests have freed may be taken again
    before = memory.begin()
    block = torch.ones(64 * 2**20 // 4)
    assert memory.peak() - before > 50 * 2**20
    assert block.sum() > 0
    assert memory.free() > 0
    bounded = Memory(torch.device("cpu"), resident() + 10**6)
    assert bounded.free() <= 10**6
    memory.give_back()


@pytest.mark.parametrize(("text", "value"), [("8G", 8 * 2**30), ("500M", 500 * 2**20), ("1.5GiB", 3 * 2**29), ("7", 7)])
def test_sizes_in_words(text, value):
    assert parsed(text) == value


@pytest.mark.parametrize("text", ["", "G", "many", "-1", "nan"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError):  # noqa: PT011  # the caller says what it is of
        parsed(text)
