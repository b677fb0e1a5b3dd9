"""What one visitor looks at: one network for all, one forward pass for every gamma, and a stop that stops."""

import struct
import threading
import zlib

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import colors
import equipoise
from equipoise.app.controls import Choice
from equipoise.app.drawing import draw
from equipoise.app.keeping import KEPT
from equipoise.app.lanes import CancelledError, Stop
from equipoise.app.networks import Networks
from equipoise.app.session import SHOWN, Session
from equipoise.errors import EquipoiseError, ImageError, TargetError, UnknownNameError, WeightsError


def test_a_network_is_loaded_once_however_many_ask(networks):
    found = []
    visitors = [threading.Thread(target=lambda: found.append(networks["colors"])) for _ in range(8)]
    for one in visitors:
        one.start()
    for one in visitors:
        one.join()
    assert networks.asked == ["colors"]
    assert len({id(one.module) for one in found}) == 1


def test_only_the_offered_networks_are_loaded(networks):
    with pytest.raises(UnknownNameError, match="it has colors, other"):
        networks["resnet50"]
    assert networks.asked == []


def test_a_network_that_failed_to_load_is_tried_again(networks):
    answers = [WeightsError("no network"), networks["other"]]

    def load(_name):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    fragile = Networks(["a"], load)
    with pytest.raises(WeightsError):
        fragile["a"]
    assert fragile["a"].spec.name == "colors"


def test_scores_and_classes(session):
    assert {score.name for score in session.scores[:2]} == {"red", "blue"}
    assert session.targets(["blue", 0]) == [2, 0]
    assert session.targets([]) == [session.scores[0].index]
    with pytest.raises(UnknownNameError, match=r"no class called 'rod'.*red"):
        session.targets(["rod"])
    with pytest.raises(TargetError):
        session.targets(["17"])


@pytest.mark.parametrize("gamma", [1.0, 1.37, 2.0])
def test_the_map_is_that_of_the_library(session, photo, gamma):
    made = session.explain(2, options={"gamma": gamma}).explanation
    network = session.network
    right = equipoise.explain(photo, (network.module, network.spec), target=2, gamma=gamma)
    torch.testing.assert_close(made.heatmap, right.heatmap, rtol=0, atol=0)
    assert made.record | {"image": None} == right.record | {"image": None}
    assert made.record["image"]["path"] == "two squares.png"  # not the folder of the server


def count_passes(network):
    passes = []
    network.module.register_forward_hook(lambda *_: passes.append(1))
    return passes


def test_another_gamma_or_class_costs_no_forward_pass(session):
    session.explain(0, options={"gamma": 1.0})
    passes = count_passes(session.network)
    maps = [session.explain(index, options={"gamma": gamma}).explanation for index in (0, 2) for gamma in (1.2, 1.9)]
    assert passes == []
    assert not torch.equal(maps[0].heatmap, maps[2].heatmap)
    assert [one.record["method"]["options"]["gamma"] for one in maps] == [1.2, 1.9, 1.2, 1.9]


def test_a_map_is_made_once(session):
    assert session.explain(0, "gradient") is session.explain(0, "gradient")
    assert session.explain(0, "gradient") is not session.explain(1, "gradient")
    assert session.explain(0, options={"gamma": 1.0}) is not session.explain(0, options={"gamma": 1.1})


def test_only_so_many_maps_are_kept_and_the_used_ones_stay(session):
    first = session.explain(0, "random")
    for seed in range(1, KEPT):
        session.explain(0, "random", {"seed": seed})
    assert session.explain(0, "random") is first
    session.explain(0, "random", {"seed": KEPT})
    assert len(session.kept.maps) == KEPT
    assert session.explain(0, "random") is first
    session.explain(0, "random", {"seed": 1})  # was dropped for the last one
    assert len(session.kept.maps) == KEPT


def test_large_photos_are_shown_small_and_saved_large(networks, tmp_path):
    path = tmp_path / "large.png"
    colors.photo("red", 400, 400, side=600, size=1500).save(path)
    session = Session.open(str(path), networks["colors"])
    assert max(session.explain(0).explanation.image.size) == SHOWN
    assert session.full(0).image.size == (1500, 1500)
    assert session.full(0).box == session.view.box


@pytest.mark.parametrize("data", [b"not an image", b"\xff\xd8\xff\xe0broken", b""])
def test_a_bad_file_gets_a_sentence(networks, tmp_path, data):
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"^bad\.jpg: "):
        Session.open(str(path), networks["colors"])


def test_a_bomb_gets_a_sentence_before_it_is_decoded(networks, tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))
    with pytest.raises(ImageError, match=r"^bomb\.png: has more than 100 megapixels"):
        Session.open(str(path), networks["colors"])


def test_work_is_stopped_at_the_next_forward_pass_and_can_be_done_again(session):
    passes = count_passes(session.network)
    session.network.module.register_forward_hook(lambda *_: session.stop.request())
    with pytest.raises(CancelledError):
        session.explain(0, "integrated_gradients")  # many passes
    assert len(passes) == 1
    with pytest.raises(CancelledError):
        session.explain(0)  # not before the next work begins
    session.network.module._forward_hooks.clear()
    session.stop.reset()
    assert session.explain(0).explanation.heatmap.any()
    assert not session.network.module._forward_pre_hooks  # nothing stays on the network


def test_visitors_stop_their_own_work_alone(networks, photo):
    one, other = (Session.open(photo, networks["colors"], Stop()) for _ in range(2))
    one.stop.request()
    with pytest.raises(CancelledError):
        one.explain(0, "gradient")
    assert other.explain(0, "gradient").explanation.heatmap.any()


def chosen(session, checked=(), others=(), this=None, that=None, gamma=1.0, mode="overlay", opacity=0.9, wrt=""):
    return Choice.of([session, list(checked), list(others), this, that, gamma, mode, opacity, False, False, wrt])


def test_what_was_chosen_of_another_photo_is_not_chosen_of_this(session):
    """gradio may tell of a new photo before its controls know of it."""
    usual = chosen(session)
    stale = chosen(session, ["967"], this="967", that="968", mode="of a volume", wrt="lidar")
    assert (stale.targets, stale.style, stale.wrt) == (usual.targets, usual.style, None)
    first = str(session.scores[0].index)
    assert chosen(session, ["967", first]).targets == [int(first)]
    assert chosen(session, others=["red", "blue"]).targets == [0, 2]
    assert str(chosen(session, this="0", that="2").targets[0]) != str(usual.targets[0])
    with pytest.raises(UnknownNameError, match="no such thing"):  # what is typed is not dropped
        chosen(session, others=["no such thing"])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=3), of, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=st.tuples(*[ANYTHING] * 10))
def test_whatever_a_browser_sends_is_a_choice_or_a_sentence(given, session):
    """Its own check of what it sends is off where the page draws anew."""
    try:
        found = Choice.of([session, *given])
    except EquipoiseError:
        return
    assert found.targets
    assert 1 <= found.gamma <= 2
    assert 0 <= found.style.opacity <= 1
    assert draw(session.explain(found.targets[0]).explanation, found.style).size == (96, 48)
