"""The graph of documents: what steps link, and who wins, against a plain union-find."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.passes.survivors import Graph, Links


def cut(groups):
    """Cut what a step says into batches of three documents."""
    return [Links(groups[at : at + 3]) for at in range(0, len(groups), 3)]


def losers(graph, candidates, rank):
    """Offer the candidates in batches of seven."""
    choosing = graph.choosing(len(rank))
    rows = np.flatnonzero(candidates & graph.is_linked)
    for at in range(0, len(rows), 7):
        choosing.offer(rows[at : at + 7], [values[rows[at : at + 7]] for values in rank])
    return choosing.losers(rows)


def test_groups_of_several_steps_are_one_graph():
    graph = Graph(6)
    graph.join(cut(np.array([0, 0, -1, 1, -1, 1])))
    graph.join(cut(np.array([-1, 7, 7, -1, -1, -1])))
    assert graph.labels.tolist() == [0, 0, 0, 3, 4, 3]
    assert graph.is_linked.tolist() == [True, True, True, True, False, True]


def test_a_step_without_a_group_changes_nothing():
    graph = Graph(3)
    graph.join(cut(np.array([-1, -1, -1])))
    assert graph.labels.tolist() == [0, 1, 2]
    assert [found.tolist() for found in losers(graph, np.ones(3, dtype=bool), [])] == [[], []]


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
        graph.join(cut(groups))
        for group in set(groups.tolist()) - {-1}:
            members = np.flatnonzero(groups == group).tolist()
            for one in members:
                low, high = sorted((root(members[0]), root(one)))
                parent[high] = low
    assert graph.labels.tolist() == [root(at) for at in range(size)]
    candidates, rank = rng.random(size) < 0.8, rng.integers(0, 4, size).astype(float)
    lost, winners = losers(graph, candidates, [rank])
    for row, winner in zip(lost.tolist(), winners.tolist(), strict=True):
        assert root(row) == root(winner)
        assert (-rank[winner], winner) < (-rank[row], row)
    kept = set(np.flatnonzero(candidates)) - set(lost.tolist())
    assert sorted(map(root, kept)) == sorted({root(at) for at in np.flatnonzero(candidates)})


def test_what_an_earlier_dataset_has_reaches_through_later_links():
    graph = Graph(4)
    graph.join([Links(np.array([-1, -1]), np.array([], dtype=int)), Links(np.array([-1, -1]), np.array([0]))])
    graph.join(cut(np.array([-1, 5, 5, -1])))
    assert graph.first_known()[graph.labels].tolist() == [-1, 2, 2, -1]
    assert graph.known_by.tolist() == [0, 0, 1, 0]


def test_the_first_step_that_knows_a_document_names_its_twin():
    graph = Graph(3)
    graph.join([Links(np.array([0, 0, -1]), np.array([1]))], "first")
    graph.join([Links(np.array([-1, -1, -1]), np.array([1, 2]))], "second")
    assert [graph.steps[step - 1] for step in graph.known_by.tolist() if step] == ["first", "second"]
    assert graph.first_known()[graph.labels].tolist() == [1, 1, 2]
