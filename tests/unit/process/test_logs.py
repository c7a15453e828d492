from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kcontroller.process import logs
from kcontroller.process.logs import Log, LogFormat, described, fields, one_line, redact

FORMATS: tuple[LogFormat, ...] = ("text", "json")
Lines = Callable[[], list[str]]
Start = Callable[..., Lines]

HOSTILE = "a\r\n12:00:00.000 INFO    forged: line\x1b[31m\x9b2J\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\x00\u202e\ud800z"
CANARY = "c4n4ry-5ecret.value"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def start() -> Iterator[Start]:
    """Configure the process's logs; returns a function that gives the records written so far, one each."""
    root, ours = logging.getLogger(), logging.getLogger("kcontroller")
    before = (list(root.handlers), root.level, ours.level)

    def begin(log_format: LogFormat | None = "text", *, stream: io.StringIO | None = None, **options: Any) -> Lines:
        stream = stream or io.StringIO()
        logs.configure(stream, log_format=log_format, **options)
        return lambda: stream.getvalue().removesuffix("\n").split("\n") if stream.getvalue() else []

    yield begin
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def raised(text: str = "boom") -> ValueError:
    try:
        raise ValueError(text)  # noqa: TRY301 - for its traceback
    except ValueError as error:
        return error


# ---- what a line says ------------------------------------------------------------------------------------------------


def test_json_has_the_keys_of_controller_runtime_first(start: Start) -> None:
    lines = start("json")
    Log("kcontroller.controller").info("saw %s", "x", replicas=3)
    (document,) = map(json.loads, lines())

    assert list(document) == ["level", "ts", "logger", "msg", "replicas"]
    assert (document["level"], document["logger"], document["msg"], document["replicas"]) == (
        *("info", "kcontroller.controller", "saw x"),
        3,
    )
    assert document["ts"].endswith("Z")


def test_text_is_for_people(start: Start) -> None:
    lines = start("text")
    Log("kcontroller.controller").warning("saw it", replicas=3, object="default/a b", why='say "no"')
    (line,) = lines()

    assert line[12:] == ' WARNING controller: saw it  replicas=3 object="default/a b" why="say \\"no\\""'


def test_the_format_follows_the_stream(start: Start) -> None:
    for_people = start(None, stream=Terminal())
    Log("kcontroller").info("x")
    for_machines = start(None)
    Log("kcontroller").info("x")

    assert not for_people()[0].startswith("{")
    assert json.loads(for_machines()[0])["msg"] == "x"


@pytest.mark.parametrize("log_format", FORMATS)
def test_values_that_say_nothing_are_left_out(start: Start, log_format: LogFormat) -> None:
    lines = start(log_format)
    Log("kcontroller").info("x", namespace="", cluster=None, count=0, flag=False)
    (line,) = lines()

    assert "namespace" not in line
    assert "cluster" not in line
    assert "count" in line
    assert "flag" in line


def test_a_field_cannot_replace_the_message(start: Start) -> None:
    lines = start("json")
    Log("kcontroller").info("true", msg="forged", level="fatal")

    assert json.loads(lines()[0]) | {"ts": ""} == {"level": "info", "ts": "", "logger": "kcontroller", "msg": "true"}


def test_below_the_level_nothing_is_written_nor_formatted(start: Start) -> None:
    lines = start("text", level="warning")

    class Loud:
        def __str__(self) -> str:
            raise AssertionError

    Log("kcontroller.x").info("%s", Loud())

    assert lines() == []


def test_loggers_of_plugins_are_heard_from_the_same_level_on(start: Start) -> None:
    lines = start("text", level="info")
    for log in (logging.getLogger("my.plugin"), Log("kcontroller.x")):
        log.debug("quiet")
        log.info("loud")

    assert [line.partition(": ")[2] for line in lines()] == ["loud", "loud"]


def test_a_second_configuration_replaces_the_first(start: Start) -> None:
    first, second = start("text"), start("text")
    Log("kcontroller").info("x")

    assert (len(first()), len(second())) == (0, 1)


def test_an_exception_is_described_in_bounds_whatever_its_text_does() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise OSError

    assert described(ValueError("no")) == "ValueError: no"
    assert described(Unspeakable()) == "Unspeakable: (its text cannot be had: OSError)"
    assert described(ValueError("z" * 100_000)) == f"ValueError: {'z' * 1000}... (100,000 characters)"


# ---- fields ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_format", FORMATS)
def test_plain_logging_calls_carry_the_fields_of_the_context(start: Start, log_format: LogFormat) -> None:
    lines = start(log_format)
    with fields(cluster="eu", name="a"), fields(name="b"):
        logging.getLogger("my.code").warning("hello")
    logging.getLogger("my.code").warning("outside")
    inside, outside = lines()

    if log_format == "json":
        document = json.loads(inside)
        assert (document["cluster"], document["name"]) == ("eu", "b")
    else:
        assert inside.endswith("hello  cluster=eu name=b")
    assert "eu" not in outside


def test_own_fields_come_first_and_win(start: Start) -> None:
    lines = start("text")
    with fields(name="outer", cluster="eu"):
        Log("kcontroller").info("x", name="own")

    assert lines()[0].endswith("x  name=own cluster=eu")


def test_fields_end_with_their_block_also_after_an_exception(start: Start) -> None:
    lines = start("text")
    with pytest.raises(ValueError, match="boom"), fields(name="a"):
        raise raised()
    Log("kcontroller").info("x")

    assert "name" not in lines()[0]


def test_threads_do_not_share_fields(start: Start) -> None:
    lines = start("text")
    with fields(name="mine"):
        thread = threading.Thread(target=lambda: Log("kcontroller").info("x"))
        thread.start()
        thread.join(10)

    assert "mine" not in lines()[0]


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_format", FORMATS)
def test_an_exception_is_one_line_without_traceback(start: Start, log_format: LogFormat) -> None:
    lines = start(log_format)
    Log("kcontroller").exception_of(raised(), "failed")

    assert len(lines()) == 1
    assert "Traceback" not in lines()[0]


def test_verbose_text_has_the_traceback_indented_below_the_line(start: Start) -> None:
    lines = start("text", verbose=True)
    Log("kcontroller").exception_of(raised(), "failed")
    first, *rest = lines()

    assert first.endswith("failed")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-1] == "    ValueError: boom"


def test_verbose_json_has_the_traceback_in_the_record(start: Start) -> None:
    lines = start("json", verbose=True)
    try:
        raise raised()
    except ValueError:
        Log("kcontroller").exception("failed")

    assert json.loads(lines()[0])["stacktrace"].endswith("ValueError: boom")


# ---- H11: one record per line, always --------------------------------------------------------------------------------


def lines_as_anyone_may_count_them(text: str) -> list[str]:
    return text.removesuffix("\n").splitlines()


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("where", ["message", "argument", "value", "key", "nested", "nested key", "context", "error"])
def test_hostile_text_makes_one_record_and_no_colours(start: Start, log_format: LogFormat, where: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # It refuses what cannot be encoded.
    logs.configure(stream, log_format=log_format)
    log = Log("kcontroller")
    match where:
        case "message":
            log.info(HOSTILE)
        case "argument":
            log.info("saw %s", HOSTILE)
        case "value":
            log.info("x", name=HOSTILE)
        case "key":
            log.info("x", **{HOSTILE: 1})
        case "nested":
            log.info("x", data={"a": [HOSTILE]})
        case "nested key":
            log.info("x", data={HOSTILE: 1})
        case "context":
            with fields(name=HOSTILE):
                logging.getLogger("user").warning("x")
        case "error":
            error = raised(HOSTILE)
            log.exception_of(error, "Reconciler error: %s: %s", type(error).__name__, error)
    stream.seek(0)
    text = stream.buffer.read().decode()  # type: ignore[attr-defined]

    assert len(lines_as_anyone_may_count_them(text)) == 1
    assert not set(text) & set("\x1b\x9b\x00\x0b\x85\u202e\r")
    if log_format == "json":
        assert json.loads(text)


def test_a_message_in_a_traceback_cannot_pass_for_a_record(start: Start) -> None:
    lines = start("text", verbose=True)
    Log("kcontroller").exception_of(raised(HOSTILE), "failed")
    first, *rest = lines()

    assert "\x1b" not in "".join(rest)
    assert all(line.startswith("    ") for line in rest)
    assert all(len(lines_as_anyone_may_count_them(line)) == 1 for line in (first, *rest))


def test_verbose_json_stays_one_line(start: Start) -> None:
    stream = io.StringIO()
    start("json", stream=stream, verbose=True)
    Log("kcontroller").exception_of(raised(HOSTILE), "failed")

    assert len(lines_as_anyone_may_count_them(stream.getvalue())) == 1


class Broken:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize(
    ("message", "arguments"), [("%d", ("x",)), ("%s and %s", ("one",)), ("%s", (Broken(),)), (Broken(), ())]
)
def test_a_line_that_cannot_be_formatted_is_still_one_line(
    start: Start, log_format: LogFormat, message: Any, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = start(log_format)
    logging.getLogger("user").warning(message, *arguments)

    assert len(lines()) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1, 2}, {("a",): 1}, Broken(), object(), b"\xff", {"a": {"b": Broken()}}]
)
def test_any_value_may_be_logged(
    start: Start, log_format: LogFormat, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = start(log_format)
    Log("kcontroller").info("x", value=value)
    (line,) = lines()

    assert capsys.readouterr().err == ""
    if log_format == "json":
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_value_that_contains_itself_ends(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    lines = start("json")
    loop: list[object] = []
    loop.append(loop)
    Log("kcontroller").info("x", loop=loop)

    assert len(lines()) == 1
    assert capsys.readouterr().err == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.text(), name=st.text(), log_format=st.sampled_from(FORMATS))
def test_any_text_makes_one_line(start: Start, message: str, name: str, log_format: LogFormat) -> None:
    stream = io.StringIO()
    start(log_format, stream=stream)
    Log("kcontroller").info("%s", message, name=name)
    text = stream.getvalue()

    assert text.endswith("\n")
    assert len(lines_as_anyone_may_count_them(text)) == 1
    if log_format == "json":
        json.loads(text)


def test_one_line_leaves_plain_text_alone() -> None:
    assert one_line("Grüße, 世界 ✓") == "Grüße, 世界 ✓"


# ---- H6: no secret ---------------------------------------------------------------------------------------------------

SECRETS = {
    "bearer": f"Authorization: Bearer {CANARY}",
    "basic": f"authorization: basic {CANARY}",
    "jwt": f"eyJhbGciOiJ.{CANARY.replace('.', '')}.c2lnbmF0dXJl",
    "proxy": f"http://user:{CANARY}@proxy:3128 refused",
    "key": f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
    "half a key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    "token": f"token={CANARY}",
    "quoted": f'password: "{CANARY}"',
    "with spaces": f"password: 'two words, {CANARY}'",
    "with escapes": f'{{"password": "a\\"b {CANARY}"}}',
    "json": f'{{"token":"{CANARY}"}}',
    "prefix": f"access_token={CANARY}&x=1",
    "header": f"X-Auth-Token: {CANARY}",
    "camel": f"bearerToken: {CANARY}",
    "client": f"client-secret={CANARY} clientSecret={CANARY}",
    "kubeconfig": f"client-key-data: {CANARY}",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_what_looks_like_a_credential_is_replaced(text: str) -> None:
    assert CANARY not in redact(text)
    assert CANARY.replace(".", "") not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("where", ["message", "argument", "value", "nested", "context", "traceback"])
def test_no_output_carries_a_secret_and_json_stays_json(
    start: Start, log_format: LogFormat, text: str, where: str
) -> None:
    lines = start(log_format, level="debug", verbose=True)
    log = Log("kcontroller")
    match where:
        case "message":
            log.debug(text.replace("%", "%%"))
        case "argument":
            log.info("got %s", text)
        case "value":
            log.warning("x", value=text, other=1)
        case "nested":
            log.error("x", value={"deep": [text]}, other=1)
        case "context":
            with fields(value=text):
                logging.getLogger("user").error("x")
        case "traceback":
            log.exception_of(raised(text), "failed")
    written = "\n".join(lines())

    assert "c4n4ry" not in written
    if log_format == "json":
        for line in lines():
            json.loads(line)


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("name", ["token", "password", "access_token", "bearerToken", "client_secret"])
@pytest.mark.parametrize("value", [CANARY, [CANARY], {"data": CANARY}, CANARY.encode()])
def test_a_field_whose_name_says_secret_is_not_written(
    start: Start, log_format: LogFormat, name: str, value: object
) -> None:
    lines = start(log_format)
    Log("kcontroller").info("x", **{name: value}, nested={name: value}, after=1)

    assert "c4n4ry" not in lines()[0]
    assert "after" in lines()[0]
    if log_format == "json":
        assert json.loads(lines()[0])[name] == "[redacted]"


@pytest.mark.parametrize(
    "text",
    [
        "the token expired",
        "secret default/db-password not found",
        "https://server:6443/api/v1/pods",
        "default/my-token-reviewer updated",
        "serviceaccount tokens are mounted",
    ],
)
def test_what_only_talks_of_secrets_stays(text: str) -> None:
    assert redact(text) == text


def test_redacting_takes_linear_time() -> None:
    for hostile in ("a" * 200_000, "token" * 40_000, "://" + "a:" * 100_000, '"' * 200_000, "token='" * 30_000):
        redact(hostile)
