"""What single values of header fields say."""

from __future__ import annotations

from diff.header_grammar import meaning


def test_a_field_without_a_known_grammar_says_its_value() -> None:
    assert meaning("x-anything", " a, b ") == "a, b"


def test_a_challenge_is_its_scheme_and_its_parameters_without_the_value_of_a_nonce() -> None:
    assert meaning("www-authenticate", 'Digest Realm="a", NONCE="x", qop="auth,auth-int", Basic') == frozenset(
        {
            ("digest", frozenset({("realm", "a"), ("nonce", "(anew)"), ("qop", "auth,auth-int")})),
            ("basic", frozenset()),
        }
    )


def test_what_is_no_challenge_is_compared_as_it_is() -> None:
    assert meaning("www-authenticate", '="x"') == '="x"'


def test_an_inner_list_may_have_commas_and_an_unclosed_one_ends_with_the_value() -> None:
    assert meaning("permissions-policy", "a=(x,y), b=*") == frozenset(
        {("a", frozenset({"x,y"})), ("b", frozenset({"*"}))}
    )
    assert meaning("permissions-policy", "a=(x, b=*") == frozenset({("a", frozenset({"x,b=*"}))})
