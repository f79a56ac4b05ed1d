"""Python runs this file at its start, because ``python -m otel_usage run`` puts its folder first on the path."""

import os
import sys


def _next() -> None:
    """Run the `sitecustomize` that Python would have found without ours."""
    from importlib.machinery import PathFinder

    here = os.path.dirname(os.path.abspath(__file__))
    path = [folder for folder in sys.path if os.path.abspath(folder or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is None or spec.loader is None:
        return
    from importlib.util import module_from_spec

    # Code that asks for the module gets the other one, as it would have without ours.
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


try:
    from otel_usage._take_over import take_over
except ImportError:
    # A Python of another environment inherited the path.
    pass
else:
    take_over()
_next()
