/** A graph of nodes and values. Nodes of a subgraph can also read values of outer graphs. Methods of `Graph` keep uses and inputs consistent. */
import { modelError, PithError } from "../errors.ts";
import type { Tensor } from "../tensor/types.ts";
import {
  type Attribute,
  type Carried,
  graphsOf,
  type Node,
  NodeImplementation,
  type NodeSpec,
  nodeText,
  noMetadata,
  subgraphs,
  usedValues,
  type Value,
  ValueImplementation,
  type ValueType,
} from "./graph-elements.ts";
import { NodeList } from "./node-list.ts";
import type { Role, Tied } from "./role.ts";
import { Names, SharedState } from "./shared-state.ts";
import { sortTopologically } from "./topological-order.ts";

export type { Attribute, Carried, Container, Node, NodeSpec, Use, Value, ValueType } from "./graph-elements.ts";
export {
  allGraphs,
  allNodes,
  allTensors,
  allValues,
  nodeName,
  nodeText,
  operatorName,
  storedBytes,
  subgraphs,
  toInteger,
  usedValues,
} from "./graph-elements.ts";

export class Graph implements Carried {
  name = "";
  doc: string | undefined = undefined;
  metadata = noMetadata;
  unknown: Uint8Array | undefined = undefined;

  readonly #shared: SharedState<ValueImplementation>;
  readonly #values = new Map<string, ValueImplementation>();
  readonly #nodes = new NodeList<NodeImplementation>();
  readonly #nodeNames = new Names(() => Array.from(this.nodes(), ({ name }) => name));
  /** A set, because files up to IR version 3 list all weights as inputs. */
  #inputs = new Set<ValueImplementation>();
  #inputList: readonly ValueImplementation[] | undefined;
  #outputs: ValueImplementation[] = [];
  #outputSet: ReadonlySet<Value> | undefined;

  /** @param parent The node whose attribute this graph is. */
  constructor(readonly parent?: Node) {
    this.#shared = parent === undefined ? new SharedState() : parent.graph.#shared;
    this.#shared.values.add(this.#values);
  }

  /** A number that increases with changes of the model: nodes, names, stored tensors, roles and stated types. */
  get revision(): number {
    return this.#shared.revision;
  }

  /** Increases the revision after a change that the graph does not notice, such as a change of metadata. */
  touch(): void {
    this.#shared.revision++;
  }

  /** Operator definitions that `addOperators` (`pith/extend`) added to the model. */
  get operators(): object | undefined {
    return this.#shared.operators;
  }

  set operators(operators: object | undefined) {
    this.#shared.operators = operators;
    this.touch();
  }

  /** The declared inputs, in order. In files up to IR version 3, they include weights. */
  get inputs(): readonly Value[] {
    this.#inputList ??= [...this.#inputs];
    return this.#inputList;
  }

  get outputs(): readonly Value[] {
    return this.#outputs;
  }

  isInput(value: Value): boolean {
    return value instanceof ValueImplementation && this.#inputs.has(value);
  }

  isOutput(value: Value): boolean {
    this.#outputSet ??= new Set(this.#outputs);
    return this.#outputSet.has(value);
  }

  /** The inputs without a stored tensor, which callers must feed. */
  get feeds(): readonly Value[] {
    return this.inputs.filter((value) => value.tensor === undefined);
  }

  get nodeCount(): number {
    return this.#nodes.count;
  }

  /** Returns whether a node of this graph (not of subgraphs) has the name. */
  hasNode(name: string): boolean {
    return this.#nodeNames.has(name);
  }

  /** Yields the nodes in order. The graph can change during the iteration (`NodeList`). */
  nodes(): Generator<Node, void, undefined> {
    return this.#nodes.forwards();
  }

  /** Yields the nodes in reverse order. The graph can change during the iteration (`NodeList`). */
  nodesBackwards(): Generator<Node, void, undefined> {
    return this.#nodes.backwards();
  }

  values(): IterableIterator<Value> {
    return this.#values.values();
  }

  /** Returns the value with a name in this graph or in the nearest outer graph that has one. */
  value(name: string): Value | undefined {
    return this.#values.get(name) ?? this.parent?.graph.value(name);
  }

  ownValue(name: string): Value | undefined {
    return this.#values.get(name);
  }

  /** Returns whether a value belongs to this graph or to an outer graph. */
  sees(value: Value): boolean {
    return value.graph === this || (this.parent?.graph.sees(value) ?? false);
  }

  /** Returns the values of this graph and its subgraphs that are tied to the tensor with this name. */
  tiedTo(name: string): readonly { readonly value: Value; readonly role: Tied }[] {
    return this.#shared.tiesOf(name).flatMap((value) => {
      const { role, graph } = value;
      const isThere = graph.#values.get(value.name) === value && this.#encloses(graph);
      return role?.kind === "tied" && isThere ? [{ value, role }] : [];
    });
  }

  freshName(stem: string): string {
    return this.#shared.names.fresh(stem);
  }

  freshNodeName(stem: string): string {
    return this.#nodeNames.fresh(stem);
  }

  /** Adds a value without a producer. */
  addValue(name: string, type?: ValueType): Value {
    return this.#create(name, type);
  }

  /** Adds a stored tensor. Appends a number to a name that is taken. */
  addTensor(name: string, tensor: Tensor, role?: Role): Value {
    const value = this.#create(this.freshName(name), { type: tensor.type, dims: tensor.dims });
    value.tensor = tensor;
    value.role = role;
    return value;
  }

  addInput(name: string, type: ValueType | undefined): Value {
    const value = this.#create(name, type);
    this.#inputs.add(value);
    this.#inputList = undefined;
    this.#shared.revision++;
    return value;
  }

  setInputs(values: readonly Value[]): void {
    this.#inputs = new Set(values.map((value) => this.#requireOwn(value)));
    this.#inputList = undefined;
    this.#shared.revision++;
  }

  addOutput(value: Value): void {
    this.#outputs.push(this.#requireVisible(value));
    this.#outputSet = undefined;
    this.#shared.revision++;
  }

  setOutputs(values: readonly Value[]): void {
    this.#outputs = values.map((value) => this.#requireVisible(value));
    this.#outputSet = undefined;
    this.#shared.revision++;
  }

  /** Adds a node at the end, or at `place`. @throws PithError E_NAME if an output name is taken. */
  addNode(spec: NodeSpec, place: { readonly before?: Node | undefined } | { readonly after?: Node } = {}): Node {
    const node = new NodeImplementation(this, spec, this.#shared, this.#nodeNames);
    const before = "before" in place && place.before !== undefined ? this.#requireOwnNode(place.before) : undefined;
    const after = "after" in place && place.after !== undefined ? this.#requireOwnNode(place.after) : undefined;
    const inputs = spec.inputs.map((value) => (value === undefined ? undefined : this.#requireVisible(value)));
    const outputs = spec.outputs ?? 1;
    const names = typeof outputs === "number" ? new Array<undefined>(outputs).fill(undefined) : outputs;
    // Checks all names before any change, so that an error leaves the graph unchanged.
    const seen = new Set<string>();
    for (const name of names) {
      if (name === undefined) continue;
      this.#requireProducible(name, spec, seen.has(name));
      seen.add(name);
    }
    for (const requestedName of names) {
      // Uses each fresh name before the next request, which would return it again.
      const name = typeof outputs === "number" ? this.freshName(spec.op) : requestedName;
      node.outputs.push(name === undefined ? undefined : this.#addProduced(name, node));
    }
    for (const [index, value] of inputs.entries()) this.#connect(node, index, value);
    const attributes = new Map(
      spec.attributes instanceof Map ? spec.attributes : Object.entries(spec.attributes ?? {}),
    );
    if (attributes.size > 0) node.attributes = attributes;
    node.name = spec.name ?? "";
    this.#nodes.insert(node, before === undefined ? (after ?? this.#nodes.last) : before.previous);
    return node;
  }

  addNodeOutput(node: Node, name: string): Value {
    const ownedNode = this.#requireOwnNode(node);
    this.#requireProducible(name, ownedNode, false);
    const value = this.#addProduced(name, ownedNode);
    ownedNode.outputs.push(value);
    return value;
  }

  /** Removes a node and its outputs. @throws PithError E_MODEL if an output is still used. */
  removeNode(node: Node): void {
    const ownedNode = this.#requireOwnNode(node);
    for (const output of ownedNode.outputs) {
      if (output !== undefined && (output.uses.size > 0 || this.isOutput(output)))
        throw modelError(`${nodeText(node)}: its output "${output.name}" is still used.`);
    }
    ownedNode.inputs.forEach((_, index) => {
      this.#connect(ownedNode, index, undefined);
    });
    for (const graph of subgraphs(ownedNode)) graph.#clear();
    for (const output of ownedNode.outputs) if (output !== undefined) this.#forget(output);
    this.#nodeNames.release(ownedNode.name);
    this.#nodes.remove(ownedNode);
    this.#shared.revision++;
  }

  /** Removes a stored tensor or input. @throws PithError E_MODEL if it is used or has a producer. */
  removeValue(value: Value): void {
    const ownedValue = this.#requireOwn(value);
    if (ownedValue.uses.size > 0 || ownedValue.producer !== undefined || this.isOutput(ownedValue))
      throw modelError(`"${value.name}" cannot be removed: it is still used.`);
    if (this.#inputs.delete(ownedValue)) this.#inputList = undefined;
    this.#forget(ownedValue);
    if (ownedValue.tensor !== undefined) this.#untie(ownedValue);
  }

  setInput(node: Node, input: number, value: Value | undefined): void {
    const ownedNode = this.#requireOwnNode(node);
    this.#connect(ownedNode, input, value);
    while (ownedNode.inputs.length > 0 && ownedNode.inputs.at(-1) === undefined) {
      ownedNode.inputs.pop();
      ownedNode.uses.pop();
    }
    this.#shared.revision++;
  }

  /** Sets an attribute, or removes it if `attribute` is undefined. */
  setAttribute(node: Node, name: string, attribute: Attribute | undefined): void {
    const ownedNode = this.#requireOwnNode(node);
    const keptGraphs = new Set(attribute === undefined ? [] : graphsOf(attribute));
    const previousAttribute = ownedNode.attributes.get(name);
    for (const graph of previousAttribute === undefined ? [] : graphsOf(previousAttribute))
      if (!keptGraphs.has(graph)) graph.#clear();
    const attributes = new Map(ownedNode.attributes);
    if (attribute === undefined) attributes.delete(name);
    else attributes.set(name, attribute);
    ownedNode.attributes = attributes;
    this.#shared.revision++;
  }

  /** Renames a value, and updates roles that are tied to it. @throws PithError E_NAME if the name is taken. */
  rename(value: Value, name: string): void {
    const ownedValue = this.#requireOwn(value);
    const { name: before } = ownedValue;
    if (before === name) return;
    const existing = this.value(name);
    if (existing?.graph === this || this.reads(existing))
      throw new PithError("E_NAME", `"${before}" cannot be renamed: "${name}" exists already.`);
    this.#forget(ownedValue);
    ownedValue.name = name;
    this.#values.set(name, ownedValue);
    this.#shared.names.take(name);
    if (ownedValue.tensor !== undefined)
      for (const { value, role } of this.tiedTo(before)) value.role = { ...role, name };
  }

  /** Returns whether a node of this graph or of its subgraphs reads a value. */
  reads(value: Value | undefined): boolean {
    const isInside = (graph: Graph | undefined): boolean =>
      graph !== undefined && (graph === this || isInside(graph.parent?.graph));
    return value !== undefined && [...value.uses].some(({ node }) => isInside(node.graph));
  }

  /** Sorts the nodes topologically; the sort is stable. */
  sort(): void {
    const producersOf = (node: Node): NodeImplementation[] =>
      [...usedValues(node)].flatMap(({ producer }) =>
        producer?.graph === this ? [this.#requireOwnNode(producer)] : [],
      );
    this.#nodes.reorder(sortTopologically([...this.#nodes.forwards()], producersOf, nodeText));
    this.#shared.revision++;
  }

  /** Moves nodes to the end of the graph, in this order. @throws PithError E_MODEL if another node reads one of their outputs. */
  moveToEnd(nodes: readonly Node[]): void {
    const lastNodes = nodes.map((node) => this.#requireOwnNode(node));
    const movedNodes = new Set(lastNodes);
    const otherNodes = [...this.#nodes.forwards()].filter((node) => !movedNodes.has(node));
    const reader = otherNodes.find((node) =>
      usedValues(node).some(({ producer }) => movedNodes.has(producer as NodeImplementation)),
    );
    if (reader !== undefined) throw modelError(`${nodeText(reader)} would stand before what it reads.`);
    this.#nodes.reorder([...otherNodes, ...lastNodes]);
    this.#shared.revision++;
  }

  /** Returns a function that restores this graph and its subgraphs, with the same objects. */
  snapshot(): () => void {
    const { name, doc, metadata, unknown } = this;
    const nodes = [...this.#nodes.forwards()];
    const values = [...this.#values.values()];
    const parts = [...nodes, ...values, ...nodes.flatMap(subgraphs)].map((part) => part.snapshot());
    const [inputs, outputs] = [[...this.#inputs], [...this.#outputs]];
    const ties = this.parent === undefined ? this.#shared.snapshotTies() : () => {};
    return () => {
      Object.assign(this, { name, doc, metadata, unknown });
      if (this.parent === undefined) this.#shared.values.clear();
      this.#shared.values.add(this.#values);
      this.#shared.names.clear();
      for (const node of this.#nodes.forwards()) node.isRemoved = true;
      this.#nodes.reorder(nodes);
      for (const node of nodes) node.isRemoved = false;
      for (const restore of parts) restore();
      this.#nodeNames.clear();
      this.#values.clear();
      for (const value of values) this.#values.set(value.name, value);
      this.#inputs = new Set(inputs);
      this.#outputs = [...outputs];
      this.#inputList = this.#outputSet = undefined;
      ties();
      this.#shared.revision++;
    };
  }

  #encloses(inner: Graph): boolean {
    let ancestor: Graph | undefined = inner;
    while (ancestor !== undefined && ancestor !== this) ancestor = ancestor.parent?.graph;
    return ancestor === this;
  }

  #untie(removedValue: Value): void {
    const [first, ...otherTies] = this.tiedTo(removedValue.name);
    if (first === undefined) return;
    first.value.role = undefined;
    for (const { value, role } of otherTies)
      value.role = { ...role, name: first.value.name, transposed: role.transposed !== first.role.transposed };
  }

  #clear(): void {
    this.setOutputs([]);
    this.setInputs([]);
    for (const node of this.#nodes.forwards()) {
      for (const graph of subgraphs(node)) graph.#clear();
      for (const input of node.inputs.keys()) this.#connect(node, input, undefined);
    }
    for (const node of this.nodes()) this.removeNode(node);
    for (const value of [...this.#values.values()]) this.#forget(value);
  }

  #create(name: string, type: ValueType | undefined): ValueImplementation {
    if (this.#values.has(name)) throw new PithError("E_NAME", `"${name}" exists twice in graph "${this.name}".`);
    const value = new ValueImplementation(this, name, type, this.#shared);
    this.#values.set(name, value);
    this.#shared.names.take(name);
    this.#shared.revision++;
    return value;
  }

  #requireProducible(name: string, { op, name: node = "" }: Pick<NodeSpec, "op" | "name">, isRepeated: boolean): void {
    const existingValue = this.#values.get(name);
    const isTaken =
      existingValue !== undefined &&
      (existingValue.producer ?? existingValue.tensor ?? existingValue.foreign?.sparse) !== undefined;
    if (isRepeated || isTaken || (existingValue !== undefined && this.#inputs.has(existingValue)))
      throw new PithError("E_NAME", `${op} "${node}" produces "${name}", which exists already.`);
  }

  #addProduced(name: string, node: NodeImplementation): ValueImplementation {
    const value = this.#values.get(name) ?? this.#create(name, undefined);
    value.producer = node;
    return value;
  }

  #connect(node: NodeImplementation, input: number, value: Value | undefined): void {
    const source = value === undefined ? undefined : this.#requireVisible(value);
    const previousUse = node.uses[input];
    if (previousUse !== undefined) node.inputs[input]?.uses.delete(previousUse);
    while (node.inputs.length <= input) {
      node.inputs.push(undefined);
      node.uses.push(undefined);
    }
    const use = source === undefined ? undefined : { node, input };
    node.inputs[input] = source;
    node.uses[input] = use;
    if (source !== undefined && use !== undefined) source.uses.add(use);
  }

  #forget(value: ValueImplementation): void {
    this.#values.delete(value.name);
    this.#shared.names.release(value.name);
    this.#shared.revision++;
  }

  #requireOwn(value: Value): ValueImplementation {
    if (value.graph !== this || !(value instanceof ValueImplementation))
      throw modelError(`"${value.name}" belongs to another graph.`);
    return value;
  }

  #requireVisible(value: Value): ValueImplementation {
    if (this.sees(value) && value instanceof ValueImplementation) return value;
    throw modelError(`"${value.name}" belongs to a graph that is not visible from graph "${this.name}".`);
  }

  #requireOwnNode(node: Node): NodeImplementation {
    if (node.graph !== this || !(node instanceof NodeImplementation) || node.isRemoved)
      throw modelError(`${nodeText(node)} is not in graph "${this.name}".`);
    return node;
  }
}
