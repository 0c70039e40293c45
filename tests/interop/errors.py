"""The one exception of this implementation for what the specification names an error."""


class SpecError(ValueError):
    """Something that the specification refuses; `kind` is the name that it gives the error."""

    def __init__(self, kind, detail=""):
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
