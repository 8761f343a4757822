"""Nothing in the pages hides from the tests: each block has a known language, each command a known program."""

from __future__ import annotations

import re
import shlex

import pytest

from nin_exp.cli.main import VERBS, main

LANGUAGES = {"sh", "bash", "shell", "console", "text", "python", "mermaid", ""}


def test_every_fence_is_read(blocks) -> None:
    assert {block.language for block in blocks} <= LANGUAGES
    assert {"README.md", "CONTRIBUTING.md", "docs/inference.md", "docs/tutorials/own_images.ipynb"} <= {
        block.page for block in blocks
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```sh\nnin-exp ls  # all\n# a remark\n```", ["nin-exp ls"]),
        ("```text\nnin-exp best STUDY     the best; of all\nruns/\n  nin-exp-like/\n```", ["nin-exp best STUDY"]),
        ("- a list\n\n  ~~~\n  $ nin-exp ls \\\n    --json\n  ~~~", ["nin-exp ls --json"]),
        ("a\n\n    nin-exp ls\n", ["nin-exp ls"]),
        ("```text\nscripts/test --all\npip install nin-exp\n```", ["scripts/test --all", "pip install nin-exp"]),
        ("```python\nimport nin_exp\n```", []),
    ],
)  # fmt: skip
def test_where_commands_are_found(parse_page, text, expected) -> None:
    blocks, _ = parse_page("page.md", text)
    assert [" ".join(line.split()) for block in blocks for line in block.commands()] == expected


def flags_of(verb: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The flags that a verb's help names; none for what is no verb."""
    if verb not in VERBS:
        return set()
    with pytest.raises(SystemExit, match="0"):
        main([verb, "--help"])
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", capsys.readouterr().out))


def test_commands_inside_lines_have_a_known_verb_and_known_flags(commands, inline_code, capsys) -> None:
    """They are not run: many name no run and no data. What they are made of must be there."""
    found = [(page, shlex.split(code)) for page, code in (*inline_code, *commands) if code.startswith("nin-exp ")]
    assert len(found) > 60
    known = {verb: flags_of(verb, capsys) for verb in {words[1] for _, words in found}}
    wrong = []
    for page, (_, verb, *words) in found:
        if verb not in ("--help", "--version", "VERB"):
            unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known[verb]]
            wrong += [(page, verb, word) for word in (unknown if known[verb] else [verb])]
    assert wrong == []
