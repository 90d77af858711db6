/**
 * Image regions and sampling grids: RoiAlign, MaxRoiPool, GridSample, AffineGrid, NonMaxSuppression. GridSample's modes are bilinear and bicubic
 * before opset 20, then linear and cubic; RoiAlign shifts by half a pixel by default since 16.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { type Dim, elementCount, fixedDims, multiplyDims } from "../tensor/dims.ts";
import { typeCodes } from "../tensor/types.ts";
import { type AxisLink, defineOp, type Site } from "./define.ts";
import { constantIntegers, decimal, integer, integers, text } from "./shared/attributes.ts";
import { type BoxAxis, heldPlaces, imageOf, meanWeights } from "./shared/boxes.ts";
import { dimsAt, need, positions, scalar, shaped, typeOf, withDims } from "./shared/rules.ts";
import { type Kernel, sample } from "./shared/sampling.ts";

const sizesUnknown = new Miss("sizes of its operands are not known");

const isKernel = (mode: string): mode is Kernel => mode === "nearest" || mode === "linear" || mode === "cubic";

function cornerOf(emit: Emit, boxes: Value, at: number, scale: number, offset: number): Value {
  const corner = emit.Mul([emit.Gather([boxes, scalar(emit, "int64", at)], { axis: 1 }), scale]);
  return offset === 0 ? corner : emit.Sub([corner, offset]);
}

const pooledBoxes = (site: Site, sizes: readonly number[]) =>
  shaped(site, ([, channels = 1] = [], [boxes = 1] = []) => [boxes, channels, ...sizes], undefined, [0, 1]);

const boxLinks: readonly AxisLink[] = [
  { from: ["in0", 1], to: ["out0", 1] },
  { from: ["in1", 0], to: ["out0", 0] },
];
const images: AxisLink = { refuses: ["in0", 0], reason: "boxes refer to images by index" };

export const RoiAlign = defineOp({
  name: "RoiAlign",
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
  lower: (s, emit, [x, boxes, images]) => {
    const dims = fixedDims(x?.type?.dims);
    if (x === undefined || boxes === undefined || images === undefined || dims === undefined) return sizesUnknown;
    if (s.mode !== "avg") return new Miss("takes the maximum of weighted samples");
    const [count = 1, channels = 1, height = 1, width = 1] = dims;
    const halfway = s.coordinates === "half_pixel";
    const weights = (first: number, size: number, bins: number): Value => {
      const start = cornerOf(emit, boxes, first, s.scale, halfway ? 0.5 : 0);
      const end = cornerOf(emit, boxes, first + 2, s.scale, halfway ? 0.5 : 0);
      if (halfway) return meanWeights(emit, { start, end, size, bins }, s.ratio);
      const length = emit.Max([emit.Sub([end, start]), 1]);
      return meanWeights(emit, { start, end: emit.Add([start, length]), size, bins }, s.ratio);
    };
    const [down, across] = [weights(1, height, s.height), weights(0, width, s.width)];
    // Computes rows of all images at once; rows of other images than the box's have weight 0.
    const chosen = emit.Reshape([imageOf(emit, images, count, x), [-1, 1, count, 1]]);
    const masked = emit.Mul([emit.Unsqueeze([down, [2]]), chosen]);
    const rows = emit.Reshape([emit.Transpose([x], { perm: [0, 2, 1, 3] }), [count * height, channels * width]]);
    const read = emit.MatMul([emit.Reshape([masked, [-1, count * height]]), rows]);
    const turned = emit.Transpose([across], { perm: [0, 2, 1] });
    const y = emit.MatMul([emit.Reshape([read, [-1, s.height * channels, width]]), turned]);
    const parts = emit.Reshape([y, [-1, s.height, channels, s.width]]);
    return [emit.Transpose([parts], { perm: [0, 2, 1, 3] })];
  },
});

export const MaxRoiPool = defineOp({
  name: "MaxRoiPool",
  read: (site) => ({ shape: integers(site, "pooled_shape") ?? [1, 1], scale: decimal(site, "spatial_scale", 1) }),
  infer: (s, site) => pooledBoxes(site, s.shape),
  // The first column is the image index.
  wants: (_, site) => positions(1, site.inputs[0]?.dims?.[0]),
  axes: () => [...boxLinks, images],
  // Takes the maximum along each row of a bin, then of these.
  lower: (s, emit, [x, boxes]) => {
    const dims = fixedDims(x?.type?.dims);
    if (x === undefined || boxes === undefined || dims === undefined) return sizesUnknown;
    const [, , height = 1, width = 1] = dims;
    const [bins = 1, across = 1] = s.shape;
    const axis = (first: number, size: number, count: number): BoxAxis => ({
      start: cornerOf(emit, boxes, first, s.scale, 0),
      end: cornerOf(emit, boxes, first + 2, s.scale, 0),
      size,
      bins: count,
    });
    const [down, along] = [heldPlaces(emit, axis(2, height, bins)), heldPlaces(emit, axis(1, width, across))];
    const image = emit.Cast([emit.Gather([boxes, scalar(emit, "int64", 0)], { axis: 1 })], { to: typeCodes.int64 });
    const raised = (value: Value, ...axes: readonly number[]): Value => emit.Unsqueeze([value, axes]);
    const lowest = scalar(emit, typeOf(x), typeOf(x) === "float16" ? -65504 : -3.4028234663852886e38);
    const greatest = (value: Value, held: Value): Value =>
      emit.ReduceMax([emit.Where([held, value, lowest]), [4]], { keepdims: 0 });
    // boxes × channels × height × bins across, then boxes × channels × bins across × bins down
    const rows = greatest(raised(emit.Gather([x, image]), 3), raised(along.held, 1, 2));
    const turned = raised(emit.Transpose([rows], { perm: [0, 1, 3, 2] }), 3);
    const most = emit.Transpose([greatest(turned, raised(down.held, 1, 2))], { perm: [0, 1, 3, 2] });
    const any = emit.And([raised(down.any, 1, 3), raised(along.any, 1, 2)]);
    return [emit.Where([any, most, 0])];
  },
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
  lower: ({ mode, padding, corners }, emit, [x, grid]) => {
    const [dims, places] = [x?.type?.dims, grid?.type?.dims?.slice(1, -1)];
    if (x === undefined || grid === undefined || dims === undefined || places === undefined) return sizesUnknown;
    const [channels, spatial, out] = [dims[1], fixedDims(dims.slice(2)), fixedDims(places)];
    if (spatial === undefined || out === undefined || typeof channels !== "number") return sizesUnknown;
    if (!isKernel(mode)) return new Miss(`has the unsupported mode ${mode}`);
    const last = dims.map((_, axis) => axis).slice(2);
    const images = emit.Transpose([x], { perm: [0, ...last, 1] });
    const type = typeOf(x);
    const own = typeOf(grid) === type ? grid : emit.Cast([grid], { to: typeCodes[type] });
    const flat = emit.Reshape([own, [0, elementCount(out), spatial.length]]);
    // Converts from [-1, 1], last axis first: relative to the corners of the image or to the centers of its corner pixels.
    const coordinates = spatial.map((size, axis) => {
      const share = emit.Gather([flat, scalar(emit, "int64", spatial.length - 1 - axis)], { axis: 2 });
      const counted = emit.Mul([emit.Add([share, 1]), corners ? (size - 1) / 2 : size / 2]);
      return corners ? counted : emit.Sub([counted, 0.5]);
    });
    const outside = padding === "reflection" ? (corners ? "reflection" : "reflection around") : padding;
    if (outside !== "zeros" && outside !== "border" && outside !== "reflection" && outside !== "reflection around")
      return new Miss(`has the unsupported padding_mode ${padding}`);
    const read = sample(emit, images, spatial, coordinates, { kernel: mode, outside });
    const first = emit.Transpose([read], { perm: [0, 2, 1] });
    return [emit.Reshape([first, [0, channels, ...out]])];
  },
});

/** Returns the coordinates in [-1, 1] of the positions along an axis: from corner to corner, or pixel centers. */
function coordinates(size: number, corners: boolean): number[] {
  return Array.from({ length: size }, (_, place) =>
    corners ? (size === 1 ? -1 : -1 + (2 * place) / (size - 1)) : -1 + (2 * place + 1) / size,
  );
}

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
  lower: (s, emit, [theta]) => {
    const sizes = constantIntegers({ type: "int64", dims: undefined, elements: s.sizes ?? [], stored: true });
    if (theta === undefined || sizes === undefined || sizes.length < 4) return new Miss("its size is not known");
    const type = typeOf(theta);
    if (type !== "float32" && type !== "float64" && type !== "float16") return new Miss(`computes in ${type}`);
    const places = sizes.slice(2);
    const along = places.map((size) => coordinates(size, s.corners));
    // Row by row, the last axis fastest; each row starts with the last axis.
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
    return [emit.Reshape([grid, [0, ...places, places.length]])];
  },
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
