"""Trace files: both formats, and one line for whatever is wrong with a file."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from wisp_gym import scenario
from wisp_gym.errors import InputError
from wisp_gym.scenario import trace

SHARED = Path(os.environ.get("WISP_GYM_SHARED", Path(__file__).parents[1].parent / "shared")) / "data"
needs_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the public traces are not here (WISP_GYM_SHARED)"
)

HEADER = "t_ms,input_tokens,output_tokens\n"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def _read(tmp_path: Path, content: str | bytes) -> trace.Trace:
    path = tmp_path / "trace.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return trace.read(path)


def test_own_columns(tmp_path: Path) -> None:
    found = _read(tmp_path, HEADER + "0.0,4808,10\n52.25,3180,8\n1e3,110,27\n")
    assert found.requests.arrival_ns.tolist() == [0, 52_250_000, 1_000_000_000]
    assert found.requests.prompt_tokens.tolist() == [4808, 3180, 110]
    assert found.requests.output_tokens.tolist() == [10, 8, 27]
    assert found.requests.arrival_ns.dtype == np.int64
    assert found.requests.prompt_tokens.dtype == found.requests.output_tokens.dtype == np.int32
    assert not found.requests.arrival_ns.flags.writeable


def test_azure_columns_to_the_nanosecond(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        AZURE
        + "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:46.6805901,1,2\n2023-11-17 00:00:00,3,4\n",
    )
    assert found.requests.arrival_ns.tolist() == [0, 100, 20_653_319_410_000]
    zones = AZURE + "2024-05-10 02:00:00.5+02:00,1,1\n2024-05-10T00:00:00.75Z,1,1\n"
    assert _read(tmp_path, zones).requests.arrival_ns.tolist() == [0, 250_000_000]


def test_other_columns_order_blank_lines_and_endings_do_not_matter(tmp_path: Path) -> None:
    text = '\ufeffoutput_tokens,"note", t_ms ,input_tokens\r\n7,"a, b",5,9\r\n\r\n8,,2,10\r\n'
    found = _read(tmp_path, text)
    assert found.requests.arrival_ns.tolist() == [2_000_000, 5_000_000]
    assert found.requests.prompt_tokens.tolist() == [10, 9]
    assert found.requests.output_tokens.tolist() == [8, 7]


def test_rows_are_sorted_and_ties_keep_their_order(tmp_path: Path) -> None:
    rows = "5,1,1\n3,2,1\n5,3,1\n3,4,1\n"
    assert _read(tmp_path, HEADER + rows).requests.prompt_tokens.tolist() == [2, 4, 1, 3]


def test_rows_without_output_are_left_out_and_counted(tmp_path: Path) -> None:
    found = _read(tmp_path, HEADER + "0,5,0\n1,5,1\n2,5,0\n")
    assert (found.no_output, len(found.requests)) == (2, 1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,1,1", "t_ms = 'x'"),
        (",1,1", "t_ms = ''"),
        ("-1,1,1", "t_ms = '-1'"),
        ("nan,1,1", "t_ms = 'nan'"),
        ("inf,1,1", "t_ms = 'inf'"),
        ("1e99,1,1", "t_ms = '1e99'"),
        ("1_000,1,1", "t_ms = '1_000'"),
        ("1,0,1", "input_tokens = '0': must be a whole number, 1"),
        ("1,-5,1", "input_tokens = '-5'"),
        ("1,1.5,1", "input_tokens = '1.5'"),
        ("1,1,", "output_tokens = ''"),
        ("1,1,-1", "output_tokens = '-1'"),
        ("1,1,99999999999", "output_tokens = '99999999999'"),
        ("1,1,٣", "output_tokens = '٣'"),
        ("1,1", "row = '1,1': must have 3 fields"),
        ("1,1,234,5", "row = '1,1,234,5': must have 3 fields"),
        ('1,1,"2', "not a CSV row"),
        ("1,1,\x001", "not a CSV row"),
        ("1," + "1" * 20_000 + ",1", "longer than 10000 bytes"),
    ],
)
def test_a_bad_row_names_file_line_field_and_value(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _read(tmp_path, HEADER + "0,1,1\n\n" + row + "\n9,1,1\n")
    assert f"{tmp_path / 'trace.csv'} line 4: " in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "moment",
    [
        "yesterday",
        "2023-13-16 18:15:46",
        "2023-11-16 25:15:46",
        "2023-11-16",
        "2023-11-16 18:15:46.12345678901",
        "",
    ],
)
def test_a_bad_timestamp_is_named(moment: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2: TIMESTAMP = "):
        _read(tmp_path, f"{AZURE}{moment},1,1\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: columns nothing"),
        (b"\n\n", "line 1: columns nothing"),
        (HEADER.encode(), "holds no request"),
        ((HEADER + "0,1,0\n").encode(), "holds no request"),
        (b"t_ms,input_tokens\n0,1\n", "must hold each of t_ms, input_tokens, output_tokens"),
        (b"t_ms,t_ms,input_tokens,output_tokens\n0,0,1,1\n", "once"),
        (b"\x1f\x8b\x08\x00\xff\xfe\x00\x01\n", "line 1: not a CSV row of text"),
        (bytes(range(256)) * 200, "line 1"),
        (HEADER.encode("utf-16"), "line 1: not a CSV row of text"),
        (b"\x00" * 50_000, "line 1: longer than 10000 bytes"),
    ],
)
def test_a_file_that_is_no_trace_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _read(tmp_path, content)
    assert message in str(caught.value)
    assert str(tmp_path / "trace.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        trace.read(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        trace.read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="ordinary file"):
        trace.read(Path("/dev/zero"))
    with pytest.raises(InputError):
        trace.read(Path("a\0b"))
    with pytest.raises(InputError):
        trace.read(Path("x" * 5000))


def test_a_long_file_takes_the_memory_of_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    rows = 100_000
    # The padding column makes the file far larger than what is kept of it.
    path.write_text(HEADER.strip() + ",note\n" + "".join(f"{i},10,10,{'x' * 200}\n" for i in range(rows)))
    tracemalloc.start()
    found = trace.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.requests) == rows
    assert peak < 100 * rows
    assert path.stat().st_size > 200 * rows


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MAX_ROWS", 2)
    with pytest.raises(InputError, match="line 4: more than 2 requests"):
        _read(tmp_path, HEADER + "0,1,1\n0,1,1\n0,1,1\n")


def test_arrivals_cannot_be_stretched_beyond_reason(tmp_path: Path) -> None:
    _read(tmp_path, HEADER + "0,1,1\n3e11,1,1\n")
    with pytest.raises(InputError, match=r"workload\.stretch = 100"):
        scenario.load("trace", [f"workload.trace={tmp_path / 'trace.csv'}", "workload.stretch=100"])


@needs_data
@pytest.mark.parametrize(
    ("name", "rows", "p50_input", "p50_output"),
    [
        ("azure2023_conv", 19_366, 1020, 129),
        ("azure2023_code", 8_819, 1469, 13),
        ("mooncake_conversation", 12_031, 6909, 350),
    ],
)
def test_the_public_traces_load(name: str, rows: int, p50_input: int, p50_output: int) -> None:
    started = time.perf_counter()
    loaded = scenario.load("trace", [f"workload.trace={SHARED / f'trace_{name}.csv'}", "horizon_s=1000000"])
    assert time.perf_counter() - started < 10
    assert loaded.requests is not None
    assert loaded.devices + loaded.refused == rows
    assert np.median(loaded.requests.prompt_tokens) == pytest.approx(p50_input, rel=0.01)
    assert np.median(loaded.requests.output_tokens) == pytest.approx(p50_output, rel=0.02)


@needs_data
def test_what_cannot_fit_is_counted() -> None:
    overrides = [f"workload.trace={SHARED / 'trace_mooncake_conversation.csv'}", "server.kv_tokens=18986"]
    loaded = scenario.load("trace", [*overrides, "horizon_s=1000000"])
    assert loaded.requests is not None
    assert loaded.refused > 0
    assert int((loaded.requests.prompt_tokens + loaded.requests.output_tokens).max()) <= 18_986
