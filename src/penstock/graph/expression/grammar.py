"""What the parser, the printer, the checker and the evaluator agree on: operators with their precedence, reserved
words, the functions that exist, and the limits. Source: https://github.com/google/cel-spec doc/langdef.md, "Syntax"."""

from __future__ import annotations

TEXT_MAX = 65_536
"""Characters in one expression."""

NESTING_MAX = 64
"""Brackets inside brackets in a text."""

DEPTH_MAX = 200
"""Nodes on the longest way down a tree: bounds the recursion of everything that walks one."""

STEPS_MAX = 1_000_000
"""Nodes evaluated, and characters compared by `matches`, in one evaluation: macros inside macros are exponential."""

SIZE_MAX = 1_000_000
"""Characters, bytes or items of one value made by an evaluation."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
UINT_MAX = 2**64 - 1

BINARY = {
    "||": ("_||_", 1),
    "&&": ("_&&_", 2),
    "==": ("_==_", 3),
    "!=": ("_!=_", 3),
    "<": ("_<_", 3),
    "<=": ("_<=_", 3),
    ">": ("_>_", 3),
    ">=": ("_>=_", 3),
    "in": ("_in_", 3),
    "+": ("_+_", 4),
    "-": ("_-_", 4),
    "*": ("_*_", 5),
    "/": ("_/_", 5),
    "%": ("_%_", 5),
}
"""Symbol → (operator in the tree, precedence); all are left-associative."""

SYMBOLS = {operator: (symbol, precedence) for symbol, (operator, precedence) in BINARY.items()}
UNARY = {"!": "!_", "-": "-_"}
CONDITIONAL = "_?_:_"
INDEX = "_[_]"
TERNARY_PRECEDENCE, UNARY_PRECEDENCE, MEMBER_PRECEDENCE = 0, 6, 7

ARITHMETIC = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_"})
EQUALITY = frozenset({"_==_", "_!=_"})
ORDERING = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
OPERATORS = {**dict.fromkeys(SYMBOLS, 2), "!_": 1, "-_": 1, CONDITIONAL: 3, INDEX: 2}
"""Operator → how many arguments."""

KEYWORDS = frozenset({"true", "false", "null", "in"})
RESERVED = frozenset(
    {
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"),
        *("namespace", "return", "var", "void", "while"),
    }
)

CONVERSIONS = frozenset({"bool", "bytes", "double", "dyn", "int", "string", "uint"})
COMBINATIONS = frozenset({"zip", "product"})
"""Beyond CEL: lists by name as one list of maps, in step or each item with each."""

FUNCTIONS = {**dict.fromkeys((*CONVERSIONS, *COMBINATIONS), 1), "size": 1, "matches": 2}
"""Function called as `f(x)` → how many arguments."""

METHODS = {"size": 1, "startsWith": 2, "endsWith": 2, "contains": 2, "matches": 2}
"""Function called as `x.f(y)` → how many arguments, the receiver counted."""

MACROS = {"all": (1,), "exists": (1,), "exists_one": (1,), "filter": (1,), "map": (1, 2)}
"""Macro called as `list.macro(name, step)` → how many steps it may have."""


def is_name(text: str) -> bool:
    """Whether `text` can be written as a name without quotes; as a field after a dot reserved words are names too."""
    return text.isascii() and text.isidentifier() and text not in KEYWORDS
