/**
 * Looks up the ONNX schema of operators per opset version. The generated table has one line per operator. Versions in a line are separated by "|":
 *      since  inputs  outputs  attributes…        11 2-3 1-1 I=kernel_shape,pads i=group s=auto_pad
 * - A version that is only a number has the contents of the preceding version. "gone" means that the operator was removed.
 * - `2?0-3` means two to three inputs (`*`: any number), of which input 0 can be absent.
 * - Attributes are grouped by type letter; `!` marks required attributes.
 * - `~ab.>a` has one letter per input and, after `>`, per output that can be float16 as well as float32. Inputs and outputs with equal letters must
 *   have equal types. `.` marks other types, and a final `+` repeats the last letter.
 */
import { Miss } from "../errors.ts";
import { getOrAdd } from "../tensor/get-or-add.ts";
import type { Attribute } from "./graph-elements.ts";
import { becameInputs, latestOpset, schema } from "./schema.generated.ts";

export { latestOpset };

const lines: Readonly<Record<string, string>> = schema;

export interface Arity {
  readonly min: number;
  readonly max: number;
}

export interface OperatorSchema {
  readonly since: number;
  readonly deprecated: boolean;
  /** `absent` contains the indices below `min` that can be omitted. */
  readonly inputs: Arity & { readonly absent: ReadonlySet<number> };
  readonly outputs: Arity;
  readonly attributes: ReadonlyMap<string, Attribute["kind"]>;
  readonly required: ReadonlySet<string>;
  /** The type variable of inputs and outputs that accept float32 and float16. Operands with one variable have one type. */
  readonly half: { readonly input: LetterAt; readonly output: LetterAt };
}

type LetterAt = (index: number) => string | undefined;

/** The parts of a node that its schema covers. */
export interface NodeForm {
  readonly inputs: readonly unknown[];
  readonly outputs: readonly unknown[];
  readonly attributes: Iterable<string>;
}

const schemasByOperator = new Map<string, readonly OperatorSchema[]>();

/** Returns all versions of an operator, oldest first; an empty list if the operator does not exist. */
export function schemasOf(domain: string, op: string): readonly OperatorSchema[] {
  const key = domain === "" || domain === "ai.onnx" ? op : `${domain}.${op}`;
  return getOrAdd(schemasByOperator, key, () => (Object.hasOwn(lines, key) ? parseLine(lines[key] ?? "") : []));
}

/** Returns the operator's definition in an opset version; undefined if the operator is newer or does not exist. */
export function schemaAt(domain: string, op: string, version: number): OperatorSchema | undefined {
  return schemasOf(domain, op).findLast((candidate) => candidate.since <= version);
}

/** Returns the definition that a node must follow, or a Miss that states a violation. */
export function checkForm(domain: string, op: string, version: number, form: NodeForm): OperatorSchema | Miss {
  const versions = schemasOf(domain, op);
  const isStandard = domain === "" || domain === "ai.onnx";
  const name = isStandard ? op : `${domain}.${op}`;
  const versionNoun = isStandard ? "opset" : "version";
  const operator = schemaAt(domain, op, version);
  if (operator === undefined) {
    const [first] = versions;
    if (first === undefined) return new Miss(`There is no operator ${name}.`);
    return new Miss(`${name} exists from ${versionNoun} ${first.since} on, the model imports ${version}.`);
  }
  if (operator.deprecated)
    return new Miss(`${name} was removed in ${versionNoun} ${operator.since}, the model imports ${version}.`);
  const place = `${name} in ${versionNoun} ${version}`;
  const reason =
    attributesReason(versions, operator, form, place, name, versionNoun) ??
    inputsReason(versions, operator, form, place) ??
    outputsReason(operator, form, place);
  return reason === undefined ? operator : new Miss(reason);
}

function attributesReason(
  versions: readonly OperatorSchema[],
  operator: OperatorSchema,
  form: NodeForm,
  place: string,
  name: string,
  set: string,
): string | undefined {
  const names = new Set(form.attributes);
  for (const attribute of names) {
    if (operator.attributes.has(attribute)) continue;
    const isKnown = (candidate: OperatorSchema): boolean => candidate.attributes.has(attribute);
    const earlier = versions.findLast((candidate) => candidate.since < operator.since && isKnown(candidate));
    if (earlier !== undefined) {
      const since = versions[versions.indexOf(earlier) + 1]?.since ?? operator.since;
      return operator.inputs.max > earlier.inputs.max
        ? `${place} takes ${attribute} as an input: it is not an attribute since ${set} ${since}.`
        : `${place} has no attribute ${attribute}: it was removed in ${set} ${since}.`;
    }
    const later = versions.find((candidate) => candidate.since > operator.since && isKnown(candidate));
    if (later !== undefined) return `${place} has no attribute ${attribute}: it exists from ${set} ${later.since} on.`;
    const names = [...operator.attributes.keys()].sort().join(", ");
    return `${name} has no attribute ${attribute}${names === "" ? "" : `, but ${names}`}.`;
  }
  for (const attribute of operator.required) {
    if (!names.has(attribute)) return `${place} needs the attribute ${attribute}.`;
  }
  return undefined;
}

function inputsReason(
  versions: readonly OperatorSchema[],
  operator: OperatorSchema,
  form: NodeForm,
  place: string,
): string | undefined {
  const { min, max, absent } = operator.inputs;
  const count = form.inputs.length;
  const countMismatch = `expected ${arityText(operator.inputs, "input")}, got ${count}`;
  if (count > max) {
    // Attributes that a later version turned into inputs.
    const later = versions.find((candidate) => candidate.since > operator.since && candidate.inputs.max > max);
    const movedAttributes = [...operator.attributes.keys()].filter(
      (name) => later !== undefined && !later.attributes.has(name),
    );
    if (movedAttributes.length > 0) {
      const [here, there] = movedAttributes.length === 1 ? ["an attribute", "an input"] : ["attributes", "inputs"];
      return `${place} takes ${movedAttributes.join(", ")} as ${here}, not as ${there}: ${countMismatch}.`;
    }
    return `${place}: ${countMismatch}.`;
  }
  if (count < min) return `${place}: ${countMismatch}.`;
  const neededCount = max === Number.POSITIVE_INFINITY ? count : min;
  for (let input = 0; input < neededCount; input++) {
    if (form.inputs[input] === undefined && !absent.has(input)) return `${place}: input ${input} is required.`;
  }
  return undefined;
}

function outputsReason(operator: OperatorSchema, form: NodeForm, place: string): string | undefined {
  const { min, max } = operator.outputs;
  const count = form.outputs.length;
  if (count < min || count > max) return `${place}: expected ${arityText(operator.outputs, "output")}, got ${count}.`;
  // Variadic outputs must not have gaps: quirk "gap-in-outputs".
  const neededCount = max === Number.POSITIVE_INFINITY ? count : min;
  const absent = form.outputs.slice(0, neededCount).findIndex((output) => output === undefined || output === false);
  return absent < 0 ? undefined : `${place}: output ${absent} is required.`;
}

function arityText({ min, max }: Arity, noun: string): string {
  if (max === Number.POSITIVE_INFINITY) return `${min} or more ${noun}s`;
  return min === max ? `${min} ${noun}${min === 1 ? "" : "s"}` : `${min} to ${max} ${noun}s`;
}

const kindOf: Readonly<Record<string, Attribute["kind"]>> = {
  i: "int",
  f: "float",
  s: "string",
  I: "ints",
  F: "floats",
  S: "strings",
  t: "tensor",
  g: "graph",
  o: "opaque",
};

function parseLine(line: string): OperatorSchema[] {
  const versions: OperatorSchema[] = [];
  for (const part of line.split("|")) {
    const [since = "", inputs, outputs, ...groups] = part.split(" ");
    const previous = versions.at(-1);
    versions.push(
      inputs === undefined && previous !== undefined
        ? { ...previous, since: Number(since) }
        : parseVersion(Number(since), inputs ?? "", outputs ?? "", groups),
    );
  }
  return versions;
}

function parseVersion(since: number, inputs: string, outputs: string, groups: readonly string[]): OperatorSchema {
  const attributes = new Map<string, Attribute["kind"]>();
  const required = new Set<string>();
  const [halfLetters = "", ...kinds] = groups[0]?.startsWith("~") ? groups : ["~>", ...groups];
  for (const group of kinds) {
    for (const nameWithMark of group.slice(2).split(",")) {
      const name = nameWithMark.replace("!", "");
      attributes.set(name, kindOf[group.charAt(0)] ?? "opaque");
      if (nameWithMark !== name) required.add(name);
    }
  }
  const [low = "", high = ""] = inputs.split("-");
  const [min = "", ...absent] = low.split("?");
  const [outputLow = "", outputHigh = ""] = outputs.split("-");
  return {
    since,
    deprecated: inputs === "gone",
    inputs: inputs === "gone" ? noArity : { min: Number(min), max: maxOf(high), absent: new Set(absent.map(Number)) },
    outputs: inputs === "gone" ? noArity : { min: Number(outputLow), max: maxOf(outputHigh) },
    attributes,
    required,
    half: { input: lettersOf(halfLetters.slice(1).split(">")[0]), output: lettersOf(halfLetters.split(">")[1]) },
  };
}

function lettersOf(text = ""): LetterAt {
  const letters = text.replace("+", "");
  return (index) => {
    const letter = text.endsWith("+") ? letters[Math.min(index, letters.length - 1)] : letters[index];
    return letter === "." ? undefined : letter;
  };
}

const noArity = { min: 0, max: 0, absent: new Set<number>() };

function maxOf(text: string): number {
  return text === "*" ? Number.POSITIVE_INFINITY : Number(text);
}

/** Attributes that became a scalar input, as "operator attribute". */
const scalarInputs = new Set(["DFT axis"]);

export function isScalarInput(op: string, attribute: string): boolean {
  return scalarInputs.has(`${op} ${attribute}`);
}

/** Returns, for each attribute that later versions of a standard operator replace by an input, the index of this input. */
export function inputsFor(op: string): ReadonlyMap<string, number> {
  const line = Object.hasOwn(becameInputs, op) ? (becameInputs[op] ?? "") : "";
  return new Map(
    line.split(" ").flatMap((pair) => {
      const [name, input] = pair.split(":");
      return name === undefined || input === undefined ? [] : [[name, Number(input)] as const];
    }),
  );
}
