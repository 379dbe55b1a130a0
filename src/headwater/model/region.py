"""What the name of a region says about the names in it: the partition in ARNs, the suffix of host names.

`server`, `rights` and `catalog` make ARNs and addresses with it. A region of one's own invention is taken for one of
AWS's first partition. Source: AWS's published partitions (general reference).
"""

from __future__ import annotations


def partition_of(region: str) -> str:
    """The second part of an ARN: `aws`, `aws-cn` or `aws-us-gov`."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def timestream_arn(region: str, account: str, resource: str) -> str:
    """The ARN of a thing of the service; `resource` is all that stands behind the account."""
    return f"arn:{partition_of(region)}:timestream:{region}:{account}:{resource}"


def domain_of(region: str) -> str:
    """The domain under which the hosts of the service stand: `timestream.us-east-1.amazonaws.com`."""
    suffix = "amazonaws.com.cn" if partition_of(region) == "aws-cn" else "amazonaws.com"
    return f"timestream.{region}.{suffix}"
