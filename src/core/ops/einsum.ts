/**
 * Einsum. The gradient of an operand is an Einsum of dY and the other operands. It is broadcast along axes that only this operand has and that are
 * summed over. Along a repeated axis ("ii") it is written to the diagonal.
 */
import type { Dim, Emit, Value } from "#graph";
import { addDims, elementCount, extremeDims, fromNumbers, Miss, modelError } from "#graph";
import { type AxisLink, defineOp, type Site, type WeightRole } from "./define.ts";
import { readString } from "./shared/attributes.ts";
import { chainProducts, storedOperands } from "./shared/products.ts";
import { range, requireInput, sizesOf } from "./shared/shapes.ts";

/** The axis names of operands and result. The axes of `...` are named by numbers from the end. */
interface Equation {
  readonly operands: readonly (readonly string[])[];
  readonly result: readonly string[];
}

const ellipsis = "...";
const unknownRank = new Miss("the rank of an operand is not known");

function parseAxisNames(term: string): readonly string[] {
  const names = term.replaceAll(/\s/g, "").match(/\.\.\.|[A-Za-z]/g) ?? [];
  if (names.join("") !== term.replaceAll(/\s/g, ""))
    throw modelError(`attribute "equation" has a term with characters other than letters: "${term}".`);
  return names;
}

function expandEllipsis(names: readonly string[], count: number): readonly string[] {
  const axes = Array.from({ length: count }, (_, axis) => String(count - 1 - axis));
  return names.flatMap((name) => (name === ellipsis ? axes : [name]));
}

function read(site: Site): Equation | Miss {
  const [operandTerms = "", resultTerm] = readString(site, "equation", "").split("->");
  const terms = operandTerms.split(",").map(parseAxisNames);
  const ranks = site.inputs.map((operand) => operand?.dims?.length);
  if (terms.length !== ranks.length)
    throw modelError(`attribute "equation" has ${terms.length} terms for ${ranks.length} operands.`);
  const operands: (readonly string[])[] = [];
  let ellipsisRank = 0;
  for (const [input, names] of terms.entries()) {
    const rank = ranks[input];
    if (!names.includes(ellipsis)) operands.push(names);
    else if (rank === undefined) return unknownRank;
    else {
      const count = rank - (names.length - 1);
      ellipsisRank = Math.max(ellipsisRank, count);
      operands.push(expandEllipsis(names, count));
    }
    if (rank !== undefined && operands.at(-1)?.length !== rank)
      throw modelError(`attribute "equation" names ${names.length} axes of operand ${input}, which has ${rank}.`);
  }
  const result = resultTerm === undefined ? impliedResult(terms) : parseAxisNames(resultTerm);
  return { operands, result: expandEllipsis(result, ellipsisRank) };
}

function impliedResult(terms: readonly (readonly string[])[]): readonly string[] {
  const allNames = terms.flat();
  const uniqueNames = [...new Set(allNames)].filter(
    (name) => name !== ellipsis && allNames.filter((other) => other === name).length === 1,
  );
  return allNames.includes(ellipsis) ? [ellipsis, ...uniqueNames.sort()] : uniqueNames.sort();
}

/** Returns the size of each named axis. If operands differ in a size, a number takes precedence over a symbol, and another size over 1. */
function sizesOfNames(s: Equation, site: Site): ReadonlyMap<string, Dim> | undefined {
  const sizesByName = new Map<string, Dim>();
  for (const [input, names] of s.operands.entries()) {
    const dims = site.inputs[input]?.dims;
    if (dims === undefined) return undefined;
    for (const [axis, name] of names.entries()) {
      const [knownSize, dim] = [sizesByName.get(name), dims[axis] ?? 1];
      if (knownSize === undefined || knownSize === 1) sizesByName.set(name, dim);
      else if (dim !== 1 && typeof knownSize !== "number")
        sizesByName.set(
          name,
          typeof dim === "number" || dim === knownSize ? dim : extremeDims("max", [knownSize, dim]),
        );
    }
  }
  return sizesByName;
}

function createTermWriter(s: Equation): (names: readonly string[]) => string {
  const letters = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  const names = new Set(s.operands.flat());
  const unusedLetters = letters.filter((letter) => !names.has(letter));
  const lettersByName = new Map(
    [...names].map((name) => [name, /^\d+$/.test(name) ? (unusedLetters.pop() ?? name) : name]),
  );
  return (list) => list.map((name) => lettersByName.get(name) ?? name).join("");
}

/** Returns whether operands differ in size along an axis that is summed over. */
function broadcastsSum(s: Equation, inputs: readonly Value[]): boolean {
  const summedSizes = new Map<string, Dim>();
  return s.operands.some((names, input) =>
    names.some((name, axis) => {
      const size = inputs[input]?.type?.dims?.[axis];
      const other = summedSizes.get(name);
      if (size !== undefined && !s.result.includes(name)) summedSizes.set(name, size);
      return other !== undefined && size !== other;
    }),
  );
}

function writeOperandGradient(s: Equation, input: number, emit: Emit, inputs: readonly Value[], up: Value): Value {
  const names = s.operands[input] ?? [];
  const writeTerm = createTermWriter(s);
  const factors = s.operands.toSpliced(input, 1);
  const reachedNames = new Set([...s.result, ...factors.flat()]);
  const keptNames = names.filter((name, axis) => reachedNames.has(name) && names.indexOf(name) === axis);
  const equation = `${[s.result, ...factors].map(writeTerm).join(",")}->${writeTerm(keptNames)}`;
  const reducedGradient = emit.Einsum([up, ...inputs.toSpliced(input, 1)], { equation });
  if (keptNames.length === names.length) return reducedGradient;
  const dims = sizesOf(inputs[input]);
  const missingAxes = names.flatMap((name, axis) =>
    reachedNames.has(name) && names.indexOf(name) === axis ? [] : [axis],
  );
  const expandedGradient = emit.Expand([emit.Unsqueeze([reducedGradient, missingAxes]), dims]);
  // Repeated axes address the diagonal; the gradient is 0 elsewhere.
  return names.reduce((value, name, axis) => {
    const firstAxis = names.indexOf(name);
    const size = dims[axis] ?? 1;
    if (firstAxis === axis) return value;
    const ones = range(size * size).map((index) => (index % (size + 1) === 0 ? 1 : 0));
    const shape = dims.map((_, other) => (other === firstAxis || other === axis ? size : 1));
    const diagonal = emit.constant(fromNumbers("bool", shape, ones), "diagonal");
    return emit.Where([diagonal, value, 0]);
  }, expandedGradient);
}

function equationOf(s: Equation): string {
  const writeTerm = createTermWriter(s);
  return `${s.operands.map(writeTerm).join(",")}->${writeTerm(s.result)}`;
}

/**
 * Returns the weight role if the equation multiplies an activation and a stored operand. Of the weight axes, the first that is shared with the data
 * and summed over counts inputs, the first only in weight and result counts outputs, and an axis in weight, data and result is a stack.
 */
function weightRoleOf(s: Equation, site: Site): WeightRole | Miss {
  const [a, b] = site.inputs;
  if (s.operands.length !== 2 || a === undefined || b === undefined) return new Miss("is not a product of two tensors");
  if (a.stored === b.stored) return new Miss(a.stored ? "both operands are stored" : "both operands are activations");
  const input = a.stored ? 0 : 1;
  const [weight, data] = [s.operands[input] ?? [], s.operands[1 - input] ?? []];
  if ([weight, data].some((names) => new Set(names).size < names.length)) return new Miss("takes a diagonal");
  if (weight.some((name) => /\d/.test(name))) return new Miss("the stored operand has axes without names");
  const axisOf = (name: string): number => weight.indexOf(name);
  const sharedAxis = weight.find((name) => data.includes(name) && !s.result.includes(name));
  const [first, ...outputs] = s.result.filter((name) => weight.includes(name) && !data.includes(name));
  if (sharedAxis === undefined) return new Miss("it sums over no axis of its weight");
  if (first === undefined) return new Miss("it keeps no axis of its weight");
  const outputAxis = s.result.indexOf(first);
  const outTaps = outputs.filter((name, index) => s.result[outputAxis + 1 + index] === name);
  const stack = weight.filter((name) => s.result.includes(name) && name !== first && !outTaps.includes(name));
  // Parts of a chain before the last have the data's axes, with the axis of inputs replaced by the rank of the factorization.
  const innerEquation = { ...s, result: data.map((name) => (name === sharedAxis ? first : name)) };
  const chain = chainProducts(input, (emit, operands, { isLast }) =>
    emit.Einsum(operands, { equation: equationOf(isLast ? s : innerEquation) }),
  );
  return {
    input,
    out: axisOf(first),
    in: axisOf(sharedAxis),
    groups: 1,
    data: 1 - input,
    dataAxis: data.indexOf(sharedAxis),
    outputAxis,
    ...(stack.length > 0 ? { stack: stack.map(axisOf) } : {}),
    ...(outTaps.length > 0 ? { outTaps: outTaps.map(axisOf) } : {}),
    ...(weight.length === 2 ? { chain } : {}),
  };
}

function reorderAxes(emit: Emit, value: Value, names: readonly string[], order: readonly string[]): Value {
  const perm = order.map((name) => names.indexOf(name));
  return perm.every((from, to) => from === to) ? value : emit.Transpose([value], { perm });
}

/** Writes the equation as one batched matrix product of A [stack, rows…, shared] and B [stack, 1…, shared, columns]. */
function writeMatMul(s: Equation, emit: Emit, inputs: readonly (Value | undefined)[]): Value | Miss {
  const [first, second] = s.operands;
  const [a, b] = inputs;
  if (first === undefined || second === undefined || a === undefined || b === undefined || s.operands.length !== 2)
    return new Miss("is not a product of two tensors");
  if ([first, second].some((names) => new Set(names).size < names.length)) return new Miss("takes a diagonal");
  const unsharedNames = [
    first.filter((name) => !second.includes(name)),
    second.filter((name) => !first.includes(name)),
  ];
  if (unsharedNames.flat().some((name) => !s.result.includes(name)))
    return new Miss("sums over an axis of one operand");
  const commonNames = first.filter((name) => second.includes(name));
  const [shared, ...more] = commonNames.filter((name) => !s.result.includes(name));
  if (shared === undefined || more.length > 0) return new Miss("does not sum over one axis");
  // Einsum broadcasts a summed axis of length 1; a matrix product does not.
  const size = (value: Value, names: readonly string[]): Dim | undefined => value.type?.dims?.[names.indexOf(shared)];
  if (size(a, first) === undefined || size(a, first) !== size(b, second))
    return new Miss("the sizes that it sums over are not known to be equal");
  const stack = commonNames.filter((name) => s.result.includes(name));
  const isSwapped = unsharedNames[1]?.length !== 1;
  const [rows = [], columns = []] = isSwapped ? unsharedNames.toReversed() : unsharedNames;
  if (columns.length !== 1 || rows.length === 0) return new Miss("its other axes do not form a matrix product");
  const [leftNames, rightNames] = [
    [...stack, ...rows, shared],
    [...stack, shared, ...columns],
  ];
  const stackedRows = isSwapped ? reorderAxes(emit, b, second, leftNames) : reorderAxes(emit, a, first, leftNames);
  const matrices = isSwapped ? reorderAxes(emit, a, first, rightNames) : reorderAxes(emit, b, second, rightNames);
  const insertedAxes = range(rows.length - 1, stack.length);
  const alignedMatrices =
    stack.length === 0 || insertedAxes.length === 0 ? matrices : emit.Unsqueeze([matrices, insertedAxes]);
  return reorderAxes(emit, emit.MatMul([stackedRows, alignedMatrices]), [...stack, ...rows, ...columns], s.result);
}

export const Einsum = defineOp<Equation>({
  name: "Einsum",
  sameType: 0,
  read,
  infer: (s, site) => {
    const sizesByName = sizesOfNames(s, site);
    return [
      { type: requireInput(site, 0).type, dims: sizesByName && s.result.map((name) => sizesByName.get(name) ?? 1) },
    ];
  },
  // The only operand is unchanged in an equation such as "ij->ij".
  unchanged: ({ operands: [names = [], ...more], result }) =>
    more.length === 0 && new Set(names).size === names.length && names.join() === result.join() ? 0 : undefined,
  parameters: storedOperands,
  weight: weightRoleOf,
  // Channels of axes with the same name are removed together.
  axes: (s, site) => {
    const sizesByName = sizesOfNames(s, site);
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
    const product = writeMatMul(s, emit, inputs);
    return product instanceof Miss ? product : [product];
  },
  gradient: (s, { emit, inputs, up, wanted }) => {
    const operands = inputs.filter((input) => input !== undefined);
    if (up === undefined || operands.length < inputs.length) return [];
    if (broadcastsSum(s, operands)) return new Miss("broadcasts an axis that it sums over");
    return operands.map((_, input) => (wanted(input) ? writeOperandGradient(s, input, emit, operands, up) : undefined));
  },
  // Operands are multiplied one after the other, and axes are summed over as soon as possible.
  cost: (s, site) => {
    const sizesByName = sizesOfNames(s, site);
    if (sizesByName === undefined) return unknownRank;
    const [first = [], ...factors] = s.operands;
    let names = new Set(first);
    let macs: Dim = 0;
    for (const [index, factor] of factors.entries()) {
      const productNames = [...new Set([...names, ...factor])];
      macs = addDims(macs, elementCount(productNames.map((name) => sizesByName.get(name) ?? 1)));
      const laterNames = new Set([...s.result, ...factors.slice(index + 1).flat()]);
      names = new Set(productNames.filter((name) => laterNames.has(name)));
    }
    return macs;
  },
  quantize: new Miss("has no quantized form; an equivalent MatMul would have one"),
});
