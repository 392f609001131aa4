"""Generates the checked-in stubs from the contract; `--check` only compares.

`buf/validate/validate.proto`, which the contract imports for its field rules, is not
copied here: its descriptor is taken from the installed protovalidate, so that the
rules that are compiled and the rules that are enforced are of one version.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from importlib import resources
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, field_mask_pb2, timestamp_pb2  # noqa: F401  (fill the pool)
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

PROTOS = Path(__file__).parent
CONTRACT = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.glob("repartee/v1/*.proto"))
VALIDATE = "buf/validate/validate.proto"


def write_imports(path: Path) -> None:
    """Writes a FileDescriptorSet of validate.proto and all that it imports."""
    validate = descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    pool = descriptor_pool.Default()
    imports = [descriptor_pb2.FileDescriptorProto() for _ in validate.dependency]
    for proto, name in zip(imports, validate.dependency, strict=True):
        pool.FindFileByName(name).CopyToProto(proto)  # type: ignore[no-untyped-call]
    path.write_bytes(descriptor_pb2.FileDescriptorSet(file=[*imports, validate]).SerializeToString())


def run(*arguments: str) -> None:
    if status := protoc.main(["protoc", *arguments]):
        sys.exit(status)


def generate(out: Path, image: Path | None) -> None:
    """Writes all stubs below `out`, and the contract's descriptors to `image` for buf."""
    google = str(resources.files("grpc_tools") / "_proto")
    with tempfile.TemporaryDirectory() as scratch:
        imports = Path(scratch, "imports.binpb")
        write_imports(imports)
        run(f"--descriptor_set_in={imports}", f"--python_out={out}", f"--pyi_out={out}", VALIDATE)
        merged = Path(scratch, "merged.binpb")
        known = [f"--proto_path={PROTOS}", f"--proto_path={google}"]
        run(
            *known,
            f"--descriptor_set_in={imports}",
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={merged}",
            *CONTRACT,
        )
        if image is not None:
            image.write_bytes(merged.read_bytes())
        run(
            f"--descriptor_set_in={merged}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--grpc_python_out={out}",
            f"--mypy_grpc_out=quiet:{out}",
            *CONTRACT,
        )
    for package in ("buf", "buf/validate", "repartee", "repartee/v1"):
        (out / package / "__init__.py").touch()
    (out / "repartee/py.typed").touch()


def stale(fresh: Path) -> list[str]:
    """Names the stubs that are missing here or differ from the fresh ones."""
    names = [path.relative_to(fresh) for path in sorted(fresh.rglob("*")) if path.is_file()]
    return [
        str(name)
        for name in names
        if not (PROTOS / name).exists() or not filecmp.cmp(fresh / name, PROTOS / name, shallow=False)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing, exit 1 if stale")
    parser.add_argument("--image", type=Path, help="also write the descriptors here, for buf lint")
    arguments = parser.parse_args()
    if not arguments.check:
        generate(PROTOS, arguments.image)
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch), arguments.image)
        if names := stale(Path(scratch)):
            sys.exit("stale stubs, run `make protos`: " + ", ".join(names))


if __name__ == "__main__":
    main()
