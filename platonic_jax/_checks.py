"""Validators of static arguments: one message form, `` `name` must …, got …. ``, and the fix where one is known.

They run at trace time and look at shapes, dtypes and Python values only; the values of arrays are checked where a table
is built.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a value that is none of `choices`, naming them all."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def check_count(name: str, value: int, *, most: int | None = None, bound: str = "", fix: str = "") -> None:
    """Refuse a count below one, or above `most`, which is the number `of` something; `fix` ends the message."""
    if value < 1:
        raise ValueError(f"`{name}` must be at least 1, got {value}.")
    if most is not None and value > most:
        raise ValueError(f"`{name}` must be at most {bound} = {most}, got {value}: {fix}.")


def check_positive(name: str, value: float) -> None:
    """Refuse a number that is not above zero."""
    if not value > 0:
        raise ValueError(f"`{name}` must be positive, got {value}.")


def check_fraction(name: str, value: float) -> None:
    """Refuse a number outside the open interval from 0 to 1."""
    if not 0 < value < 1:
        raise ValueError(f"`{name}` must lie between 0 and 1, got {value}.")


def check_paired(x: jax.Array, y: jax.Array, *, least: int = 2) -> None:
    """Refuse clouds that do not have the same rows, or fewer than `least` of them."""
    if x.shape[0] != y.shape[0]:
        raise ValueError(
            f"`x` and `y` must have the same rows, got {x.shape[0]} and {y.shape[0]}: "
            "select the atoms that both embeddings share."
        )
    if x.shape[0] < least:
        raise ValueError(f"`x` and `y` must have at least {least} rows, got {x.shape[0]}.")


def check_same_width(name_x: str, x: jax.Array, name_y: str, y: jax.Array) -> None:
    """Refuse arrays whose rows live in spaces of different width."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"`{name_x}` and `{name_y}` must have the same columns, got {x.shape[1]} and {y.shape[1]}.")


def check_key(key: jax.Array) -> None:
    """Refuse anything but one typed key: raw `uint32` keys are arrays like any other, and get mixed up with data."""
    if not isinstance(key, jax.Array) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError("`key` must be a typed key, got something else: make one with `jax.random.key(seed)`.")
    if key.shape != ():
        raise ValueError(f"`key` must be a single key, got an array of shape {key.shape}: pick one of them.")
