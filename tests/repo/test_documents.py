"""What the files say: no word of one machine, no link that leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

# In pieces, so that this file does not hold them.
FORBIDDEN = [
    re.compile(pattern)
    for pattern in (
        r"(?<![\w.~-])/" + r"work/",
        r"(?<![\w.~-])/" + r"opt/",
        r"/tmp/" + r"brief",
        r"/tmp/" + r"nin_data",
        r"(?<![\w.~-])/" + r"root/",
        r"pypi\." + r"org",
        r"python" + r"hosted\.org",
        r"registry\." + r"npmjs",
        r"conda\." + r"anaconda\.org",
    )
]
LINK = re.compile(
    r"(?<!!)\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)|!\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)|\b(?:src|href)=\"([^\"]+)\""
)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)


def read_text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None  # an image, an archive


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The ids that GitHub gives to headings, and those set by hand."""
    found: set[str] = set(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = sum(known == slug or re.fullmatch(re.escape(slug) + r"-\d+", known) is not None for known in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def broken_links(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    broken = []
    for groups in LINK.findall(without_code(text)):
        link = next(group for group in groups if group)
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = file.parent / path if path else file
        is_page = target.suffix == ".md" and target.is_file()
        if not target.exists() or (anchor and is_page and anchor not in anchors(target.read_text("utf-8"))):
            broken.append(link)
    return broken


def test_no_word_of_one_machine(repo_files, root):
    found = [
        f"{file.relative_to(root)}:{number} {match.group()}"
        for file in repo_files
        if file.suffix != ".lock" and (text := read_text(file)) is not None
        for number, line in enumerate(text.splitlines(), 1)
        for pattern in FORBIDDEN
        if (match := pattern.search(line))
    ]
    assert found == []


def test_links_in_documents_lead_somewhere(repo_files, root):
    documents = [p for p in repo_files if p.suffix == ".md"]
    assert root / "CONTRIBUTING.md" in documents
    broken = {str(p.relative_to(root)): links for p in documents if (links := broken_links(p))}
    assert broken == {}


def test_scripts_named_in_documents_exist(repo_files, root):
    named = {
        name
        for file in repo_files
        if file.suffix == ".md"
        for name in re.findall(r"(?<![\w/.-])((?:scripts|\.ci)/[\w./-]*\w)", file.read_text(encoding="utf-8"))
    }
    assert {"scripts/test", "scripts/quickstart"} <= named
    assert {name for name in named if not (root / name).exists()} == set()


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("[a](there.md)", []),
        ("[a](there.md#one-heading)", []),
        ("[a](#here--now)", []),
        ("[a](gone.md)", ["gone.md"]),
        ("![a](gone.png)", ["gone.png"]),
        ("[a](there.md#none)", ["there.md#none"]),
        ("`[a](gone.md)` and [b](https://example.com/x)", []),
    ],
)
def test_link_check_itself(tmp_path, line, broken):
    (tmp_path / "there.md").write_text("# One heading\n")
    file = tmp_path / "page.md"
    file.write_text(f"## Here & now\n{line}\n")
    assert broken_links(file) == broken
