/** Attributes of nodes: tagged, so that an integer written as 1 and a float written as 1 stay what they are. */
import type { Tensor } from "../tensor/types.ts";
import type { Graph } from "./graph.ts";

/** `unknown`: what stands in the file beside a graph (a doc string, fields that Pith does not know), in wire format. */
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
