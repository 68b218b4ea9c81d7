"""Sums of crystals as users write them: `TiO2 - Ti + Zr`, `mp-2657 - mp-390`, `2 Mg + O2 -> 2 MgO`."""

import difflib
import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from platonic_jax.labels import reduced_formulas
from platonic_jax.tables import EmbeddingTable

ARROW = "->"
"""What stands between the reactants and the products of a reaction."""
_NUMBER = re.compile(r"\d+(\.\d+)?(/\d+)?")
_JOINED = re.compile(rf"({_NUMBER.pattern})\*?(?=[^\d\W])")
_OFFERED = 5  # Formulas, where none is found.


class Term(NamedTuple):
    """A crystal of a sum.

    Attributes:
        coefficient: what it is multiplied by.
        name: a formula, an id, or a file.
        model: the model that sees it; the first, if None.
        place: where it stands in the expression.
    """

    coefficient: float
    name: str
    model: str | None
    place: int


class Found(NamedTuple):
    """A term, and the crystal that it refers to.

    Attributes:
        term: as it was written.
        table: which table, by number.
        structure: the crystal's number there.
        id: its name.
        formula: its reduced formula.
        phases: ids of all crystals of that formula, where it was asked for by formula and there are several.
        because: why this one of them, if so.
        units: how many formula units the name says: `Ti2O4` is two of TiO2, `O` half of one of O2.
    """

    term: Term
    table: int
    structure: int
    id: str
    formula: str
    phases: tuple[str, ...] = ()
    because: str = ""
    units: float = 1.0


def parse(expression: str, known: Container[str] = ()) -> list[Term]:
    """The terms of a sum.

    `+` and `-` stand alone, between spaces, since names have them too; a number before a name, `2 MgO`, `2*MgO` or
    `2MgO`, multiplies it; `NAME@MODEL` is seen by that model.

    Args:
        expression: the sum.
        known: names that are taken as they stand, even if they begin with a number.

    Raises:
        ValueError: where something is missing, with a caret under the place.
    """
    terms: list[Term] = []
    sign, factor = 1, None
    expects, signed = True, False  # A crystal; after a sign.
    for word in re.finditer(r"\S+", expression):
        text, place = word.group(), word.start()
        whole = text.partition("@")[0] in known
        if text in "+-−":
            if signed or factor is not None:
                raise _Fault(expression, place, "a crystal", f"{text!r}")
            sign, expects, signed = (1 if text == "+" else -1), True, True
            continue
        if not expects:
            raise _Fault(expression, place, "+ or - between spaces", f"{text!r}")
        if text == "*" and factor is not None:
            continue
        if not whole and (_NUMBER.fullmatch(text) or (text.endswith("*") and _NUMBER.fullmatch(text[:-1]))):
            if factor is not None:
                raise _Fault(expression, place, "a crystal after the number", f"{text!r}")
            factor = _value(text.removesuffix("*"), expression, place)
            continue
        joined = None if whole else _JOINED.match(text)
        if joined and factor is None:
            factor, place, text = _value(joined[1], expression, place), place + joined.end(), text[joined.end() :]
        name, _, model = text.partition("@")
        if not name:
            raise _Fault(expression, place, "a crystal before @", f"{text!r}")
        terms.append(Term(sign * (1.0 if factor is None else factor), name, model or None, place))
        sign, factor, expects, signed = 1, None, False, False
    if expects:
        raise _Fault(expression, len(expression.rstrip()), "a crystal", "the end")
    return terms


def parse_reaction(equation: str, known: Container[str] = ()) -> list[Term]:
    """The terms of a reaction, products with positive and reactants with negative coefficients.

    Args:
        equation: reactants, an arrow, products.
        known: names that are taken as they stand, even if they begin with a number.

    Raises:
        ValueError: where something is missing, with a caret under the place.
    """
    sides = equation.split(ARROW)
    if len(sides) != 2:
        place = len(equation) if len(sides) < 2 else equation.rindex(ARROW)
        raise _Fault(equation, place, f"one {ARROW} between reactants and products", f"{len(sides) - 1}")
    shift = len(sides[0]) + len(ARROW)
    all_terms = []
    for side, sign, offset in ((sides[0], -1, 0), (sides[1], 1, shift)):
        try:
            terms = parse(side, known)
        except _Fault as fault:
            raise _Fault(equation, fault.place + offset, fault.wanted, fault.got) from None
        all_terms += [term._replace(coefficient=sign * term.coefficient, place=term.place + offset) for term in terms]
    return all_terms


class _Fault(ValueError):
    """Missing part of an expression, and its position."""

    def __init__(self, expression: str, place: int, wanted: str, got: str) -> None:
        super().__init__(f"the expression must have {wanted} here, got {got}:\n  {expression}\n  {' ' * place}^")
        self.place, self.wanted, self.got = place, wanted, got


def _value(text: str, expression: str, place: int) -> float:
    try:
        return float(Fraction(text))
    except ZeroDivisionError:
        raise _Fault(expression, place, "a number", f"{text!r}") from None


class Crystals:
    """The crystals of tables on the same structures, to be found by name.

    Args:
        tables: of the models.
        names: of the models.
        files: by name, tables of the one crystal of a structure file, one for each model; their vectors follow those
            of the tables.
    """

    def __init__(
        self,
        tables: Sequence[EmbeddingTable],
        names: Sequence[str],
        files: Mapping[str, Sequence[EmbeddingTable]] | None = None,
    ) -> None:
        structures = tables[0].structures
        if structures is None:
            raise ValueError("`tables` must bring structures, got none: crystals are found by formula or id.")
        self.structures = structures
        self.names = [name.replace(" ", "/") for name in names]  # `@MODEL` has no spaces.
        self.files = list(files or {})
        self.present = np.unique(tables[0].structure_index)
        self.formulas = reduced_formulas(structures)
        energy = tables[0].properties.get("energy")
        self.sizes = np.bincount(tables[0].structure_index, minlength=len(structures))
        self.energy = None if energy is None else np.asarray(energy) / np.maximum(self.sizes, 1)
        self._by_id = {structures.ids[i]: int(i) for i in self.present}
        self._by_formula: dict[str, list[int]] = {}
        for i in self.present.tolist():
            self._by_formula.setdefault(str(self.formulas[i]), []).append(i)

    @property
    def known(self) -> frozenset[str]:
        """The names that stand for themselves: ids and files."""
        return frozenset([*self._by_id, *self.files])

    def find(self, term: Term) -> Found:
        """Return the crystal that a term refers to.

        Raises:
            ValueError: a model that is none of these, or a name that is no crystal's, with the nearest formulas.
        """
        if term.model is not None and term.model not in self.names:
            raise ValueError(f"`{term.name}@{term.model}` must name one of the models {', '.join(self.names)}.")
        table = 0 if term.model is None else self.names.index(term.model)
        if term.name in self.files:
            place = len(self.structures) + self.files.index(term.name)
            return Found(term, table, place, term.name, "")
        if term.name in self._by_id:
            i = self._by_id[term.name]
            return Found(term, table, i, term.name, str(self.formulas[i]))
        formula, units = _reduced(term.name)
        phases = self._by_formula.get(formula or "", [])
        if not phases:
            raise ValueError(self._unknown(term.name, formula))
        if self.energy is not None and len(phases) > 1:
            phases = sorted(phases, key=lambda i: float(self.energy[i]))  # type: ignore[index]
            because = f"the one of lowest energy ({self.names[0]}: {float(self.energy[phases[0]]):.3f} eV/atom)"
        else:
            because = "the first in the store, which has no energies"
        ids = tuple(self.structures.ids[i] for i in phases)
        several = len(phases) > 1
        ambiguity = (ids, because) if several else ((), "")
        return Found(term, table, phases[0], ids[0], formula or "", *ambiguity, units)

    def composition(self, structure: int) -> dict[str, float]:
        """Atoms of every element in a formula unit of a structure of the tables."""
        from pymatgen.core import Composition

        return Composition(str(self.formulas[structure])).get_el_amt_dict()

    def _unknown(self, name: str, formula: str | None) -> str:
        known = list(self._by_formula)
        near = difflib.get_close_matches(formula or name, known, n=_OFFERED, cutoff=0.0)
        if formula is not None:
            system = _elements(formula)
            same = [other for other in known if _elements(other) == system]
            near = list(dict.fromkeys([*same, *near]))[:_OFFERED]
        return (
            f"{name!r} must be a formula or an id of the store, or a structure file, got none of them: nearest are "
            f"{', '.join(near)}."
        )


def imbalance(terms: Sequence[tuple[float, Mapping[str, float]]]) -> dict[str, float]:
    """By element, atoms of products less those of reactants, where they differ.

    Args:
        terms: coefficient and composition of a formula unit of every term.
    """
    total: Counter[str] = Counter()
    for coefficient, composition in terms:
        for element, amount in composition.items():
            total[element] += coefficient * amount  # type: ignore[assignment]
    return {element: round(value, 6) for element, value in total.items() if abs(value) > 1e-6}


def _reduced(name: str) -> tuple[str | None, float]:
    """The reduced formula, if it is a formula at all, and how often it holds that."""
    from pymatgen.core import Composition

    try:
        written = Composition(name)
    except ValueError:
        return None, 1.0
    formula = written.reduced_formula
    return formula, written.num_atoms / Composition(formula).num_atoms


def _elements(formula: str) -> frozenset[str]:
    return frozenset(re.findall(r"[A-Z][a-z]?", formula))


def told(matches: Sequence[Found]) -> list[dict[str, Any]]:
    """Describe terms and their crystals in plain values."""
    return [
        {
            "coefficient": one.term.coefficient,
            "name": one.term.name,
            "model": one.term.model,
            "id": one.id,
            "formula": one.formula,
            "phases": list(one.phases),
            "because": one.because,
        }
        for one in matches
    ]
