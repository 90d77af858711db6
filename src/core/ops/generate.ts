/** Constructors (Range, EyeLike, OneHot) and random operators (RandomNormal, RandomUniform, their "Like" forms, Bernoulli, Multinomial). */
import { Miss } from "../errors.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { addDims, ceilDims, type Dim, isSymbolic, multiplyDims, quotientParts } from "../tensor/dims.ts";
import type { DataType } from "../tensor/types.ts";
import { type AxisLink, defineOp, type Op, type Operand, type Site } from "./define.ts";
import { decimal, elementType, integer, integers, wrapAxis } from "./shared/attributes.ts";
import { withElements } from "./shared/elements.ts";
import { inert } from "./shared/inert.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { need, requirePositions, shaped } from "./shared/rules.ts";

function single(operand: Operand | undefined): Dim | undefined {
  const { elements, small } = operand ?? {};
  if (elements !== undefined) return elements[0];
  return small === undefined || small.type === "string" || small.type.startsWith("complex")
    ? undefined
    : toFloat64(small)[0];
}

function counted(start: Dim, limit: Dim, step: Dim, type: DataType): Dim | undefined {
  if (isSymbolic(step) || step === 0) return undefined;
  if (!isSymbolic(start) && !isSymbolic(limit)) {
    // ONNX Runtime subtracts in the type of the operands.
    const length = type === "float32" ? Math.fround(limit - start) : limit - start;
    return Math.max(0, Math.ceil(length / step));
  }
  if (!Number.isInteger(step)) return undefined;
  const [from, to] = step > 0 ? [start, limit] : [limit, start];
  // For half of a height, as a float, the rounded value is the quotient.
  const share = from === 0 ? quotientParts(to) : undefined;
  if (share !== undefined) return ceilDims(share[0], multiplyDims(share[1], Math.abs(step)));
  const length = addDims(to, multiplyDims(-1, from));
  if (!isSymbolic(length)) return Math.max(0, Math.ceil(length / Math.abs(step)));
  return isFloat(type) && length.text.includes(")/(") ? undefined : ceilDims(length, Math.abs(step));
}

const most = 64;

export const Range = defineOp({
  name: "Range",
  infer: (_, site) => {
    const { type } = need(site, 0);
    const [start, limit, step] = [0, 1, 2].map((input) => single(site.inputs[input]));
    const count =
      start === undefined || limit === undefined || step === undefined ? undefined : counted(start, limit, step, type);
    if (count === undefined || start === undefined || step === undefined) return [{ type, dims: [site.open(0, 0)] }];
    if (typeof count !== "number" || count > most) return [{ type, dims: [count] }];
    const elements = Array.from({ length: count }, (_, k) => addDims(start, multiplyDims(k, step)));
    return [withElements({ type, dims: [count] }, elements)];
  },
  axes: new Miss("generates a range"),
  gradient: new Miss("its length is a step function of its bounds"),
  quantize: new Miss("generates a range"),
});

export const EyeLike = defineOp({
  name: "EyeLike",
  read: (site) => ({ type: elementType(site, "dtype"), diagonal: integer(site, "k", 0) }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    return [{ type: s.type ?? type, dims }];
  },
  axes: new Miss("writes by position"),
  // The output does not depend on the input's elements.
  gradient: () => [],
  quantize: new Miss("is a constant"),
});

interface Hot {
  readonly depth: Dim | undefined;
  readonly axis: number;
}

function newAxis(s: Hot, { length }: readonly Dim[]): number {
  return wrapAxis(s.axis, length + 1);
}

/** values = [off, on]. */
export const OneHot = defineOp<Hot>({
  name: "OneHot",
  read: (site) => {
    const depth = single(site.inputs[1]);
    return { depth: typeof depth === "number" ? Math.trunc(depth) : depth, axis: integer(site, "axis", -1) };
  },
  infer: (s, site) => {
    const hot = (dims: readonly Dim[]): readonly Dim[] => {
      const at = newAxis(s, dims);
      return dims.toSpliced(at, 0, s.depth ?? site.open(0, at));
    };
    return shaped(site, hot, need(site, 2).type);
  },
  wants: (s) => requirePositions(0, s.depth),
  axes: (s, _, dims) => {
    const at = newAxis(s, dims);
    const places = dims.map(
      (_, axis): AxisLink => ({ from: ["in0", axis], to: ["out0", axis < at ? axis : axis + 1] }),
    );
    return [...places, { refuses: ["out0", at], reason: "OneHot counts along this axis" }];
  },
  // Neither the indices nor the two values are trained.
  gradient: inferenceOnly,
});

const drawn = new Miss("draws random numbers");
const random = (): "float" => "float";
/** Inputs give a count or probabilities: they have no gradient, and draws are used as they are. */
const flat = (): readonly undefined[] => [];

/** Undefined: another seed in each run. */
const seedOf = (site: Site): number | undefined =>
  site.attribute("seed") === undefined ? undefined : decimal(site, "seed", 0);

/** The requested type, or that of the input; low and high, or mean and deviation. */
const readDistribution = (site: Site, names: readonly string[]) => ({
  type: elementType(site, "dtype", site.inputs[0]?.type ?? "float32") ?? "float32",
  numbers: names.map((name, at) => decimal(site, name, at)),
  seed: seedOf(site),
});

const drawing = (name: string, names: readonly string[]): Op =>
  inert(drawn, {
    name,
    random,
    read: (site) => ({ ...readDistribution(site, names), dims: integers(site, "shape") ?? [] }),
    infer: ({ type, dims }) => [{ type, dims }],
  });

/** Only the input's shape matters; for Bernoulli its elements are probabilities. */
const drawingLike = (name: string, names: readonly string[]): Op =>
  inert(drawn, {
    name,
    random,
    read: (site) => readDistribution(site, names),
    infer: ({ type }, site) => [{ type, dims: need(site, 0).dims }],
    gradient: flat,
  });

export const Multinomial = inert(drawn, {
  name: "Multinomial",
  random,
  read: (site) => ({
    type: elementType(site, "dtype", "int32") ?? "int32",
    count: integer(site, "sample_size", 1),
    seed: seedOf(site),
  }),
  infer: (s, site) => [{ type: s.type, dims: [need(site, 0).dims?.[0] ?? site.open(0, 0), s.count] }],
});

export const noiseOperators: readonly Op[] = [
  drawing("RandomNormal", ["mean", "scale"]),
  drawing("RandomUniform", ["low", "high"]),
  drawingLike("RandomNormalLike", ["mean", "scale"]),
  drawingLike("RandomUniformLike", ["low", "high"]),
  drawingLike("Bernoulli", []),
];
