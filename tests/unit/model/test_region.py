"""Regions outside AWS's first partition have ARNs and domains of their own."""

from __future__ import annotations

import pytest

from headwater.model.region import domain_of, partition_of


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("us-east-1", "aws", "timestream.us-east-1.amazonaws.com"),
        ("us-gov-west-1", "aws-us-gov", "timestream.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "aws-cn", "timestream.cn-north-1.amazonaws.com.cn"),
        ("here", "aws", "timestream.here.amazonaws.com"),
    ],
)
def test_partition_and_domain(region: str, partition: str, domain: str) -> None:
    assert (partition_of(region), domain_of(region)) == (partition, domain)
