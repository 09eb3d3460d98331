"""Random edits of the programs of `testing.programs`: some change what a program may answer, some are cosmetic."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from random import Random

from penstock.testing.programs import MAY_GO, Program

_NUMBER = re.compile(r"(?<![\w.\"'])(\d{1,3})(?![\w.\"'])")


@dataclass(frozen=True, slots=True)
class Edit:
    """`text` is what `file` holds afterwards. A cosmetic one changes nothing that a program can do."""

    what: str
    file: str
    text: str
    is_cosmetic: bool


def edit_of(program: Program, random: Random) -> Edit:
    """A random edit; applied by putting its text in place."""
    for _ in range(50):
        file = random.choice(sorted(program.files))
        cosmetic = random.random() < 0.4
        if cosmetic and not file.endswith(".py"):
            what, text = "data laid out", json.dumps(json.loads(program.files[file]), indent=random.randint(1, 3))
        elif not file.endswith(".py"):
            what, text = "data", _other_number(program.files[file], random)
        else:
            make = random.choice(_COSMETIC if cosmetic else _REAL)
            what, text = make.__name__.strip("_"), make(program.files[file], random)
        if text != program.files[file]:
            return Edit(what, file, text, cosmetic)
    raise AssertionError("no edit could be found")


def _other_number(text: str, random: Random) -> str:
    found = [match for match in _NUMBER.finditer(text) if match[1] != "0"]
    if not found:
        return text
    match = random.choice(found)
    return f"{text[: match.start()]}{random.randint(2, 99)}{text[match.end() :]}"


def _without_line(text: str, random: Random) -> str:
    lines = text.split("\n")
    found = [number for number, line in enumerate(lines) if line.endswith(MAY_GO)]
    if found:
        del lines[random.choice(found)]
    return "\n".join(lines)


def _imports_swapped(text: str, random: Random) -> str:
    lines = text.split("\n")
    own = re.compile(r"(import|from) (module|package)")
    found = [n for n, line in enumerate(lines[1:], 1) if own.match(line) and own.match(lines[n - 1])]
    if found:
        number = random.choice(found)
        lines[number - 1 : number + 1] = lines[number], lines[number - 1]
    return "\n".join(lines)


def _other_operator(text: str, random: Random) -> str:
    found = [match.start() for match in re.finditer(r" [*+] ", text)]
    if not found:
        return text
    position = random.choice(found)
    return text[: position + 1] + ("*" if text[position + 1] == "+" else "+") + text[position + 2 :]


def _twice_defined(text: str, random: Random) -> str:
    names = re.findall(r"^def (function\d+)\(", text, flags=re.MULTILINE)
    return f"{text}def {random.choice(names)}(x, *rest):\n    return {random.randint(2, 99)}\n" if names else text


def _appended_again(text: str, random: Random) -> str:
    names = re.findall(r"^(LIST\d+) = ", text, flags=re.MULTILINE)
    return f"{text}{random.choice(names)}.append({random.randint(2, 99)}){MAY_GO}\n" if names else text


def _bound_again(text: str, random: Random) -> str:
    names = re.findall(r"^(CONSTANT\d+) = ", text, flags=re.MULTILINE)
    return f"{text}{random.choice(names)} += {random.randint(2, 99)}\n" if names else text


def _comment(text: str, random: Random) -> str:
    lines = text.split("\n")
    lines.insert(random.randrange(1, max(2, len(lines))), f"# a remark {random.random()}")
    return "\n".join(lines) if _parses("\n".join(lines)) else text


def _blank_line(text: str, random: Random) -> str:
    lines = text.split("\n")
    lines.insert(random.randrange(1, len(lines) + 1), "")
    return "\n".join(lines)


def _docstring(text: str, random: Random) -> str:
    lines = text.split("\n")
    found = [number for number, line in enumerate(lines) if re.match(r"def \w+\(.*\).*:$", line)]
    if not found:
        return text
    number = random.choice(found)
    if '"""' in lines[number + 1]:
        del lines[number + 1]
    else:
        lines.insert(number + 1, f'    """Says {random.random()}."""')
    return "\n".join(lines)


def _printed_anew(text: str, random: Random) -> str:
    return ast.unparse(ast.parse(text)) + "\n"


def _annotation(text: str, random: Random) -> str:
    """Of a function that no decorator reads."""
    found = list(re.finditer(r"^def (function|wild|make)\d+\(\w+\):$", text, flags=re.MULTILINE))
    found = [match for match in found if not text[: match.start()].rstrip("\n").rpartition("\n")[2].startswith("@")]
    if not found:
        return text
    match = random.choice(found)
    return f"{text[: match.end() - 1]} -> {random.choice(['int', 'float', 'object'])}:{text[match.end() :]}"


def _local_renamed(text: str, random: Random) -> str:
    names = re.findall(r"^    (local\w+) = ", text, flags=re.MULTILINE)
    return re.sub(rf"\b{random.choice(names)}\b", f"local_{random.randint(0, 10**6)}", text) if names else text


def _methods_swapped(text: str, random: Random) -> str:
    lines = text.split("\n")
    is_method = [line.startswith("    def ") and ": return " in line for line in lines]
    found = [number for number in range(1, len(lines)) if is_method[number] and is_method[number - 1]]
    if found:
        number = random.choice(found)
        lines[number - 1 : number + 1] = lines[number], lines[number - 1]
    return "\n".join(lines)


def _logged(text: str, random: Random) -> str:
    found = list(re.finditer(r"^(log_steps\d+) = .*\ndef steps\d+\(x\):\n", text, flags=re.MULTILINE))
    if not found:
        return text
    match = random.choice(found)
    return f'{text[: match.end()]}    {match[1]}.info("%s is {random.randint(2, 99)}", x)\n{text[match.end() :]}'


def _task_options(text: str, random: Random) -> str:
    options = ["@task", f"@task(cpu={random.randint(1, 4)})", f'@task(timeout="{random.randint(1, 9)}m")']
    return re.sub(r"^@task.*$", lambda _: random.choice(options), text, flags=re.MULTILINE)


def _guarded(text: str, random: Random) -> str:
    return f'{text.rstrip()}\n\nif __name__ == "__main__":\n    print({random.randint(2, 99)})\n'


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


_REAL = [
    *[_other_number] * 6, *[_without_line] * 2, _other_operator, _twice_defined, _appended_again, _bound_again,
    _imports_swapped,
]  # fmt: skip
_COSMETIC = [
    _comment,
    _comment,
    _blank_line,
    _docstring,
    _docstring,
    _printed_anew,
    _annotation,
    _task_options,
    _guarded,
    _local_renamed,
    _methods_swapped,
    _logged,
]
