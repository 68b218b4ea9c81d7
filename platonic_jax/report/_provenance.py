"""Provenance of a result, as the page shows it."""

from collections.abc import Mapping
from typing import Any

from platonic_jax import _html
from platonic_jax.analyses import plain
from platonic_jax.report._part import plain as setting
from platonic_jax.report._part import plain_settings
from platonic_jax.report._texts import many, measure_text

__all__ = ["provenance"]


def provenance(result: Any) -> str:
    """Describe where the numbers of a result come from: the run, its settings, the structures left out, the models."""
    run, settings = plain(result.provenance), plain(getattr(result, "settings", {}))
    stores = run.get("stores", {})
    models = "".join(_store(name, store, is_open=i == 0) for i, (name, store) in enumerate(stores.items()))
    left_out = run.get("left_out", {})
    reasons = ((_html.text(i), _html.text(why)) for i, why in left_out.items())
    missing = (
        f"<h3>Structures left out</h3><p>{many(len(left_out), 'structure')} that some model could not take: left out "
        "for all of them.</p>"
        "<details><summary>Which, and "
        f"why</summary>{_html.table(['structure', 'reason'], reasons)}</details>"
        if left_out
        else ""
    )
    known = ("stores", "left_out", "packages")
    facts = [
        (name.removeprefix("num_").replace("_", " "), _html.text(setting(value)))
        for name, value in run.items()
        if name not in known and name != "subsampling"
    ]
    facts += [
        (f"subsampling: {measure_text(name).title.lower()}", _html.text(setting(value)))
        for name, value in run.get("subsampling", {}).items()
    ]
    facts.append(("packages", _html.text(setting(run.get("packages", {})))))
    described = f"<h3>Models</h3>{models}" if models else ""
    return f"<h3>This run</h3>{plain_settings(settings)}{_html.facts(facts)}{missing}{described}"


def _store(name: str, store: Mapping[str, Any], *, is_open: bool) -> str:
    layer = store.get("layer", "")
    described = (store.get("layers") or {}).get(layer, {})
    shown = {"model", "layer", "layers", "checkpoint", "self_test", "packages", "random_weights"}
    layers = {"default_layer", "paper_layer", "available_layers"}
    hidden = shown | layers | {"schema", "complete", "block_rows", "batch_atoms"}
    checkpoint = store.get("checkpoint") or {}
    facts = [
        ("name", _html.text(store.get("model", ""))),
        (
            "weights",
            '<span class="tag">random weights</span> re-drawn, never trained' if store.get("random_weights") else "",
        ),
        ("layer", _html.text(": ".join(filter(None, (layer, setting(described)))))),
        ("checkpoint", _html.text(checkpoint.get("name", ""))),
        ("SHA-256", f"<code>{_html.text(checkpoint['sha256'])}</code>" if "sha256" in checkpoint else ""),
        *((name.replace("_", " "), _html.text(setting(value))) for name, value in store.items() if name not in hidden),
        ("packages", _html.text(setting(store.get("packages")))),
        ("self-test", _html.text(_self_test(store.get("self_test") or {}))),
    ]
    return f"<details{' open' if is_open else ''}><summary>{_html.text(name)}</summary>{_html.facts(facts)}</details>"


def _self_test(test: Mapping[str, Any]) -> str:
    """Deviations of the embeddings from physical symmetries."""
    changes = [f"{name.replace('_', ' ')} {value:.1e}" for name, value in test.items() if isinstance(value, float)]
    on = f"; on {', '.join(test['structures'])}" if "structures" in test else ""
    return f"largest relative change under {', '.join(changes)}{on}" if changes else ""
