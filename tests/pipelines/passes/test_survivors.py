"""The graph of documents: what steps link, and who wins, against a plain union-find."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.passes.survivors import Graph


def test_groups_of_several_steps_are_one_graph():
    graph = Graph(6)
    graph.join(np.array([0, 0, -1, 1, -1, 1]))
    graph.join(np.array([-1, 7, 7, -1, -1, -1]))
    assert graph.labels.tolist() == [0, 0, 0, 3, 4, 3]
    assert graph.is_linked.tolist() == [True, True, True, True, False, True]


def test_a_step_without_a_group_changes_nothing():
    graph = Graph(3)
    graph.join(np.array([-1, -1, -1]))
    assert graph.labels.tolist() == [0, 1, 2]
    assert [found.tolist() for found in graph.losers(np.ones(3, dtype=bool), [])] == [[], []]


@pytest.mark.parametrize("seed", range(10))
def test_one_candidate_of_each_group_wins_whatever_the_steps(seed):
    rng = np.random.default_rng(seed)
    size = 60
    graph = Graph(size)
    parent = list(range(size))

    def root(at):
        return at if parent[at] == at else root(parent[at])

    for _ in range(3):
        groups = rng.integers(-20, 20, size)
        groups[groups < 0] = -1
        graph.join(groups)
        for group in set(groups.tolist()) - {-1}:
            members = np.flatnonzero(groups == group).tolist()
            for one in members:
                low, high = sorted((root(members[0]), root(one)))
                parent[high] = low
    assert graph.labels.tolist() == [root(at) for at in range(size)]
    candidates, rank = rng.random(size) < 0.8, rng.integers(0, 4, size).astype(float)
    lost, winners = graph.losers(candidates, [rank])
    for row, winner in zip(lost.tolist(), winners.tolist(), strict=True):
        assert root(row) == root(winner)
        assert (-rank[winner], winner) < (-rank[row], row)
    kept = set(np.flatnonzero(candidates)) - set(lost.tolist())
    assert sorted(map(root, kept)) == sorted({root(at) for at in np.flatnonzero(candidates)})


def test_what_an_earlier_dataset_has_reaches_through_later_links():
    graph = Graph(4)
    graph.join(np.array([-1, -1, -1, -1]), (np.array([2]), ["old"]))
    graph.join(np.array([-1, 5, 5, -1]))
    rows, twins = graph.known_earlier(np.array([True, True, True, True]))
    assert (rows.tolist(), twins) == ([1, 2], ["old", "old"])
    rows, _ = graph.known_earlier(np.array([True, False, True, True]))
    assert rows.tolist() == [2]
