/** Merges what is known of two values (branches, iterations, sequence elements). What differs becomes unknown. */
import { type AnyType, type Container, type DataType, type Dim, isContainer, sameDims } from "#graph";
import type { Inferred } from "../define.ts";

/** Returns a symbol for an axis whose dimensions differ. */
type NewDimension = (axis: number) => Dim;

export function mergeOperands(a: Inferred, b: Inferred, open: NewDimension): Inferred | undefined {
  if (a.container !== undefined || b.container !== undefined) {
    if (a.container === undefined || b.container === undefined) return undefined;
    const merged = mergeTypes(a.container, b.container, open);
    return merged !== undefined && isContainer(merged) ? containerOperand(merged) : undefined;
  }
  if (a.type !== b.type) return undefined;
  const mergedOperand: Inferred = { type: a.type, dims: mergeDims(a.dims, b.dims, open) };
  if (a.elements === undefined || b.elements === undefined || mergedOperand.dims === undefined) return mergedOperand;
  return sameDims(a.elements, b.elements) ? { ...mergedOperand, elements: a.elements } : mergedOperand;
}

export function mergeTypes(a: AnyType, b: AnyType, open: NewDimension): AnyType | undefined {
  if (!isContainer(a) || !isContainer(b)) {
    if (isContainer(a) || isContainer(b) || a.type !== b.type) return undefined;
    return { type: a.type, dims: mergeDims(a.dims, b.dims, open) };
  }
  return a.kind === "sequence" && b.kind === "sequence" ? mergeSequences(a, b, open) : undefined;
}

type Sequence = Extract<Container, { readonly kind: "sequence" }>;

function mergeSequences(a: Sequence, b: Sequence, open: NewDimension): Sequence | undefined {
  // The elements of an empty sequence have a placeholder type.
  const element = a.items?.length === 0 ? b.of : b.items?.length === 0 ? a.of : mergeTypes(a.of, b.of, open);
  if (element === undefined || innermostType(a) !== innermostType(b)) return undefined;
  const mergedSequence: Sequence = { kind: "sequence", of: element };
  const { items = [] } = b;
  if (a.items === undefined || b.items === undefined || a.items.length !== items.length) return mergedSequence;
  const mergedItems = a.items.flatMap((item, index) => {
    const other = items[index];
    return (other && mergeTypes(item, other, open)) ?? [];
  });
  return mergedItems.length === items.length ? { ...mergedSequence, items: mergedItems } : mergedSequence;
}

function mergeDims(
  a: readonly Dim[] | undefined,
  b: readonly Dim[] | undefined,
  open: NewDimension,
): readonly Dim[] | undefined {
  if (a === undefined || b === undefined || a.length !== b.length) return undefined;
  return a.map((dim, axis) => (dim === b[axis] ? dim : open(axis)));
}

/** Element types are recorded up to this length. */
export const maxItems = 256;

/** Returns the type of a sequence with these items; undefined if their types cannot be merged. */
export function sequenceOf(items: readonly AnyType[], emptyType: AnyType, open: NewDimension): Sequence | undefined {
  const [first = emptyType, ...rest] = items;
  const element = rest.reduce<AnyType | undefined>((merged, item) => merged && mergeTypes(merged, item, open), first);
  if (element === undefined) return undefined;
  return items.length > maxItems ? { kind: "sequence", of: element } : { kind: "sequence", of: element, items };
}

function innermostType(type: AnyType): DataType {
  return isContainer(type) ? innermostType(type.of) : type.type;
}

export function containerOperand(container: Container): Inferred {
  return { type: innermostType(container), dims: undefined, container };
}

export function typeOfOperand({ type, dims, container }: Inferred): AnyType {
  return container ?? { type, dims };
}

export function operandOfType(type: AnyType): Inferred {
  return isContainer(type) ? containerOperand(type) : { type: type.type, dims: type.dims };
}
