/**
 * Dropout: in training, each value is set to 0 with probability `ratio` and otherwise divided by 1 - ratio. Output 1 is the mask. Since opset 12,
 * ratio and training mode are inputs.
 */
import { type Emit, elementCount, fixedDims, int64, Miss, random, type Tensor, toNumbers, type Value } from "#graph";
import { type AxisLink, defineOp, type Operand } from "./define.ts";
import { readFloat, readInteger } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import { knownScalarOf } from "./shared/elements.ts";
import { requireInput, scalar, typeOf } from "./shared/shapes.ts";

function knownNumber(operand: Operand | undefined, defaultValue: number): number | undefined {
  const element = operand === undefined ? defaultValue : knownScalarOf(operand);
  return typeof element === "number" ? element : undefined;
}

function isZero(input: Tensor | "computed" | undefined): boolean {
  const small = typeof input === "object" ? input.small : undefined;
  return small !== undefined && toNumbers(small)[0] === 0;
}

/** The range of the random numbers. A product of two of them stays below 2⁶², within int64. */
const randomRange = 2 ** 31;

/** Writes a mask that is true with probability 1 - ratio: r_i · c_j mod 2³¹ ≥ ratio · 2³¹, with odd r_i per row and c_j per column. */
function writeKeepMask(emit: Emit, x: Value, ratio: number, draw: Value): Value | Miss {
  const dims = fixedDims(x.type?.dims);
  if (dims === undefined) return new Miss("the dimensions of its input are not known");
  const columns = dims.at(-1) ?? 1;
  const integerScalar = (value: number): Value => emit.constant(int64([], [value]));
  const moduloRange = (value: Value): Value => emit.BitwiseAnd([value, integerScalar(randomRange - 1)]);
  const oddFactors = (axisName: string, shape: readonly number[]): Value => {
    const source = random(0, "dropout", x.name, axisName);
    const oddNumbers = Array.from({ length: elementCount(shape) }, () => 2 * source.integer(randomRange / 2) + 1);
    const product = moduloRange(emit.Mul([emit.constant(int64(shape, oddNumbers)), draw]));
    // The low bits of a product depend only on low bits.
    const mixedBits = emit.BitwiseXor([product, emit.Div([product, integerScalar(2 ** 15)])]);
    return emit.BitwiseOr([moduloRange(emit.Mul([mixedBits, integerScalar(0x2c1b3c6d)])), integerScalar(1)]);
  };
  const rows = oddFactors("rows", [...dims.slice(0, -1), ...(dims.length === 0 ? [] : [1])]);
  const product = moduloRange(emit.Mul([rows, oddFactors("columns", dims.length === 0 ? [] : [columns])]));
  return emit.GreaterOrEqual([product, integerScalar(Math.round(ratio * randomRange))]);
}

/** Writes the input and, if requested, the mask: zeros of the input's type, true, or false. */
function writeInference(mask: string | undefined, emit: Emit, x: Value | undefined): readonly Value[] {
  const identity = emit.Identity([x]);
  if (mask === undefined) return [identity];
  const type = mask === "input" ? typeOf(x) : "bool";
  return [identity, emit.Expand([scalar(emit, type, mask === "all" ? 1 : 0), emit.Shape([x])])];
}

export const Dropout = defineOp({
  name: "Dropout",
  seedKind: ([, ratio, training]) => (training === undefined || isZero(training) || isZero(ratio) ? undefined : "int"),
  read: (site) => {
    const hasRatioInput = site.version >= 12;
    const training = hasRatioInput
      ? knownNumber(site.inputs[2], 0)
      : site.version < 7 && readInteger(site, "is_test", 0) === 0
        ? 1
        : 0;
    return {
      ratio: hasRatioInput ? knownNumber(site.inputs[1], 0.5) : readFloat(site, "ratio", 0.5),
      training: training === undefined ? undefined : training !== 0,
      seed: site.attribute("seed") === undefined ? undefined : readInteger(site, "seed", 0),
      // The mask at inference: zeros of the input's type before opset 10, false before opset 12, true since then.
      mask: site.outputs < 2 ? undefined : site.version < 10 ? "input" : hasRatioInput ? "all" : "none",
    };
  },
  infer: (_, site) => {
    const { type, dims } = requireInput(site, 0);
    return [
      { type, dims },
      { type: site.version < 10 ? type : "bool", dims },
    ];
  },
  unchanged: (s) => (s.training === false || s.ratio === 0 ? 0 : undefined),
  training: (s, site) => {
    const { ratio } = s;
    if (ratio === undefined || s.training === undefined || site.inputs[2] === undefined) return undefined;
    return {
      states: [2],
      declared: s.training && s.seed === undefined,
      write: (emit, [x], draw) => {
        if (x === undefined) return new Miss("an operand is missing");
        const keepMask = writeKeepMask(emit, x, ratio, draw());
        if (keepMask instanceof Miss) return keepMask;
        const scaledInput = emit.Mul([x, ratio < 1 ? 1 / (1 - ratio) : 0]);
        const outputs = [emit.Mul([scaledInput, emit.CastLike([keepMask, x])]), keepMask].slice(0, site.outputs);
        return { outputs, next: new Map() };
      },
      inference: s.training ? (emit, [x]) => writeInference(s.mask, emit, x) : undefined,
    };
  },
  homogeneous: (_, site) => (site.outputs > 1 ? undefined : { products: [[0]] }),
  axes: (_, __, dims) => [
    ...sameAxes(dims),
    ...dims.map((_, index): AxisLink => ({ from: ["in0", index], to: ["out1", index] })),
  ],
  // The primitives do not draw the same random numbers as the node.
  lower: (s, emit, [x]) => {
    if (s.training === undefined || s.ratio === undefined) return new Miss("its mode is decided at run time");
    if (!s.training || s.ratio === 0) return writeInference(s.mask, emit, x);
    const draws = emit.RandomUniformLike([x], s.seed === undefined ? {} : { seed: s.seed });
    const keepMask = emit.GreaterOrEqual([draws, s.ratio]);
    const scale = s.ratio < 1 ? 1 / (1 - s.ratio) : 0;
    return [emit.Mul([emit.Mul([x, emit.CastLike([keepMask, x])]), scale]), keepMask];
  },
  quantize: (s) => (s.training === false ? { kind: "transparent" } : new Miss("drops values at random")),
});
