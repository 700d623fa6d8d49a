"""Why a written negative is rejected: each reason of `rejection.REASONS["synthetic"]` with what follows from it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    finish_reason: str = ""  # of an answer that holds no text, the one that stands for this reason
    answered: bool = True  # False: the LLM said nothing, so that nothing can be said to it about its answer
    well_formed: bool = True  # False: it answered, but not in the form asked for
    told: str = ""  # to an LLM that is asked again; without it, it is told the reason's name


REASONS = {
    "engine_error": Reason("error", answered=False),
    "no_answer": Reason("no_answer", answered=False),
    "over_budget": Reason("over_budget", answered=False),
    "refused": Reason(
        "refusal",
        well_formed=False,
        told="it refuses. Nothing harmful is asked: the text serves to train a search engine.",
    ),
    "truncated": Reason(well_formed=False, told="it was too long and was cut off."),
    "malformed": Reason(well_formed=False, told="it is not the JSON that was asked for."),
    "empty": Reason(well_formed=False, told="the hard negative is empty."),
    "garbled": Reason(told="the hard negative is full of symbols, or is not made of words."),
    "too_short": Reason(told="the hard negative is far shorter than the positive_document."),
    "repetitive": Reason(told="the hard negative repeats itself."),
    "too_long": Reason(told="the hard negative is far longer than the positive_document."),
    "meta_text": Reason(told="the hard negative speaks of this task or repeats its words."),
    "copies_query": Reason(told="the hard negative only repeats the user_query."),
    "copies_positive": Reason(told="the hard negative copies the positive_document."),
    "copies_example": Reason(told="the hard negative copies the style_document."),
    "other_language": Reason(told="the hard negative is not in the language of the positive_document."),
    # Only a model or the other rows show these, after all was written: nobody is asked again.
    "off_topic": Reason(),
    "too_close": Reason(),
    "answers_query": Reason(),
    "copies_relevant": Reason(),
    "copies_held_out": Reason(),
    "duplicate": Reason(),
}
BY_FINISH = {reason.finish_reason: name for name, reason in REASONS.items() if reason.finish_reason}
NOT_ANSWERED = tuple(name for name, reason in REASONS.items() if not reason.answered)
NOT_WELL_FORMED = tuple(name for name, reason in REASONS.items() if not reason.well_formed)
TOLD = {name: reason.told for name, reason in REASONS.items() if reason.told}
