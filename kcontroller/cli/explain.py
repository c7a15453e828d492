"""``kcontroller explain``: why an object is where it is, asked of a running daemon."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from kcontroller.cli.reach import find, socket_option
from kcontroller.process.logs import one_line
from kcontroller.process.spans import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOT_SETTLED: Final = 3
UNKNOWN: Final = 1

_EPILOG: Final = """\b
Exit codes:
  0  it is done
  1  nothing is known of it, or no daemon answers
  2  the command line is wrong
  3  it waits for something, or has failed
"""


@click.command("explain", epilog=_EPILOG)
@click.argument("names", metavar="[CLUSTER] KIND NAMESPACE/NAME", nargs=-1)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
@socket_option
@click.pass_context
def command(ctx: click.Context, /, names: tuple[str, ...], output: str, socket_path: str | None) -> None:
    """Say why an object is not reconciled, or is reconciled again and again.

    A running daemon tells what the object waits for and until when, its last error, what its reconciles wrote, and
    what happened to it lately: the events, the predicates that dropped them, and why it was queued. KIND is Widget,
    widgets or "example.com/v1 Widget"; of a kind that is owned or watched, the objects are explained that are
    reconciled because of it. In a cluster: kubectl exec deploy/NAME -- kcontroller explain KIND NAMESPACE/NAME.
    """
    if len(names) not in {2, 3}:
        msg = "name a kind and an object, and the cluster before them if there are several: explain Widget default/web"
        raise click.UsageError(msg, ctx)
    *before, kind, key = names
    cluster = before[0] if before else ""
    found = find(socket_path).get("/explain", cluster=cluster, kind=kind, key=key)
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        # Names and messages are others' words: none of them may move the cursor.
        click.echo("\n\n".join("\n".join(map(one_line, told(each))) for each in found))
    ctx.exit(exit_code(found))


def exit_code(found: Sequence[dict[str, Any]]) -> int:
    """Sum several explanations up."""
    if not any(each["known"] for each in found):
        return UNKNOWN
    return 0 if all(each["settled"] for each in found if each["known"]) else NOT_SETTLED


def told(explanation: dict[str, Any]) -> Iterator[str]:
    """One explanation in lines: the verdict first, then what is now, then what happened."""
    now = datetime.fromisoformat(explanation["now"])
    kind = explanation["kind"].rpartition(" ")[2]
    called = explanation.get("where") or explanation["cluster"]
    where = f" in {called}" if called else ""
    name = " ".join(filter(None, (kind, explanation["key"])))
    yield f"{name}{where}, controller {explanation['controller']}: {explanation['verdict']}"
    for each in explanation["waiting"][:1]:
        if each.get("remedy"):
            yield _line("remedy", each["remedy"])
    for each in explanation["waiting"][1:]:
        yield _line("also", each["why"])
    queue, cached, error = explanation["queue"], explanation["cached"], explanation["last_error"]
    if queue:
        because = f", queued for: {', '.join(queue['reasons'])}" if queue["reasons"] else ""
        yield _line("now", f"{queue['state']} for {_age(queue['since'], now)}, priority {queue['priority']}{because}")
    if cached:
        deleting = ", being deleted" if cached["deleting"] else ""
        yield _line("cached", f"resourceVersion {cached['version']}, generation {cached['generation']}{deleting}")
    else:
        yield _line("cached", "no cache shows it")
    if error:
        place = f" at {error['place']}" if error["place"] else ""
        yield _line("error", f"{_when(error, now)}: {error['error']}{place}, {error['then']}")
        yield _line("", f"reconcileID {error['reconcile_id']}")
    for each in explanation["writes"]:
        change = "" if each["change"] is None else f"  {json.dumps(each['change'], ensure_ascii=False)}"
        result = f"refused: {_refusal(each['answer'], error)}" if each["refused"] else f"-> {each['answer'] or 'done'}"
        yield _line("wrote", f"{_when(each, now)}: {each['verb']} {each['target']} {result}{change}")
    for note in explanation["notes"]:
        yield _line("note", note)
    width = max((len(_age(step["at"], now)) for step in explanation["steps"]), default=0)
    for step in explanation["steps"]:
        often = f" ({step['times']} times in {_lasted(step)})" if step.get("times") else ""
        yield f"  -{_age(step['at'], now):<{width}}  {step['what']:<8}{step['text']}{often}"


def _refusal(answer: str, error: dict[str, Any] | None) -> str:
    """The answer to a write; without its text if the error above has it."""
    return answer.partition(": ")[0] if error and answer in error["error"] else answer


def _when(event: dict[str, Any], now: datetime) -> str:
    often = f"{event['times']} times, last " if event.get("times") else ""
    return f"{often}{_age(event['at'], now)} ago"


def _lasted(event: dict[str, Any]) -> str:
    return _age(event["first"], datetime.fromisoformat(event["at"]))


def _line(head: str, text: str) -> str:
    return f"  {head:<8}{text}"


def _age(at: str, now: datetime) -> str:
    return span((now - datetime.fromisoformat(at)).total_seconds())
