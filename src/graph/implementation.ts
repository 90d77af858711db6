/** Values and nodes as `Graph` alone may change them. */
import type { Tensor } from "../tensor/types.ts";
import type { Attribute } from "./attribute.ts";
import {
  type ForeignValue,
  type Node,
  type NodeSpec,
  noMetadata,
  type Use,
  type Value,
  type ValueType,
} from "./elements.ts";
import type { Graph } from "./graph.ts";
import type { Names } from "./names.ts";
import type { Revision } from "./revision.ts";
import type { Role } from "./role.ts";
import type { Ties } from "./ties.ts";

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

  readonly #revision: Revision;
  readonly #ties: Ties<ValueImplementation>;
  #stated: ValueType | undefined;
  #tensor: Tensor | undefined = undefined;
  #role: Role | undefined = undefined;

  /** @param ties The value keeps its own role in them. */
  constructor(
    graph: Graph,
    name: string,
    type: ValueType | undefined,
    revision: Revision,
    ties: Ties<ValueImplementation>,
  ) {
    this.graph = graph;
    this.name = name;
    this.#stated = type;
    this.#revision = revision;
    this.#ties = ties;
  }

  get tensor(): Tensor | undefined {
    return this.#tensor;
  }

  set tensor(tensor: Tensor | undefined) {
    this.#tensor = tensor;
    this.#revision.changed();
  }

  get role(): Role | undefined {
    return this.#role;
  }

  set role(role: Role | undefined) {
    if (this.#role?.kind === "tied") this.#ties.delete(this.#role.name, this);
    this.#role = role;
    if (role?.kind === "tied") this.#ties.add(role.name, this);
    this.#revision.changed();
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
    this.#revision.changed();
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
  readonly #revision: Revision;
  readonly #names: Names;
  #name = "";

  /** @param names Those of the graph's nodes; the node keeps its own in them. */
  constructor(graph: Graph, spec: NodeSpec, revision: Revision, names: Names) {
    this.graph = graph;
    this.#revision = revision;
    this.#names = names;
    this.op = spec.op;
    this.domain = spec.domain ?? "";
    this.overload = spec.overload ?? "";
  }
  get name(): string {
    return this.#name;
  }

  set name(name: string) {
    if (!this.removed) this.#names.release(this.#name);
    this.#name = name;
    if (!this.removed) this.#names.take(name);
    this.#revision.changed();
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
