/** Values and nodes as `Graph` alone may change them. */
import type { Tensor } from "../tensor/types.ts";
import type { Attribute } from "./attribute.ts";
import type { ForeignValue, Node, NodeSpec, Use, Value, ValueType } from "./elements.ts";
import type { Graph } from "./graph.ts";
import type { Role } from "./role.ts";

export class ValueImplementation implements Value {
  name: string;
  readonly graph: Graph;
  stated: ValueType | undefined;
  inferred: ValueType | undefined = undefined;
  producer: Node | undefined = undefined;
  readonly uses = new Set<Use>();
  tensor: Tensor | undefined = undefined;
  declared = false;
  foreign: ForeignValue | undefined = undefined;
  doc: string | undefined = undefined;
  readonly metadata = new Map<string, string>();
  unknown: Uint8Array | undefined = undefined;

  readonly #tied: Set<ValueImplementation>;
  #role: Role | undefined = undefined;

  /** @param tied Those of the graph's values that have the role `tied`; the value keeps itself in it. */
  constructor(graph: Graph, name: string, type: ValueType | undefined, tied: Set<ValueImplementation>) {
    this.graph = graph;
    this.name = name;
    this.stated = type;
    this.#tied = tied;
  }

  get role(): Role | undefined {
    return this.#role;
  }

  set role(role: Role | undefined) {
    this.#role = role;
    if (role?.kind === "tied") this.#tied.add(this);
    else this.#tied.delete(this);
  }

  get type(): ValueType | undefined {
    return this.inferred ?? this.stated;
  }

  /** What was inferred before is void once something else is stated. */
  set type(type: ValueType | undefined) {
    this.stated = type;
    this.inferred = undefined;
  }
}

export class NodeImplementation implements Node {
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
