"""Errors by their cause: each message is one sentence that says what is wrong, where, and what to do."""


class UserError(ValueError):
    """A mistake in what the user gave: one sentence on stderr, exit code 2, nothing half-written."""


class InputError(UserError):
    """Structures that cannot be read, or that make no physical sense."""


class StoreError(UserError):
    """A store that is absent, incomplete, newer than this reader, damaged, or made from something else."""


class DamagedStoreError(StoreError):
    """A store of which something was changed or lost on the disk."""


class StoreWarning(UserWarning):
    """A store that can be read, but not trusted as far as others."""


class UnknownModelError(UserError):
    """A model name that is not in the registry."""


class ExportError(RuntimeError):
    """A failure that is not the user's mistake: the model, the memory or the making of an environment; exit code 1."""


class DownloadError(ExportError):
    """A checkpoint that must be downloaded and could not be."""

    def __init__(self, model: str, file: str, publisher: str, form: str, cause: BaseException | str) -> None:
        """Say which file is wanted, from whom, and how to give it by hand.

        Args:
            model: full name.
            file: name of the checkpoint file.
            publisher: who publishes it, where.
            form: how its path is passed, such as `mace:PATH`.
            cause: what went wrong.
        """
        while isinstance(cause, BaseException) and cause.__cause__ is not None:
            cause = cause.__cause__
        # The arguments are the error's own, as text, so that it travels between processes.
        super().__init__(model, file, publisher, form, cause if isinstance(cause, str) else first_line(cause))

    def __str__(self) -> str:
        """The sentence."""
        model, file, publisher, form, cause = self.args
        return (
            f"{model} needs `{file}`, published by {publisher}, which could not be downloaded ({cause});"
            f" fetch it elsewhere and pass it as `{form}`."
        )


def first_line(error: BaseException) -> str:
    """Shorten another library's error message to part of a sentence."""
    text = str(error).strip().split("\n")[0][:160].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
