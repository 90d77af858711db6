"""Writes src/core/graph/schema.generated.ts from the operator schemas of the onnx and onnxruntime packages.

    python scripts/generate-schema.py

Run it again when ONNX publishes an operator set, or ONNX Runtime new operators of its own. The output is data only:
one line of text per operator with all its versions. Of ONNX Runtime's operators, those that Pith defines (docs/ops.md) have a line. src/core/graph/schema.ts describes the line and parses it on demand,
src/core/graph/emit.ts derives the types of attributes from it, and a table names the attributes that became inputs.
"""

import pathlib
from collections import defaultdict

import onnx
import onnxruntime
from onnx import defs
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

MICROSOFT = "com.microsoft"
# ONNX Runtime writes these into the default domain: the first stands in no specification, the second only since 17.
OWN_IN_DEFAULT = {"SimplifiedLayerNormalization", "LayerNormalization"}
LETTER = {"INT": "i", "FLOAT": "f", "STRING": "s", "INTS": "I", "FLOATS": "F", "STRINGS": "S", "TENSOR": "t", "GRAPH": "g"}
UNBOUNDED = 1 << 30


def word(enum):
    return str(enum).split(".")[-1].upper()


def letter(attribute):
    """One letter for the type; "o" for what Pith carries without reading (sparse tensors, types)."""
    return LETTER.get(word(attribute.type), "o")


def arity(formals, low, high):
    """`2-3`; a `?1` after the minimum names an input before it that may still be absent; `*` is any number."""
    options = [word(formal.option) for formal in formals]
    if high >= UNBOUNDED:
        assert len(options) - 1 <= low, "absent inputs before the variadic ones cannot be told apart"
    holes = [f"?{index}" for index, option in enumerate(options[:low]) if option == "OPTIONAL"]
    return f"{low}{''.join(holes)}-{'*' if high >= UNBOUNDED else high}"


def halves(schema):
    """`~aab.>a`: inputs and outputs whose type may be float16 as well as float32, one letter for those that must agree; a last "+" repeats."""
    constraints = {each.type_param_str: set(each.allowed_type_strs) for each in schema.type_constraints}
    formals = [*schema.inputs, *schema.outputs]
    kind_of = lambda formal: formal.type_str if hasattr(formal, "type_str") else formal.typeStr
    homogeneous = lambda formal: formal.is_homogeneous if hasattr(formal, "is_homogeneous") else formal.isHomogeneous
    # What a sequence or an optional holds must agree with tensors of another type parameter: such operators are left out.
    if any(not any(kind.startswith("tensor(") for kind in constraints.get(kind_of(formal), ["tensor("])) for formal in formals):
        return []
    letters = {}

    def mark(formal):
        both = {"tensor(float)", "tensor(float16)"} <= constraints.get(kind_of(formal), set())
        if not both or not homogeneous(formal):
            return "."
        return letters.setdefault(kind_of(formal), chr(ord("a") + len(letters)))

    def marks(these):
        return "".join(map(mark, these)) + ("+" if these and word(these[-1].option) == "VARIADIC" else "")

    text = f"{marks(schema.inputs)}>{marks(schema.outputs)}"
    return [f"~{text}"] if letters else []


def signature(schema):
    if schema.deprecated:
        return "gone"
    inputs = arity(schema.inputs, schema.min_input, schema.max_input)
    outputs = f"{schema.min_output}-{'*' if schema.max_output >= UNBOUNDED else schema.max_output}"
    groups = defaultdict(list)
    for name, attribute in sorted(schema.attributes.items()):
        groups[letter(attribute)].append(name + ("!" if attribute.required else ""))
    return " ".join([inputs, outputs, *halves(schema), *(f"{kind}={','.join(names)}" for kind, names in sorted(groups.items()))])


def line(versions):
    """All versions of an operator; one that reads like the one before is its number alone."""
    parts, before = [], None
    for schema in versions:
        now = signature(schema)
        parts.append(str(schema.since_version) if now == before else f"{schema.since_version} {now}")
        before = now
    return "|".join(parts)


# Where the input that replaced an attribute is called otherwise.
RENAMED = {("Pad", "value"): "constant_value", ("TopK", "k"): "K"}


def moved(versions):
    """Attributes of older versions that are inputs of later ones: `axes:1`."""
    found = {}
    for schema in versions:
        for name in schema.attributes:
            wanted = RENAMED.get((schema.name, name), name)
            for later in versions:
                if later.since_version <= schema.since_version or name in later.attributes:
                    continue
                for index, formal in enumerate(later.inputs):
                    if formal.name == wanted:
                        found[name] = index
    return " ".join(f"{name}:{index}" for name, index in sorted(found.items(), key=lambda item: item[1]))


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    defined = {line.split("|")[1].strip() for line in (root / "docs" / "ops.md").read_text().splitlines() if line.startswith("| ")}
    operators = defaultdict(list)
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            operators[schema.name].append(schema)
    for schema in get_all_operator_schema():
        if f"{schema.domain}.{schema.name}" in defined:
            operators[f"{schema.domain}.{schema.name}"].append(schema)
        elif schema.domain == "" and schema.name in OWN_IN_DEFAULT and schema.since_version == 1:
            operators[schema.name].append(schema)
    for versions in operators.values():
        versions.sort(key=lambda schema: schema.since_version)
    keys = sorted(operators, key=lambda key: ("." in key, key))
    microsoft = max(schema.since_version for key in keys if "." in key for schema in operators[key])

    def quoted(key):
        return f'"{key}"' if "." in key else key

    text = "\n".join(
        [
            f"// Generated by scripts/generate-schema.py from onnx {onnx.__version__} and onnxruntime {onnxruntime.__version__}. Do not edit.",
            "",
            "/** The newest operator sets known here, by domain. */",
            f'export const latestOpset = {{ "": {defs.onnx_opset_version()}, "{MICROSOFT}": {microsoft} }} as const;',
            "",
            "/** Every version of every operator, as `schema.ts` reads it. */",
            "export const schema = {",
            *(f'  {quoted(key)}: "{line(operators[key])}",' for key in keys),
            "} as const;",
            "",
            "/** Attributes that later versions take as an input: operator → `attribute:input`, in the order of the inputs. */",
            "export const becameInputs: Readonly<Record<string, string>> = {",
            *(f'  {quoted(key)}: "{moved(operators[key])}",' for key in keys if moved(operators[key])),
            "};",
            "",
        ]
    )
    target = root / "src" / "core" / "graph" / "schema.generated.ts"
    target.write_text(text)


main()
