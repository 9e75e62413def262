"""Asks `patch_scorer` of a server by KServe's own Python client: HOST:PORT, an .npz of inputs, an .npz for the outputs.

It runs in the environment of KServe, not in that of the tests.
"""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

KINDS = {"uint8": "UINT8", "int32": "INT32"}


async def main(address: str, given: str, wanted: str) -> None:
    inputs = []
    with np.load(given) as arrays:
        for name, array in arrays.items():
            inputs.append(InferInput(name, list(array.shape), KINDS[str(array.dtype)]))
            inputs[-1].set_data_from_numpy(array, binary_data=True)
    client = InferenceGRPCClient(address)
    assert await client.is_server_ready()
    answer = await client.infer(InferRequest("patch_scorer", inputs))
    np.savez(wanted, **{output.name: output.as_numpy() for output in answer.outputs})


asyncio.run(main(*sys.argv[1:]))
