"""Find the Reconcilers that a run is made of: in files, in modules, among the installed plugins.

A source is ``FILE.py``, ``FILE.py:CLASS``, ``MODULE`` or ``MODULE:CLASS``. Without CLASS it gives, but for names with a
leading underscore:

* every instance of Reconciler at module level;
* every concrete subclass of Reconciler that is defined there (not imported), made without arguments, unless there is an
  instance of it already.

With CLASS it gives the class or instance of that name, also an imported or underscored one. A file becomes a module
under a name nobody else has; its folder goes to the *end* of ``sys.path``, so that it can import its neighbours while
none of them can take the place of an installed module. Modules are found in the working directory too, likewise last.
Installed plugins (entry points of the group ``kcontroller.reconcilers``) run with all rights of the controller, so they
are loaded only by name, or all of them on request. What is loaded is logged with version and SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kcontroller.controller import Reconciler
from kcontroller.errors import PluginError
from kcontroller.process.logs import Log, one_line, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import ModuleType

GROUP: Final = "kcontroller.reconcilers"

_HASH_DIGITS: Final = 12
_TEXT_LIMIT: Final = 256

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One source, taken apart. `text` is what errors call it."""

    text: str
    file: Path | None = None
    module: str = ""
    attribute: str = ""
    version: str = ""


def load(
    sources: Sequence[str],
    *,
    modules: Sequence[str] = (),
    entry_points: Sequence[str] = (),
    all_plugins: bool = False,
) -> list[Reconciler]:
    """Load the Reconcilers of files and modules, then of installed plugins, in the order given.

    Args:
        sources: files or modules, with or without ``:CLASS``.
        modules: the same, but always modules.
        entry_points: names of installed plugins.
        all_plugins: every installed plugin.

    Raises:
        PluginError: one line that names what could not be found or loaded, and the remedy; the cause is chained.
    """
    wanted = [_parse(source) for source in sources]
    wanted += [_parse_module(module) for module in modules]
    wanted += _installed(entry_points, every=all_plugins)
    found: list[tuple[Reconciler, _Wanted]] = []
    for one in wanted:
        module = _import(one)
        found += [(reconciler, one) for reconciler in _pick(one, module)]
    _refuse_duplicates(found)
    for reconciler, one in found:
        _tell(reconciler, one)
    return [reconciler for reconciler, _ in found]


def _parse(source: str) -> _Wanted:
    place, colon, attribute = source.rpartition(":")
    if not colon or Path(source).is_file() or not attribute.isidentifier():
        place, attribute = source, ""
    if place.endswith(".py") or "/" in place or Path(place).is_file():
        return _Wanted(place, file=Path(place), attribute=attribute)
    return _parse_module(source)


def _parse_module(source: str) -> _Wanted:
    place, _, attribute = source.partition(":")
    if not all(part.isidentifier() for part in place.split(".")):
        msg = f"'{place}' is neither a file nor the name of a module; write controller.py or my.module"
        raise PluginError(msg)
    return _Wanted(place, module=place, attribute=attribute)


def _installed(names: Sequence[str], *, every: bool) -> list[_Wanted]:
    if not names and not every:
        return []
    known = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    for name in names:
        if all(point.name != name for point in known):
            there = ", ".join(dict.fromkeys(point.name for point in known)) or "none is"
            msg = f"no plugin named '{name}' is installed; installed: {there}"
            raise PluginError(msg)
    return [
        _Wanted(
            f"plugin {point.name}",
            module=point.module,
            attribute=point.attr,
            version=f"{point.dist.name} {point.dist.version}" if point.dist else "",
        )
        for point in known
        if every or point.name in names
    ]


def _import(wanted: _Wanted) -> ModuleType:
    if wanted.file is not None:
        return _import_file(wanted, wanted.file)
    _append_path(Path.cwd())
    try:
        return importlib.import_module(wanted.module)
    except (Exception, SystemExit) as error:
        raise PluginError(_why(error, wanted)) from error


def _import_file(wanted: _Wanted, file: Path) -> ModuleType:
    path = file.resolve()
    if not path.is_file():
        what = "is a directory, name a file in it" if path.is_dir() else "no such file"
        msg = f"{wanted.text}: {what} (looked for {path})"
        raise PluginError(msg)
    name = f"kcontroller_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceFileLoader(name, str(path)))
    assert spec is not None  # noqa: S101 - it is None only without a loader
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    _append_path(path.parent)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(_why(error, wanted)) from error
    return module


def _append_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _why(error: BaseException, wanted: _Wanted) -> str:
    """Say in one line why an import failed; the place is the last line of the plugin that was running."""
    if isinstance(error, ModuleNotFoundError) and error.name and _is_or_holds(error.name, wanted.module):
        return f"{wanted.text}: no module named '{error.name}' in {sys.prefix} or {Path.cwd()}"
    if isinstance(error, SyntaxError):
        line = (error.text or "").strip()
        return f"{error.filename or wanted.text}:{error.lineno}: {error.msg}{f': {line}' if line else ''}"
    place = _place(error, wanted)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{place}: it needs the module '{error.name}', which is not installed in {sys.prefix}"
    if isinstance(error, SystemExit):
        return f"{place}: it ends the process when it is imported; put that under if __name__ == '__main__':"
    return f"{place}: it cannot be imported: {_text(error)}"


def _is_or_holds(name: str, module: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def _place(error: BaseException, wanted: _Wanted) -> str:
    if wanted.file is None:
        return wanted.text
    path = str(wanted.file.resolve())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{wanted.text}:{lines[-1]}" if lines else wanted.text


def _text(error: BaseException) -> str:
    return one_line(redact(f"{type(error).__name__}: {error}"))[:_TEXT_LIMIT].rstrip(": ")


def _pick(wanted: _Wanted, module: ModuleType) -> list[Reconciler]:
    if wanted.attribute:
        return [_named(wanted, module)]
    instances = [value for value in _public(module) if isinstance(value, Reconciler)]
    made = {type(instance) for instance in instances}
    classes = [kind for kind in _classes(module) if kind not in made]
    concrete = [kind for kind in classes if not inspect.isabstract(kind)]
    abstract = [kind for kind in classes if inspect.isabstract(kind)]
    if not instances and not concrete:
        msg = f"{wanted.text}: no Reconciler in it{_but_abstract(abstract)}"
        raise PluginError(msg)
    for kind in abstract:
        if not any(issubclass(other, kind) for other in (*concrete, *made)):
            _log.warning("not started, because it is abstract", source=wanted.text, reconciler=_lacks(kind))
    return [*instances, *(_make(wanted, kind) for kind in concrete)]


def _public(module: ModuleType) -> Iterable[object]:
    """Give each object once, though it may have two names."""
    return {id(value): value for name, value in vars(module).items() if not name.startswith("_")}.values()


def _classes(module: ModuleType) -> Iterator[type[Reconciler]]:
    for value in _public(module):
        if isinstance(value, type) and issubclass(value, Reconciler) and value.__module__ == module.__name__:
            yield value


def _named(wanted: _Wanted, module: ModuleType) -> Reconciler:
    value: object = module
    for part in wanted.attribute.split("."):  # An entry point may name a class inside a class.
        value = getattr(value, part, None)
    if isinstance(value, Reconciler):
        return value
    if value is None:
        there = ", ".join(kind.__name__ for kind in _classes(module)) or "no Reconciler"
        msg = f"{wanted.text}: no '{wanted.attribute}' in it; it has {there}"
        raise PluginError(msg)
    if not isinstance(value, type) or not issubclass(value, Reconciler):
        msg = f"{wanted.text}: '{wanted.attribute}' is not a Reconciler; derive it from kcontroller.Reconciler"
        raise PluginError(msg)
    if inspect.isabstract(value):
        msg = f"{wanted.text}: {_lacks(value)}"
        raise PluginError(msg)
    return _make(wanted, value)


def _make(wanted: _Wanted, kind: type[Reconciler]) -> Reconciler:
    try:
        inspect.signature(kind).bind()
    except TypeError as error:
        msg = (
            f"{wanted.text}: {kind.__name__}{inspect.signature(kind)} needs arguments; give them defaults, "
            f"or put an instance of it at module level"
        )
        raise PluginError(msg) from error
    try:
        return kind()
    except (Exception, SystemExit) as error:
        msg = f"{wanted.text}: {kind.__name__}() failed: {_text(error)}"
        raise PluginError(msg) from error


def _lacks(kind: type[Reconciler]) -> str:
    return f"{kind.__name__} is abstract, it lacks {', '.join(sorted(getattr(kind, '__abstractmethods__', ())))}"


def _but_abstract(abstract: Sequence[type[Reconciler]]) -> str:
    if not abstract:
        return "; define a subclass of kcontroller.Reconciler there"
    return "; " + "; ".join(_lacks(kind) for kind in abstract)


def _refuse_duplicates(found: Sequence[tuple[Reconciler, _Wanted]]) -> None:
    """Compare the names that are written down; what `setup` will choose, the manager compares."""
    owners: dict[str, str] = {}
    for reconciler, wanted in found:
        owner = f"{type(reconciler).__name__} of {wanted.text}"
        if reconciler.name in owners:
            first = owners[reconciler.name]
            msg = f"two Reconcilers are named '{reconciler.name}': {first} and {owner}; set `name` on one of them"
            raise PluginError(msg)
        if reconciler.name is not None:
            owners[reconciler.name] = owner


def _tell(reconciler: Reconciler, wanted: _Wanted) -> None:
    kind = type(reconciler)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    _log.info(
        "loaded",
        controller=reconciler.name,
        reconciler=kind.__qualname__,
        module=kind.__module__,
        file=file,
        sha256=_digest(file),
        version=wanted.version or _version(kind.__module__),
    )


def _digest(file: str | None) -> str:
    try:
        return hashlib.sha256(Path(file or "").read_bytes()).hexdigest()[:_HASH_DIGITS]
    except OSError:
        return ""


def _version(module: str) -> str:
    """Version of the distribution that has the name of the module's top-level package, if there is one."""
    try:
        return metadata.version(module.partition(".")[0])
    except metadata.PackageNotFoundError:
        return ""
