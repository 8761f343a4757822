"""Secrets do not reach what is written."""

from __future__ import annotations

import json

import pytest

from nin_exp.cli.main import main
from nin_exp.records.redact import redact, redact_text

SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"api_key={SECRET}",
        f"logger.wandb.api_key={SECRET}",
        f"API_KEY = {SECRET} and more",
        f"token: {SECRET}",
        f"--password={SECRET}",
        f"password='{SECRET} {SECRET}'",
        f'"secret": "{SECRET}, {SECRET}"',
        f"{{api_key:{SECRET},other:1}}",
        f"aws_secret_access_key={SECRET}",
        f"https://{SECRET}@example.org/x",
        f"postgresql://me:{SECRET}@host:5432/db",
        f"postgresql://host/db?user=me&password={SECRET}&sslmode=on",
    ],
)
def test_secrets_in_a_text(text: str) -> None:
    assert SECRET not in redact_text(text)
    assert "[redacted]" in redact_text(text)


@pytest.mark.parametrize(
    "text",
    ["head=gap seeds=3", "max_tokens=5", "tokenizer=words", "git@example.org:me/x", "/home/token/x", "me@example.org"],
)
def test_other_text_stays(text: str) -> None:
    assert redact_text(text) == text


def test_secrets_in_a_configuration() -> None:
    values = {"logger": {"x": {"api_key": SECRET, "tags": [f"https://{SECRET}@host"], "token": None}}, "key": "kept"}
    shown = redact(values)
    assert SECRET not in json.dumps(shown)
    assert shown["key"] == "kept"
    assert shown["logger"]["x"]["token"] is None, "that there is none is no secret"


@pytest.mark.usefixtures("in_tmp")
@pytest.mark.parametrize("flags", [[], ["--resolve"], ["--json"]])
def test_the_printed_configuration(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    storage = f"tune.storage=postgresql://me:{SECRET}@host/db"
    assert main(["train", "--cfg", "job", storage, *flags]) == 0
    printed = capsys.readouterr().out
    assert SECRET not in printed
    assert "[redacted]@host/db" in printed
