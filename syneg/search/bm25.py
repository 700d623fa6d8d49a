"""BM25 over a whole corpus: idf and mean length are the corpus's, never a block's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import bm25s
import numpy as np
import pyarrow as pa
import Stemmer

from syneg.search.ranking import ranking_table
from syneg.settings.mine import Bm25Config
from syneg.texts import passage_text

_SLACK = 16  # kept beyond k, so that equal scores around rank k are cut by id


@dataclass(frozen=True)
class Bm25Index:
    """Lucene's variant of BM25 (Kamphuis et al., 2020), scored by bm25s."""

    index: bm25s.BM25
    passage_ids: pa.Array
    settings: Bm25Config

    @classmethod
    def build(cls, passages: Iterable[pa.Table], settings: Bm25Config) -> "Bm25Index":
        """`passages`: blocks with columns passage_id, title, text; every passage of the corpus once."""
        ids: list[str] = []
        texts: list[str] = []
        for block in passages:
            ids += block["passage_id"].to_pylist()
            pairs = zip(block["title"].to_pylist(), block["text"].to_pylist(), strict=True)
            texts += [passage_text(title, text) for title, text in pairs]
        index = bm25s.BM25(k1=settings.k1, b=settings.b, method="lucene")
        index.index(_tokens(texts, settings), show_progress=False)
        return cls(index, pa.array(ids, pa.string()), settings)

    def top_k(self, query_ids: Sequence[str], texts: Sequence[str], k: int) -> pa.Table:
        """The k best passages for each query: `schemas.RANKING`. Passages that share no term with it are left out."""
        if not texts:
            return ranking_table(
                pa.array([], pa.string()), self.passage_ids, np.empty((0, 0), np.int64), np.empty((0, 0)), k
            )
        kept = min(k + _SLACK, len(self.passage_ids))
        rows, scores = self.index.retrieve(_tokens(texts, self.settings), k=kept, show_progress=False)
        rows = np.where(scores > 0, rows.astype(np.int64), -1)
        return ranking_table(pa.array(query_ids, pa.string()), self.passage_ids, rows, scores, k)

    def scores(self, texts: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """The score of one passage for each query: float32 [N]. `rows`: N passages, by their place in the corpus."""
        found = np.zeros(len(rows), dtype=np.float32)
        tokens = _tokens(texts, self.settings)
        words = {number: word for word, number in tokens.vocab.items()}
        for place, (numbers, row) in enumerate(zip(tokens.ids, rows, strict=True)):
            found[place] = self.index.get_scores([words[number] for number in numbers])[row]
        return found


def _tokens(texts: Sequence[str], settings: Bm25Config) -> bm25s.tokenization.Tokenized:
    stemmer = Stemmer.Stemmer(settings.stemmer) if settings.stemmer != "none" else None
    stopwords = settings.stopwords if settings.stopwords != "none" else []
    return bm25s.tokenize(list(texts), stopwords=stopwords, stemmer=stemmer, show_progress=False)  # type: ignore[return-value]
