"""What was asked and paid for, how much more may be, and what is said where that ends the stage."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.errors import StageFailed
from syneg.generate.advice import advice
from syneg.generate.requests import EARLIER
from syneg.settings.generate import Budget, GenerateConfig
from syneg.stage import Stake

_SINGLE = (
    "See to the engine, then run the same command again. If the endpoint refuses single requests for what they "
    "contain, or for their length, raise generate.max_error_rate."
)


@dataclass
class Spent:
    """What was asked and paid for so far. Tokens and errors include those that attempts before stored."""

    input_tokens: int = 0
    output_tokens: int = 0
    counted: int = 0  # answers whose tokens the engine reported
    uncounted: int = 0  # answers whose tokens it did not tell
    answered: int = 0  # in this attempt, and final
    failed: int = 0  # in this attempt, by the engine
    errors: int = 0
    tells: bool = True  # False: the engine need not report tokens, since nothing is paid
    piece_seconds: float = 0.0  # from the first request of a piece to the last answer, of the slowest piece

    def add(self, block: pa.Table) -> None:
        """Of rows as they came back, or as they were stored."""
        read = _own_tokens(block, "input_tokens")
        self.input_tokens += int(read.sum())
        self.output_tokens += int(_own_tokens(block, "output_tokens").sum())
        finished = block["finish_reason"].to_numpy()
        written = np.isin(finished, ("stop", "length"))  # the others may have cost nothing
        self.counted += int((written & (read > 0)).sum())
        self.uncounted += int((written & (read == 0)).sum()) if self.tells else 0  # no prompt is empty
        self.errors += int((finished == "error").sum())

    def time(self, block: pa.Table) -> None:
        """Of a piece as it came back."""
        asked = block.select(["asked_at", "seconds"]).drop_null()
        if asked.num_rows:
            began = asked["asked_at"].to_numpy()
            took = float((began + asked["seconds"].to_numpy()).max() - began.min())
            self.piece_seconds = max(self.piece_seconds, took)

    def ended(self, budget: Budget) -> bool:
        """Whether nothing more is to be asked: the budget is spent, or nobody knows what is spent."""
        return self._used(budget) >= 1.0 or (budget.capped and self.unknown)

    def room(self, budget: Budget, least: int, most: int) -> int:
        """The requests that may be under way, from `least` to `most`: as many as the budget pays for if they cost what
        the answers before did. 0 where it has `ended`."""
        if not budget.capped:
            return most
        if self.ended(budget):
            return 0
        used = self._used(budget)
        paid_for = (self.counted + self.uncounted) * (1 / used - 1) if used else 0
        return min(most, max(least, int(paid_for)))

    def facts(self, stake: Stake) -> dict[str, Any]:
        """What failed, and how long answers waited to be stored, with warnings where that was too long or where tokens
        were not told."""
        warnings = []
        if self.piece_seconds > stake.seconds:
            warnings.append(
                f"A worker was at one piece of requests for {self.piece_seconds:.0f} s, so a death costs more than "
                f"store.part_seconds={stake.seconds:g}. State the rate that this engine has "
                "(resources.estimate.output_tokens_per_second, output_tokens), or allow for more seconds."
            )
        if self.uncounted:
            warnings.append(untold(self.uncounted))
        return {"errors": self.errors, "piece_seconds": round(self.piece_seconds, 1), "warnings": warnings}

    def progress(self, open_requests: int) -> str:
        """A line for who waits: "3/20 answers, 2 failed"."""
        return f"{self.answered}/{open_requests} answers" + (f", {self.failed} failed" if self.failed else "")

    def ending(self, budget: Budget, before: int, total: int) -> StageFailed:
        """What is said where it has `ended` before all of `total` answers; `before` this attempt were stored."""
        if self.unknown:
            return StageFailed(
                f"generate: the endpoint reports no tokens (`usage`) with its {self.uncounted} answers, so that "
                f"generate.budget cannot be kept and nothing more is asked; {before + self.answered} of {total} are "
                "stored. Have it tell them, and ask anew with another generate.seed; or set generate.budget.tokens and "
                "generate.budget.money to null, bound the cost by generate.max_pairs, and run the same command again."
            )
        price = budget.price(self.input_tokens, self.output_tokens)
        return StageFailed(
            f"generate: generate.budget is spent after {before + self.answered} of {total} answers: "
            f"{self.input_tokens:,} tokens read and {self.output_tokens:,} written, {price:,.2f} by the prices given."
            "\nThe answers are kept. Raise generate.budget and run the same command again to go on."
        )

    def check_errors(self, block: pa.Table, before: int, total: int, generate: GenerateConfig) -> None:
        """Raises StageFailed if the engine failed too many of all `total` requests, by the last of which in `block`;
        `before` this attempt were stored."""
        failed = block["error"].drop_null().to_pylist()
        if failed and self.errors > generate.max_error_rate * total:
            raise StageFailed(
                f"generate: the engine failed {self.errors} of {total} requests, more than "
                f"generate.max_error_rate={generate.max_error_rate}. The last one said: {failed[-1]}\n"
                + self.kept(before)
                + advice(failed[-1], generate.engine, "generate.engine", _SINGLE)
            )

    def kept(self, before: int) -> str:
        """What is said of the answers that are stored; nothing where there is none."""
        stored = before + self.answered
        return f"What was answered is kept ({stored:,}). " if stored else ""

    @property
    def unknown(self) -> bool:
        """Whether there are answers, and none of them says what it cost."""
        return self.uncounted > 0 and not self.counted

    def _used(self, budget: Budget) -> float:
        """The share of the cap. An answer without counts is taken to cost what those with counts do on average."""
        told = budget.used(self.input_tokens, self.output_tokens)
        return told * (1 + self.uncounted / self.counted) if self.counted else told


def untold(answers: int) -> str:
    """A warning."""
    return f"{answers:,} answers came without token counts, which all sums and prices of tokens leave out."


def _own_tokens(block: pa.Table, name: str) -> np.ndarray:
    """int64 [N]: without those of the tries `before`, which were added when they came back."""
    tokens = block[name].to_numpy().astype(np.int64)
    if "before" not in block.column_names:
        return tokens
    before = block["before"].cast(EARLIER)  # vLLM's batches pass through Python, which knows no type of what is None
    return tokens - pc.struct_field(before, name).fill_null(0).to_numpy()  # type: ignore[attr-defined]
