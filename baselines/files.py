"""A controller of the user's own, named as file.py:Class."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from wisp_gym.errors import InputError, unknown

Answer = TypeVar("Answer")


def is_class_name(name: str) -> bool:
    """Say whether a name has the form file.py:Class."""
    return ".py:" in name


def load_controller(name: str, methods: Sequence[str], role: str) -> object:
    """Return a new object of a class in a file. The file's code runs.

    :param name: "path/to/file.py:Class"; the class takes no arguments
    :param methods: what the object must offer
    :param role: what it is to be, for the message
    :raises InputError: no such file or class, the file or the class fails, or a method is missing
    """
    path, _, class_name = name.rpartition(":")
    module = _run(Path(path), name)
    found = _asked(name, lambda: getattr(module, class_name, None))
    if not inspect.isclass(found):
        defined = [key for key, value in vars(module).items() if _defined_in(module, value)]
        raise unknown(f"class in {path}", class_name, defined)
    try:
        controller: object = found()
    except (Exception, SystemExit) as error:
        raise failed(name, f"{class_name}()", error) from error
    missing = _asked(name, lambda: [m for m in methods if not callable(getattr(controller, m, None))])
    if missing:
        raise InputError(
            f"{name}: a {role} needs the methods {', '.join(methods)}; it has no {', '.join(missing)}"
        )
    return controller


def _asked(name: str, question: Callable[[], Answer]) -> Answer:
    """Return what a question to the user's objects gives; their attributes may be code that fails."""
    try:
        return question()
    except (Exception, SystemExit) as error:
        raise failed(name, "looking at it", error) from error


def failed(name: str, what: str, error: BaseException) -> InputError:
    """Return the error for code of the user's that raised something: where, and what.

    :param name: of the controller, "path/to/file.py:Class"
    :param what: was called
    :param error: that came out of it
    """
    try:
        said = f"{type(error).__name__}: {error}"
    except Exception:
        said = type(error).__name__
    file = Path(name.rpartition(":")[0]).resolve()
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == file
    ]
    where = f" (line {lines[-1]})" if lines else ""
    return InputError(f"{name}: {what} fails: {said[:400]}{where}; --debug shows the traceback")


def _defined_in(module: ModuleType, value: object) -> bool:
    """Say whether a value is a class that the module defines itself."""
    return inspect.isclass(value) and value.__module__ == module.__name__


def _run(path: Path, name: str) -> ModuleType:
    """Return a file as a module of its own."""
    try:
        there = path.is_file()
    except (OSError, ValueError):  # too long for a path, or not one at all
        there = False
    if not there:
        raise InputError(f"{name}: there is no file {path}")
    unique = f"_controller_{path.stem}_{abs(hash(path.resolve())):x}"
    specification = importlib.util.spec_from_file_location(unique, path)
    if specification is None or specification.loader is None:
        raise InputError(f"{name}: {path} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[unique] = module  # dataclasses look their module up there
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise failed(name, str(path), error) from error
    return module
