"""Symmetry operations of a CIF: those that it lists, or those of the space group that it names, from spglib's table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from platonic_adapters.soundness import Unsound

if TYPE_CHECKING:
    from ase.io.cif import CIFBlock

__all__ = ["listed", "operations", "orders"]

MAX_OPERATIONS = 1000  # the largest space group has 192; sublattices may repeat them
OPERATIONS = ("_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz", "_symmetry_equiv_pos_as_xyz")
NUMBERS = ("_space_group_it_number", "_space_group.it_number", "_symmetry_int_tables_number")
HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
NAMES = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group_name_h-m_full")
# How names end that say which origin or axes: of CIF, and of ICSD (S for the first origin, Z for the second).
CHOICES = {":1": "1", ":2": "2", ":h": "H", ":r": "R", " s": "1", " z": "2", " h": "H", " r": "R"}
# What the published tables hold besides settings with other axes, which a name has to spell out.
STANDARD = ("", "1", "2", "H", "R")


class Setting(NamedTuple):
    """A space group in one choice of origin and axes: spglib's number for it, and its names, spaces removed."""

    hall_number: int
    number: int
    hall: str
    names: frozenset[str]
    choice: str


def operations(block: CIFBlock) -> list[list[str]]:
    """The symmetry operations of a block, as `x, y, z` strings; several lists where its space group has settings.

    Raises:
        Unsound: none listed, and no space group of the table that fits the name, the number and the cell.
    """
    if listed_operations := listed(block):
        if len(listed_operations) > MAX_OPERATIONS:
            raise Unsound(f"it lists {len(listed_operations)} symmetry operations, more than any crystal has")
        return [listed_operations]
    stated = _said(block)
    if not stated:
        return [["x, y, z"]]
    text = ", ".join(stated.values())
    try:
        settings = _settings(stated)
    except ImportError as error:
        raise Unsound(
            f"it lists no symmetry operations of its space group ({text}), which spglib would know; run `pip install"
            " spglib`"
        ) from error
    fitting = [setting for setting in settings if _fits(setting, block)]
    if not fitting:
        raise Unsound(
            f"it lists no symmetry operations, and its space group ({text}) "
            + ("does not fit its cell" if settings else "is not known")
        )
    return [[_written(*operation) for operation in _operations(setting.hall_number)] for setting in fitting]


def listed(block: CIFBlock) -> list[str]:
    """The symmetry operations that stand in a block."""
    entries: Any = next((block.get(name) for name in OPERATIONS if block.get(name) not in (None, "?", ".")), [])
    entries = [entries] if isinstance(entries, str) else entries
    return [operation for operation in entries if isinstance(operation, str) and "x" in operation.lower()]


def orders(block: CIFBlock) -> set[int]:
    """Numbers of operations of the named space group, in all of its settings; empty if unknown."""
    try:
        return {len(_operations(setting.hall_number)) for setting in _settings(_said(block))}
    except ImportError:
        return set()


def _said(block: CIFBlock) -> dict[str, str]:
    """Hall symbol, Hermann-Mauguin name and number of the space group, as far as a block has them."""
    stated = {}
    for key, tags in (("hall", HALL), ("name", NAMES), ("number", NUMBERS)):
        values = [str(block.get(tag, "?")).strip() for tag in tags]
        if value := next((value for value in values if value not in ("?", ".", "")), None):
            stated[key] = value
    return stated


def _settings(stated: Mapping[str, str]) -> list[Setting]:
    """The settings of the table that agree with all that is said, or else with the most telling part of it."""
    parts = []
    if hall := stated.get("hall"):
        parts.append([s for s in _table() if s.hall == _plain(hall)])
    if name := stated.get("name"):
        end = next((end for end in CHOICES if name.lower().endswith(end)), "")
        plain = _plain(name[: len(name) - len(end)])
        parts.append([s for s in _table() if plain in s.names and s.choice == CHOICES.get(end, s.choice)])
    if number := stated.get("number"):
        group = [s for s in _table() if str(s.number) == number]
        parts.append([s for s in group if s.choice in STANDARD or s == group[0]])
    parts = [part for part in parts if part]
    common = [s for s in parts[0] if all(s in part for part in parts)] if parts else []
    return common or (parts[0] if parts else [])


@lru_cache(1)
def _table() -> list[Setting]:
    import spglib

    table, standard = [], set()
    for hall_number in range(1, 531):
        group_type: Any = spglib.get_spacegroup_type(hall_number)
        short = _plain(group_type.international_short)
        names = {_plain(part) for part in [group_type.international_full, *group_type.international.split("=")]} - {
            short
        }
        # P 1 21/n 1 is also written P 21/n.
        names |= {_plain(re.sub(r"\b1\b", "", group_type.international_full))} if group_type.number < 16 else set()
        # The short symbol means the standard axes.
        names -= {short}
        if group_type.number not in standard or group_type.choice in STANDARD:
            names.add(short)
        standard.add(group_type.number)
        table.append(
            Setting(hall_number, group_type.number, _plain(group_type.hall_symbol), frozenset(names), group_type.choice)
        )
    return table


def _plain(name: str) -> str:
    return re.sub(r"[\s_']", "", name).lower()


@lru_cache(64)
def _operations(hall_number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    import spglib

    symmetry: Any = spglib.get_symmetry_from_database(hall_number)
    return list(zip(symmetry["rotations"], symmetry["translations"], strict=True))


def _fits(setting: Setting, block: CIFBlock) -> bool:
    """Test whether every operation keeps the lengths and angles of the cell, to 2 %."""
    cell = block.get_cell().array
    metric = cell @ cell.T
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    return all(
        np.abs((rotation @ metric @ rotation.T - metric) / scale).max() < 0.02
        for rotation, _ in _operations(setting.hall_number)
    )


def _written(rotation: np.ndarray, translation: np.ndarray) -> str:
    """An operation as CIF has it, such as `-y, x-y, z+1/3`."""
    rows = []
    for coefficients, shift in zip(rotation, translation, strict=True):
        terms = [f"{'-' if c < 0 else '+'}{axis}" for c, axis in zip(coefficients, "xyz", strict=True) if c]
        part = Fraction(float(shift)).limit_denominator(24) % 1
        rows.append("".join(terms).removeprefix("+") + (f"+{part}" if part else ""))
    return ", ".join(rows)
