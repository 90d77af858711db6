/**
 * Adds nodes to graphs: `emit.Conv([x, w], { strides: [2, 2] })` adds a node and returns its first output. The TypeScript types come from the ONNX
 * schema. They also allow attributes of older versions, so each node is checked against the model's opset at run time.
 */
import { Miss, PithError, unsupportedError } from "../errors.ts";
import { fromNumbers, scalarOf } from "../tensor/convert.ts";
import { inMemory, isDense } from "../tensor/dense.ts";
import type { Dense, Tensor } from "../tensor/types.ts";
import { Graph, type Node, type Value } from "./graph.ts";
import type { Attribute } from "./graph-elements.ts";
import type { Model } from "./model.ts";
import type { Role } from "./role.ts";
import { schema } from "./schema.generated.ts";
import { checkForm, schemaAt } from "./schema.ts";

export type OpName = keyof typeof schema;

/** Maps the letters for attribute kinds in the schema (`schema.ts`) to TypeScript types. */
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

/** The versions of an operator that opsets from 7 on use. */
type Versions<Line, Before = never> = Line extends `${infer Version}|${infer Rest}`
  ?
      | (Rest extends `${OldVersion}${" " | "|"}${string}` | OldVersion ? never : Contents<Version, Before>)
      | Versions<Rest, Contents<Version, Before>>
  : Contents<Line, Before>;
type OldVersion = "1" | "2" | "3" | "4" | "5" | "6" | "7";

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

/** The required attributes of the newest version. All others are optional. */
type SchemaAttributes<New extends string, All extends string> = {
  [Pair in Required<New> as NameOf<Pair>]: TypeOf<Pair>;
} & {
  [Pair in All as Exclude<NameOf<Pair>, NameOf<Required<New>>>]?: TypeOf<Pair>;
};
type Flattened<T> = keyof T extends never ? Record<string, never> : { [Key in keyof T]: T[Key] };

export type AttributesOf<Op extends OpName> = Flattened<
  SchemaAttributes<Pairs<Split<Newest<(typeof schema)[Op]>, " ">>, Pairs<Split<Versions<(typeof schema)[Op]>, " ">>>
>;

export const passKey = "pith.pass";

/** Builds a subgraph attribute: adds nodes and inputs to `body`, and returns the outputs. Nodes can read outer values. */
export type Subgraph = (emit: Emit, body: Graph) => readonly Value[];

/** An input of a new node; undefined omits it. A number gets the type of the first other input that is not bool; a list is an int64 vector. */
export type Input = Value | undefined | number | readonly number[];

export type Emit = {
  /** Adds a node and returns its first output. */
  readonly [Op in OpName]: (
    inputs: readonly Input[],
    ...attributes: Record<never, never> extends AttributesOf<Op>
      ? [attributes?: AttributesOf<Op>]
      : [attributes: AttributesOf<Op>]
  ) => Value;
} & EmitTools;

export interface EmitTools {
  /** Adds a node with several outputs: their number, or a list that states for each output whether it is created. */
  many<Op extends OpName, const Outputs extends number | readonly boolean[]>(
    op: Op,
    inputs: readonly Input[],
    attributes: Record<never, never> extends AttributesOf<Op> ? AttributesOf<Op> | undefined : AttributesOf<Op>,
    outputs: Outputs,
  ): CreatedOutputs<Outputs>;
  /** Adds a stored tensor under `name`, or under a similar name if `name` is taken. The caller must not change the data afterward. */
  constant(tensor: Dense | Tensor, name?: string, role?: Role): Value;
  /** Returns an `Emit` that names the first output of the next node, or the next constant. */
  named(name: string): Emit;
}

/** The outputs that `many` creates: a tuple if their number is a literal. */
export type CreatedOutputs<Outputs extends number | readonly boolean[]> = Outputs extends number
  ? ValueTuple<Outputs>
  : Outputs extends readonly [infer First, ...infer Rest extends readonly boolean[]]
    ? First extends true
      ? readonly [Value, ...CreatedOutputs<Rest>]
      : CreatedOutputs<Rest>
    : Outputs extends readonly []
      ? readonly []
      : readonly Value[];

type ValueTuple<Count extends number, Values extends readonly Value[] = readonly []> = number extends Count
  ? readonly Value[]
  : Values["length"] extends Count
    ? Values
    : ValueTuple<Count, readonly [...Values, Value]>;

export interface EmitOptions {
  /** The node before which new nodes are added; by default they are added at the end. */
  readonly before?: Node | undefined;
  readonly by?: string;
  readonly onNode?: (node: Node) => void;
  readonly opsets: Map<string, number>;
}

/** Returns an `Emit` for `graph`. Calls throw E_UNSUPPORTED if the opset lacks the operator's form. */
export function emitter(graph: Graph, options: EmitOptions): Emit {
  return withName({ graph, before: options.before, options }, undefined);
}

/** Returns an `Emit` that writes at the end of a model's main graph, or before a node of any of its graphs. */
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
  let nextName = name;
  const takeName = (): string | undefined => {
    const next = nextName;
    nextName = undefined;
    return next;
  };
  const write = (key: string, inputs: Inputs, attributes: object, outputs: readonly boolean[]): readonly Value[] =>
    writeNode(target, key, inputs, Object.entries(attributes), outputs, takeName);
  const tools: { readonly [Tool in keyof EmitTools]: unknown } = {
    many: (op: string, inputs: Inputs, attributes: object | undefined, outputs: number | readonly boolean[]) =>
      write(op, inputs, attributes ?? {}, typeof outputs === "number" ? createFlags(outputs) : outputs),
    constant: (tensor: Dense | Tensor, name?: string, role?: Role) =>
      target.graph.addTensor(takeName() ?? name ?? "constant", "read" in tensor ? tensor : inMemory(tensor), role),
    named: (name: string) => withName(target, name),
  };
  return new Proxy(tools as Emit, {
    get(_, key) {
      if (typeof key !== "string") return undefined;
      if (Object.hasOwn(tools, key)) return tools[key as keyof EmitTools];
      if (!Object.hasOwn(schema, key)) return undefined;
      return (inputs: Inputs, attributes: object = {}) =>
        write(key, inputs, attributes, createFlags(minOutputs(target, key)))[0];
    },
  });
}

const createFlags = (count: number): readonly boolean[] => new Array<boolean>(count).fill(true);

function splitKey(key: string): readonly [domain: string, op: string] {
  const dot = key.lastIndexOf(".");
  return dot < 0 ? ["", key] : [key.slice(0, dot), key.slice(dot + 1)];
}

function minOutputs(target: Target, key: string): number {
  const [domain, op] = splitKey(key);
  return Math.max(1, schemaAt(domain, op, importedVersion(target, domain))?.outputs.min ?? 1);
}

function importedVersion({ options: { opsets } }: Target, domain: string): number {
  const version = opsets.get(domain) ?? (domain === "" ? undefined : 1);
  if (version === undefined) throw unsupportedError("The model imports no operator set of ai.onnx.");
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
  // Omits trailing absent inputs, except those that the operator requires (Loop).
  const minInputs = schemaAt(domain, op, version)?.inputs.min ?? 0;
  const givenInputs = operands.slice(
    0,
    Math.max(minInputs, operands.findLastIndex((input) => input !== undefined) + 1),
  );
  const form = { inputs: givenInputs, outputs, attributes: presentAttributes.map(([name]) => name) };
  const operator = checkForm(domain, op, version, form);
  if (operator instanceof Miss) throw unsupportedError(operator.reason);

  const nodeAttributes: [string, Attribute][] = [];
  const subgraphs: [string, Subgraph][] = [];
  for (const [name, value] of presentAttributes) {
    const kind = operator.attributes.get(name);
    if (kind === "graph" && typeof value === "function") subgraphs.push([name, value as Subgraph]);
    else nodeAttributes.push([name, toAttribute(`${key}: attribute ${name}`, kind, value)]);
  }
  const stem = takeName() ?? op;
  const inputValues = givenInputs.map((input) =>
    input === undefined || isValue(input) ? input : graph.addTensor(...constantFor(key, input, givenInputs)),
  );
  const names = outputNames(graph, stem, outputs);
  if (!options.opsets.has(domain) && domain !== "") options.opsets.set(domain, version);
  const node = graph.addNode(
    { op, domain, inputs: inputValues, outputs: names, attributes: new Map(nodeAttributes) },
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

function constantFor(key: string, numbers: number | readonly number[], inputs: Inputs): [name: string, tensor: Tensor] {
  if (typeof numbers !== "number") return ["integers", inMemory(fromNumbers("int64", [numbers.length], numbers))];
  const types = inputs.map((input) => (isValue(input) ? input.type?.type : undefined));
  const type = types.find((type) => type !== undefined && type !== "bool");
  if (type === undefined)
    throw new PithError("E_TYPE_MISMATCH", `${key}: the type of the number ${numbers} is not known.`);
  return ["scalar", inMemory(scalarOf(type, numbers))];
}

function outputNames(graph: Graph, stem: string, outputs: readonly boolean[]): (string | undefined)[] {
  const first = outputs.indexOf(true);
  const name = graph.freshName(stem);
  return outputs.map((isPresent, index) => {
    if (!isPresent) return undefined;
    return index === first ? name : graph.freshName(`${name}_${index}`);
  });
}

function toAttribute(place: string, kind: Attribute["kind"] | undefined, value: unknown): Attribute {
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

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.every(isItem);
}
