/** Constructors (Range, EyeLike, OneHot) and random operators. */
import type { DataType, Dim } from "#graph";
import { addDims, ceilDims, isFloat, isSymbolic, Miss, multiplyDims, quotientParts } from "#graph";
import { type AxisLink, defineOp, type Op, type Site } from "./define.ts";
import { readElementType, readFloat, readInteger, readIntegers, wrapAxis } from "./shared/attributes.ts";
import { knownScalarOf, maxElements, withElements } from "./shared/elements.ts";
import { defineInert } from "./shared/inert.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { inferShape, range, requireInput, requirePositions } from "./shared/shapes.ts";

function rangeLength(start: Dim, limit: Dim, step: Dim, type: DataType): Dim | undefined {
  if (isSymbolic(step) || step === 0) return undefined;
  if (!isSymbolic(start) && !isSymbolic(limit)) {
    // ONNX Runtime subtracts in the type of the operands.
    const length = type === "float32" ? Math.fround(limit - start) : limit - start;
    const count = Math.ceil(length / step);
    return Number.isFinite(count) ? Math.max(0, count) : undefined;
  }
  if (!Number.isInteger(step)) return undefined;
  const [from, to] = step > 0 ? [start, limit] : [limit, start];
  // The limit can be a quotient of dimensions, such as half of a height.
  const quotient = from === 0 ? quotientParts(to) : undefined;
  if (quotient !== undefined) return ceilDims(quotient[0], multiplyDims(quotient[1], Math.abs(step)));
  const length = addDims(to, multiplyDims(-1, from));
  if (!isSymbolic(length)) return Math.max(0, Math.ceil(length / Math.abs(step)));
  return isFloat(type) && length.text.includes(")/(") ? undefined : ceilDims(length, Math.abs(step));
}

export const Range = defineInert(new Miss("generates a range"), {
  name: "Range",
  infer: (_, site) => {
    const { type } = requireInput(site, 0);
    const [start, limit, step] = [0, 1, 2].map((input) => knownScalarOf(site.inputs[input]));
    if (start === undefined || limit === undefined || step === undefined) return [{ type, dims: [site.open(0, 0)] }];
    const count = rangeLength(start, limit, step, type);
    if (typeof count !== "number" || count > maxElements) return [{ type, dims: [count ?? site.open(0, 0)] }];
    return [
      withElements(
        { type, dims: [count] },
        range(count).map((k) => addDims(start, multiplyDims(k, step))),
      ),
    ];
  },
  gradient: new Miss("its length is a step function of its bounds"),
});

export const EyeLike = defineOp({
  name: "EyeLike",
  infer: (_, site) => {
    const { type, dims } = requireInput(site, 0);
    return [{ type: readElementType(site, "dtype") ?? type, dims }];
  },
  axes: new Miss("writes by position"),
  gradient: () => [],
  quantize: new Miss("is a constant"),
});

export const OneHot = defineOp({
  name: "OneHot",
  read: (site) => {
    const depth = knownScalarOf(site.inputs[1]);
    return { depth: typeof depth === "number" ? Math.trunc(depth) : depth, axis: readInteger(site, "axis", -1) };
  },
  infer: (s, site) => {
    const addAxis = (dims: readonly Dim[]): readonly Dim[] => {
      const newAxis = wrapAxis(s.axis, dims.length + 1);
      return dims.toSpliced(newAxis, 0, s.depth ?? site.open(0, newAxis));
    };
    return inferShape(site, addAxis, requireInput(site, 2).type);
  },
  wants: (s) => requirePositions(0, s.depth),
  axes: (s, _, dims) => {
    const newAxis = wrapAxis(s.axis, dims.length + 1);
    const links = dims.map(
      (_, axis): AxisLink => ({ from: ["in0", axis], to: ["out0", axis < newAxis ? axis : axis + 1] }),
    );
    return [...links, { refuses: ["out0", newAxis], reason: "OneHot counts along this axis" }];
  },
  gradient: inferenceOnly,
});

const randomMiss = new Miss("draws random numbers");
const drawsFloats = (): "float" => "float";

const readDistribution = (site: Site, names: readonly string[]) => ({
  type: readElementType(site, "dtype", site.inputs[0]?.type ?? "float32") ?? "float32",
  numbers: names.map((name, index) => readFloat(site, name, index)),
  seed: readFloat(site, "seed", undefined),
});

const defineDraw = (name: string, names: readonly string[]): Op =>
  defineInert(randomMiss, {
    name,
    seedKind: drawsFloats,
    read: (site) => ({ ...readDistribution(site, names), dims: readIntegers(site, "shape") ?? [] }),
    infer: ({ type, dims }) => [{ type, dims }],
  });

/** Defines an operator that draws values in the shape of its input. */
const defineDrawLike = (name: string, names: readonly string[]): Op =>
  defineInert(randomMiss, {
    name,
    seedKind: drawsFloats,
    read: (site) => readDistribution(site, names),
    infer: ({ type }, site) => [{ type, dims: requireInput(site, 0).dims }],
    gradient: () => [],
  });

export const Multinomial = defineInert(randomMiss, {
  name: "Multinomial",
  seedKind: drawsFloats,
  read: (site) => ({
    type: readElementType(site, "dtype", "int32") ?? "int32",
    count: readInteger(site, "sample_size", 1),
  }),
  infer: (s, site) => [{ type: s.type, dims: [requireInput(site, 0).dims?.[0] ?? site.open(0, 0), s.count] }],
});

export const noiseOperators: readonly Op[] = [
  defineDraw("RandomNormal", ["mean", "scale"]),
  defineDraw("RandomUniform", ["low", "high"]),
  defineDrawLike("RandomNormalLike", ["mean", "scale"]),
  defineDrawLike("RandomUniformLike", ["low", "high"]),
  defineDrawLike("Bernoulli", []),
];
