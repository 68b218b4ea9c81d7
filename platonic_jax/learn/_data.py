"""Training data, in batches of structures."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from platonic_jax._checks import check_fraction, check_key
from platonic_jax._typing import Scalar, TypedKey


class Batch(NamedTuple):
    """Input of an objective.

    Attributes:
        clouds: For each model its rows of the same n atoms, (n, p).
        structure: (n,) int32, the place of each atom's structure in the batch; −1 for the last atoms, of a structure
            that did not fit as a whole.
        targets: By name, (n,) values of the atoms, or of their structures; NaN where unknown.
        progress: () how far training has come, from 0 to 1.
        temperature: () of the mixtures of `SoftAnchors`.
    """

    clouds: tuple[Float[Array, "n _"], ...]
    structure: Int[Array, " n"]
    targets: Mapping[str, Float[Array, " n"]]
    progress: Scalar
    temperature: Scalar | float = 1.0


class Data:
    """Embeddings of the same atoms by several models, and their targets; host-side.

    Args:
        clouds: For each model its rows, (n, p).
        structure_index: (n,) the structure of each atom, not decreasing.
        targets: By name, (n,) values; of a structure's property, its value at each of its atoms. NaN where unknown.

    Raises:
        ValueError: If there is no model or no atom, or the arrays are not of the same atoms.
    """

    def __init__(
        self,
        clouds: Sequence[ArrayLike],
        structure_index: ArrayLike,
        *,
        targets: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        self.clouds: tuple[np.ndarray, ...] = tuple(np.asarray(cloud) for cloud in clouds)
        self.structure_index: np.ndarray = np.asarray(structure_index)
        known = (targets or {}).items()
        self.targets: dict[str, np.ndarray] = {name: np.asarray(values, np.float32) for name, values in known}
        if not self.clouds:
            raise ValueError("`clouds` must hold at least one model, got none.")
        n = len(self.structure_index)
        if n == 0:
            raise ValueError("`structure_index` must hold at least one atom, got none.")
        if (np.diff(self.structure_index) < 0).any():
            raise ValueError("`structure_index` must not decrease, got one that does: sort the rows by structure.")
        named = {f"clouds[{i}]": cloud for i, cloud in enumerate(self.clouds)}
        for name, array in (named | {f"targets[{name!r}]": values for name, values in self.targets.items()}).items():
            if len(array) != n:
                raise ValueError(f"`{name}` must have a row for each of the {n} atoms, got {len(array)}.")
        self._first = np.flatnonzero(np.diff(self.structure_index, prepend=self.structure_index[0] - 1))
        self._size = np.diff(self._first, append=n)
        self._placed: tuple[Mesh | None, Placed] | None = None

    def __len__(self) -> int:
        return len(self.structure_index)

    @property
    def num_structures(self) -> int:
        """Structures that have a row."""
        return len(self._first)

    @property
    def num_known(self) -> dict[str, int]:
        """For each target, how many structures have an atom with a value of it."""
        structure = np.repeat(np.arange(self.num_structures), self._size)
        return {name: len(np.unique(structure[np.isfinite(values)])) for name, values in self.targets.items()}

    def select(self, mask: np.ndarray) -> "Data":
        """The rows where `mask` (n,) is true."""
        return Data(
            [cloud[mask] for cloud in self.clouds],
            self.structure_index[mask],
            targets={name: values[mask] for name, values in self.targets.items()},
        )

    def split(self, groups: ArrayLike, *, fraction: float, key: TypedKey) -> tuple["Data", "Data"]:
        """Two parts that share no group, such as a chemical system.

        Args:
            groups: (n,) label of each atom's group.
            fraction: Of the groups that go to the second part, between 0 and 1.
            key: Typed key.

        Returns:
            What to learn from, and what is held out.

        Raises:
            ValueError: If there are fewer than two groups, or not one label an atom.
        """
        if len(np.asarray(groups)) != len(self):
            raise ValueError(
                f"`groups` must have a label for each of {len(self)} atoms, got {len(np.asarray(groups))}."
            )
        held_out = held_out_groups(groups, fraction=fraction, key=key)
        return self.select(~held_out), self.select(held_out)

    def batch(
        self,
        number: int,
        *,
        key: TypedKey,
        num_rows: int = 1024,
        progress: float = 0.0,
        temperatures: tuple[float, float] = (1.0, 0.05),
        mesh: Mesh | None = None,
    ) -> Batch:
        """Draw a batch of whole structures.

        Args:
            number: Number of the batch; with the key, it decides what is drawn.
            key: Typed key.
            num_rows: Atoms in the batch; all there are if they are fewer.
            progress: How far training has come, from 0 to 1.
            temperatures: Temperature of `SoftAnchors` at the beginning and at the end; geometric in between.
            mesh: Devices that share the rows, from `numerics.row_mesh`.
        """
        return _draw(
            self.place(mesh),
            jnp.asarray(number, jnp.int32),
            key=key,
            num_rows=self.rows_in_batch(num_rows, mesh),
            progress=jnp.asarray(progress, jnp.float32),
            temperatures=temperatures,
            mesh=mesh,
        )

    def rows_in_batch(self, num_rows: int, mesh: Mesh | None) -> int:
        """Return the rows of a batch: as many as asked for, or as there are and the devices divide."""
        return min(num_rows, len(self) if mesh is None else len(self) - len(self) % mesh.size)

    def place(self, mesh: Mesh | None) -> "Placed":
        """Copy the data to the device, or to every device of a mesh; the last copy is kept."""
        if self._placed is None or self._placed[0] != mesh:
            structures = self._first.astype(np.int32), self._size.astype(np.int32)
            everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
            self._placed = mesh, Placed(*jax.device_put((self.clouds, *structures, self.targets), everywhere))
        return self._placed[1]


class Placed(NamedTuple):
    """Data on devices: clouds, the first row and the rows of each structure, and targets."""

    clouds: tuple[Float[Array, "n _"], ...]
    first: Int[Array, " s"]
    size: Int[Array, " s"]
    targets: Mapping[str, Float[Array, " n"]]


def draw(
    data: Placed,
    number: Int[Array, ""],
    *,
    key: TypedKey,
    num_rows: int,
    progress: Float[Array, ""],
    temperatures: tuple[float, float],
    mesh: Mesh | None,
) -> Batch:
    """Draw a batch as `Data.batch` does, inside a compiled function; sizes and mesh are static."""
    order = jax.random.permutation(jax.random.fold_in(key, number), data.size.shape[0])
    rows, place = rows_of_batch(data.first, data.size, order, num_rows=num_rows)
    if mesh is not None:
        divided = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
        rows, place = (jax.lax.with_sharding_constraint(index, divided) for index in (rows, place))
    begin, end = temperatures
    return Batch(
        clouds=tuple(cloud[rows] for cloud in data.clouds),
        structure=place,
        targets={name: values[rows] for name, values in data.targets.items()},
        progress=progress,
        temperature=begin * jnp.exp(progress * jnp.log(jnp.float32(end / begin))),
    )


_draw = jax.jit(draw, static_argnames=("num_rows", "temperatures", "mesh"))


def rows_of_batch(
    first: Int[Array, " s"], size: Int[Array, " s"], order: Int[Array, " s"], *, num_rows: int
) -> tuple[Int[Array, " {num_rows}"], Int[Array, " {num_rows}"]]:
    """List rows of structures in an order, as many as fit, and for each its place in the batch.

    Args:
        first: First row of each structure.
        size: Rows of each structure.
        order: Structures.
        num_rows: Rows of a batch (static), at most those of all structures.

    Returns:
        Rows and places, −1 for those of a structure cut short.
    """
    ends = jnp.cumsum(size[order], dtype=size.dtype)
    row = jnp.arange(num_rows, dtype=size.dtype)
    place = jnp.searchsorted(ends, row, side="right").astype(size.dtype)
    rows = (first[order] - (ends - size[order]))[place] + row
    return rows, jnp.where(ends[place] <= num_rows, place, -1)


def held_out_groups(groups: ArrayLike, *, fraction: float, key: TypedKey) -> np.ndarray:
    """Draw held-out groups, and return the mask of their rows, (n,)."""
    check_key(key)
    check_fraction("fraction", fraction)
    labels, place = np.unique(np.asarray(groups), return_inverse=True)
    if len(labels) < 2:
        raise ValueError("`groups` must be at least two, got one: nothing can be held out.")
    number = min(max(1, round(fraction * len(labels))), len(labels) - 1)
    drawn = np.asarray(jax.random.permutation(key, len(labels)))[:number]
    return np.isin(place, drawn)
