"""BM25 over a whole corpus: idf and mean length are the corpus's, never a block's.

`Terms.read` counts the words of some passages, in any worker; `Bm25Index.of` joins the counts into bm25s's matrix of
scores by word, with array operations where bm25s's own builder walks over every word in Python. An index is a few large
arrays: in Ray's object store all workers of a machine read them from one memory map.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import bm25s
import numpy as np
import pyarrow as pa
import Stemmer
from scipy.sparse import csr_array

from syneg.ids import in_one
from syneg.passages import texts_of
from syneg.search.ranking import ranking_table
from syneg.settings.mine import Bm25Config
from syneg.texts import TERM, in_terms

_BLOCK = 64  # passages whose best score is looked at first

Sparse = Any  # scipy.sparse arrays, whose annotations leave the shape open


@dataclass(frozen=True)
class Terms:
    """How often each word occurs in each of P passages, as a sparse matrix [P, V] by rows."""

    passage_ids: pa.Array
    words: list[str]  # V
    counts: Sparse  # int32 [P, V]

    @classmethod
    def read(cls, passages: pa.Table, settings: Bm25Config) -> "Terms":
        """`passages`: columns passage_id, title, text."""
        tokens = _tokens(texts_of(passages), settings)
        lengths = np.fromiter(map(len, tokens.ids), np.int64, len(tokens.ids))
        columns = np.fromiter((number for ids in tokens.ids for number in ids), np.int32, lengths.sum())
        words = sorted(tokens.vocab, key=tokens.vocab.__getitem__)
        shape = (len(lengths), len(words))
        counts: Sparse = csr_array((np.ones(len(columns), np.int32), columns, np.cumsum([0, *lengths])), shape=shape)
        counts.sum_duplicates()
        return cls(in_one([passages["passage_id"]]), words, counts)


@dataclass(frozen=True)
class Bm25Index:
    """Lucene's variant of BM25 (Kamphuis et al., 2020), scored by bm25s."""

    index: Any  # bm25s.BM25
    passage_ids: pa.Array
    settings: Bm25Config

    @classmethod
    def build(cls, passages: Iterable[pa.Table], settings: Bm25Config) -> "Bm25Index":
        """`passages`: blocks with columns passage_id, title, text; every passage of the corpus once."""
        return cls.of([Terms.read(block, settings) for block in passages], settings)

    @classmethod
    def of(cls, parts: Sequence[Terms], settings: Bm25Config) -> "Bm25Index":
        """Of the words of a whole corpus, in the order of `parts`."""
        vocabulary: dict[str, int] = {}
        for part in parts:
            for word in part.words:
                vocabulary.setdefault(word, len(vocabulary))
        scores = _scores([_renumbered(part, vocabulary) for part in parts], settings)
        index: Any = bm25s.BM25(k1=settings.k1, b=settings.b, method="lucene")
        index.scores = {
            "data": scores.data,
            "indices": scores.indices,
            "indptr": scores.indptr,
            "num_docs": scores.shape[0],
        }
        index.vocab_dict = vocabulary
        index.nonoccurrence_array = None
        return cls(index, in_one(part.passage_ids for part in parts), settings)

    def top_k(self, query_ids: Sequence[str], texts: Sequence[str], k: int) -> pa.Table:
        """The k best passages for each query: `schemas.RANKING`. Passages that share no term with it are left out."""
        kept = min(k, len(self.passage_ids))
        rows, scores = np.full((len(texts), kept), -1, np.int64), np.zeros((len(texts), kept), np.float32)
        for query, words in enumerate(self._words(texts)):
            if len(words):
                best, found = self._best(self.index.get_scores_from_ids(words), kept)
                rows[query, : len(best)], scores[query, : len(best)] = best, found
        return ranking_table(pa.array(query_ids, pa.string()), self.passage_ids, rows, scores, k)

    def _best(self, scores_P: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Places and scores of the k best, of equal ones those of the first ids; fewer if fewer score at all."""
        rows = reaching(scores_P, k)
        scores = scores_P[rows]
        if len(rows) > k:
            kth = np.partition(scores, -k)[-k]
            above, level = rows[scores > kth], rows[scores == kth]
            if len(above) + len(level) > k:
                names = self.passage_ids.take(pa.array(level)).to_pylist()
                level = level[sorted(range(len(level)), key=names.__getitem__)]
            rows = np.concatenate([above, level])[:k]
            scores = scores_P[rows]
        return rows, scores

    def scores(self, texts: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """The score of one passage for each query: float32 [N]. `rows`: N passages, by their place in the corpus."""
        found = np.zeros(len(rows), dtype=np.float32)
        data, indices, indptr = (self.index.scores[name] for name in ("data", "indices", "indptr"))
        for place, (words, row) in enumerate(zip(self._words(texts), rows, strict=True)):
            for word in words:  # a word's passages are in the order of the corpus
                start, end = indptr[word], indptr[word + 1]
                at = start + np.searchsorted(indices[start:end], row)
                if at < end and indices[at] == row:
                    found[place] += data[at]
        return found

    def _words(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The words of each text that the corpus has, by number, a repeated one as often as it occurs there."""
        tokens = _tokens(texts, self.settings)
        number_of = {number: self.index.vocab_dict.get(word, -1) for word, number in tokens.vocab.items()}
        numbers = [np.array([number_of[number] for number in ids], np.int32) for ids in tokens.ids]
        return [known[known >= 0] for known in numbers]


def _renumbered(part: Terms, vocabulary: dict[str, int]) -> Sparse:
    """The counts with the columns of the whole corpus."""
    number_of = np.array([vocabulary[word] for word in part.words], np.int32)
    columns = number_of[part.counts.indices] if len(number_of) else part.counts.indices
    return csr_array((part.counts.data, columns, part.counts.indptr), shape=(part.counts.shape[0], len(vocabulary)))


def reaching(scores_P: np.ndarray, k: int) -> np.ndarray:
    """Places of all that may be among the k best: int64 [at least min(k, scores above 0)], in order.

    The k-th best of the blocks' maxima is a score that at least k passages reach. It takes a pass over the scores,
    where selecting k among all of them takes tens of passes.
    """
    maxima = np.maximum.reduceat(scores_P, np.arange(0, len(scores_P), _BLOCK))
    least = np.partition(maxima, -k)[-k] if len(maxima) > k else 0.0
    return np.flatnonzero(scores_P >= least if least > 0 else scores_P > 0)


def _scores(parts: Sequence[Sparse], settings: Bm25Config) -> Sparse:
    """What each word adds to each passage's score, by words: float32 [P, V].

    idf = ln(1 + (P - n + 0.5) / (n + 0.5)), times tf / (tf + k1 (1 - b + b |d| / mean length)).
    """
    passages, words = sum(part.shape[0] for part in parts), parts[0].shape[1] if parts else 0
    holding = sum((np.bincount(part.indices, minlength=words) for part in parts), np.zeros(words, np.int64))
    lengths = np.concatenate([part.sum(axis=1) for part in parts])
    idf = np.log(1 + (passages - holding + 0.5) / (holding + 0.5))
    norm = settings.k1 * (1 - settings.b + settings.b * lengths / max(lengths.mean(), 1e-12))
    data, start = [], 0
    for part in parts:
        own = np.repeat(norm[start : start + part.shape[0]], np.diff(part.indptr))
        data.append((idf[part.indices] * part.data / (part.data + own)).astype(np.float32))
        start += part.shape[0]
    ends = np.cumsum([0, *(part.nnz for part in parts)])
    pointers = np.concatenate([[0], *(part.indptr[1:] + end for part, end in zip(parts, ends, strict=False))])
    indices = np.concatenate([part.indices for part in parts])
    by_passage: Sparse = csr_array((np.concatenate(data), indices, pointers), shape=(passages, words))
    return by_passage.tocsc()


def _tokens(texts: Sequence[str], settings: Bm25Config) -> bm25s.tokenization.Tokenized:
    stemmer = Stemmer.Stemmer(settings.stemmer) if settings.stemmer != "none" else None
    stopwords = settings.stopwords if settings.stopwords != "none" else []
    apart = [in_terms(text) for text in texts]
    return bm25s.tokenize(apart, token_pattern=TERM, stopwords=stopwords, stemmer=stemmer, show_progress=False)  # type: ignore[return-value]
