"""The query service's settings of an account: kept and reported; nothing here is billed or provisioned.

Source: query-api.md 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from headwater.errors import Invalid

TCU_STEP = 4
TCU_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Notification:
    """Whom to tell when provisioned capacity changes: an SNS topic, with the rights of a role. Both are ARNs."""

    topic_arn: str
    role_arn: str


@dataclass(frozen=True, slots=True)
class ProvisionedCapacity:
    """Compute units that are always there. What is asked for is there at once."""

    query_tcu: int
    notification: Notification | None = None


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """`provisioned` is None in ON_DEMAND mode. The pricing model is COMPUTE_UNITS, which has no way back."""

    max_query_tcu: int = 200
    provisioned: ProvisionedCapacity | None = None

    def with_max_query_tcu(self, tcu: int) -> AccountSettings:
        """Raises Invalid for what is no number of compute units."""
        return replace(self, max_query_tcu=_checked("MaxQueryTCU", tcu))

    def with_compute(self, mode: str | None, capacity: ProvisionedCapacity | None) -> AccountSettings:
        """ON_DEMAND, or PROVISIONED with the capacity asked for. None for `mode` keeps it. Raises Invalid."""
        is_provisioned = self.provisioned is not None if mode is None else mode == "PROVISIONED"
        if not is_provisioned:
            if capacity is not None:
                raise Invalid("ProvisionedCapacity can only be set in the compute mode PROVISIONED.")
            return replace(self, provisioned=None)
        if capacity is None and self.provisioned is None:
            raise Invalid("The compute mode PROVISIONED needs ProvisionedCapacity.")
        if capacity is None:
            return self
        _checked("TargetQueryTCU", capacity.query_tcu)
        return replace(self, provisioned=capacity)


def _checked(name: str, tcu: int) -> int:
    if tcu < TCU_STEP or tcu > TCU_MOST or tcu % TCU_STEP:
        raise Invalid(f"{name} must be a multiple of {TCU_STEP} from {TCU_STEP} to {TCU_MOST}.")
    return tcu
