"""Certificates and secret headers: where they come from, and that they go nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.scoring import ClientConfig
from client.wire.security import Security, SecurityError, headers_from, read_headers


def test_headers_are_read_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    """Names in lower case, as gRPC needs them; comments and empty lines are skipped."""
    file = tmp_path / "headers"
    file.write_text("# ours\n\nAuthorization: Bearer a:b c\n")
    expected = (("authorization", "Bearer a:b c"), ("key", "x"))
    assert headers_from(file, "key: x") == expected
    assert headers_from(None, None) == ()


def test_a_wrong_line_is_told_by_its_number_and_never_by_its_content() -> None:
    """A secret with a typo is still a secret."""
    with pytest.raises(SecurityError, match="secrets, line 2: expected NAME: VALUE") as caught:
        read_headers("a: b\nhunter2\n", "secrets")
    assert "hunter2" not in str(caught.value)


def test_no_secret_shows_in_a_configuration_that_is_printed() -> None:
    """Logs and tracebacks print such things."""
    config = ClientConfig(("localhost:1",), security=Security(headers=(("authorization", "hunter2"),)))
    assert "hunter2" not in repr(config)


def test_a_bearer_token_does_not_leave_this_machine_in_plaintext() -> None:
    secret = Security(headers=(("authorization", "Bearer x"),))
    with pytest.raises(SecurityError, match="gpu1:8001 in plaintext: give --tls-ca"):
        secret.check_address("gpu1:8001")
    secret.check_address("localhost:8001")
    Security(tls_ca="system", headers=secret.headers).check_address("gpu1:8001")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tls_ca": "x", "tls_cert": Path("c")}, "--tls-cert and --tls-key"),
        ({"tls_cert": Path("c"), "tls_key": Path("k")}, "give --tls-ca"),
    ],
)
def test_what_does_not_belong_together_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(SecurityError, match=words):
        Security(**values)  # type: ignore[arg-type]


def test_a_file_that_is_missing_or_no_certificate_is_named_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(SecurityError, match=r"--tls-ca .*nowhere can't be read"):
        Security(tls_ca=str(tmp_path / "nowhere")).certificates()
    text = tmp_path / "text"
    text.write_text("hello")
    with pytest.raises(SecurityError, match=r"--tls-ca .*text is no PEM file"):
        Security(tls_ca=str(text)).certificates()
    with pytest.raises(SecurityError, match=r"--header-file .*nowhere can't be read"):
        headers_from(tmp_path / "nowhere", None)
