import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { Site } from "../define.ts";
import { constantIntegers, integer, wrapAxis } from "./attributes.ts";
import { integersConstant } from "./rules.ts";

/** The maximum length of a sequence whose elements are tracked individually. */
export const longest = 256;

/** Reads a position in a sequence, negative from the end; undefined if unknown. */
export const readPlace = (site: Site): { readonly place: number | undefined } => ({
  place: constantIntegers(site.inputs[1])?.[0],
});

export const within = (place: number, length: number): number => (place < 0 ? place + length : place);

export interface PieceSettings {
  readonly axis: number;
  readonly keep: boolean;
  readonly sizes: readonly number[] | undefined;
}

export function readCut(site: Site): PieceSettings {
  const [operand, split] = site.inputs;
  const rank = operand?.dims?.length;
  const axis = integer(site, "axis", 0);
  const whole = rank === undefined ? undefined : operand?.dims?.[wrapAxis(axis, rank)];
  const asked = split === undefined ? [1] : constantIntegers(split);
  const keep = split !== undefined || integer(site, "keepdims", 1) !== 0;
  const cut = { axis: rank === undefined ? axis : wrapAxis(axis, rank), keep };
  if (asked === undefined || (split?.dims?.length ?? 0) > 0) return { ...cut, sizes: asked };
  const [size = 1] = asked;
  if (typeof whole !== "number" || size < 1 || whole / size > longest) return { ...cut, sizes: undefined };
  const sizes = Array.from({ length: Math.ceil(whole / size) }, (_, at) => Math.min(size, whole - at * size));
  return { ...cut, sizes };
}

export function splitPieces(emit: Emit, x: Value, { axis, keep, sizes }: PieceSettings): readonly Value[] | undefined {
  if (sizes === undefined || sizes.length === 0) return undefined;
  const pieces = emit.many("Split", [x, integersConstant(emit, sizes, "pieces")], { axis }, sizes.length);
  return keep ? pieces : pieces.map((piece) => emit.Squeeze([piece, [axis]]));
}
