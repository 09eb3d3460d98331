"""Which environment variables hold secrets: those count by name wherever variables are part of an identity, and their
values are never digested, stored or shown (cache rule 11)."""

from __future__ import annotations

import re

MARK = "secret:"
"""In front of a name in `env=`: whatever it is called, it is a secret."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset(
    {
        "ACCESSKEY", "APIKEY", "AUTH", "BEARER", "CERT", "COOKIE", "CRED", "CREDENTIAL", "CREDENTIALS", "CREDS", "DSN", "JWT",
        "KEY", "KEYS", "PASS", "PASSPHRASE", "PASSWD", "PASSWORD", "PASSWORDS", "PAT", "PRIVATE", "PWD", "SALT", "SECRET",
        "SECRETS", "SESSION", "SIGNATURE", "TOKEN", "TOKENS",
    }
)  # fmt: skip
_ENDINGS = ("ACCESSKEY", "APIKEY", "PASSWORD", "PASSWD", "SECRET", "SECRETKEY", "TOKEN")
_NOT_SECRET = frozenset({"PWD", "OLDPWD"})
_WITH_CREDENTIALS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@")


def is_variable(name: str) -> bool:
    """Whether a variable can be named so, with or without the mark of a secret."""
    return _VARIABLE.fullmatch(name.removeprefix(MARK)) is not None


def is_secret(name: str, value: str | None = None) -> bool:
    """Whether a variable is a secret: marked as one, named like one (`AWS_SECRET_ACCESS_KEY`, `dbPassword`), or an address
    with a password in it."""
    if name.startswith(MARK):
        return True
    if name in _NOT_SECRET:
        return False
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = [word for word in spaced.upper().split("_") if word]
    if any(word in _WORDS or word.endswith(_ENDINGS) for word in words):
        return True
    return value is not None and _WITH_CREDENTIALS.search(value) is not None


def variable_part(name: str, value: str | None) -> tuple[str, str]:
    """What a variable adds to an identity: `("env:NAME", ...)` with the sha256 of its value, `unset`, or, for a secret,
    `secret` whatever its value is (and `unset` for none: a task that works without it does something else)."""
    plain = name.removeprefix(MARK)
    if value is None:
        return f"env:{plain}", "unset"
    if is_secret(name, value):
        return f"env:{plain}", "secret"
    from hashlib import sha256

    return f"env:{plain}", sha256(value.encode(errors="surrogateescape")).hexdigest()
