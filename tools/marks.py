"""Text between two marks of a document, which a command writes."""


def with_block(text: str, begin: str, end: str, block: str) -> str:
    """``text`` with what stands between the marks replaced by ``block``.

    Raises:
        SystemExit: a mark is missing.
    """
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise SystemExit(f"the document needs the marks {begin} and {end}")
    return f"{before}{begin}\n{block}{end}{after}"
