"""A reader of another kind of file: columns separated by ``|``, their names in the first line."""

from graft.data.example import Origin
from graft.data.readers import Row


class Pipes:
    """Files that end in ``.pipes``."""

    name = "pipes"
    endings = (".pipes",)

    def read(self, path, problems):
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        names = first.split("|")
        for number, line in enumerate(lines, 2):
            values = line.split("|")
            if len(values) == len(names):
                yield Row(dict(zip(names, values, strict=True)), Origin(str(path), number))
            else:
                problems.add(f"this line has {len(values)} columns, the first has {len(names)}", f"{path}:{number}")
