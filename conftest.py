"""What has no doctests to look for where its library is not installed."""

from importlib.util import find_spec

collect_ignore = (
    [] if find_spec("triton") else [f"analysis/plateaulens/scan/{name}.py" for name in ("fused", "kernels")]
)
