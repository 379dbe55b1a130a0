"""The settings of the master key: which provider each form means, and that no message repeats a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.config import KeySettings, load
from headwater.errors import Invalid
from headwater.files import LocalFiles
from headwater.keyring.kms import KmsKeys
from headwater.keyring.local import FileKey, GivenKey
from headwater.keyring.providers import open_provider
from headwater.model.time import FixedClock

KEY = "0123456789abcdef" * 4
ARN = "arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111"
CHINA = ARN.replace("eu-west-1", "cn-north-1").replace("arn:aws:", "arn:aws-cn:")


def settings(flags: dict[str, str], environ: dict[str, str] | None = None) -> KeySettings:
    return load(flags, environ or {}, None, processors=1).keys


@pytest.mark.parametrize(
    ("flags", "environ", "kind", "name"),
    [
        ({}, {}, FileKey, "/data/master.key"),
        ({"master_key": "file:/run/keys/k"}, {}, FileKey, "/run/keys/k"),
        ({}, {"HEADWATER_MASTER_KEY": KEY}, GivenKey, "The key in HEADWATER_MASTER_KEY"),
        ({"master_key": f"kms:{ARN}", "kms_credentials": "/c"}, {}, KmsKeys, f"The KMS key {ARN}"),
    ],
)
def test_each_form_has_its_provider(
    flags: dict[str, str], environ: dict[str, str], kind: type[object], name: str
) -> None:
    given = settings(flags, environ)
    provider = open_provider(given, LocalFiles(), Path("/data"), FixedClock(0), bytes)
    assert (type(provider), provider.name) == (kind, name)


@pytest.mark.parametrize(
    ("arn", "endpoint"),
    [(ARN, "https://kms.eu-west-1.amazonaws.com"), (CHINA, "https://kms.cn-north-1.amazonaws.com.cn")],
)
def test_the_service_is_aws_s_own_unless_another_is_named(arn: str, endpoint: str) -> None:
    flags = {"master_key": f"kms:{arn}", "kms_credentials": "/c"}
    assert settings(flags).kms_endpoint == endpoint
    assert settings({**flags, "kms_endpoint": "http://127.0.0.1:9"}).kms_endpoint == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("flags", "environ", "rule"),
    [
        ({"master_key": KEY}, {}, "every user of the machine sees a flag"),
        ({"master_key": f"kms:{ARN}"}, {}, "kms_credentials must be set with it"),
        ({}, {"HEADWATER_MASTER_KEY": KEY[:-1]}, "the value is not file, file:/PATH, kms:ARN of a key, or a key as 64"),
        ({}, {"HEADWATER_MASTER_KEY": "kms:alias/x"}, "the value is not file"),
    ],
)
def test_a_refusal_does_not_repeat_the_key(flags: dict[str, str], environ: dict[str, str], rule: str) -> None:
    with pytest.raises(Invalid) as fault:
        settings(flags, environ)
    assert rule in fault.value.message
    assert KEY[:-1] not in fault.value.message


def test_settings_print_no_key() -> None:
    given = settings({}, {"HEADWATER_MASTER_KEY": KEY})
    assert given.master_key == bytes.fromhex(KEY)
    assert repr(given.master_key) not in repr(given)
