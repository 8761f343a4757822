from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nin_exp.data.splits import allocate, hashed_test_split, stratified_subset, train_val_split
from nin_exp.errors import ConfigError, DataError

label_lists = st.lists(st.integers(0, 6), min_size=2, max_size=120).filter(lambda v: max(map(v.count, v)) >= 2)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**40)


@settings(deadline=None)
@given(label_lists, fractions, seeds)
def test_every_image_stands_in_one_part_and_every_class_of_two_in_both(values, fraction, seed):
    labels = np.array(values, dtype=np.int64)
    train, val = train_val_split(labels, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([train, val])), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(val) > 0).all()
    for label in set(values):
        expected = 1 if values.count(label) >= 2 else 0
        assert (labels[val] == label).sum() >= expected
        assert (labels[train] == label).sum() >= 1


@settings(deadline=None)
@given(st.lists(st.integers(20, 60), min_size=2, max_size=6), st.floats(0.1, 0.5), seeds)
def test_validation_has_its_exact_size_and_each_class_its_share(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    _, val = train_val_split(labels, fraction, seed)
    assert len(val) == round(fraction * len(labels))
    for label, count in enumerate(counts):
        assert abs((labels[val] == label).sum() - fraction * count) <= 1 + 1e-9


def test_other_seeds_give_other_splits_and_equal_seeds_equal_ones():
    labels = np.arange(200) % 10
    _, first = train_val_split(labels, 0.1, 0)
    _, again = train_val_split(labels, 0.1, 0)
    _, other = train_val_split(labels, 0.1, 1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_split_is_pinned():
    # Whatever the machine and the version of NumPy: PCG64's raw stream, worked out once by hand from its definition
    # in `pcg64_first_words` below.
    labels = np.array([0, 1] * 6)
    _, val = train_val_split(labels, 0.34, 7)
    keys = np.array(pcg64_first_words([0, 7], 12), dtype=np.uint64)
    expected = sorted(int(i) for k in (0, 1) for i in sorted(np.flatnonzero(labels == k), key=lambda i: keys[i])[:2])
    assert val.tolist() == expected


def pcg64_first_words(entropy: list[int], count: int) -> list[int]:
    """PCG XSL RR 128/64 (O'Neill 2014, section 6.3), seeded with NumPy's SeedSequence words."""
    words = [int(w) for w in np.random.SeedSequence(entropy).generate_state(4, np.uint64)]
    mask, multiplier = (1 << 128) - 1, 0x2360ED051FC65DA44385DF649FCCF645
    initial, sequence = words[0] << 64 | words[1], words[2] << 64 | words[3]
    increment = (sequence << 1 | 1) & mask
    state = (increment + initial) * multiplier + increment & mask
    found = []
    for _ in range(count):
        state = state * multiplier + increment & mask
        value, turn = (state >> 64) ^ (state & (1 << 64) - 1), state >> 122
        found.append((value >> turn | value << (-turn & 63)) & (1 << 64) - 1)
    return found


def test_split_is_the_same_in_another_process():
    code = (
        "import numpy as np; from nin_exp.data.splits import train_val_split as s;"
        "print(s(np.arange(50) % 5, 0.2, 3)[1].tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(train_val_split(np.arange(50) % 5, 0.2, 3)[1].tolist())


def test_images_of_all_different_classes_cannot_be_split():
    with pytest.raises(DataError, match="validation needs a class with at least 2 training images"):
        train_val_split(np.array([0, 1]), 0.5, 0)


@settings(deadline=None)
@given(label_lists, st.integers(0, 100), seeds)
def test_limited_training_set_has_its_size_and_all_classes(values, extra, seed):
    labels = np.array(values, dtype=np.int64)
    limit = len(set(values)) + extra
    rows = stratified_subset(labels, limit, seed)
    assert len(rows) == min(limit, len(labels))
    assert len(set(rows.tolist())) == len(rows)
    assert set(labels[rows].tolist()) == set(values)


@settings(deadline=None)
@given(label_lists, st.integers(0, 40), st.integers(0, 40), seeds)
def test_a_smaller_subset_is_a_part_of_a_larger_one(values, first, second, seed):
    labels = np.array(values, dtype=np.int64)
    small, large = sorted(len(set(values)) + extra for extra in (first, second))
    assert set(stratified_subset(labels, small, seed)) <= set(stratified_subset(labels, large, seed))


def test_limit_below_the_number_of_classes():
    with pytest.raises(
        ConfigError,
        match=r"must leave at least the 3 classes, got 2 images; raise them",
    ):
        stratified_subset(np.array([0, 1, 2, 2]), 2, 0)


def test_limit_keeps_proportions():
    labels = np.repeat([0, 1], [900, 100])
    rows = stratified_subset(labels, 100, 0)
    assert np.bincount(labels[rows]).tolist() == [90, 10]


@settings(deadline=None)
@given(label_lists, fractions)
def test_hashed_test_split_leaves_every_class_of_two_on_both_sides(values, fraction):
    labels = np.array(values, dtype=np.int64)
    keys = [f"{i}.png".encode() for i in range(len(values))]
    is_test = hashed_test_split(keys, labels, fraction)
    for label in set(values):
        inside = is_test[labels == label]
        if len(inside) >= 2:
            assert inside.any()
            assert not inside.all()
        else:
            assert not inside.any()


@settings(max_examples=30, deadline=None)
@given(st.permutations(list(range(30))))
def test_hashed_test_split_does_not_depend_on_order(order):
    labels = np.arange(30) % 3
    keys = [f"{i}.png".encode() for i in range(30)]
    expected = {keys[i] for i in np.flatnonzero(hashed_test_split(keys, labels, 0.3))}
    shuffled = [keys[i] for i in order]
    found = hashed_test_split(shuffled, labels[list(order)], 0.3)
    assert {shuffled[i] for i in np.flatnonzero(found)} == expected


def test_hashed_test_split_keeps_copies_together():
    keys = [b"same"] * 5 + [bytes([i]) for i in range(20)]
    for fraction in np.linspace(0.05, 0.9, 30):
        is_test = hashed_test_split(keys, np.zeros(25, dtype=np.int64), float(fraction))
        assert len(set(is_test[:5].tolist())) == 1
    alone = hashed_test_split([b"same"] * 4, np.zeros(4, dtype=np.int64), 0.25)
    assert alone.sum() == 1


def test_hashed_test_split_takes_the_smallest_sha256():
    import hashlib

    keys = [f"{i}.jpg".encode() for i in range(20)]
    smallest = sorted(range(20), key=lambda i: hashlib.sha256(keys[i]).hexdigest())[:5]
    found = np.flatnonzero(hashed_test_split(keys, np.zeros(20, dtype=np.int64), 0.25))
    assert found.tolist() == sorted(smallest)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=8), st.data()
)
def test_allocation_keeps_sum_and_bounds(rows, data):
    counts = np.array([c for c, _, _ in rows])
    least = np.array([min(c, low) for c, low, _ in rows])
    most = np.array([min(c, low + room) for c, low, room in rows])
    total = data.draw(st.integers(0, int(counts.sum())))
    sizes = allocate(counts, total, least, most)
    assert sizes.sum() == np.clip(total, least.sum(), most.sum())
    assert (sizes >= least).all()
    assert (sizes <= most).all()


def test_allocation_by_largest_remainder():
    # Hamilton's method for 100 seats of 534, 302, 164: quotas 5.34, 3.02, 1.64 of 10 seats.
    zeros, all_ = np.zeros(3, dtype=np.int64), np.array([534, 302, 164])
    assert allocate(all_, 10, zeros, all_).tolist() == [5, 3, 2]
