/**
 * Resize and Upsample scale axes by a factor or to a size; ImageDecoder reads an encoded image as height × width × channels.
 * Opset history of Resize: 10 has scales only; 11 adds region, sizes and coordinate modes; 13 lets inputs be omitted; 18 adds `axes`, antialiasing
 * and aspect ratio policies. Upsample has scales as an attribute (7) or an input (9).
 * Each axis is a linear map: a Gather for nearest, otherwise a product with a stored matrix, which is refused if it is too large.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers, toNumbers } from "../tensor/convert.ts";
import { type Dim, divideDims, fixedDims, floorDims, multiplyDims, sameDims, symbol } from "../tensor/dims.ts";
import { type AxisLink, type AxisRule, defineOp, type Op, type Site } from "./define.ts";
import { decimal, integer, integers, text, wrapAxis } from "./shared/attributes.ts";
import { type AxisScale, coordinate, type Interpolation, nearestPlace, weightsAt } from "./shared/interpolation.ts";
import { inferenceOnly, noRank } from "./shared/misses.ts";
import { dimsAt, forwardWanted, need, reshapeTo, shapeChange, typeOf } from "./shared/rules.ts";

interface Settings extends Interpolation {
  /** Undefined if they are computed at run time, or if sizes are given. */
  readonly scales: readonly number[] | undefined;
  readonly sizes: readonly Dim[] | undefined;
  readonly policy: string;
  /** The axes that scales, sizes and region refer to. */
  readonly axes: readonly number[];
  readonly region: readonly number[] | undefined;
  readonly fromInput: number | undefined;
  readonly extrapolation: number;
}

function read(name: "Resize" | "Upsample", site: Site): Settings | Miss {
  const rank = site.inputs[0]?.dims?.length;
  if (rank === undefined) return noRank;
  const old = name === "Upsample" || site.version < 11;
  const at = (input: number): Site["inputs"][number] => {
    const operand = site.inputs[input];
    // Before opset 13 an input without elements meant an omitted input.
    return operand?.dims?.length === 1 && operand.dims[0] === 0 ? undefined : operand;
  };
  const scales = old ? at(1) : at(2);
  const sizes = old ? undefined : at(3);
  const attribute = site.attribute("scales");
  const given = attribute?.kind === "floats" ? attribute.value : undefined;
  const stored = scales?.small === undefined ? undefined : toNumbers(scales.small);
  const region = old ? undefined : at(1);
  const mode = text(site, "mode", "nearest").replace(/^(bi|tri)linear$/, "linear");
  if (mode !== "nearest" && mode !== "linear" && mode !== "cubic") return new Miss(`there is no mode "${mode}"`);
  return {
    mode,
    coordinates: old ? "asymmetric" : text(site, "coordinate_transformation_mode", "half_pixel"),
    nearest: old ? "simple" : text(site, "nearest_mode", "round_prefer_floor"),
    cubicA: decimal(site, "cubic_coeff_a", -0.75),
    excludeOutside: integer(site, "exclude_outside", 0) !== 0,
    antialias: integer(site, "antialias", 0) !== 0,
    extrapolation: decimal(site, "extrapolation_value", 0),
    scales: stored ?? given,
    sizes: sizes?.elements,
    policy: text(site, "keep_aspect_ratio_policy", "stretch"),
    axes: (integers(site, "axes") ?? Array.from({ length: rank }, (_, axis) => axis)).map((axis) =>
      wrapAxis(axis, rank),
    ),
    region: region?.small === undefined ? undefined : toNumbers(region.small),
    fromInput: sizes === undefined ? undefined : 3,
  };
}

const { fround } = Math;

/** ⌊dim · scale⌋ with the product rounded to float32, as ONNX Runtime does. */
function scaled(dim: Dim, scale: number): Dim {
  if (typeof dim === "number") return Math.trunc(fround(fround(scale) * dim));
  for (const denominator of [1, 2, 4, 8, 16, 3]) {
    const numerator = scale * denominator;
    if (Number.isInteger(numerator)) return floorDims(multiplyDims(dim, numerator), denominator);
    const inverse = 1 / scale;
    if (fround(1 / inverse) === fround(scale) && Number.isInteger(inverse)) return floorDims(dim, inverse);
  }
  return symbol(`floor((${dim.text})*${scale})`);
}

interface Scaled {
  readonly dims: readonly Dim[];
  readonly scales: readonly (number | undefined)[];
}

function scaledDims(s: Settings, x: readonly Dim[]): Scaled | Miss {
  const { axes, sizes, scales } = s;
  if (sizes !== undefined) {
    const proportions = axes.map((axis, index) => {
      const [size, dim] = [sizes[index], x[axis]];
      return typeof size === "number" && typeof dim === "number" ? size / dim : undefined;
    });
    if (s.policy !== "stretch") {
      if (proportions.some((scale) => scale === undefined))
        return new Miss("its aspect ratio is not known before the run");
      const known = proportions as readonly number[];
      const scale = s.policy === "not_larger" ? Math.min(...known) : Math.max(...known);
      return {
        dims: x.map((dim, axis) => (axes.includes(axis) ? Math.floor(scale * (dim as number) + 0.5) : dim)),
        scales: x.map((_, axis) => (axes.includes(axis) ? scale : 1)),
      };
    }
    return {
      dims: x.map((dim, axis) => sizes[axes.indexOf(axis)] ?? dim),
      scales: x.map((dim, axis) => {
        const size = sizes[axes.indexOf(axis)] ?? dim;
        if (size === dim) return 1;
        const factor = divideDims(size, dim);
        return typeof factor === "number" ? factor : proportions[axes.indexOf(axis)];
      }),
    };
  }
  if (scales === undefined || scales.length !== axes.length) return new Miss("its scales are computed at run time");
  const factor = (axis: number): number => scales[axes.indexOf(axis)] ?? 1;
  // ONNX Runtime scales the whole axis and places the region in it.
  return {
    dims: x.map((dim, axis) => (factor(axis) === 1 ? dim : scaled(dim, factor(axis)))),
    scales: x.map((_, axis) => factor(axis)),
  };
}

/** Returns the axes that keep their size: they stay unchanged whatever happens to the others. */
function kept(s: Settings, site: Site): readonly number[] | Miss {
  const x = dimsAt(site, 0);
  if (x instanceof Miss) return x;
  const found = scaledDims(s, x);
  if (found instanceof Miss) return found;
  if (s.coordinates === "tf_crop_and_resize") return x.flatMap((_, axis) => (s.axes.includes(axis) ? [] : [axis]));
  return x.flatMap((dim, axis) => (found.dims[axis] === dim && found.scales[axis] === 1 ? [axis] : []));
}

function axes(s: Settings, site: Site): AxisRule | Miss {
  const same = kept(s, site);
  const x = dimsAt(site, 0);
  if (same instanceof Miss) return same;
  if (x instanceof Miss) return x;
  const links = x.map(
    (_, axis): AxisLink =>
      same.includes(axis)
        ? { from: ["in0", axis], to: ["out0", axis] }
        : { refuses: ["in0", axis], reason: "positions along this axis are interpolated" },
  );
  const { fromInput, sizes } = s;
  if (fromInput === undefined || sizes === undefined) return { links };
  return {
    links,
    resize: (cut) => {
      const now = s.axes.map((axis, index) => (same.includes(axis) ? cut.dims("out0")[axis] : sizes[index]));
      const numbers = fixedDims(now.flatMap((dim) => dim ?? []));
      return numbers === undefined
        ? { shifts: { [fromInput]: shapeChange(sizes, now) } }
        : { inputs: { [fromInput]: fromNumbers("int64", [numbers.length], numbers) } };
    },
  };
}

const largestMatrix = 2 ** 22;

/** Rewrites older opsets to opset 11. Their nearest position is ⌊·⌋ when upsampling and ⌈·⌉ when downsampling. */
function renewed(name: string, s: Settings, emit: Emit, x: Value, scales: Value | undefined): Value | Miss {
  // Upsample has no scale below 1.
  const longer = name === "Upsample" || s.scales?.every((scale) => scale >= 1);
  if (s.mode === "nearest" && !longer && !s.scales?.every((scale) => scale <= 1))
    return new Miss("it downsamples some axes and upsamples others, or its scales are computed at run time");
  const factors = scales ?? emit.constant(fromNumbers("float32", [s.axes.length], s.scales ?? []), "scales");
  return emit.Resize([x, emit.constant(fromNumbers("float32", [0], []), "region"), factors], {
    mode: s.mode,
    coordinate_transformation_mode: s.coordinates,
    ...(s.mode === "nearest" ? { nearest_mode: longer ? "floor" : "ceil" } : {}),
  });
}

function lower(s: Settings, emit: Emit, x: Value | undefined, found: Scaled): readonly Value[] | Miss {
  const [dims, out] = [fixedDims(x?.type?.dims), fixedDims(found.dims)];
  if (x === undefined || dims === undefined || out === undefined) return new Miss("its sizes are not fixed");
  // ONNX Runtime copies if the size stays, whatever scales, modes and region are.
  if (sameDims(dims, out)) return [emit.Identity([x])];
  const type = typeOf(x);
  const floats = type === "float32" || type === "float64" || type === "float16" ? type : undefined;
  if (floats === undefined && s.mode !== "nearest") return new Miss(`interpolates ${type}`);
  if (s.coordinates === "tf_crop_and_resize") return inferenceOnly;
  let result = x;
  const sizes = [...dims];
  for (const [axis, output] of out.entries()) {
    const index = s.axes.indexOf(axis);
    const scale = found.scales[axis];
    if (index < 0 || scale === undefined) continue;
    const input = sizes[axis] ?? 1;
    const along: AxisScale = { input, output, scale: fround(scale) };
    if (input === output && scale === 1) continue;
    if (input === 0 || output === 0 || (s.mode !== "nearest" && input * output > largestMatrix))
      return new Miss("an axis is too long to unroll");
    const places = Array.from({ length: output }, (_, place) => place);
    const coordinates = places.map((place) => coordinate(s.coordinates, place, along));
    if (s.mode === "nearest") {
      const picked = coordinates.map((at) => nearestPlace(s.nearest, at, input, scale < 1));
      result = emit.Gather([result, emit.constant(fromNumbers("int64", [output], picked), "places")], { axis });
    } else if (floats !== undefined) {
      const rows = places.flatMap((place) => [...weightsAt(s, place, along)]);
      const matrix = emit.constant(fromNumbers(floats, [output, input], rows), "weights");
      result = alongAxis(emit, result, matrix, axis, sizes);
    }
    sizes[axis] = output;
  }
  return [result];
}

function alongAxis(emit: Emit, x: Value, matrix: Value, axis: number, sizes: readonly number[]): Value {
  const count = (part: readonly number[]): number => part.reduce((product, size) => product * size, 1);
  const [before, after] = [sizes.slice(0, axis), sizes.slice(axis + 1)];
  const [rows = 1] = fixedDims(matrix.type?.dims) ?? [];
  const stack = reshapeTo(emit, x, [count(before), sizes[axis] ?? 1, count(after)]);
  return reshapeTo(emit, emit.MatMul([matrix, stack]), [...before, rows, ...after]);
}

function resize(name: "Resize" | "Upsample"): Op {
  return defineOp<Settings>({
    name,
    sameType: 0,
    read: (site) => read(name, site),
    infer: (s, site) => {
      const { type, dims } = need(site, 0);
      const found = dims === undefined ? noRank : scaledDims(s, dims);
      return found instanceof Miss ? found : [{ type, dims: found.dims }];
    },
    // If every factor is 1, nothing is interpolated.
    unchanged: (s, site) => {
      const same = kept(s, site);
      return same instanceof Miss || same.length !== site.inputs[0]?.dims?.length ? undefined : 0;
    },
    homogeneous: (s) => (s.extrapolation === 0 ? { products: [[0]] } : undefined),
    axes,
    lower: (s, emit, [x, scales]) => {
      if (s.nearest === "simple" && x !== undefined) {
        const newer = renewed(name, s, emit, x, scales);
        if (!(newer instanceof Miss)) return [newer];
      }
      const found = scaledDims(s, x?.type?.dims ?? []);
      return found instanceof Miss ? found : lower(s, emit, x, found);
    },
    wants: (_, __, output) => forwardWanted(output, 0),
    quantize: (s) => (s.mode === "nearest" ? { kind: "transparent" } : { kind: "activation", inputs: [0] }),
  });
}

export const ImageDecoder = defineOp({
  name: "ImageDecoder",
  read: (site) => ({ format: text(site, "pixel_format", "RGB") }),
  infer: (s, site) => [{ type: "uint8", dims: [site.open(0, 0), site.open(0, 1), s.format === "Grayscale" ? 1 : 3] }],
  axes: new Miss("decodes a file"),
  gradient: new Miss("decodes a file"),
  quantize: new Miss("computes integers"),
});

export const resizeOperators: readonly Op[] = [resize("Resize"), resize("Upsample")];
