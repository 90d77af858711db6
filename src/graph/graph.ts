/**
 * The graph: values, nodes, and who uses what.
 *
 * Ownership. A `Graph` owns its nodes and values; a node of a subgraph may use values of the graphs around it. All changes go through
 * the methods of `Graph`, which keep both directions (value → uses, node → inputs) in step. Every such change costs O(1), but for
 * `replaceUses` (the number of uses) and the clean-up of names.
 *
 * Iteration. `nodes()` may be edited while it runs:
 * - a node inserted after the current one is visited, one inserted before it is not;
 * - removing the current node, or any other, is safe: removed nodes are not visited again.
 */
import { PithError } from "../errors.ts";
import type { Dim } from "../tensor/dims.ts";
import type { DataType, Tensor } from "../tensor/types.ts";
import type { Attribute } from "./attribute.ts";
import type { Role } from "./role.ts";

export interface ValueType {
  readonly type: DataType;
  /** Undefined where the rank is unknown. */
  readonly dims: readonly Dim[] | undefined;
}

/** One place where a value is consumed, perhaps inside a subgraph: `node.graph` says where. */
export interface Use {
  readonly node: Node;
  readonly input: number;
}

/** Metadata and bytes that come from a file and go back into it untouched. */
export interface Carried {
  doc: string | undefined;
  readonly metadata: Map<string, string>;
  /** Protobuf fields that this version of Pith does not know, in wire format. */
  unknown: Uint8Array | undefined;
}

export interface Value extends Carried {
  readonly name: string;
  readonly graph: Graph;
  type: ValueType | undefined;
  readonly producer: Node | undefined;
  readonly uses: ReadonlySet<Use>;
  /** The weight or constant stored under this name. */
  tensor: Tensor | undefined;
  role: Role | undefined;
  /** The file lists the type in its value_info, and so does what is saved. Inferred types are not saved. */
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

class ValueImplementation implements Value {
  name: string;
  readonly graph: Graph;
  type: ValueType | undefined;
  producer: Node | undefined = undefined;
  readonly uses = new Set<Use>();
  tensor: Tensor | undefined = undefined;
  role: Role | undefined = undefined;
  declared = false;
  foreign: ForeignValue | undefined = undefined;
  doc: string | undefined = undefined;
  readonly metadata = new Map<string, string>();
  unknown: Uint8Array | undefined = undefined;

  constructor(graph: Graph, name: string, type: ValueType | undefined) {
    this.graph = graph;
    this.name = name;
    this.type = type;
  }
}

class NodeImplementation implements Node {
  name: string;
  readonly domain: string;
  readonly op: string;
  readonly overload: string;
  readonly graph: Graph;
  readonly inputs: (ValueImplementation | undefined)[] = [];
  readonly outputs: (ValueImplementation | undefined)[] = [];
  readonly attributes = new Map<string, Attribute>();
  doc: string | undefined = undefined;
  readonly metadata = new Map<string, string>();
  unknown: Uint8Array | undefined = undefined;
  /** Parallel to `inputs`. */
  readonly uses: (Use | undefined)[] = [];
  previous: NodeImplementation | undefined = undefined;
  next: NodeImplementation | undefined = undefined;
  removed = false;

  constructor(graph: Graph, spec: NodeSpec, name: string) {
    this.graph = graph;
    this.name = name;
    this.op = spec.op;
    this.domain = spec.domain ?? "";
    this.overload = spec.overload ?? "";
  }
}

/** Hands out names that nothing else in the model has, subgraphs included. */
class Names {
  readonly #taken = new Map<string, number>();
  readonly #next = new Map<string, number>();

  take(name: string): void {
    this.#taken.set(name, (this.#taken.get(name) ?? 0) + 1);
  }

  release(name: string): void {
    const count = this.#taken.get(name) ?? 0;
    if (count <= 1) this.#taken.delete(name);
    else this.#taken.set(name, count - 1);
  }

  fresh(stem: string): string {
    if (!this.#taken.has(stem)) return stem;
    let number = this.#next.get(stem) ?? 1;
    while (this.#taken.has(`${stem}_${number}`)) number++;
    this.#next.set(stem, number + 1);
    return `${stem}_${number}`;
  }
}

export class Graph implements Carried {
  /** The node whose attribute this graph is; undefined for the main graph. */
  readonly parent: Node | undefined;
  name = "";
  doc: string | undefined = undefined;
  readonly metadata = new Map<string, string>();
  unknown: Uint8Array | undefined = undefined;

  readonly #names: Names;
  readonly #values = new Map<string, ValueImplementation>();
  #first: NodeImplementation | undefined;
  #last: NodeImplementation | undefined;
  #count = 0;
  #inputs: ValueImplementation[] = [];
  #outputs: ValueImplementation[] = [];

  constructor(parent?: Node) {
    this.parent = parent;
    this.#names = parent === undefined ? new Names() : parent.graph.#names;
  }

  /** Declared inputs, in order. Old files list weights here too: those also have a tensor. */
  get inputs(): readonly Value[] {
    return this.#inputs;
  }

  get outputs(): readonly Value[] {
    return this.#outputs;
  }

  /** The inputs that must be fed: those without a stored tensor. */
  get feeds(): readonly Value[] {
    return this.#inputs.filter((value) => value.tensor === undefined);
  }

  get nodeCount(): number {
    return this.#count;
  }

  *nodes(): Generator<Node, void, undefined> {
    for (let node = this.#first; node !== undefined; node = node.next) if (!node.removed) yield node;
  }

  /** Nodes from last to first; the same rules for edits hold, mirrored. */
  *nodesBackwards(): Generator<Node, void, undefined> {
    for (let node = this.#last; node !== undefined; node = node.previous) if (!node.removed) yield node;
  }

  /** All values of this graph: inputs, stored tensors, and what nodes produce. */
  values(): IterableIterator<Value> {
    return this.#values.values();
  }

  /** The value of this name, here or in a graph around this one. */
  value(name: string): Value | undefined {
    return this.#values.get(name) ?? this.parent?.graph.value(name);
  }

  /** The value of this name that this very graph owns. */
  ownValue(name: string): Value | undefined {
    return this.#values.get(name);
  }

  /** A name like `stem` that nothing in the model has yet. */
  freshName(stem: string): string {
    return this.#names.fresh(stem);
  }

  /** A value that no node produces (yet): a graph input, a stored tensor, or a name that a decoder meets before its producer. */
  addValue(name: string, type?: ValueType): Value {
    return this.#create(name, type);
  }

  /** A stored tensor under a name of its own; a taken name gets a number. */
  addTensor(name: string, tensor: Tensor, role?: Role): Value {
    const value = this.#create(this.freshName(name), { type: tensor.type, dims: tensor.dims });
    value.tensor = tensor;
    value.role = role;
    return value;
  }

  addInput(name: string, type: ValueType | undefined): Value {
    const value = this.#create(name, type);
    this.#inputs.push(value);
    return value;
  }

  setInputs(values: readonly Value[]): void {
    this.#inputs = values.map((value) => this.#own(value));
  }

  addOutput(value: Value): void {
    this.#outputs.push(this.#reachable(value));
  }

  setOutputs(values: readonly Value[]): void {
    this.#outputs = values.map((value) => this.#reachable(value));
  }

  /**
   * Adds a node at the end, or where told.
   * @throws PithError E_NAME if an output name is produced already.
   */
  addNode(spec: NodeSpec, place: { readonly before?: Node } | { readonly after?: Node } = {}): Node {
    const node = new NodeImplementation(this, spec, spec.name ?? "");
    const wanted = spec.outputs ?? 1;
    const names = typeof wanted === "number" ? new Array<undefined>(wanted).fill(undefined) : wanted;
    for (const given of names) {
      // A fresh name is free until a value takes it: one at a time.
      const name = typeof wanted === "number" ? this.freshName(spec.op) : given;
      node.outputs.push(name === undefined ? undefined : this.#produced(name, node));
    }
    spec.inputs.forEach((value, index) => {
      this.#connect(node, index, value);
    });
    const attributes = spec.attributes instanceof Map ? spec.attributes : Object.entries(spec.attributes ?? {});
    for (const [name, attribute] of attributes) node.attributes.set(name, attribute);
    const before = "before" in place && place.before !== undefined ? this.#ownNode(place.before) : undefined;
    const after = "after" in place && place.after !== undefined ? this.#ownNode(place.after) : undefined;
    this.#link(node, before?.previous ?? after ?? (before === undefined ? this.#last : undefined));
    return node;
  }

  /**
   * Removes a node and the values it produced.
   * @throws PithError E_MODEL if one of them is still used.
   */
  removeNode(node: Node): void {
    const own = this.#ownNode(node);
    for (const output of own.outputs) {
      if (output !== undefined && (output.uses.size > 0 || this.#outputs.includes(output))) {
        throw new PithError("E_MODEL", `${describe(node)}: its output "${output.name}" is still used.`);
      }
    }
    own.inputs.forEach((_, index) => {
      this.#connect(own, index, undefined);
    });
    for (const attribute of own.attributes.values()) releaseSubgraphs(attribute);
    for (const output of own.outputs) if (output !== undefined) this.#forget(output);
    if (own.previous === undefined) this.#first = own.next;
    else own.previous.next = own.next;
    if (own.next === undefined) this.#last = own.previous;
    else own.next.previous = own.previous;
    own.removed = true;
    this.#count--;
  }

  /**
   * Removes a stored tensor or input that nothing uses.
   * @throws PithError E_MODEL if it is used or produced.
   */
  removeValue(value: Value): void {
    const own = this.#own(value);
    if (own.uses.size > 0 || own.producer !== undefined || this.#outputs.includes(own)) {
      throw new PithError("E_MODEL", `"${value.name}" cannot be removed: it is still used.`);
    }
    this.#inputs = this.#inputs.filter((input) => input !== own);
    this.#forget(own);
  }

  setInput(node: Node, input: number, value: Value | undefined): void {
    const own = this.#ownNode(node);
    this.#connect(own, input, value);
    while (own.inputs.length > 0 && own.inputs.at(-1) === undefined) {
      own.inputs.pop();
      own.uses.pop();
    }
  }

  setAttribute(node: Node, name: string, attribute: Attribute | undefined): void {
    const own = this.#ownNode(node);
    if (attribute === undefined) own.attributes.delete(name);
    else own.attributes.set(name, attribute);
  }

  /**
   * Lets every consumer of `old`, subgraphs and graph outputs included, take `replacement`.
   * Where `old` is an output of the graph, the replacement takes over its name: callers know outputs by name.
   */
  replaceUses(old: Value, replacement: Value, except?: Node): void {
    const from = this.#own(old);
    const to = this.#reachable(replacement);
    for (const use of [...from.uses]) if (use.node !== except) use.node.graph.setInput(use.node, use.input, to);
    if (!this.#outputs.includes(from)) return;
    this.#outputs = this.#outputs.map((output) => (output === from ? to : output));
    if (to.graph === this && !this.#inputs.includes(to)) {
      const name = from.name;
      this.rename(from, this.freshName(`${name}_replaced`));
      this.rename(to, name);
    }
  }

  /** @throws PithError E_NAME if the name is taken in this graph. */
  rename(value: Value, name: string): void {
    const own = this.#own(value);
    if (own.name === name) return;
    if (this.#values.has(name))
      throw new PithError("E_NAME", `"${own.name}" cannot be renamed: "${name}" exists already.`);
    this.#forget(own);
    own.name = name;
    this.#values.set(name, own);
    this.#names.take(name);
  }

  /** Puts the nodes into an order in which every value is produced before it is used; equal choices keep their order. */
  sort(): void {
    const order: NodeImplementation[] = [];
    const state = new Map<Node, "open" | "done">();
    const visit = (root: NodeImplementation): void => {
      const stack = [{ node: root, needs: this.#needs(root), next: 0 }];
      state.set(root, "open");
      for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
        const need = top.needs[top.next++];
        if (need === undefined) {
          state.set(top.node, "done");
          order.push(top.node);
          stack.pop();
        } else if (state.get(need) === "open") {
          throw new PithError("E_MODEL", `${describe(need)} depends on itself.`);
        } else if (state.get(need) === undefined) {
          state.set(need, "open");
          stack.push({ node: need, needs: this.#needs(need), next: 0 });
        }
      }
    };
    for (const node of [...this.nodes()]) if (state.get(node) === undefined) visit(this.#ownNode(node));
    this.#first = this.#last = undefined;
    this.#count = 0;
    for (const node of order) this.#link(node, this.#last);
  }

  #needs(node: NodeImplementation): NodeImplementation[] {
    return [...usedValues(node)].flatMap((value) => {
      // A value of a subgraph is produced inside the node itself.
      const producer = value.producer;
      return producer !== undefined && producer.graph === this ? [this.#ownNode(producer)] : [];
    });
  }

  #create(name: string, type: ValueType | undefined): ValueImplementation {
    if (this.#values.has(name)) throw new PithError("E_NAME", `"${name}" exists twice in graph "${this.name}".`);
    const value = new ValueImplementation(this, name, type);
    this.#values.set(name, value);
    this.#names.take(name);
    return value;
  }

  #produced(name: string, node: NodeImplementation): ValueImplementation {
    const existing = this.#values.get(name);
    if (existing === undefined) {
      const value = this.#create(name, undefined);
      value.producer = node;
      return value;
    }
    if (existing.producer !== undefined || existing.tensor !== undefined || this.#inputs.includes(existing)) {
      throw new PithError("E_NAME", `${describe(node)} produces "${name}", which exists already.`);
    }
    existing.producer = node;
    return existing;
  }

  #connect(node: NodeImplementation, input: number, value: Value | undefined): void {
    const before = node.uses[input];
    if (before !== undefined) node.inputs[input]?.uses.delete(before);
    while (node.inputs.length <= input) {
      node.inputs.push(undefined);
      node.uses.push(undefined);
    }
    const to = value === undefined ? undefined : this.#reachable(value);
    const use = to === undefined ? undefined : { node, input };
    node.inputs[input] = to;
    node.uses[input] = use;
    if (to !== undefined && use !== undefined) to.uses.add(use);
  }

  #link(node: NodeImplementation, after: NodeImplementation | undefined): void {
    node.previous = after;
    node.next = after === undefined ? this.#first : after.next;
    if (node.next === undefined) this.#last = node;
    else node.next.previous = node;
    if (after === undefined) this.#first = node;
    else after.next = node;
    this.#count++;
  }

  #forget(value: ValueImplementation): void {
    this.#values.delete(value.name);
    this.#names.release(value.name);
  }

  #own(value: Value): ValueImplementation {
    if (value.graph !== this || !(value instanceof ValueImplementation)) {
      throw new PithError("E_MODEL", `"${value.name}" belongs to another graph.`);
    }
    return value;
  }

  #reachable(value: Value): ValueImplementation {
    for (let graph: Graph | undefined = this; graph !== undefined; graph = graph.parent?.graph) {
      if (value.graph === graph) return graph.#own(value);
    }
    throw new PithError("E_MODEL", `"${value.name}" belongs to a graph that graph "${this.name}" does not see.`);
  }

  #ownNode(node: Node): NodeImplementation {
    if (node.graph !== this || !(node instanceof NodeImplementation) || node.removed) {
      throw new PithError("E_MODEL", `${describe(node)} is not in graph "${this.name}".`);
    }
    return node;
  }
}

/** `Conv "layer1.conv"`: how messages speak of a node. Unnamed nodes are named by what they produce. */
export function describe(node: Node): string {
  const name = node.name === "" ? node.outputs.find((output) => output !== undefined)?.name : node.name;
  return `${node.domain === "" ? "" : `${node.domain}.`}${node.op} "${name ?? ""}"`;
}

/** The graphs inside a node's attributes. */
export function* subgraphs(node: Node): Generator<Graph, void, undefined> {
  for (const attribute of node.attributes.values()) {
    if (attribute.kind === "graph") yield attribute.value;
    else if (attribute.kind === "graphs") yield* attribute.value;
  }
}

/** What a node reads: its inputs, and whatever its subgraphs take from outside. */
export function* usedValues(node: Node): Generator<Value, void, undefined> {
  for (const input of node.inputs) if (input !== undefined) yield input;
  for (const graph of subgraphs(node)) {
    for (const inner of graph.nodes()) for (const value of usedValues(inner)) if (value.graph !== graph) yield value;
    for (const output of graph.outputs) if (output.graph !== graph) yield output;
  }
}

/** All graphs of a model or graph: itself, then those inside its nodes, depth first. */
export function* allGraphs(graph: Graph): Generator<Graph, void, undefined> {
  yield graph;
  for (const node of graph.nodes()) for (const inner of subgraphs(node)) yield* allGraphs(inner);
}

function releaseSubgraphs(attribute: Attribute): void {
  const graphs = attribute.kind === "graph" ? [attribute.value] : attribute.kind === "graphs" ? attribute.value : [];
  for (const graph of graphs) {
    graph.setOutputs([]);
    for (const node of [...graph.nodesBackwards()]) graph.removeNode(node);
  }
}
