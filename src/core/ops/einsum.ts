/**
 * Linear algebra beyond matrix products: Einsum, Det.
 * Many Einsum equations are one batched matrix product between transpositions. The gradient of one operand is an Einsum of the upstream gradient
 * and the other operands. Axes that only this operand has and that are summed over share one gradient; repeated axes receive it on their diagonal.
 */
import { Miss, PithError } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { addDims, type Dim, extremeDims, multiplyDims } from "../tensor/dims.ts";
import { type AxisLink, defineOp, type Site, type WeightRole } from "./define.ts";
import { text } from "./shared/attributes.ts";
import { chained, storedOperands } from "./shared/products.ts";
import { fixed, need, sameAxes, shaped } from "./shared/rules.ts";

/** Axes by name. The axes of `...` are numbered from the last: "0" is the last one. */
interface Equation {
  readonly operands: readonly (readonly string[])[];
  readonly result: readonly string[];
}

const ellipsis = "...";

function namesIn(term: string): readonly string[] {
  const names = term.replaceAll(/\s/g, "").match(/\.\.\.|[A-Za-z]/g) ?? [];
  if (names.join("") !== term.replaceAll(/\s/g, ""))
    throw new PithError("E_MODEL", `attribute "equation" has a term with characters other than letters: "${term}".`);
  return names;
}

function spelledOut(names: readonly string[], count: number): readonly string[] {
  const axes = Array.from({ length: count }, (_, axis) => String(count - 1 - axis));
  return names.flatMap((name) => (name === ellipsis ? axes : [name]));
}

function read(site: Site): Equation | Miss {
  const [left = "", right] = text(site, "equation", "").split("->");
  const terms = left.split(",").map(namesIn);
  const ranks = site.inputs.map((operand) => operand?.dims?.length);
  if (terms.length !== ranks.length)
    throw new PithError("E_MODEL", `attribute "equation" has ${terms.length} terms for ${ranks.length} operands.`);
  const operands: (readonly string[])[] = [];
  let widest = 0;
  for (const [input, names] of terms.entries()) {
    const rank = ranks[input];
    if (!names.includes(ellipsis)) operands.push(names);
    else if (rank === undefined) return new Miss("the rank of an operand is not known");
    else {
      const count = rank - (names.length - 1);
      widest = Math.max(widest, count);
      operands.push(spelledOut(names, count));
    }
    if (rank !== undefined && operands.at(-1)?.length !== rank)
      throw new PithError(
        "E_MODEL",
        `attribute "equation" names ${names.length} axes of operand ${input}, which has ${rank}.`,
      );
  }
  const result = right === undefined ? implied(terms) : namesIn(right);
  return { operands, result: spelledOut(result, widest) };
}

function implied(terms: readonly (readonly string[])[]): readonly string[] {
  const all = terms.flat();
  const once = [...new Set(all)].filter(
    (name) => name !== ellipsis && all.filter((other) => other === name).length === 1,
  );
  return all.includes(ellipsis) ? [ellipsis, ...once.sort()] : once.sort();
}

/** Returns the size of each name; prefers a number to a symbol, and anything to 1. */
function sizes(s: Equation, site: Site): ReadonlyMap<string, Dim> | undefined {
  const found = new Map<string, Dim>();
  for (const [input, names] of s.operands.entries()) {
    const dims = site.inputs[input]?.dims;
    if (dims === undefined) return undefined;
    for (const [axis, name] of names.entries()) {
      const [before, dim] = [found.get(name), dims[axis] ?? 1];
      if (before === undefined || before === 1) found.set(name, dim);
      else if (dim !== 1 && dim !== before)
        found.set(
          name,
          typeof before === "number" ? before : typeof dim === "number" ? dim : extremeDims("max", [before, dim]),
        );
    }
  }
  return found;
}

function spelling(s: Equation): (names: readonly string[]) => string {
  const letters = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  const names = [...new Set(s.operands.flat())];
  const taken = new Set(names);
  const free = letters.filter((letter) => !taken.has(letter));
  const spelled = new Map(names.map((name) => [name, /^\d+$/.test(name) ? (free.pop() ?? name) : name]));
  return (list) => list.map((name) => spelled.get(name) ?? name).join("");
}

/** Returns true if operands differ in size along an axis that is summed over: the upstream gradient has no dimension for it. */
function broadcastsSum(s: Equation, inputs: readonly Value[]): boolean {
  const found = new Map<string, Dim>();
  return s.operands.some((names, input) =>
    names.some((name, axis) => {
      const size = inputs[input]?.type?.dims?.[axis];
      const other = found.get(name);
      if (size !== undefined && !s.result.includes(name)) found.set(name, size);
      return other !== undefined && size !== other;
    }),
  );
}

function gradientOf(s: Equation, input: number, emit: Emit, inputs: readonly Value[], up: Value): Value {
  const own = s.operands[input] ?? [];
  const spell = spelling(s);
  const others = s.operands.flatMap((names, other) => (other === input ? [] : [{ names, value: inputs[other] }]));
  const reached = new Set([...s.result, ...others.flatMap(({ names }) => names)]);
  const first = own.filter((name, axis) => own.indexOf(name) === axis);
  const kept = first.filter((name) => reached.has(name));
  const equation = `${[s.result, ...others.map(({ names }) => names)].map(spell).join(",")}->${spell(kept)}`;
  const part = emit.Einsum([up, ...others.map(({ value }) => value)], { equation });
  if (kept.length === own.length) return part;
  const dims = fixed(inputs[input]);
  const gone = own.flatMap((name, axis) => (reached.has(name) && own.indexOf(name) === axis ? [] : [axis]));
  const spread = emit.Expand([emit.Unsqueeze([part, gone]), dims]);
  // Repeated axes address the diagonal; the gradient is 0 elsewhere.
  return own.reduce((value, name, axis) => {
    const place = own.indexOf(name);
    const size = dims[axis] ?? 1;
    if (place === axis) return value;
    const ones = Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 1 : 0));
    const shape = dims.map((_, other) => (other === place || other === axis ? size : 1));
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
  const [first, ...others] = s.result.filter((name) => weight.includes(name) && !data.includes(name));
  if (shared === undefined) return new Miss("it sums over no axis of its weight");
  if (first === undefined) return new Miss("it keeps no axis of its weight");
  const outputAxis = s.result.indexOf(first);
  const isBeside = (name: string, place: number): boolean => s.result[outputAxis + 1 + place] === name;
  const outTaps = others.filter(isBeside);
  const stack = weight.filter((name) => s.result.includes(name) && name !== first && !outTaps.includes(name));
  // All parts but the last keep the data's axes, with the rank in place of the inputs.
  const down = { ...s, result: data.map((name) => (name === shared ? first : name)) };
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
    ...(weight.length === 2
      ? {
          chain: chained(input, (emit, operands, { last }) =>
            emit.Einsum(operands, { equation: equationOf(last ? s : down) }),
          ),
        }
      : {}),
  };
}

function ordered(emit: Emit, value: Value, names: readonly string[], order: readonly string[]): Value {
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
  const alone = [first.filter((name) => !second.includes(name)), second.filter((name) => !first.includes(name))];
  if (alone.flat().some((name) => !s.result.includes(name))) return new Miss("sums over an axis of one operand");
  const together = first.filter((name) => second.includes(name));
  const [shared, ...more] = together.filter((name) => !s.result.includes(name));
  if (shared === undefined || more.length > 0) return new Miss("does not sum over one axis");
  // Einsum broadcasts a shared axis of length 1; a matrix product does not.
  const size = (value: Value, names: readonly string[]): Dim | undefined => value.type?.dims?.[names.indexOf(shared)];
  if (size(a, first) === undefined || size(a, first) !== size(b, second))
    return new Miss("the sizes that it sums over are not known to be equal");
  const stack = together.filter((name) => s.result.includes(name));
  const swap = alone[1]?.length !== 1;
  const [rows = [], columns = []] = swap ? alone.toReversed() : alone;
  if (columns.length !== 1 || rows.length === 0) return new Miss("its other axes do not form a matrix product");
  const [left, right] = swap
    ? [ordered(emit, b, second, [...stack, ...rows, shared]), ordered(emit, a, first, [...stack, shared, ...columns])]
    : [ordered(emit, a, first, [...stack, ...rows, shared]), ordered(emit, b, second, [...stack, shared, ...columns])];
  const between = rows.slice(1).map((_, place) => stack.length + place);
  const fitted = stack.length === 0 || between.length === 0 ? right : emit.Unsqueeze([right, between]);
  return ordered(emit, emit.MatMul([left, fitted]), [...stack, ...rows, ...columns], s.result);
}

export const Einsum = defineOp<Equation>({
  name: "Einsum",
  sameType: 0,
  read,
  infer: (s, site) => {
    const { type } = need(site, 0);
    const found = sizes(s, site);
    return [{ type, dims: found === undefined ? undefined : s.result.map((name) => found.get(name) ?? 1) }];
  },
  // "ij->ij"
  unchanged: ({ operands: [own, ...others], result }) =>
    own !== undefined && others.length === 0 && new Set(own).size === own.length && own.join() === result.join()
      ? 0
      : undefined,
  parameters: storedOperands,
  weight: weightOf,
  // Axes with the same name are cut together. An axis summed over in a single operand absorbs zero channels.
  axes: (s, site) => {
    const found = sizes(s, site);
    if (found === undefined) return new Miss("the rank of an operand is not known");
    return [...found.keys()].flatMap((name): AxisLink[] => {
      const ends = s.operands.flatMap((names, input) =>
        names.flatMap((other, axis) =>
          other === name && (site.inputs[input]?.dims?.[axis] !== 1 || found.get(name) === 1)
            ? [[`in${input}`, axis] as const]
            : [],
        ),
      );
      const at = s.result.indexOf(name);
      const [first, ...rest] = ends;
      if (first === undefined) return [];
      if (at >= 0) return ends.map((from) => ({ from, to: ["out0", at] }));
      return rest.length === 0 ? [{ absorbs: first }] : rest.map((to) => ({ from: first, to }));
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
    const found = sizes(s, site);
    if (found === undefined) return new Miss("the rank of an operand is not known");
    const [first = [], ...rest] = s.operands;
    let names = new Set(first);
    let macs: Dim = 0;
    for (const [place, own] of rest.entries()) {
      const all = new Set([...names, ...own]);
      const count = [...all].reduce<Dim>((product, name) => multiplyDims(product, found.get(name) ?? 1), 1);
      macs = addDims(macs, count);
      const later = new Set([...s.result, ...rest.slice(place + 1).flat()]);
      names = new Set([...all].filter((name) => later.has(name)));
    }
    return macs;
  },
  quantize: new Miss("has no quantized form; an equivalent MatMul would have one"),
});

export const Det = defineOp({
  name: "Det",
  infer: (_, site) => shaped(site, (dims) => dims?.slice(0, -2)),
  axes: (_, __, dims) =>
    sameAxes(dims, { but: (axis) => axis >= dims.length - 2, why: "a determinant is that of a whole matrix" }),
  // det(A) · A⁻ᵀ
  gradient: new Miss("needs the inverse of a matrix, for which ONNX has no operator"),
});
