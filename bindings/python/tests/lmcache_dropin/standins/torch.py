"""A stand-in for torch: a data type."""


class dtype:  # noqa: N801
    def __init__(self, name: str, itemsize: int) -> None:
        self.name, self.itemsize = name, itemsize

    def __str__(self) -> str:
        return f"torch.{self.name}"


bfloat16 = dtype("bfloat16", 2)
