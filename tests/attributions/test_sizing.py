"""A batch grows while that makes it faster and memory holds it; it never asks for more than there is."""

import contextlib
import platform
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.attributions import memory as memory_module
from equipoise.attributions.memory import Memory, bounded, kept_for_later, parsed, resident
from equipoise.attributions.sizing import GAIN, LITTLE, MOST, PATIENCE, SCATTERED, SHARE, TIE, WARMING, Needs, Sizing


class Simulated:
    """A machine: seconds and bytes of a batch by its size."""

    def __init__(self, fixed_cost, per_photo, room, slowdown=None, each=0.1):
        self.each = each
        self.fixed_cost, self.per_photo, self.room, self.slowdown = fixed_cost, per_photo, room, slowdown
        self.given_back = 0
        self.size = 0

    def seconds(self, size):
        slow = 2.0 if self.slowdown and size > self.slowdown else 1.0
        return slow * (self.fixed_cost + size * self.each)

    def free(self):
        return self.room

    def begin(self):
        return 0

    def peak(self):
        return self.size * self.per_photo

    def clear(self):
        self.given_back += 1

    @contextlib.contextmanager
    def part(self):
        yield self.peak

    def spread(self):
        return 0


def work(sizing, machine, batches=60):
    used = []
    for _ in range(batches):
        size = sizing.next()
        used.append(size)
        machine.size = size
        sizing.begin(size)
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
    assert used[0] == 1
    assert all(size == 1 or size * per_photo <= SHARE * room for size in used[1:])
    assert max(used) <= (fixed_batch or MOST)


def test_it_grows_where_that_pays_and_stops_where_it_does_not():
    assert work(Sizing(large := Simulated(1.0, 1, 10**9)), large)[-1] >= 64
    assert work(Sizing(small := Simulated(0.0, 1, 10**9)), small)[-1] <= 4
    for bend in (2, 4, 8, 16, 32):
        machine = Simulated(0.01, 1, 10**9, slowdown=bend)
        chosen = work(Sizing(machine), machine)[-1]
        assert chosen / machine.seconds(chosen) * TIE >= bend / machine.seconds(bend)


@settings(max_examples=100, deadline=None)
@given(fixed=st.floats(0, 0.5))
def test_where_larger_is_never_slower_it_comes_to_the_best_but_for_two_steps_that_gain_little(fixed):
    machine = Simulated(fixed, 1, 10**9, each=0.01)
    chosen = work(Sizing(machine), machine, 100)[-1]
    further = min(4 * chosen, MOST)
    assert chosen / machine.seconds(chosen) * GAIN**2 * TIE >= further / machine.seconds(further)


@settings(max_examples=50, deadline=None)
@given(fixed=st.floats(0, 60))
def test_a_batch_never_takes_longer_than_one_photo_or_so_long_as_a_kill_may_lose(fixed):
    machine = Simulated(fixed, 1, 10**9)
    used = work(Sizing(machine), machine)
    assert max(machine.seconds(size) for size in used) <= max(PATIENCE, machine.seconds(1)) + 1e-9


def test_a_larger_photo_gets_a_smaller_batch_before_it_is_tried():
    machine = Simulated(0.0, 100, 10_000)
    sizing = Sizing(machine, 32)
    work(sizing, machine, 3)
    assert sizing.next(1) == 32
    assert sizing.next(4) == 15  # a share of the memory that is free, and four times as much each


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


def test_what_a_part_takes_is_told_and_the_peak_of_the_whole_goes_on():
    memory = Memory(torch.device("cpu"))
    before = memory.begin()
    with memory.part() as large:
        block = torch.ones(64 * 2**20 // 4)
        assert block.sum() > 0
        del block
    assert large() > 50 * 2**20
    with memory.part() as small:
        assert torch.ones(4).sum() == 4
    assert small() < 50 * 2**20
    assert memory.peak() - before > 50 * 2**20
    assert memory.begin() == resident()  # a new whole
    assert memory.peak() - before < 50 * 2**20


@settings(max_examples=100, deadline=None)
@given(
    methods=st.lists(st.tuples(st.integers(0, 10**10), st.floats(0, 100)), min_size=1, max_size=5),
    room=st.integers(10**6, 10**11),
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=12),
)
def test_no_method_gets_more_than_memory_holds_of_it_or_a_kill_may_lose(methods, room, sizes):
    machine, now = Simulated(0.0, 0, room), [0.0]
    needs, largest = Needs(machine, clock=lambda: now[0]), {}
    for elements in sizes:
        for label, (per_photo, seconds) in enumerate(methods):
            count = needs.fits(str(label), elements)
            if elements > largest.get(label, 0):  # it is not known what such a photo takes
                assert count == 1
                largest[label] = elements
            known = largest[label]
            time_ = count * seconds * known
            assert count == 1 or (count * per_photo * known <= SHARE * room and time_ <= WARMING * PATIENCE)
            assert 1 <= count <= MOST
            with needs.noted(str(label), count, elements):
                machine.size, machine.per_photo = count, per_photo * elements
                now[0] += count * seconds * elements


def test_a_slow_first_photo_does_not_part_the_batches_after_it():
    machine, now = Simulated(0.0, 0, 10**9), [0.0]
    needs = Needs(machine, clock=lambda: now[0])
    for seconds, fits in ((10.0, 3), (1.0, 30), (2.0, 30)):  # the first with what is done once
        count = needs.fits("slow to begin", 1)
        with needs.noted("slow to begin", count, 1):
            machine.size = count
            now[0] += count * seconds
        assert needs.fits("slow to begin", 1) == fits


def test_memory_in_pieces_is_given_back_and_not_again_and_again(monkeypatch):
    machine = Simulated(0.0, LITTLE, 100 * LITTLE)
    machine.size, needs, limit = 1, Needs(machine), SCATTERED * 3 * LITTLE
    held = iter([0, limit, limit, limit + 1, 2 * LITTLE, limit, limit + 1, 5 * LITTLE, 9 * LITTLE, 10 * LITTLE + 1, 0])
    monkeypatch.setattr(machine, "spread", lambda: next(held))
    for photos, given_back in ((1, 0), (3, 0), (1, 0), (3, 1), (3, 1), (1, 2), (3, 2), (3, 3)):
        with needs.noted("greedy", photos, 1):
            pass
        assert machine.given_back == given_back


class Library:
    """A C library that notes how its allocator is tuned."""

    def __init__(self):
        self.tuned = {}

    def __call__(self, name):
        return self.tuned.__setitem__ if name == "mallopt" else None


def test_memory_is_kept_for_later_and_given_back_when_the_work_is_done(monkeypatch):
    library = Library()
    monkeypatch.setattr(memory_module, "c_function", library)
    with contextlib.suppress(KeyError), kept_for_later(torch.device("cpu")):
        assert library.tuned == {-4: 0, -1: 2**31 - 1}
        raise KeyError
    assert library.tuned == {-4: 65536, -3: 32 * 2**20, -1: 64 * 2**20}
    with kept_for_later(torch.device("meta")):
        assert library.tuned[-4] == 65536


def test_a_gpu_is_bounded_as_long_as_the_work_lasts(monkeypatch):
    said = []
    whole = types.SimpleNamespace(total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: whole)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _device: 0.9, raising=False)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, _device: said.append(share))
    with contextlib.suppress(KeyError), bounded(torch.device("cuda"), 8 * 2**30):
        assert said == [0.1]
        raise KeyError
    assert said == [0.1, 0.9]  # as it was
    for device, bound in (("cuda", None), ("cpu", 2**30)):
        with bounded(torch.device(device), bound):
            assert said == [0.1, 0.9]
    with bounded(torch.device("cuda"), 2**40):
        assert said[-1] == 1.0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory by itself")
def test_what_is_kept_counts_as_free_and_is_taken_again():
    with kept_for_later(torch.device("cpu")):
        memory = Memory(torch.device("cpu"), resident() + 2**28)
        memory.begin()
        block = torch.ones(2**26 // 4)
        taken = memory.peak()
        assert block.sum() > 0
        del block
        assert resident() > taken - 2**23
        assert memory.free() > 2**28 - 2**24
        memory.give_back()
        assert resident() < taken - 2**25


@pytest.mark.parametrize(("text", "value"), [("8G", 8 * 2**30), ("500M", 500 * 2**20), ("1.5GiB", 3 * 2**29), ("7", 7)])
def test_sizes_in_words(text, value):
    assert parsed(text) == value


@pytest.mark.parametrize("text", ["", "G", "many", "-1", "nan"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError):  # noqa: PT011  # the caller says what it is of
        parsed(text)
