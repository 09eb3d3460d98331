"""Lists, dicts and objects of artifacts, from the pipeline's body to the store and back."""

from __future__ import annotations

PARTS = """
    from dataclasses import dataclass

    from penstock import in_step, map_over, pipeline, task


    @dataclass
    class Stats:
        name: str
        frame: bytes

        def rows(self) -> int:
            return len(self.frame)


    @task
    def parts(a: int, b: int) -> dict[str, bytes]:
        return {"b": bytes(b), "a": bytes(a)}


    @task
    def size(frame: bytes) -> int:
        return len(frame)


    @task
    def sizes(frames: dict[str, list[bytes]]) -> list[int]:
        return [len(frame) for some in frames.values() for frame in some]


    @task
    async def pair(n: int) -> tuple[bytes, int]:
        return bytes(n), n


    @task
    def stats(name: str, frame: bytes) -> Stats:
        return Stats(name, frame)


    @task
    def told(all: list[Stats]) -> list[str]:
        return [f"{each.name} {each.rows()}" for each in all]


    @pipeline
    def collections(a: int = 1, b: int = 2):
        made = parts(a, b)
        frame, n = pair(3)
        each = map_over(stats, in_step(name=["one", "two"], frame=[made["a"], frame]))
        return {
            "a": size(made["a"]),
            "b": size(made["b"]),
            "all": sizes({"first": [made["a"], made.b], "then": [frame]}),
            "told": told(each),
            "made": made,
        }
"""


def test_one_changed_artifact_changes_only_what_depends_on_it(project) -> None:
    project.write("parts.py", PARTS)
    done = project.call("run", "parts.py", "--json")
    assert done.status == 0, done.err
    outputs = done.json["outputs"]
    assert {name: outputs[name] for name in ("a", "b", "all", "told")} == {
        "a": 1, "b": 2, "all": [1, 2, 3], "told": ["one 1", "two 3"],
    }  # fmt: skip
    assert list(outputs["made"]) == ["b", "a"]
    assert project.ran("parts.py", "-p", "b=5") == {"parts", "size-2", "sizes"}
    project.write("parts.py", PARTS.replace("return len(self.frame)", "return 10 * len(self.frame)"))
    assert project.ran("parts.py", "-p", "b=5") >= {"told"}
    assert project.call("get", "latest", "parts", "-o", "there").status == 0
    assert sorted(path.name for path in (project.folder / "there").iterdir()) == ["a", "b"]
    assert "a: builtins:bytes" in project.call("show", "latest").out


DIFFERENT = """
    from penstock import map_over, pipeline, task


    @task
    def upto(n: int) -> list[int]:
        return list(range(n))


    @task
    def add(x: int, y: int) -> int:
        return x + y


    @pipeline
    def different(n: int = 3):
        return map_over(add, x=upto(2), y=upto(n))
"""


def test_lists_of_different_lengths_fail_with_their_names(project) -> None:
    project.write("different.py", DIFFERENT)
    failed = project.call("run", "different.py")
    assert failed.status == 1
    assert "lists in step must have as many items as each other: x has 2, y has 3" in failed.err
    assert project.call("run", "different.py", "-p", "n=2").out == "output = [0, 2]\n"
