"""Messages on a terminal."""

import sys
import unicodedata

__all__ = ["printable", "say"]


def say(text: str) -> None:
    """One line for a person, on stderr."""
    sys.stderr.write(f"platonic: {printable(text)}\n")
    sys.stderr.flush()


def printable(text: str) -> str:
    """Write out what could steer a terminal: control characters, and those that change the direction of text.

    Every word that goes to a terminal passes here: names of structures and files are not ours.
    """
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else repr(letter)[1:-1]
        for letter in text
    )
