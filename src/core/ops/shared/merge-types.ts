/** Merges the facts of two values (branches, loop iterations, sequence elements): equal facts stay, different ones become unknown. */
import { type AnyType, type Container, isContainer } from "../../graph/elements.ts";
import type { Dim } from "../../tensor/dims.ts";
import type { DataType } from "../../tensor/types.ts";
import type { Inferred } from "../define.ts";

type Open = (axis: number) => Dim;

export function mergeOperands(a: Inferred, b: Inferred, open: Open): Inferred | undefined {
  if (a.container !== undefined || b.container !== undefined) {
    if (a.container === undefined || b.container === undefined) return undefined;
    const merged = mergeTypes(a.container, b.container, open);
    return merged !== undefined && isContainer(merged) ? containerOperand(merged) : undefined;
  }
  if (a.type !== b.type) return undefined;
  const dims = mergeDims(a.dims, b.dims, open);
  const elements = a.elements;
  const same =
    elements?.length === b.elements?.length && elements?.every((element, at) => element === b.elements?.[at]);
  return elements !== undefined && same && dims !== undefined
    ? { type: a.type, dims, elements }
    : { type: a.type, dims };
}

export function mergeTypes(a: AnyType, b: AnyType, open: Open): AnyType | undefined {
  if (!isContainer(a) || !isContainer(b)) {
    if (isContainer(a) || isContainer(b) || a.type !== b.type) return undefined;
    return { type: a.type, dims: mergeDims(a.dims, b.dims, open) };
  }
  if (a.kind === "sequence" && b.kind === "sequence") return mergeSequences(a, b, open);
  if (a.kind !== b.kind || a.kind === "sequence" || b.kind === "sequence") return undefined;
  const of = mergeTypes(a.of, b.of, open);
  if (of === undefined) return undefined;
  if (a.kind === "map") return b.kind === "map" && a.key === b.key ? { kind: "map", key: a.key, of } : undefined;
  if (a.kind === "sparse") return isContainer(of) ? undefined : { kind: "sparse", of };
  return { kind: "optional", of };
}

type Sequence = Extract<Container, { readonly kind: "sequence" }>;

function mergeSequences(a: Sequence, b: Sequence, open: Open): Sequence | undefined {
  // An empty sequence says nothing about elements.
  const of = a.items?.length === 0 ? b.of : b.items?.length === 0 ? a.of : mergeTypes(a.of, b.of, open);
  if (of === undefined || innermostType(a) !== innermostType(b)) return undefined;
  if (a.items === undefined || a.items.length !== b.items?.length) return { kind: "sequence", of };
  const { items } = b;
  const merged = a.items.map((item, at) => {
    const other = items[at];
    return other === undefined ? undefined : mergeTypes(item, other, open);
  });
  return merged.every((item) => item !== undefined)
    ? { kind: "sequence", of, items: merged }
    : { kind: "sequence", of };
}

function mergeDims(
  a: readonly Dim[] | undefined,
  b: readonly Dim[] | undefined,
  open: Open,
): readonly Dim[] | undefined {
  if (a === undefined || b === undefined || a.length !== b.length) return undefined;
  return a.map((dim, axis) => (dim === b[axis] ? dim : open(axis)));
}

/** The maximum number of items that are tracked individually. */
const most = 256;

/** Returns a sequence of these items; `empty` is the element type of an empty one. */
export function sequenceOf(items: readonly AnyType[], empty: AnyType, open: Open): Sequence | undefined {
  const [first = empty, ...rest] = items;
  let of: AnyType | undefined = first;
  for (const item of rest) of = of === undefined ? undefined : mergeTypes(of, item, open);
  if (of === undefined) return undefined;
  return items.length > most ? { kind: "sequence", of } : { kind: "sequence", of, items };
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
