"""The order in which a person reads task runs."""

from __future__ import annotations

from penstock.graph.flow import flow_key
from penstock.testing.notation import graph


def ordered(text: str, *paths: str) -> list[str]:
    return sorted(paths, key=flow_key(graph(text)))


def test_tasks_come_after_what_they_wait_for_and_otherwise_as_they_were_written() -> None:
    assert ordered("zebra -> apple -> mango", "apple", "mango", "zebra") == ["zebra", "apple", "mango"]
    assert ordered("a; b => c; b2 -> a2", "a2", "b2", "c", "b", "a") == ["a", "b", "c", "b2", "a2"]


def test_items_are_ordered_by_number_and_their_tasks_by_the_flow() -> None:
    paths = ["train/10/score", "train/2/score", "train/2/fit", "train/10/fit", "train", "after", "train/*/fit"]
    assert ordered("train*{fit -> score} -> after", *paths) == [
        "train",
        "train/*/fit",
        "train/2/fit",
        "train/2/score",
        "train/10/fit",
        "train/10/score",
        "after",
    ]


def test_what_the_graph_does_not_know_comes_last_by_name() -> None:
    assert ordered("a -> b", "c/2/x", "c/10/x", "b", "a", "aa") == ["a", "b", "aa", "c/2/x", "c/10/x"]
