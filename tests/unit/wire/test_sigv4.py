"""Signatures: AWS's published examples, a second signer, and a great many requests that must not pass."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import Unauthenticated
from headwater.wire import sigv4
from headwater.wire.sigv4 import Scope, canonical_request, instant, sign, signature, signing_key, verify

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
NOW_NS = int(datetime(2015, 8, 30, 12, 36, 0, tzinfo=UTC).timestamp()) * 10**9
SUITE = Scope("20150830", "us-east-1", "service")
DATE = "20150830T123600Z"
HOST = ("host", b"example.amazonaws.com")
STAMP = ("x-amz-date", DATE.encode())

# Source: AWS's Signature Version 4 test suite (aws-sig-v4-test-suite); names are those of the suite.
VECTORS = [
    (
        "get-vanilla",
        ("GET", "/", "", [HOST, STAMP], EMPTY),
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "post-vanilla",
        ("POST", "/", "", [HOST, STAMP], EMPTY),
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    (
        "get-vanilla-query-order-key-case",
        ("GET", "/", "Param1=value1&Param2=value2", [HOST, STAMP], EMPTY),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-header-value-trim",
        ("GET", "/", "", [HOST, ("my-header1", b" value1"), ("my-header2", b' "a   b   c"'), STAMP], EMPTY),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "post-header-key-sort",
        ("POST", "/", "", [HOST, ("my-header1", b"value1"), STAMP], EMPTY),
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    (
        "post-x-www-form-urlencoded",
        (
            "POST",
            "/",
            "",
            [("content-type", b"application/x-www-form-urlencoded"), HOST, STAMP],
            "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
        ),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
]


@pytest.mark.parametrize(("request_parts", "expected"), [v[1:] for v in VECTORS], ids=[v[0] for v in VECTORS])
def test_published_vectors(request_parts, expected):
    assert signature(SECRET, DATE, SUITE, canonical_request(*request_parts)) == expected


def test_published_example_of_the_developer_guide():
    """ListUsers of IAM. Source: AWS General Reference, "Examples of the complete Version 4 signing process"."""
    scope = Scope("20150830", "us-east-1", "iam")
    headers = [
        ("content-type", b"application/x-www-form-urlencoded; charset=utf-8"),
        ("host", b"iam.amazonaws.com"),
        STAMP,
    ]
    canonical = canonical_request("GET", "/", "Action=ListUsers&Version=2010-05-08", headers, EMPTY)
    assert signing_key(SECRET, scope).hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    assert (
        signature(SECRET, DATE, scope, canonical) == "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


HEADERS = {
    "Host": "ingest.timestream.us-east-1.amazonaws.com",
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "Timestream_20181101.WriteRecords",
}
BODY = b'{"DatabaseName":"d"}'


def encoded(headers):
    return [(name.encode(), value.encode("latin-1")) for name, value in headers]


def signed(body=BODY, headers=HEADERS, now_ns=NOW_NS, key=KEY, secret=SECRET, region="us-east-1"):
    return encoded(sign("POST", "/", headers, body, access_key_id=key, secret=secret, region=region, now_ns=now_ns))


def check(headers, body=BODY, *, method="POST", path="/", query="", now_ns=NOW_NS, region="us-east-1"):
    return verify(
        method,
        path,
        query,
        headers,
        body,
        secret_of={KEY: SECRET}.get,
        now_ns=now_ns,
        region=region,
    )


def refused(headers, *args, **kwargs):
    with pytest.raises(Unauthenticated) as caught:
        check(headers, *args, **kwargs)
    return caught.value.code, caught.value.message


def replaced(headers, name, change):
    """The headers with one value changed; a change that gives None drops the header."""
    out = [(n, change(v) if n.decode().lower() == name else v) for n, v in headers]
    return [(n, v) for n, v in out if v is not None]


def test_what_we_sign_we_accept():
    assert check(signed()) == KEY
    assert check(signed(region="eu-west-1"), region=None) == KEY


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=300),
    value=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    gap=st.integers(1, 4),
)
def test_what_botocore_signs_we_accept_and_we_sign_the_same(body, value, gap):
    headers = {**HEADERS, "X-Amz-Meta-Thing": f"{value}{' ' * gap}{value}"}
    request = AWSRequest("POST", f"https://{HEADERS['Host']}/", headers=headers, data=body)
    SigV4Auth(Credentials(KEY, SECRET), "timestream", "us-east-1").add_auth(request)
    sent = encoded(request.headers.items())
    date = request.headers["X-Amz-Date"]
    now_ns = int(datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()) * 10**9
    assert check(sent, body, now_ns=now_ns) == KEY
    ours = dict(signed(body, headers, now_ns))
    assert ours[b"Authorization"].rpartition(b"=")[2] == dict(sent)[b"Authorization"].rpartition(b"=")[2]


def test_no_authorization():
    headers = replaced(signed(), "authorization", lambda _: None)
    assert refused(headers) == ("MissingAuthenticationTokenException", "Missing Authentication Token")


def authorization_with(change):
    return replaced(signed(), "authorization", change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.replace(b"AWS4-HMAC-SHA256", b"AWS4-ECDSA-P256-SHA256"), "algorithm"),
        (lambda v: v.replace(b"Credential=", b"Credentials="), "'Credential'"),
        (lambda v: v.replace(b"SignedHeaders=", b"Headers="), "'SignedHeaders'"),
        (lambda v: v.replace(b"Signature=", b"Sig="), "'Signature'"),
        (lambda v: v + b", Signature=" + b"0" * 64, "repeated"),
        (lambda v: v.replace(b"/aws4_request", b""), "five parts"),
        (lambda v: v.replace(b"/aws4_request", b"/aws4_requesT"), "five parts"),
        (lambda v: v.replace(b"/us-east-1/", b"//"), "five parts"),
        (lambda v: v[:-1], "64 lower-case"),
        (lambda v: v.partition(b"Signature=")[0] + b"Signature=" + b"A" * 64, "64 lower-case"),
        (lambda v: v.replace(b"content-type;host", b"host;content-type"), "sorted"),
        (lambda v: v.replace(b"content-type;host", b"content-type;host;host"), "doubles"),
        (lambda v: v.replace(b"content-type;host", b"Content-Type;host"), "lower case"),
        (lambda v: v.replace(b";x-amz-target", b""), "'x-amz-target' must be signed"),
        (lambda v: v.replace(b";x-amz-date", b""), "'x-amz-date' must be signed"),
        (lambda v: v.replace(b"host;", b""), "'host' must be signed"),
        (lambda v: v.replace(b"content-type;host", b"content-type;expect;host"), "'expect'"),
    ],
)
def test_malformed_authorization_names_the_part(change, words):
    code, text = refused(authorization_with(change))
    assert code == "IncompleteSignatureException"
    assert words in text


@pytest.mark.parametrize(
    "headers",
    [
        [*signed(), signed()[-1]],
        [*signed(), (b"host", b"other")],
        [*signed(), (b"X-Amz-Date", DATE.encode())],
        [*signed(), (b"X-Amz-User-Agent", b"unsigned")],
        replaced(signed(), "x-amz-date", lambda _: None),
        replaced(signed(), "x-amz-date", lambda _: b"2015-08-30T12:36:00Z"),
        replaced(signed(), "x-amz-date", lambda _: b"20151330T123600Z"),
    ],
)
def test_incomplete_requests(headers):
    assert refused(headers)[0] == "IncompleteSignatureException"


def test_a_query_string_is_refused_even_if_it_is_signed():
    assert refused(signed(), query="X-Amz-Expires=60")[0] == "IncompleteSignatureException"


def test_unknown_key():
    assert refused(signed(key="AKIDOTHER")) == (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )


def test_an_unknown_key_does_not_pass_with_the_dummy_secret():
    assert refused(signed(key="AKIDOTHER", secret=sigv4._DUMMY_SECRET))[0] == "UnrecognizedClientException"


def test_session_tokens_belong_to_no_key():
    headers = signed(headers={**HEADERS, "X-Amz-Security-Token": "token"})
    assert refused(headers)[0] == "UnrecognizedClientException"


def test_wrong_secret():
    code, text = refused(signed(secret=SECRET + "x"))
    assert code == "InvalidSignatureException"
    assert text.startswith("The request signature we calculated does not match the signature you provided.")


def test_scope_must_be_ours():
    assert refused(signed(region="eu-west-1"))[0] == "InvalidSignatureException"
    other_service = authorization_with(lambda v: v.replace(b"/timestream/", b"/dynamodb/"))
    assert refused(other_service)[1] == "Credential should be scoped to correct service: 'timestream'."
    other_day = authorization_with(lambda v: v.replace(b"/20150830/", b"/20150829/"))
    assert refused(other_day)[1] == "Date in Credential scope does not match X-Amz-Date."


def test_clock_skew_to_the_second():
    s = 10**9
    assert check(signed(), now_ns=NOW_NS + 300 * s) == KEY
    assert check(signed(), now_ns=NOW_NS - 300 * s) == KEY
    assert refused(signed(), now_ns=NOW_NS + 301 * s) == (
        "InvalidSignatureException",
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)",
    )
    assert refused(signed(), now_ns=NOW_NS - 301 * s)[1].startswith("Signature not yet current: 20150830T123600Z")


@pytest.mark.parametrize("value", [EMPTY, "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])
def test_a_declared_body_hash_must_be_the_real_one(value):
    assert refused(signed(headers={**HEADERS, "X-Amz-Content-Sha256": value}))[0] == "InvalidSignatureException"


def test_the_real_body_hash_may_be_declared():
    assert check(signed(b"", {**HEADERS, "X-Amz-Content-Sha256": EMPTY}), b"") == KEY


def test_a_changed_secret_takes_effect_at_once():
    headers = signed()
    assert check(headers) == KEY
    with pytest.raises(Unauthenticated):
        verify("POST", "/", "", headers, BODY, secret_of={KEY: "new"}.get, now_ns=NOW_NS, region=None)


def test_six_thousand_changed_requests_none_accepted():
    """One byte of a signed header's value, of the body, of the method or the path, changed in some way."""
    random_ = random.Random(20150830)
    base = signed()
    for number in range(6_000):
        headers, body, method, path = list(base), BODY, "POST", "/"
        place = random_.randrange(len(headers) + 3)
        if place < len(headers):
            name, value = headers[place]
            headers[place] = (name, mutated(random_, value))
        elif place == len(headers):
            body = mutated(random_, body)
        elif place == len(headers) + 1:
            method = random_.choice(["GET", "PUT", "POST ", "post"])
        else:
            path = "/" + "".join(random_.choices("/ab%2F.", k=random_.randint(1, 4)))
        if is_equal_to_the_signer(base, headers) and (body, method, path) == (BODY, "POST", "/"):
            continue
        assert is_refused(headers, body, method, path), f"change {number}: {headers} {body!r} {method} {path}"


def is_refused(headers, body, method, path):
    try:
        check(headers, body, method=method, path=path)
    except Unauthenticated:
        return True
    return False


def is_equal_to_the_signer(base, headers):
    """Blanks around and between words are no difference in a signed value, by the algorithm's rules."""
    return [v.split() for _, v in base] == [v.split() for _, v in headers] or (
        # Authorization is a list of pairs: blanks between them say nothing.
        [v.replace(b" ", b"") for _, v in base] == [v.replace(b" ", b"") for _, v in headers]
        and base[:-1] == headers[:-1]
    )


def mutated(random_, value):
    out = bytearray(value)
    at = random_.randrange(len(out))
    match random_.randrange(4):
        case 0:
            out[at] ^= 1 << random_.randrange(7)
        case 1:
            del out[at]
        case 2:
            out.insert(at, random_.randrange(33, 127))
        case 3:
            out = out[:at] + out[at:][::-1] if out[at:] != out[at:][::-1] else out + b"x"
    return bytes(out)


def test_instant():
    assert instant(NOW_NS) == DATE
