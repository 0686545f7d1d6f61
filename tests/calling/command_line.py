"""Commands called as a person would, and what they may leave behind."""

from isl import cli


def caller(command, capsys, **defaults):
    """A function that runs `isl COMMAND WORDS...`; returns code, stdout, stderr.

    Options in `defaults` are added where the words do not give them.
    """

    def call(*words):
        given = [str(word) for word in words]
        for name, value in defaults.items():
            if f"--{name}" not in given:
                given += [f"--{name}", str(value)]
        code = cli.main([command, *given])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def refusal(run, folder):
    """A function for calls that must be refused in one line and leave nothing; returns the line."""

    def call(*words):
        before = files_in(folder)
        code, out, err = run(*words)
        assert code == 2, err
        assert out == ""
        assert err.count("\n") == 1, err
        assert files_in(folder) == before
        return err.strip()

    return call


def files_in(folder):
    """Names and contents of everything below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
