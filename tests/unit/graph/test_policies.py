"""Policies: their JSON, and what can be wrong with what they tell the cache."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock import pipeline, task
from penstock.base.secrets import is_secret, variable_part
from penstock.graph.bindings import Input
from penstock.graph.check import check
from penstock.graph.codec import graph_digest, value_from_json, value_to_json
from penstock.graph.model import Call, Function, Graph, OutputSpec, Policy, Resources, Retry
from penstock.graph.policies import policy_from_json, policy_to_json
from penstock.graph.types import INT

FULL = Policy(
    resources=Resources(cpu=2.0, memory_bytes=Input("m"), custom={"licence": 1.0}),
    retry=Retry(attempts_max=3, retry_on=("ValueError",)),
    timeout_ms=10,
    priority=1,
    cache="trust",
    fresh=True,
    version="2",
    expires_ms=1000,
    files=("a", "b"),
    env=("MODE",),
    depends=("json",),
)


@pytest.mark.parametrize("policy", [Policy(), FULL, Policy(cache=False), Policy(files=("x",))])
def test_a_policy_survives_its_json(policy: Policy) -> None:
    data = json.loads(json.dumps(policy_to_json(policy, value_to_json)))
    assert policy_from_json(data, value_from_json) == policy
    assert data or policy == Policy()


def graph_with(policy: Policy, *, node: Policy | None = None) -> Graph:
    function = Function("m", "f", (), (OutputSpec("output", INT),), policy)
    return Graph("g", (), (Call("f", function, {}, policy=node or Policy()),), ())


@pytest.mark.parametrize(
    "changed",
    [{"cache": False}, {"version": "2"}, {"expires_ms": 5}, {"files": ("x",)}, {"env": ("X",)}, {"depends": ("m",)}],
)
def test_what_the_cache_is_told_is_part_of_the_graph(changed: dict[str, Any]) -> None:
    assert graph_digest(graph_with(Policy(**changed))) != graph_digest(graph_with(Policy()))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"cache": "always"}, "bad-cache"),
        ({"cache": 0}, "bad-cache"),
        ({"version": ""}, "bad-version"),
        ({"version": "x" * 201}, "bad-version"),
        ({"expires_ms": 0}, "bad-expires"),
        ({"files": ("",)}, "bad-file"),
        ({"files": ("a/../../b",)}, "bad-file"),
        ({"files": ("a*",)}, "bad-file"),
        ({"files": tuple(map(str, range(1_001)))}, "too-many-declared"),
        ({"env": ("1X",)}, "bad-variable"),
        ({"env": ("secret:",)}, "bad-variable"),
        ({"depends": ("a b",)}, "bad-dependency"),
        ({"depends": ("m:",)}, "bad-dependency"),
    ],
)
def test_what_is_wrong_is_told(given: dict[str, Any], code: str) -> None:
    assert [each.code for each in check(graph_with(Policy(**given)))] == [code]


def test_what_is_right_is_not() -> None:
    policy = Policy(
        files=("/data/x", "a b/c"), env=("secret:X", "_y"), depends=("m.n:C.d",), version="1", cache="trust"
    )
    assert check(graph_with(policy)) == ()


def test_code_is_declared_with_its_definition() -> None:
    found = check(graph_with(Policy(), node=Policy(files=("x",))))
    assert [each.code for each in found] == ["declared-at-node"]
    assert check(graph_with(Policy(), node=Policy(version="2", expires_ms=3, cache="trust"))) == ()


def test_options_of_definitions_and_of_uses() -> None:
    @task(files=["./b/", "a"], env="MODE", version=3, expires="1d", depends=[json, json.dumps, "os.path"])
    def declared() -> int:
        return 1

    policy = declared.component.policy
    assert (policy.files, policy.env, policy.version, policy.expires_ms) == (("a", "b"), ("MODE",), "3", 86_400_000)
    assert policy.depends == ("json", "json:dumps", "os.path")
    with pytest.raises(TypeError, match="'files' belongs to the definition of a task"):
        declared.options(files=["x"])

    @pipeline
    def uses() -> None:
        declared.options(version="4", expires=1, cache=False)()

    (node,) = uses.built()[0].nodes
    assert (node.policy.version, node.policy.expires_ms, node.policy.cache) == ("4", 1_000, False)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", True),
        ("GITHUB_TOKEN", True),
        ("dbPassword", True),
        ("PGPASSWORD", True),
        ("API_KEY", True),
        ("secret:MODE", True),
        ("MODE", False),
        ("PWD", False),
        ("KEYBOARD", False),
        ("MONKEY", False),
        ("PATH", False),
    ],
)
def test_names_that_look_like_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


def test_secrets_count_by_name_and_others_by_value() -> None:
    assert variable_part("TOKEN", "a") == variable_part("TOKEN", "b") == ("env:TOKEN", "secret")
    assert variable_part("secret:MODE", "a") == variable_part("secret:MODE", "b") == ("env:MODE", "secret")
    assert variable_part("MODE", "a") != variable_part("MODE", "b")
    assert variable_part("TOKEN", None) == ("env:TOKEN", "unset")
    address = "postgresql://me:{}@host/x"
    assert variable_part("DATABASE", address.format("a")) == variable_part("DATABASE", address.format("b"))
    assert "a" * 20 not in repr(variable_part("MODE", "a" * 20))
