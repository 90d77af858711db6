/** Defines the elements of graphs: values, nodes and attributes. Only methods of `Graph` change links between them. */
import type { Dim } from "../tensor/dims.ts";
import type { DataType, Tensor } from "../tensor/types.ts";
import type { Graph } from "./graph.ts";
import type { Role } from "./role.ts";
import type { Names, SharedState } from "./shared-state.ts";

export interface ValueType {
  readonly type: DataType;
  /** Undefined if the rank is unknown. */
  readonly dims: readonly Dim[] | undefined;
}

/** A type other than a tensor. `of` is the type of its elements. */
export type Container =
  | { readonly kind: "sequence"; readonly of: AnyType; readonly items?: readonly AnyType[] }
  | { readonly kind: "optional"; readonly of: AnyType }
  | { readonly kind: "map"; readonly key: DataType; readonly of: AnyType }
  | { readonly kind: "sparse"; readonly of: ValueType };

export type AnyType = ValueType | Container;

export function isContainer(type: AnyType): type is Container {
  return "kind" in type;
}

/** One node input that reads a value. The node can be in a subgraph. */
export interface Use {
  readonly node: Node;
  readonly input: number;
}

/** Contents of a file that Pith carries along and writes back unchanged: documentation, metadata, and unknown fields. */
export interface Carried {
  doc: string | undefined;
  metadata: ReadonlyMap<string, string>;
  /** Protobuf fields that Pith does not know, in wire format. */
  unknown: Uint8Array | undefined;
}

export const noMetadata: ReadonlyMap<string, string> = new Map();

export interface Value extends Carried {
  readonly name: string;
  readonly graph: Graph;
  /** The inferred type, otherwise the stated type. Setting it sets the stated type and removes the inferred type. */
  type: ValueType | undefined;
  /** The type that the file states or that was set. */
  readonly stated: ValueType | undefined;
  /** The type found by `infer`. */
  inferred: ValueType | undefined;
  readonly producer: Node | undefined;
  readonly uses: ReadonlySet<Use>;
  tensor: Tensor | undefined;
  role: Role | undefined;
  /** Whether the file lists the value in `value_info`. */
  declared: boolean;
  /** The file's description of a value that is not a dense tensor, or more about its type. */
  foreign: ForeignValue | undefined;
}

/** Protobuf messages: `type` (TypeProto of a sequence, map, …), `sparse` (SparseTensorProto), `info` (more about the type of a stored tensor). */
export interface ForeignValue {
  readonly type?: Uint8Array;
  readonly container?: Container;
  readonly sparse?: Uint8Array;
  readonly info?: Uint8Array;
}

export interface Node extends Carried {
  name: string;
  readonly domain: string;
  readonly op: string;
  readonly overload: string;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  readonly attributes: ReadonlyMap<string, Attribute>;
  readonly graph: Graph;
}

export interface NodeSpec {
  readonly op: string;
  /** "" is the default domain, ai.onnx. */
  readonly domain?: string;
  readonly overload?: string;
  readonly name?: string;
  readonly inputs: readonly (Value | undefined)[];
  /** The names of the outputs, where undefined omits an output; or a number of outputs with automatic names. */
  readonly outputs?: number | readonly (string | undefined)[];
  readonly attributes?: ReadonlyMap<string, Attribute> | Readonly<Record<string, Attribute>>;
}

/** A node attribute. `kind` distinguishes the integer 1 from the float 1. `unknown` contains protobuf fields in wire format. */
export type Attribute =
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "int"; readonly value: number | bigint }
  | { readonly kind: "string"; readonly value: string | Uint8Array }
  | { readonly kind: "tensor"; readonly value: Tensor }
  | { readonly kind: "graph"; readonly value: Graph; readonly unknown?: Uint8Array }
  | { readonly kind: "floats"; readonly value: readonly number[] }
  | { readonly kind: "ints"; readonly value: readonly (number | bigint)[] }
  | { readonly kind: "strings"; readonly value: readonly (string | Uint8Array)[] }
  | { readonly kind: "tensors"; readonly value: readonly Tensor[] }
  | { readonly kind: "graphs"; readonly value: readonly Graph[]; readonly unknown?: Uint8Array }
  /** A sparse tensor, a type, or a reference in a function, as bytes of the AttributeProto. */
  | { readonly kind: "opaque"; readonly value: Uint8Array };

/** Converts an integer to a number, clamped to ±MAX_SAFE_INTEGER. ONNX writes 2⁶³ − 1 for "to the end". */
export function toInteger(value: number | bigint): number {
  if (typeof value === "number") return value;
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > limit ? limit : value < -limit ? -limit : value);
}

/** Returns the operator's name with a non-default domain, such as "Conv" or "com.microsoft.Gelu". */
export function operatorName({ domain, op }: Pick<Node, "domain" | "op">): string {
  return domain === "" ? op : `${domain}.${op}`;
}

export function nodeText(node: Node): string {
  return `${operatorName(node)} "${nodeName(node)}"`;
}

export function nodeName({ name, outputs }: Node): string {
  return name === "" ? (outputs.find((output) => output !== undefined)?.name ?? "") : name;
}

export function subgraphs(node: Node): readonly Graph[] {
  if (node.attributes.size === 0) return noGraphs;
  let graphs = noGraphs;
  for (const attribute of node.attributes.values()) {
    const attributeGraphs = graphsOf(attribute);
    if (attributeGraphs.length > 0) graphs = graphs.length === 0 ? attributeGraphs : [...graphs, ...attributeGraphs];
  }
  return graphs;
}

const noGraphs: readonly Graph[] = [];
const noAttributes: ReadonlyMap<string, Attribute> = new Map();

/** Returns the values that a node reads: its inputs, and values of outer graphs that its subgraphs read. */
export function usedValues(node: Node): readonly Value[] {
  const readValues: Value[] = [];
  const innerGraphs = new Set<Graph>();
  const collect = (value: Value | undefined): void => {
    if (value !== undefined && !innerGraphs.has(value.graph)) readValues.push(value);
  };
  const visit = (inner: Node): void => {
    for (const input of inner.inputs) collect(input);
    for (const graph of subgraphs(inner)) {
      innerGraphs.add(graph);
      for (const innermost of graph.nodes()) visit(innermost);
      for (const output of graph.outputs) collect(output);
    }
  };
  visit(node);
  return readValues;
}

/** Yields a graph, then its subgraphs, depth first. */
export function* allGraphs(graph: Graph): Generator<Graph, void, undefined> {
  yield graph;
  for (const node of graph.nodes()) for (const inner of subgraphs(node)) yield* allGraphs(inner);
}

export function* allNodes(graph: Graph): Generator<Node, void, undefined> {
  for (const inner of allGraphs(graph)) yield* inner.nodes();
}

export function* allValues(graph: Graph): Generator<Value, void, undefined> {
  for (const inner of allGraphs(graph)) yield* inner.values();
}

/** Yields the tensors of all values and attributes, including those in subgraphs. Shared tensors occur several times. */
export function* allTensors(graph: Graph): Generator<Tensor, void, undefined> {
  for (const { tensor } of allValues(graph)) if (tensor !== undefined) yield tensor;
  for (const { attributes } of allNodes(graph)) {
    for (const attribute of attributes.values()) {
      if (attribute.kind === "tensor") yield attribute.value;
      else if (attribute.kind === "tensors") yield* attribute.value;
    }
  }
}

/** Returns the stored bytes of all tensors, counting shared tensors once. */
export const storedBytes = (graph: Graph): number =>
  [...new Set(allTensors(graph))].reduce((sum, { bytes }) => sum + bytes, 0);

export function graphsOf(attribute: Attribute): readonly Graph[] {
  return attribute.kind === "graph" ? [attribute.value] : attribute.kind === "graphs" ? attribute.value : noGraphs;
}

/** Implements a value, with the members that only `Graph` may change. */
export class ValueImplementation implements Value {
  name: string;
  readonly graph: Graph;
  inferred: ValueType | undefined = undefined;
  producer: Node | undefined = undefined;
  readonly uses = new Set<Use>();
  declared = false;
  foreign: ForeignValue | undefined = undefined;
  doc: string | undefined = undefined;
  metadata = noMetadata;
  unknown: Uint8Array | undefined = undefined;

  readonly #shared: SharedState<ValueImplementation>;
  #stated: ValueType | undefined;
  #tensor: Tensor | undefined = undefined;
  #role: Role | undefined = undefined;

  constructor(graph: Graph, name: string, type: ValueType | undefined, state: SharedState<ValueImplementation>) {
    this.graph = graph;
    this.name = name;
    this.#stated = type;
    this.#shared = state;
  }

  get tensor(): Tensor | undefined {
    return this.#tensor;
  }

  set tensor(tensor: Tensor | undefined) {
    this.#tensor = tensor;
    this.#shared.revision++;
  }

  get role(): Role | undefined {
    return this.#role;
  }

  set role(role: Role | undefined) {
    if (this.#role?.kind === "tied") this.#shared.untie(this, this.#role.name);
    this.#role = role;
    if (role?.kind === "tied") this.#shared.tie(this, role.name);
    this.#shared.revision++;
  }

  get stated(): ValueType | undefined {
    return this.#stated;
  }

  get type(): ValueType | undefined {
    return this.inferred ?? this.#stated;
  }

  set type(type: ValueType | undefined) {
    this.#stated = type;
    this.inferred = undefined;
    this.#shared.revision++;
  }

  snapshot(): () => void {
    const { name, stated, inferred, producer, declared, foreign, doc, metadata, unknown, tensor, role } = this;
    const uses = [...this.uses];
    return () => {
      Object.assign(this, { name, type: stated, inferred, producer, declared, foreign, doc, metadata, unknown });
      this.tensor = tensor;
      this.role = role;
      this.uses.clear();
      for (const use of uses) this.uses.add(use);
    };
  }
}

export function defaultDomain(domain: string): string {
  return domain === "ai.onnx" ? "" : domain;
}

export class NodeImplementation implements Node {
  readonly domain: string;
  readonly op: string;
  readonly overload: string;
  readonly graph: Graph;
  readonly inputs: (ValueImplementation | undefined)[] = [];
  readonly outputs: (ValueImplementation | undefined)[] = [];
  attributes: ReadonlyMap<string, Attribute> = noAttributes;
  doc: string | undefined = undefined;
  metadata = noMetadata;
  unknown: Uint8Array | undefined = undefined;
  readonly uses: (Use | undefined)[] = [];
  previous: NodeImplementation | undefined = undefined;
  next: NodeImplementation | undefined = undefined;
  isRemoved = false;
  readonly #shared: SharedState<ValueImplementation>;
  readonly #names: Names;
  #name = "";

  constructor(graph: Graph, spec: NodeSpec, state: SharedState<ValueImplementation>, names: Names) {
    this.graph = graph;
    this.#shared = state;
    this.#names = names;
    this.op = spec.op;
    this.domain = defaultDomain(spec.domain ?? "");
    this.overload = spec.overload ?? "";
  }
  get name(): string {
    return this.#name;
  }

  set name(name: string) {
    if (!this.isRemoved) this.#names.release(this.#name);
    this.#name = name;
    if (!this.isRemoved) this.#names.take(name);
    this.#shared.revision++;
  }

  snapshot(): () => void {
    const { doc, metadata, unknown, attributes } = this;
    const name = this.#name;
    const [inputs, outputs, uses] = [this.inputs.slice(), this.outputs.slice(), this.uses.slice()];
    return () => {
      Object.assign(this, { doc, metadata, unknown, attributes });
      this.#name = name;
      refill(this.inputs, inputs);
      refill(this.outputs, outputs);
      refill(this.uses, uses);
    };
  }
}

/** Replaces the items one by one: spreading a long list into `splice` would overflow the stack. */
function refill<T>(list: T[], items: readonly T[]): void {
  list.length = 0;
  for (const item of items) list.push(item);
}
