"""What can go wrong, by whose hand: each message is one sentence that names what, where and what to do."""


class UserError(ValueError):
    """A mistake in what the user gave: one sentence on stderr, exit code 2, nothing half-written."""


class InputError(UserError):
    """Structures that cannot be read, or that make no physical sense."""


class StoreError(UserError):
    """A store that is absent, incomplete, newer than this reader, damaged, or made from something else."""


class UnknownModelError(UserError):
    """A model name that the registry does not know."""


class ExportError(RuntimeError):
    """A failure that is not the user's mistake: the model, the memory or the making of an environment; exit code 1."""
