# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A run's folder and its gin files, checked before anything is created.
Each mistake is one clear line, with the names that come close."""

import contextlib
import difflib
import inspect
import os
import re
import tempfile
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import gin

from dormant.checks import ConfigurationError, RunFailed, first_line, require
from dormant.data_files import data_folder
from dormant.records.files import is_passing

GIN_CONFIGS = "gin_configs"
# Bytes of a path that the files of a run take below its folder.
_OWN_NAMES = 512
# What gin raises for a text that it cannot parse. Python's parser gives up on what is nested too
# deep with the last two.
_UNPARSED = (
    ValueError, TypeError, KeyError, SyntaxError, OSError, ImportError, tokenize.TokenError,
    RecursionError, MemoryError,
)  # fmt: skip


def check_base_dir(base_dir: str | None) -> str:
    """The absolute path of the run's folder, which exists or can be created and written.

    Raises:
      ConfigurationError: when it cannot.
      RunFailed: when that may pass, as on a full disk.
    """
    given = base_dir or ""
    require(given != "", "--base_dir", "given: the folder of the run", base_dir)
    require("://" not in given, "--base_dir", "a folder of this machine", given)
    require("\0" not in given, "--base_dir", "a path, which holds no NUL", given)
    # TensorFlow, which writes the event files, knows no others.
    is_text = given.encode("utf-8", "replace").decode("utf-8") == given
    require(is_text, "--base_dir", "a path in UTF-8", given)
    path = ancestor = os.path.abspath(given)
    while not os.path.lexists(ancestor):
        ancestor = os.path.dirname(ancestor)
    _check_length(path, ancestor)
    if not os.path.isdir(ancestor):
        raise ConfigurationError(f"--base_dir {base_dir}: {ancestor} is not a folder")
    try:
        # Permission bits do not tell: root passes them, and read-only file systems ignore them. The
        # file has no name, so that a process which is killed leaves none.
        with tempfile.TemporaryFile(dir=ancestor):
            pass
    except OSError as error:
        kind = RunFailed if is_passing(error) else ConfigurationError
        raise kind(
            f"--base_dir {base_dir} cannot be written: {ancestor}: {error.strerror}"
        ) from error
    return path


def _check_length(path: str, ancestor: str) -> None:
    """Checks that a folder below one that exists, and all that a run keeps in it, can be named."""
    longest, most = (_limit(ancestor, name) for name in ("PC_NAME_MAX", "PC_PATH_MAX"))
    parts = [os.fsencode(part) for part in Path(path).relative_to(ancestor).parts]
    length = max(map(len, parts), default=0)
    require(length <= longest, "--base_dir", f"of names of at most {longest} bytes", path)
    allowed = f"a path of at most {most - _OWN_NAMES} bytes"
    require(len(os.fsencode(path)) <= most - _OWN_NAMES, "--base_dir", allowed, path)


def _limit(folder: str, name: str) -> int:
    try:
        return os.pathconf(folder, name)
    except (OSError, ValueError):  # a file system that does not tell
        return {"PC_NAME_MAX": 255, "PC_PATH_MAX": 4096}[name]


def find_gin_files(gin_files: Sequence[str]) -> list[str]:
    """The paths of gin files given by path, or by their name in the package's own `gin_configs`,
    such as "vectorized/dqn.gin". A file of the working directory comes before a packed one.

    Raises:
      ConfigurationError: when there is none, or one does not exist.
    """
    require(bool(gin_files), "--gin_files", "given at least once", list(gin_files))
    return [_find(path) for path in gin_files]


def _find(path: str) -> str:
    packed = data_folder(GIN_CONFIGS)
    # What starts with "." or "/" can only be a path.
    named = [packed / path] if path[:1] not in (".", os.sep) else []
    # False also for what no file can be called, such as too long a name.
    for place in (Path(path), *named):
        if os.path.isfile(place):
            return os.path.abspath(place)
    if "\0" in path:
        require(False, "--gin_files", "a path, which holds no NUL", path)
    folder = Path(path).parent
    beside = close_matches(Path(path).name, _gin_files_in(folder))
    names = [each.relative_to(packed).as_posix() for each in packed.rglob("*.gin")]
    ours = close_matches(path.removeprefix(f"{GIN_CONFIGS}/"), names) if named else []
    found = dict.fromkeys([*(str(folder / name) for name in beside), *ours])
    raise ConfigurationError(f"--gin_files {path}: no such file{did_you_mean(list(found)[:3])}")


def _gin_files_in(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.glob("*.gin")]
    except OSError:  # no folder can be called so
        return []


def parse_gin(gin_files: Sequence[str], gin_bindings: Sequence[str]) -> None:
    """Replaces gin's configuration by that of the files, then of the bindings.

    What they name must have been imported. A file may include another of its own folder by name,
    or one of a folder beside it by `folder/name`. Neither the working directory nor what was
    parsed before comes before these; the package's own files, by their names, come last.

    Args:
      gin_files: paths or names, as in `find_gin_files`.
      gin_bindings: lines as in a gin file.

    Raises:
      ConfigurationError: when a file does not exist or includes itself, or a line cannot be parsed,
        names something that does not exist, or asks for a value by way of that value itself.
    """
    paths = [_find(path) for path in gin_files]
    gin.clear_config()
    try:
        for path in paths:
            with _includes_beside([path]):
                gin.parse_config_file(path)
        with _includes_beside(paths):
            gin.parse_config_files_and_bindings([], list(gin_bindings))
    except ConfigurationError as error:
        raise ConfigurationError(first_line(error)) from None  # gin has told where it stood
    except _UNPARSED as error:
        raise ConfigurationError(_explain_gin_error(error)) from error
    _check_no_circles()


@contextlib.contextmanager
def _includes_beside(paths: Sequence[str]) -> Iterator[None]:
    """Inside, gin looks for an included file in the files' folders and their parents first, and
    among the package's own last."""
    first = [str(place) for path in paths for place in list(Path(path).parents)[:2]]
    # gin adds places only at the end, for good: those of a file parsed before would win.
    places, readers = gin.config._LOCATION_PREFIXES, gin.config._FILE_READERS
    before = list(places), list(readers)
    places[:] = [*first, *places, str(data_folder(GIN_CONFIGS))]
    readers.insert(0, (_reader_that_knows_what_is_open(), os.path.isfile))
    try:
        yield
    finally:
        places[:], readers[:] = before


def _reader_that_knows_what_is_open() -> Any:
    """Opens files for gin, which keeps each open while it parses those that it includes."""
    under_way: list[str] = []

    @contextlib.contextmanager
    def read(path: str) -> Iterator[TextIO]:
        real = os.path.realpath(path)
        if real in under_way:
            way = " includes ".join(f'"{each}"' for each in [*under_way, real])
            raise ConfigurationError(f"gin: a file must not include itself; got {way}")
        under_way.append(real)
        try:
            with open(path, encoding="utf-8") as file:
                yield file
        except tokenize.TokenError as error:
            raise ConfigurationError(
                _unclosed(error, f'in "{path}", line {error.args[1][0]}')
            ) from error
        finally:
            under_way.remove(real)

    return read


_Key = tuple[tuple[str, ...], str]  # the scope in which a configurable is called, and its name


def _check_no_circles() -> None:
    """Checks that what gin was told can be evaluated: `ReDo.tau = @ReDo()` would never end."""
    done: set[_Key] = set()
    for scope, selector in list(gin.config._CONFIG):
        _follow((tuple(filter(None, scope.split("/"))), selector), {}, done)


def _follow(key: _Key, way: Mapping[_Key, str], done: set[_Key]) -> None:
    """Follows the references that a call evaluates; `way` has the binding that led on from each
    call before this one."""
    if key in way:
        raise ConfigurationError(
            f"gin: a value must not be asked for by itself; got {'; '.join(way.values())}"
        )
    if key in done:
        return
    scope, selector = key
    bound: dict[str, Any] = {}
    for depth in range(len(scope) + 1):
        bound |= gin.config._CONFIG.get(("/".join(scope[:depth]), selector), {})
    for parameter, value in bound.items():
        for reference in gin.config.iterate_references(value):
            if reference.evaluate:
                name = f"{selector.rpartition('.')[2]}.{parameter}"
                if name == "macro.value":
                    name = scope[-1]
                called = (tuple(reference.scopes) or scope, reference.configurable.selector)
                _follow(called, {**way, key: f"{name} = {reference!r}"}, done)
    done.add(key)


def unread_bindings(gin_bindings: Sequence[str]) -> list[str]:
    """Which bindings of dormant's own nothing that was made since `parse_gin` has read, such as
    ReDo's tau where there is no ReDo. What others bind may be read later."""
    read = {
        (*filter(None, scope.split("/")), selector, parameter)
        for (scope, selector), values in gin.config._OPERATIVE_CONFIG.items()
        for parameter in values
    }
    # What is not called yet, such as a schedule.
    references = gin.config.iterate_references(gin.config._OPERATIVE_CONFIG)
    called_later = {each.configurable.selector for each in references if not each.evaluate}
    delegate, unread = gin.config.ParserDelegate(), []
    for statement in gin.config_parser.ConfigParser("\n".join(gin_bindings), delegate):
        if not isinstance(statement, gin.config_parser.BindingStatement) or not statement.arg_name:
            continue
        key = gin.config.ParsedBindingKey.parse(statement[:3])
        selector, scopes = key.complete_selector, tuple(filter(None, key.scope.split("/")))
        # A call in the scope a/b reads what is bound in a.
        is_read = selector in called_later or any(
            one[: len(scopes)] == scopes and one[-2:] == (selector, key.arg_name) for one in read
        )
        if selector.startswith("dormant.") and not is_read:
            unread.append("/".join([*scopes, f"{key.given_selector}.{key.arg_name}"]))
    return unread


def _explain_gin_error(error: Exception) -> str:
    text = str(error.args[0]) if type(error).__name__ == "KeyError" and error.args else str(error)
    if isinstance(error, RecursionError | MemoryError):
        return "gin: a value must not be nested so deep that Python cannot read it"
    if isinstance(error, tokenize.TokenError):
        return _unclosed(error, "in --gin_bindings")
    if isinstance(error, SyntaxError):
        where = f'in "{error.filename}"' if error.filename else "in --gin_bindings"
        text, problem = (error.text or "").strip(), error.msg.strip(".")
        if token := re.search(r"Failed to parse token '(.*)'", problem):
            allowed = "a number, a quoted text, True, False, None, a list of these, @name or %name"
            problem = f"a value must be {allowed}; got {token[1]}"
        return f"gin: {first_line(problem)} {where}, line {error.lineno}: {text}"
    location = re.search(r'\n  In (?:file "(?P<file>.*)",|bindings.*) line (?P<line>\d+)', text)
    where = ""
    if location:
        file = location["file"]
        where = f' in "{file}", line {location["line"]}' if file else " in --gin_bindings"
    # A KeyError prints its text in quotes.
    problem = first_line(error).partition(". Searched config paths")[0].strip('".')
    missing = "No module named 'minatar'" in text
    install = "; MinAtar is installed by: pip install 'dormant[minatar]'" if missing else ""
    return f"gin: {problem}{where}{_gin_suggestion(text)}{install}"


def _unclosed(error: tokenize.TokenError, where: str) -> str:
    return f"gin: {error.args[0]} {where}; a closing bracket or quote is missing"


def _gin_suggestion(text: str) -> str:
    # gin offers no public list of what was registered.
    known = {selector.rsplit(".", 1)[-1] for selector, _ in gin.config._REGISTRY.items()}
    unknown = re.search(r"No configurable matching (?:reference )?'@?([^'()]+)", text)
    if unknown:
        wanted = unknown[1].rsplit("/", 1)[-1].rsplit(".", 1)[-1]
        return did_you_mean(close_matches(wanted, known))
    unknown = re.search(r"Configurable '(.+?)' doesn't have a parameter named '(.+?)'", text)
    if not unknown:
        return ""
    selector, wanted = unknown.groups()
    configurable = gin.get_configurable(selector)
    # Our agents inherit parameters from Dopamine's, and gin binds each under the class that has it.
    bases = inspect.getmro(configurable)[1:] if inspect.isclass(configurable) else ()
    names = sorted({base.__name__ for base in bases} & known)
    found = [f"{name}.{wanted}" for name in names if wanted in _parameters(name)]
    found += [f"{selector}.{name}" for name in close_matches(wanted, _parameters(selector))]
    return did_you_mean(found)


def _parameters(selector: str) -> list[str]:
    return list(inspect.signature(gin.get_configurable(selector)).parameters)


def close_matches(wanted: str, names: Iterable[str]) -> list[str]:
    """At most three of the names that are much like the one wanted, the likest first."""
    by_lower_case = {name.lower(): name for name in sorted(names)}
    close = difflib.get_close_matches(wanted.lower(), by_lower_case, n=3, cutoff=0.6)
    return [by_lower_case[name] for name in close]


def did_you_mean(names: Iterable[str]) -> str:
    """The end of an error's line that suggests names; empty where there are none."""
    names = list(names)
    return f"; did you mean {' or '.join(names)}?" if names else ""
