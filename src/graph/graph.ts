/**
 * The graph: values, nodes, and who uses what.
 *
 * Ownership. A `Graph` owns its nodes and values; a node of a subgraph may use values of the graphs around it. All changes go through
 * the methods of `Graph`, which keep both directions (value → uses, node → inputs) in step. Every such change costs O(1), but for
 * `replaceUses` (the number of uses) and `rename` of a stored tensor (the number of values).
 *
 * Iteration. `nodes()` may be edited while it runs:
 * - a node inserted after the current one is visited, one inserted before it is not;
 * - removing the current node, or any other, is safe: removed nodes are not visited again;
 * - what is put in the place of the current node after it was removed is not visited: a rewrite does not meet its own result.
 */
import { PithError } from "../errors.ts";
import type { Tensor } from "../tensor/types.ts";
import type { Attribute } from "./attribute.ts";
import type { Carried, Node, NodeSpec, Value, ValueType } from "./elements.ts";
import { NodeImplementation, ValueImplementation } from "./implementation.ts";
import { Names } from "./names.ts";
import { inOrder } from "./order.ts";
import type { Role } from "./role.ts";
import { allGraphs, describe, graphsOf, subgraphs, usedValues } from "./walk.ts";

export {
  type AnyType,
  type Carried,
  type Container,
  isContainer,
  type Node,
  type NodeSpec,
  type Use,
  type Value,
  type ValueType,
} from "./elements.ts";
export { allGraphs, describe, subgraphs, usedValues } from "./walk.ts";

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
  /** The same, to be asked for each name that is produced. */
  #inputSet: ReadonlySet<ValueImplementation> | undefined;
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
    this.#inputSet = undefined;
    return value;
  }

  setInputs(values: readonly Value[]): void {
    this.#inputs = values.map((value) => this.#own(value));
    this.#inputSet = undefined;
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
    const before = "before" in place && place.before !== undefined ? this.#ownNode(place.before) : undefined;
    const after = "after" in place && place.after !== undefined ? this.#ownNode(place.after) : undefined;
    const inputs = spec.inputs.map((value) => (value === undefined ? undefined : this.#reachable(value)));
    const wanted = spec.outputs ?? 1;
    const names = typeof wanted === "number" ? new Array<undefined>(wanted).fill(undefined) : wanted;
    // Everything is checked before anything changes.
    const seen = new Set<string>();
    for (const name of names) {
      if (name === undefined) continue;
      this.#producible(name, node, seen.has(name));
      seen.add(name);
    }
    for (const given of names) {
      // A fresh name is free until a value takes it: one at a time.
      const name = typeof wanted === "number" ? this.freshName(spec.op) : given;
      node.outputs.push(name === undefined ? undefined : this.#produced(name, node));
    }
    for (const [index, value] of inputs.entries()) this.#connect(node, index, value);
    const attributes = spec.attributes instanceof Map ? spec.attributes : Object.entries(spec.attributes ?? {});
    for (const [name, attribute] of attributes) node.attributes.set(name, attribute);
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
    for (const graph of subgraphs(own)) graph.#clear();
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
    this.#inputSet = undefined;
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

  /** Sets or removes an attribute. A graph that is replaced by another lets go of everything it used. */
  setAttribute(node: Node, name: string, attribute: Attribute | undefined): void {
    const own = this.#ownNode(node);
    const kept = new Set(attribute === undefined ? [] : graphsOf(attribute));
    const before = own.attributes.get(name);
    for (const graph of before === undefined ? [] : graphsOf(before)) if (!kept.has(graph)) graph.#clear();
    if (attribute === undefined) own.attributes.delete(name);
    else own.attributes.set(name, attribute);
  }

  /**
   * Lets every consumer of `old`, subgraphs and graph outputs included, take `replacement`.
   *
   * Callers know outputs by name: where `old` is an output of the graph, the replacement takes over its name, and `old` gets another. A
   * replacement that has to keep its own name (`canTakeName`) is copied to the output by an Identity.
   */
  replaceUses(old: Value, replacement: Value, except?: Node): void {
    const from = this.#own(old);
    const to = this.#reachable(replacement);
    if (from === to) return;
    const { name } = from;
    const copied = this.#outputs.includes(from) && !this.canTakeName(to);
    for (const use of [...from.uses]) if (use.node !== except) use.node.graph.setInput(use.node, use.input, to);
    if (!this.#outputs.includes(from)) return;
    this.rename(from, this.freshName(`${name}_replaced`));
    let output = to;
    if (copied) output = this.#copyTo(name, to, from);
    else this.rename(to, name);
    this.#outputs = this.#outputs.map((value) => (value === from ? output : value));
  }

  /**
   * Puts a new value in the place of an old one: every consumer takes it, it takes over the name, and the node that produced the old one
   * goes if nothing needs it any more. A value that has to keep its own name (`canTakeName`) keeps it; one that is gone needs nothing.
   */
  substitute(old: Value, replacement: Value): void {
    const { name, producer } = old;
    if (this.ownValue(name) !== old) return;
    this.replaceUses(old, replacement);
    const isIdle = (value: Value | undefined): boolean =>
      value === undefined || (value.uses.size === 0 && !this.#outputs.some((output) => output === value));
    if (producer?.outputs.every(isIdle)) this.removeNode(producer);
    if (replacement.name === name || !this.canTakeName(replacement)) return;
    if (this.ownValue(old.name) === old && old.name === name) this.rename(old, this.freshName(`${name}_replaced`));
    if (this.#names.fresh(name) === name) this.rename(replacement, name);
  }

  /**
   * Whether a value may give up its name for that of an output: not if it is an input, an output itself, a weight with a role, or a value
   * of another graph, which all are known by name.
   */
  canTakeName(value: Value): boolean {
    if (value.graph !== this) return false;
    const own = this.#own(value);
    const held = own.tensor !== undefined && own.role !== undefined;
    return !held && !this.#inputs.includes(own) && !this.#outputs.includes(own);
  }

  /** Names that roles refer to change along. @throws PithError E_NAME if the name is taken in this graph or one around it. */
  rename(value: Value, name: string): void {
    const own = this.#own(value);
    const { name: before } = own;
    if (before === name) return;
    if (this.value(name) !== undefined) {
      throw new PithError("E_NAME", `"${before}" cannot be renamed: "${name}" exists already.`);
    }
    this.#forget(own);
    own.name = name;
    this.#values.set(name, own);
    this.#names.take(name);
    if (own.tensor !== undefined) for (const graph of allGraphs(this)) graph.#retie(own, before);
  }

  /** Puts the nodes into an order in which every value is produced before it is used; equal choices keep their order. */
  sort(): void {
    const order = inOrder(
      [...this.nodes()].map((node) => this.#ownNode(node)),
      (node) => this.#needs(node),
    );
    this.#first = this.#last = undefined;
    this.#count = 0;
    for (const node of order) this.#link(node, this.#last);
  }

  /** An Identity from `to` to a new value `name`, right after `to` comes to be. */
  #copyTo(name: string, to: ValueImplementation, from: ValueImplementation): ValueImplementation {
    const producer = to.graph === this ? to.producer : undefined;
    const place =
      producer !== undefined ? { after: producer } : from.producer !== undefined ? { before: from.producer } : {};
    const [output] = this.addNode({ op: "Identity", inputs: [to], outputs: [name] }, place).outputs;
    if (output === undefined) throw new PithError("E_MODEL", `internal: the copy to "${name}" has no output.`);
    output.type = from.stated ?? to.stated;
    output.inferred = from.inferred ?? to.inferred;
    return this.#own(output);
  }

  #retie(target: Value, before: string): void {
    for (const value of this.#values.values()) {
      const { role } = value;
      if (role?.kind === "tied" && role.name === before) value.role = { ...role, name: target.name };
    }
  }

  /** Removes everything, in whatever order it stands. */
  #clear(): void {
    this.#outputs = [];
    this.#inputs = [];
    this.#inputSet = undefined;
    for (const node of this.nodes()) {
      for (const graph of subgraphs(node)) graph.#clear();
      for (const input of node.inputs.keys()) this.#connect(this.#ownNode(node), input, undefined);
    }
    for (const node of this.nodes()) this.removeNode(node);
    for (const value of [...this.#values.values()]) this.#forget(value);
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

  #producible(name: string, node: Node, twice: boolean): void {
    const existing = this.#values.get(name);
    const taken =
      existing !== undefined && (existing.producer ?? existing.tensor ?? existing.foreign?.sparse) !== undefined;
    if (twice || taken || (existing !== undefined && this.#isInput(existing))) {
      throw new PithError("E_NAME", `${node.op} "${node.name}" produces "${name}", which exists already.`);
    }
  }

  #isInput(value: ValueImplementation): boolean {
    this.#inputSet ??= new Set(this.#inputs);
    return this.#inputSet.has(value);
  }

  #produced(name: string, node: NodeImplementation): ValueImplementation {
    const value = this.#values.get(name) ?? this.#create(name, undefined);
    value.producer = node;
    return value;
  }

  #connect(node: NodeImplementation, input: number, value: Value | undefined): void {
    const to = value === undefined ? undefined : this.#reachable(value);
    const before = node.uses[input];
    if (before !== undefined) node.inputs[input]?.uses.delete(before);
    while (node.inputs.length <= input) {
      node.inputs.push(undefined);
      node.uses.push(undefined);
    }
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
