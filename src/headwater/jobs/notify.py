"""Notifications: what happened to a scheduled query, told to its SNS topic, a webhook or the server's log.

The server and `jobs/scheduled` hand messages to `send`, which never waits; the runner calls `run`, which delivers what
is due. Only the endpoint and the webhook of the settings are ever called, whatever a topic's ARN says, and redirects
are not followed. Messages wait in memory: a stop or a crash loses those that were not delivered, and says so in the
log. Source: scheduled-queries.md 5; AWS SNS API reference, Publish.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import SplitResult, urlencode, urlsplit

import msgspec
import structlog

from headwater.config import NotificationSettings
from headwater.errors import Denied, Invalid, Unavailable
from headwater.jobs.messages import Message
from headwater.model.facts import NotificationFacts
from headwater.model.time import Clock, instant_text
from headwater.rights.roles import Roles
from headwater.wire.sigv4 import sign

_log = structlog.get_logger("jobs")

CONNECT_TIMEOUT_S = 2.0
TIMEOUT_S = 5.0
TRIES = 5
RETRY_FIRST_S = 1.0
"""Between the first try and the second; twice as long before each further one."""

WAITING_MOST = 1_000
"""Of all messages together. When more wait, the oldest go."""

_ANSWER_BYTES_SHOWN = 500


class _Failed(Exception):
    """A message was not taken. `is_final` if asking again is of no use."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request that tells one message to one receiver."""

    url: SplitResult
    headers: Mapping[str, str]
    body: bytes


class Channel(Protocol):
    """A receiver of messages."""

    @property
    def name(self) -> str: ...

    def delivery(self, message: Message, id: str, now_ns: int) -> Delivery:
        """Raises _Failed if the message may not be told."""
        ...


@dataclass(frozen=True, slots=True)
class Sns:
    """An SNS-compatible endpoint, `scheme://host[:port]`, that hears of a query what its role may publish. Prints no
    secret."""

    endpoint: str
    access_key_id: str
    secret: str = field(repr=False)
    region: str
    """For topics whose ARN names none."""
    roles: Roles

    @property
    def name(self) -> str:
        return self.endpoint

    def delivery(self, message: Message, id: str, now_ns: int) -> Delivery:  # noqa: ARG002 - for its twin
        try:
            self.roles.assume(message.role_arn).require("sns:Publish", message.topic_arn)
        except (Denied, Unavailable) as fault:
            raise _Failed(fault.message, is_final=isinstance(fault, Denied)) from fault
        url = urlsplit(self.endpoint)
        form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": message.topic_arn, "Message": message.text}
        for number, (name, value) in enumerate(message.attributes.items(), 1):
            entry = f"MessageAttributes.entry.{number}"
            form |= {f"{entry}.Name": name, f"{entry}.Value.DataType": "String", f"{entry}.Value.StringValue": value}
        body = urlencode(form).encode()
        headers = sign(
            "POST",
            "/",
            {"Host": url.netloc, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            body,
            access_key_id=self.access_key_id,
            secret=self.secret,
            region=_region_of(message.topic_arn) or self.region,
            now_ns=now_ns,
            service="sns",
        )
        return Delivery(url, dict(headers), body)


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is sent what SNS sends to its HTTP subscribers, without a signature."""

    url: str

    @property
    def name(self) -> str:
        """Without the path, which may hold a secret."""
        url = urlsplit(self.url)
        return f"{url.scheme}://{url.netloc}"

    def delivery(self, message: Message, id: str, now_ns: int) -> Delivery:
        url = urlsplit(self.url)
        body = {
            "Type": "Notification",
            "MessageId": id,
            "TopicArn": message.topic_arn,
            "Message": message.text,
            "Timestamp": instant_text(now_ns),
            "MessageAttributes": {
                name: {"Type": "String", "Value": value} for name, value in message.attributes.items()
            },
        }
        headers = {"Host": url.netloc, "Content-Type": "application/json", "X-Amz-Sns-Message-Type": "Notification"}
        return Delivery(url, headers, msgspec.json.encode(body))


@dataclass(slots=True)
class _Waiting:
    message: Message
    channel: Channel
    id: str
    next_s: float
    tries: int = 0


class Notifications:
    """`channels` may be none: then messages stand in the log only. `delivered` and `failed` count since the start."""

    def __init__(self, channels: tuple[Channel, ...], clock: Clock, new_id: Callable[[], str]) -> None:
        self._channels = channels
        self._has_topics = any(isinstance(channel, Sns) for channel in channels)
        self._clock = clock
        self._new_id = new_id
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self.delivered = 0
        self.failed = 0

    def send(self, message: Message) -> None:
        """Have a message delivered soon. Waits for nobody and raises nothing."""
        if not self._has_topics:
            _log.info("notification", topic=message.topic_arn, **message.attributes, message=message.text)
        now_s, id = self._clock.monotonic_s(), self._new_id()
        with self._lock:
            self._waiting.extend(_Waiting(message, channel, id, now_s) for channel in self._channels)
            while len(self._waiting) > WAITING_MOST:
                self._give_up(self._waiting.popleft(), "too many wait")

    def facts(self) -> NotificationFacts:
        with self._lock:
            return NotificationFacts(len(self._waiting), self.delivered, self.failed)

    def run(self) -> None:
        """Deliver what is due, in the order it came. A receiver out of order is left alone for the rest of it."""
        failed: set[str] = set()
        with self._lock:
            waiting = list(self._waiting)
        for one in waiting:
            if self._stopping.is_set():
                return
            if self._clock.monotonic_s() >= one.next_s and one.channel.name not in failed:
                self._try(one, failed)

    def stop(self) -> None:
        """Let `run` end within a moment, and say what was not delivered."""
        self._stopping.set()
        connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for one in self._waiting:
                _log.warning("notification not delivered", receiver=one.channel.name, message=one.message.text)

    def _try(self, one: _Waiting, failed: set[str]) -> None:
        try:
            self._deliver(one.channel.delivery(one.message, one.id, self._clock.now_ns()))
        except _Failed as failure:
            one.tries += 1
            one.next_s = self._clock.monotonic_s() + RETRY_FIRST_S * 2 ** (one.tries - 1)
            if not failure.is_final:
                failed.add(one.channel.name)
                if one.tries < TRIES:
                    return
            with self._lock:
                self._give_up(one, str(failure))
        else:
            self.delivered += 1
        with self._lock:
            if one in self._waiting:
                self._waiting.remove(one)

    def _give_up(self, one: _Waiting, reason: str) -> None:
        self.failed += 1
        _log.error("notification given up", receiver=one.channel.name, reason=reason, message=one.message.text)

    def _deliver(self, delivery: Delivery) -> None:
        """One request, one answer. Raises _Failed."""
        url = delivery.url
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._connection = connection = kind(url.hostname or "", url.port, timeout=CONNECT_TIMEOUT_S)
        try:
            connection.connect()
            connection.sock.settimeout(TIMEOUT_S)
            if self._stopping.is_set():
                raise _Failed("the server is stopping")
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request("POST", path, delivery.body, dict(delivery.headers))
            response = connection.getresponse()
            if response.status // 100 != 2:
                text = response.read(_ANSWER_BYTES_SHOWN).decode("utf-8", "replace")
                # What the receiver calls our fault stays so; 408 and 429 ask for another try.
                is_final = response.status // 100 in (3, 4) and response.status not in (408, 429)
                raise _Failed(f"{response.status} {text}", is_final=is_final)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _Failed(f"cannot be reached: {error}") from error
        finally:
            self._connection = None
            connection.close()


def channels_of(
    settings: NotificationSettings, region: str, credentials: str | None, roles: Roles
) -> tuple[Channel, ...]:
    """Whom the settings name. `credentials` is the text of `sns_credentials`. Raises Invalid if it has no keys."""
    channels: list[Channel] = []
    if settings.sns_endpoint is not None:
        parser = ConfigParser(interpolation=None)
        try:
            parser.read_string(credentials or "")
            keys = parser["default"]
            id, secret = keys["aws_access_key_id"], keys["aws_secret_access_key"]
        except (ConfigParserError, KeyError) as error:
            raise Invalid("sns_credentials is not a shared-credentials file with [default] keys") from error
        channels.append(Sns(settings.sns_endpoint, id, secret, region, roles))
    if settings.webhook_url is not None:
        channels.append(Webhook(settings.webhook_url))
    return tuple(channels)


def _region_of(topic_arn: str) -> str:
    """The region in the ARN, or an empty text."""
    found = re.match(r"arn:[a-z-]+:sns:([a-z0-9-]+):", topic_arn)
    return found[1] if found else ""
