from __future__ import annotations

import hashlib
import logging
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kcontroller import plugins
from kcontroller.errors import PluginError

WIDGETS = """
    from kcontroller.controller import Reconciler

    class Widgets(Reconciler):
        name = "widgets"
        def setup(self, builder): ...
        def reconcile(self, ctx, request): ...
"""
ABSTRACT = """
    from kcontroller.controller import Reconciler

    class Unfinished(Reconciler):
        def setup(self, builder): ...
"""

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a file into an empty working directory; imports are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
        return path

    yield put
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.path_importer_cache.clear()


def install(tmp_path: Path, *lines: str, distribution: str = "acme") -> None:
    """Make what pip leaves behind for a distribution with these entry points."""
    site = tmp_path / f"site-{distribution}"
    info = site / f"{distribution}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines]) + "\n")
    sys.path.append(str(site))


def names(*sources: str, **more: object) -> list[str]:
    return [type(reconciler).__name__ for reconciler in plugins.load(sources, **more)]  # type: ignore[arg-type]


def refused(*sources: str, **more: object) -> str:
    with pytest.raises(PluginError) as caught:
        plugins.load(sources, **more)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_gives_the_reconcilers_defined_in_it(write: Write) -> None:
    write("widgets.py", WIDGETS)
    assert names("widgets.py") == ["Widgets"]


def test_a_file_may_have_any_name_and_place(write: Write) -> None:
    path = write("deep/my-widgets.v2", WIDGETS)
    assert names(str(path)) == ["Widgets"]
    assert names("deep/my-widgets.v2:Widgets") == ["Widgets"]


def test_a_module_gives_the_reconcilers_defined_in_it(write: Write) -> None:
    write("acme/__init__.py", "")
    write("acme/widgets.py", WIDGETS)
    assert names("acme.widgets") == ["Widgets"]


def test_the_name_of_a_package_is_a_module_and_not_its_folder(write: Write) -> None:
    write("acme/__init__.py", WIDGETS)
    assert names("acme") == ["Widgets"]
    assert names(modules=["acme"]) == ["Widgets"]
    assert names(modules=["acme:Widgets"]) == ["Widgets"]


def test_imported_abstract_and_underscored_classes_are_left_alone(write: Write) -> None:
    write("widgets.py", WIDGETS)
    write(
        "gadgets.py",
        """
        from widgets import Widgets
        from kcontroller.controller import Reconciler

        class Base(Reconciler):
            def setup(self, builder): ...

        class _Hidden(Widgets): ...

        class Gadgets(Base):
            def reconcile(self, ctx, request): ...
        """,
    )
    assert names("gadgets.py") == ["Gadgets"]


def test_one_class_is_picked_also_an_imported_or_underscored_one(write: Write) -> None:
    write("widgets.py", WIDGETS + "\n    class _Hidden(Widgets): ...\n")
    write("all_of_them.py", "from widgets import Widgets, _Hidden\n")
    assert names("all_of_them.py:Widgets") == ["Widgets"]
    assert names("all_of_them.py:_Hidden") == ["_Hidden"]


def test_an_instance_counts_once_and_instead_of_its_class(write: Write) -> None:
    write("widgets.py", WIDGETS + "\n    first = Widgets()\n    same = first\n")
    assert names("widgets.py") == ["Widgets"]
    assert names("widgets.py:same") == ["Widgets"]


def test_an_instance_may_be_of_a_class_that_needs_arguments(write: Write) -> None:
    write("widgets.py", WIDGETS + "\n        def __init__(self, size): self.size = size\n\n    big = Widgets(10)\n")
    (reconciler,) = plugins.load(["widgets.py"])
    assert vars(reconciler) == {"size": 10}


def test_two_files_of_one_name_are_two_modules(write: Write) -> None:
    write("a/controller.py", WIDGETS)
    write("b/controller.py", WIDGETS.replace("idgets", "hales"))
    assert names("a/controller.py", "b/controller.py") == ["Widgets", "Whales"]


def test_a_file_can_import_its_neighbours(write: Write) -> None:
    write("deep/sizes.py", "SIZE = 3\n")
    write("deep/widgets.py", "    from sizes import SIZE\n" + WIDGETS)
    assert names("deep/widgets.py") == ["Widgets"]


def test_a_neighbour_cannot_take_the_place_of_an_installed_module(write: Write) -> None:
    write("site/installed_one.py", "")
    sys.path.append(str(Path("site").resolve()))
    write("installed_one.py", "raise RuntimeError")
    write("widgets.py", "    import installed_one\n" + WIDGETS)
    assert names("widgets.py") == ["Widgets"]


def test_a_dataclass_in_a_file_can_be_defined(write: Write) -> None:
    text = """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass(slots=True)
        class Size:
            width: int = 1
    """
    write("widgets.py", textwrap.dedent(text) + textwrap.dedent(WIDGETS))
    assert names("widgets.py") == ["Widgets"]


def test_a_missing_file_is_named_with_the_place_where_it_was_looked_for(tmp_path: Path) -> None:
    assert refused("widgets.py") == f"widgets.py: no such file (looked for {tmp_path / 'widgets.py'})"
    assert refused("widgets.py:Widgets") == f"widgets.py: no such file (looked for {tmp_path / 'widgets.py'})"


def test_a_directory_is_refused(tmp_path: Path, write: Write) -> None:
    write("deep/widgets.py", WIDGETS)
    assert refused("./deep") == f"./deep: is a directory, name a file in it (looked for {tmp_path / 'deep'})"


def test_a_syntax_error_is_told_with_file_and_line(tmp_path: Path, write: Write) -> None:
    write("widgets.py", "x = 1\ndef broken(:\n")
    assert refused("widgets.py") == f"{tmp_path / 'widgets.py'}:2: invalid syntax: def broken(:"


def test_a_missing_import_is_told_with_its_name_and_the_line(write: Write) -> None:
    write("widgets.py", "x = 1\nimport no_such_package.inside\n")
    assert refused("widgets.py") == (
        f"widgets.py:2: it needs the module 'no_such_package', which is not installed in {sys.prefix}"
    )


def test_a_module_that_needs_a_missing_one_is_not_called_missing(write: Write) -> None:
    write("acme.py", "import no_such_package\n")
    assert refused("acme") == f"acme: it needs the module 'no_such_package', which is not installed in {sys.prefix}"


@pytest.mark.parametrize("source", ["no_such_module", "no_such_module:Widgets"])
def test_a_missing_module_is_told(source: str, tmp_path: Path) -> None:
    assert refused(source) == f"no_such_module: no module named 'no_such_module' in {sys.prefix} or {tmp_path}"


def test_a_missing_submodule_is_told(write: Write, tmp_path: Path) -> None:
    write("acme/__init__.py", "")
    assert refused("acme.nothing") == f"acme.nothing: no module named 'acme.nothing' in {sys.prefix} or {tmp_path}"


@pytest.mark.parametrize("module", ["", ".", ".relative", "a..b", "my-controller", "a b"])
def test_what_is_neither_a_file_nor_a_name_of_a_module_is_refused(module: str) -> None:
    message = f"'{module}' is neither a file nor the name of a module; write controller.py or my.module"
    assert refused(modules=[module]) == message
    assert refused(module) == message


def test_an_error_while_importing_is_told_with_its_line_and_chained(write: Write) -> None:
    write("widgets.py", "def divide():\n    return 1 / 0\n\ndivide()\n")
    with pytest.raises(
        PluginError, match=r"^widgets\.py:2: it cannot be imported: ZeroDivisionError: division"
    ) as caught:
        plugins.load(["widgets.py"])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_secret_in_the_text_of_an_error_is_not_told(write: Write) -> None:
    write("widgets.py", 'raise ValueError("cannot log in with token=canary-1234\\nsecond line")\n')
    assert "canary" not in refused("widgets.py")


def test_a_file_that_ends_the_process_is_told(write: Write) -> None:
    write("widgets.py", "import sys\nsys.exit(0)\n")
    assert refused("widgets.py") == (
        "widgets.py:2: it ends the process when it is imported; put that under if __name__ == '__main__':"
    )


def test_a_file_that_failed_is_not_left_half_imported(write: Write) -> None:
    write("widgets.py", "raise ValueError\n")
    refused("widgets.py")
    assert [name for name in sys.modules if name.startswith("kcontroller_plugin_widgets")] == []


def test_a_file_without_a_reconciler_is_refused(write: Write) -> None:
    write("widgets.py", "class Widgets: ...\n")
    assert refused("widgets.py") == (
        "widgets.py: no Reconciler in it; define a subclass of kcontroller.Reconciler there"
    )


def test_a_file_with_abstract_ones_only_says_what_they_lack(write: Write) -> None:
    write("widgets.py", ABSTRACT)
    assert refused("widgets.py") == "widgets.py: no Reconciler in it; Unfinished is abstract, it lacks reconcile"
    assert refused("widgets.py:Unfinished") == "widgets.py: Unfinished is abstract, it lacks reconcile"


def test_an_abstract_one_beside_others_is_warned_about(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write("widgets.py", textwrap.dedent(WIDGETS) + textwrap.dedent(ABSTRACT))
    assert names("widgets.py") == ["Widgets"]
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "not started, because it is abstract"
    ]


def test_a_missing_class_is_told_with_those_that_are_there(write: Write) -> None:
    write("widgets.py", WIDGETS)
    assert refused("widgets.py:Wigdets") == "widgets.py: no 'Wigdets' in it; it has Widgets"


def test_a_missing_class_is_told_where_none_is(write: Write) -> None:
    write("widgets.py", "")
    assert refused("widgets.py:Widgets") == "widgets.py: no 'Widgets' in it; it has no Reconciler"


def test_what_is_no_reconciler_is_refused(write: Write) -> None:
    write("widgets.py", "class Widgets: ...\nsize = 3\n")
    for name in ("Widgets", "size"):
        assert refused(f"widgets.py:{name}") == (
            f"widgets.py: '{name}' is not a Reconciler; derive it from kcontroller.Reconciler"
        )


def test_a_constructor_that_needs_arguments_is_told(write: Write) -> None:
    write("widgets.py", WIDGETS + "\n        def __init__(self, url, *, size=1): ...\n")
    assert refused("widgets.py") == (
        "widgets.py: Widgets(url, *, size=1) needs arguments; give them defaults, "
        "or put an instance of it at module level"
    )


def test_a_constructor_that_raises_is_told_and_chained(write: Write) -> None:
    write("widgets.py", WIDGETS + "\n        def __init__(self): raise TypeError('no url')\n")
    with pytest.raises(PluginError, match=r"^widgets\.py: Widgets\(\) failed: TypeError: no url$") as caught:
        plugins.load(["widgets.py"])
    assert isinstance(caught.value.__cause__, TypeError)


def test_two_reconcilers_of_one_name_are_refused(write: Write) -> None:
    write("a.py", WIDGETS)
    write("b.py", WIDGETS.replace("class Widgets", "class Gadgets"))
    assert refused("a.py", "b.py") == (
        "two Reconcilers are named 'widgets': Widgets of a.py and Gadgets of b.py; set `name` on one of them"
    )


def test_reconcilers_without_a_name_are_not_compared(write: Write) -> None:
    write("widgets.py", WIDGETS.replace('name = "widgets"', "") + "\n    a = Widgets()\n    b = Widgets()\n")
    assert names("widgets.py") == ["Widgets", "Widgets"]


def test_installed_plugins_are_loaded_by_name_only(write: Write, tmp_path: Path) -> None:
    write("acme.py", WIDGETS + "\n    class Gadgets(Widgets):\n        name = 'gadgets'\n")
    sys.path.append(str(tmp_path))
    install(tmp_path, "widgets = acme:Widgets", "gadgets = acme:Gadgets")
    assert names(entry_points=["gadgets"]) == ["Gadgets"]


def test_all_installed_plugins_are_loaded_on_request(write: Write, tmp_path: Path) -> None:
    write("acme.py", WIDGETS + "\n    class Gadgets(Widgets):\n        name = 'gadgets'\n")
    sys.path.append(str(tmp_path))
    install(tmp_path, "both = acme")
    assert names(all_plugins=True) == ["Widgets", "Gadgets"]


def test_an_unknown_plugin_is_told_with_those_that_are_installed(tmp_path: Path) -> None:
    assert refused(entry_points=["widgets"]) == "no plugin named 'widgets' is installed; installed: none is"
    install(tmp_path, "b = acme:B", "a = acme:A")
    assert refused(entry_points=["widgets"]) == "no plugin named 'widgets' is installed; installed: a, b"


def test_an_installed_plugin_that_is_broken_is_named(tmp_path: Path) -> None:
    install(tmp_path, "widgets = acme_is_gone:Widgets")
    assert refused(entry_points=["widgets"]).startswith("plugin widgets: no module named 'acme_is_gone'")


def test_what_was_loaded_is_logged_with_version_and_digest(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write("acme.py", WIDGETS)
    sys.path.append(str(tmp_path))
    install(tmp_path, "widgets = acme:Widgets")
    with caplog.at_level(logging.INFO, "kcontroller.plugins"):
        plugins.load([], entry_points=["widgets"])
    (record,) = caplog.records
    assert (
        record.kc_fields
        == {  # type: ignore[attr-defined]
            "controller": "widgets",
            "reconciler": "Widgets",
            "module": "acme",
            "file": str(path),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest()[:12],
            "version": "acme 1.2",
        }
    )
