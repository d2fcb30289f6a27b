"""Sliders and switches of notebook 01: state and view, without a browser."""

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.enhance import STEPS, choose_steps, enhance, estimate_skew, to_gray
from crnnkit.preprocessing.images import read_image
from crnnkit.preprocessing.sheet import find_sheet
from crnnkit.workbook.sliders import EnhanceSliders, Faults, mend

# ---------------------------------------------------------------- state


def test_without_faults_a_page_stays_as_it_is(page):
    np.testing.assert_array_equal(Faults().made_in(page), page)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_fault_is_made_as_strong_as_it_says(channels, page):
    image = page if channels == 1 else np.dstack([page] * 3)
    shadow = Faults(shadow=0.6).made_in(image)
    assert (shadow[0, 0].max(), shadow[0, -1].max()) == (255, 102)
    soft = Faults(blur_px=2).made_in(image)
    np.testing.assert_array_equal(soft, cv2.GaussianBlur(image, (0, 0), 2))
    assert estimate_skew(Faults(slope=6).made_in(image)) == pytest.approx(6, abs=0.25)
    assert estimate_skew(Faults(slope=-6).made_in(image)) == pytest.approx(-6, abs=0.25)
    assert image.ndim == shadow.ndim == soft.ndim


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (Faults(), "auto: nothing to do"),
        (Faults(shadow=0.7), "auto: flatten_light"),
        (Faults(blur_px=1.5), "auto: deblur"),
        (Faults(slope=7), "auto: deskew"),
        (Faults(tilt=25), "auto: flatten_sheet"),
        (Faults(0.7, 1.5, 7), "auto: deskew, flatten_light, deblur"),
    ],
)
def test_auto_names_the_steps_against_the_faults(faults, message, page):
    state = mend(page, faults)
    assert state.message == message
    np.testing.assert_array_equal(state.before, faults.made_in(page))
    assert choose_steps(state.after) == ()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tilted_camera_sees_the_far_end_of_a_page_smaller(channels, page):
    image = page if channels == 1 else np.dstack([page] * 3)
    narrower = []
    for tilt in (10, 20, 30):
        photo = Faults(tilt=tilt).made_in(image)
        assert photo.ndim == image.ndim
        border = np.concatenate([photo[0], photo[-1], photo[:, 0], photo[:, -1]])
        assert (border == 40).all(), "all of the page lies on the table"
        left_top, right_top, right_bottom, left_bottom = find_sheet(to_gray(photo))
        narrower.append((right_top - left_top)[0] / (right_bottom - left_bottom)[0])
    assert 1 > narrower[0] > narrower[1] > narrower[2] > 0.7


def test_what_flattening_a_sheet_does_can_be_seen(page):
    state = mend(page, Faults(tilt=25), ("flatten_sheet",))
    assert state.before[:, 0].max() < 60 < state.after[:, 0].min(), "no table is left"
    flat = cv2.resize(state.after, (70, 40), interpolation=cv2.INTER_AREA)
    good = cv2.resize(page, (70, 40), interpolation=cv2.INTER_AREA)
    assert np.abs(flat.astype(int) - good).mean() < 6


def test_steps_by_hand_are_applied_in_their_order(page):
    for steps in (("sharpen", "stretch_contrast"), ("stretch_contrast", "sharpen"), ()):
        state = mend(page, Faults(shadow=0.5), steps)
        np.testing.assert_array_equal(state.after, enhance(state.before, steps))
    assert state.message == "by hand: nothing to do"


# ---------------------------------------------------------------- view


def switched_on(sliders: EnhanceSliders) -> list[str]:
    return [name for name, switch in sliders.switches.items() if switch.value]


def assert_the_state_is_shown(sliders: EnhanceSliders) -> None:
    for name in ("before", "after"):
        shown = read_image(bytes(getattr(sliders, name).value))
        np.testing.assert_array_equal(shown, getattr(sliders.state, name))
    assert sliders.message.value == f"<p>{sliders.state.message}</p>"
    assert set(switched_on(sliders)) == set(sliders.state.steps)


def test_a_good_page_comes_first_and_stays_as_it_is(page):
    sliders = EnhanceSliders(page)
    np.testing.assert_array_equal(sliders.state.before, page)
    np.testing.assert_array_equal(sliders.state.after, page)
    assert list(sliders.switches) == list(STEPS)
    assert_the_state_is_shown(sliders)


@pytest.mark.parametrize(
    ("slider", "value", "step"),
    [
        ("shadow", 0.7, "flatten_light"),
        ("blur", 1.5, "deblur"),
        ("slope", 7.0, "deskew"),
        ("tilt", 25.0, "flatten_sheet"),
    ],
)
def test_a_slider_makes_its_fault_and_auto_sets_the_switch_against_it(slider, value, step, page):
    sliders = EnhanceSliders(page)
    getattr(sliders, slider).value = value
    assert switched_on(sliders) == [step]
    assert all(switch.disabled for switch in sliders.switches.values())
    assert_the_state_is_shown(sliders)
    getattr(sliders, slider).value = 0
    assert switched_on(sliders) == []
    np.testing.assert_array_equal(sliders.state.after, page)


def test_by_hand_one_begins_from_what_auto_chose(page):
    sliders = EnhanceSliders(page)
    sliders.shadow.value = 0.7
    sliders.auto.value = False
    assert sliders.state.message == "by hand: flatten_light"
    assert not any(switch.disabled for switch in sliders.switches.values())
    assert_the_state_is_shown(sliders)


def test_switches_act_in_the_order_in_which_they_were_switched_on(page):
    sliders = EnhanceSliders(page)
    sliders.auto.value = False
    for name in ("sharpen", "stretch_contrast", "to_gray"):
        sliders.switches[name].value = True
    assert sliders.state.steps == ("sharpen", "stretch_contrast", "to_gray")
    sliders.switches["sharpen"].value = False
    sliders.switches["sharpen"].value = True
    assert sliders.state.steps == ("stretch_contrast", "to_gray", "sharpen")
    assert_the_state_is_shown(sliders)


def test_steps_by_hand_stay_while_sliders_move_and_auto_takes_over_again(page):
    sliders = EnhanceSliders(page)
    sliders.auto.value = False
    sliders.switches["sharpen"].value = True
    sliders.blur.value = 2.0
    assert sliders.state.message == "by hand: sharpen"
    assert_the_state_is_shown(sliders)
    sliders.auto.value = True
    assert sliders.state.message == "auto: deblur"
    assert_the_state_is_shown(sliders)
