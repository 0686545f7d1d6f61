from pathlib import Path

import pytest

from isl.config import Config, configuration, load_toml, seen_from_the_shell
from isl.errors import InputError


class Optimizer(Config):
    learning_rate: float = 1e-3
    steps: int


class Loss(Config):
    kind: str


class Experiment(Config):
    name: str
    optimizer: Optimizer
    losses: tuple[Loss, ...] = ()
    fallback: Loss | None = None


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text('name = "first"\n[optimizer]\nsteps = 10\n')
    return path


def refusal(path: Path, overrides=()) -> str:
    with pytest.raises(InputError) as caught:
        load_toml(path, Experiment, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_values_and_defaults(file):
    read = load_toml(file, Experiment)
    expected = Experiment(name="first", optimizer=Optimizer(learning_rate=1e-3, steps=10))
    assert read == expected


def test_values_are_frozen(file):
    read = load_toml(file, Experiment)
    with pytest.raises(ValueError, match="frozen"):
        # What is tested is that this is refused.
        read.name = "second"  # pyright: ignore[reportAttributeAccessIssue]


def test_overrides_are_toml_or_bare_words(file):
    read = load_toml(
        file,
        Experiment,
        ["optimizer.learning_rate=1e-4", "name=second", "fallback.kind=mean", "optimizer.steps=7"],
    )
    assert read.name == "second"
    assert read.optimizer == Optimizer(learning_rate=1e-4, steps=7)
    assert read.fallback == Loss(kind="mean")


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("name", "`set=name`: expected key=value"),
        ("=3", "`set==3`: expected key=value"),
        ("name.first=3", "'name' is not a table"),
        ("optimizer.step=3", "unknown key 'optimizer.step'; did you mean 'optimizer.steps'?"),
        ("optimizer.steps=many", "optimizer.steps:"),
    ],
)
def test_bad_overrides(file, override, complaint):
    assert complaint in refusal(file, [override])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name = ", "is not valid TOML"),
        ('nam = "x"\n[optimizer]\nsteps = 1', "unknown key 'nam'; did you mean 'name'?"),
        (
            'name = "x"\n[optimizer]\nsteps = 1\nlearningrate = 1.0',
            "unknown key 'optimizer.learningrate'; did you mean 'optimizer.learning_rate'?",
        ),
        (
            'name = "x"\n[optimizer]\nsteps = 1\n[[losses]]\nkind = "a"\nkin = "b"',
            "unknown key 'losses.0.kin'; did you mean 'losses.0.kind'?",
        ),
        (
            'name = "x"\n[optimizer]\nsteps = 1\n[fallback]\nknd = "b"\nkind = "a"',
            "unknown key 'fallback.knd'; did you mean 'fallback.kind'?",
        ),
        ("[optimizer]\nsteps = 1\nlearning_rate = 0.1", "key 'name' is missing"),
        ('name = "x"\n[optimizer]\nsteps = "ten"', "optimizer.steps:"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(file, text, complaint):
    file.write_text(text)
    message = refusal(file)
    assert message.startswith(f"{file}: ")
    assert complaint in message


def test_missing_and_unreadable_files(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "absent.toml")
    assert "cannot be read" in refusal(tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refusal(binary)


class _Source(Config):
    path: str = ""


class _Paths(Config):
    dataset: Path = Path()
    more: tuple[Path, ...] = ()
    source: _Source = _Source()
    steps: int = 0


def test_paths_of_a_command_line_are_relative_to_where_it_was_typed(
    tmp_path: Path, monkeypatch
) -> None:
    here, folder = tmp_path / "here", tmp_path / "configs"
    for place, name in ((here, "mine.toml"), (folder, "theirs.toml"), (here / "data", "a")):
        place.mkdir(exist_ok=True)
        (place / name).touch()
    monkeypatch.chdir(here)

    def seen(*overrides: str) -> list[str]:
        return seen_from_the_shell(overrides, _Paths, folder)

    assert seen("dataset=mine.toml") == [f'dataset="{here / "mine.toml"}"']
    assert seen("dataset='mine.toml'") == [f'dataset="{here / "mine.toml"}"']
    assert seen("dataset=nowhere.toml") == [f'dataset="{here / "nowhere.toml"}"']
    assert seen("source.path=data/a") == [f'source.path="{here / "data" / "a"}"']
    assert seen("more=['mine.toml', 'theirs.toml']") == [
        f'more=["{here / "mine.toml"}", "theirs.toml"]'
    ]
    # Found beside the configuration only, a name, a variable, no path at all, no such key.
    untouched = ["dataset=theirs.toml", "source.path=data", "dataset=${X}/a", "steps=3", "a.b=c"]
    assert seen(*untouched) == untouched


def test_what_comes_with_isl_is_known_by_its_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = configuration(Path("neurons_quick"))
    assert shipped.name == "neurons_quick.toml"
    assert shipped.is_file()
    for name in ("neurons_quick.toml", "configs/neurons_quick.toml"):
        assert configuration(Path(name)) == shipped
    # A file of that name goes before it, and elsewhere nothing else is meant.
    Path("neurons_quick.toml").touch()
    assert configuration(Path("neurons_quick.toml")) == Path("neurons_quick.toml")
    for name in ("mine/neurons_quick.toml", "no.toml", "configs/no.toml"):
        assert configuration(Path(name)) == Path(name)
    with pytest.raises(InputError, match="unknown configuration 'neuron_quick'; did you mean 'n"):
        configuration(Path("neuron_quick"))
