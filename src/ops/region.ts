/**
 * Looking at parts of pictures: RoiAlign and MaxRoiPool pool boxes to one size, GridSample reads a picture at the coordinates of a grid, which
 * AffineGrid makes of a matrix, NonMaxSuppression picks boxes that overlap little.
 * Opset history: GridSample calls its modes bilinear and bicubic before 20, linear and cubic since; RoiAlign places coordinates half a pixel
 * off since 16 unless told otherwise.
 */
import { Miss } from "../errors.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { type Dim, elementCount, multiplyDims } from "../tensor/dims.ts";
import { type AxisLink, alwaysChanges, defineOp, noParameters, notYet, type Op } from "./define.ts";
import { constantIntegers, decimal, integer, integers, text } from "./shared/attributes.ts";
import { loweredFirst, noWeight, primitive, runsInFloat } from "./shared/misses.ts";
import { dimsAt, integersConstant, need, noMacs, typeOf } from "./shared/rules.ts";

/** Boxes are samples of the output, channels stay channels. */
const boxLinks: readonly AxisLink[] = [
  { from: ["in0", 1], to: ["out0", 1] },
  { from: ["in1", 0], to: ["out0", 0] },
];
const pictures: AxisLink = { refuses: ["in0", 0], reason: "boxes point to pictures by number" };

const RoiAlign = defineOp<{
  readonly height: number;
  readonly width: number;
  readonly mode: string;
  readonly coordinates: string;
  readonly ratio: number;
  readonly scale: number;
}>({
  name: "RoiAlign",
  read: (site) => ({
    height: integer(site, "output_height", 1),
    width: integer(site, "output_width", 1),
    mode: text(site, "mode", "avg"),
    coordinates: site.version < 16 ? "output_half_pixel" : text(site, "coordinate_transformation_mode", "half_pixel"),
    ratio: integer(site, "sampling_ratio", 0),
    scale: decimal(site, "spatial_scale", 1),
  }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    const boxes = site.inputs[1]?.dims;
    if (dims === undefined || boxes === undefined) return [{ type, dims: undefined }];
    return [{ type, dims: [boxes[0] as Dim, dims[1] as Dim, s.height, s.width] }];
  },
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: noWeight,
  axes: () => ({ links: [...boxLinks, { from: ["in2", 0], to: ["out0", 0] }, pictures] }),
  lower: primitive,
  gradient: notYet("gradient of RoiAlign"),
  cost: noMacs,
  quantize: runsInFloat,
});

const MaxRoiPool = defineOp<{ readonly shape: readonly number[]; readonly scale: number }>({
  name: "MaxRoiPool",
  read: (site) => ({ shape: integers(site, "pooled_shape") ?? [1, 1], scale: decimal(site, "spatial_scale", 1) }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    const boxes = site.inputs[1]?.dims;
    if (dims === undefined || boxes === undefined) return [{ type, dims: undefined }];
    return [{ type, dims: [boxes[0] as Dim, dims[1] as Dim, ...s.shape] }];
  },
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: noWeight,
  axes: () => ({ links: [...boxLinks, pictures] }),
  lower: primitive,
  gradient: notYet("gradient of MaxRoiPool"),
  cost: noMacs,
  quantize: runsInFloat,
});

const GridSample = defineOp<{ readonly mode: string; readonly padding: string; readonly corners: boolean }>({
  name: "GridSample",
  read: (site) => ({
    mode: text(site, "mode", "linear").replace(/^bi/, ""),
    padding: text(site, "padding_mode", "zeros"),
    corners: integer(site, "align_corners", 0) !== 0,
  }),
  infer: (_, site) => {
    const { type, dims } = need(site, 0);
    const grid = site.inputs[1]?.dims;
    if (dims === undefined || grid === undefined) return [{ type, dims: undefined }];
    return [{ type, dims: [...dims.slice(0, 2), ...grid.slice(1, -1)] }];
  },
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: noWeight,
  // Each place of the grid is read on its own.
  axes: (_, site) => {
    const grid = dimsAt(site, 1);
    if (grid instanceof Miss) return grid;
    const places = grid.slice(1, -1).map((_, axis): AxisLink => ({ from: ["in1", axis + 1], to: ["out0", axis + 2] }));
    const samples: AxisLink = { from: ["in1", 0], to: ["out0", 0] };
    return {
      links: [{ from: ["in0", 0], to: ["out0", 0] }, { from: ["in0", 1], to: ["out0", 1] }, samples, ...places],
    };
  },
  lower: primitive,
  gradient: notYet("gradient of GridSample"),
  cost: noMacs,
  quantize: runsInFloat,
});

/** The coordinates, from -1 to 1, of the places along an axis: of the first and last corner, or of the middles. */
function coordinates(size: number, corners: boolean): number[] {
  return Array.from({ length: size }, (_, place) =>
    corners ? (size === 1 ? -1 : -1 + (2 * place) / (size - 1)) : -1 + (2 * place + 1) / size,
  );
}

/** x' = A·(x, 1) for every place of a grid, x first: sizes N × C × (D ×) H × W, grid N × (D ×) H × W × axes. */
const AffineGrid = defineOp<{ readonly sizes: readonly Dim[] | undefined; readonly corners: boolean }>({
  name: "AffineGrid",
  read: (site) => ({ sizes: site.inputs[1]?.elements, corners: integer(site, "align_corners", 0) !== 0 }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    const axes = dims?.[1];
    if (dims === undefined || s.sizes === undefined || axes === undefined) return [{ type, dims: undefined }];
    return [{ type, dims: [dims[0] as Dim, ...s.sizes.slice(2), axes] }];
  },
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: noWeight,
  axes: new Miss("its size repeats the number of samples and channels"),
  lower: (s, emit, [theta]) => {
    const sizes = constantIntegers({ type: "int64", dims: undefined, elements: s.sizes ?? [], stored: true });
    if (theta === undefined || sizes === undefined || sizes.length < 4) return new Miss("its size is not known");
    const type = typeOf(theta);
    if (type !== "float32" && type !== "float64" && type !== "float16") return new Miss(`computes in ${type}`);
    const places = sizes.slice(2);
    const along = places.map((size) => coordinates(size, s.corners));
    // Row by row, the last axis fastest; in each row the last axis comes first.
    const rows = along.reduce<number[][]>(
      (before, axis) => before.flatMap((row) => axis.map((value) => [value, ...row])),
      [[]],
    );
    const base = emit.constant(
      fromNumbers(
        type,
        [elementCount(places), places.length + 1],
        rows.flatMap((row) => [...row, 1]),
      ),
      "grid",
    );
    const grid = emit.MatMul([base, emit.Transpose([theta], { perm: [0, 2, 1] })]);
    return [emit.Reshape([grid, integersConstant(emit, [0, ...places, places.length])])];
  },
  gradient: loweredFirst,
  cost: (s, site) => {
    const dims = dimsAt(site, 0);
    if (dims instanceof Miss) return dims;
    return s.sizes === undefined
      ? new Miss("its size is not known")
      : { macs: multiplyDims(elementCount(dims), elementCount(s.sizes.slice(2))) };
  },
  quantize: runsInFloat,
});

/** Triples of picture, class and box, as many as are left. */
const NonMaxSuppression = defineOp<{ readonly centred: boolean }>({
  name: "NonMaxSuppression",
  read: (site) => ({ centred: integer(site, "center_point_box", 0) !== 0 }),
  infer: (_, site) => [{ type: "int64", dims: [site.open(0, 0), 3] }],
  unchanged: alwaysChanges,
  parameters: noParameters,
  weight: noWeight,
  axes: new Miss("its results are places"),
  lower: primitive,
  gradient: new Miss("picks places"),
  cost: noMacs,
  quantize: runsInFloat,
});

export const regionOperators: readonly Op[] = [RoiAlign, MaxRoiPool, GridSample, AffineGrid, NonMaxSuppression];
