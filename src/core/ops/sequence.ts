/** Sequences. If the length of a sequence is known, each of its elements has its own inferred type. If not, they have a common type. */
import { type AnyType, addDims, type Container, type Dim, floorDims, isContainer, Miss, type ValueType } from "#graph";
import { defineOp, type Inferred, type Op, type OpDef, type Site } from "./define.ts";
import { constantIntegersOf, readElementType, readFlag, readInteger, wrapAxis } from "./shared/attributes.ts";
import {
  containerOperand,
  maxItems,
  mergeTypes,
  operandOfType,
  sequenceOf,
  typeOfOperand,
} from "./shared/merge-types.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { countFromFront, readPieces, readPosition, splitPieces } from "./shared/sequences.ts";

type Sequence = Extract<Container, { readonly kind: "sequence" }>;

const unknownPieces = new Miss("the pieces of its sequence are not known before it runs");
const noAxisLinks = new Miss("moves tensors in and out of a sequence");

type SequenceDefinition<S> = {
  readonly name: string;
  readonly read?: (site: Site) => S | Miss;
  readonly lower?: Exclude<OpDef<S>["lower"], Miss>;
} & (
  | { readonly infer: (s: S, site: Site) => Inferred | undefined | Miss }
  | { readonly from: (sequence: Sequence, s: S, site: Site) => Inferred | Miss }
);

function defineSequenceOperator<S = null>(row: SequenceDefinition<S>): Op {
  return defineOp<S>({
    name: row.name,
    containers: true,
    read: (site) => row.read?.(site) ?? (null as S),
    infer: (s, site) => {
      const sequence = "from" in row ? firstSequence(site) : undefined;
      if (sequence instanceof Miss) return sequence;
      const output = "infer" in row ? row.infer(s, site) : sequence && row.from(sequence, s, site);
      return output instanceof Miss ? output : [output];
    },
    axes: noAxisLinks,
    ...(row.lower === undefined ? { gradient: inferenceOnly } : { lower: row.lower }),
  });
}

function firstSequence(site: Site): Sequence | Miss {
  const container = site.inputs[0]?.container;
  return container?.kind === "sequence" ? container : new Miss("input 0 is not a sequence");
}

function positionOf(site: Site, input: number, length: number | undefined): number | undefined {
  const position = constantIntegersOf(site.inputs[input])?.[0];
  return position === undefined || length === undefined ? undefined : countFromFront(position, length);
}

const sequenceOperand = (element: AnyType, items?: readonly AnyType[]): Inferred =>
  containerOperand(items === undefined ? { kind: "sequence", of: element } : { kind: "sequence", of: element, items });

const newDimensionOf = (site: Site) => (axis: number) => site.open(0, axis);

function operandOfItems(items: readonly AnyType[], emptyType: AnyType, site: Site): Inferred | Miss {
  const sequence = sequenceOf(items, emptyType, newDimensionOf(site));
  return sequence === undefined ? new Miss("its elements are of different types") : containerOperand(sequence);
}

export const SequenceConstruct = defineSequenceOperator({
  name: "SequenceConstruct",
  infer: (_, site) => {
    const items = site.inputs.flatMap((operand) => (operand === undefined ? [] : [typeOfOperand(operand)]));
    const [first] = items;
    return first === undefined ? new Miss("has no elements") : operandOfItems(items, first, site);
  },
});

export const SequenceEmpty = defineSequenceOperator({
  name: "SequenceEmpty",
  read: (site) => {
    const type = readElementType(site, "dtype", "float32");
    return type === undefined ? new Miss("contains elements of an unknown type") : { type, dims: undefined };
  },
  infer: (element) => sequenceOperand(element, []),
});

export const SequenceInsert = defineSequenceOperator({
  name: "SequenceInsert",
  from: (sequence, _, site) => {
    const operand = site.inputs[1];
    if (operand === undefined) return new Miss("has nothing to insert");
    const item = typeOfOperand(operand);
    const { items } = sequence;
    const position = site.inputs[2] === undefined ? items?.length : positionOf(site, 2, items?.length);
    if (items !== undefined && position !== undefined)
      return operandOfItems(items.toSpliced(position, 0, item), sequence.of, site);
    const element = items?.length === 0 ? item : mergeTypes(sequence.of, item, newDimensionOf(site));
    return element === undefined ? new Miss("its elements are of different types") : sequenceOperand(element);
  },
});

export const SequenceErase = defineSequenceOperator({
  name: "SequenceErase",
  from: ({ items, of: element }, _, site) => {
    const position = site.inputs[1] === undefined ? (items?.length ?? 0) - 1 : positionOf(site, 1, items?.length);
    return sequenceOperand(element, position === undefined ? undefined : items?.toSpliced(position, 1));
  },
});

export const SequenceAt = defineSequenceOperator({
  name: "SequenceAt",
  read: readPosition,
  lower: ({ position }, _, [sequence]) => {
    const pieces = sequence.producer?.op === "SequenceConstruct" ? sequence.producer.inputs : [];
    const piece = position === undefined ? undefined : pieces[countFromFront(position, pieces.length)];
    return piece === undefined ? unknownPieces : [piece];
  },
  from: ({ items, of: element }, _, site) => {
    const position = positionOf(site, 1, items?.length);
    return operandOfType((position === undefined ? undefined : items?.[position]) ?? element);
  },
});

export const SequenceLength = defineSequenceOperator({
  name: "SequenceLength",
  from: ({ items }) => ({ type: "int64", dims: [], ...(items && { elements: [items.length] }) }),
});

export const ConcatFromSequence = defineSequenceOperator({
  name: "ConcatFromSequence",
  read: (site) => ({ axis: readInteger(site, "axis", 0), isNewAxis: readFlag(site, "new_axis") }),
  from: ({ items, of: element }, { axis, isNewAxis }, site) => {
    if (isContainer(element)) return new Miss("joins values that are not tensors");
    const { type, dims } = element;
    if (dims === undefined) return { type, dims };
    const joinedAxis = wrapAxis(axis, dims.length + (isNewAxis ? 1 : 0));
    if (isNewAxis) return { type, dims: dims.toSpliced(joinedAxis, 0, items?.length ?? site.open(0, joinedAxis)) };
    const sizes = items?.map((item) => (isContainer(item) ? undefined : item.dims?.[joinedAxis]));
    const sum = sizes?.every((size) => size !== undefined) ? sizes.reduce<Dim>(addDims, 0) : site.open(0, joinedAxis);
    return { type, dims: dims.with(joinedAxis, sum) };
  },
});

export const SplitToSequence = defineSequenceOperator({
  name: "SplitToSequence",
  read: readPieces,
  lower: (s, emit, [x]) => {
    const pieces = splitPieces(emit, x, s);
    return pieces === undefined ? new Miss("the number of pieces is not known") : [emit.SequenceConstruct(pieces)];
  },
  infer: ({ axis, keepsAxis }, site) => {
    const [operand, split] = site.inputs;
    if (operand === undefined) return new Miss("has no input");
    const { type, dims } = operand;
    if (dims === undefined) return sequenceOperand({ type, dims });
    const splitAxis = wrapAxis(axis, dims.length);
    const length = dims[splitAxis] ?? 1;
    const piece = (size: Dim): ValueType => ({ type, dims: dims.with(splitAxis, size) });
    const sequenceOfSizes = (sizes: readonly Dim[] | undefined): Inferred | Miss => {
      const unknownPiece = piece(site.open(0, splitAxis));
      return sizes === undefined ? sequenceOperand(unknownPiece) : operandOfItems(sizes.map(piece), unknownPiece, site);
    };
    if (split === undefined) {
      const item: ValueType = keepsAxis ? piece(1) : { type, dims: dims.toSpliced(splitAxis, 1) };
      return typeof length === "number" && length <= maxItems
        ? operandOfItems(new Array<AnyType>(length).fill(item), item, site)
        : sequenceOperand(item);
    }
    const [size] = split.elements ?? [];
    if (split.dims?.length !== 0 || size === undefined)
      return sequenceOfSizes(split.dims?.length === 1 ? split.elements : undefined);
    if (typeof size === "number" && size < 1) return new Miss("its pieces have no length");
    const count = floorDims(length, size);
    if (typeof length !== "number" || typeof size !== "number" || typeof count !== "number" || count > maxItems)
      return sequenceOfSizes(undefined);
    const sizes = new Array<number>(count).fill(size);
    return sequenceOfSizes(length % size === 0 ? sizes : [...sizes, length % size]);
  },
});
