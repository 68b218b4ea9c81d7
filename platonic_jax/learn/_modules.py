"""Learnable parts of a shared space: metrics before the similarity, mixtures of atoms as anchors, their weights."""

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from platonic_jax import numerics, projection
from platonic_jax._checks import check_choice, check_count, check_key, check_positive
from platonic_jax._typing import TypedKey

KINDS = ("spectral", "linear")
ORIGINS = ("mean", "zero")
# The others are taken relative to a whole cloud, which a batch is not.
SIMILARITIES = ("cosine", "angular", "l2")
_LEAST_VARIANCE = 1e-6  # Of the largest: directions below it are scaled as if they had this much.


_Module = TypeVar("_Module", bound=nnx.Module)


class Fixed(nnx.Variable[Array]):
    """Variables of a module that training leaves unchanged."""


class Metric(nnx.Module):
    """A linear map before the similarity: x → (x − μ) M.

    It starts from the principal components of a model's rows, each divided by its standard deviation to the power
    `whitening`: from 0, which leaves all cosines as they are, to 1, where all directions count alike.

    Args:
        x: Rows of the model, (n, p).
        kind: `"spectral"`, one positive scale for each principal direction is learned; `"linear"`, the whole of M.
        whitening: Where it starts, from 0 to 1.
        rank: Principal directions kept, at most p; all when absent.
        origin: `"mean"`, μ is the mean of the rows; `"zero"`, the model's own zero, as plain cosines take it.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from platonic_jax import learn
        >>> x = jax.random.normal(jax.random.key(0), (200, 3)) * jnp.array([10.0, 1.0, 0.1])
        >>> z = learn.Metric(x, whitening=1.0)(x)
        >>> round(float(jnp.linalg.cond(z)), 2)  # No direction is larger than another.
        1.0
    """

    def __init__(
        self,
        x: Float[Array | np.ndarray, "n p"],
        *,
        kind: str = "spectral",
        whitening: float = 0.5,
        rank: int | None = None,
        origin: str = "mean",
    ) -> None:
        check_choice("kind", kind, KINDS)
        check_choice("origin", origin, ORIGINS)
        if not 0 <= whitening <= 1:
            raise ValueError(f"`whitening` must lie from 0 to 1, got {whitening}.")
        p = x.shape[1]
        if rank is None:
            rank = int(p)
        check_count("rank", rank, most=p, bound="the number of columns p", fix="keep fewer directions")
        mean, directions, scale = _whitened(x, rank=rank, whitening=whitening)
        self.origin: Fixed = Fixed(mean if origin == "mean" else jnp.zeros_like(mean))
        self.directions: Fixed | nnx.Param[Array]
        self.log_scale: Fixed | nnx.Param[Array]
        if kind == "spectral":
            self.directions = Fixed(directions)
            self.log_scale = nnx.Param(jnp.log(scale))
        else:
            self.directions = nnx.Param(directions * scale[None, :])
            self.log_scale = Fixed(jnp.zeros_like(scale))

    @property
    def matrix(self) -> Float[Array, "p r"]:
        """M, (p, r)."""
        return self.directions[...] * jnp.exp(self.log_scale[...])[None, :]

    def __call__(self, x: Float[Array, "n p"]) -> Float[Array, "n r"]:
        """Rows of the model, mapped."""
        return numerics.matmul(x - self.origin[...], self.matrix)


@partial(jax.jit, static_argnames=("rank", "whitening"))
def _whitened(
    x: Float[Array, "n p"], *, rank: int, whitening: float
) -> tuple[Float[Array, "1 p"], Float[Array, "p {rank}"], Float[Array, " {rank}"]]:
    """Compute the mean of the rows, their first principal directions, and what each of these is multiplied by."""
    decomposition = numerics.pca(x, num_components=rank)
    variance = jnp.mean(decomposition.scores**2, axis=0)
    share = variance / jnp.where(variance[0] > 0, variance[0], 1)
    scale = jnp.maximum(share, _LEAST_VARIANCE) ** (-whitening / 2)
    return jnp.mean(x, axis=0, keepdims=True), decomposition.components.T, scale


class SoftAnchors(nnx.Module):
    """Anchors that are mixtures of candidate atoms: a_j = Σ_c softmax(logits_j / T)_c candidate_c.

    The mixture is the same for every model; each brings its own rows of the candidates. As T falls each anchor becomes
    one candidate.

    Args:
        num_candidates: Candidate atoms in the pool.
        k: Anchors, at most as many as candidates.
        key: Typed key: which candidate each anchor leans to at first.

    Raises:
        ValueError: If there are more anchors than candidates.
    """

    def __init__(self, num_candidates: int, k: int, *, key: TypedKey) -> None:
        check_key(key)
        check_count("k", k, most=num_candidates, bound="the number of candidates", fix="give a larger pool")
        first = jax.random.permutation(key, num_candidates)[:k]
        # At temperature 1 half of each anchor is its first candidate, the rest is spread over all.
        leaning = float(np.log(max(num_candidates - 1, 1)))
        self.logits: nnx.Param[Array] = nnx.Param(jnp.zeros((k, num_candidates)).at[jnp.arange(k), first].set(leaning))

    def mixture(self, temperature: float | Float[Array, ""] = 1.0) -> Float[Array, "k m"]:
        """Weight of each candidate in each anchor; rows sum to 1."""
        logits = self.logits[...]
        return jax.nn.softmax(logits / jnp.asarray(temperature, logits.dtype), axis=1)

    def chosen(self) -> Int[np.ndarray, " k"]:
        """A candidate for each anchor, all different, of the largest sum of logits; host-side."""
        from scipy.optimize import linear_sum_assignment

        return linear_sum_assignment(-np.asarray(self.logits[...]))[1].astype(np.int32)


class AnchorWeights(nnx.Module):
    """One positive weight for each anchor, which multiplies its column of similarities; all 1 at first.

    `objectives.sparsity` drives weights to zero; `kept` says which are left.

    Args:
        k: The number of anchors.
    """

    def __init__(self, k: int) -> None:
        check_count("k", k)
        self.raw: nnx.Param[Array] = nnx.Param(jnp.full(k, np.log(np.expm1(1)), jnp.result_type(float)))

    def __call__(self) -> Float[Array, " k"]:
        """The weights, softplus of what is learned."""
        return jax.nn.softplus(self.raw[...])

    def kept(self, *, least: float = 0.01) -> Int[np.ndarray, " kept"]:
        """Anchors whose weight is at least this share of the largest; host-side."""
        check_positive("least", least)
        weights = np.asarray(self())
        return np.flatnonzero(weights >= least * weights.max()).astype(np.int32)


class Attention(nnx.Module):
    """Attention weights for pooling crystals: softmax over the atoms of a score that is linear in their embeddings.

    All atoms of a crystal count alike at first. Weights of a crystal sum to 1 whatever its cell, so that
    `arithmetic.pool(x, structure_index, weights=…)` is the same for a supercell.

    Args:
        width: Columns of the rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import learn
        >>> learn.Attention(2)(jnp.eye(2), jnp.array([0, 0]), num_structures=1).tolist()
        [0.5, 0.5]
    """

    def __init__(self, width: int) -> None:
        check_count("width", width)
        self.direction: nnx.Param[Array] = nnx.Param(jnp.zeros(width, jnp.result_type(float)))

    def __call__(
        self, x: Float[Array, "n p"], structure_index: Int[Array, " n"], *, num_structures: int
    ) -> Float[Array, " n"]:
        """The weight of each atom in its crystal, from 0 to 1.

        Args:
            x: Rows of atoms.
            structure_index: The crystal of each, from 0.
            num_structures: The number of crystals (static).
        """
        score = numerics.matmul(x, self.direction[...].astype(x.dtype)[:, None])[:, 0]
        largest = jax.ops.segment_max(score, structure_index, num_structures)
        raised = jnp.exp(score - jax.lax.stop_gradient(largest)[structure_index])
        return raised / jax.ops.segment_sum(raised, structure_index, num_structures)[structure_index]


class SharedSpace(nnx.Module):
    """Models in the space of the same anchors, any part of which may be learned.

    Args:
        candidates: For each model its rows of the candidate atoms, (m, p): the anchors themselves, or the pool of
            `anchors`.
        anchors: Mixtures of the candidates; each candidate is an anchor when absent.
        metrics: For each model the map before the similarity; none when absent.
        weights: Of the anchors; all 1 when absent.
        similarity: `"cosine"`, `"angular"` or `"l2"` (static), as in `projection.relative`.

    Raises:
        ValueError: If the parts do not fit each other.

    Example:
        >>> import jax
        >>> from platonic_jax import learn
        >>> x, y = jax.random.normal(jax.random.key(0), (2, 50, 8))
        >>> space = learn.SharedSpace([x[:10], y[:10]], weights=learn.AnchorWeights(10))
        >>> [rows.shape for rows in space([x, y])]
        [(50, 10), (50, 10)]
    """

    def __init__(
        self,
        candidates: Sequence[Float[Array | np.ndarray, "m _"]],
        *,
        anchors: SoftAnchors | None = None,
        metrics: Sequence[Metric] | None = None,
        weights: AnchorWeights | None = None,
        similarity: str = "cosine",
    ) -> None:
        check_choice("similarity", similarity, SIMILARITIES)
        sizes = {len(rows) for rows in candidates}
        if len(sizes) != 1:
            raise ValueError(f"`candidates` must be the same atoms for every model, got {sorted(sizes)} of them.")
        (size,) = sizes
        if anchors is not None and anchors.logits.shape[1] != size:
            raise ValueError(f"`anchors` must mix {size} candidates, got a mixture of {anchors.logits.shape[1]}.")
        k = size if anchors is None else anchors.logits.shape[0]
        if metrics is not None and len(metrics) != len(candidates):
            raise ValueError(f"`metrics` must be one for each of {len(candidates)} models, got {len(metrics)}.")
        for i, (rows, metric) in enumerate(zip(candidates, metrics or (), strict=False)):
            if rows.shape[1] != (width := metric.origin.shape[1]):
                raise ValueError(f"`metrics[{i}]` must take rows of {rows.shape[1]} columns, got one of {width}.")
        if weights is not None and weights.raw.shape != (k,):
            raise ValueError(f"`weights` must be of {k} anchors, got those of {weights.raw.shape[0]}.")
        self.candidates: nnx.List[Fixed] = nnx.List([Fixed(jnp.asarray(rows)) for rows in candidates])
        self.metrics: nnx.List[Metric] | None = None if metrics is None else nnx.List(list(metrics))
        self.anchors = anchors
        self.weights = weights
        self.similarity = similarity

    @property
    def num_models(self) -> int:
        """Number of models in the space."""
        return len(self.candidates)

    def anchor_rows(self, model: int, *, temperature: float | Float[Array, ""] = 1.0) -> Float[Array, "k r"]:
        """The anchors in the space of one model, after its metric."""
        rows = self.mapped(model, self.candidates[model][...])
        if self.anchors is None:
            return rows
        return numerics.matmul(self.anchors.mixture(temperature).astype(rows.dtype), rows)

    def mapped(self, model: int, x: Float[Array, "n p"]) -> Float[Array, "n r"]:
        """Rows of one model after its metric."""
        return x if self.metrics is None else self.metrics[model](x)

    def __call__(
        self, clouds: Sequence[Float[Array, "n _"]], *, temperature: float | Float[Array, ""] = 1.0
    ) -> tuple[Float[Array, "n k"], ...]:
        """The rows of every model in the space of the anchors.

        Args:
            clouds: For each model, rows of the same atoms.
            temperature: Of the mixtures, above zero.

        Returns:
            For each model one row of k weighted similarities an atom.
        """
        if len(clouds) != self.num_models:
            raise ValueError(f"`clouds` must be one for each of {self.num_models} models, got {len(clouds)}.")
        weights = None if self.weights is None else self.weights()
        return tuple(
            projection.relative(
                self.mapped(i, x),
                self.anchor_rows(i, temperature=temperature),
                similarity=self.similarity,
                weights=weights,
            )
            for i, x in enumerate(clouds)
        )

    def chosen(self) -> Int[np.ndarray, " k"]:
        """The candidate that each anchor is, or has become; host-side."""
        return np.arange(len(self.candidates[0]), dtype=np.int32) if self.anchors is None else self.anchors.chosen()

    def hardened(self) -> "SharedSpace":
        """The same space with one real atom for each anchor in place of its mixture."""
        rows = self.chosen()
        return SharedSpace(
            [candidates[...][rows] for candidates in self.candidates],
            metrics=None if self.metrics is None else list(self.metrics),
            weights=self.weights,
            similarity=self.similarity,
        )


def frozen(module: _Module) -> _Module:
    """A copy that training leaves alone: what others are fitted to."""
    copy = nnx.clone(module)
    for _, part in nnx.iter_modules(copy):
        for name, value in vars(part).items():
            if isinstance(value, nnx.Param):
                setattr(part, name, Fixed(value[...]))
    return copy
