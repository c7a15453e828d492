"""What somebody may have meant by a name that nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_NAMED: Final = 10
_MOST: Final = 50  # A kubeconfig in which a thousand contexts are wrong is read in no time, too.


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Name the known one that is spelled alike: ``, did you mean 'prod'?``; "" if none is, or very many are known."""
    import difflib  # noqa: PLC0415 - only who makes a mistake needs it

    close = difflib.get_close_matches(name, known, n=1) if len(known) <= _MOST else ()
    return f", did you mean {close[0]!r}?" if close else ""


def meant_or_known(name: str, known: Collection[str]) -> str:
    """What `did_you_mean` says, or else what there is: ``; there are dev, prod and 3 more``."""
    return did_you_mean(name, known) or f"; there {'is' if len(known) == 1 else 'are'} {listed(known) or 'none yet'}"


def listed(known: Collection[str]) -> str:
    """The first ten names, and how many more there are."""
    more = f" and {len(known) - _NAMED:,} more" if len(known) > _NAMED else ""
    return f"{', '.join(sorted(known)[:_NAMED])}{more}"
