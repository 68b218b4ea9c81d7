"""Checks that two tables come from two versions of one model."""

from platonic_jax.tables import EmbeddingTable

LINEAGE, ROWS_ALONE = "family, layer, width and lineage", "layer and width alone: a table does not say where it is from"
FAMILY = "family, layer and width: no lineage is known of a local checkpoint"


def check_lineage(before: EmbeddingTable, after: EmbeddingTable) -> str:
    """Check that two tables are of one layer of two versions of one model.

    Two models are of one lineage if they have the same name, one is a fine-tune of the other or shares its weights, or
    both have such a relative in common, as two fine-tunes of one model do.

    Args:
        before: Table of the earlier model.
        after: Table of the later model.

    Returns:
        What could be checked: bare arrays have neither family nor lineage, local checkpoints may have no lineage.

    Raises:
        ValueError: If they are not, with what differs.
    """
    what = f"`after` must be a later version of `before`, {before.model}; got {after.model}"
    families = [table.provenance.get("family") for table in (before, after)]
    if None not in families and families[0] != families[1]:
        raise ValueError(
            f"{what}, of the family {families[1]} instead of {families[0]}: compare unrelated models with `compare`."
        )
    if before.layer != after.layer:
        raise ValueError(f"{what}, layer {after.layer} instead of {before.layer}: give the same layer of both.")
    if before.x.shape[1] != after.x.shape[1]:
        raise ValueError(
            f"{what}, whose embeddings have {after.x.shape[1]} columns instead of {before.x.shape[1]}: models of "
            "different sizes are not versions of each other; compare them with `compare`."
        )
    if None in families:
        return ROWS_ALONE
    kin = [_kin(table) for table in (before, after)]
    if not kin[0] & kin[1]:
        if any(_unknown(table) for table in (before, after)):
            return FAMILY
        raise ValueError(
            f"{what}, which was not trained from it, as far as the registry of models knows: compare unrelated "
            "models with `compare`, or embed a fine-tuned checkpoint as FAMILY:NAME@PATH."
        )
    return LINEAGE


def check_repeat(before: EmbeddingTable, again: EmbeddingTable) -> None:
    """Check that a table is of the same weights.

    Raises:
        ValueError: If it is of another model or checkpoint.
    """
    check_lineage(before, again)
    weights = [(table.provenance.get("checkpoint") or {}).get("sha256") for table in (before, again)]
    if before.model != again.model or (None not in weights and weights[0] != weights[1]):
        raise ValueError(
            f"`repeats` must be {before.model} embedded again, got {again.model} with other weights: pass fine-tuned "
            "models as `reseeded`."
        )


def _kin(table: EmbeddingTable) -> set[str]:
    """The model and its relatives, whatever options it was embedded with; re-drawn weights have none."""
    if table.provenance.get("random_weights"):
        return {table.model}
    relatives = table.provenance.get("relatives", ())
    if isinstance(relatives, dict):  # stores of before list names alone
        relatives = [name for name, relation in relatives.items() if relation != "same data and code"]
    return {name.partition("?")[0] for name in (table.model, *relatives)}


def _unknown(table: EmbeddingTable) -> bool:
    """Test whether a table is of a local checkpoint of unknown origin, `FAMILY:PATH`."""
    named = table.model.startswith(f"{table.provenance['family']}:")
    return named and not table.provenance.get("relatives")
