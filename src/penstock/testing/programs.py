"""Random first-party programs: what code digests are tried on (`testing.edits`).

A program is a folder of modules that import each other in every way that Python has, a module `target` with tasks, and
data that is read at import. Every task answers numbers, without arguments, the same each time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random

HEADER = """from __future__ import annotations
import functools, json, math, operator
from collections import namedtuple
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
"""
MAY_GO = "  # may go"
"""At the end of lines that an edit may take out."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that a module offers: `use` is an expression over it with `{}` for its name, which answers a number.
    `kind` is how it was made."""

    module: str
    name: str
    use: str
    kind: str


@dataclass(slots=True)
class Program:
    """`files` are texts by path. `items` in the order in which they may be used."""

    files: dict[str, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Module:
    name: str
    path: str
    imports: dict[str, None] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)

    def text(self) -> str:
        return HEADER + "\n".join(self.imports) + "\n\n" + "\n".join(self.body) + "\n"


class Author:
    """Writes a program."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._program = Program()
        self._count = 0
        self._modules: list[_Module] = []

    def program(self) -> Program:
        number_of_modules = self._random.randint(3, 6)
        for number in range(number_of_modules):
            below = self._random.random() < 0.3
            name = f"package.part{number}" if below else f"module{number}"
            module = _Module(name, name.replace(".", "/") + ".py")
            for _ in range(self._random.randint(4, 9)):
                getattr(self, self._random.choice(_MAKERS))(module)
            self._modules.append(module)
        exported = [item for item in self._program.items if item.module.startswith("package.")]
        package = [f"from {item.module} import {item.name}" for item in exported if self._random.random() < 0.5]
        self._program.files["package/__init__.py"] = "\n".join(package) + "\n"
        for item in [item for item in exported if f"from {item.module} import {item.name}" in package]:
            self._program.items.append(Item("package", item.name, item.use, "exported"))
        self._target()
        for module in self._modules:
            self._program.files[module.path] = module.text()
        return self._program

    def _target(self) -> None:
        target = _Module("target", "target.py", {"from penstock import task": None})
        for other in self._modules:  # patches and registrations count once their module is loaded
            if self._random.random() < 0.7:
                target.imports[f"import {other.name}"] = None
        for number in range(self._random.randint(3, 5)):
            name = f"task_{number}"
            used = [self._expression(target, local=True) for _ in range(self._random.randint(2, 5))]
            late = [line for lines, _ in used for line in lines]
            answer = ", ".join(expression for _, expression in used)
            options = self._random.choice(["@task", "@task(cpu=1)", '@task(memory="1GiB", retry=2)'])
            target.body += [options, f"def {name}() -> list:", *[f"    {line}" for line in late]]
            target.body += [f"    return [{answer}]"]
            self._program.tasks.append(name)
        self._modules.append(target)

    # -- expressions -------------------------------------------------------------------------------------------------

    def _number(self) -> int:
        return self._random.randint(2, 99)

    def _new(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def _add(self, module: _Module, name: str, use: str, kind: str) -> None:
        self._program.items.append(Item(module.name, name, use, kind))

    def _expression(self, module: _Module, *, local: bool) -> tuple[list[str], str]:
        """(imports to write inside the function, an expression): something made before is used, in some way."""
        items = self._program.items
        if not items or self._random.random() < 0.1:
            return [], str(self._number())
        item = self._random.choice(items[-12:] if self._random.random() < 0.5 else items)
        if item.module == module.name:
            return [], item.use.format(item.name)
        way = self._random.randrange(6 if local else 3)
        if way == 0:
            module.imports[f"from {item.module} import {item.name}"] = None
            return [], item.use.format(item.name)
        if way == 1:
            module.imports[f"import {item.module}"] = None
            return [], item.use.format(f"{item.module}.{item.name}")
        if way == 2:
            alias = f"as_{item.module.replace('.', '_')}"
            module.imports[f"import {item.module} as {alias}"] = None
            return [], item.use.format(f"{alias}.{item.name}")
        if way == 3:
            return [f"from {item.module} import {item.name}"], item.use.format(item.name)
        if way == 4:
            alias = f"late_{item.module.replace('.', '_')}"
            return [f"import {item.module} as {alias}"], item.use.format(f"{alias}.{item.name}")
        module.imports[f"import {item.module}"] = None
        half = len(item.name) // 2
        return [], item.use.format(f"getattr({item.module}, {item.name[:half]!r} + {item.name[half:]!r})")

    def _body(self, module: _Module, argument: str = "x") -> list[str]:
        used = [self._expression(module, local=True) for _ in range(self._random.randint(0, 2))]
        lines = [line for lines, _ in used for line in lines]
        sum_ = " + ".join([f"{argument} * {self._number()}", *(expression for _, expression in used)])
        return [*lines, f"return ({sum_}) % 1009"]

    # -- what a module is made of ------------------------------------------------------------------------------------

    def _constant(self, module: _Module) -> None:
        name = self._new("CONSTANT")
        _, expression = self._expression(module, local=False)
        module.body.append(f"{name} = {self._random.choice([str(self._number()), expression])}")
        self._add(module, name, "{}", "constant")

    def _function(self, module: _Module) -> None:
        name = self._new("function")
        _, default = self._expression(module, local=False)
        given = self._random.choice(["x", "x=3", f"x={default}", "x, *rest", "x, scale=2"])
        module.body += [f"def {name}({given}):", *[f"    {line}" for line in self._body(module)]]
        self._add(module, name, "{}(4)", "function")

    def _class(self, module: _Module) -> None:
        name = self._new("Class")
        bases = [item for item in self._program.items if item.kind == "class" and item.module == module.name]
        base = f"({self._random.choice(bases).name})" if bases and self._random.random() < 0.6 else ""
        module.body += [f"class {name}{base}:", f"    depth = {self._number()}"]
        if not base or self._random.random() < 0.5:
            module.body += ["    def run(self, x):", *[f"        {line}" for line in self._body(module, "self.depth")]]
        if self._random.random() < 0.4:
            module.body += ["    @property", "    def size(self):", f"        return self.depth + {self._number()}"]
        self._add(module, name, "{}().run(2)", "class")

    def _dataclass(self, module: _Module) -> None:
        name, factory = self._new("Data"), self._new("factory")
        module.body += [f"def {factory}():", f"    return [{self._number()}, {self._number()}]", "@dataclass"]
        module.body += [f"class {name}:", f"    a: int = {self._number()}"]
        module.body += [f"    b: list = field(default_factory={factory})"]
        self._add(
            module, name, "sum({}().b) + {}().a".replace("{}().a", "{0}().a").replace("{}()", "{0}()"), "dataclass"
        )

    def _enum(self, module: _Module) -> None:
        name = self._new("Kind")
        module.body += [f"class {name}(Enum):", f"    ONE = {self._number()}", f"    TWO = {self._number()}"]
        self._add(module, name, "{}.TWO.value", "enum")

    def _decorator(self, module: _Module) -> None:
        decorator, name = self._new("decorator"), self._new("decorated")
        number = self._number()
        module.body += [f"def {decorator}(times):", "    def decorate(function):"]
        module.body += ["        @functools.wraps(function)", "        def wrapper(x):"]
        module.body += [f"            return (times * function(x) + {number}) % 1009"]
        module.body += ["        return wrapper", "    return decorate"]
        _, expression = self._expression(module, local=False)
        module.body += [f"@{decorator}({expression})", f"def {name}(x):"]
        module.body += [f"    {line}" for line in self._body(module)]
        self._add(module, name, "{}(5)", "function")

    def _registry(self, module: _Module) -> None:
        registry, register = self._new("REGISTRY"), self._new("register")
        module.body += [f"{registry} = {{}}", f"def {register}(function):"]
        module.body += [f"    {registry}[function.__name__] = function", "    return function"]
        self._add(module, registry, "sum(each(1) for each in {}.values())", "registry")
        self._program.items.append(Item(module.name, register, "0 * len({}.__name__)", "register"))

    def _registered(self, module: _Module) -> None:
        found = [item for item in self._program.items if item.kind == "register"]
        if not found:
            self._registry(module)
            return
        item = self._random.choice(found)
        if item.module != module.name:
            module.imports[f"from {item.module} import {item.name}"] = None
        name = self._new("entry")
        module.body += [f"@{item.name}{MAY_GO}", f"def {name}(x):", *[f"    {line}" for line in self._body(module)]]

    def _list(self, module: _Module) -> None:
        name = self._new("LIST")
        module.body += [f"{name} = [{self._number()}, {self._number()}]", f"{name}.append({self._number()}){MAY_GO}"]
        self._add(module, name, "sum({})", "list")

    def _appended(self, module: _Module) -> None:
        found = [item for item in self._program.items if item.kind == "list"]
        if found:
            item = self._random.choice(found)
            name = item.name
            if item.module != module.name:
                module.imports[f"import {item.module}"] = None
                name = f"{item.module}.{item.name}"
            line = self._random.choice([f"{name}.append({self._number()})", f"{name}[0] = {self._number()}"])
            module.body.append(f"{line}{MAY_GO}")

    def _closure(self, module: _Module) -> None:
        maker, name = self._new("make"), self._new("made")
        _, expression = self._expression(module, local=False)
        module.body += [f"def {maker}(n):", "    def inner(x):", f"        return (x * n + {self._number()}) % 1009"]
        module.body += ["    return inner", f"{name} = {maker}({expression})"]
        self._add(module, name, "{}(6)", "function")

    def _partial(self, module: _Module) -> None:
        found = [item for item in self._program.items if item.kind == "function" and item.module == module.name]
        if found:
            name = self._new("partial")
            module.body.append(f"{name} = functools.partial({self._random.choice(found).name}, {self._number()})")
            self._add(module, name, "{}()", "partial")

    def _table(self, module: _Module) -> None:
        name = self._new("TABLE")
        module.body.append(f'{name} = {{"a": lambda x: x * {self._number()}, "b": lambda x: x + {self._number()}}}')
        self._add(module, name, '{}["b"](3)', "table")

    def _data(self, module: _Module) -> None:
        name = self._new("DATA")
        file = f"data{self._count}.json"
        self._program.files[file] = json.dumps({"depth": self._number(), "width": [self._number(), 2]})
        levels = ".parent" * (module.path.count("/") + 1)
        module.body.append(f'{name} = json.loads((Path(__file__){levels} / "{file}").read_text())')
        self._add(module, name, self._random.choice(['{}["depth"]', '{}["width"][0]']), "data")

    def _instance(self, module: _Module) -> None:
        found = [item for item in self._program.items if item.kind == "class" and item.module == module.name]
        if found:
            name = self._new("INSTANCE")
            module.body.append(f"{name} = {self._random.choice(found).name}()")
            if self._random.random() < 0.5:
                module.body.append(f"{name}.depth = {self._number()}{MAY_GO}")
            self._add(module, name, "{}.run(3)", "instance")

    def _conditional(self, module: _Module) -> None:
        name = self._new("chosen")
        _, expression = self._expression(module, local=False)
        module.body += ["try:", f"    import missing_{name}", f"    {name} = {self._number()}", "except ImportError:"]
        module.body += [f"    {name} = {expression}"]
        self._add(module, name, "{}", "constant")
        other = self._new("either")
        module.body += [f"if {self._number()} > 50:", f"    def {other}(x):", f"        return x + {self._number()}"]
        module.body += ["else:", f"    def {other}(x):", f"        return x * {self._number()}"]
        self._add(module, other, "{}(2)", "function")

    def _patch(self, module: _Module) -> None:
        kinds = ("function", "class")
        found = [item for item in self._program.items if item.kind in kinds and item.module != module.name]
        if found:
            item, name = self._random.choice(found), self._new("patch")
            what = f"{item.name}.run" if item.kind == "class" else item.name
            given = "self, x" if item.kind == "class" else "x, *rest"
            module.imports[f"import {item.module}"] = None
            module.body += [f"def {name}({given}):", f"    return x + {self._number()}"]
            if self._random.random() < 0.3:
                module.body.append(f"{item.module}.{what} = {name}{MAY_GO}")

    def _dispatch(self, module: _Module) -> None:
        name = self._new("dispatch")
        module.body += ["@functools.singledispatch", f"def {name}(x):", f"    return {self._number()}"]
        module.body += [f"@{name}.register{MAY_GO}", "def _(x: int):", f"    return x + {self._number()}"]
        self._add(module, name, "{}(7)", "dispatch")

    def _subclasses(self, module: _Module) -> None:
        name = self._new("Plugin")
        module.body += [f"class {name}:", "    known = []", "    def __init_subclass__(cls):"]
        module.body += [
            f"        {name}.known.append(cls)",
            f"class {name}First({name}):",
            f"    depth = {self._number()}",
        ]
        self._add(module, name, "sum(each.depth for each in {}.known)", "plugin")

    def _subclassed(self, module: _Module) -> None:
        found = [item for item in self._program.items if item.kind == "plugin"]
        if found:
            item = self._random.choice(found)
            if item.module != module.name:
                module.imports[f"from {item.module} import {item.name}"] = None
            module.body += [f"class {self._new('Sub')}({item.name}):", f"    depth = {self._number()}"]

    def _wildcard(self, module: _Module) -> None:
        found = [item for item in self._program.items if item.module != module.name and item.module != "package"]
        if found:
            item, name = self._random.choice(found), self._new("wild")
            module.imports[f"from {item.module} import *"] = None
            module.body += [f"def {name}(x):", f"    return {item.use.format(item.name)} + x"]
            self._add(module, name, "{}(1)", "function")

    def _tuple(self, module: _Module) -> None:
        name = self._new("Pair")
        module.body += [f'{name} = namedtuple("{name}", "a b")', f"{name}_ONE = {name}({self._number()}, 3)"]
        self._add(module, f"{name}_ONE", "{}.a", "tuple")

    def _cached(self, module: _Module) -> None:
        name = self._new("cached")
        module.body += ["@functools.lru_cache(maxsize=None)", f"def {name}(x):"]
        module.body += [f"    {line}" for line in self._body(module)]
        self._add(module, name, "{}(8)", "cached")

    def _level(self, module: _Module) -> None:
        name, setter = self._new("LEVEL"), self._new("set_level")
        module.body += [f"{name} = {self._number()}", f"def {setter}(n):", f"    global {name}", f"    {name} = n"]
        module.body += [f"{setter}({self._number()}){MAY_GO}"]
        self._add(module, name, "{}", "level")

    def _comprehension(self, module: _Module) -> None:
        name = self._new("SQUARES")
        _, expression = self._expression(module, local=False)
        module.body.append(f"{name} = {{n: n * {self._number()} + {expression} for n in range(3)}}")
        self._add(module, name, "{}[2]", "constant")

    def _steps(self, module: _Module) -> None:
        """Local variables, and a logger to log with."""
        name, first, second = self._new("steps"), self._new("local"), self._new("local")
        module.imports["import logging"] = None
        module.body += [f"log_{name} = logging.getLogger(__name__)", f"def {name}(x):"]
        module.body += [f"    {first} = x * {self._number()}", f"    {second} = [{first} + each for each in range(3)]"]
        module.body += [f"    for {first} in {second}:", f"        x += {first}", f"    return (x + {first}) % 1009"]
        self._add(module, name, "{}(2)", "function")

    def _methods(self, module: _Module) -> None:
        name = self._new("Methods")
        module.body += [f"class {name}:"]
        for method in ("one", "two", "three"):
            module.body += [f"    def {method}(self, x=3): return x * {self._number()} % 1009"]
        self._add(module, name, "{}().two()", "methods")


_MAKERS = [
    "_constant", "_function", "_function", "_class", "_dataclass", "_enum", "_decorator", "_registry", "_registered",
    "_list", "_appended", "_closure", "_partial", "_table", "_data", "_instance", "_conditional", "_patch", "_dispatch",
    "_subclasses", "_subclassed", "_wildcard", "_tuple", "_cached", "_level", "_comprehension", "_steps", "_steps", "_methods",
]  # fmt: skip
