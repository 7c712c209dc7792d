"""The texts of XML documents: where they stand, and one replaced without touching anything else."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Request
from replay.carry import carried_values, replace_values
from replay.place import Place, shape_of
from replay.xml_leaves import splice_xml, xml_leaves

SOAP = (
    b'<?xml version="1.0"?>\n<s:Envelope xmlns:s="u">\n <s:Body><Get id=\'7\'>\n'
    b"  <Session>o&amp;ld</Session><Session>b</Session><Empty/><Raw><![CDATA[x<y]]></Raw></Get></s:Body></s:Envelope>"
)
SESSION = Place("xml", ("Envelope", "Body", 0, "Get", 0, "Session", 0))


def test_elements_that_hold_text_alone_and_attributes_are_leaves() -> None:
    assert [(leaf.place.text(), leaf.text) for leaf in xml_leaves(SOAP)] == [
        ("xml:Envelope:Body:0:Get:0:@id", "7"),
        ("xml:Envelope:Body:0:Get:0:Session:0", "o&ld"),
        ("xml:Envelope:Body:0:Get:0:Session:1", "b"),
        ("xml:Envelope:Body:0:Get:0:Raw:0", "x<y"),
    ]


def test_one_text_is_replaced_and_every_other_byte_stays() -> None:
    assert splice_xml(SOAP, {SESSION: "n<é"}) == SOAP.replace(b"o&amp;ld", b"n&lt;&#233;")
    assert splice_xml(SOAP, {Place("xml", ("Envelope",)): "x"}) == SOAP


@pytest.mark.parametrize(
    "document", [b"", b"<a>", b"<a>1</b>", b"\xff\xfe<", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>']
)
def test_what_is_broken_or_declares_entities_has_no_leaves(document: bytes) -> None:
    assert xml_leaves(document) == []


def test_depth_and_number_of_leaves_are_bounded() -> None:
    assert xml_leaves(b"<a>" * 100 + b"1" + b"</a>" * 100) == []
    assert len(xml_leaves(b"<a>" + b"<b>1</b>" * 6000 + b"</a>")) == 5000


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).filter(str.strip))
def test_a_replaced_text_reads_back(text: str) -> None:
    (leaf,) = [leaf for leaf in xml_leaves(splice_xml(SOAP, {SESSION: text})) if leaf.place == SESSION]
    assert leaf.text == text


@given(st.binary(max_size=200))
def test_garbage_never_raises(garbage: bytes) -> None:
    xml_leaves(garbage)
    assert splice_xml(garbage, {}) == garbage


def test_rows_of_one_element_have_one_shape() -> None:
    rows = [leaf.place for leaf in xml_leaves(b"<L><I><Id>1</Id></I><I><Id>2</Id></I></L>")]
    assert len({shape_of(place) for place in rows}) == 1


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_a_request_carries_xml_and_its_length_follows(coding: str | None) -> None:
    body = SOAP if coding is None else gzip.compress(SOAP)
    headers = (("Content-Type", "text/xml"), ("Content-Length", str(len(body))))
    if coding is not None:
        headers += (("Content-Encoding", coding),)
    request = Request("POST", "/", "HTTP/1.1", headers, body, len(body))
    assert (SESSION, "o&ld") in carried_values(request)
    changed = replace_values(request, {SESSION: ("o&ld", "brand-new")})
    plain = changed.body if coding is None else gzip.decompress(changed.body or b"")
    assert plain == SOAP.replace(b"o&amp;ld", b"brand-new")
    assert changed.headers[1] == ("Content-Length", str(len(changed.body or b"")))
