from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Manager, ManagerOptions
from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.file import FileProvider
from kcontroller.multicluster.providers.kubeconfig import KubeconfigProvider
from kcontroller.multicluster.providers.kubeconfig_files import RETRY_SECONDS
from kcontroller.process.repeats import BY_TURNS, NAMED
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually
from kcontroller.testing.providers import Told
from tests.unit.multicluster.providers.told import kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def contexts(*names: str, server: str = "https://east.test") -> str:
    return kubeconfig(
        cluster={"server": server},
        contexts=[{"name": name, "context": {"cluster": "c", "user": "u"}} for name in names],
    )


class World:
    """A folder and a provider that looks at it when the test says so; its thread is not started."""

    def __init__(self, folder: Path, paths: tuple[str, ...], patterns: tuple[str, ...]) -> None:
        self.clock = VirtualClock()
        self.folder = folder
        self.told = Told()
        self.provider = FileProvider(paths or (str(folder),), contexts=patterns or ("*",), clock=self.clock)
        self.look()

    def look(self, times: int = 1) -> list[str]:
        for _ in range(times):
            self.provider._look(self.told)
        return self.told.said

    @property
    def names(self) -> list[str]:
        return sorted(self.told.clusters)

    def replace(self, name: str, text: str) -> None:
        """As careful programs write."""
        (self.folder / ".new").write_text(text)
        (self.folder / ".new").rename(self.folder / name)


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    def make(*paths: str, patterns: tuple[str, ...] = (), **files: str) -> World:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        return World(tmp_path, tuple(str(tmp_path / path) for path in paths), patterns)

    return make


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_every_context_of_a_file_is_a_cluster(world: Callable[..., World]) -> None:
    made = world("one", one=contexts("a", "b"))
    assert made.told.said == ["a", "b"]
    assert made.told.clusters["a"].config.server == "https://east.test"


def test_a_folder_is_its_files_without_hidden_ones_backups_and_folders(
    world: Callable[..., World], tmp_path: Path
) -> None:
    (tmp_path / ".hidden").write_text(contexts("hidden"))
    (tmp_path / "old~").write_text(contexts("backup"))
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "one").write_text(contexts("below"))
    assert world(one=contexts("a"), two=contexts("b")).names == ["a", "b"]


def test_a_glob_may_go_through_folders(world: Callable[..., World], tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "y" / "one.yaml").write_text(contexts("deep"))
    assert world("**/*.yaml", one=contexts("a")).names == ["deep"]


def test_a_glob_through_folders_follows_no_link_and_so_ends(world: Callable[..., World], tmp_path: Path) -> None:
    folder = tmp_path / "k[1]"
    (folder / "in" / "deep").mkdir(parents=True)
    (folder / "in" / ".hidden").mkdir()
    for name in ("in/deep/a", "in/.hidden/b", "c"):
        (folder / f"{name}.yaml").write_text(contexts(name[-1]))
    for name in ("self", "again", "in/up"):
        (folder / name).symlink_to(folder)
    (folder / "d.yaml").symlink_to(folder / "in" / "deep" / "a.yaml")

    assert world("k[[]1]/**/*.yaml").names == ["a.yaml+a", "c", "d.yaml+a"]
    assert world("k[[]1]/**").names == ["a.yaml+a", "c", "d.yaml+a"]
    assert world("k*/**/**/deep/**/*.yaml").names == ["a"]


def test_it_ends_in_the_middle_of_a_look(world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    made = world()
    read: list[Path] = []

    def load(_data: bytes, path: Path) -> dict[str, Any]:
        read.append(path)
        made.provider._stopping.stop()
        return {}

    for name in ("one", "two", "three"):
        made.replace(name, contexts(name))
    made.look()
    monkeypatch.setattr(made.provider._files, "_load", load)
    made.look()

    assert len(read) == 1
    assert made.told.said == []


def test_a_file_that_two_paths_name_is_read_once(world: Callable[..., World]) -> None:
    assert world("*", "one", ".", one=contexts("a")).names == ["a"]


def test_contexts_may_be_chosen_by_pattern(world: Callable[..., World]) -> None:
    made = world(patterns=("prod-*", "stage-?"), one=contexts("prod-eu", "dev", "stage-1", "stage-12", "PROD-us"))
    assert made.names == ["prod-eu", "stage-1"]


def test_a_context_that_two_files_have_is_named_with_its_file_whichever_was_there_first(
    world: Callable[..., World], tmp_path: Path
) -> None:
    made = world(one=contexts("a", "b"))
    made.replace("two", contexts("a"))
    made.look(2)
    assert made.names == ["b", "one+a", "two+a"]
    assert "a: no file has its context any more" in made.told.said

    assert World(tmp_path, (), ()).names == made.names
    (tmp_path / "one").unlink()
    made.look(2)
    assert made.names == ["a"]


def test_files_of_the_same_name_are_told_apart_by_their_paths(world: Callable[..., World], tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one").write_text(contexts("a"))
    assert world("*/one").names == [f"{tmp_path}/x/one+a", f"{tmp_path}/y/one+a"]


def test_a_context_that_goes_is_absent_and_one_that_changes_has_another_configuration(
    world: Callable[..., World],
) -> None:
    made = world(one=contexts("a", "b"))
    made.replace("one", contexts("b", server="https://west.test"))
    made.look(2)

    assert made.told.said == ["a", "b", "a: no file has its context any more", "b"]
    assert made.told.clusters["b"].config.server == "https://west.test"


def test_a_file_that_says_the_same_again_tells_nothing(world: Callable[..., World]) -> None:
    made = world(one=contexts("a"))
    made.replace("one", "# written again\n" + contexts("a"))
    assert made.look(3) == ["a"]


def test_a_change_counts_when_it_was_seen_twice(world: Callable[..., World]) -> None:
    made = world(one=contexts("a"))
    (made.folder / "one").write_text(contexts("a")[:40])
    made.look()
    (made.folder / "one").write_text(contexts("a", "b"))
    assert made.look() == ["a"]
    assert made.look() == ["a", "b"]


def test_a_file_that_is_away_for_a_moment_is_still_there(world: Callable[..., World]) -> None:
    made = world(one=contexts("a"))
    (made.folder / "one").unlink()
    made.look()
    made.replace("one", contexts("a"))
    assert made.look(3) == ["a"]


@pytest.mark.parametrize(
    "text", ["contexts: [", "", "just words", "contexts: 5", "[" * 100_000, "contexts: []", contexts("a")[:60]]
)
def test_half_a_file_leaves_what_was_there_and_is_said_once(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture, text: str
) -> None:
    caplog.set_level(logging.INFO)
    made = world(one=contexts("a"), two=contexts("b"))
    (made.folder / "one").write_text(text)
    made.look(5)
    assert [spec.name for spec in made.told.specs] == made.names == ["a", "b"]
    (said,) = warnings(caplog)
    assert str(made.folder / "one") in said
    assert made.told.refusals == {str(made.folder / "one"): (said, None)}

    (made.folder / "one").write_text(contexts("a", "c"))
    made.look(2)
    assert made.names == ["a", "b", "c"]
    assert made.told.refusals == {}
    assert caplog.messages[-1] == f"{made.folder / 'one'} can be used again"


def test_a_file_that_could_not_be_used_and_is_removed_is_said_to_be_gone(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = world(one=contexts("a"), two="contexts: [")
    (made.folder / "two").unlink()
    made.look(2)

    assert caplog.messages[-1] == f"{made.folder / 'two'} is gone"
    assert made.told.refusals == {}


def test_a_file_whose_contexts_are_not_wanted_any_more_is_not_broken(world: Callable[..., World]) -> None:
    made = world(patterns=("prod-*",), one=contexts("prod-eu", "dev"))
    made.replace("one", contexts("dev"))
    made.look(2)

    assert made.names == []
    assert made.told.refusals == {}


@pytest.mark.parametrize("path", ["van", "van/one"])
def test_a_path_that_goes_away_leaves_what_was_there_until_it_is_back(
    world: Callable[..., World], tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "van").mkdir()
    (tmp_path / "van" / "one").write_text(contexts("a"))
    made = world(path)
    (tmp_path / "van").rename(tmp_path / "away")
    made.look(5)

    assert made.names == ["a"]
    why = f"there is nothing at {tmp_path / path} any more; what was there goes on; it is looked for again"
    assert warnings(caplog) == [why]
    assert made.told.refusals == {str(tmp_path / path): (why, None)}

    (tmp_path / "away" / "two").write_text(contexts("b"))
    (tmp_path / "away").rename(tmp_path / "van")
    made.look(2)
    assert made.names == (["a", "b"] if path == "van" else ["a"])
    assert made.told.refusals == {}
    assert caplog.messages[-1] == f"{tmp_path / path} can be used again"


def test_what_a_wildcard_does_not_find_any_more_is_gone(world: Callable[..., World]) -> None:
    made = world("*e", one=contexts("a"))
    (made.folder / "one").unlink()
    made.look(2)

    assert made.names == []


def test_one_user_that_cannot_be_used_is_said_once_however_many_contexts_have_it(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    two = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("a", "b")]
    world(one=kubeconfig(user={"tokenFile": "token"}, contexts=two))

    (said,) = warnings(caplog)
    assert said.count("No such file") == 1


def test_a_file_that_is_fit_and_unfit_by_turns_is_no_flood_of_lines(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = world("one", one=contexts("a"))
    for number in range(40):
        made.replace("one", contexts("a") if number % 2 else "nonsense")
        made.look(2)

    assert len(caplog.records) == 2 * (NAMED + 1)
    assert caplog.records[-1].getMessage().endswith(f"/one can be used again{BY_TURNS}")


def test_a_context_that_cannot_be_used_harms_no_other_and_is_tried_again(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    made = world(one=contexts("a"), two=kubeconfig(user={"tokenFile": "token"}))
    assert made.names == ["a"]
    assert "token: No such file or directory" in warnings(caplog)[0]

    (made.folder / ".token").write_text("t")
    (made.folder / ".token").rename(made.folder / "token")
    made.look(3)
    assert "main" not in made.names
    made.clock.advance(RETRY_SECONDS)
    made.look()
    assert made.names == ["a", "main"]


def test_of_many_contexts_that_cannot_be_used_a_few_are_named(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    clusters = [{"name": f"c{number}", "cluster": {"server": f"east-{number}.test"}} for number in range(100)]
    contexts = [{"name": each["name"], "context": {"cluster": each["name"], "user": "u"}} for each in clusters]
    world(one=kubeconfig(clusters=clusters, contexts=contexts))
    (said,) = warnings(caplog)
    assert said.count("has no scheme") == 3
    assert said.endswith("; and 97 more like these")


def test_links_that_are_swapped_as_in_a_mounted_secret_are_followed(
    world: Callable[..., World], tmp_path: Path
) -> None:
    for version, server in (("..1", "https://east.test"), ("..2", "https://west.test")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "config").write_text(contexts("a", server=server))
        os.utime(tmp_path / version / "config", (1, 1))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "config").symlink_to("..data/config")
    made = world()
    assert made.told.said == ["a"]

    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    made.look(2)
    assert made.told.clusters["a"].config.server == "https://west.test"


def test_a_path_where_nothing_is_is_said_once_and_looked_for_again(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    made = world("one", "no*thing")
    made.look(3)
    assert warnings(caplog) == [
        f"there is no file at {made.folder / 'one'}; it is looked for again",
        f"there is no file at {made.folder / 'no*thing'}; it is looked for again",
    ]
    made.replace("one", contexts("a"))
    made.look(2)
    assert made.names == ["a"]
    assert list(made.told.refusals) == [str(made.folder / "no*thing")]


def test_an_empty_folder_is_nothing_to_warn_of(world: Callable[..., World], caplog: pytest.LogCaptureFixture) -> None:
    made = world()
    assert warnings(caplog) == []
    made.replace("one", contexts("a"))
    assert made.look(2) == ["a"]


def test_a_folder_that_cannot_be_looked_into_leaves_what_was_there(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world(one=contexts("a"))

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    made.look(3)
    assert made.names == ["a"]
    assert list(made.told.refusals) == [str(made.folder)]
    assert warnings(caplog) == [f"cannot look into {made.folder}: Permission denied; correct the path or its rights"]


@pytest.mark.parametrize("path", ["one", "."])
def test_a_file_that_cannot_be_looked_at_is_not_gone(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    made = world(path, one=contexts("a"))
    stat = os.stat

    def refuse(path: Any, **more: Any) -> os.stat_result:
        if str(path).startswith(str(made.folder)):
            raise PermissionError(13, "Permission denied", path)
        return stat(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        made.look(3)
    assert made.names == ["a"]
    assert warnings(caplog) == [
        f"cannot look into {made.folder / path}: Permission denied; correct the path or its rights"
    ]


def test_one_link_that_leads_nowhere_or_in_a_circle_harms_no_other_file(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    made = world(one=contexts("a"))
    (made.folder / "circle").symlink_to("circle")
    (made.folder / "nowhere").symlink_to("gone")
    made.replace("two", contexts("b"))
    made.look(2)
    assert made.names == ["a", "b"]
    assert [text.partition(":")[0] for text in warnings(caplog)] == [f"cannot look into {made.folder / 'circle'}"]


def test_row_12_a_server_without_scheme_is_refused_and_never_taken_for_the_root(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    made = world(one=contexts("a", server="east.test:6443/projects/p1/control-plane"))
    assert made.told.specs == []
    assert "has no scheme; write https://east.test:6443/projects/p1/control-plane" in warnings(caplog)[0]


@pytest.mark.parametrize("name", ["a b", "a\tb", "*", "x" * 254])
def test_a_context_whose_name_cannot_be_used_is_left_out(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    assert world(one=contexts(name, "arn:aws:eks:eu-west-1:1:cluster/x")).names == ["arn:aws:eks:eu-west-1:1:cluster/x"]
    assert warnings(caplog)[0].endswith("; rename it")


def test_a_file_that_nobody_has_thought_of_harms_no_other(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kcontroller.transport import kubeconfig as reader  # noqa: PLC0415

    load = reader.load_contexts

    def fail(data: bytes, path: Path, **more: Any) -> Any:
        return load(data, path, **more) if path.name == "two" else {}[0]

    monkeypatch.setattr(reader, "load_contexts", fail)
    made = world(one=contexts("a"), two=contexts("b"), zero=contexts("c"))
    assert made.names == ["b"]
    assert warnings(caplog) == [f"kubeconfig {made.folder / name} cannot be read: KeyError" for name in ("one", "zero")]


def test_whatever_goes_wrong_the_looking_goes_on(
    world: Callable[..., World], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world(one=contexts("a"), two="nonsense")
    caplog.clear()
    with monkeypatch.context() as patch:
        patch.setattr(made.provider._files, "look", lambda: 1 // 0)
        made.look(2)
    assert made.names == ["a"]
    assert list(made.told.refusals) == [str(made.folder / "two"), "what the files say"]
    made.look()
    assert list(made.told.refusals) == [str(made.folder / "two")]
    assert warnings(caplog) == ["the files cannot be looked at: ZeroDivisionError: integer division or modulo by zero"]


def test_a_thousand_contexts_of_one_file_are_parsed_once(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kcontroller.transport import kubeconfig as reader  # noqa: PLC0415

    parsed = []
    parse = reader._parse
    monkeypatch.setattr(reader, "_parse", lambda *args, **more: (parsed.append(1), parse(*args, **more))[1])
    made = world(one=contexts(*(f"c{number}" for number in range(1000))))
    made.look(5)

    assert len(made.names) == 1000
    assert len(parsed) == 1


def test_its_thread_looks_again_and_again_until_it_is_stopped(tmp_path: Path) -> None:
    clock, told = VirtualClock(), Told()
    (tmp_path / "one").write_text(contexts("a"))
    provider = FileProvider([str(tmp_path)], clock=clock)
    provider.start(told, hub=None)
    eventually(lambda: told.said == ["a", "(listed)"])
    (tmp_path / "one").write_text(contexts("b"))
    eventually(lambda: (clock.advance(1), "b" in told.clusters)[1])
    provider.stop()

    assert told.said == ["a", "(listed)", "a: no file has its context any more", "b"]


def test_it_needs_a_path() -> None:
    with pytest.raises(ConfigError, match="provider file needs a path"):
        FileProvider([])


def test_it_may_be_run_where_nothing_leads_to_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    quiet: dict[str, Any] = {"metrics_bind_address": "0", "health_probe_bind_address": "0"}
    manager = Manager(provider=FileProvider([str(tmp_path)]), options=ManagerOptions(**quiet))
    with manager:
        assert manager.wait_ready(5)

    assert not manager.failure
    assert "there is no hub: no kubeconfig found" in caplog.text
    with pytest.raises(ConfigError, match="no kubeconfig found"):
        Manager(provider=KubeconfigProvider())
