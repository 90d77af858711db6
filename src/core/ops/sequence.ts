/**
 * Sequences and optionals. The elements of a sequence of known length are tracked individually; otherwise only their common type is.
 * Models are trained through the pieces of a tensor (torch.chunk, torch.split), and through no other sequence.
 */
import { Miss } from "../errors.ts";
import { type AnyType, type Container, isContainer, type ValueType } from "../graph/elements.ts";
import { addDims, type Dim, floorDims } from "../tensor/dims.ts";
import { defineOp, type Inferred, type Op, type OpDef, type Site } from "./define.ts";
import { constantIntegers, elementType, integer, wrapAxis } from "./shared/attributes.ts";
import { containerOperand, mergeTypes, operandOfType, sequenceOf, typeOfOperand } from "./shared/merge-types.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { longest, readCut, readPlace, splitPieces, within } from "./shared/sequences.ts";

type Sequence = Extract<Container, { readonly kind: "sequence" }>;

const unknown = new Miss("the pieces of its sequence are not known before it runs");

const rest = { axes: new Miss("moves tensors in and out of a sequence"), gradient: inferenceOnly };

type Row<S> = {
  readonly name: string;
  readonly read?: (site: Site) => S | Miss;
  readonly lower?: Exclude<OpDef<S>["lower"], Miss>;
} & (
  | { readonly infer: (s: S, site: Site) => Inferred | undefined | Miss }
  | { readonly from: (sequence: Sequence, s: S, site: Site) => Inferred | Miss }
);

function sequenceOperator<S = null>(row: Row<S>): Op {
  return defineOp<S>({
    name: row.name,
    containers: true,
    read: (site) => row.read?.(site) ?? (null as S),
    infer: (s, site) => {
      if ("infer" in row) return listed(row.infer(s, site));
      const sequence = firstSequence(site);
      return sequence instanceof Miss ? sequence : listed(row.from(sequence, s, site));
    },
    axes: rest.axes,
    ...(row.lower === undefined ? { gradient: rest.gradient } : { lower: row.lower }),
  });
}

const listed = <T>(output: T | Miss): readonly T[] | Miss => (output instanceof Miss ? output : [output]);

function firstSequence(site: Site): Sequence | Miss {
  const container = site.inputs[0]?.container;
  const inside = container?.kind === "optional" && isContainer(container.of) ? container.of : container;
  return inside?.kind === "sequence" ? inside : new Miss("input 0 is not a sequence");
}

function placeAt(site: Site, input: number, length: number | undefined): number | undefined {
  const place = constantIntegers(site.inputs[input])?.[0];
  return place === undefined || length === undefined ? undefined : within(place, length);
}

const openOf = (site: Site) => (axis: number) => site.open(0, axis);

function asOperand(sequence: Sequence | undefined): Inferred | Miss {
  return sequence === undefined ? new Miss("its elements are of different types") : containerOperand(sequence);
}

export const SequenceConstruct = sequenceOperator({
  name: "SequenceConstruct",
  infer: (_, site) => {
    const items = site.inputs.flatMap((operand) => (operand === undefined ? [] : [typeOfOperand(operand)]));
    const [first] = items;
    return first === undefined ? new Miss("has no elements") : asOperand(sequenceOf(items, first, openOf(site)));
  },
});

export const SequenceEmpty = sequenceOperator({
  name: "SequenceEmpty",
  read: (site) => {
    const type = elementType(site, "dtype", "float32");
    return type === undefined ? new Miss("contains elements of an unknown type") : { type, dims: undefined };
  },
  infer: (of) => containerOperand({ kind: "sequence", of, items: [] }),
});

export const SequenceInsert = sequenceOperator({
  name: "SequenceInsert",
  from: (sequence, _, site) => {
    const operand = site.inputs[1];
    if (operand === undefined) return new Miss("has nothing to insert");
    const item = typeOfOperand(operand);
    const { items } = sequence;
    const place = site.inputs[2] === undefined ? items?.length : placeAt(site, 2, items?.length);
    if (items !== undefined && place !== undefined)
      return asOperand(sequenceOf(items.toSpliced(place, 0, item), sequence.of, openOf(site)));
    const of = items?.length === 0 ? item : mergeTypes(sequence.of, item, openOf(site));
    return asOperand(of === undefined ? undefined : { kind: "sequence", of });
  },
});

export const SequenceErase = sequenceOperator({
  name: "SequenceErase",
  from: (sequence, _, site) => {
    const { items, of } = sequence;
    const place = site.inputs[1] === undefined ? (items?.length ?? 0) - 1 : placeAt(site, 1, items?.length);
    if (items === undefined || place === undefined) return containerOperand({ kind: "sequence", of });
    return containerOperand({ kind: "sequence", of, items: items.toSpliced(place, 1) });
  },
});

export const SequenceAt = sequenceOperator({
  name: "SequenceAt",
  read: readPlace,
  lower: ({ place }, _, [sequence]) => {
    const pieces = sequence.producer?.op === "SequenceConstruct" ? sequence.producer.inputs : undefined;
    const piece = pieces === undefined || place === undefined ? undefined : pieces[within(place, pieces.length)];
    return piece === undefined ? unknown : [piece];
  },
  from: (sequence, _, site) => {
    const { items } = sequence;
    const place = placeAt(site, 1, items?.length);
    return operandOfType((place === undefined ? undefined : items?.[place]) ?? sequence.of);
  },
});

export const SequenceLength = sequenceOperator({
  name: "SequenceLength",
  from: (sequence, _, _site) => {
    const { items } = sequence;
    return items === undefined ? { type: "int64", dims: [] } : { type: "int64", dims: [], elements: [items.length] };
  },
});

export const ConcatFromSequence = sequenceOperator({
  name: "ConcatFromSequence",
  read: (site) => ({ axis: integer(site, "axis", 0), fresh: integer(site, "new_axis", 0) !== 0 }),
  from: (sequence, { axis, fresh }, site) => {
    const { items, of } = sequence;
    if (isContainer(of)) return new Miss("joins values that are not tensors");
    const { type, dims } = of;
    if (dims === undefined) return { type, dims: undefined };
    const at = wrapAxis(axis, dims.length + (fresh ? 1 : 0));
    if (fresh) return { type, dims: dims.toSpliced(at, 0, items?.length ?? site.open(0, at)) };
    const sizes = items?.map((item) => (isContainer(item) ? undefined : item.dims?.[at]));
    const joined = sizes?.every((size) => size !== undefined) ? sizes.reduce<Dim>(addDims, 0) : site.open(0, at);
    return { type, dims: dims.with(at, joined) };
  },
});

/** Splits a tensor along an axis: into single positions, equal pieces (the last may be shorter), or pieces of given sizes. */
export const SplitToSequence = sequenceOperator({
  name: "SplitToSequence",
  read: readCut,
  lower: (s, emit, [x]) => {
    const pieces = splitPieces(emit, x, s);
    return pieces === undefined ? new Miss("the number of pieces is not known") : [emit.SequenceConstruct(pieces)];
  },
  infer: ({ axis, keep }, site) => {
    const [operand, split] = site.inputs;
    if (operand === undefined) return new Miss("has no input");
    const { type, dims } = operand;
    if (dims === undefined) return containerOperand({ kind: "sequence", of: { type, dims: undefined } });
    const at = wrapAxis(axis, dims.length);
    const whole = dims[at] ?? 1;
    const piece = (size: Dim): ValueType => ({ type, dims: dims.with(at, size) });
    const whichever = (sizes: readonly Dim[] | undefined): Inferred | Miss =>
      sizes === undefined
        ? containerOperand({ kind: "sequence", of: piece(site.open(0, at)) })
        : asOperand(sequenceOf(sizes.map(piece), piece(site.open(0, at)), openOf(site)));
    if (split === undefined) {
      const place: ValueType = keep ? piece(1) : { type, dims: dims.toSpliced(at, 1) };
      return typeof whole === "number" && whole <= longest
        ? asOperand(sequenceOf(new Array<AnyType>(whole).fill(place), place, openOf(site)))
        : containerOperand({ kind: "sequence", of: place });
    }
    const [size] = split.elements ?? [];
    if (split.dims?.length !== 0 || size === undefined)
      return whichever(split.dims?.length === 1 ? split.elements : undefined);
    const count = floorDims(whole, size);
    if (typeof whole !== "number" || typeof size !== "number" || typeof count !== "number" || count > longest)
      return whichever(undefined);
    const sizes = new Array<number>(count).fill(size);
    return whichever(whole % size === 0 ? sizes : [...sizes, whole % size]);
  },
});

export const SequenceMap = defineOp({
  name: "SequenceMap",
  containers: true,
  read: (site) => {
    const body = site.body("body");
    return body === undefined ? new Miss("has no body") : { body };
  },
  infer: ({ body }, site) => {
    const first = firstSequence(site);
    if (first instanceof Miss) return first;
    const inputs = site.inputs.map((operand, input) => {
      const sequence = input === 0 ? first : operand?.container;
      return { operand, sequence: sequence?.kind === "sequence" ? sequence : undefined };
    });
    const run = (place: number | undefined): readonly (Inferred | undefined)[] =>
      body.infer(
        inputs.map(({ operand, sequence }) => {
          if (sequence === undefined) return operand;
          return operandOfType((place === undefined ? undefined : sequence.items?.[place]) ?? sequence.of);
        }),
      );
    const { items } = first;
    if (items === undefined || items.length === 0 || body.nested) {
      return run(undefined).map((came) => {
        if (came === undefined) return undefined;
        const of = typeOfOperand(came);
        return containerOperand(items?.length === 0 ? { kind: "sequence", of, items: [] } : { kind: "sequence", of });
      });
    }
    const turns = items.map((_, place) => run(place));
    const [some = []] = turns;
    return some.map((_, output) => {
      const made = turns.flatMap((turn) => turn[output] ?? []).map(typeOfOperand);
      const [one] = made;
      if (one === undefined || made.length < turns.length) return undefined;
      const sequence = sequenceOf(made, one, (axis) => site.open(output, axis));
      return sequence === undefined ? undefined : containerOperand(sequence);
    });
  },
  ...rest,
});

export const OptionalOperator = sequenceOperator({
  name: "Optional",
  infer: (_, site) => {
    const [operand] = site.inputs;
    return operand === undefined
      ? new Miss("is an empty optional of the type that an attribute names")
      : containerOperand({ kind: "optional", of: typeOfOperand(operand) });
  },
});

export const OptionalGetElement = sequenceOperator({
  name: "OptionalGetElement",
  infer: (_, site) => {
    const [operand] = site.inputs;
    if (operand === undefined) return new Miss("has no input");
    // Since opset 18 a value that is not an optional passes through.
    return operand.container?.kind === "optional" ? operandOfType(operand.container.of) : operand;
  },
});

export const OptionalHasElement = sequenceOperator({
  name: "OptionalHasElement",
  infer: (_, site) => {
    const [operand] = site.inputs;
    const element = operand === undefined ? 0 : operand.container?.kind === "optional" ? undefined : 1;
    return element === undefined ? { type: "bool", dims: [] } : { type: "bool", dims: [], elements: [element] };
  },
});
