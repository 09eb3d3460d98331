"""What calls of somebody else's functions do while a module is imported, as far as their names tell: they set something
that all share, or make something known to others (cache rule 5)."""

from __future__ import annotations

import re

_SETTING = re.compile(
    r"set_\w+|set[A-Z]\w*|seterr\w*|setlocale|setcontext|setdefaulttimeout|seed|seed_\w+|\w+_seed|use|use_\w+|register\w*"
    r"|\w+_register|enable\w*|disable\w*|configure\w*|init|init_\w+|initialize\w*|install|patch\w*|monkey_?patch\w*|activate"
    r"|filterwarnings|simplefilter|\w+Config|load_dotenv|chdir|putenv|add_\w*(path|dir|hook|handler)\w*"
)
_REGISTRATION = re.compile(
    r"register\w*|\w+_register|\w*accessor\w*|implements\w*|overload\w*|listens_for|hookimpl|custom_op|impl|provider"
    r"|receiver|subscribe\w*|connect\w*|on_\w+|\w*handler|\w*hook"
)
_ASKED_FOR = re.compile(r"get\w*|current\w*|default\w*|\w+_context|instance")


def is_setting(name: str) -> bool:
    """`BEFORE = numpy.seterr(...)`."""
    return "." in name and _SETTING.fullmatch(_last(name)) is not None


def is_registration(name: str) -> bool:
    """`@pandas.api.extensions.register_dataframe_accessor(...)`."""
    return _REGISTRATION.fullmatch(_last(name)) is not None


def is_shared(name: str, *, is_called: bool) -> bool:
    """`pandas.options`, `decimal.getcontext()`: nobody's own."""
    if "." not in name or name.startswith("logging."):
        return False
    return _ASKED_FOR.fullmatch(_last(name)) is not None if is_called else _last(name)[:1].islower()


def _last(name: str) -> str:
    return name.rpartition(".")[2]
