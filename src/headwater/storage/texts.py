"""Texts as codes: each distinct value once, and per series four bytes that say which.

Dimensions and measure names are kept so. A dictionary of a few values stays in Python; one with as many values as
there are hosts goes to Arrow, with an index by hash, as it grows: 10 million host names take 0.4 GB instead of 2.
One thread adds, any thread may read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headwater.model.scan import DimensionIn
from headwater.model.text_pattern import WORK_MOST, TextPattern
from headwater.storage.arrays import Codes, Growable, Int64s, Places

NONE = -1
"""The code of "no value"."""

_RECENT_MIN = 16_384
_RECENT_SHARE = 16
_WHOLE_MAX = 4_096

ARRAY_BYTES_MAX = 1 << 30
"""Texts are put together in one array of Arrow up to so much; it can hold twice that."""


@dataclass(slots=True)
class _State:
    """Texts up to `packed_count` are in `packed`, later ones in `recent`, whose codes are in `code_of`.

    Only `recent` and `code_of` grow in place. `places` finds packed texts by hash; None until somebody asks.
    `code_of` also has the packed texts whose hash is another's.
    """

    packed: tuple[pa.Array, ...] = ()
    packed_count: int = 0
    places: Places | None = None
    recent: list[str] = field(default_factory=list)
    code_of: dict[str, int] = field(default_factory=dict)


class Texts:
    """Distinct texts; the code of one is its place in the order of their coming."""

    def __init__(self, packed: pa.Array | None = None) -> None:
        """`packed` are distinct texts to begin with."""
        self._state = _State() if packed is None or not len(packed) else _State((packed,), len(packed))
        self._dictionary = pa.array([], pa.string())

    def __len__(self) -> int:
        state = self._state
        return state.packed_count + len(state.recent)

    @property
    def bytes(self) -> int:
        state = self._state
        places = state.places.bytes if state.places else 0
        return sum(int(array.nbytes) for array in state.packed) + places + 200 * len(state.recent)

    def find(self, texts: Sequence[str]) -> Codes:
        """The code of each text, NONE for one that is not here."""
        state = self._state
        codes = np.array([state.code_of.get(text, NONE) for text in texts], np.int32)
        missing = np.flatnonzero(codes < 0)
        if state.packed_count and len(missing):
            codes[missing] = _find_packed(state, [texts[place] for place in missing.tolist()])
        return codes

    def add(self, texts: Sequence[str]) -> Codes:
        """The code of each text, made where there was none."""
        codes = self.find(texts)
        state = self._state
        for place in np.flatnonzero(codes < 0).tolist():
            text = texts[place]
            code = state.code_of.get(text)
            if code is None:
                code = state.packed_count + len(state.recent)
                state.recent.append(text)
                state.code_of[text] = code
            codes[place] = code
        if len(state.recent) >= max(_RECENT_MIN, state.packed_count // _RECENT_SHARE):
            self._pack()
        return codes

    def take(self, codes: Codes) -> list[str]:
        """The texts of these codes, none of which is NONE."""
        state = self._state
        first = state.packed_count
        if not first:
            recent = state.recent
            return [recent[code] for code in codes.tolist()]
        if not len(codes) or int(codes.max()) < first:
            taken: list[str] = _chunked(state).take(pa.array(codes)).to_pylist()
            return taken
        is_packed = codes < first
        packed = iter(_chunked(state).take(pa.array(codes[is_packed])).to_pylist())
        return [next(packed) if code < first else state.recent[code - first] for code in codes.tolist()]

    def arrays(self) -> Iterator[pa.StringArray]:
        """All texts in order of their codes, without putting them together."""
        state = self._state
        yield from state.packed
        yield pa.array(list(state.recent), pa.string())

    def dictionary(self) -> pa.StringArray:
        """All texts in order of their codes."""
        # Two readers may get here at once while texts are added: each goes on with an array that has its codes.
        dictionary, state = self._dictionary, self._state
        if len(dictionary) < state.packed_count + len(state.recent):
            recent = pa.array(list(state.recent), pa.string())
            dictionary = pa.concat_arrays([*state.packed, recent]) if state.packed else recent
            self._dictionary = dictionary
        return dictionary

    def _pack(self) -> None:
        """Move the recent texts to Arrow."""
        state = self._state
        places = _places(state)
        added, first = pa.array(state.recent, pa.string()), state.packed_count
        packed = list(state.packed)
        if packed and packed[-1].nbytes + added.nbytes <= ARRAY_BYTES_MAX:
            packed[-1] = pa.concat_arrays([packed[-1], added])
        else:
            packed.append(added)
        displaced = {text: code for text, code in state.code_of.items() if code < first}
        displaced |= _index(places, state.recent, first)
        self._state = _State(tuple(packed), first + len(added), places, [], displaced)


def _chunked(state: _State) -> pa.ChunkedArray:
    return pa.chunked_array(state.packed, pa.string())


def _places(state: _State) -> Places:
    """The index of the packed texts, made now if nobody has asked before; then its displaced texts are noted too."""
    if state.places is None:
        places, first = Places(), 0
        for array in state.packed:
            for start in range(0, len(array), 1 << 20):
                texts = array.slice(start, 1 << 20).to_pylist()
                state.code_of.update(_index(places, texts, first))
                first += len(texts)
        state.places = places
    return state.places


def _index(places: Places, texts: list[str], first: int) -> dict[str, int]:
    """Add texts with codes from `first` on; those whose hash is there already are the answer."""
    hashes = _hashes(texts)
    is_taken = places.find(hashes) >= 0
    _, unique = np.unique(hashes, return_index=True)
    is_first = np.zeros(len(hashes), np.bool_)
    is_first[unique] = True
    added = np.flatnonzero(is_first & ~is_taken)
    places.add(hashes[added], (first + added).astype(np.int32))
    return {texts[place]: first + place for place in np.flatnonzero(~is_first | is_taken).tolist()}


def _find_packed(state: _State, texts: list[str]) -> Codes:
    found = _places(state).find(_hashes(texts))
    hits = np.flatnonzero(found >= 0)
    if len(hits):
        same = [texts[hit] for hit in hits.tolist()]
        is_same = pc.equal(_chunked(state).take(pa.array(found[hits])), pa.array(same, pa.string()))
        found[hits[~is_same.to_numpy()]] = NONE
    missing = np.flatnonzero(found < 0)
    if state.code_of and len(missing):
        # Making the index may just have found displaced ones.
        found[missing] = [state.code_of.get(texts[place], NONE) for place in missing.tolist()]
    return found


def _hashes(texts: list[str]) -> Int64s:
    return np.fromiter(map(hash, texts), np.int64, len(texts))


class Coded:
    """One text for each series, or none."""

    def __init__(self, texts: Texts | None = None, codes: Codes | None = None) -> None:
        """`codes` of the series there are already, into `texts`."""
        self.texts = texts or Texts()
        self.codes = Growable(np.int32, NONE, codes)

    @property
    def values(self) -> list[str]:
        """All texts in order of their codes."""
        values: list[str] = self.texts.dictionary().to_pylist()
        return values

    @property
    def bytes(self) -> int:
        return self.codes.bytes + self.texts.bytes

    def put(self, ordinals: Codes, codes: Codes) -> None:
        """Give series their code."""
        if len(ordinals):
            self.codes.extend_to(int(ordinals.max()) + 1)
            self.codes.view[ordinals] = codes

    def codes_of(self, ordinals: Codes) -> Codes:
        """The code of each row's series; series registered after the last one with a text have none."""
        codes = self.codes.view
        if len(ordinals) and int(ordinals.max()) >= len(codes):
            found = np.full(len(ordinals), NONE, np.int32)
            is_here = ordinals < len(codes)
            found[is_here] = codes[ordinals[is_here]]
            return found
        return codes[ordinals]

    def column(self, ordinals: Codes, counts: Int64s | None = None) -> pa.DictionaryArray:
        """The value of each series, so often as `counts` says, once if that is None; dictionary-encoded, null for none.

        Rows that can have few of the values get a dictionary of their own: an engine reads all of it.
        """
        codes = self.codes_of(ordinals)
        if len(self.texts) <= max(_WHOLE_MAX, len(codes)):
            dictionary = self.texts.dictionary()
        else:
            used, places = np.unique(codes, return_inverse=True)
            # NONE sorts first.
            nones = int(len(used) > 0 and used[0] == NONE)
            codes = (places - nones).astype(np.int32)
            dictionary = pa.array(self.texts.take(used[nones:]), pa.string())
        if counts is not None:
            codes = np.repeat(codes, counts)
        indices = pa.array(codes, mask=codes < 0) if len(codes) and codes.min() < 0 else pa.array(codes)
        return pa.DictionaryArray.from_arrays(indices, dictionary)

    def chosen(self, condition: DimensionIn, count: int) -> npt.NDArray[np.bool_]:
        """For each of `count` series, whether it meets the condition, which is asked of each different text once."""
        wanted = self.texts.find(list(condition.values))
        # Texts may be added meanwhile; what is newer belongs to no series asked for.
        table = np.zeros(len(self.texts) + 2, np.bool_)
        table[wanted[(wanted >= 0) & (wanted < len(table) - 1)]] = True
        self._match(condition.patterns, table[:-2])
        codes = self.codes.view[:count]
        chosen = np.zeros(count, np.bool_)
        chosen[: len(codes)] = table[np.minimum(codes, len(table) - 1)]
        return chosen

    def _match(self, patterns: Collection[TextPattern], table: npt.NDArray[np.bool_]) -> None:
        """Mark the texts, by code, that match one of the patterns."""
        for pattern in patterns:
            start = 0
            for texts in self.texts.arrays():
                part = table[start : start + len(texts)]
                part |= pattern.matched(texts, WORK_MOST // len(patterns))[: len(part)]
                start += len(texts)
