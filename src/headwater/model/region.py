"""What the name of a region says about the names in it: the partition in ARNs, the suffix of host names.

`server` and `catalog` make ARNs and addresses with it. A region of one's own invention is taken for one of AWS's first
partition. Source: AWS's published partitions (general reference).
"""

from __future__ import annotations


def partition_of(region: str) -> str:
    """The second part of an ARN: `aws`, `aws-cn` or `aws-us-gov`."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def domain_of(region: str) -> str:
    """The domain under which the hosts of the service stand: `timestream.us-east-1.amazonaws.com`."""
    suffix = "amazonaws.com.cn" if partition_of(region) == "aws-cn" else "amazonaws.com"
    return f"timestream.{region}.{suffix}"
