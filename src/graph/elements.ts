/**
 * What graphs are made of: values, the nodes that produce and use them, attributes; and ways through them, into graphs inside nodes too. All
 * changes go through the methods of `Graph`.
 */
import type { Dim } from "../tensor/dims.ts";
import type { DataType, Tensor } from "../tensor/types.ts";
import type { Graph } from "./graph.ts";
import type { Role } from "./role.ts";
import type { Names, Shared } from "./shared.ts";

export interface ValueType {
  readonly type: DataType;
  /** Undefined where the rank is unknown. */
  readonly dims: readonly Dim[] | undefined;
}

export type Container =
  /** `items`: each element by itself, where it is known how many there are. */
  | { readonly kind: "sequence"; readonly of: AnyType; readonly items?: readonly AnyType[] }
  | { readonly kind: "optional"; readonly of: AnyType }
  | { readonly kind: "map"; readonly key: DataType; readonly of: AnyType }
  | { readonly kind: "sparse"; readonly of: ValueType };

export type AnyType = ValueType | Container;

export function isContainer(type: AnyType): type is Container {
  return "kind" in type;
}

/** One place where a value is consumed, perhaps inside a subgraph: `node.graph` says where. */
export interface Use {
  readonly node: Node;
  readonly input: number;
}

/** Metadata and bytes that come from a file and go back into it untouched. */
export interface Carried {
  doc: string | undefined;
  metadata: ReadonlyMap<string, string>;
  /** Protobuf fields that this version of Pith does not know, in wire format. */
  unknown: Uint8Array | undefined;
}

/** What most values and nodes have: one map for all of them. */
export const noMetadata: ReadonlyMap<string, string> = new Map();

export interface Value extends Carried {
  readonly name: string;
  readonly graph: Graph;
  /** What is known of it: what was inferred, else what is stated. Setting it states it. */
  type: ValueType | undefined;
  /** What the file declares, or the value was made with: what is saved. */
  readonly stated: ValueType | undefined;
  /** What `infer` found. Saved only where nothing is stated and something must be: for outputs. */
  inferred: ValueType | undefined;
  readonly producer: Node | undefined;
  readonly uses: ReadonlySet<Use>;
  tensor: Tensor | undefined;
  role: Role | undefined;
  /** The file lists the type in its value_info, and so does what is saved. */
  declared: boolean;
  /** What the file says of a value that is no plain tensor; carried without being read. */
  foreign: ForeignValue | undefined;
}

/**
 * Messages in wire format: the TypeProto of a sequence, map or optional; the SparseTensorProto of a sparse weight; and what the list of
 * inputs or types says of a stored tensor beside its type (whose own metadata is that of the tensor).
 */
export interface ForeignValue {
  readonly type?: Uint8Array;
  /** What `type` says, as far as it is understood. */
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
  /** Names for the outputs, or how many to name freshly; undefined leaves an output out. */
  readonly outputs?: number | readonly (string | undefined)[];
  readonly attributes?: ReadonlyMap<string, Attribute> | Readonly<Record<string, Attribute>>;
}

/**
 * Attributes of nodes: tagged, so that an integer written as 1 and a float written as 1 stay what they are. `unknown`: what stands in the file
 * beside a graph (a doc string, fields that Pith does not know), in wire format.
 */
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
  /** An attribute that Pith carries without reading it: sparse tensors, types, references inside functions. The bytes are the AttributeProto. */
  | { readonly kind: "opaque"; readonly value: Uint8Array };

/** Integers beyond 2⁵³ (ONNX writes "to the end" as 2⁶³ - 1) come out as ±Number.MAX_SAFE_INTEGER: still past every dimension. */
export function toInteger(value: number | bigint): number {
  if (typeof value === "number") return value;
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > limit ? limit : value < -limit ? -limit : value);
}

/** "Conv", "com.microsoft.Gelu" */
export function operatorName({ domain, op }: Pick<Node, "domain" | "op">): string {
  return domain === "" ? op : `${domain}.${op}`;
}

/** `Conv "layer1.conv"`: how messages speak of a node. */
export function describe(node: Node): string {
  return `${operatorName(node)} "${nodeName(node)}"`;
}

/** The name of a node; of one without a name that of the first value it makes. */
export function nodeName({ name, outputs }: Node): string {
  return name === "" ? (outputs.find((output) => output !== undefined)?.name ?? "") : name;
}

/** The graphs inside a node's attributes. */
export function subgraphs(node: Node): readonly Graph[] {
  let found = none;
  if (node.attributes.size === 0) return found;
  for (const attribute of node.attributes.values()) {
    const graphs = graphsOf(attribute);
    if (graphs.length > 0) found = found.length === 0 ? graphs : [...found, ...graphs];
  }
  return found;
}

/** One empty list for all nodes without graphs: every walk asks every node. */
const none: readonly Graph[] = [];

/** What a node reads: its inputs, and whatever its subgraphs take from outside. Each place once, in time linear in what is inside. */
export function usedValues(node: Node): readonly Value[] {
  const used: Value[] = [];
  const inside = new Set<Graph>();
  const collect = (value: Value | undefined): void => {
    if (value !== undefined && !inside.has(value.graph)) used.push(value);
  };
  const visit = (inner: Node): void => {
    for (const input of inner.inputs) collect(input);
    for (const graph of subgraphs(inner)) {
      inside.add(graph);
      for (const innermost of graph.nodes()) visit(innermost);
      for (const output of graph.outputs) collect(output);
    }
  };
  visit(node);
  return used;
}

/** All graphs of a model or graph: itself, then those inside its nodes, depth first. */
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

/** Stored tensors of all graphs, and those in attributes; one that stands in several places comes as often. */
export function* allTensors(graph: Graph): Generator<Tensor, void, undefined> {
  for (const { tensor } of allValues(graph)) if (tensor !== undefined) yield tensor;
  for (const { attributes } of allNodes(graph)) {
    for (const attribute of attributes.values()) {
      if (attribute.kind === "tensor") yield attribute.value;
      else if (attribute.kind === "tensors") yield* attribute.value;
    }
  }
}

/** Bytes of all stored tensors, each once. */
export const storedBytes = (graph: Graph): number =>
  [...new Set(allTensors(graph))].reduce((sum, { bytes }) => sum + bytes, 0);

export function graphsOf(attribute: Attribute): readonly Graph[] {
  return attribute.kind === "graph" ? [attribute.value] : attribute.kind === "graphs" ? attribute.value : none;
}

/** A value as `Graph` alone may change it. */
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

  readonly #shared: Shared<ValueImplementation>;
  #stated: ValueType | undefined;
  #tensor: Tensor | undefined = undefined;
  #role: Role | undefined = undefined;

  constructor(graph: Graph, name: string, type: ValueType | undefined, shared: Shared<ValueImplementation>) {
    this.graph = graph;
    this.name = name;
    this.#stated = type;
    this.#shared = shared;
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

  /** What was inferred before is void once something else is stated. */
  set type(type: ValueType | undefined) {
    this.#stated = type;
    this.inferred = undefined;
    this.#shared.revision++;
  }

  /** Returns a function that restores the present state. */
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

/** "ai.onnx" is the long name of the default domain, "". */
export function defaultDomain(domain: string): string {
  return domain === "ai.onnx" ? "" : domain;
}

/** A node as `Graph` alone may change it. */
export class NodeImplementation implements Node {
  readonly domain: string;
  readonly op: string;
  readonly overload: string;
  readonly graph: Graph;
  readonly inputs: (ValueImplementation | undefined)[] = [];
  readonly outputs: (ValueImplementation | undefined)[] = [];
  readonly attributes = new Map<string, Attribute>();
  doc: string | undefined = undefined;
  metadata = noMetadata;
  unknown: Uint8Array | undefined = undefined;
  /** Parallel to `inputs`. */
  readonly uses: (Use | undefined)[] = [];
  previous: NodeImplementation | undefined = undefined;
  next: NodeImplementation | undefined = undefined;
  removed = false;
  readonly #shared: Shared<ValueImplementation>;
  readonly #names: Names;
  #name = "";

  /** @param names Those of the graph's nodes; the node keeps its own in them. */
  constructor(graph: Graph, spec: NodeSpec, shared: Shared<ValueImplementation>, names: Names) {
    this.graph = graph;
    this.#shared = shared;
    this.#names = names;
    this.op = spec.op;
    this.domain = defaultDomain(spec.domain ?? "");
    this.overload = spec.overload ?? "";
  }
  get name(): string {
    return this.#name;
  }

  set name(name: string) {
    if (!this.removed) this.#names.release(this.#name);
    this.#name = name;
    if (!this.removed) this.#names.take(name);
    this.#shared.revision++;
  }

  /** Returns a function that restores the present state, without the place in the list of nodes. */
  snapshot(): () => void {
    const { doc, metadata, unknown } = this;
    const name = this.#name;
    const [inputs, outputs, uses, attributes] = [
      this.inputs.slice(),
      this.outputs.slice(),
      this.uses.slice(),
      [...this.attributes],
    ];
    return () => {
      Object.assign(this, { doc, metadata, unknown });
      this.#name = name;
      refill(this.inputs, inputs);
      refill(this.outputs, outputs);
      refill(this.uses, uses);
      this.attributes.clear();
      for (const [key, attribute] of attributes) this.attributes.set(key, attribute);
    };
  }
}

/** Spread into `splice`, a long list would overflow the stack. */
function refill<T>(list: T[], items: readonly T[]): void {
  list.length = 0;
  for (const item of items) list.push(item);
}
