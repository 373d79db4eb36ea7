"""From a scenario's name or file, and overrides, to a checked Scenario."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from wisp_gym import profiles
from wisp_gym._validation import build
from wisp_gym._yaml import read_mapping
from wisp_gym.errors import InputError, shown, unknown
from wisp_gym.profiles import AcceptanceProfile, Estimator, Predictor
from wisp_gym.profiles.load import AnyProfile, looks_like_path, resolve
from wisp_gym.scenario.arrivals import check_arrivals
from wisp_gym.scenario.override import apply
from wisp_gym.scenario.scenario import Profiles, Scenario, TraceFacts
from wisp_gym.scenario.schema import ScenarioFile
from wisp_gym.scenario.trace import Requests, read

MAX_ARRIVAL_NS = 1e18  # 31 years


def folder() -> Path:
    """Return the folder of the named scenarios: inside the package once installed, in a clone beside it."""
    package = Path(str(files("wisp_gym")))
    installed = package / "configs" / "scenario"
    return installed if installed.is_dir() else package.parent / "configs" / "scenario"


def names() -> list[str]:
    """Return the names of the scenarios that are shipped."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def load(source: str | Path | Scenario, overrides: Sequence[str] = ()) -> Scenario:
    """Return a scenario, checked and with its profiles and trace.

    :param source: a shipped scenario's name, a YAML file's path, or a Scenario to be changed
    :param overrides: texts such as "fleet.devices=160" or "classes.shares=[0, 0, 0, 1]" (keys, a YAML value)
    :raises InputError: one line with the field, its value and what is allowed
    """
    if isinstance(source, Scenario):
        if isinstance(overrides, list | tuple) and not overrides:
            return source
        return _build(source.file.model_dump(mode="json"), overrides, source.name, source.folder)
    path = _find(source)
    return _build(read_mapping(path), overrides, str(source), path.parent)


def from_fields(fields: dict[str, Any], origin: str) -> Scenario:
    """Return a scenario from its fields, paths in them resolved, as a file written by a run keeps them.

    :param fields: as `Scenario.file.model_dump(mode="json")`
    :param origin: where they stand, for an error's line
    :raises InputError: as `load`
    """
    return _build(fields, (), origin, None)


def as_written(source: str | Path) -> Scenario:
    """Return a scenario to be shown, not simulated: as `load`, but a trace that is not set may stay so.

    :param source: a shipped scenario's name or a YAML file's path
    :raises InputError: as `load`
    """
    path = _find(source)
    return _build(read_mapping(path), (), str(source), path.parent, needs_trace=False)


def _find(source: str | Path) -> Path:
    if isinstance(source, str) and source in names():
        return folder() / f"{source}.yaml"
    if isinstance(source, str) and not looks_like_path(source):
        raise unknown("scenario", source, names())
    if not isinstance(source, str | Path):
        raise InputError(f"scenario = {shown(source)}: must be a name, a path or a Scenario")
    return Path(source)


def _build(
    data: dict[str, Any], overrides: Sequence[str], origin: str, base: Path | None, needs_trace: bool = True
) -> Scenario:
    file = _with_paths(build(ScenarioFile, apply(data, overrides), f"scenario {origin}"), base)
    used = _profiles(file)
    _check_fit(file, used)
    scenario = Scenario(file, used, folder=base)
    if file.workload.kind == "trace" and (needs_trace or file.workload.trace is not None):
        scenario = _with_trace(scenario)
    if file.workload.kind == "arrivals":
        check_arrivals(file)
    if scenario.horizon_s <= scenario.warmup():
        raise InputError(
            f"scenario {origin}: horizon_s = {scenario.horizon_s:g}: "
            f"must be above the warm-up, {scenario.warmup():g} s"
        )
    return scenario


def _with_paths(file: ScenarioFile, base: Path | None) -> ScenarioFile:
    """Return the scenario with every path in it resolved, so that it means the same from any folder."""

    def where(name: str) -> str:
        return str(resolve(name, base).absolute()) if looks_like_path(name) else name

    fleet = file.fleet
    mix = tuple(part.model_copy(update={"device": where(part.device)}) for part in fleet.mix)
    networks = tuple(part.model_copy(update={"network": where(part.network)}) for part in fleet.networks)
    estimator = file.server.estimator
    estimator = None if estimator is None else str(resolve(estimator, base).absolute())
    trace = file.workload.trace
    trace = None if trace is None else str(resolve(trace, base).absolute())
    changes = {
        "server": file.server.model_copy(
            update={"profile": where(file.server.profile), "estimator": estimator}
        ),
        "fleet": fleet.model_copy(update={"mix": mix, "networks": networks}),
        "acceptance": file.acceptance.model_copy(update={"profile": where(file.acceptance.profile)}),
        "workload": file.workload.model_copy(update={"trace": trace}),
    }
    return file.model_copy(update=changes)


def _at(field: str, read_profile: Callable[[str], AnyProfile], name: str) -> AnyProfile:
    """Return a profile; an error then names the scenario's field."""
    try:
        return read_profile(name)
    except InputError as error:
        raise InputError(f"{field}: {error}") from None


def _estimator(path: str | None) -> Estimator | None:
    """Return the estimator of a file, if one is named; an error names the scenario's field."""
    if path is None:
        return None
    try:
        return profiles.read_estimator(Path(path))
    except InputError as error:
        raise InputError(f"server.estimator: {error}") from None


def _profiles(file: ScenarioFile) -> Profiles:
    mix, networks = enumerate(file.fleet.mix), enumerate(file.fleet.networks)
    acceptance = _at("acceptance.profile", profiles.acceptance, file.acceptance.profile)
    used = Profiles(
        server=_at("server.profile", profiles.server, file.server.profile),
        devices=tuple(_at(f"fleet.mix.{i}.device", profiles.device, part.device) for i, part in mix),
        networks=tuple(
            _at(f"fleet.networks.{i}.network", profiles.network, part.network) for i, part in networks
        ),
        acceptance=acceptance,
        predictor=_predictor(acceptance, file.acceptance.profile),
        estimator=_estimator(file.server.estimator),
    )
    if used.acceptance.draft != file.fleet.draft:
        raise InputError(
            f"acceptance.profile = {used.acceptance.name!r}: its draft is {used.acceptance.draft!r}, "
            f"must be fleet.draft, {file.fleet.draft!r}"
        )
    if used.acceptance.target != used.server.model:
        raise InputError(
            f"acceptance.profile = {used.acceptance.name!r}: its target is {used.acceptance.target!r}, "
            f"must be the server's model, {used.server.model!r}"
        )
    for device in used.devices:
        device.decode_tps(file.fleet.draft)
    return used


def _predictor(acceptance: AcceptanceProfile, profile: str) -> Predictor:
    """Return the stop predictor of a draft/target pair.

    :param profile: how the scenario names the pair: a path counts as the predictor's folder too
    """
    base = Path(profile).parent if looks_like_path(profile) else None
    try:
        return profiles.predictor(acceptance.predictor or acceptance.name, base)
    except InputError as error:
        raise InputError(
            f"acceptance.profile = {acceptance.name!r}: predictor: {error}; "
            "python -m agents.predictor trains one"
        ) from None


def _check_fit(file: ScenarioFile, used: Profiles) -> None:
    """Refuse laws of lengths under which a session could never fit into the KV memory."""
    kv_tokens = used.server.kv_tokens if file.server.kv_tokens is None else file.server.kv_tokens
    workload = file.workload
    largest = math.ceil(workload.prompt_tokens.max) + math.ceil(workload.output_tokens.max)
    if workload.kind != "trace" and largest > kv_tokens:
        raise InputError(
            f"workload: prompt_tokens.max + output_tokens.max = {largest}: such a session can never fit, "
            f"must be at most the KV memory, {kv_tokens} tokens"
        )


def _with_trace(scenario: Scenario) -> Scenario:
    """Return the scenario with the requests that arrive before the horizon and fit."""
    name, stretch = scenario.workload.trace, scenario.workload.stretch
    if name is None:
        raise InputError(
            f"scenario {scenario.name}: workload.trace is not set, set workload.trace=FILE (a CSV file)"
        )
    trace = read(Path(name))
    if float(trace.requests.arrival_ns[-1]) * stretch > MAX_ARRIVAL_NS:
        raise InputError(
            f"workload.stretch = {stretch:g}: the last arrival must stay below {MAX_ARRIVAL_NS / 1e9:g} s"
        )
    requests = _stretched(trace.requests, stretch)
    sizes = requests.prompt_tokens.astype(np.int64) + requests.output_tokens
    fits = sizes <= scenario.kv_tokens
    early = requests.arrival_ns < round(scenario.horizon_s * 1e9)
    kept = requests.take(fits & early).take(slice(scenario.fleet.devices))
    if not len(kept):
        raise InputError(
            f"workload.trace: {name}: no request arrives before horizon_s = {scenario.horizon_s:g} "
            f"and fits into the KV memory, {scenario.kv_tokens} tokens"
        )
    refused = int(np.count_nonzero(~fits & early))
    facts = TraceFacts(name, trace.sha256, len(requests), trace.no_output, int(np.count_nonzero(~fits)))
    return Scenario(scenario.file, scenario.profiles, kept, refused, facts, scenario.folder)


def _stretched(requests: Requests, stretch: float) -> Requests:
    if stretch == 1:
        return requests
    arrival_ns = np.rint(requests.arrival_ns * stretch).astype(np.int64)
    return Requests(arrival_ns, requests.prompt_tokens, requests.output_tokens)
