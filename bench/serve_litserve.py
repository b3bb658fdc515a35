"""A run's network behind LitServe, as its manual serves one: started by `bench.serve_peers`, by hand to try it.

    python -m bench.serve_litserve build/serve/peers-resnet18 --port 8001 --batch-size 16

It reads {"rows": ["<an image file as base64>"]}, decodes it with Pillow, and answers with the most probable classes.
The network, its preparation and its weights are the run's own, computed without gradients.
"""

from __future__ import annotations

import argparse
import base64
import io
from typing import Any

import litserve
import numpy as np
import torch
from PIL import Image

from deepen.prepare import image
from deepen.verbs.loaded import loaded

TOP = 5


class Classifier(litserve.LitAPI):
    """One picture a request; LitServe gathers them into batches."""

    def __init__(self, run: str, threads: int, **given: Any) -> None:
        super().__init__(**given)
        self._run, self._threads = run, threads

    def setup(self, device: str) -> None:
        """Loads the run in the process that computes."""
        torch.set_num_threads(self._threads)
        found = loaded(self._run, device="cpu")
        self._model, self._state, self._labels = found.model, found.task.image, found.task.labels

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """Pixels [H, W, C] uint8 of a JSON object; LitServe would read a type of the argument as a form of its own."""
        height, width = self._state["size"]
        mode = "L" if self._state["channels"] == 1 else "RGB"
        picture = Image.open(io.BytesIO(base64.b64decode(request["rows"][0]))).convert(mode)
        if picture.size != (width, height):
            picture = picture.resize((width, height))
        return np.asarray(picture).reshape(height, width, -1)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Pixels [B, H, W, C] uint8."""
        return np.stack(inputs)

    def predict(self, x: np.ndarray) -> list[dict[str, Any]]:
        """An answer for each of [B, H, W, C]."""
        with torch.inference_mode():
            logits = self._model(image.normalized(torch.from_numpy(x), self._state))
            values, order = logits.softmax(1).topk(min(TOP, len(self._labels)), 1)
        return [self._answer(*row) for row in zip(values.tolist(), order.tolist(), strict=True)]

    def _answer(self, values: list[float], order: list[int]) -> dict[str, Any]:
        top = [{"label": self._labels[k], "probability": p} for k, p in zip(order, values, strict=True)]
        return {**top[0], "top": top}

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers one by one."""
        return output


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--delay-ms", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fast-queue", action="store_true", help="LitServe's queue over ZeroMQ")
    given = parser.parse_args()
    api = Classifier(
        given.run,
        given.threads,
        max_batch_size=given.batch_size,
        batch_timeout=given.delay_ms / 1e3,
        api_path="/v1/predict",
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=given.fast_queue)
    server.run(host="127.0.0.1", port=given.port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
