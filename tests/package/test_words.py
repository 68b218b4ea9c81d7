"""The project's words: first lines of docstrings, names of local variables, and help texts."""

import argparse
import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from platonic_jax.cli import _parser

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("platonic_jax", "adapters") for path in (ROOT / folder).rglob("*.py"))

# A docstring begins with a verb or a noun phrase.
OPENERS = {"What", "How", "Who", "Whose", "Which", "Where", "Whether", "When", "Does", "Is", "Why"}
# A local variable is named after what it holds.
LOCALS = {"of", "found", "told", "said", "judged", "whose", "made"}
# Terms for which the field has another one.
TERMS = (
    r"clouds?",
    r"rows",
    r"judged?|judges|judging",
    r"strange",
    r"turned|shifted|reordered|repeated",
    r"err by|errs? by|forces off by",
    r"who knows|knows|understands?|sees?|tells?|foresees?",
    r"by chance|chance model|chance gives|chance chooses",
    r"read-outs?",
    r"borrowed|curved|merging|merged",
    r"collapsed|confused|ruler",
    r"beside|anew|lest|midst|mended|parted|throw of dice|for want of",
    r"the atypical|swap",
    r"house|rooms|floors",
)
# The same in documents.
PROSE = (
    r"kin|likeness|alike",
    r"chance|shuffled?|shuffling",
    r"moved|moves",
    r"re-drawn|organised|what it has|whatever|whoever",
    r"of (?:one's|its|their) own",
    r"goes on|go on|comes? out|had again",
    r"said|says",
)
# Uses of these words that documents may make: of zarr and of tables, of HTML, of Python, and of other projects.
OTHER_USES = (
    r"\brows?\b",
    r"point clouds",
    r"\bsee (?:below|\*Changed\*)",
    r"1 − disparity: see",
    r"(?:will be|is|are|again|step) repeated|repeated training|are merged",
    r"learnt",
    r"(?:standard and|an encoder) of one's own",
)
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "platonic_jax/README.md", "adapters/README.md")),
    *sorted(path for path in (ROOT / "notebooks").rglob("*.md") if "results" not in path.parts),
]


@functools.cache
def parsed(source: str) -> ast.Module:
    """Syntax tree of a module."""
    return ast.parse(source)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """First lines of all docstrings of a module, with the line of their owner."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text.partition("\n")[0]


def local_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Names that functions and lambdas bind: parameters, assignments, targets of loops and comprehensions."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    for function in ast.walk(tree):
        if isinstance(function, functions):
            for node in ast.walk(function):
                if isinstance(node, ast.arg):
                    yield node.lineno, node.arg
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.lineno, node.id


def questions(source: str) -> list[tuple[int, str]]:
    """Docstrings that begin with a question or a clause."""
    return [(line, text) for line, text in docstrings(parsed(source)) if re.split(r"\W", text)[0] in OPENERS]


def vague_names(source: str) -> list[tuple[int, str]]:
    """Local variables with a forbidden name."""
    return sorted({(line, name) for line, name in local_names(parsed(source)) if name in LOCALS})


def home_made(text: str) -> list[str]:
    """Terms of a text for which the field has another one."""
    return [match[0] for term in TERMS for match in re.finditer(rf"\b(?:{term})\b", text, re.IGNORECASE)]


def prose(text: str) -> str:
    """A document without blocks of code, names in backticks and addresses; lines stay where they are."""
    text = re.sub(r"^```.*?^```|^ {4}.*?$", lambda match: "\n" * match[0].count("\n"), text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`|\]\([^)\n]*\)|\{[^}\n]*\}|https?://\S+", "", text)


def home_made_in(path: Path) -> list[tuple[int, list[str]]]:
    """Lines of a document with terms for which the field has another one."""
    pattern = re.compile("|".join(rf"\b(?:{term})\b" for term in (*TERMS, *PROSE)), re.IGNORECASE)
    other = re.compile("|".join(OTHER_USES), re.IGNORECASE)
    lines = enumerate(prose(path.read_text("utf-8")).splitlines(), 1)
    return [(i, words) for i, line in lines if (words := pattern.findall(other.sub("", line)))]


def helps() -> list[tuple[str, str]]:
    """Descriptions and help texts of all commands, by command and argument."""
    texts = []
    for name, command in _parser().get_default("parsers").items():
        texts.append((name, command.description))
        for action in command._actions:
            if action.help and action.help != argparse.SUPPRESS:
                texts.append((f"{name} {'/'.join(action.option_strings) or action.dest}", action.help))
    return texts


def test_docstrings_begin_with_a_verb_or_a_noun():
    assert not {str(path.relative_to(ROOT)): bad for path in FILES if (bad := questions(path.read_text("utf-8")))}


def test_local_variables_are_named_after_what_they_hold():
    assert not {str(path.relative_to(ROOT)): bad for path in FILES if (bad := vague_names(path.read_text("utf-8")))}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_use_the_terms_of_the_field(path):
    assert not home_made_in(path)


def test_the_check_of_documents_can_fail(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("Fine: `rows` and `made_cloud`.\n\n```sh\nclouds\n```\n\nThe house knows it by chance.\n")
    assert home_made_in(path) == [(7, ["house", "knows", "by chance"])]


def test_help_texts_use_the_terms_of_the_field():
    assert not {place: bad for place, text in helps() if (bad := home_made(text))}


def test_help_texts_make_sense_alone():
    fragments = re.compile(r"(of|in|to|by|from|for|with|whose|which|that) (?!an expression|polymorphs|reactions)", re.I)
    assert not [(place, text) for place, text in helps() if fragments.match(text)]


def test_the_map_of_commands_uses_the_terms_of_the_field():
    from platonic_jax.cli import COMMANDS

    assert not home_made(" ".join(module.TASK for module in COMMANDS.values()))


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (questions, '"""How far models agree."""'),
        (questions, 'def f():\n    """Whether\n    all is well.\n    """'),
        (vague_names, "def f():\n    found = 1\n    return found"),
        (vague_names, "def f(told):\n    return told"),
        (vague_names, "def f(x):\n    return [of for of in x]"),
        (home_made, "whether the read-out is turned"),
    ],
)
def test_the_checks_can_fail(check, text):
    assert check(text)
    assert not check(
        "def f(x):\n    '''Return the result of x, found in a table.'''\n    made_of = x\n    return made_of"
    )
