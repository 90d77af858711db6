/**
 * Linear algebra beyond matrix products: Einsum, Det.
 * Many Einsum equations are one batched matrix product between transpositions. The gradient of one operand is an Einsum of the upstream gradient
 * and the other operands. Axes that only this operand has and that are summed over share one gradient; repeated axes receive it on their diagonal.
 */
import { Miss, PithError } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { addDims, type Dim, elementCount, extremeDims } from "../tensor/dims.ts";
import { type AxisLink, defineOp, type Site, type WeightRole } from "./define.ts";
import { readString } from "./shared/attributes.ts";
import { chainProducts, storedOperands } from "./shared/products.ts";
import { inferShape, requireInput, range, sameAxes, sizesOf } from "./shared/rules.ts";

/** Axes by name. The axes of `...` are numbered from the last: "0" is the last one. */
interface Equation {
  readonly operands: readonly (readonly string[])[];
  readonly result: readonly string[];
}

const ellipsis = "...";
const unknownRank = new Miss("the rank of an operand is not known");

function namesIn(term: string): readonly string[] {
  const names = term.replaceAll(/\s/g, "").match(/\.\.\.|[A-Za-z]/g) ?? [];
  if (names.join("") !== term.replaceAll(/\s/g, ""))
    throw new PithError("E_MODEL", `attribute "equation" has a term with characters other than letters: "${term}".`);
  return names;
}

function spellOut(names: readonly string[], count: number): readonly string[] {
  const axes = Array.from({ length: count }, (_, axis) => String(count - 1 - axis));
  return names.flatMap((name) => (name === ellipsis ? axes : [name]));
}

function read(site: Site): Equation | Miss {
  const [operandTerms = "", resultTerm] = readString(site, "equation", "").split("->");
  const terms = operandTerms.split(",").map(namesIn);
  const ranks = site.inputs.map((operand) => operand?.dims?.length);
  if (terms.length !== ranks.length)
    throw new PithError("E_MODEL", `attribute "equation" has ${terms.length} terms for ${ranks.length} operands.`);
  const operands: (readonly string[])[] = [];
  let widest = 0;
  for (const [input, names] of terms.entries()) {
    const rank = ranks[input];
    if (!names.includes(ellipsis)) operands.push(names);
    else if (rank === undefined) return unknownRank;
    else {
      const count = rank - (names.length - 1);
      widest = Math.max(widest, count);
      operands.push(spellOut(names, count));
    }
    if (rank !== undefined && operands.at(-1)?.length !== rank)
      throw new PithError(
        "E_MODEL",
        `attribute "equation" names ${names.length} axes of operand ${input}, which has ${rank}.`,
      );
  }
  const result = resultTerm === undefined ? impliedResult(terms) : namesIn(resultTerm);
  return { operands, result: spellOut(result, widest) };
}

function impliedResult(terms: readonly (readonly string[])[]): readonly string[] {
  const all = terms.flat();
  const once = [...new Set(all)].filter(
    (name) => name !== ellipsis && all.filter((other) => other === name).length === 1,
  );
  return all.includes(ellipsis) ? [ellipsis, ...once.sort()] : once.sort();
}

/** Returns the size of each name; prefers a number to a symbol, and anything to 1. */
function sizes(s: Equation, site: Site): ReadonlyMap<string, Dim> | undefined {
  const sizesByName = new Map<string, Dim>();
  for (const [input, names] of s.operands.entries()) {
    const dims = site.inputs[input]?.dims;
    if (dims === undefined) return undefined;
    for (const [axis, name] of names.entries()) {
      const [before, dim] = [sizesByName.get(name), dims[axis] ?? 1];
      if (before === undefined || before === 1) sizesByName.set(name, dim);
      else if (dim !== 1 && typeof before !== "number")
        sizesByName.set(name, typeof dim === "number" || dim === before ? dim : extremeDims("max", [before, dim]));
    }
  }
  return sizesByName;
}

function spelling(s: Equation): (names: readonly string[]) => string {
  const letters = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  const names = new Set(s.operands.flat());
  const free = letters.filter((letter) => !names.has(letter));
  const spelled = new Map([...names].map((name) => [name, /^\d+$/.test(name) ? (free.pop() ?? name) : name]));
  return (list) => list.map((name) => spelled.get(name) ?? name).join("");
}

/** Returns true if operands differ in size along an axis that is summed over: the upstream gradient has no dimension for it. */
function broadcastsSum(s: Equation, inputs: readonly Value[]): boolean {
  const summed = new Map<string, Dim>();
  return s.operands.some((names, input) =>
    names.some((name, axis) => {
      const size = inputs[input]?.type?.dims?.[axis];
      const other = summed.get(name);
      if (size !== undefined && !s.result.includes(name)) summed.set(name, size);
      return other !== undefined && size !== other;
    }),
  );
}

function gradientOf(s: Equation, input: number, emit: Emit, inputs: readonly Value[], up: Value): Value {
  const names = s.operands[input] ?? [];
  const spell = spelling(s);
  const factors = s.operands.toSpliced(input, 1);
  const reachedNames = new Set([...s.result, ...factors.flat()]);
  const kept = names.filter((name, axis) => reachedNames.has(name) && names.indexOf(name) === axis);
  const equation = `${[s.result, ...factors].map(spell).join(",")}->${spell(kept)}`;
  const part = emit.Einsum([up, ...inputs.toSpliced(input, 1)], { equation });
  if (kept.length === names.length) return part;
  const dims = sizesOf(inputs[input]);
  const missing = names.flatMap((name, axis) => (reachedNames.has(name) && names.indexOf(name) === axis ? [] : [axis]));
  const spread = emit.Expand([emit.Unsqueeze([part, missing]), dims]);
  // Repeated axes address the diagonal; the gradient is 0 elsewhere.
  return names.reduce((value, name, axis) => {
    const first = names.indexOf(name);
    const size = dims[axis] ?? 1;
    if (first === axis) return value;
    const ones = range(size * size).map((index) => (index % (size + 1) === 0 ? 1 : 0));
    const shape = dims.map((_, other) => (other === first || other === axis ? size : 1));
    const diagonal = emit.constant(fromNumbers("bool", shape, ones), "diagonal");
    return emit.Where([diagonal, value, 0]);
  }, spread);
}

function equationOf(s: Equation): string {
  const spell = spelling(s);
  return `${s.operands.map(spell).join(",")}->${spell(s.result)}`;
}

/**
 * Finds the layer in the product of an activation and a stored operand. Weight axes that are summed over with the data are inputs, then taps;
 * axes only in the output are outputs; axes in data and output are a stack. Outputs that are not adjacent are a stack, too.
 */
function weightOf(s: Equation, site: Site): WeightRole | Miss {
  const [a, b] = site.inputs;
  if (s.operands.length !== 2 || a === undefined || b === undefined) return new Miss("is not a product of two tensors");
  if (a.stored === b.stored) return new Miss(a.stored ? "both operands are stored" : "both operands are activations");
  const input = a.stored ? 0 : 1;
  const [weight, data] = [s.operands[input] ?? [], s.operands[1 - input] ?? []];
  if ([weight, data].some((names) => new Set(names).size < names.length)) return new Miss("takes a diagonal");
  if (weight.some((name) => /\d/.test(name))) return new Miss("the stored operand has axes without names");
  const axis = (name: string): number => weight.indexOf(name);
  const shared = weight.find((name) => data.includes(name) && !s.result.includes(name));
  const [first, ...outputs] = s.result.filter((name) => weight.includes(name) && !data.includes(name));
  if (shared === undefined) return new Miss("it sums over no axis of its weight");
  if (first === undefined) return new Miss("it keeps no axis of its weight");
  const outputAxis = s.result.indexOf(first);
  const outTaps = outputs.filter((name, index) => s.result[outputAxis + 1 + index] === name);
  const stack = weight.filter((name) => s.result.includes(name) && name !== first && !outTaps.includes(name));
  // All parts but the last keep the data's axes, with the rank in place of the inputs.
  const inner = { ...s, result: data.map((name) => (name === shared ? first : name)) };
  const chain = chainProducts(input, (emit, operands, { last }) =>
    emit.Einsum(operands, { equation: equationOf(last ? s : inner) }),
  );
  return {
    input,
    out: axis(first),
    in: axis(shared),
    groups: 1,
    data: 1 - input,
    dataAxis: data.indexOf(shared),
    outputAxis,
    ...(stack.length > 0 ? { stack: stack.map(axis) } : {}),
    ...(outTaps.length > 0 ? { outTaps: outTaps.map(axis) } : {}),
    ...(weight.length === 2 ? { chain } : {}),
  };
}

function reorderAxes(emit: Emit, value: Value, names: readonly string[], order: readonly string[]): Value {
  const perm = order.map((name) => names.indexOf(name));
  return perm.every((from, to) => from === to) ? value : emit.Transpose([value], { perm });
}

/**
 * Writes one batched matrix product: A as [stack, rows…, shared], B as [stack, 1…, shared, columns].
 * Requires one summed axis, and one operand with a single axis that the other lacks.
 */
function asMatMul(s: Equation, emit: Emit, inputs: readonly (Value | undefined)[]): Value | Miss {
  const [first, second] = s.operands;
  const [a, b] = inputs;
  if (first === undefined || second === undefined || a === undefined || b === undefined || s.operands.length !== 2)
    return new Miss("is not a product of two tensors");
  if ([first, second].some((names) => new Set(names).size < names.length)) return new Miss("takes a diagonal");
  const unshared = [first.filter((name) => !second.includes(name)), second.filter((name) => !first.includes(name))];
  if (unshared.flat().some((name) => !s.result.includes(name))) return new Miss("sums over an axis of one operand");
  const common = first.filter((name) => second.includes(name));
  const [shared, ...more] = common.filter((name) => !s.result.includes(name));
  if (shared === undefined || more.length > 0) return new Miss("does not sum over one axis");
  // Einsum broadcasts a shared axis of length 1; a matrix product does not.
  const size = (value: Value, names: readonly string[]): Dim | undefined => value.type?.dims?.[names.indexOf(shared)];
  if (size(a, first) === undefined || size(a, first) !== size(b, second))
    return new Miss("the sizes that it sums over are not known to be equal");
  const stack = common.filter((name) => s.result.includes(name));
  const isSwapped = unshared[1]?.length !== 1;
  const [rows = [], columns = []] = isSwapped ? unshared.toReversed() : unshared;
  if (columns.length !== 1 || rows.length === 0) return new Miss("its other axes do not form a matrix product");
  const [leftNames, rightNames] = [
    [...stack, ...rows, shared],
    [...stack, shared, ...columns],
  ];
  const stackedRows = isSwapped ? reorderAxes(emit, b, second, leftNames) : reorderAxes(emit, a, first, leftNames);
  const matrices = isSwapped ? reorderAxes(emit, a, first, rightNames) : reorderAxes(emit, b, second, rightNames);
  const between = range(rows.length - 1, stack.length);
  const fitted = stack.length === 0 || between.length === 0 ? matrices : emit.Unsqueeze([matrices, between]);
  return reorderAxes(emit, emit.MatMul([stackedRows, fitted]), [...stack, ...rows, ...columns], s.result);
}

export const Einsum = defineOp<Equation>({
  name: "Einsum",
  sameType: 0,
  read,
  infer: (s, site) => {
    const sizesByName = sizes(s, site);
    return [{ type: requireInput(site, 0).type, dims: sizesByName && s.result.map((name) => sizesByName.get(name) ?? 1) }];
  },
  // "ij->ij"
  unchanged: ({ operands: [names = [], ...more], result }) =>
    more.length === 0 && new Set(names).size === names.length && names.join() === result.join() ? 0 : undefined,
  parameters: storedOperands,
  weight: weightOf,
  // Axes with the same name are cut together. An axis summed over in a single operand absorbs zero channels.
  axes: (s, site) => {
    const sizesByName = sizes(s, site);
    if (sizesByName === undefined) return unknownRank;
    return [...sizesByName].flatMap(([name, size]): AxisLink[] => {
      const ends = s.operands.flatMap((names, input) =>
        names.flatMap((other, axis) =>
          other === name && (site.inputs[input]?.dims?.[axis] !== 1 || size === 1)
            ? [[`in${input}`, axis] as const]
            : [],
        ),
      );
      const outAxis = s.result.indexOf(name);
      const [first, ...more] = ends;
      if (first === undefined) return [];
      if (outAxis >= 0) return ends.map((from) => ({ from, to: ["out0", outAxis] }));
      return more.length === 0 ? [{ absorbs: first }] : more.map((to) => ({ from: first, to }));
    });
  },
  lower: (s, emit, inputs) => {
    const product = asMatMul(s, emit, inputs);
    return product instanceof Miss ? product : [product];
  },
  gradient: (s, { emit, inputs, up, wanted }) => {
    const operands = inputs.filter((input) => input !== undefined);
    if (up === undefined || operands.length < inputs.length) return [];
    if (broadcastsSum(s, operands)) return new Miss("broadcasts an axis that it sums over");
    return operands.map((_, input) => (wanted(input) ? gradientOf(s, input, emit, operands, up) : undefined));
  },
  // Operands are multiplied in order; each product runs over the names so far and the new names that are still needed.
  cost: (s, site) => {
    const sizesByName = sizes(s, site);
    if (sizesByName === undefined) return unknownRank;
    const [first = [], ...factors] = s.operands;
    let names = new Set(first);
    let macs: Dim = 0;
    for (const [index, factor] of factors.entries()) {
      const all = [...new Set([...names, ...factor])];
      macs = addDims(macs, elementCount(all.map((name) => sizesByName.get(name) ?? 1)));
      const later = new Set([...s.result, ...factors.slice(index + 1).flat()]);
      names = new Set(all.filter((name) => later.has(name)));
    }
    return macs;
  },
  quantize: new Miss("has no quantized form; an equivalent MatMul would have one"),
});

export const Det = defineOp({
  name: "Det",
  infer: (_, site) => inferShape(site, (dims) => dims?.slice(0, -2)),
  axes: (_, __, dims) =>
    sameAxes(dims, { refused: (axis) => axis >= dims.length - 2, reason: "a determinant is that of a whole matrix" }),
  // det(A) · A⁻ᵀ
  gradient: new Miss("needs the inverse of a matrix, for which ONNX has no operator"),
});
