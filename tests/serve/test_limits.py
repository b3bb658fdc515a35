"""Names, tokens and numbers of connections."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from deepen.core.errors import OptionError
from deepen.serve.limits import ServeOptions, allowed_hosts, host_of, is_loopback, token_of


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8000", "localhost"),
        ("[::1]:8", "::1"),
        ("localhost.", "localhost"),
        ("localhost:", "localhost"),
        ("localhost:x", ""),
        ("[::1", ""),
        ("[::1]x", ""),
        ("a:b:c", ""),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(header, name):
    assert host_of(header) == name


def test_own_names_and_those_that_are_added():
    assert allowed_hosts(ServeOptions()) == {"localhost", "127.0.0.1", "::1"}
    assert "photos.example" in allowed_hosts(ServeOptions(host="0.0.0.0", allowed_hosts=("Photos.Example.",)))
    assert "0.0.0.0" not in allowed_hosts(ServeOptions(host="0.0.0.0"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org"])
def test_addresses_that_others_reach_need_a_token(host, monkeypatch):
    monkeypatch.delenv("DEEPEN_TOKEN", raising=False)
    assert not is_loopback(host)
    token, is_made_up = token_of(ServeOptions(host=host))
    assert is_made_up and len(token) >= 32 and token != token_of(ServeOptions(host=host))[0]
    assert token_of(ServeOptions()) == ("", False)


def test_a_token_is_given_or_stands_in_the_environment(monkeypatch):
    monkeypatch.setenv("DEEPEN_TOKEN", "from the environment".replace(" ", "-"))
    assert token_of(ServeOptions()) == ("from-the-environment", False)
    assert token_of(ServeOptions(token="x" * 16)) == ("x" * 16, False)
    for bad in ("short", "x" * 15, "with a blank in it", "n\u00e4chstes-token-hier"):
        with pytest.raises(OptionError, match="at least 16"):
            token_of(ServeOptions(token=bad))


@pytest.mark.parametrize(("limit", "wanted", "possible"), [(256, 50, 50), (256, 1000, 208), (40, 10, 1)])
def test_there_are_no_more_connections_than_descriptors(limit, wanted, possible):
    """In a process of its own: a hard limit that is lowered stays so."""
    code = (
        "import resource; from deepen.serve.limits import connections_possible; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit})); print(connections_possible({wanted}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) == possible
