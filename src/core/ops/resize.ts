/**
 * Resize and Upsample scale axes by a factor or to a size. The lowering resizes one axis at a time: by a Gather for "nearest", otherwise by a product
 * with a stored matrix.
 */
import type { Dim, Emit, Value } from "#graph";
import {
  divideDims,
  elementCount,
  fixedDims,
  floorDims,
  fromNumbers,
  Miss,
  multiplyDims,
  sameDims,
  symbol,
  toNumbers,
} from "#graph";
import { type AxisLink, type AxisRule, defineOp, type Op, type Operand, type Site } from "./define.ts";
import { readFlag, readFloat, readFloats, readIntegers, readString, wrapAxis } from "./shared/attributes.ts";
import { inferenceOnly, noRank } from "./shared/misses.ts";
import { forwardWanted, range, requireInput, reshapeTo, shapeChange, typeOf } from "./shared/shapes.ts";

interface Settings extends Interpolation {
  /** Scale factors of `axes`, if they are known and the node has no sizes. */
  readonly scales: readonly number[] | undefined;
  /** Output sizes of `axes`, if they are known and the node has sizes. */
  readonly sizes: readonly Dim[] | undefined;
  /** `keep_aspect_ratio_policy`. */
  readonly policy: string;
  /** The axes that scales, sizes and region refer to. */
  readonly axes: readonly number[];
  /** The input `roi`: starts of `axes`, then ends. */
  readonly region: readonly number[] | undefined;
  readonly sizesInput: number | undefined;
  readonly extrapolation: number;
}

function read(name: "Resize" | "Upsample", site: Site): Settings | Miss {
  const rank = site.inputs[0]?.dims?.length;
  if (rank === undefined) return noRank;
  const isOldForm = name === "Upsample" || site.version < 11;
  // Before opset 13, an empty input represented an omitted one.
  const [, second, third, fourth] = site.inputs.map((operand) =>
    operand?.dims?.length === 1 && operand.dims[0] === 0 ? undefined : operand,
  );
  const [region, scales, sizes] = isOldForm ? [undefined, second, undefined] : [second, third, fourth];
  const numbersOf = (operand: Operand | undefined) => operand?.small && toNumbers(operand.small);
  const mode = readString(site, "mode", "nearest").replace(/^(bi|tri)linear$/, "linear");
  if (mode !== "nearest" && mode !== "linear" && mode !== "cubic") return new Miss(`"${mode}" is not a mode`);
  const factors = numbersOf(scales) ?? readFloats(site, "scales");
  if (factors?.some((scale) => !(scale > 0 && Number.isFinite(scale))))
    return new Miss("has a scale that is not positive");
  return {
    mode,
    coordinates: isOldForm ? "asymmetric" : readString(site, "coordinate_transformation_mode", "half_pixel"),
    nearest: isOldForm ? "simple" : readString(site, "nearest_mode", "round_prefer_floor"),
    cubicA: readFloat(site, "cubic_coeff_a", -0.75),
    excludeOutside: readFlag(site, "exclude_outside"),
    antialias: readFlag(site, "antialias"),
    extrapolation: readFloat(site, "extrapolation_value", 0),
    scales: factors,
    sizes: sizes?.elements,
    policy: readString(site, "keep_aspect_ratio_policy", "stretch"),
    axes: (readIntegers(site, "axes") ?? range(rank)).map((axis) => wrapAxis(axis, rank)),
    region: numbersOf(region),
    sizesInput: sizes === undefined ? undefined : 3,
  };
}

const { fround } = Math;

/** Returns ⌊dim · scale⌋ with the product rounded to float32, as ONNX Runtime does. */
function scaleDim(dim: Dim, scale: number): Dim {
  if (typeof dim === "number") return Math.trunc(fround(fround(scale) * dim));
  for (const denominator of [1, 2, 4, 8, 16, 3]) {
    const numerator = scale * denominator;
    if (Number.isInteger(numerator)) return floorDims(multiplyDims(dim, numerator), denominator);
    const inverse = 1 / scale;
    if (fround(1 / inverse) === fround(scale) && Number.isInteger(inverse)) return floorDims(dim, inverse);
  }
  return symbol(`floor((${dim.text})*${scale})`);
}

interface ScaledShape {
  readonly dims: readonly Dim[];
  readonly scales: readonly (number | undefined)[];
}

function scaleShape(s: Settings, x: readonly Dim[]): ScaledShape | Miss {
  const { axes, sizes, scales } = s;
  if (sizes !== undefined) {
    const proportions = axes.map((axis, index) => {
      const [size, dim] = [sizes[index], x[axis]];
      return typeof size === "number" && typeof dim === "number" ? size / dim : undefined;
    });
    if (s.policy !== "stretch") {
      if (!proportions.every((scale) => scale !== undefined))
        return new Miss("its aspect ratio is not known before the run");
      const scale = s.policy === "not_larger" ? Math.min(...proportions) : Math.max(...proportions);
      return {
        dims: x.map((dim, axis) => (axes.includes(axis) ? Math.floor(scale * Number(dim) + 0.5) : dim)),
        scales: x.map((_, axis) => (axes.includes(axis) ? scale : 1)),
      };
    }
    const dims = x.map((dim, axis) => sizes[axes.indexOf(axis)] ?? dim);
    const scalesOfSizes = x.map((dim, axis) => {
      const size = dims[axis] ?? dim;
      const factor = size === dim ? 1 : divideDims(size, dim);
      return typeof factor === "number" ? factor : proportions[axes.indexOf(axis)];
    });
    return { dims, scales: scalesOfSizes };
  }
  if (scales === undefined || scales.length !== axes.length) return new Miss("its scales are computed at run time");
  const factor = (axis: number): number => scales[axes.indexOf(axis)] ?? 1;
  // ONNX Runtime scales the full axis, then places the region in it.
  return {
    dims: x.map((dim, axis) => (factor(axis) === 1 ? dim : scaleDim(dim, factor(axis)))),
    scales: x.map((_, axis) => factor(axis)),
  };
}

function unscaledAxesOf(s: Settings, x: readonly Dim[]): readonly number[] | Miss {
  const result = scaleShape(s, x);
  if (result instanceof Miss) return result;
  const { dims, scales } = result;
  if (s.coordinates === "tf_crop_and_resize") return range(x.length).filter((axis) => !s.axes.includes(axis));
  return range(x.length).filter((axis) => dims[axis] === x[axis] && scales[axis] === 1);
}

function axes(s: Settings, _: Site, x: readonly Dim[]): AxisRule | Miss {
  const unscaledAxes = unscaledAxesOf(s, x);
  if (unscaledAxes instanceof Miss) return unscaledAxes;
  const links = x.map(
    (_, axis): AxisLink =>
      unscaledAxes.includes(axis)
        ? { from: ["in0", axis], to: ["out0", axis] }
        : { refuses: ["in0", axis], reason: "positions along this axis are interpolated" },
  );
  const { sizesInput, sizes } = s;
  if (sizesInput === undefined || sizes === undefined) return { links };
  return {
    links,
    resize: (removal) => {
      const newSizes = s.axes.map((axis, index) =>
        unscaledAxes.includes(axis) ? removal.dims("out0")[axis] : sizes[index],
      );
      const numbers = fixedDims(newSizes.flatMap((dim) => dim ?? []));
      return numbers === undefined
        ? { shifts: { [sizesInput]: shapeChange(sizes, newSizes) } }
        : { inputs: { [sizesInput]: numbers } };
    },
  };
}

const maxMatrixElements = 2 ** 22;

/** Rewrites Upsample and Resize of older opsets as Resize of opset 11. Nearest positions are rounded down for upsampling, up for downsampling. */
function writeOpset11(name: string, s: Settings, emit: Emit, x: Value, scales: Value | undefined): Value | Miss {
  // Upsample has no scale below 1.
  const isUpsampling = name === "Upsample" || s.scales?.every((scale) => scale >= 1);
  if (s.mode === "nearest" && !isUpsampling && !s.scales?.every((scale) => scale <= 1))
    return new Miss("it downsamples some axes and upsamples others, or its scales are computed at run time");
  const factors = scales ?? emit.constant(fromNumbers("float32", [s.axes.length], s.scales ?? []), "scales");
  return emit.Resize([x, emit.constant(fromNumbers("float32", [0], []), "region"), factors], {
    mode: s.mode,
    coordinate_transformation_mode: s.coordinates,
    ...(s.mode === "nearest" ? { nearest_mode: isUpsampling ? "floor" : "ceil" } : {}),
  });
}

function lower(s: Settings, emit: Emit, x: Value | undefined, result: ScaledShape): readonly Value[] | Miss {
  const [dims, out] = [fixedDims(x?.type?.dims), fixedDims(result.dims)];
  if (x === undefined || dims === undefined || out === undefined) return new Miss("its sizes are not fixed");
  // If no size changes, ONNX Runtime copies the input, whatever scales, modes and region are.
  if (sameDims(dims, out)) return [emit.Identity([x])];
  const type = typeOf(x);
  const floatType = type === "float32" || type === "float64" || type === "float16" ? type : undefined;
  if (floatType === undefined && s.mode !== "nearest") return new Miss(`interpolates ${type}`);
  if (s.coordinates === "tf_crop_and_resize") return inferenceOnly;
  let y = x;
  const sizes = [...dims];
  for (const [axis, output] of out.entries()) {
    const scale = result.scales[axis];
    if (!s.axes.includes(axis) || scale === undefined) continue;
    const input = sizes[axis] ?? 1;
    const axisScale: AxisScale = { input, output, scale: fround(scale) };
    if (input === output && scale === 1) continue;
    if (input === 0 || output === 0 || (s.mode !== "nearest" && input * output > maxMatrixElements))
      return new Miss("an axis is too long to unroll");
    if (s.mode === "nearest") {
      const picks = range(output).map((position) => nearestPosition(s, position, axisScale, scale < 1));
      y = emit.Gather([y, emit.constant(fromNumbers("int64", [output], picks), "positions")], { axis });
    } else if (floatType !== undefined) {
      const rows = range(output).flatMap((position) => [...weightsAt(s, position, axisScale)]);
      const matrix = emit.constant(fromNumbers(floatType, [output, input], rows), "weights");
      const stack = [elementCount(sizes.slice(0, axis)), input, elementCount(sizes.slice(axis + 1))];
      y = reshapeTo(emit, emit.MatMul([matrix, reshapeTo(emit, y, stack)]), sizes.with(axis, output));
    }
    sizes[axis] = output;
  }
  return [y];
}

function defineResize(name: "Resize" | "Upsample"): Op {
  return defineOp<Settings>({
    name,
    sameType: 0,
    read: (site) => read(name, site),
    infer: (s, site) => {
      const { type, dims } = requireInput(site, 0);
      const result = dims === undefined ? noRank : scaleShape(s, dims);
      return result instanceof Miss ? result : [{ type, dims: result.dims }];
    },
    unchanged: (s, site) => {
      const dims = site.inputs[0]?.dims;
      const unscaledAxes = dims === undefined ? noRank : unscaledAxesOf(s, dims);
      return unscaledAxes instanceof Miss || unscaledAxes.length !== dims?.length ? undefined : 0;
    },
    homogeneous: (s) => (s.extrapolation === 0 ? { products: [[0]] } : undefined),
    axes,
    lower: (s, emit, [x, scales]) => {
      if (s.nearest === "simple" && x !== undefined) {
        const opset11Output = writeOpset11(name, s, emit, x, scales);
        if (!(opset11Output instanceof Miss)) return [opset11Output];
      }
      const result = scaleShape(s, x?.type?.dims ?? []);
      return result instanceof Miss ? result : lower(s, emit, x, result);
    },
    wants: (_, __, output) => forwardWanted(output, 0),
    quantize: (s) => (s.mode === "nearest" ? { kind: "transparent" } : { kind: "activation", inputs: [0] }),
  });
}

export const resizeOperators: readonly Op[] = [defineResize("Resize"), defineResize("Upsample")];

/** How values are interpolated along one axis. */
interface Interpolation {
  readonly mode: "nearest" | "linear" | "cubic";
  /** `coordinate_transformation_mode`. */
  readonly coordinates: string;
  /** `nearest_mode`. */
  readonly nearest: string;
  /** `cubic_coeff_a`. */
  readonly cubicA: number;
  readonly excludeOutside: boolean;
  readonly antialias: boolean;
}

interface AxisScale {
  readonly input: number;
  readonly output: number;
  /** Output size / input size, as the node specifies it. */
  readonly scale: number;
}

/** Returns the position in the input, rounded to float32 as in ONNX Runtime. */
function inputCoordinate(transformation: string, x: number, { input, output, scale }: AxisScale): number {
  switch (transformation) {
    case "asymmetric":
      return fround(x / scale);
    case "align_corners":
      return output === 1 ? 0 : fround(fround(x * (input - 1)) / (output - 1));
    case "pytorch_half_pixel":
      return output > 1 ? fround(fround((x + 0.5) / scale) - 0.5) : 0;
    case "tf_half_pixel_for_nn":
      return fround((x + 0.5) / scale);
    case "half_pixel_symmetric": {
      // ONNX Runtime computes this sum in double.
      const offset = fround((input / 2) * fround(1 - fround(output / fround(scale * input))));
      return fround(offset + (x + 0.5) / fround(scale) - 0.5);
    }
    default:
      return fround(fround((x + 0.5) / scale) - 0.5);
  }
}

const clamp = (position: number, size: number): number => Math.min(size - 1, Math.max(0, position));

const roundingModes: Readonly<Record<string, (x: number, isDownsampling: boolean) => number>> = {
  simple: (x, isDownsampling) => (isDownsampling ? Math.ceil(x) : Math.trunc(x)),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

function nearestPosition(s: Interpolation, position: number, axis: AxisScale, isDownsampling: boolean): number {
  const x = inputCoordinate(s.coordinates, position, axis);
  return clamp(roundingModes[s.nearest]?.(x, isDownsampling) ?? Math.ceil(x - 0.5), axis.input);
}

function weightsAt(s: Interpolation, position: number, axis: AxisScale): Float64Array {
  const { input, scale } = axis;
  const row = new Float64Array(input);
  const x = inputCoordinate(s.coordinates, position, axis);
  const stretch = s.antialias ? Math.min(1, scale) : 1;
  const kernelRadius = (s.mode === "linear" ? 1 : 2) / stretch;
  const kernel =
    s.mode === "linear" ? (distance: number) => Math.max(0, 1 - Math.abs(distance)) : cubicKernel(s.cubicA);
  // Positions outside have the value at the border, or, if they are excluded, the weight 0.
  const excludesOutside = s.excludeOutside && (s.antialias || s.mode === "cubic");
  const center = s.mode === "linear" && !s.antialias ? clamp(x, input) : x;
  let sum = 0;
  for (let source = Math.ceil(center - kernelRadius); source <= Math.floor(center + kernelRadius); source++) {
    const weight = kernel((source - center) * stretch);
    if (excludesOutside && (source < 0 || source >= input)) continue;
    const index = clamp(source, input);
    row[index] = (row[index] ?? 0) + weight;
    sum += weight;
  }
  return (excludesOutside || s.antialias) && sum !== 0 ? row.map((weight) => weight / sum) : row;
}

/** Returns the cubic convolution kernel of Keys (1981) with the coefficient a. */
function cubicKernel(a: number): (distance: number) => number {
  return (distance) => {
    const d = Math.abs(distance);
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  };
}
