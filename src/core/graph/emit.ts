/**
 * Writes nodes: `emit.Conv([x, w], { strides: [2, 2] })` adds a node and returns its first output. Types come from the ONNX schema.
 * Nodes must be valid in the model's opset, which is checked at run time: the types also allow attributes of older versions (`axes` of ReduceMean).
 */
import { Miss, PithError } from "../errors.ts";
import { fromNumbers, scalarOf } from "../tensor/convert.ts";
import { inMemory, isDense } from "../tensor/dense.ts";
import type { Dense, Tensor } from "../tensor/types.ts";
import type { Attribute } from "./elements.ts";
import { Graph, type Node, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import type { Role } from "./role.ts";
import { schema } from "./schema.generated.ts";
import { checkForm, schemaAt } from "./schema.ts";

export type OpName = keyof typeof schema;

/** The types of attribute values by the letters of the schema (`schema.ts`). */
interface KindTypes {
  i: number;
  f: number;
  s: string;
  I: readonly number[];
  F: readonly number[];
  S: readonly string[];
  t: Dense;
  g: Subgraph;
}

type Split<Text, Separator extends string> = Text extends `${infer First}${Separator}${infer Rest}`
  ? First | Split<Rest, Separator>
  : Text;

type Contents<Version, Before> = Version extends `${string} ${string}` ? Version : Before;

/** The versions of a schema line from opset 7 on. A version that is only a number repeats the contents of the one before. */
type Versions<Line, Before = never> = Line extends `${infer Version}|${infer Rest}`
  ?
      | (Rest extends `${Old}${" " | "|"}${string}` | Old ? never : Contents<Version, Before>)
      | Versions<Rest, Contents<Version, Before>>
  : Contents<Line, Before>;
type Old = "1" | "2" | "3" | "4" | "5" | "6" | "7";

type Newest<Line, Before = never> = Line extends `${infer Version}|${infer Rest}`
  ? Newest<Rest, Contents<Version, Before>>
  : Contents<Line, Before>;

/** Pairs such as "i=axis" and "I=axes!", one per attribute. */
type Pairs<Words> = Words extends `${infer Kind extends keyof KindTypes}=${infer Names}`
  ? `${Kind}=${Split<Names, ",">}`
  : never;
type TypeOf<Pair> = Pair extends `${infer Kind extends keyof KindTypes}=${string}` ? KindTypes[Kind] : never;
type NameOf<Pair> = Pair extends `${string}=${infer Name}` ? (Name extends `${infer Bare}!` ? Bare : Name) : never;
type Required<Pair> = Extract<Pair, `${string}!`>;

/** Required attributes of the newest version, and as optional ones all others, including those of older versions. */
type SchemaAttributes<New extends string, All extends string> = {
  [Pair in Required<New> as NameOf<Pair>]: TypeOf<Pair>;
} & {
  [Pair in All as Exclude<NameOf<Pair>, NameOf<Required<New>>>]?: TypeOf<Pair>;
};
type Flat<T> = keyof T extends never ? Record<string, never> : { [Key in keyof T]: T[Key] };

/** The attributes that `emit` accepts for an operator. */
export type AttributesOf<Op extends OpName> = Flat<
  SchemaAttributes<Pairs<Split<Newest<(typeof schema)[Op]>, " ">>, Pairs<Split<Versions<(typeof schema)[Op]>, " ">>>
>;

/** The metadata key that names the pass that wrote a node. */
export const passKey = "pith.pass";

/** A subgraph attribute: writes nodes into `body` and returns the outputs. Inputs are added with `body.addInput`; outer values are in scope. */
export type Subgraph = (emit: Emit, body: Graph) => readonly Value[];

/** An input of a new node; undefined omits it. A number becomes a constant of the other inputs' type (except bool), a list an int64 vector. */
export type Input = Value | undefined | number | readonly number[];

export type Emit = {
  /** Adds a node; returns its first output. */
  readonly [Op in OpName]: (
    inputs: readonly Input[],
    ...attributes: Record<never, never> extends AttributesOf<Op>
      ? [attributes?: AttributesOf<Op>]
      : [attributes: AttributesOf<Op>]
  ) => Value;
} & EmitTools;

export interface EmitTools {
  /** Adds a node with several outputs. `outputs` is their number, or marks the outputs that are created and returned. */
  many<Op extends OpName, const Outputs extends number | readonly boolean[]>(
    op: Op,
    inputs: readonly Input[],
    attributes: Record<never, never> extends AttributesOf<Op> ? AttributesOf<Op> | undefined : AttributesOf<Op>,
    outputs: Outputs,
  ): Wanted<Outputs>;
  /** Adds a stored tensor, named after `name`. An array must not change afterward. */
  constant(tensor: Dense | Tensor, name?: string, role?: Role): Value;
  /** Returns an `Emit` whose next node or constant has this name, numbered if it is taken; further outputs get numbers. */
  named(name: string): Emit;
}

/** One value per wanted output, as a tuple if the number is a literal. */
export type Wanted<Outputs extends number | readonly boolean[]> = Outputs extends number
  ? Counted<Outputs>
  : Outputs extends readonly [infer First, ...infer Rest extends readonly boolean[]]
    ? First extends true
      ? readonly [Value, ...Wanted<Rest>]
      : Wanted<Rest>
    : Outputs extends readonly []
      ? readonly []
      : readonly Value[];

type Counted<Count extends number, Values extends readonly Value[] = readonly []> = number extends Count
  ? readonly Value[]
  : Values["length"] extends Count
    ? Values
    : Counted<Count, readonly [...Values, Value]>;

export interface EmitOptions {
  /** New nodes go before this one; default: at the end. */
  readonly before?: Node | undefined;
  /** The pass that writes: recorded in the metadata of each node. */
  readonly by?: string;
  readonly onNode?: (node: Node) => void;
  /** The model's own map: the first operator of com.microsoft adds its opset. */
  readonly opsets: Map<string, number>;
}

/**
 * Returns an `Emit` that writes nodes into `graph`, which can be a subgraph. Each call throws PithError E_UNSUPPORTED if the opset lacks the
 * operator, attribute or arity, and E_TYPE_MISMATCH for an attribute value of the wrong type.
 * @example
 * const emit = emitter(model.graph, { opsets: model.header.opsets });
 * const scaled = emit.named("scaled").Mul([x, 0.5]);
 */
export function emitter(graph: Graph, options: EmitOptions): Emit {
  return withName({ graph, before: options.before, options }, undefined);
}

/** Returns an `Emit` at the end of a model's main graph, or before a node of any of its graphs. */
export function emitInto(model: Model, options: Omit<EmitOptions, "opsets"> = {}): Emit {
  return emitter(options.before?.graph ?? model.graph, { ...options, opsets: model.header.opsets });
}

interface Target {
  readonly graph: Graph;
  readonly before: Node | undefined;
  readonly options: EmitOptions;
}

type Inputs = readonly Input[];

function withName(target: Target, name: string | undefined): Emit {
  let pending = name;
  const takeName = (): string | undefined => {
    const next = pending;
    pending = undefined;
    return next;
  };
  const write = (key: string, inputs: Inputs, attributes: object, outputs: readonly boolean[]): readonly Value[] =>
    writeNode(target, key, inputs, Object.entries(attributes), outputs, takeName);
  const tools: { readonly [Tool in keyof EmitTools]: unknown } = {
    many: (op: string, inputs: Inputs, attributes: object | undefined, outputs: number | readonly boolean[]) =>
      write(op, inputs, attributes ?? {}, typeof outputs === "number" ? allOf(outputs) : outputs),
    constant: (tensor: Dense | Tensor, name?: string, role?: Role) =>
      target.graph.addTensor(takeName() ?? name ?? "constant", "read" in tensor ? tensor : inMemory(tensor), role),
    named: (name: string) => withName(target, name),
  };
  return new Proxy(tools as Emit, {
    get(_, key) {
      if (typeof key !== "string") return undefined;
      if (Object.hasOwn(tools, key)) return tools[key as keyof EmitTools];
      if (!Object.hasOwn(schema, key)) return undefined;
      // Mandatory outputs are created even if only the first is used.
      return (inputs: Inputs, attributes: object = {}) =>
        write(key, inputs, attributes, allOf(minOutputs(target, key)))[0];
    },
  });
}

const allOf = (count: number): readonly boolean[] => new Array<boolean>(count).fill(true);

function splitKey(key: string): readonly [domain: string, op: string] {
  const dot = key.lastIndexOf(".");
  return dot < 0 ? ["", key] : [key.slice(0, dot), key.slice(dot + 1)];
}

function minOutputs(target: Target, key: string): number {
  const [domain, op] = splitKey(key);
  return Math.max(1, schemaAt(domain, op, importedVersion(target, domain))?.outputs.min ?? 1);
}

/** @throws PithError E_UNSUPPORTED if the model imports no version of the default domain. */
function importedVersion({ options: { opsets } }: Target, domain: string): number {
  const version = opsets.get(domain) ?? (domain === "" ? undefined : 1);
  if (version === undefined) throw new PithError("E_UNSUPPORTED", "The model imports no operator set of ai.onnx.");
  return version;
}

function writeNode(
  target: Target,
  key: string,
  operands: Inputs,
  attributes: readonly (readonly [string, unknown])[],
  outputs: readonly boolean[],
  takeName: () => string | undefined,
): readonly Value[] {
  const { graph, options } = target;
  const [domain, op] = splitKey(key);
  const version = importedVersion(target, domain);
  const presentAttributes = attributes.filter(([, value]) => value !== undefined);
  // Trailing absent inputs are omitted, except those that the operator counts (Loop).
  const minInputs = schemaAt(domain, op, version)?.inputs.min ?? 0;
  const present = operands.slice(0, Math.max(minInputs, operands.findLastIndex((input) => input !== undefined) + 1));
  const form = { inputs: present, outputs, attributes: presentAttributes.map(([name]) => name) };
  const operator = checkForm(domain, op, version, form);
  if (operator instanceof Miss) throw new PithError("E_UNSUPPORTED", operator.reason);

  const tagged: [string, Attribute][] = [];
  const subgraphs: [string, Subgraph][] = [];
  for (const [name, value] of presentAttributes) {
    const kind = operator.attributes.get(name);
    if (kind === "graph" && typeof value === "function") subgraphs.push([name, value as Subgraph]);
    else tagged.push([name, tag(`${key}: attribute ${name}`, kind, value)]);
  }
  const stem = takeName() ?? op;
  const shown = present.map((input) =>
    input === undefined || isValue(input) ? input : graph.addTensor(...written(key, input, present)),
  );
  const names = outputNames(graph, stem, outputs);
  if (!options.opsets.has(domain) && domain !== "") options.opsets.set(domain, version);
  const node = graph.addNode(
    { op, domain, inputs: shown, outputs: names, attributes: new Map(tagged) },
    { before: target.before },
  );
  if (options.by !== undefined) node.metadata = new Map([[passKey, options.by]]);
  for (const [name, build] of subgraphs) {
    const body = new Graph(node);
    body.name = name;
    graph.setAttribute(node, name, { kind: "graph", value: body });
    body.setOutputs(build(withName({ graph: body, before: undefined, options }, undefined), body));
  }
  options.onNode?.(node);
  return node.outputs.filter((output) => output !== undefined);
}

const isValue = (input: Input): input is Value => typeof input === "object" && "uses" in input;

function written(key: string, numbers: number | readonly number[], inputs: Inputs): [name: string, tensor: Tensor] {
  if (typeof numbers !== "number") return ["integers", inMemory(fromNumbers("int64", [numbers.length], numbers))];
  const types = inputs.map((input) => (isValue(input) ? input.type?.type : undefined));
  const type = types.find((type) => type !== undefined && type !== "bool");
  if (type === undefined)
    throw new PithError("E_TYPE_MISMATCH", `${key}: the type of the number ${numbers} is not known.`);
  return ["scalar", inMemory(scalarOf(type, numbers))];
}

/** The first wanted output gets the name; the others get numbers. */
function outputNames(graph: Graph, stem: string, outputs: readonly boolean[]): (string | undefined)[] {
  const first = outputs.indexOf(true);
  const name = graph.freshName(stem);
  return outputs.map((isPresent, index) => {
    if (!isPresent) return undefined;
    return index === first ? name : graph.freshName(`${name}_${index}`);
  });
}

function tag(place: string, kind: Attribute["kind"] | undefined, value: unknown): Attribute {
  if (kind === "int" && isInteger(value)) return { kind, value };
  if (kind === "float" && isNumber(value)) return { kind, value };
  if (kind === "string" && isText(value)) return { kind, value };
  if (kind === "ints" && isListOf(value, isInteger)) return { kind, value: [...value] };
  if (kind === "floats" && isListOf(value, isNumber)) return { kind, value: [...value] };
  if (kind === "strings" && isListOf(value, isText)) return { kind, value: [...value] };
  if (kind === "tensor" && isDense(value)) return { kind, value: inMemory(value) };
  const got = Array.isArray(value) ? `[${value.join(", ")}]` : typeof value === "object" ? "an object" : String(value);
  throw new PithError("E_TYPE_MISMATCH", `${place}: expected ${kind ?? "nothing"}, got ${got}.`);
}

const isInteger = (value: unknown): value is number => Number.isInteger(value);
const isNumber = (value: unknown): value is number => typeof value === "number";
const isText = (value: unknown): value is string => typeof value === "string";

function isListOf<T>(value: unknown, is: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.every(is);
}
