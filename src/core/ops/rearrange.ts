/** Operators that move or repeat elements: Tile, DepthToSpace, SpaceToDepth, ReverseSequence, Trilu, CenterCropPad. */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type Dim, floorDims, multiplyDims } from "../tensor/dims.ts";
import { type AxisLink, defineOp, type Site } from "./define.ts";
import { integer, integers, text, wrapAxis } from "./shared/attributes.ts";
import { withElements } from "./shared/elements.ts";
import { inferenceOnly } from "./shared/misses.ts";
import {
  fixed,
  forwardWanted,
  ifSameDims,
  need,
  requireLengths,
  reshapeTo,
  sameAsInput,
  sameAxes,
  shaped,
} from "./shared/rules.ts";

interface Repeats {
  readonly repeats: readonly Dim[] | undefined;
}

function tiled({ repeats }: Repeats, dims: readonly Dim[]): readonly Dim[] | undefined {
  return repeats === undefined ? undefined : dims.map((dim, axis) => multiplyDims(dim, repeats[axis] ?? 1));
}

const repeatsAtRunTime = new Miss("its repeats are computed at run time");

/** y[i] = x[i mod size], along each axis. */
export const Tile = defineOp<Repeats>({
  name: "Tile",
  read: (site) => ({ repeats: site.inputs[1]?.elements }),
  infer: (s, site) => {
    const { type, dims, elements } = need(site, 0);
    if (dims === undefined) return [{ type, dims: undefined }];
    const out = tiled(s, dims) ?? dims.map((_, axis) => site.open(0, axis));
    const [times] = s.repeats ?? [];
    if (elements === undefined || dims.length !== 1 || typeof times !== "number" || times > 64)
      return [{ type, dims: out }];
    return [withElements({ type, dims: out }, Array.from({ length: times }, () => elements).flat())];
  },
  unchanged: (s, site) => ifSameDims(site, tiled(s, site.inputs[0]?.dims ?? [])),
  homogeneous: [[0]],
  axes: ({ repeats }, _site, dims) => {
    if (repeats === undefined) return repeatsAtRunTime;
    return dims.map((dim, axis): AxisLink => {
      const times = repeats[axis] ?? 1;
      if (times === 1) return { from: ["in0", axis], to: ["out0", axis] };
      if (typeof times !== "number" || typeof dim !== "number")
        return { refuses: ["in0", axis], reason: "Tile repeats this axis a number of times that is not known" };
      const map = (index: number): readonly number[] => Array.from({ length: times }, (_, k) => index + k * dim);
      return { from: ["in0", axis], to: ["out0", axis], map };
    });
  },
  // Splits each axis into repeats × size, and sums over the repeats.
  gradient: ({ repeats }, { emit, inputs: [x], up }) => {
    if (!repeats?.every((times) => typeof times === "number")) return repeatsAtRunTime;
    const dims = fixed(x);
    const apart = dims.flatMap((dim, axis) => [Number(repeats[axis]), dim]);
    const over = dims.map((_, axis) => 2 * axis);
    if (over.length === 0) return [up];
    return [emit.ReduceSum([reshapeTo(emit, up, apart), over], { keepdims: 0 })];
  },
  quantize: () => ({ kind: "transparent" }),
});

/** Exchanges blocks of b × b pixels with b² times the channels. Channel k · C + c ("DCR") or c · b² + k ("CRD", `inside`) is pixel k of channel c. */
interface Blocks {
  readonly size: number;
  readonly inside: boolean;
}

function readBlocks(site: Site): Blocks {
  return { size: integer(site, "blocksize", 1), inside: text(site, "mode", "DCR") === "CRD" };
}

function blockLinks({ size, inside }: Blocks, deep: "in0" | "out0", channels: Dim | undefined): readonly AxisLink[] {
  const wide = deep === "in0" ? "out0" : "in0";
  const parts = size * size;
  const along = (axis: number): AxisLink => ({
    from: [deep, axis],
    to: [wide, axis],
    map: (index) => Array.from({ length: size }, (_, k) => index * size + k),
  });
  const own: AxisLink =
    typeof channels === "number"
      ? {
          from: [wide, 1],
          to: [deep, 1],
          map: (c) => Array.from({ length: parts }, (_, k) => (inside ? c * parts + k : k * channels + c)),
        }
      : { refuses: [wide, 1], reason: "the number of channels is not known" };
  return [{ from: ["in0", 0], to: ["out0", 0] }, own, along(2), along(3)];
}

/** [N, C·b², H, W] → [N, C, H·b, W·b] */
function toSpace(emit: Emit, x: Value, { size, inside }: Blocks, wide: readonly number[]): Value {
  const [n = 0, c = 0, h = 0, w = 0] = wide;
  const [below, beside] = [h / size, w / size];
  const apart = inside ? [n, c, size, size, below, beside] : [n, size, size, c, below, beside];
  const perm = inside ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
  return reshapeTo(emit, emit.Transpose([reshapeTo(emit, x, apart)], { perm }), wide);
}

/** [N, C, H·b, W·b] → [N, C·b², H, W] */
function toDepth(emit: Emit, x: Value, { size, inside }: Blocks, deep: readonly number[]): Value {
  const [n = 0, parts = 0, h = 0, w = 0] = deep;
  const c = parts / (size * size);
  const perm = inside ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4];
  return reshapeTo(emit, emit.Transpose([reshapeTo(emit, x, [n, c, h, size, w, size])], { perm }), deep);
}

export const DepthToSpace = defineOp<Blocks>({
  name: "DepthToSpace",
  read: readBlocks,
  infer: ({ size }, site) =>
    shaped(site, ([n = 0, c = 0, h = 0, w = 0] = []) => [
      ...[n, floorDims(c, size * size)],
      ...[multiplyDims(h, size), multiplyDims(w, size)],
    ]),
  unchanged: ({ size }) => (size === 1 ? 0 : undefined),
  homogeneous: [[0]],
  axes: (s, _, dims) => blockLinks(s, "in0", floorDims(dims[1] ?? 0, s.size * s.size)),
  gradient: (s, { emit, inputs: [x], up }) => [toDepth(emit, up, s, fixed(x))],
  quantize: () => ({ kind: "transparent" }),
});

export const SpaceToDepth = defineOp<Blocks>({
  name: "SpaceToDepth",
  read: readBlocks,
  infer: ({ size }, site) =>
    shaped(site, ([n = 0, c = 0, h = 0, w = 0] = []) => [
      ...[n, multiplyDims(c, size * size)],
      ...[floorDims(h, size), floorDims(w, size)],
    ]),
  unchanged: ({ size }) => (size === 1 ? 0 : undefined),
  homogeneous: [[0]],
  axes: (s, _, dims) => blockLinks(s, "out0", dims[1]),
  gradient: (s, { emit, inputs: [x], up }) => [toSpace(emit, up, s, fixed(x))],
  quantize: () => ({ kind: "transparent" }),
});

/** Reverses the first `length` elements of each sequence. It is its own inverse. */
export const ReverseSequence = defineOp({
  name: "ReverseSequence",
  read: (site) => ({ time: integer(site, "time_axis", 0), batch: integer(site, "batch_axis", 1) }),
  infer: (_, site) => sameAsInput(site),
  wants: ({ time }, site, output) => [...requireLengths(1, site.inputs[0]?.dims?.[time]), ...forwardWanted(output, 0)],
  homogeneous: [[0]],
  axes: ({ time, batch }, _site, dims) => {
    return dims.flatMap((_, axis): AxisLink[] => {
      if (axis === time)
        return [{ refuses: ["in0", axis], reason: "ReverseSequence selects by position along this axis" }];
      const own: AxisLink = { from: ["in0", axis], to: ["out0", axis] };
      return axis === batch ? [own, { from: ["in1", 0], to: ["out0", axis] }] : [own];
    });
  },
  gradient: ({ time, batch }, { emit, inputs: [, lengths], up }) => [
    emit.ReverseSequence([up, lengths], { time_axis: time, batch_axis: batch }),
  ],
});

export const Trilu = defineOp({
  name: "Trilu",
  read: (site) => ({ upper: integer(site, "upper", 1) !== 0 }),
  infer: (_, site) => sameAsInput(site),
  homogeneous: [[0]],
  axes: (_, __, dims) =>
    sameAxes(dims, { refused: (axis) => axis >= dims.length - 2, reason: "Trilu keeps a triangle of this axis" }),
  gradient: (s, { emit, inputs: [, diagonal], up }) => [emit.Trilu([up, diagonal], { upper: s.upper ? 1 : 0 })],
});

interface Frame {
  /** The new sizes of the given axes; undefined if computed at run time. */
  readonly sizes: readonly Dim[] | undefined;
  readonly axes: readonly number[] | undefined;
}

function framed({ sizes, axes }: Frame, dims: readonly Dim[], site: Site): readonly Dim[] {
  const places = axes?.map((axis) => wrapAxis(axis, dims.length));
  return dims.map((dim, axis) => {
    const place = places === undefined ? axis : places.indexOf(axis);
    return place < 0 ? dim : (sizes?.[place] ?? site.open(0, axis));
  });
}

/** Crops or pads with zeros evenly at both ends; an odd total has one more at the end. */
export const CenterCropPad = defineOp<Frame>({
  name: "CenterCropPad",
  read: (site) => ({ sizes: site.inputs[1]?.elements, axes: integers(site, "axes") }),
  infer: (s, site) => shaped(site, (dims) => framed(s, dims ?? [], site)),
  unchanged: (s, site) => ifSameDims(site, framed(s, site.inputs[0]?.dims ?? [], site)),
  axes: (s, site, dims) => {
    const out = framed(s, dims, site);
    const named = new Set(s.axes?.map((axis) => wrapAxis(axis, dims.length)) ?? dims.keys());
    return sameAxes(out, { refused: (axis) => named.has(axis), reason: "CenterCropPad centres this axis" });
  },
  gradient: inferenceOnly,
});
