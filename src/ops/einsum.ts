/**
 * Linear algebra beyond products of matrices: Einsum, Det.
 *
 * Einsum is sums of products, said by names of axes. "bij,bjk->bik" multiplies stacks of matrices.
 *
 * A name that the output lacks is summed over. `...` stands for any number of axes in front, which broadcast. Without "->" the output has the
 * names that occur once, sorted, after those of `...`.
 *
 * The gradient for one operand is an Einsum too: of the upstream gradient and the other operands, onto the operand's names. Axes that stand in
 * this operand alone and are summed over have the same gradient everywhere: it is spread over them.
 */
import { Miss, PithError } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { addDims, type Dim, extremeDims, multiplyDims } from "../tensor/dims.ts";
import { text } from "./attributes.ts";
import { type AxisLink, alwaysChanges, defineOp, noParameters, type Op, type Site, type WeightRole } from "./define.ts";
import { dimsAt, fixed, integersConstant, need, noMacs } from "./rules.ts";

/** Axes by name; those of `...` are numbered from the last: "0" is the last of them. */
interface Equation {
  readonly operands: readonly (readonly string[])[];
  readonly result: readonly string[];
}

const ellipsis = "...";

/** Names of axes; `...` as it stands. */
function namesIn(term: string): readonly string[] {
  const names = term.replaceAll(/\s/g, "").match(/\.\.\.|[A-Za-z]/g) ?? [];
  if (names.join("") !== term.replaceAll(/\s/g, ""))
    throw new PithError("E_MODEL", `attribute "equation" has a term that is not spelled by letters: "${term}".`);
  return names;
}

/** `...` spelled out as so many axes. */
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

/** The output of an equation that does not say it. */
function implied(terms: readonly (readonly string[])[]): readonly string[] {
  const all = terms.flat();
  const once = [...new Set(all)].filter(
    (name) => name !== ellipsis && all.filter((other) => other === name).length === 1,
  );
  return all.includes(ellipsis) ? [ellipsis, ...once.sort()] : once.sort();
}

/** The size of each name: a number before a symbol, anything before 1. */
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

/** A letter for each name, as equations have to spell them. */
function spelling(s: Equation): (names: readonly string[]) => string {
  const letters = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  const names = [...new Set(s.operands.flat())];
  const taken = new Set(names);
  const free = letters.filter((letter) => !taken.has(letter));
  const spelled = new Map(names.map((name) => [name, /^\d+$/.test(name) ? (free.pop() ?? name) : name]));
  return (list) => list.map((name) => spelled.get(name) ?? name).join("");
}

function gradientOf(s: Equation, input: number, emit: Emit, inputs: readonly Value[], up: Value): Value | Miss {
  const own = s.operands[input] ?? [];
  if (new Set(own).size < own.length) return new Miss("not yet: gradient of Einsum along a diagonal");
  const spell = spelling(s);
  const others = s.operands.flatMap((names, other) => (other === input ? [] : [{ names, value: inputs[other] }]));
  const reached = new Set([...s.result, ...others.flatMap(({ names }) => names)]);
  const kept = own.filter((name) => reached.has(name));
  const equation = `${[s.result, ...others.map(({ names }) => names)].map(spell).join(",")}->${spell(kept)}`;
  const part = emit.Einsum([up, ...others.map(({ value }) => value)], { equation });
  if (kept.length === own.length) return part;
  const gone = own.flatMap((name, axis) => (reached.has(name) ? [] : [axis]));
  const open = emit.Unsqueeze([part, integersConstant(emit, gone)]);
  return emit.Expand([open, integersConstant(emit, fixed(inputs[input]))]);
}

/** The layer in a product of an activation with a stored matrix: each of its two axes is either summed over or kept. */
function weightOf(s: Equation, site: Site): WeightRole | Miss {
  const [a, b] = site.inputs;
  if (s.operands.length !== 2 || a === undefined || b === undefined) return new Miss("is no product of two tensors");
  if (a.stored === b.stored) return new Miss(a.stored ? "both operands are stored" : "both operands are activations");
  const input = a.stored ? 0 : 1;
  const [weight, data] = [s.operands[input] ?? [], s.operands[1 - input] ?? []];
  if (weight.length !== 2) return new Miss("the stored operand is not a matrix");
  const shared = weight.findIndex((name) => data.includes(name) && !s.result.includes(name));
  const out = weight.findIndex((name) => !data.includes(name) && s.result.includes(name));
  if (shared < 0 || out < 0) return new Miss("it does not sum over one axis of its matrix and keep the other");
  const name = (axis: number): string => weight[axis] ?? "";
  return {
    input,
    out,
    in: shared,
    groups: 1,
    data: 1 - input,
    dataAxis: data.indexOf(name(shared)),
    outputAxis: s.result.indexOf(name(out)),
  };
}

const Einsum = defineOp<Equation>({
  name: "Einsum",
  read,
  infer: (s, site) => {
    const { type } = need(site, 0);
    const found = sizes(s, site);
    return [{ type, dims: found === undefined ? undefined : s.result.map((name) => found.get(name) ?? 1) }];
  },
  unchanged: alwaysChanges,
  parameters: (_, site) => site.inputs.flatMap((operand, input) => (operand?.stored === true ? [input] : [])),
  weight: weightOf,
  // Axes of one name go together; one that is summed over in a single operand takes channels of zeros.
  axes: (s, site) => {
    const found = sizes(s, site);
    if (found === undefined) return new Miss("the rank of an operand is not known");
    const links = [...found.keys()].flatMap((name): AxisLink[] => {
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
    return { links };
  },
  lower: new Miss("is primitive"),
  gradient: (s, { emit, inputs, upstream: [up], wanted }) => {
    const operands = inputs.filter((input) => input !== undefined);
    if (up === undefined || operands.length < inputs.length) return [];
    const parts: (Value | undefined)[] = [];
    for (const input of operands.keys()) {
      const part = wanted(input) ? gradientOf(s, input, emit, operands, up) : undefined;
      if (part instanceof Miss) return part;
      parts.push(part);
    }
    return parts;
  },
  // Operands are multiplied one after the other: each product runs over the names met so far and the new ones that are still needed.
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
    return { macs };
  },
  quantize: new Miss("has no integer form"),
});

/** The determinant of each matrix of a stack. */
const Det = defineOp<null>({
  name: "Det",
  read: () => null,
  infer: (_, site) => {
    const { type, dims } = need(site, 0);
    return [{ type, dims: dims?.slice(0, -2) }];
  },
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: new Miss("has no weight"),
  axes: (_, site) => {
    const dims = dimsAt(site, 0);
    if (dims instanceof Miss) return dims;
    return {
      links: dims.map(
        (_, axis): AxisLink =>
          axis < dims.length - 2
            ? { from: ["in0", axis], to: ["out0", axis] }
            : { refuses: ["in0", axis], reason: "a determinant is that of a whole matrix" },
      ),
    };
  },
  lower: new Miss("is primitive"),
  // det(A) · A⁻ᵀ
  gradient: new Miss("needs the inverse of a matrix, for which ONNX has no operator"),
  cost: noMacs,
  quantize: new Miss("runs in float"),
});

export const einsumOperators: readonly Op[] = [Einsum, Det];
