"""Write the parts of docs/ that are made from the code, or say which are stale.

python docs/generate.py            # write
python docs/generate.py --check    # exit code 1 and the stale files' names, where there are any

docs/environment.md is made whole, from EdgeCloud's docstring, and docs/profiles.md from the profiles. In
other pages, what stands between a line <!-- generated: NAME --> and the next line <!-- end --> is replaced;
the rest is written by hand.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

DOCS = Path(__file__).resolve().parent
if str(DOCS.parent) not in sys.path:
    sys.path.insert(0, str(DOCS.parent))

from wisp_gym.errors import InputError, unknown  # noqa: E402 (the clone's, wherever this is run)

BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
BEGIN = re.compile(r"<!-- generated: (\S+) -->")


def environment_page(_: Path) -> str:
    """Return EdgeCloud's docstring as a page: one heading level as it is, arguments as a list, a picture."""
    from wisp_gym.envs import EdgeCloud

    text = inspect.cleandoc(EdgeCloud.__doc__ or "")
    text = re.sub(r"; (?=:param )", "\n", text)
    text = re.sub(r"^:param (\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)
    text = re.sub(r"(\n- `render_mode`.*\n)(?=`reset)", r"\1\n", text)
    picture = "![Lanes of devices and GPU over four seconds](images/frame.png)"
    text = text.replace("## Rendering\n", f"## Rendering\n{picture}\n\n", 1)
    return (
        "<!-- made by docs/generate.py from the docstring of wisp_gym.envs.EdgeCloud -->\n"
        f"# wisp_gym/EdgeCloud-v0\n\n{text}\n"
    )


def metrics_table(_: Path) -> str:
    """Return the glossary."""
    from wisp_gym.metrics.glossary import markdown_table

    return markdown_table()


def curves_table(_: Path) -> str:
    """Return the training curves' names and meanings."""
    from agents.callbacks import curve_names

    lines = [f"| `{name}` | {meaning} |" for name, meaning in curve_names().items()]
    return "\n".join(["| name | what |", "|---|---|", *lines])


def scenario_fields(page: Path) -> str:
    """Return the fields of the scenario that the page is named after."""
    from wisp_gym import scenario
    from wisp_gym.scenario.describe import describe

    return str(describe(scenario.as_written(page.stem)))


def profiles_page(_: Path) -> str:
    """Return the page of all profiles."""
    return str(import_module("wisp_gym.profiles.catalogue").catalogue())


def page_list(page: Path) -> str:
    """Return a list of all other pages: title, and their first sentence."""
    lines = []
    others = {*page.parent.rglob("*.md"), *(page.parent / name for name in WHOLE)} - {page}
    for path in sorted(others):
        title, lead = _title_and_lead(path)
        lines.append(f"- [{title}]({path.relative_to(page.parent).as_posix()}): {lead}")
    return "\n".join(lines)


def _title_and_lead(path: Path) -> tuple[str, str]:
    """Return a page's title and first sentence of prose."""
    text = WHOLE[path.name](path) if path.name in WHOLE else path.read_text(encoding="utf-8")
    plain = re.sub(r"<!-- generated.*?<!-- end -->|<!--.*?-->|```.*?```", "", text, flags=re.DOTALL)
    title = next(line[2:] for line in plain.splitlines() if line.startswith("# "))
    prose = [part for part in plain.split("\n\n") if part.strip() and part.strip()[0] not in "#|!-"]
    sentence = re.split(r"(?<=[.:])\s", " ".join(prose[0].split()), maxsplit=1)[0] if prose else ""
    return title, sentence.rstrip(".:")


WHOLE: dict[str, Callable[[Path], str]] = {"environment.md": environment_page}
if find_spec("wisp_gym.profiles.catalogue") is not None:
    WHOLE["profiles.md"] = profiles_page


def reproduction_block(name: str) -> Callable[[Path], str]:
    """Return what makes one table of the page on the reproduction, from benchmarks/results/paper.json."""
    return lambda _: str(import_module("benchmarks.paper.tables").block(name))


BLOCKS: dict[str, Callable[[Path], str]] = {
    **{
        f"paper-{name}": reproduction_block(name) for name in ("lead", "command", "table", "ratios", "misses")
    },
    **{
        f"paper-{name}": reproduction_block(name)
        for name in ("parameters", "predictions", "sensitivity", "readings")
    },
    **{f"paper-{name}": reproduction_block(name) for name in ("limits", "sled", "dip-sd")},
    "metrics": metrics_table,
    "curves": curves_table,
    "fields": scenario_fields,
    "pages": page_list,
}


def filled(page: Path, text: str) -> str:
    """Return a page with its generated blocks made anew.

    :param page: where it is, which some blocks depend on
    :param text: as it is now
    :raises InputError: a block of an unknown name, or without its end
    """
    names = BEGIN.findall(text)
    for name in names:
        if name not in BLOCKS:
            raise unknown(f"generated block in {page.name}", name, BLOCKS)
    if len(BLOCK.findall(text)) != len(names):
        raise InputError(f"{page.name}: a generated block has no line <!-- end -->")
    return BLOCK.sub(lambda match: f"{match[1]}{BLOCKS[match[2]](page)}\n{match[4]}", text)


def pages(docs: Path = DOCS) -> dict[Path, str]:
    """Return every page that holds something generated, as it should be."""
    made = {docs / name: page(docs / name) for name, page in WHOLE.items()}
    for path in sorted(docs.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if path not in made and BEGIN.search(text):
            made[path] = filled(path, text)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 where a page is stale"
    )
    options = parser.parse_args(arguments)
    try:
        made = pages()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stale = [
        path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if not options.check:
            path.write_text(made[path], encoding="utf-8")
        print(f"{'stale' if options.check else 'written'}: {path.relative_to(DOCS.parent)}")
    if options.check and stale:
        print("run python docs/generate.py", file=sys.stderr)
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
