import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { Site } from "../define.ts";
import { constantIntegers, flag, integer, wrapAxis } from "./attributes.ts";
import { maxItems } from "./merge-types.ts";
import { integersConstant, range } from "./rules.ts";

/** Reads the position that SequenceAt selects, negative from the end; undefined if unknown. */
export const readPosition = (site: Site): { readonly position: number | undefined } => ({
  position: constantIntegers(site.inputs[1])?.[0],
});

/** Counts a position in a sequence from the front. */
export const fromFront = (position: number, length: number): number => (position < 0 ? position + length : position);

export interface PieceSettings {
  readonly axis: number;
  /** True if pieces keep the axis; otherwise each is one index of it. */
  readonly keep: boolean;
  readonly sizes: readonly number[] | undefined;
}

export function readPieces(site: Site): PieceSettings {
  const [operand, split] = site.inputs;
  const rank = operand?.dims?.length;
  const axis = rank === undefined ? integer(site, "axis", 0) : wrapAxis(integer(site, "axis", 0), rank);
  const keep = split !== undefined || flag(site, "keepdims", true);
  const sizes = split === undefined ? [1] : constantIntegers(split);
  if (sizes === undefined || (split?.dims?.length ?? 0) > 0) return { axis, keep, sizes };
  const [size = 1] = sizes;
  const length = rank === undefined ? undefined : operand?.dims?.[axis];
  if (typeof length !== "number" || size < 1 || length / size > maxItems) return { axis, keep, sizes: undefined };
  const count = Math.ceil(length / size);
  return { axis, keep, sizes: range(count).map((index) => Math.min(size, length - index * size)) };
}

export function splitPieces(emit: Emit, x: Value, { axis, keep, sizes }: PieceSettings): readonly Value[] | undefined {
  if (sizes === undefined || sizes.length === 0) return undefined;
  const pieces = emit.many("Split", [x, integersConstant(emit, sizes, "pieces")], { axis }, sizes.length);
  return keep ? pieces : pieces.map((piece) => emit.Squeeze([piece, [axis]]));
}
