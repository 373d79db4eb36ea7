"""vLLM's dynamic speculation: the draft length is looked up by the number of requests in the pass.

vLLM's setting `num_speculative_tokens_per_batch_size` maps ranges of batch sizes to K, and its scheduler
looks K up at every step by the requests scheduled in it, prompts included (github.com/vllm-project/vllm,
vllm/v1/spec_decode/dynamic/utils.py and pull request 32374). There one machine drafts and verifies; here the
pass that a session was in decides, and its reply carries K to the device, for the next round. vLLM keeps the
last range's K for larger batches; here they draft nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wisp_gym._jit import kernel

IntArray = npt.NDArray[np.int64]
Ranges = tuple[tuple[int, int], ...]


def by_batch_size(ranges: Ranges, max_batch: int) -> IntArray:
    """Return the draft length for each size of a pass.  # (max_batch + 1,)

    :param ranges: (largest size, draft length), sizes rising; a pass larger than the last drafts nothing
    :param max_batch: largest pass of the engine, requests
    """
    table = np.zeros(max_batch + 1, np.int64)
    for largest, length in reversed(ranges):
        table[: largest + 1] = length
    return table


@kernel
def table_length(table: IntArray, members: int) -> int:
    """Return the draft length that a pass of so many requests tells its members.

    :param table: from `by_batch_size`  # (max_batch + 1,)
    """
    return table[members]
