"""Extensions of Griffe for the reference: `Example:` in docstrings, and names of packages that import lazily."""

import importlib
from typing import Any

from griffe import Extension, Module, Object


class Examples(Extension):
    """Heads examples as Griffe reads them, and exports the names of stubs."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the heading in the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:
        """Export what a package lists in its stub, which it attaches at import."""
        for module in pkg.modules.values():
            if "lazy_loader" in module.members:
                module.exports = list(importlib.import_module(module.path).__all__)
