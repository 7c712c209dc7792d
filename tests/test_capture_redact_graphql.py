"""Documents of GraphQL stay documents, and the variables that are given to secret arguments are secrets."""

from __future__ import annotations

import json

import pytest

from capture.exchange import Request
from capture.redact.graphql import is_document, secret_variables
from tests.support.redaction import JSON, asked, through

LOGIN = """
  mutation Login($user: String!, $p: String!, $token: [ID!]!) {
    login(name: $user, password: $p, token: $token) { accessToken: token session: current { id } }
  }
"""
SECRET = "hunter22x"


def body_of(request: Request) -> dict[str, object]:
    found = json.loads(request.body or b"")
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("document_first", [True, False])
def test_a_document_is_kept_and_the_variables_of_its_secret_arguments_are_replaced(document_first: bool) -> None:
    variables = {"user": "anna", "p": SECRET, "token": ["t0ken-t0ken-1"]}
    names = ("query", "variables") if document_first else ("variables", "query")
    sent = dict(zip(names, (LOGIN, variables) if document_first else (variables, LOGIN), strict=True))
    record = through(asked("/graphql", JSON, body=sent))
    made = body_of(record.request)
    assert made["query"] == LOGIN
    kept = made["variables"]
    assert isinstance(kept, dict)
    assert kept["user"] == "anna"
    assert len(kept["p"]) == len(SECRET)
    assert SECRET not in str(made)
    assert "t0ken" not in str(made)
    assert sorted(record.redacted) == ["request.json:$['variables']['p']", "request.json:$['variables']['token'][0]"]


def test_the_same_holds_in_a_batch_and_of_a_number() -> None:
    one = {"query": "mutation($n: Int!) { verify(otp: $n) { ok } }", "variables": {"n": 48213, "m": 1}}
    request = through(asked("/graphql", JSON, body=json.dumps([one, one]))).request
    made = json.loads(request.body or b"")
    assert [part["query"] for part in made] == [one["query"]] * 2
    assert made[0]["variables"] == made[1]["variables"]
    assert made[0]["variables"]["n"] != 48213
    assert made[0]["variables"]["m"] == 1


def test_a_variable_of_that_name_elsewhere_is_none() -> None:
    sent = {
        "query": "mutation($p: String!) { login(password: $p) { ok } }",
        "p": "a-page",
        "variables": {"x": {"p": 1}},
    }
    assert body_of(through(asked("/graphql", JSON, body=sent)).request) == sent


def test_what_is_quoted_in_a_document_is_still_replaced() -> None:
    sent = {"query": 'mutation { login(user: "anna", password: "' + SECRET + '", pin: 48213) { ok } }'}
    text = str(body_of(through(asked("/graphql", JSON, body=sent)).request)["query"])
    assert SECRET not in text
    assert "48213" not in text
    assert text.startswith('mutation { login(user: "anna", password: "')


@pytest.mark.parametrize(
    "text",
    [f"query {{a}} password: {SECRET}", f"query (a) {{ password={SECRET} }}", f"{{ password: {SECRET} }}"],
)
def test_other_texts_are_no_documents_and_lose_their_secrets(text: str) -> None:
    assert SECRET not in str(body_of(through(asked("/graphql", JSON, body={"query": text})).request))


def test_documents_are_told_by_their_beginning_and_their_end() -> None:
    for text in (LOGIN, "query { a }", "subscription S @live { a }", "fragment F on T { a }\nquery Q { ...F }"):
        assert is_document(text)
    for text in (
        "",
        "{ a }",
        "query",
        "query { a",
        "query: { a }",
        "querying { a }",
        "query { a }}",
        "mutation (a { b }",
    ):
        assert not is_document(text)


def test_variables_of_secret_arguments_are_found_however_it_is_written() -> None:
    def secret(text: str) -> frozenset[str]:
        return secret_variables(text, lambda name: name in ("password", "token"))

    assert secret("login(password:$p, token : $t_2, user: $u)") == {"p", "t_2"}
    assert secret('{"password": "$p", "cost": "token:9"}') == frozenset()
