"""Sliders that spoil a page, and switches for the steps that mend it: what enhancement does."""

from dataclasses import dataclass

import cv2
import ipywidgets
import numpy as np
from numpy.typing import NDArray

from crnnkit.preprocessing.enhance import STEPS, choose_steps, enhance, turn
from crnnkit.preprocessing.images import encode_image

UInt8Image = NDArray[np.uint8]
TABLE = 40
"""Grey level of the table under a photographed page."""


@dataclass(frozen=True)
class Faults:
    """What is done to a good page."""

    shadow: float = 0.0
    """Share of the light that is lost at the right edge, 0 to 1; none at the left."""
    blur_px: float = 0.0
    """Sigma of a Gaussian, pixels."""
    slope: float = 0.0
    """Degrees by which its lines fall to the right."""
    tilt: float = 0.0
    """Photographed as a sheet on a dark table: degrees by which the camera leans back; 0 = not."""

    def made_in(self, page: UInt8Image) -> UInt8Image:
        """A copy of the page, uint8 (H, W) or (H, W, 3), with the faults in it."""
        image = turn(page, -self.slope)[0]
        if self.tilt:
            image = _photographed(image, self.tilt)
        light = np.linspace(1, 1 - self.shadow, image.shape[1])
        image = np.rint(image * (light if image.ndim == 2 else light[:, None])).astype(np.uint8)
        if self.blur_px:
            image = cv2.GaussianBlur(image, (0, 0), self.blur_px).astype(np.uint8)
        return image


def _photographed(page: UInt8Image, tilt: float) -> UInt8Image:
    """A page on a dark table, seen by a camera that leans back by degrees and stands three page
    heights away, a little to the left."""
    height, width = page.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    x, y = ((corners - [0.4 * width, height / 2]) / height).T
    lean = np.radians(tilt)
    seen = np.stack([x, y * np.cos(lean)], axis=1) * (3 / (3 - y * np.sin(lean)))[:, np.newaxis]
    # a twelfth of the page's height is left of the table around it
    seen = ((seen - seen.min(axis=0) + 1 / 12) * height).astype(np.float32)
    size = np.ceil(seen.max(axis=0) + height / 12).astype(int).tolist()
    view = cv2.getPerspectiveTransform(corners, seen)
    photo = cv2.warpPerspective(page, view, size, flags=cv2.INTER_CUBIC, borderValue=(TABLE,) * 3)
    return photo.astype(np.uint8)


@dataclass(frozen=True)
class Mended:
    """A spoiled page before and after the steps against its faults."""

    before: UInt8Image
    steps: tuple[str, ...]
    after: UInt8Image
    is_auto: bool
    """Whether the steps were chosen from the picture, and not by hand."""

    @property
    def message(self) -> str:
        """Who chose which steps."""
        who = "auto" if self.is_auto else "by hand"
        return f"{who}: {', '.join(self.steps) or 'nothing to do'}"


def mend(page: UInt8Image, faults: Faults, steps: tuple[str, ...] | None = None) -> Mended:
    """Make the faults in a page, then apply steps in the order given; None = chosen by `auto`."""
    before = faults.made_in(page)
    chosen = choose_steps(before) if steps is None else steps
    return Mended(before, chosen, enhance(before, chosen), is_auto=steps is None)


class EnhanceSliders:
    """A page before and after; sliders make faults, switches apply steps, `auto` sets the switches.

    `state` is what is shown, `view` the widget; moving a slider or a switch changes both and
    needs no browser. Steps by hand act in the order in which they were switched on.
    """

    def __init__(self, page: UInt8Image) -> None:
        self.page = page
        self.shadow = _slider("Shadow", 0.9, 0.05)
        self.blur = _slider("Blur, px", 3.0, 0.25)
        self.slope = _slider("Slope, °", 30.0, 0.5, least=-30.0)
        self.tilt = _slider("Tilt, °", 40.0, 1.0)
        self.auto = ipywidgets.ToggleButton(value=True, description="auto", button_style="info")
        self.switches = {name: ipywidgets.ToggleButton(description=name) for name in STEPS}
        self.message = ipywidgets.HTML()
        layout = {"max_width": "49%"}
        self.before, self.after = (ipywidgets.Image(format="png", layout=layout) for _ in "ba")
        sliders = [self.shadow, self.blur, self.slope, self.tilt]
        rows = (sliders, [self.auto, *self.switches.values()], [self.before, self.after])
        wrapped = {"flex_flow": "row wrap", "align_items": "flex-start"}
        sliders_row, steps_row, pictures = (ipywidgets.Box(row, layout=wrapped) for row in rows)
        self.view = ipywidgets.VBox([sliders_row, steps_row, self.message, pictures])
        for part in (*sliders, self.auto):
            part.observe(self._on_move, names="value")
        for switch in self.switches.values():
            switch.observe(self._on_switch, names="value")
        self.show(None)

    def show(self, steps: tuple[str, ...] | None) -> None:
        """Mend the page by these steps, None = `auto`'s, and bring the view in line."""
        faults = Faults(*(part.value for part in (self.shadow, self.blur, self.slope, self.tilt)))
        self.state = mend(self.page, faults, steps)
        for name, switch in self.switches.items():
            switch.disabled = self.state.is_auto
            switch.value = name in self.state.steps
        self.message.value = f"<p>{self.state.message}</p>"
        self.before.value = encode_image(self.state.before)
        self.after.value = encode_image(self.state.after)

    def _on_move(self, _change: dict) -> None:
        self.show(None if self.auto.value else self.state.steps)

    def _on_switch(self, change: dict) -> None:
        """Follow a hand; what `show` itself switches is in the state already."""
        name, is_on = change["owner"].description, change["new"]
        if is_on != (name in self.state.steps):
            others = tuple(step for step in self.state.steps if step != name)
            self.show((*others, name) if is_on else others)


def _slider(name: str, most: float, step: float, least: float = 0.0) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(
        0.0, min=least, max=most, step=step, description=name, continuous_update=False
    )
