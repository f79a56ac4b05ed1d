"""A stand-in for LMCache: what usage reporting asks of it."""

__version__ = "0.5.6"
torch_device_type = "xpu"
torch_dev = None
