"""The server: who does not know the token, or comes from another site, learns nothing."""

from __future__ import annotations

import http.client
import json
import socket

import pytest

from pipelines.cli import main
from pipelines.explorer.server import MOST_FIELDS, POLICY, Explorer


@pytest.fixture(scope="module")
def explorer(api):
    with Explorer(api) as started:
        yield started


def get(explorer, path, method="GET", **headers):
    """Return status, headers and body of a raw request."""
    connection = http.client.HTTPConnection("127.0.0.1", explorer.port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_with_the_token_there_is_a_page(explorer):
    status, headers, body = get(explorer, f"/{explorer.token}/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"InfiMM explorer" in body


@pytest.mark.parametrize("path", ["/", "/api/build", "/x/api/build", "/%2e%2e/", "/{token}", "/{token}x/"])
def test_without_the_token_there_is_nothing(path, explorer):
    status, _, body = get(explorer, path.format(token=explorer.token))
    assert status == 403
    assert explorer.token.encode() not in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""])
def test_a_name_bound_to_this_address_by_another_site_is_refused(host, explorer):
    status, _, body = get(explorer, f"/{explorer.token}/api/build", Host=host.format(port=explorer.port))
    assert status == 421
    assert b"documents" not in body


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_a_page_of_another_site_may_not_ask(site, status, explorer):
    found, _, _ = get(explorer, f"/{explorer.token}/api/build", **{"Sec-Fetch-Site": site})
    assert found == status


@pytest.mark.parametrize("path", ["/{token}/", "/{token}/api/build", "/nothing", "/{token}/api/image/999999"])
def test_every_answer_forbids_what_a_hostile_page_would_want(path, explorer):
    _, headers, _ = get(explorer, path.format(token=explorer.token))
    assert headers["Content-Security-Policy"] == POLICY
    assert "'unsafe" not in POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(method, explorer):
    assert get(explorer, f"/{explorer.token}/api/build", method)[0] == 501


def test_more_fields_than_a_page_sends_are_refused(explorer):
    status, _, body = get(explorer, f"/{explorer.token}/api/recount?{'&'.join(['change=a'] * 1_000)}")
    assert (status, body) == (400, f"a question has at most {MOST_FIELDS} fields\n".encode())


def test_a_fault_of_ours_is_an_answer_too(explorer, api, monkeypatch, caplog):
    def fails(path, query):
        raise RuntimeError("made to fail")

    monkeypatch.setattr(api, "answer", fails)
    status, _, body = get(explorer, f"/{explorer.token}/api/build")
    assert status == 500
    assert "the server failed" in json.loads(body)["problem"]
    assert "made to fail" in caplog.text


def test_it_listens_on_the_loopback_address_alone(explorer):
    assert explorer._server.server_address[0] == "127.0.0.1"
    own = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {
        "127.0.0.1",
        "127.0.1.1",
    }
    for address in own:
        with pytest.raises(OSError):
            socket.create_connection((address, explorer.port), timeout=2)


def test_two_servers_have_different_tokens(api):
    with Explorer(api) as one, Explorer(api) as other:
        assert one.token != other.token
        assert len(one.token) >= 32


def test_an_answer_is_what_was_asked(explorer):
    status, headers, body = get(explorer, f"/{explorer.token}/api/build")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body)["documents"] == 24


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{first}", "--port", "70000"], "--port 70000: expected 0 to 65535"),
        (["{first}", "--port", "{taken}"], "leave it out for a free one"),
        (["{first}", "--train", "absent.yaml"], "absent.yaml"),
        (["{empty}"], "no recipe.yaml there"),
    ],
)
def test_a_wrong_call_is_said_in_one_line(arguments, said, first, tmp_path, explorer, capsys):
    given = [one.format(first=first, empty=tmp_path, taken=explorer.port) for one in arguments]
    assert main(["explore", *given]) == 2
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1
