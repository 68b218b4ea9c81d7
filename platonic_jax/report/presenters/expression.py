"""Presenter of a sum of crystals and the crystals nearest to it."""

from platonic_jax.analyses import Expression
from platonic_jax.charts import Spec, dots, entries
from platonic_jax.report._table import Table

NAME = "expression"


def title(result: Expression) -> str:
    """Return the heading."""
    return f"Crystals nearest to {result.expression}"


def intro(result: Expression) -> str:
    """Summarise the input in a sentence."""
    return (
        f"{result.provenance['num_structures']:,} crystals as vectors of {', '.join(result.models)}, ranked by their "
        "similarity to the sum."
    )


def verdict(result: Expression) -> list[str]:
    """Name the nearest crystals, and compare them with random sums."""
    sentences = [
        f"{term['name']} is {term['id']}, chosen among {len(term['phases'])} phases as {term['because']}."
        for term in result.terms
        if term["phases"]
    ]
    best, null = result.answers[0], result.null
    sentences.append(f"The nearest crystal is {best['formula']} ({best['id']}), similarity {best['similarity']:.3f}.")
    others = [answer for answer in result.answers if not answer["is_term"]]
    if best["is_term"] and others:
        sentences.append(
            f"It is itself a term; the nearest other crystal is {others[0]['formula']} ({others[0]['id']}), similarity "
            f"{others[0]['similarity']:.3f}."
        )
    sentences.append(
        f"Random sums have a nearest crystal with similarity {null['mean']:.3f} on average and above "
        f"{null['high']:.3f} in 5 %; {100 * null['p_value']:.1f} % of them have one at least as near."
    )
    return [" ".join(sentences)]


def tables(result: Expression) -> list[Table]:
    """The nearest crystals."""
    rows = [
        (answer["formula"], answer["id"], f"{answer['similarity']:.4f}", "a term" if answer["is_term"] else "")
        for answer in result.answers
    ]
    title = f"nearest to {result.expression}, of {result.provenance['num_structures']} crystals"
    return [Table(title, ("crystal", "id", "similarity", ""), rows, words=(0, 1, 3))]


def charts(result: Expression) -> list[Spec]:
    """The nearest crystals, beside what lies near to sums of random ones."""
    rows = [f"{answer['formula']} ({answer['id']})" for answer in result.answers]
    series = [
        entries(
            name,
            [answer["similarity"] if answer["is_term"] is is_term else None for answer in result.answers],
            style="baseline" if is_term else "model",
        )
        for name, is_term in (("answers", False), ("terms of the sum", True))
    ]
    marks = {"random sums, mean": result.null["mean"], "random sums, 95th percentile": result.null["high"]}
    caption = f"Similarity of the nearest crystals to {result.expression}."
    return [dots(caption, rows, series, axis="cosine similarity", marks=marks)]
