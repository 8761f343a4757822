"""Exported files say what the run says, tell what they are, and are never half written."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import torch

from nin_exp.cli.main import main
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.data.preprocess.gcn import GlobalContrast
from nin_exp.data.preprocess.lcn import LocalContrast
from nin_exp.data.preprocess.zca import fit_whitening
from nin_exp.errors import ConfigError, DataError, IntegrityError, RefusedError
from nin_exp.inference.export.agreement import check_agreement
from nin_exp.inference.export.card import LICENCES, wilson_interval
from nin_exp.inference.export.preparation import preparation
from nin_exp.inference.export.sample import MAX_IMAGES, SampleImages, made_up_images, sample_images
from nin_exp.inference.exported import load_onnx
from nin_exp.inference.run import load_run
from nin_exp.reference.state import load_state


@pytest.fixture(scope="module")
def onnx_file(trained, tmp_path_factory) -> Path:
    """The trained run as ONNX, with its sum and card; not to be written to."""
    return load_run(trained, device="cpu").export("onnx", tmp_path_factory.mktemp("exported") / "digits.onnx")


@pytest.fixture
def own_onnx(onnx_file, tmp_path) -> Path:
    shutil.copytree(onnx_file.parent, tmp_path / "own")
    return tmp_path / "own" / onnx_file.name


def test_onnx_is_a_plain_model_with_its_own_preparation(onnx_file, test_images, test_logits) -> None:
    """By onnxruntime alone: uint8 images in, of any number; the logits that training measured out."""
    session = onnxruntime.InferenceSession(onnx_file.read_bytes(), providers=["CPUExecutionProvider"])
    (inputs,) = session.get_inputs()
    assert (inputs.name, inputs.type, inputs.shape) == ("images", "tensor(uint8)", ["N", 8, 8, 1])
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("probabilities", ["N", 10]), ("logits", ["N", 10])]
    for count in (1, 7, 100):
        probabilities, logits = session.run(None, {"images": test_images[:count, :, :, None]})
        np.testing.assert_allclose(logits, test_logits[:count], atol=1e-4)
        powers = np.exp(test_logits[:count].astype(np.float64))
        np.testing.assert_allclose(probabilities, powers / powers.sum(1, keepdims=True), atol=1e-5)
        assert (probabilities.argmax(1) == test_logits[:count].argmax(1)).all()


def test_onnx_tells_what_it_is(onnx_file, trained) -> None:
    facts = {p.key: p.value for p in onnx.load(onnx_file).metadata_props}
    record = json.loads((trained / "record.json").read_text())
    assert json.loads(facts["class_names"]) == list("0123456789")
    assert facts["config_hash"] == record["config_hash"]
    assert json.loads(facts["metrics"]) == record["metrics"]
    assert "_target_: nin_exp.backbones.nin" in facts["config"]
    check = json.loads(facts["nin_exp_check"])
    assert check["images"] == "100 validation images of digits"
    assert 0 <= check["max_probability_difference"] < 1e-5


def test_nothing_of_this_machine_is_in_it(onnx_file) -> None:
    content = onnx_file.read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content
    assert str(Path(__file__).resolve().parents[2]).encode() not in content


@pytest.mark.slow
def test_the_same_run_gives_the_same_file(onnx_file, trained, tmp_path) -> None:
    again = load_run(trained, device="cpu").export("onnx", tmp_path / "digits.onnx")
    assert again.read_bytes() == onnx_file.read_bytes()
    for path in (again, onnx_file):
        expected, name = path.with_name(f"{path.name}.sha256").read_text().split()
        assert (hashlib.sha256(path.read_bytes()).hexdigest(), path.name) == (expected, name)


def test_torch_program(run, tmp_path, test_images, test_logits) -> None:
    path = run.export("torch", tmp_path / "out.pt2")
    extra = {"nin_exp.json": ""}
    module = torch.export.load(path, extra_files=extra).module()
    for count in (1, 50):
        probabilities, logits = module(torch.from_numpy(test_images[:count, :, :, None].copy()))
        np.testing.assert_allclose(logits.detach().numpy(), test_logits[:count], atol=1e-4)
        np.testing.assert_allclose(probabilities.detach().sum(1).numpy(), 1, atol=1e-6)
    assert json.loads(json.loads(extra["nin_exp.json"])["class_names"]) == list("0123456789")


def test_weights_by_name(run, tmp_path) -> None:
    state = {name: value.numpy() for name, value in run.network.state_dict().items()}
    with safetensors.safe_open(run.export("safetensors", tmp_path / "w.safetensors"), "np") as file:
        assert json.loads(file.metadata()["class_names"]) == list("0123456789")
        assert "backbone:" in file.metadata()["config"]
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    with np.load(run.export("numpy", tmp_path / "w.npz"), allow_pickle=False) as file:
        header = json.loads(str(file["__header__"]))
        arrays = {name: file[name] for name in file.files if name != "__header__"}
    assert header["config_hash"] == run.record.config_hash
    for loaded in (found, arrays, load_state(tmp_path / "w.safetensors")):
        assert loaded.keys() == state.keys()
        assert all(np.array_equal(loaded[name], value) for name, value in state.items())


def test_card(onnx_file, trained) -> None:
    card = onnx_file.with_name("digits.onnx.md").read_text(encoding="utf-8")
    record = json.loads((trained / "record.json").read_text())
    assert card.startswith("# nin_bn with head gap, trained on digits\n")
    assert f"| test | 359 | {record['metrics']['test/acc']:.2%} | " in card
    assert "1294 for training, 144 for validation, 359 for the test" in card
    assert f"Parameters: {record['params_total']:,}" in card
    assert "CC BY 4.0" in card
    assert f"`{record['command']}`" in card
    assert "the same class for each, probabilities within" in card
    assert "uint8, N x 8 x 8 x 1" in card


def test_the_card_knows_the_licence_of_every_named_data_set() -> None:
    """As the data sets' own pages and files say it; of people's own data it knows none."""
    names = {path.stem for path in (shipped_config_dir() / "dataset").glob("*.yaml")}
    assert names - set(LICENCES) == {"arrays", "imagefolder"}
    assert set(LICENCES) <= names
    for name, words in {
        "mnist": "no formal licence", "cifar10": "no formal licence", "cifar100": "no formal licence",
        "svhn": "for non-commercial use only", "fashion_mnist": "MIT", "flowers": "CC BY 2.0", "digits": "CC BY 4.0",
    }.items():  # fmt: skip
        assert LICENCES[name].startswith(words)


def test_card_of_names_that_look_like_markdown(copied) -> None:
    path = copied / "input.json"
    values = json.loads(path.read_text())
    names = ["a|b", "<script>", "[x](y)", *values["class_names"][3:]]
    path.write_text(json.dumps({**values, "class_names": names}))
    card = load_run(copied, device="cpu").export("numpy").with_suffix(".npz.md").read_text()
    assert r"a\|b, \<script\>, \[x\](y), 3" in card


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"), [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (15, 50, 0.1910, 0.4375)]
)
def test_wilson_interval(hits, total, low, high) -> None:
    """Numbers of statsmodels' proportion_confint(method="wilson"), to four digits."""
    interval = wilson_interval(hits, total, 0.95)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_default_place_and_folders(copied) -> None:
    opened = load_run(copied, device="cpu")
    assert opened.export("numpy") == copied / "export" / f"{copied.name}.npz"
    folder = copied.parent / "folder"
    folder.mkdir()
    assert opened.export("numpy", folder) == folder / f"{copied.name}.npz"
    assert sorted(p.name for p in folder.iterdir()) == [f"{copied.name}.npz{end}" for end in ("", ".md", ".sha256")]


def test_a_file_that_says_something_else_is_refused(run, test_images) -> None:
    sample = SampleImages(test_images[:20, :, :, None], "20 images")
    wanted = run.predictor.logits(sample.levels)

    def shifted(by: float):
        logits = wanted.clone()
        logits[:, 0] += by
        return lambda levels: (logits.softmax(1).numpy(), logits.numpy())

    agreement = check_agreement(run.predictor, sample, shifted(1e-5))
    assert 0 < agreement.max_probability_difference < 1e-5
    with pytest.raises(RefusedError, match="must say what the run says, but on 20 images probabilities differ"):
        check_agreement(run.predictor, sample, shifted(0.01))
    with pytest.raises(RefusedError, match=r"the class of [1-9]\d*; nothing was written"):
        check_agreement(run.predictor, sample, shifted(50))
    with pytest.raises(RefusedError, match="nan"):
        check_agreement(run.predictor, sample, shifted(float("nan")))


def test_a_refused_export_leaves_nothing(copied, monkeypatch, capsys) -> None:
    monkeypatch.setattr("nin_exp.inference.export.agreement.TOLERANCE", -1.0)
    assert main(["export", str(copied), "--format", "torch", "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["error"]["code"] == 5
    assert not (copied / "export").exists()


def test_images_to_compare_on(run, test_images, save_pngs, tmp_path, copied) -> None:
    paths = save_pngs(test_images[:3], tmp_path / "photos")
    given = sample_images(run, paths)
    assert given.words == "3 given images"
    np.testing.assert_array_equal(given.levels[..., 0], test_images[:3])
    (tmp_path / "broken.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"broken\.png: not an image"):
        sample_images(run, [tmp_path / "broken.png"])
    opened = load_run(copied, device="cpu")
    node = {
        **opened.config.dataset,
        "_target_": "nin_exp.data.sources.arrays.Arrays",
        "source": "gone.npz",
        "test_fraction": 0.2,
    }
    opened.config = replace(opened.config, dataset=node)
    assert sample_images(opened, []).words == f"{MAX_IMAGES} made-up images (the data set is not here)"


def test_made_up_images_are_of_all_kinds(run) -> None:
    images = made_up_images(run.input_spec.image_spec)
    assert images.shape == (MAX_IMAGES, 8, 8, 1)
    assert images.dtype == np.uint8
    assert np.array_equal(images, made_up_images(run.input_spec.image_spec))
    means = images.mean((1, 2, 3))
    assert means.min() < 50
    assert means.max() > 200
    assert images.std((1, 2, 3)).max() > 40


SPECS = [("gray", (8, 8, 1)), ("colour", (7, 9, 3))]


@pytest.mark.parametrize(("name", "shape"), SPECS, ids=[name for name, _ in SPECS])
@pytest.mark.parametrize("kind", ["gcn", "gcn_zca", "lcn"])
def test_every_preparation_is_the_one_of_training(kind, name, shape) -> None:
    from nin_exp.contracts.data import ImageSpec

    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (40, *shape), dtype=np.uint8)
    images[0] = 90  # of one colour
    contrast = GlobalContrast(55.0, 1e-8)
    known = {"gcn": contrast, "lcn": LocalContrast(7, 2.0, 1e-4)}
    preprocessing = known[kind] if kind in known else fit_whitening(images, contrast, 0.1)
    module = preparation(preprocessing, ImageSpec(shape[2], shape[0], shape[1]))
    made = module(torch.from_numpy(images)).numpy().transpose(0, 2, 3, 1)
    wanted = preprocessing.apply(images)
    np.testing.assert_allclose(made, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.slow
def test_another_preparation_goes_through_onnx(copied, test_images) -> None:
    """A run whose images are normalised by their own contrast: the graph does it too."""
    path = copied / "input.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "preprocess": {"kind": "gcn", "scale": 55.0, "min_divisor": 1e-8}}))
    opened = load_run(copied, device="cpu")
    model = load_onnx(opened.export("onnx"))
    expected = [p.probabilities for p in opened.predict(test_images[:20])]
    np.testing.assert_allclose([p.probabilities for p in model.predict(test_images[:20])], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["gap", "fc", "gap_linear", "gmp_linear", "flatten_linear", "mlp"])
def test_every_head_has_an_onnx_form(copied, head, test_images) -> None:
    as_drawn(copied, "head", head)
    opened = load_run(copied, device="cpu")
    model = load_onnx(opened.export("onnx"))
    assert [p.class_name for p in model.predict(test_images[:9])] == [
        p.class_name for p in opened.predict(test_images[:9])
    ]


def as_drawn(run_dir: Path, group: str, option: str) -> None:
    """Make a run of no epoch of it, with another option."""
    import yaml

    record = json.loads((run_dir / "record.json").read_text())
    (run_dir / "record.json").write_text(json.dumps({**record, "epochs": 0, "best_epoch": None}))
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    config[group] = yaml.safe_load((shipped_config_dir() / group / f"{option}.yaml").read_text())
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 2, "'nothing' is not a run directory"),
        (["RUN", "--format", "caffe"], 2, "invalid choice: 'caffe'"),
        (["RUN", "--output", "model.h5"], 2, "output must end in .onnx for format onnx, got 'model.h5'"),
        (["RUN", "--images", "gone.png"], 3, "gone.png: not a file"),
        (["RUN", "--format", "numpy", "--output", "/proc/nowhere/m.npz"], 6, "cannot be written"),
    ],
)
def test_bad_input_is_one_line(trained, arguments, code, message, capsys, in_tmp) -> None:
    assert main(["export", *(str(trained) if word == "RUN" else word for word in arguments)]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_damage_exits_with_4(copied, capsys) -> None:
    path = copied / "checkpoints" / "best.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    assert main(["export", str(copied)]) == 4
    assert "best.ckpt does not match its checksum" in capsys.readouterr().err
    assert not (copied / "export").exists()


def test_verb(copied, capsys) -> None:
    assert main(["export", str(copied), "--format", "safetensors", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert Path(values["file"]).is_file()
    assert Path(values["card"]).is_file()
    assert values["agreement"] is None
    assert main(["export", str(copied), "--format", "numpy"]) == 0
    assert "read back: all weights equal" in capsys.readouterr().out


def test_unknown_format_from_python(run) -> None:
    with pytest.raises(
        ConfigError, match=r"format must be onnx, torch, safetensors, numpy, got 'onyx'\. Did you mean 'onnx'"
    ):
        run.export("onyx")


def test_flipped_bit_is_found(own_onnx) -> None:
    content = bytearray(own_onnx.read_bytes())
    content[len(content) // 2] ^= 1
    own_onnx.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"digits\.onnx does not match its checksum"):
        load_onnx(own_onnx)


def test_no_model_at_all(own_onnx) -> None:
    own_onnx.with_name("digits.onnx.sha256").unlink()
    own_onnx.write_bytes(b"no model")
    with pytest.raises(IntegrityError, match="must be an ONNX model, but cannot be read"):
        load_onnx(own_onnx)


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("nin_exp_schema", "", ConfigError, "must be written by `nin-exp export`, got another ONNX file"),
        ("nin_exp_schema", "99", IntegrityError, r"schema version <= 1, got 99; update nin-exp"),
        ("class_names", "{", IntegrityError, "must name its classes and input"),
    ],
)
def test_other_models(own_onnx, key, value, error, message) -> None:
    own_onnx.with_name("digits.onnx.sha256").unlink()
    model = onnx.load(own_onnx)
    for prop in model.metadata_props:
        prop.value = value if prop.key == key else prop.value
    onnx.save(model, own_onnx)
    with pytest.raises(error, match=message):
        load_onnx(own_onnx)


def test_missing_file_names_the_nearest(own_onnx) -> None:
    with pytest.raises(ConfigError, match=r"digit\.onnx must be an exported model.*Nearest: digits\.onnx"):
        load_onnx(own_onnx.with_name("digit.onnx"))
    with pytest.raises(ConfigError, match=r"open it with nin_exp\.load_onnx"):
        load_run(own_onnx)


def test_device_that_is_not_there(onnx_file, monkeypatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    for device in ("cuda", "abacus", "cuda:x"):
        with pytest.raises(ConfigError, match=f"device must be auto or cpu .*got '{device}'"):
            load_onnx(onnx_file, device=device)
