"""Which key provider the settings name. The face of this room: `instance` opens one and hands it to the catalog.

The room knows where master keys are and nothing of what they wrap.
"""

from __future__ import annotations

from pathlib import Path

from headwater.catalog.keys import KeyProvider
from headwater.config import KeySettings
from headwater.files import Files
from headwater.keyring.kms import KmsKeys
from headwater.keyring.local import FileKey, GivenKey
from headwater.model.time import Clock
from headwater.sealing import Randomness

MASTER_KEY_FILE = "master.key"


def open_provider(settings: KeySettings, files: Files, data: Path, clock: Clock, randomness: Randomness) -> KeyProvider:
    """The provider of a data folder. Reads nothing yet and reaches no one."""
    match settings.master_key:
        case str(key_arn):
            assert settings.kms_credentials is not None
            return KmsKeys(key_arn, settings.kms_endpoint, settings.kms_credentials, files, clock)
        case bytes(key):
            return GivenKey(key, "The key in HEADWATER_MASTER_KEY", randomness)
        case path:
            return FileKey(files, path or data / MASTER_KEY_FILE, randomness)
