/** Defines Where and Clip. Clip has its bounds as attributes before opset 11. */
import { type Dim, isFloat, Miss, sameDims, toFloat64 } from "#graph";
import { defineOp, type Site } from "./define.ts";
import { readFloat } from "./shared/attributes.ts";
import { broadcastAxes, sameAxes } from "./shared/axis-links.ts";
import { combineElements, withElements } from "./shared/elements.ts";
import { broadcast, forwardWanted, inferShape, isConstant, requireInput, sameAsInput } from "./shared/shapes.ts";

export const Where = defineOp({
  name: "Where",
  infer: (_, site) => {
    const onDims = (condition: Dim = 0, whenTrue: Dim = 0, whenFalse: Dim = 0): Dim | undefined =>
      condition === 1 ? whenTrue : condition === 0 ? whenFalse : undefined;
    const outputs = inferShape(site, broadcast, requireInput(site, 1).type, [0, 1, 2]);
    if (outputs instanceof Miss) return outputs;
    return outputs.map((inferred) => withElements(inferred, combineElements(site, onDims)));
  },
  unchanged: (_, site) => {
    const selectedInput = isConstant(site.inputs[0], 1) ? 1 : isConstant(site.inputs[0], 0) ? 2 : undefined;
    const shapes = site.inputs.map((operand) => operand?.dims);
    if (selectedInput === undefined || !shapes.every((dims) => dims !== undefined)) return undefined;
    const [dims, out] = [shapes[selectedInput], broadcast(...shapes)];
    return dims !== undefined && !(out instanceof Miss) && sameDims(dims, out) ? selectedInput : undefined;
  },
  homogeneous: [[1], [2]],
  axes: (_, site) => broadcastAxes(site),
  gradient: (_, { emit, inputs: [condition], up, wanted }) => {
    return [
      undefined,
      wanted(1) ? emit.Where([condition, up, 0]) : undefined,
      wanted(2) ? emit.Where([condition, 0, up]) : undefined,
    ];
  },
  wants: (_, __, output) => forwardWanted(output, 1, 2),
  quantize: () => ({ kind: "activation", inputs: [1, 2] }),
});

/** The largest float32: the default bound of old opsets. */
const maxFloat32 = 3.4028234663852886e38;

/** Returns a stored bound, rounded to float32; undefined if it has no effect. */
function readBound(site: Site, name: "min" | "max", input: number): number | undefined {
  const small = site.inputs[input]?.small;
  const storedBound = site.version < 11 ? readFloat(site, name, undefined) : small && toFloat64(small)[0];
  const value = storedBound === undefined ? maxFloat32 : Math.fround(storedBound);
  return Math.abs(value) === maxFloat32 ? undefined : value;
}

/** The gradient goes to the input inside and at the bounds (as in PyTorch), and to the bound outside. */
export const Clip = defineOp({
  name: "Clip",
  read: (site) => ({ low: readBound(site, "min", 1), high: readBound(site, "max", 2) }),
  infer: (_, site) => sameAsInput(site),
  wants: ({ low, high }, _, output) =>
    low !== undefined && high !== undefined && low < high
      ? [{ input: 0, low, high, strict: false }]
      : forwardWanted(output, 0),
  // The default bounds change infinities.
  unchanged: (_, site) => {
    const [x, low, high] = site.inputs;
    return x === undefined || isFloat(x.type) || low !== undefined || high !== undefined ? undefined : 0;
  },
  // Scaling the input would have to scale the bounds, too.
  homogeneous: (s, { inputs: [, low, high] }) => {
    const keepsScaling = (limit: number | undefined, hasInput: boolean): boolean =>
      limit === undefined ? !hasInput : limit === 0;
    return keepsScaling(s.low, low !== undefined) && keepsScaling(s.high, high !== undefined)
      ? { products: [[0]] }
      : undefined;
  },
  axes: (_, __, dims) => sameAxes(dims),
  gradient: (s, { emit, inputs: [x, low, high], up, wanted }) => {
    const [lowerBound, upperBound] = [low ?? s.low, high ?? s.high];
    const gradientBelowHigh = upperBound === undefined ? up : emit.Where([emit.LessOrEqual([x, upperBound]), up, 0]);
    const gradientInside =
      lowerBound === undefined
        ? gradientBelowHigh
        : emit.Where([emit.GreaterOrEqual([x, lowerBound]), gradientBelowHigh, 0]);
    return [
      gradientInside,
      low !== undefined && wanted(1) ? emit.Where([emit.Less([x, low]), up, 0]) : undefined,
      high !== undefined && wanted(2) ? emit.Where([emit.Greater([x, high]), up, 0]) : undefined,
    ];
  },
  quantize: (s, site) => {
    const boundOf = (input: number, attribute: number | undefined): number | undefined => {
      const operand = site.inputs[input];
      if (operand === undefined) return attribute;
      return operand.small === undefined ? Number.NaN : toFloat64(operand.small)[0];
    };
    const [low, high] = [boundOf(1, s.low), boundOf(2, s.high)];
    if (Number.isNaN(low) || Number.isNaN(high)) return new Miss("its bounds are not stored");
    // A quantized range includes 0, so saturation cannot enforce a positive lower bound.
    const containsZero = (low ?? 0) <= 0 && (high ?? 0) >= 0;
    return containsZero ? { kind: "clamp", low, high } : new Miss("its interval does not contain 0");
  },
});
