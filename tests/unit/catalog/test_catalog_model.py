"""The catalog against a plain dictionary: any history of changes, with restarts between, gives the same answers."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headwater.catalog.catalog import Catalog
from headwater.errors import Conflict, Invalid, NotFound, QuotaExceeded
from headwater.files import LocalFiles
from headwater.model.limits import Limits
from headwater.model.table import Retention
from headwater.model.time import FixedClock
from support.keys import PROVIDER

# Few names, so that they meet; chosen to differ by case, by prefix, and to sort around each other's separators.
NAMES = st.sampled_from(["abc", "Abc", "abc.d", "abc-d", "..."])
RETENTIONS = st.builds(Retention, st.integers(1, 8_766), st.integers(1, 73_000))
KEYS = st.sampled_from(["a", "A", "b"])
TAGS = st.dictionaries(KEYS, st.sampled_from(["", "1", "2"]))
LIMITS = Limits(databases=4, tables=6)

Outcome = str | type[Exception]


class CatalogAndDictionary(RuleBasedStateMachine):
    """`model` holds retentions by table name by database name; `tags` those of databases and tables by their names."""

    @initialize(seed=st.integers(0, 2**32))
    def open(self, seed: int) -> None:
        self.randomness = random.Random(seed)
        self.clock = FixedClock(1_700_000_000_000_000_000)
        self.directory = Path(tempfile.mkdtemp())
        self.catalog = self.opened()
        self.model: dict[str, dict[str, Retention]] = {}
        self.tags: dict[tuple[str, str | None], dict[str, str]] = {}
        self.ids: set[str] = set()

    def opened(self) -> Catalog:
        randomness = self.randomness.randbytes
        return Catalog.open(
            LocalFiles(), self.directory, PROVIDER, "1" * 12, "us-east-1", self.clock, randomness, LIMITS
        )

    def teardown(self) -> None:
        if hasattr(self, "catalog"):
            self.catalog.close()
            shutil.rmtree(self.directory)

    @rule()
    def restart(self) -> None:
        self.catalog.close()
        self.catalog = self.opened()

    @rule(name=NAMES, tags=TAGS)
    def create_database(self, name: str, tags: dict[str, str]) -> None:
        expected: Outcome = "made"
        if name in self.model:
            expected = Conflict
        elif len(self.model) == LIMITS.databases:
            expected = QuotaExceeded
        else:
            self.model[name] = {}
            self.tags[name, None] = tags
        assert outcome(lambda: self.catalog.create_database(name, None, tags)) == expected

    @rule(name=NAMES)
    def delete_database(self, name: str) -> None:
        expected: Outcome = "made"
        if name not in self.model:
            expected = NotFound
        elif self.model[name]:
            expected = Invalid
        else:
            del self.model[name], self.tags[name, None]
        assert outcome(lambda: self.catalog.delete_database(name)) == expected

    @rule(database=NAMES, name=NAMES, retention=RETENTIONS, tags=TAGS)
    def create_table(self, database: str, name: str, retention: Retention, tags: dict[str, str]) -> None:
        expected: Outcome = "made"
        if database not in self.model:
            expected = NotFound
        elif name in self.model[database]:
            expected = Conflict
        elif sum(map(len, self.model.values())) == LIMITS.tables:
            expected = QuotaExceeded
        else:
            self.model[database][name] = retention
            self.tags[database, name] = tags
        assert outcome(lambda: self.catalog.create_table(database, name, retention, None, None, tags)) == expected
        if expected == "made":
            id = self.catalog.table(database, name).id
            assert id not in self.ids
            self.ids.add(id)

    @rule(database=NAMES, name=NAMES, retention=RETENTIONS)
    def update_table(self, database: str, name: str, retention: Retention) -> None:
        expected: Outcome = "made" if name in self.model.get(database, {}) else NotFound
        if expected == "made":
            self.model[database][name] = retention
        assert outcome(lambda: self.catalog.update_table(database, name, retention, None, None)) == expected

    @rule(database=NAMES, name=NAMES)
    def delete_table(self, database: str, name: str) -> None:
        expected: Outcome = "made" if name in self.model.get(database, {}) else NotFound
        if expected == "made":
            del self.model[database][name], self.tags[database, name]
        assert outcome(lambda: self.catalog.delete_table(database, name)) == expected

    @rule(database=NAMES, table=st.none() | NAMES, tags=TAGS, keys=st.lists(KEYS))
    def change_tags(self, database: str, table: str | None, tags: dict[str, str], keys: list[str]) -> None:
        expected: Outcome = "made" if (database, table) in self.tags else NotFound
        if expected == "made":
            kept = {**self.tags[database, table], **tags}
            self.tags[database, table] = {key: value for key, value in kept.items() if key not in keys}
        assert outcome(lambda: self.catalog.tag(database, table, tags)) == expected
        assert outcome(lambda: self.catalog.untag(database, table, keys)) == expected

    @invariant()
    def same_answers(self) -> None:
        if not hasattr(self, "model"):
            return
        by_bytes = sorted(self.model, key=str.encode)
        assert [database.name for database in self.catalog.list_databases(None, 20)] == by_bytes
        pairs = [(of, name) for of in by_bytes for name in sorted(self.model[of], key=str.encode)]
        found = self.catalog.list_tables(None, None, 20)
        assert [(table.database, table.name) for table in found] == pairs
        assert [table.retention for table in found] == [self.model[of][name] for of, name in pairs]
        assert [self.catalog.table_by_id(table.id) for table in found] == found
        assert {table.id for table in found} == set(self.catalog.manifest.tables())
        for of, names in self.model.items():
            assert self.catalog.table_count(of) == len(names)
            expected = [table for table in found if table.database == of]
            assert self.catalog.list_tables(of, None, 20) == expected
        assert {names: self.catalog.tags(*names) for names in self.tags} == self.tags

    @rule(size=st.integers(1, 3), database=st.none() | NAMES)
    def pages_join_to_the_whole(self, size: int, database: str | None) -> None:
        if database is not None and database not in self.model:
            return
        whole = self.catalog.list_tables(database, None, 20)
        joined = self.catalog.list_tables(database, None, size)
        while page := joined and self.catalog.list_tables(
            database, joined[-1].name if database else (joined[-1].database, joined[-1].name), size
        ):
            joined += page
        assert joined == whole


def outcome(call) -> Outcome:
    try:
        call()
    except (Conflict, Invalid, NotFound, QuotaExceeded) as fault:
        return type(fault)
    return "made"


TestCatalogAndDictionary = CatalogAndDictionary.TestCase
TestCatalogAndDictionary.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
