"""What the catalog refuses: structures, key identifiers, tags and quotas that break a rule of the service.

`catalog.Catalog` asks before it changes anything. All of it is pure; a refusal is an Invalid or a QuotaExceeded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from headwater.errors import Invalid, QuotaExceeded
from headwater.objects import ObjectRefused, check_prefix

TAGS_PER_RESOURCE = 200

MEASURE_KEY = ({"Type": "MEASURE"},)
"""The partition key of a table that was made without one."""

_KEY_ID = r"(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mrk-[0-9a-fA-F]{32})"
_ALIAS = r"alias/[a-zA-Z0-9/_-]{1,250}"
_KMS_KEY = re.compile(rf"{_KEY_ID}|{_ALIAS}|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{{12}}:(?:key/{_KEY_ID}|{_ALIAS})")

# Python's \w is letters, digits of every script and the underscore.
_TAG_TEXT = re.compile(r"[\w\s.:/=+-]*")


def check_quota(kind: str, count: int, limit: int) -> None:
    if count >= limit:
        raise QuotaExceeded(f"The quota for {kind} has been reached.")


def check_kms_key(id: str) -> None:
    """A key's id or ARN, or an alias's name or ARN. Source: security.md 5; the text is a guess."""
    if not _KMS_KEY.fullmatch(id):
        raise Invalid(f"The KMS key identifier {id} is invalid.")


def check_tags(tags: Mapping[str, str]) -> None:
    """Characters and the reserved prefix; the shape has the lengths.

    Source: write-api.md 5 for the characters, the developer guide's "Tagging restrictions" for the colon among them.
    That values have the rule of keys is a guess, and so are the texts.
    """
    for noun, text in [(noun, text) for tag in tags.items() for noun, text in zip(("key", "value"), tag, strict=True)]:
        if not _TAG_TEXT.fullmatch(text):
            raise Invalid(f"The tag {noun} {text} has a character other than letters, digits, spaces and _ . : / = + -")
        if text[:4].lower() == "aws:":
            raise Invalid(f"The tag {noun} {text} begins with aws:, which is reserved.")


def check_tag_count(count: int) -> None:
    if count > TAGS_PER_RESOURCE:
        raise QuotaExceeded("The quota for tags of a resource has been reached.")


def checked_magnetic_writes(structure: Mapping[str, object] | None) -> dict[str, object] | None:
    """MagneticStoreWriteProperties as it was sent: answers echo it. Source: write-api.md 4; the text is a guess."""
    if structure is None:
        return None
    location = structure.get("MagneticStoreRejectedDataLocation")
    s3 = location.get("S3Configuration") if isinstance(location, Mapping) else None
    if isinstance(s3, Mapping) and s3.get("EncryptionOption") == "SSE_KMS" and not s3.get("KmsKeyId"):
        raise Invalid("KmsKeyId is required when EncryptionOption is SSE_KMS.")
    prefix = s3.get("ObjectKeyPrefix") if isinstance(s3, Mapping) else None
    try:
        check_prefix(prefix if isinstance(prefix, str) else None)
    except ObjectRefused as fault:
        raise Invalid(fault.message) from fault
    return dict(structure)


def checked_partition_key(structure: Sequence[Mapping[str, str]] | None) -> tuple[dict[str, str], ...] | None:
    """CompositePartitionKey with every member filled in.

    Source: write-api.md 7. That OPTIONAL is the default is a guess, and so are the texts but the first.
    """
    if structure is None:
        return None
    if len(structure) > 1:
        raise Invalid(
            "You have specified too many partition keys to be used in your composite partition key. "
            "Only 1 partition keys can be specified."
        )
    (key,) = structure
    if key["Type"] == "MEASURE":
        if len(key) > 1:
            raise Invalid("A partition key of type MEASURE has no Name and no EnforcementInRecord.")
        return MEASURE_KEY
    if not key.get("Name"):
        raise Invalid("A partition key of type DIMENSION requires a Name.")
    return ({"EnforcementInRecord": "OPTIONAL", **key},)


def updated_partition_key(
    old: tuple[dict[str, str], ...] | None, new: tuple[dict[str, str], ...] | None
) -> tuple[dict[str, str], ...] | None:
    """Only the enforcement of a key may change. A table without a key is partitioned by measure name."""
    if new is None:
        return old
    if [(key["Type"], key.get("Name")) for key in old or MEASURE_KEY] != [(k["Type"], k.get("Name")) for k in new]:
        raise Invalid("The partition key of a table cannot be changed.")
    return new
