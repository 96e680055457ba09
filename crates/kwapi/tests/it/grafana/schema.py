"""Whether a dashboard is what Grafana's own models (grafana-foundation-sdk, of one version of Grafana) define: each key known,
each value of its type, each panel, data source and unit known. Prints what is not, a line each.

usage: schema.py DASHBOARD    (-: standard input)
"""

import enum
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard, units

plugins.register_default_plugins()
UNITS = {value for value in vars(units).values() if isinstance(value, str)}


def lost(given, kept, place=""):
    """What the models have no place for, or keep otherwise."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key not in kept:
                yield f"{place}/{key}: unknown"
            else:
                yield from lost(value, kept[key], f"{place}/{key}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (one, other) in enumerate(zip(given, kept)):
            yield from lost(one, other, f"{place}/{number}")
    elif given != kept:
        yield f"{place}: {given!r} becomes {kept!r}"


def fits(value, hint):
    """Whether a value is of the type that the models define."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(fits(one, arguments[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(one, arguments[1]) for one in value.values())
    if hint is object or hint is typing.Any:
        return True
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in {member.value for member in hint} and not isinstance(value, bool)
    # bool is an int to Python, not to Grafana.
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def misfits(value, place):
    """The values below this one that are not of their types."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from misfits(one, f"{place}/{number}")
    elif type(value).__module__.startswith("grafana_foundation_sdk.models") and not isinstance(value, enum.Enum):
        hints = typing.get_type_hints(type(value))
        for name, one in vars(value).items():
            if name in hints and not fits(one, hints[name]):
                yield f"{place}/{name}: {one!r} is not {hints[name]}"
            yield from misfits(one, f"{place}/{name}")


def unknown(given):
    """Panels, data sources and units that Grafana does not have."""
    for panel in given["panels"]:
        title = panel.get("title")
        if runtime.panelcfg_config(panel["type"]) is None:
            yield f"{title}: no panel {panel['type']!r}"
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
        if unit is not None and unit not in UNITS:
            yield f"{title}: no unit {unit!r}"
        for target in panel.get("targets", []):
            kind = target.get("datasource", {}).get("type")
            if kind not in runtime.Runtime().dataquery_variants:
                yield f"{title}: no data source {kind!r}"


def main():
    with (sys.stdin if sys.argv[1] == "-" else open(sys.argv[1], encoding="utf-8")) as file:
        given = json.load(file)
    read = dashboard.Dashboard.from_json(given)
    kept = json.loads(json.dumps(read, cls=JSONEncoder))
    found = [*lost(given, kept), *misfits(read, ""), *unknown(given)]
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
