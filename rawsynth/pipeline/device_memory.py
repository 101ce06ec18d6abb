"""What happens when a batch does not fit the device's memory: a smaller one where no byte depends on it, else the end.

The budget of pixels decides bytes, because a GPU picks a convolution's algorithm, and with it the order of its sums, by
the size of the batch. Methods that work on each sample alone may have any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from rawsynth.counting import counted
from rawsynth.errors import UsageError
from rawsynth.pipeline.views import View

T = TypeVar("T")


class BatchFitter:
    """Run a function over batches of views, in parts once the device's memory has run out.

    Args:
        divisible: whether a part gives what it gives within its batch, bit for bit.
        padded: how many images a batch is filled up to, if it has fewer.

    Attributes:
        most_pixels: what a part may have, as far as is known.
    """

    def __init__(self, *, divisible: bool, padded: int = 1) -> None:
        self.divisible, self.padded = divisible, padded
        self.most_pixels: int | None = None

    def __call__(self, run: Callable[[Sequence[View]], list[T]], views: Sequence[View]) -> list[T]:
        """Return what ``run`` makes of the views, which share one size.

        Raises:
            UsageError: the device's memory does not hold the batch; the message names the setting that helps.
        """
        pixels = views[0].image[0].size
        done: list[T] = []
        while len(done) < len(views):
            size = len(views) if self.most_pixels is None else max(1, self.most_pixels // pixels)
            part = views[len(done) : len(done) + size]
            try:
                done += run(part)
                continue
            except torch.OutOfMemoryError as error:
                reason = str(error).partition(". ")[0]
            # Out here nothing holds on to the tensors of the attempt any more.
            if not self.divisible or len(part) == 1:
                raise UsageError(_advice(part, max(len(part), self.padded), reason))
            torch.cuda.empty_cache()
            self.most_pixels = len(part) // 2 * pixels
        return done


def _advice(views: Sequence[View], images: int, reason: str) -> str:
    height, width = views[0].image.shape[1:]
    what = f"a batch of {counted(images, 'image')} of {height}x{width} does not fit the device's memory ({reason})"
    if images == 1:
        return f"{what}; smaller images would: use --crop or --downscale, another device, or free its memory."
    fitting = images // 2 * height * width
    return (
        f"{what}; use --batch-pixels {fitting}, or free its memory. The budget decides bytes: a corpus that was begun "
        "with another one has to be made again with --overwrite, or the new one goes to another output."
    )
