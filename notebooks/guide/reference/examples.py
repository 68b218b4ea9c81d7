"""For the reference: what our docstrings head with `Example:` is what Griffe knows as `Examples:`."""

from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Heads examples as Griffe reads them."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the heading in the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
