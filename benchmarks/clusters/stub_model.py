"""A model of Triton's python backend that computes next to nothing: what stub.py puts into a repository as `1/model.py`.

Every number of a row's outputs is made of the mean of its first input alone, so a row is the same in every batch. The parameter
`sleep_s` is how long a batch takes, without any CPU.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance of one model."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """The configuration as it is."""
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Reads what is to be answered, and how late."""
        config = json.loads(args["model_config"])
        self._input = config["input"][0]["name"]
        self._outputs = [
            (item["name"], np.linspace(1, 2, int(np.prod(item["dims"])), dtype=np.float32), [*map(int, item["dims"])])
            for item in config["output"]
        ]
        self._sleep_s = float(config["parameters"].get("sleep_s", {"string_value": "0"})["string_value"])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response per request."""
        time.sleep(self._sleep_s)
        return [
            self._answer(pb_utils.get_input_tensor_by_name(request, self._input).as_numpy()) for request in requests
        ]

    def _answer(self, rows: np.ndarray) -> Any:
        mean = rows.reshape(len(rows), -1).mean(axis=1, dtype=np.float32) % np.float32(7)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, (mean[:, None] * ramp).reshape(len(rows), *dims))
                for name, ramp, dims in self._outputs
            ]
        )
