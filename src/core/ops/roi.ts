/**
 * Image regions and sampling grids: RoiAlign, MaxRoiPool, GridSample, AffineGrid, NonMaxSuppression. GridSample's modes are bilinear and bicubic
 * before opset 20, then linear and cubic; RoiAlign shifts by half a pixel by default since 16.
 */
import { Miss } from "../errors.ts";
import { type Dim, elementCount, multiplyDims } from "../tensor/dims.ts";
import { type AxisLink, defineOp, type Site } from "./define.ts";
import { decimal, integer, integers, text } from "./shared/attributes.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { dimsAt, need, positions, shaped, withDims } from "./shared/rules.ts";

const pooledBoxes = (site: Site, sizes: readonly number[]) =>
  shaped(site, ([, channels = 1] = [], [boxes = 1] = []) => [boxes, channels, ...sizes], undefined, [0, 1]);

const boxLinks: readonly AxisLink[] = [
  { from: ["in0", 1], to: ["out0", 1] },
  { from: ["in1", 0], to: ["out0", 0] },
];
const images: AxisLink = { refuses: ["in0", 0], reason: "boxes refer to images by index" };

export const RoiAlign = defineOp({
  name: "RoiAlign",
  // Boxes were placed without a shift by half a pixel before opset 16.
  renamed: { since: 16, attribute: "coordinate_transformation_mode", absent: "output_half_pixel" },
  read: (site) => ({
    height: integer(site, "output_height", 1),
    width: integer(site, "output_width", 1),
    mode: text(site, "mode", "avg"),
    coordinates: site.version < 16 ? "output_half_pixel" : text(site, "coordinate_transformation_mode", "half_pixel"),
    ratio: integer(site, "sampling_ratio", 0),
    scale: decimal(site, "spatial_scale", 1),
  }),
  infer: (s, site) => pooledBoxes(site, [s.height, s.width]),
  // ONNX Runtime samples every box: for a box far larger than the image, the samples do not fit into memory.
  wants: (s, site) => {
    const dims = site.inputs[0]?.dims;
    const [height, width] = [dims?.[2], dims?.[3]];
    const known = typeof height === "number" && typeof width === "number";
    return [
      ...(known ? [{ input: 1, low: 0, high: Math.ceil(Math.min(height, width) / s.scale), strict: true }] : []),
      ...positions(2, dims?.[0]),
    ];
  },
  axes: () => [...boxLinks, { from: ["in2", 0], to: ["out0", 0] }, images],
  gradient: inferenceOnly,
});

export const MaxRoiPool = defineOp({
  name: "MaxRoiPool",
  read: (site) => ({ shape: integers(site, "pooled_shape") ?? [1, 1], scale: decimal(site, "spatial_scale", 1) }),
  infer: (s, site) => pooledBoxes(site, s.shape),
  // The first column is the image index.
  wants: (_, site) => positions(1, site.inputs[0]?.dims?.[0]),
  axes: () => [...boxLinks, images],
  gradient: inferenceOnly,
});

export const GridSample = defineOp({
  name: "GridSample",
  renamed: { since: 20, attribute: "mode", values: { bilinear: "linear", bicubic: "cubic" } },
  read: (site) => ({
    mode: text(site, "mode", "linear").replace(/^bi/, ""),
    padding: text(site, "padding_mode", "zeros"),
    corners: integer(site, "align_corners", 0) !== 0,
  }),
  infer: (_, site) =>
    shaped(site, (dims = [], grid = []) => [...dims.slice(0, 2), ...grid.slice(1, -1)], undefined, [0, 1]),
  // Each grid position is read independently.
  axes: (_, site) => {
    const grid = dimsAt(site, 1);
    if (grid instanceof Miss) return grid;
    const places = grid.slice(1, -1).map((_, axis): AxisLink => ({ from: ["in1", axis + 1], to: ["out0", axis + 2] }));
    const samples: AxisLink = { from: ["in1", 0], to: ["out0", 0] };
    return {
      links: [{ from: ["in0", 0], to: ["out0", 0] }, { from: ["in0", 1], to: ["out0", 1] }, samples, ...places],
    };
  },
  gradient: inferenceOnly,
});

/** x' = A·(x, 1) for every grid position, x first: sizes N × C × (D ×) H × W, grid N × (D ×) H × W × axes. */
export const AffineGrid = defineOp({
  name: "AffineGrid",
  read: (site) => ({ sizes: site.inputs[1]?.elements, corners: integer(site, "align_corners", 0) !== 0 }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    const axes = dims?.[1];
    if (dims === undefined || s.sizes === undefined || axes === undefined) return [{ type, dims: undefined }];
    return [{ type, dims: [dims[0] as Dim, ...s.sizes.slice(2), axes] }];
  },
  axes: new Miss("its size input contains the batch size and the number of channels"),
  gradient: inferenceOnly,
  cost: ({ sizes }, site) =>
    withDims(site, [0], (dims = []) =>
      sizes === undefined
        ? new Miss("its size is not known")
        : multiplyDims(elementCount(dims), elementCount(sizes.slice(2))),
    ),
});

export const NonMaxSuppression = defineOp({
  name: "NonMaxSuppression",
  read: (site) => ({ centred: integer(site, "center_point_box", 0) !== 0 }),
  infer: (_, site) => [{ type: "int64", dims: [site.open(0, 0), 3] }],
  axes: new Miss("its results are indices"),
  gradient: new Miss("selects indices"),
});
