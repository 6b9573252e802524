"""Whether a run's metadata is what its specification makes it, and its contents what `completed` says."""

import json
from collections.abc import Iterator

import numpy as np
import xarray as xr
import zarr
from zarr.storage import MemoryStore

from plateaulens.store.identity import differences
from plateaulens.store.inventory import Inventory, Node
from plateaulens.store.schema import COMPLETED, RUN_ATTRIBUTES, SCHEMA_VERSION, GroupSpec, RunSpec, Variable
from plateaulens.store.template import write_template


def run_problems(inventory: Inventory) -> Iterator[str]:
    """What is wrong with a run beyond what its inventory says already, one line each."""
    root = inventory.nodes[""].attrs
    yield from _attribute_problems(inventory)
    try:
        spec = RunSpec.from_json(str(root.get("layout")))
    except ValueError as error:
        yield f"/: root attribute layout is damaged, the rest is unchecked: {error}"
        return
    yield from _structure_problems(inventory, spec)
    for group, layout in spec.groups.items():
        yield from _GroupContents(inventory, group, layout).problems()


def _attribute_problems(inventory: Inventory) -> Iterator[str]:
    root = inventory.nodes[""].attrs
    for key in (*RUN_ATTRIBUTES, "layout"):
        if key not in root:
            yield f"/: root attribute {key} is missing"
    if root.get("schema_version") != SCHEMA_VERSION:
        yield f"/: root attribute schema_version is {root.get('schema_version')!r} instead of {SCHEMA_VERSION}"
    texts = {f"/: root attribute {key}": root[key] for key in ("config", "identity", "versions") if key in root}
    if "provenance" in inventory.nodes:
        texts["provenance: attribute sessions"] = inventory.nodes["provenance"].attrs.get("sessions")
    for place, text in texts.items():
        try:
            json.loads(str(text))
        except json.JSONDecodeError as error:
            yield f"{place} is not JSON: {error}"


def _structure_problems(inventory: Inventory, spec: RunSpec) -> Iterator[str]:
    """How groups and arrays differ from a template of the same specification."""
    store = MemoryStore()
    write_template(store, spec, {}, {})
    template: dict[str, Node] = dict(zarr.open_group(store, mode="r").members(max_depth=None))
    for name, expected in sorted(template.items()):
        node = inventory.nodes.get(name)
        if node is not None and name != "provenance":
            found = differences(node.metadata.to_dict(), expected.metadata.to_dict(), "expected")
            yield from (f"{name}: {problem}" for problem in found)
        elif node is None and name not in inventory.unreadable:
            yield f"{name}: missing"
    for name in sorted(set(inventory.nodes) - set(template) - {""}):
        yield f"{name}: not part of a run"


class _GroupContents:
    """The values of one group, block by block; what has no file or no readable metadata is passed over."""

    def __init__(self, inventory: Inventory, group: str, layout: GroupSpec) -> None:
        self.inventory = inventory
        self.group = group
        self.layout = layout
        self.variables = [variable for variable in layout.variables if self._fits(variable)]

    def problems(self) -> Iterator[str]:
        yield from self._coordinate_problems()
        for block in self.layout.blocks:
            completed = self._completed(block)
            if completed is not None:
                for variable in self.variables:
                    yield from self._chunk_problems(variable, block, completed)

    def _coordinate_problems(self) -> Iterator[str]:
        for coordinate in self.layout.coordinates:
            name = f"{self.group}/{coordinate.name}"
            node = self.inventory.nodes.get(name)
            if not isinstance(node, zarr.Array):
                continue
            if f"{name}/c/0" not in self.inventory.files:
                yield f"{name} chunk c/0: missing"
            elif f"{name}/c/0" in self.inventory.sound and not np.array_equal(np.asarray(node[:]), coordinate.values):
                yield f"{name} chunk c/0: values are not those of the schema"

    def _completed(self, block: slice) -> xr.DataArray | None:
        """Which samples of a block are completed; None when damage leaves that open."""
        if not self.layout.has_completed:
            return xr.DataArray(data=True)
        marks = self.layout[COMPLETED]
        file = f"{self.group}/{COMPLETED}/{self._key(marks, block)}"
        damaged = file in self.inventory.files and file not in self.inventory.sound
        return None if damaged or marks not in self.variables else self._values(marks, block)

    def _chunk_problems(self, variable: Variable, block: slice, completed: xr.DataArray) -> Iterator[str]:
        key = self._key(variable, block)
        place, file = f"{self.group}/{variable.name} chunk {key}", f"{self.group}/{variable.name}/{key}"
        if file not in self.inventory.files:
            if completed.any():
                yield f"{place}: missing from a completed block"
        elif file in self.inventory.sound and variable.dtype == "float32":
            values = self._values(variable, block)
            absent = values.isnull()
            inner = [dim for dim in values.dims if dim not in completed.dims]
            if count := int((absent.any(inner) & completed).sum()):
                yield f"{place}: NaN in {count} completed entries"
            if count := int((~absent.all(inner) & ~completed).sum()):
                yield f"{place}: values in {count} entries that are not completed; continuing the run writes them again"
            if variable.name == "curve" and (count := int((values.isel(step=0).fillna(0) != 0).sum())):
                yield f"{place}: step 0 is not 0 in {count} curves"

    def _fits(self, variable: Variable) -> bool:
        node = self.inventory.nodes.get(f"{self.group}/{variable.name}")
        chunks = self.layout.shape(variable, slice(0, self.layout.samples_per_chunk))
        return isinstance(node, zarr.Array) and node.shape == self.layout.shape(variable) and node.chunks == chunks

    def _key(self, variable: Variable, block: slice) -> str:
        index = block.start // self.layout.samples_per_chunk
        return "/".join(["c", *(str(index if dim == "sample" else 0) for dim in variable.dims)])

    def _values(self, variable: Variable, block: slice) -> xr.DataArray:
        node = self.inventory.nodes[f"{self.group}/{variable.name}"]
        assert isinstance(node, zarr.Array)
        region = tuple(block if dim == "sample" else slice(None) for dim in variable.dims)
        return xr.DataArray(node[region], dims=variable.dims)
