from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nin_exp.contracts.data import ImageArrays
from nin_exp.data.augment import Augment
from nin_exp.data.loader import BatchLoader, _generator
from nin_exp.data.preprocess.channels import ChannelNormalization
from nin_exp.errors import ConfigError, IntegrityError

AUGMENT = Augment(translate=2, flip=True, cutout=3, pad_mode="zeros")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def split(count: int, shape: tuple[int, int, int] = (6, 6, 3)) -> ImageArrays:
    rng = np.random.default_rng(count)
    return ImageArrays(rng.integers(0, 256, (count, *shape), dtype=np.uint8), rng.integers(0, 4, count))


def loader(count: int = 23, **changes) -> BatchLoader:
    arguments = {
        "preprocessing": ChannelNormalization("standardize", MEAN, STD),
        "batch_size": 8,
        "shuffle": True,
        "drop_last": False,
        "augment": AUGMENT,
        "order_seed": 1,
        "augment_seed": 2,
        "device": "cpu",
        "channels_last": False,
    }
    return BatchLoader(split(count), **(arguments | changes))


def equal(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


sizes = st.integers(1, 40)


@settings(deadline=None)
@given(sizes, sizes, st.booleans(), st.integers(0, 3))
def test_an_epoch_has_every_image_once(count, batch_size, shuffle, epoch):
    batches = loader(count, batch_size=batch_size, shuffle=shuffle, augment=None)
    batches.set_epoch(epoch)
    found = [indices for _, _, indices in batches]
    assert len(found) == len(batches) == -(-count // batch_size)
    assert sorted(torch.cat(found).tolist()) == list(range(count))
    if not shuffle:
        assert torch.cat(found).tolist() == list(range(count))
    assert batches.epoch == epoch + 1


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 5), st.booleans())
def test_the_ranks_together_see_what_one_sees(count, batch_size, world_size, shuffle):
    tail = count % batch_size or batch_size
    if shuffle and min(tail, count) < world_size:
        with pytest.raises(ConfigError, match=rf"batch_size must leave each of the {world_size} ranks an image"):
            loader(count, batch_size=batch_size, world_size=world_size)
        return
    alone = loader(count, batch_size=batch_size, shuffle=shuffle)
    ranks = [
        loader(count, batch_size=batch_size, shuffle=shuffle, rank=r, world_size=world_size) for r in range(world_size)
    ]
    for whole, *parts in zip(alone, *ranks, strict=True):
        joined = tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))
        assert equal(whole, joined)
        lengths = [len(part[1]) for part in parts]
        assert max(lengths) - min(lengths) <= 1


@settings(deadline=None)
@given(st.integers(5, 40), st.integers(1, 12), st.booleans(), st.data())
def test_restored_in_the_middle_the_rest_is_equal_byte_for_byte(count, batch_size, shuffle, data):
    original = loader(count, batch_size=batch_size, shuffle=shuffle)
    original.set_epoch(data.draw(st.integers(0, 5)))
    done = data.draw(st.integers(0, len(original)))
    running = iter(original)
    for _ in range(done):
        next(running)
    state = original.state_dict()
    rest = [*running, *original]
    restored = loader(count, batch_size=batch_size, shuffle=shuffle)
    list(restored)  # whatever it did before
    restored.load_state_dict(state)
    again = [*restored, *restored] if done < len(original) else list(restored)
    assert len(rest) == len(again)
    assert all(equal(a, b) for a, b in zip(rest, again, strict=True))


def test_a_state_is_plain_numbers_and_survives_weights_only_loading(tmp_path):
    batches = loader()
    next(iter(batches))
    torch.save(batches.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True) == batches.state_dict()
    assert all(isinstance(value, (int, bool)) for value in batches.state_dict().values())


def test_a_state_may_be_continued_on_another_number_of_ranks():
    alone = loader()
    running = iter(alone)
    next(running)
    state = alone.state_dict()
    ranks = [loader(rank=rank, world_size=3) for rank in range(3)]
    for rank in ranks:
        rank.load_state_dict(state)
    for whole, *parts in zip(running, *ranks, strict=True):
        assert torch.equal(whole[2], torch.cat([part[2] for part in parts]))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"count": 24}, "num_samples"),
        ({"batch_size": 4}, "batch_size"),
        ({"order_seed": 9}, "order_seed"),
        ({"augment_seed": 9}, "augment_seed"),
        ({"drop_last": True}, "drop_last"),
        ({"shuffle": False}, "shuffle"),
    ],
)
def test_a_state_of_something_else_is_refused(changes, name):
    state = loader().state_dict()
    with pytest.raises(IntegrityError, match=f"the checkpoint's {name} of the loader must be .*, got "):
        loader(**changes).load_state_dict(state)


def test_epochs_differ_and_come_back():
    batches = loader()
    first, second = ([b[2] for b in batches] for _ in range(2))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    batches.set_epoch(0)
    assert torch.equal(torch.cat([b[2] for b in batches]), torch.cat(first))


def test_equal_seeds_of_order_and_augmentation_do_not_make_equal_streams():
    seeds = {
        _generator(*key).initial_seed()
        for key in (("order", 5, 0), ("augment", 5, 0), ("order", 5, 1), ("order", 6, 0))
    }
    assert len(seeds) == 4


def test_a_pass_that_was_left_early_counts_as_an_epoch():
    batches = loader()
    for _ in batches:
        break
    assert (batches.epoch, batches.state_dict()["position"]) == (0, 1)
    indices = torch.cat([b[2] for b in batches])
    assert torch.equal(indices, loader().order(1))
    assert batches.epoch == 2


def test_asking_for_an_iterator_changes_nothing():
    batches = loader()
    running = iter(batches)
    next(running)
    state = batches.state_dict()
    iter(batches)
    assert batches.state_dict() == state
    restored = loader()
    restored.load_state_dict(state)
    iter(restored)  # as Lightning does, before it makes the one it uses
    assert equal(next(iter(restored)), next(running))


def test_set_epoch_to_the_epoch_under_way_keeps_the_place():
    batches = loader()
    running = iter(batches)
    next(running)
    batches.set_epoch(0)
    assert batches.state_dict()["position"] == 1
    batches.set_epoch(4)
    assert (batches.epoch, batches.state_dict()["position"]) == (4, 0)


def test_at_its_last_batch_the_epoch_is_over():
    batches = loader()
    running = iter(batches)
    for _ in range(len(batches)):
        next(running)
    assert (batches.epoch, batches.state_dict()["position"]) == (1, 0)


def test_draws_belong_to_images_and_not_to_batches():
    pictures = {}
    for batch_size, world_size in ((8, 1), (5, 1), (23, 1), (8, 2)):
        found = {}
        for rank in range(world_size):
            for images, _, indices in loader(batch_size=batch_size, rank=rank, world_size=world_size):
                found |= {int(i): image for i, image in zip(indices, images, strict=True)}
        pictures[batch_size, world_size] = torch.stack([found[i] for i in range(23)])
    reference, *others = pictures.values()
    assert all(torch.equal(reference, other) for other in others)
    reordered = loader(order_seed=77)
    found = {int(i): image for images, _, indices in reordered for i, image in zip(indices, images, strict=True)}
    assert torch.equal(reference, torch.stack([found[i] for i in range(23)]))


def test_draws_change_with_epoch_and_seed():
    first = loader().draws(0)
    assert not torch.equal(first["right"], loader().draws(1)["right"])
    assert not torch.equal(first["right"], loader(augment_seed=3).draws(0)["right"])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_normalised_by_channel(channels_last, channels):
    arrays = split(10, (5, 4, channels))
    batches = BatchLoader(
        arrays,
        preprocessing=ChannelNormalization("standardize", MEAN[:channels], STD[:channels]),
        batch_size=4,
        shuffle=False,
        drop_last=False,
        augment=None,
        order_seed=0,
        augment_seed=0,
        device="cpu",
        channels_last=channels_last,
    )
    images = torch.cat([b[0] for b in batches])
    expected = (arrays.images / 255 - np.array(MEAN[:channels])) / np.array(STD[:channels])
    assert images.dtype == torch.float32
    assert np.abs(images.numpy() - expected.transpose(0, 3, 1, 2)).max() < 1e-6
    for batch, _, _ in batches:
        assert batch.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_memory_formats_agree_bit_for_bit():
    for first, second in zip(loader(), loader(channels_last=True), strict=True):
        assert equal(first, second)
        assert second[0].is_contiguous(memory_format=torch.channels_last)


def test_labels_go_with_images():
    arrays = split(23)
    for _, labels, indices in loader():
        assert labels.dtype == indices.dtype == torch.int64
        assert labels.tolist() == arrays.labels[indices.numpy()].tolist()


def test_squares_are_erased_to_the_networks_zero():
    batches = loader(augment=Augment(translate=0, flip=False, cutout=5, pad_mode="zeros"), batch_size=23)
    images, _, indices = next(iter(batches))
    draws = batches.draws(0)
    for image, i in zip(images, indices.tolist(), strict=True):
        centre = image[:, draws["cut_row"][i], draws["cut_column"][i]]
        # The mean, rounded to a grey level.
        assert (centre.abs() <= 0.5 / 255 / torch.tensor(STD) + 1e-5).all()


def test_moved_in_pixels_are_black_and_not_zero():
    batches = loader(augment=Augment(translate=5, flip=False, cutout=0, pad_mode="zeros"), batch_size=23)
    images, _, indices = next(iter(batches))
    row = int((batches.draws(0)["down"][indices] > 0).nonzero()[0])
    black = -torch.tensor(MEAN) / torch.tensor(STD)
    assert torch.allclose(images[row, :, -1, :], black[:, None].expand(3, 6), atol=1e-6)


def test_gather_gives_plain_images():
    batches = loader()
    images, labels = batches.gather([4, 0, 4])
    arrays = split(23)
    expected = (arrays.images[[4, 0, 4]] / 255 - np.array(MEAN)) / np.array(STD)
    assert np.abs(images.numpy() - expected.transpose(0, 3, 1, 2)).max() < 1e-6
    assert labels.tolist() == arrays.labels[[4, 0, 4]].tolist()
    assert batches.state_dict()["position"] == 0


def test_an_empty_part_of_an_evaluation_batch():
    ranks = [loader(9, shuffle=False, augment=None, rank=rank, world_size=2) for rank in range(2)]
    parts = [list(rank)[-1] for rank in ranks]
    assert sorted(len(part[1]) for part in parts) == [0, 1]
    assert next(part for part in parts if len(part[1]) == 0)[0].shape == (0, 3, 6, 6)


def test_drop_last():
    batches = loader(drop_last=True)
    assert [len(labels) for _, labels, _ in batches] == [8, 8]
    assert len(batches) == 2
    with pytest.raises(ConfigError, match=r"batch_size must be at most 23 .* with drop_last, got 24; lower it"):
        loader(batch_size=24, drop_last=True)


def test_one_image():
    assert [labels.shape for _, labels, _ in loader(1, augment=None)] == [(1,)]


def test_augmentation_that_does_not_fit_is_refused_at_once():
    with pytest.raises(ConfigError, match=r"augment\.cutout must be smaller than the 6x6 images, got 6"):
        loader(augment=Augment(translate=0, flip=False, cutout=6, pad_mode="zeros"))


def test_read_only_arrays_are_taken_without_a_warning():
    arrays = split(4)
    arrays.images.setflags(write=False)
    loaded = BatchLoader(
        arrays,
        preprocessing=ChannelNormalization("standardize", MEAN, STD),
        batch_size=2,
        shuffle=False,
        drop_last=False,
        augment=None,
        order_seed=0,
        augment_seed=0,
        device="cpu",
        channels_last=True,
    )
    assert len(list(loaded)) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lightning_trains_on_it_and_resumes_in_the_middle(tmp_path):
    import pytorch_lightning as pl

    class Listener(pl.LightningModule):
        def __init__(self, stop_at: int | None = None) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)
            self.seen: list[torch.Tensor] = []
            self.stop_at = stop_at

        def training_step(self, batch, batch_idx):
            images, _, indices = batch
            self.seen.append(indices)
            return self.layer(images.mean((2, 3))).mean()

        def on_train_batch_end(self, *_args):
            if len(self.seen) == self.stop_at:
                self.trainer.save_checkpoint(tmp_path / "middle.ckpt")
                raise KeyboardInterrupt

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def trainer():
        return pl.Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )

    whole, first, second = Listener(), Listener(stop_at=4), Listener()
    trainer().fit(whole, loader())
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trainer().fit(first, loader())
    trainer().fit(second, loader(), ckpt_path=tmp_path / "middle.ckpt", weights_only=False)
    assert len(whole.seen) == 9
    assert [s.tolist() for s in first.seen + second.seen] == [s.tolist() for s in whole.seen]
