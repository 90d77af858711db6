/** What graphs are made of: values, and the nodes that produce and use them. All changes go through the methods of `Graph`. */
import type { Dim } from "../tensor/dims.ts";
import type { DataType, Tensor } from "../tensor/types.ts";
import type { Attribute } from "./attribute.ts";
import type { Graph } from "./graph.ts";
import type { Role } from "./role.ts";

export interface ValueType {
  readonly type: DataType;
  /** Undefined where the rank is unknown. */
  readonly dims: readonly Dim[] | undefined;
}

/** The type of a value that is no tensor. */
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
  /** What the file declares, or whoever made the value said: what is saved. */
  readonly stated: ValueType | undefined;
  /** What `infer` found. Saved only where nothing is stated and something must be: for outputs. */
  inferred: ValueType | undefined;
  readonly producer: Node | undefined;
  readonly uses: ReadonlySet<Use>;
  /** The weight or constant stored under this name. */
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
