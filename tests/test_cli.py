"""The command line as a whole: what every command shares, and the small commands."""

import gc
import importlib.metadata
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from flax import nnx

from isl import cli
from isl.backbones.resnet import ResNetConfig
from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.labeling.model import save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.polarity.classifier import build_classifier
from isl.polarity.model import PolarityConfig, save_polarity_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    architecture = UNetConfig(levels=2, width=4)
    labels = ("DAPI", "MAP2")
    network = build_network(architecture, planes=3, labels=labels, rngs=nnx.Rngs(0))
    contract = InputContract(planes=3, modality="DIC", pixel_size=0.65)
    config = ModelConfig(name="tiny", labels=labels, architecture=architecture, input=contract)
    save_model(folder, network, config, "# A card")
    return folder


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused, and returns its one line."""

    def run(*words):
        assert cli.main([str(word) for word in words]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        return printed.err.strip()

    return run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "no command given"),
        (["predikt"], "unknown command 'predikt'; did you mean 'predict'?"),
        (["--colour"], "No such option: --colour"),
        (["predict"], "no INPUT: name image files, or folders of them"),
        (["predict", "a.tif"], "give --out DIR for images"),
        (["predict", "a.tif", "--out", "o", "--statistic", "mean"], "No such option: --statistic"),
        (["predict", "a.tif", "--out"], "--out"),
        (["models", "extra"], "extra"),
        (["polarty", "E016"], "unknown command 'polarty'; did you mean 'polarity'?"),
        (["polarity"], "Missing argument 'INPUT...'"),
        (["polarity", "E016"], "Missing option '--out'"),
        (["focus", "stack.tif"], "Missing option '--out'"),
        (["eval"], "Missing argument 'config'"),
        (["eval", "no.toml", "--out", "o"], "no.toml: there is no such file"),
        (["import-weights", "f.npz", "--planes", "two", "--out", "o"], "--planes"),
        (["import-weights", "f.npz", "--planes", "0", "--out", "o"], "--planes"),
        (
            ["inspect", "no_such_model"],
            "no_such_model: there is no such file or folder; unknown model 'no_such_model'",
        ),
        (["inspect", "no_such/model"], "no_such/model: there is no such file or folder"),
        (["inspect", "no_such.tif"], "no_such.tif: there is no such file"),
    ],
)
def test_a_wrong_call_costs_one_line_and_exit_code_2(refused, words, line):
    message = refused(*words)
    assert line in message
    assert "Usage" not in message
    assert "Error" not in message


def test_help_names_every_command(capsys):
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    commands = (
        "predict polarity focus inspect models import-weights demo phantom train eval"
    ).split()
    listed = [line.split()[0] for line in printed.partition("Commands:")[2].splitlines() if line]
    assert sorted(word for word in listed if word in commands) == sorted(commands)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (
            "polarity",
            "out model interval-minutes frames onset axes channel device overwrite resume",
        ),
        ("focus", "out axes channel device overwrite"),
        ("train", "workdir set device workers"),
        ("eval", "out set device"),
    ],
)
def test_help_of_a_command_names_its_options(capsys, command, options):
    assert cli.main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    for option in options.split():
        assert f"--{option}" in printed


def test_help_of_predict_names_every_option(capsys):
    assert cli.main(["predict", "--help"]) == 0
    printed = capsys.readouterr().out
    options = (
        "out model labels statistics stitch border normalize dtype tile axes channel planes "
        "pixel-size resample allow-mismatch renormalize memory device dry-run overwrite resume"
    )
    for option in options.split():
        assert f"--{option}" in printed
    assert "│" not in printed


def test_help_loads_no_jax():
    program = (
        "import sys; from isl.cli import main; code = main(['--help']); "
        "sys.exit(code or 'jax' in sys.modules or 'scipy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_models_are_listed_without_jax():
    program = (
        "import sys; from isl.cli import main; code = main(['models']); "
        "sys.exit(code or 'jax' in sys.modules or 'scipy' in sys.modules)"
    )
    listed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert b"phantom" in listed.stdout


def test_predicting_loads_no_scipy():
    """Its parts take a third of a second, and a prediction needs none of them."""
    program = (
        "import sys; import isl.labeling.run.fields; "
        "sys.exit(any(f'scipy.{part}' in sys.modules for part in ('ndimage', 'special')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_other_distributions_add_commands(monkeypatch, capsys):
    def judge(thing: str) -> None:
        """Judges a thing."""
        if thing == "bad":
            raise InputError("bad: is not good; give another")
        print(f"judged {thing}")

    class Entry:
        name = "judge"

        def load(self):
            return judge

    class Broken:
        name = "broken"
        dist = None

        def load(self):
            raise ModuleNotFoundError("No module named 'gone'")

    found = [Entry(), Broken()]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)
    assert cli.main(["judge", "this"]) == 0
    assert capsys.readouterr().out == "judged this\n"
    assert cli.main(["judge", "bad"]) == 2
    assert capsys.readouterr().err == "bad: is not good; give another\n"
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr()
    assert "Judges a thing." in shown.out
    assert "'broken' cannot be loaded from a package (No module named 'gone')" in shown.err


def test_the_shell_completes_commands_and_options(monkeypatch, capsys):
    for line, word, expected in (("isl pre", 1, "predict"), ("isl predict --sym", 2, "--symm")):
        monkeypatch.setenv("_ISL_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(word))
        with pytest.raises(SystemExit):
            cli.main([])
        assert expected in capsys.readouterr().out


def test_the_version_is_shown(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("isl 0.1.0 (python 3.")


@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError("broken"), 1), (KeyboardInterrupt(), 130)]
)
def test_errors_of_our_own_have_a_traceback_and_interruptions_none(
    monkeypatch, capsys, error, code
):
    def fail():
        raise error

    monkeypatch.setattr("isl.commands.models.models", fail)
    assert cli.main(["models"]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code == 1)


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal: a shell's background jobs are started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_during_a_garbage_collection_is_not_lost(monkeypatch):
    def interrupted(phase, info):
        gc.callbacks.remove(interrupted)
        raise KeyboardInterrupt

    def collect(seconds):
        gc.callbacks.append(interrupted)
        gc.collect()
        time.sleep(seconds)
        ended.append(seconds)

    # While it waits, and where the command is done before it can be raised again.
    for seconds in (20, 0):
        ended: list[int] = []
        monkeypatch.setattr("isl.commands.models.models", lambda: collect(seconds))  # noqa: B023
        assert cli.main(["models"]) == cli.INTERRUPTED
        assert ended == ([] if seconds else [0])


def test_models_lists_bundled_models(model, monkeypatch, capsys):
    monkeypatch.setattr("isl.model_folder.BUNDLED", model.parent)
    assert cli.main(["models"]) == 0
    assert capsys.readouterr().out == "tiny  DAPI, MAP2 from 3 planes of dic (unet)\n"
    monkeypatch.setattr("isl.model_folder.BUNDLED", model)
    assert cli.main(["models"]) == 0
    assert "no models are bundled" in capsys.readouterr().out


def test_inspect_says_what_a_model_expects(model, capsys):
    assert cli.main(["inspect", str(model)]) == 0
    facts = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    facts = {key: value.strip() for key, value in facts.items()}
    assert facts["labels"] == "DAPI, MAP2"
    assert facts["planes"] == "3"
    assert facts["pixel size"] == "0.65 um"
    assert facts["z step"] == "not known"
    assert facts["architecture"] == "unet (levels 2, width 4, stem 1)"
    assert facts["stitch"] == "dense"
    assert facts["card"].endswith("card.md")
    assert int(facts["stored values"].replace(",", "")) > 1000


@pytest.fixture(scope="module")
def polarity_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("polarity_models") / "onset"
    backbone = ResNetConfig(depth=10, width=1, stem="small")
    member = build_classifier(backbone, 1, rngs=nnx.Rngs(0))
    config = PolarityConfig(
        name="onset", arm="ezrin", backbone=backbone, members=1, size=16, window=0.5, ezrin="tiny"
    )
    save_polarity_model(folder, [member], config, "# A card")
    return folder


def test_models_and_inspect_know_what_kind_a_model_is(polarity_model, monkeypatch, capsys):
    monkeypatch.setattr("isl.model_folder.BUNDLED", polarity_model.parent)
    assert cli.main(["models"]) == 0
    line = "onset  onset of polarization from ezrin (1 x resnet)\n"
    assert capsys.readouterr().out == line
    for thing in ("onset", str(polarity_model)):
        assert cli.main(["inspect", thing]) == 0
        facts = dict(row.split("  ", 1) for row in capsys.readouterr().out.splitlines())
        assert facts["arm"].strip() == "ezrin"
        assert facts["EZRIN"].strip() == "tiny"


def test_a_polarity_model_is_no_labeling_model(polarity_model, tmp_path, refused):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8))
    line = refused(
        "predict", tmp_path / "a.tif", "--out", tmp_path / "out", "--model", polarity_model
    )
    assert "is a model of kind 'polarity', not 'labeling'" in line


def test_inspect_says_what_an_image_holds(tmp_path, capsys):
    planes = np.zeros((2, 5, 7), np.uint16)
    planes[0, :, 3:] = 1000
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "ZYX"})
    assert cli.main(["inspect", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "1 T x 1 C x 2 Z x 5 Y x 7 X" in printed
    assert "uint16" in printed
    assert "0 to 1000, mean 0.0087" in printed
    assert "constant" in printed
    size = next(line for line in printed.splitlines() if line.startswith("pixel size"))
    assert size.endswith("  not known")


def test_inspect_lists_the_fields_of_a_folder(tmp_path, capsys):
    for number in (1, 2, 4, 10):
        tifffile.imwrite(tmp_path / f"field{number}_w0.tif", np.zeros((4, 6), np.uint8))
    (tmp_path / "field11_w0.tif").write_bytes(b"II*")
    assert cli.main(["inspect", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("fields      5")
    assert printed[1].startswith("numbers     1 to 2, 4, 10 to 11: what grows from name to name")
    assert printed[2] == "field1_w0   1 T x 1 C x 1 Z x 4 Y x 6 X uint8, not known a pixel"
    assert printed[5].startswith("field10_w0")
    assert "field11_w0.tif: cannot be read as TIFF" in printed[6]


def test_inspect_says_which_models_an_image_fits(tmp_path, capsys):
    planes = np.random.default_rng(0).integers(0, 4096, (13, 20, 24)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", planes, metadata={"axes": "ZYX"})
    call = ["inspect", str(tmp_path / "a.tif"), "--pixel-size", "0.3", "--z-step", "1"]
    assert cli.main([*call, "--modality", "DIC"]) == 0
    rows = capsys.readouterr().out.splitlines()
    facts = {key.strip(): value for key, value in (row.split("  ", 1) for row in rows)}
    facts = {key: value.strip() for key, value in facts.items()}
    assert facts["axes"] == "ZYX, as its description says"
    assert facts["in use"].startswith("12 of 16 bits")
    assert (facts["pixel size"], facts["z step"], facts["modality"]) == ("0.3 um", "1 um", "DIC")
    assert facts["model phantom"].startswith("does not fit: modality is DIC; model 'phantom'")
    assert facts["model ezrin-aif"].startswith("does not fit: z-stack has 13 planes")
    assert cli.main([*call, "--modality", "phase"]) == 0
    assert "model phantom" in (printed := capsys.readouterr().out)
    assert printed.split("model phantom", 1)[1].split("\n")[0].split() == ["fits"]
