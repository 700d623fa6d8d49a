"""The reasons for which a row is rejected: a closed list for each table, and one for what the corpus leaves out."""

CORPUS_REASONS = (
    "missing_target",  # a judgement of a passage or query that does not exist
    "repeated_judgement",
    "held_out",  # in train what dev or test judges as well, in dev what test does
    "unjudged_query",
    "empty_query",
    "not_positive",  # a query that no passage is relevant for, and its judgements
    "empty_positive",  # a query whose relevant passages are all blank, and its judgements
    "over_limit",
    "duplicate_text",
)
REASONS = {
    "synthetic": (
        "engine_error",
        "no_answer",
        "over_budget",
        "refused",
        "truncated",
        "malformed",
        "empty",
        "garbled",
        "too_short",
        "repetitive",
        "too_long",
        "meta_text",
        "copies_query",
        "copies_positive",
        "copies_example",
        "other_language",
        "off_topic",
        "too_close",
        "answers_query",
        "copies_relevant",
        "copies_held_out",
        "duplicate",
    ),
    "candidates": (
        "positive",
        "same_text_as_positive",
        "near_duplicate_of_positive",
        "query_itself",  # a passage with the query's id or its text
        "empty_passage",
        "same_text_as_other",
        "outside_window",
        "below_min_score",
        "above_margin",
        "cross_encoder",  # it finds the passage too good for a negative
        "short_query",  # the query has too few candidates, and mine.on_short says drop
        "answers_query",  # by the judge, where `judge_mined.enabled`
        "not_judged",  # the judge was asked of so many that stand before it
    ),
    "instances": ("empty_positive", "rejected_in_review", "too_few_synthetic", "too_few_retrieved"),
}
"""By table."""
