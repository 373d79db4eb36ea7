"""The tables of docs/reproduction.md, from the result that `benchmarks/paper.py` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.paper.cells import GOODPUT, WITHIN
from benchmarks.paper.engine_limits import holds_more_than_published
from benchmarks.paper.targets import SYSTEMS, TIGHTEST

Result = Mapping[str, Any]
RESULT = Path(__file__).resolve().parents[1] / "results" / "paper.json"
UNDEFINED = "-"
TIE = 0.02
"""Two capacities this near are level: each is found to 1 %."""

LARGE = 64
"""Engine limit from which on centralized serving is held against the paper's WISP."""


def block(name: str) -> str:
    """Return a table of the committed result."""
    return BLOCKS[name](json.loads(RESULT.read_text(encoding="utf-8")))


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def number(value: float | None, digits: int = 0) -> str:
    """Show a number, a dash where there is none."""
    return UNDEFINED if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """Show a deviation, with its sign."""
    return UNDEFINED if value is None else f"{100 * value:+.0f} %"


def listing(words: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def lead(result: Result) -> str:
    """Return what must be known before any ratio, in figures."""
    parts = [_headline(result["table"])]
    limits = result["limits"]["limits"]
    for limit in (entry["max_batch"] for entry in limits if entry["max_batch"] >= LARGE):
        classes = holds_more_than_published(limits, limit, "centralized")
        if classes:
            parts.append(
                f"With a limit of {limit} requests a pass, centralized serving alone holds more devices of "
                f"{listing(classes)} than the paper's WISP."
            )
            break
    flips = [flip for flip in result["limits"]["flips"] if (flip["above"], flip["below"]) == SYSTEMS[:2]]
    flips = [flip for flip in flips if flip["flips_at"] and (flip["ratio"][-1] or 0.0) < 1 - TIE]
    turned = [f"{flip['flips_at'][0]:.0f} ({flip['column']})" for flip in flips]
    if turned:
        parts.append(f"Centralized serving overtakes WISP at a limit of {listing(turned)}.")
    return "\n".join(parts)


def _headline(table: Result) -> str:
    """Return the headline ratios, and how many cells are met, in a sentence each."""
    ratios = [f"{record['ours']:.2f} (paper {record['paper']:g})" for record in table["ratios"]]
    return (
        f"At the scenario's limit WISP holds up to {ratios[0]} times the devices of centralized serving and\n"
        f"up to {ratios[1]} times those of SLED,\n"
        f"with {ratios[2]} and {ratios[3]} times their goodput.\n"
        f"{_met(table)}"
    )


def _met(table: Result) -> str:
    """Return how far the published cells are met."""
    count = sum("paper" in cell for cell in table["cells"])
    near, within = (round(count * table[f"share_within_{share}_percent"]) for share in (7, 15))
    return (
        f"Of the {count} published cells {within} are within 15 %, {near} within 7 %; the largest deviation "
        f"is {100 * table['max_deviation']:.1f} %, the median {100 * table['median_deviation']:.1f} %."
    )


def table(result: Result) -> str:
    """Return the cells with the published ones."""
    cells = result["table"]["cells"]
    columns = list(dict.fromkeys(cell["column"] for cell in cells))
    rows = []
    for column in columns:
        row = [f"{column}, devices" if column != GOODPUT else "system goodput, tok/s"]
        for system in SYSTEMS:
            cell = next(one for one in cells if (one["system"], one["column"]) == (system, column))
            row += [
                _with_interval(cell),
                number(cell.get("paper"), 1 if column == GOODPUT else 0),
                percent(cell.get("deviation")),
            ]
        rows.append(row)
    head = [word for system in SYSTEMS for word in (system, "paper", "off by")]
    note = f'{_met(result["table"])}\n{_seeds(result["table"])}; "at": devices.'
    return f"{grid(['', *head], rows)}\n\n{note}"


def _seeds(section: Result) -> str:
    """Return how many worlds a section rests on, and what its intervals are."""
    count = section["seeds"]
    return (
        "One test world: no intervals"
        if count == 1
        else f"{count} test worlds; [ ]: 95 % intervals over them"
    )


def command(result: Result) -> str:
    """Return the command that made the result."""
    return f"```sh\npython benchmarks/paper.py --seeds {result['table']['seeds']}\n```"


def _with_interval(cell: Mapping[str, Any]) -> str:
    """Show a cell's figure, its interval, and where a goodput was met."""
    digits = 1 if cell["column"] == GOODPUT else 0
    text = ("≥ " if cell["bound"] else "") + number(cell["value"], digits)
    if cell["low"] is not None:
        text += f" [{number(cell['low'], digits)}, {number(cell['high'], digits)}]"
    return text + (f" at {cell['at']}" if cell["at"] is not None else "")


def ratios(result: Result) -> str:
    """Return the headline ratios, and what capacities ask for."""
    rows = [
        [
            record["name"] + (f", at {record['highest_at']}" if "highest_at" in record else ""),
            number(record["ours"], 2),
            number(record["paper"], 2),
            percent(record["deviation"]),
            number(record["tightest"], 2) if "tightest" in record else UNDEFINED,
        ]
        for record in result["table"]["ratios"]
    ]
    first = grid(["WISP's", "ours", "paper", "off by", f"at {TIGHTEST}"], rows)
    asked = []
    for entry in result["table"]["demand"]:
        both = zip(entry["ours_tps"], entry["paper_tps"], strict=True)
        asked.append([entry["system"], *(f"{number(ours)} (paper {number(paper)})" for ours, paper in both)])
    rates = [f"{rate:g} tok/s" for rate in result["table"]["demand"][0]["rates_tps"]]
    return f"{first}\n\nCapacity x rate, tok/s:\n\n{grid(['', *rates], asked)}"


def misses(result: Result) -> str:
    """Return the cells that are not met."""
    missed = [cell for cell in result["table"]["cells"] if abs(cell.get("deviation") or 0) > WITHIN]
    if not missed:
        return "No cell is further than 15 % from the published one."
    return "\n".join(
        f"- {cell['system']}, {cell['column']}: {number(cell['value'])} for {number(cell['paper'])} "
        f"({percent(cell['deviation'])})"
        for cell in sorted(missed, key=lambda cell: -abs(cell["deviation"]))
    )


def parameters(result: Result) -> str:
    """Return every parameter."""
    order = {"calibrated": 0, "chosen": 1, "reported": 2, "measured": 3, "assumed": 4}
    listed = sorted(result["parameters"], key=lambda one: order[one["kind"]])
    rows = [[f"`{one['place']}`", one["kind"], one["value"], one["why"]] for one in listed]
    return grid(["parameter", "", "value", "source"], rows)


def predictions(result: Result) -> str:
    """Return the cells on other servers."""
    rows = []
    columns: list[str] = []
    for entry in result["predictions"]["servers"]:
        columns = list(dict.fromkeys(cell["column"] for cell in entry["cells"]))
        for system in SYSTEMS:
            cells = [_predicted(cell) for cell in entry["cells"] if cell["system"] == system]
            rows.append([f"`{entry['server']}`" if system == SYSTEMS[0] else "", system, *cells])
        ratios = {record["name"]: number(record["ours"], 2) for record in entry["ratios"]}
        rows.append(
            ["", "", *[""] * (len(columns) - 2), *(_two(ratios, what) for what in ("capacity", "goodput"))]
        )
    return grid(["server", "", *columns], rows)


def _predicted(cell: Mapping[str, Any]) -> str:
    """Show a figure; ≥ where the largest fleet run still held."""
    return ("≥ " if cell["bound"] else "") + number(cell["value"])


def _two(ratios: Mapping[str, str], what: str) -> str:
    """Show WISP's ratios over the two others."""
    return f"x {ratios[f'{what} over centralized']}, x {ratios[f'{what} over sled']}"


def sensitivity(result: Result) -> str:
    """Return how ratios and deviations move with every calibrated parameter."""
    section = result["sensitivity"]
    names = list(section["reference"]["headlines"])
    rows = [["as it is", "", *_moved(section["reference"], names)]]
    for move in section["moves"]:
        rows.append([f"`{move['parameter']}`", f"{move['from']:,} → {move['to']:,}", *_moved(move, names)])
    return grid(["parameter", "", *names, "largest deviation", "median"], rows)


def readings(result: Result) -> str:
    """Return how ratios, deviations and WISP's capacities move with every other reading."""
    section = result["readings"]
    names = list(section["reference"]["headlines"])
    rows = [["as it is", *_moved(section["reference"], names)]]
    rows += [[entry["what"], *_moved(entry, names)] for entry in section["readings"]]
    head = grid(["", *names, "largest deviation", "median"], rows)
    columns = list(dict.fromkeys(cell["column"] for cell in section["readings"][0]["cells"]))
    cells = []
    for entry in section["readings"]:
        for system in SYSTEMS:
            mine = {cell["column"]: cell["value"] for cell in entry["cells"] if cell["system"] == system}
            first = entry["what"] if system == SYSTEMS[0] else ""
            cells.append([first, system, *(number(mine.get(column)) for column in columns)])
    return f"{head}\n\n{grid(['', '', *columns], cells)}"


def _moved(entry: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Show the ratios and deviations of one setting."""
    shares = (entry["max_deviation"], entry["median_deviation"])
    return [
        *(number(entry["headlines"][name], 2) for name in names),
        *(f"{100 * share:.0f} %" for share in shares),
    ]


def limits(result: Result) -> str:
    """Return every system's cells at every limit, and where orders flip."""
    section = result["limits"]
    columns = list(dict.fromkeys(cell["column"] for cell in section["limits"][0]["cells"]))
    rows = []
    for entry in section["limits"]:
        for system in SYSTEMS:
            cells = [_predicted(cell) for cell in entry["cells"] if cell["system"] == system]
            rows.append([str(entry["max_batch"]) if system == SYSTEMS[0] else "", system, *cells])
    flips = []
    for flip in section["flips"]:
        ends = [value for value in flip["ratio"] if value is not None]
        turns = listing([f"{limit:.3g}" for limit in flip["flips_at"]]) if flip["flips_at"] else "nowhere"
        span = f"{ends[0]:.2f} to {ends[-1]:.2f}" if ends else UNDEFINED
        flips.append([f"{flip['above']} / {flip['below']}", flip["column"], span, turns])
    second = grid(["ratio", "", "from the lowest limit to the highest", "passes 1 at a limit of"], flips)
    return f"{grid(['limit', '', *columns], rows)}\n\n{second}"


def sled(result: Result) -> str:
    """Return the steps from SLED to WISP."""
    section = result["sled"]
    rows = [
        [
            step["step"],
            number(step["capacity_devices"]),
            UNDEFINED if at == 0 else f"x {number(step['factor'], 2)}",
            number(step["goodput_tps"]),
        ]
        for at, step in enumerate(section["steps"])
    ]
    head = ["", f"capacity at {section['column']}, devices", "factor", "system goodput, tok/s"]
    return f"{grid(head, rows)}\n\nTogether x {number(section['ratio'], 2)}."


def dip_sd(result: Result) -> str:
    """Return the table under the slower law."""
    section = result["dip-sd"]
    columns = list(dict.fromkeys(cell["column"] for cell in section["cells"]))
    rows = []
    for system in dict.fromkeys(cell["system"] for cell in section["cells"]):
        cells = [cell for cell in section["cells"] if cell["system"] == system]
        rows.append([f"`{system}`" if system not in SYSTEMS else system, *map(_off, cells)])
    shown = [f"{one['name']} {number(one['ours'], 2)} (paper {one['paper']:g})" for one in section["ratios"]]
    return (
        f"{grid(['', *columns], rows)}\n\nRatios: {listing(shown)}. In brackets: off the published cell by."
    )


def _off(cell: Mapping[str, Any]) -> str:
    """Show a figure, and how far it is from the published one if there is one."""
    return _predicted(cell) + (f" ({percent(cell['deviation'])})" if "deviation" in cell else "")


BLOCKS: Mapping[str, Callable[[Result], str]] = {
    "lead": lead,
    "command": command,
    "table": table,
    "ratios": ratios,
    "misses": misses,
    "parameters": parameters,
    "predictions": predictions,
    "sensitivity": sensitivity,
    "readings": readings,
    "limits": limits,
    "sled": sled,
    "dip-sd": dip_sd,
}
"""By name; docs/generate.py puts them between the marks `paper-NAME`."""
