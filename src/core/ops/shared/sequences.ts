/** Positions in a sequence, and the pieces of a tensor that SplitToSequence puts into one. */
import type { Emit, Value } from "#graph";
import type { Site } from "../define.ts";
import { constantIntegersOf, readFlag, readInteger, wrapAxis } from "./attributes.ts";
import { maxItems } from "./merge-types.ts";
import { integersConstant, range } from "./shapes.ts";

/** Reads a position in a sequence from input 1; undefined if it is computed at run time. */
export const readPosition = (site: Site): { readonly position: number | undefined } => ({
  position: constantIntegersOf(site.inputs[1])?.[0],
});

export const countFromFront = (position: number, length: number): number =>
  position < 0 ? position + length : position;

export interface PieceSettings {
  readonly axis: number;
  readonly keepsAxis: boolean;
  /** Sizes along the axis; undefined if unknown. */
  readonly sizes: readonly number[] | undefined;
}

export function readPieces(site: Site): PieceSettings {
  const [operand, split] = site.inputs;
  const rank = operand?.dims?.length;
  const axis = rank === undefined ? readInteger(site, "axis", 0) : wrapAxis(readInteger(site, "axis", 0), rank);
  const keepsAxis = split !== undefined || readFlag(site, "keepdims", true);
  const sizes = split === undefined ? [1] : constantIntegersOf(split);
  if (sizes === undefined || (split?.dims?.length ?? 0) > 0) return { axis, keepsAxis, sizes };
  const [size = 1] = sizes;
  const length = rank === undefined ? undefined : operand?.dims?.[axis];
  if (typeof length !== "number" || size < 1 || length / size > maxItems) return { axis, keepsAxis, sizes: undefined };
  const count = Math.ceil(length / size);
  return { axis, keepsAxis, sizes: range(count).map((index) => Math.min(size, length - index * size)) };
}

/** Writes the pieces as a Split; undefined if their number is unknown. */
export function splitPieces(
  emit: Emit,
  x: Value,
  { axis, keepsAxis, sizes }: PieceSettings,
): readonly Value[] | undefined {
  if (sizes === undefined || sizes.length === 0) return undefined;
  const pieces = emit.many("Split", [x, integersConstant(emit, sizes, "pieces")], { axis }, sizes.length);
  return keepsAxis ? pieces : pieces.map((piece) => emit.Squeeze([piece, [axis]]));
}
