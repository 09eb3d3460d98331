"""Which folder is the project, and so where settings and state are."""

from __future__ import annotations

ONE = """
    from penstock import pipeline, task
    from shop.prices import PRICE


    @task
    def one() -> int:
        return PRICE


    @pipeline
    def ones() -> int:
        return one()
"""


def test_the_project_is_that_of_the_target_however_it_is_named(project) -> None:
    project.write("pyproject.toml", "[tool.penstock]\ncpu = -1\n")  # would be refused if it was read
    project.write("services/sales/penstock.toml", "")
    project.write("services/sales/flow.py", ONE)
    project.write("services/sales/shop/__init__.py", "")
    project.write("services/sales/shop/prices.py", "PRICE = 7\n")
    outer, inner = project.folder, project.folder / "services" / "sales"
    done = project.call("run", "services.sales.flow:ones")
    assert (done.status, done.out) == (0, "output = 7\n"), done.err
    assert (inner / ".penstock" / "state.db").exists()
    assert not (outer / ".penstock").exists()
    project.folder = inner
    assert project.call("show", "latest").status == 0
    assert project.ran("flow.py:ones") == {"one"}, "another module name, so another component"
    assert project.ran("flow:ones") == set()
    assert project.computed("latest") == set()


def test_state_alone_does_not_make_a_project_of_what_is_below_it(project) -> None:
    project.write("flow.py", ONE)
    project.write("shop/prices.py", "PRICE = 7\n")
    assert project.ran("flow.py") == {"one"}
    outer, inner = project.folder, project.folder / "below"
    project.write("below/flow.py", ONE)
    project.write("below/shop/prices.py", "PRICE = 8\n")
    project.folder = inner
    none = project.call("show", "latest")
    assert none.status == 2
    assert f"no run has been made here yet ({inner}/.penstock)" in none.err
    assert f"{outer} has runs of its own" in none.err
    done = project.call("run", "flow.py")
    assert (done.status, done.out) == (0, "output = 8\n"), done.err
    assert (inner / ".penstock").is_dir()
