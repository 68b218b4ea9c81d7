"""WyFormer (Kazeev et al., ICML 2025, arXiv:2503.02407): a transformer that generates sets of Wyckoff orbits.

It was trained on MP-20 to predict the next orbit from the space group and the orbits so far, in any order, without
coordinates, cells or energies. An orbit is one token of three fields: its element, the symbol of its site symmetry, and
the number of its Wyckoff position among those of this symbol. Every atom of an orbit gets the same row.

spglib finds the symmetry, to 0.1 Å and 5° as for the training data; on 402 structures of MP-20 its groups and Wyckoff
letters are those of PyXtal, which made these data. One crystal has several descriptions, by the choice of the origin,
and spglib's depends on the order of the atoms: rows are the mean over all that keep the symbols.

Layers: `embedding`, the mixed embeddings of the three fields; `layer0`, `layer1` and `layer2`, behind each
layer of the transformer. The sequence read is the space group, every orbit, and one token of which every field is the
mask (unknown), as where the model decides that a crystal is complete; there is no stop token, and no position. In
training only the last token of a sequence reached the heads, so `layer2` of an orbit is not what a head reads. That is
the default, `readout`: the state of an orbit whose element alone is given (its other fields are the mask) among all
other orbits, in as many sequences as there are orbits, from which a head predicts its site symmetry.
"""

from __future__ import annotations

import gzip
import json
import os
import string
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from ase.data import atomic_numbers, chemical_symbols
from matscipy.neighbours import neighbour_list  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from platonic_adapters.errors import InputError, UserError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import published, readable
from platonic_adapters.registry import ModelSpec

os.environ.setdefault("SPGLIB_WARNING", "OFF")  # it would write of each tolerance that it tries to stderr
import spglib  # noqa: E402

if TYPE_CHECKING:
    from ase import Atoms

WEIGHTS, VOCABULARY = "best_model_params.pt", "wyckoff_processor.json.gz"
POSITIONS = Path(__file__).with_name("wyformer_positions.txt")
FIELDS = ("elements", "site_symmetries", "sites_enumeration")
# Of the published network, which its weights do not tell whole.
WIDTHS, HEADS, FEEDFORWARD, NUM_LAYERS = (16, 16, 8), 4, 128, 3
WIDTH = sum(WIDTHS)
# Å and degrees; the most orbits of a crystal of MP-20, each of whose 20 atoms may be one.
TOLERANCE, ANGLE_TOLERANCE, MAX_ORBITS = 0.1, 5.0, 20
MAX_KEPT = 100_000  # crystals whose tokens wait in memory, a kilobyte each: spglib takes most of the time
REACH = 6.0  # Å, of the neighbourhoods by which atoms are ordered


def load(spec: ModelSpec, *, device: str, threads: int | None) -> WyFormer:
    """Load a WyFormer."""
    return WyFormer(spec, device, threads)


class Graph(NamedTuple):
    """The tokens of a crystal of n atoms: d descriptions of o orbits.

    Attributes:
        space_group: (f,) float32, the features of the space group.
        tokens: (d, o, 3) int64, the fields of `FIELDS`.
        orbits: (n,) int64, the orbit of each atom.
    """

    space_group: np.ndarray
    tokens: np.ndarray
    orbits: np.ndarray


class WyFormer:
    """One WyFormer; see `families.Adapter`."""

    default_layer = "readout"

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        path = spec.path or published(
            spec, f"https://raw.githubusercontent.com/{spec.model.checkpoint}", "wyformer:PATH"
        )
        if not path.is_dir():
            raise UserError(f"`{path}` must be a folder with `{WEIGHTS}` and `{VOCABULARY}`.")
        with readable(path, "WyFormer"):
            self._vocabulary = Vocabulary(path / VOCABULARY)
            with _torch.seeded(spec.seed or 0):
                self.model = Network(self._vocabulary)
            if spec.seed is None:
                state = torch.load(path / WEIGHTS, map_location="cpu", weights_only=True)
                self.model.load_state_dict(state)
        self.checkpoint = _torch.checkpoint(path, self.model, spec.seed, spec.family.folder)
        self.model.eval().requires_grad_(requires_grad=False).to(self._device)
        self.elements = frozenset(atomic_numbers[name] for name in self._vocabulary.values[0] if name in atomic_numbers)
        whats = {
            "embedding": "embeddings of an orbit's element, site symmetry and position, mixed",
            **{f"layer{i}": f"orbit behind transformer layer {i}, all orbits given" for i in range(NUM_LAYERS)},
            "readout": "orbit behind the last transformer layer, its element and all other orbits given",
        }
        self._kept: dict[bytes, Graph] = {}
        self.layers: dict[str, dict[str, Any]] = {
            name: {"width": WIDTH, "what": what, "irreps": f"{WIDTH}x0e"} for name, what in whats.items()
        }

    def refusal(self, atoms: Atoms) -> str | None:
        """Return why a crystal has no tokens; None if it has, and they are kept for `prepare`."""
        try:
            graph = self._graph(atoms)
        except InputError as error:
            return str(error)
        if len(self._kept) < MAX_KEPT:
            self._kept[_content(atoms)] = graph
        return None

    def prepare(self, atoms: Atoms) -> Graph:
        """Find the Wyckoff orbits of one crystal, if `refusal` has not just done it."""
        return self._kept.pop(_content(atoms), None) or self._graph(atoms)

    def _graph(self, atoms: Atoms) -> Graph:
        """Find the orbits in all descriptions of a crystal that keep the symbols of their site symmetry."""
        if not atoms.pbc.all():
            raise InputError("it needs a crystal, periodic in all three directions")
        order = _order(atoms)
        cell: Any = (atoms.cell.array, atoms.get_scaled_positions()[order], atoms.numbers[order])
        try:
            symmetry = spglib.get_symmetry_dataset(cell, symprec=TOLERANCE, angle_tolerance=ANGLE_TOLERANCE)
        except spglib.SpglibError:
            symmetry = None
        if symmetry is None:
            raise InputError(f"spglib finds no space group to {TOLERANCE} Å")
        if symmetry.number not in self._vocabulary.space_groups:
            raise InputError(f"its space group {symmetry.number} is not in the model's training data")
        _, first, orbits = np.unique(symmetry.crystallographic_orbits, return_index=True, return_inverse=True)
        if len(first) > MAX_ORBITS:
            raise InputError(f"it has more Wyckoff orbits than any crystal of the training data, {MAX_ORBITS}")
        symbols, alternatives = _positions()[symmetry.number]
        letters = [string.ascii_letters.index(symmetry.wyckoffs[i]) for i in first]
        elements = [chemical_symbols[atoms.numbers[order[i]]] for i in first]
        descriptions = {
            tuple(
                self._vocabulary.token(element, symbols[place := alternative[letter]], symbols[:place])
                for element, letter in zip(elements, letters, strict=True)
            )
            for alternative in alternatives
        }
        space_group = self._vocabulary.space_groups[symmetry.number]
        return Graph(space_group, np.array(sorted(descriptions), dtype=np.int64), orbits[np.argsort(order)])

    def embed(
        self, prepared: Sequence[Graph], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch: the sequences of all descriptions of all crystals, padded to the longest."""
        if properties:
            raise UserError(
                f"WyFormer generates crystals and has no {' or '.join(properties)}; leave `--properties` out."
            )
        mask, padding = self._vocabulary.mask, self._vocabulary.padding
        length = 1 + max(graph.tokens.shape[1] for graph in prepared)
        whole, single = [], []
        for graph in prepared:
            number, orbits, _ = graph.tokens.shape
            tokens = np.tile(padding, (number, length, 1))
            tokens[:, :orbits] = graph.tokens
            alone = np.repeat(tokens[:, None], orbits, axis=1)
            alone[:, np.arange(orbits), np.arange(orbits), 1:] = mask[1:]
            tokens[:, orbits] = mask
            whole.append(tokens)
            single.append(alone.reshape(-1, length, 3))
        # Of the start and the tokens, the rows of the tokens alone.
        states = [_torch.to_numpy(x)[:, 1:] for x in self._states(prepared, whole)]
        last = _torch.to_numpy(self._states(prepared, single)[-1])[:, 1:]
        rows: dict[str, list[np.ndarray]] = {name: [] for name in self.layers}
        start = start_single = 0
        for graph, tokens, alone in zip(prepared, whole, single, strict=True):
            number, orbits, _ = graph.tokens.shape
            for name, x in zip(self.layers, states, strict=False):
                rows[name].append(x[start : start + number, :orbits].mean(axis=0)[graph.orbits])
            copies = last[start_single : start_single + len(alone)].reshape(number, orbits, length, WIDTH)
            rows["readout"].append(copies.mean(axis=0)[graph.orbits, graph.orbits])
            start, start_single = start + len(tokens), start_single + len(alone)
        return {name: np.concatenate(x) for name, x in rows.items()}, {}

    def check(self, atoms: Atoms) -> float:
        """Compute the negative log-likelihood of a crystal's orbits given its space group, in nats, its end included.

        Of its descriptions and the orders of its orbits, the first of all in the order of the tokens is taken.
        """
        graph = self.prepare(atoms)
        orbits = min(sorted(description) for description in graph.tokens.tolist())
        sequence = torch.tensor([[*orbits, self._vocabulary.stop.tolist()]], device=self._device)
        start = torch.from_numpy(graph.space_group)[None].to(self._device)
        total = 0.0
        for i in range(sequence.shape[1]):
            for field in range(len(FIELDS)):
                known = sequence[:, : i + 1].clone()
                known[:, i, field:] = torch.from_numpy(self._vocabulary.mask[field:])
                scores = self.model.scores(start, known, field)
                total -= float(torch.log_softmax(scores, dim=-1)[0, sequence[0, i, field]])
        return total

    def _states(self, graphs: Sequence[Graph], tokens: Sequence[np.ndarray]) -> list[Any]:
        """The states of `Network.states` for the sequences of each crystal."""
        starts = np.concatenate(
            [np.tile(graph.space_group, (len(x), 1)) for graph, x in zip(graphs, tokens, strict=True)]
        )
        with torch.no_grad():
            return self.model.states(
                torch.from_numpy(starts).to(self._device), torch.from_numpy(np.concatenate(tokens)).to(self._device)
            )


class Vocabulary:
    """The values of each field, as tokens, and the features of each space group."""

    def __init__(self, path: Path) -> None:
        tokenisers = json.loads(gzip.decompress(path.read_bytes()))["tokenisers"]
        payloads = [tokenisers[field]["payload"] for field in FIELDS]
        self.values: list[Mapping[Any, int]] = [{value: token for value, token in p["mapping"]} for p in payloads]
        self.mask, self.stop, self.padding = (
            np.array([payload[f"{kind}_token"] for payload in payloads]) for kind in ("mask", "stop", "pad")
        )
        self.space_groups = {
            int(number): np.array(features, np.float32)
            for number, features in tokenisers["spacegroup_number"]["payload"]["mapping"]
        }

    def token(self, element: str, symbol: str, before: Sequence[str]) -> tuple[int, ...]:
        """Return the token of an orbit on the position with a symbol, behind those `before` it in the space group."""
        values = (element, symbol, before.count(symbol))
        return tuple(tokens[value] for tokens, value in zip(self.values, values, strict=True))


class Network(nn.Module):
    """The network, with the names of the published weights, of which `encoder_layers` is a template of the layers."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        sizes = [len(values) for values in vocabulary.values]
        tables = [nn.Embedding(n, w, padding_idx=n - 1) for n, w in zip(sizes, WIDTHS, strict=True)]
        self.embedding = nn.ModuleDict({"embeddings": nn.ModuleList(tables)})
        self.encoder_layers = nn.TransformerEncoderLayer(WIDTH, HEADS, FEEDFORWARD, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(self.encoder_layers, NUM_LAYERS, enable_nested_tensor=False)
        self.start_embedding = nn.Linear(len(next(iter(vocabulary.space_groups.values()))), WIDTH)
        self.mixer = nn.Linear(WIDTH, WIDTH, bias=False)
        self.prediction_heads = nn.ModuleList(_pyramid(WIDTH + size, size) for size in sizes)

    def states(self, start: Any, tokens: Any) -> list[Any]:
        """Return (sequences, 1 + tokens, 40) before and behind each layer; the space group comes first."""
        tables = self.embedding["embeddings"]
        rows = self.mixer(torch.cat([table(x) for table, x in zip(tables, tokens.unbind(-1), strict=True)], dim=-1))
        padding = nn.functional.pad(tokens[:, :, 0] == tables[0].padding_idx, (1, 0))
        states = [torch.cat([self.start_embedding(start)[:, None], rows], dim=1)]
        for layer in self.transformer_encoder.layers:
            states.append(layer(states[-1], src_key_padding_mask=padding))
        return states

    def scores(self, start: Any, tokens: Any, field: int) -> Any:
        """Return the scores of the values of one field of the last token; a head sees which are in the sequence."""
        last = self.states(start, tokens)[-1][:, -1]
        present = torch.zeros(len(last), self.embedding["embeddings"][field].num_embeddings, device=last.device)
        present.scatter_(1, tokens[:, :, field], 1.0)
        return self.prediction_heads[field](torch.cat([last, present], dim=1))


def _content(atoms: Atoms) -> bytes:
    return b"".join(array.tobytes() for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc))


def _order(atoms: Atoms) -> np.ndarray:
    """Order the atoms by their neighbourhoods, for near its tolerance spglib depends on the order.

    Atoms of equal element and neighbourhood, such as those of a supercell, are numbered as they come, and the first of
    each kind come first.
    """
    centre, neighbour, distance = neighbour_list("ijd", atoms, REACH)
    density = np.bincount(centre, atoms.numbers[neighbour] * (1 - distance / REACH) ** 2, minlength=len(atoms))
    _, kind = np.unique(np.stack([atoms.numbers, density.round(6)]), axis=1, return_inverse=True)
    by_kind = np.argsort(kind, kind="stable")
    counts = np.bincount(kind)
    copy = np.empty(len(atoms), dtype=np.int64)
    copy[by_kind] = np.arange(len(atoms)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.lexsort((kind, copy))


def _pyramid(inputs: int, outputs: int) -> nn.Sequential:
    """Three dense layers whose widths fall evenly."""
    widths = np.linspace(inputs, outputs, 4, dtype=int).tolist()
    first, second, third = (nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)


@cache
def _positions() -> dict[int, tuple[list[str], list[list[int]]]]:
    """Space group → symbols of the site symmetries of its positions, and where each goes in every description."""
    positions = {}
    for line in POSITIONS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            own, _, others = line.partition("|")
            number, *symbols = own.split()
            alternatives = [[string.ascii_letters.index(letter) for letter in word] for word in others.split()]
            positions[int(number)] = symbols, alternatives
    return positions
