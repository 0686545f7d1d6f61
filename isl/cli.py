"""The command `isl`: one line on stderr for what is wrong, and an exit code that says the same.

0: done. 2: nothing could be done, because the input or the call is wrong. 3: some fields of several
failed, or a check did. 1: an internal error, with a traceback. 130: interrupted. Commands are found
by entry points (`isl.registry`), isl's own like those of other packages; each is a function with
typer's annotations.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer
import typer.main
from typer.exceptions import Abort, TyperException

from isl import registry
from isl.errors import InputError, as_options

INTERRUPTED = 130
_COMPLETING = "_ISL_COMPLETE"
"""Set by the shell that asks how a line may go on (isl --install-completion)."""
_AFTER_COLLECTING = 0.05
"""Seconds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The words after `isl`; None takes those of this process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    warnings = _WarningLines()
    # At the root, for training and evaluation are packages of their own, and so that no library
    # that logs without a handler installs one for all.
    logger = logging.getLogger()
    logger.addHandler(warnings)
    try:
        with _no_interrupt_lost():
            return _run(words)
    except (InputError, TyperException) as error:
        return _refuse(error)
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (isl models | head).
        sys.stderr.close()
        return 0
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        logger.removeHandler(warnings)


@contextlib.contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """Ctrl-C during a garbage collection acts just after it.

    Python only prints what is raised in a callback of the collector (JAX has one) or a destructor.
    """
    before = sys.unraisablehook
    raised: list[threading.Timer] = []

    def again(unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            raised.append(threading.Timer(_AFTER_COLLECTING, _interrupt))
            raised[-1].start()
        else:
            before(unraisable)

    sys.unraisablehook = again
    try:
        yield
        for timer in raised:
            timer.join()
    finally:
        sys.unraisablehook = before


def _interrupt() -> None:
    """Ctrl-C in the main thread, also where it waits."""
    if hasattr(signal, "pthread_kill") and (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _run(words: list[str]) -> int:
    if not words and _COMPLETING not in os.environ:
        raise InputError("no command given (isl --help lists them)")
    code = typer.main.get_command(_app(_commands(words[0] if words else "-"))).main(
        args=words, prog_name="isl", standalone_mode=False
    )
    return code if isinstance(code, int) else 0


def _show_version(wanted: bool) -> None:
    if wanted:
        from isl.files.provenance import versions

        found = versions()
        isl = f"isl {found.pop('isl')}"
        print(f"{isl} ({', '.join(f'{name} {version}' for name, version in found.items())})")
        raise typer.Exit


def _app(commands: dict[str, Callable[..., Any]]) -> typer.Typer:
    app = typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Label-free microscopy in, measured biology out, with its uncertainty.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_group)
    for name, function in commands.items():
        app.command(name)(function)
    return app


def _group(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Keeps `isl` a group of commands, however many there are."""


def _commands(wanted: str) -> dict[str, Callable[..., Any]]:
    """The command that is wanted, by its name; all of them where none is."""
    if wanted.startswith("-"):
        return registry.load_all(registry.COMMANDS)
    return {wanted: registry.load(registry.COMMANDS, wanted, what="command")}


def _refuse(error: InputError | TyperException) -> int:
    """Prints what is wrong on one line; a call that typer refuses is not worth more either."""
    if isinstance(error, InputError):
        message = as_options(error)
    else:
        context = getattr(error, "ctx", None)
        where = f"{context.command_path}: " if context is not None else ""
        message = where + " ".join(error.format_message().split())
    print(message, file=sys.stderr)
    return 2


class _WarningLines(logging.Handler):
    """Prints what is worth knowing, one line each, on stderr as it is at that moment.

    What holds of many images alike is said once.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record."""
        message = record.getMessage()
        if message not in self._said:
            self._said.add(message)
            own = record.name.partition(".")[0].partition("_")[0] == "isl"
            line = f"warning: {as_options(message)}" if own else message
            print(line, file=sys.stderr)
