/** Operators that move or repeat elements: Tile, DepthToSpace, SpaceToDepth, ReverseSequence, Trilu, CenterCropPad. */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type Dim, floorDims, multiplyDims } from "../tensor/dims.ts";
import { type AxisLink, defineOp, type Op, type Site } from "./define.ts";
import { readFlag, readInteger, readIntegers, readString, wrapAxis } from "./shared/attributes.ts";
import { maxElements, withElements } from "./shared/elements.ts";
import { inferenceOnly } from "./shared/misses.ts";
import {
  forwardWanted,
  inputIfSameDims,
  inferShape,
  requireInput,
  range,
  requireLengths,
  reshapeTo,
  sameAsInput,
  sameAxes,
  sizesOf,
} from "./shared/rules.ts";

function tileDims(repeats: readonly Dim[] | undefined, dims: readonly Dim[]): readonly Dim[] | undefined {
  return repeats && dims.map((dim, axis) => multiplyDims(dim, repeats[axis] ?? 1));
}

const repeatsAtRunTime = new Miss("its repeats are computed at run time");

/** y[i] = x[i mod size], along each axis. */
export const Tile = defineOp({
  name: "Tile",
  read: (site) => ({ repeats: site.inputs[1]?.elements }),
  infer: ({ repeats }, site) => {
    const { type, dims, elements } = requireInput(site, 0);
    if (dims === undefined) return [{ type, dims }];
    const out = tileDims(repeats, dims) ?? dims.map((_, axis) => site.open(0, axis));
    const [times] = repeats ?? [];
    if (elements === undefined || dims.length !== 1 || typeof times !== "number" || times > maxElements)
      return [{ type, dims: out }];
    return [
      withElements(
        { type, dims: out },
        range(times).flatMap(() => elements),
      ),
    ];
  },
  unchanged: ({ repeats }, site) => inputIfSameDims(site, tileDims(repeats, site.inputs[0]?.dims ?? [])),
  homogeneous: [[0]],
  axes: ({ repeats }, _site, dims) => {
    if (repeats === undefined) return repeatsAtRunTime;
    return dims.map((dim, axis): AxisLink => {
      const times = repeats[axis] ?? 1;
      if (times === 1) return { from: ["in0", axis], to: ["out0", axis] };
      if (typeof times !== "number" || typeof dim !== "number")
        return { refuses: ["in0", axis], reason: "Tile repeats this axis a number of times that is not known" };
      return { from: ["in0", axis], to: ["out0", axis], map: (index) => range(times).map((k) => index + k * dim) };
    });
  },
  // Splits each axis into repeats × size, and sums over the repeats.
  gradient: ({ repeats }, { emit, inputs: [x], up }) => {
    if (!repeats?.every((times) => typeof times === "number")) return repeatsAtRunTime;
    const dims = sizesOf(x);
    const pairs = dims.flatMap((dim, axis) => [Number(repeats[axis]), dim]);
    const repeatAxes = dims.map((_, axis) => 2 * axis);
    if (repeatAxes.length === 0) return [up];
    return [emit.ReduceSum([reshapeTo(emit, up, pairs), repeatAxes], { keepdims: 0 })];
  },
  quantize: () => ({ kind: "transparent" }),
});

/** Exchanges blocks of b × b pixels with b² times the channels. Channel k · C + c ("DCR") or c · b² + k ("CRD", `inside`) is pixel k of channel c. */
interface Blocks {
  readonly size: number;
  readonly inside: boolean;
}

function blockLinks({ size, inside }: Blocks, deep: "in0" | "out0", channels: Dim | undefined): readonly AxisLink[] {
  const wide = deep === "in0" ? "out0" : "in0";
  const parts = size * size;
  const pixels = (index: number): readonly number[] => range(size, index * size);
  const channelLink: AxisLink =
    typeof channels === "number"
      ? {
          from: [wide, 1],
          to: [deep, 1],
          map: (c) => range(parts).map((k) => (inside ? c * parts + k : k * channels + c)),
        }
      : { refuses: [wide, 1], reason: "the number of channels is not known" };
  return [
    { from: ["in0", 0], to: ["out0", 0] },
    channelLink,
    { from: [deep, 2], to: [wide, 2], map: pixels },
    { from: [deep, 3], to: [wide, 3], map: pixels },
  ];
}

/** [N, C·b², H, W] → [N, C, H·b, W·b] */
function toSpace(emit: Emit, x: Value, { size, inside }: Blocks, wide: readonly number[]): Value {
  const [n = 0, c = 0, h = 0, w = 0] = wide;
  const blocks = inside ? [n, c, size, size, h / size, w / size] : [n, size, size, c, h / size, w / size];
  const perm = inside ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
  return reshapeTo(emit, emit.Transpose([reshapeTo(emit, x, blocks)], { perm }), wide);
}

/** [N, C, H·b, W·b] → [N, C·b², H, W] */
function toDepth(emit: Emit, x: Value, { size, inside }: Blocks, deep: readonly number[]): Value {
  const [n = 0, parts = 0, h = 0, w = 0] = deep;
  const c = parts / (size * size);
  const perm = inside ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4];
  return reshapeTo(emit, emit.Transpose([reshapeTo(emit, x, [n, c, h, size, w, size])], { perm }), deep);
}

const divide = (dim: Dim, factor: number): Dim => floorDims(dim, factor);

/** @param deep The side with more channels. */
function blockOperator(name: string, deep: "in0" | "out0"): Op {
  const [grow, shrink] = deep === "in0" ? [multiplyDims, divide] : [divide, multiplyDims];
  const write = deep === "in0" ? toDepth : toSpace;
  return defineOp<Blocks>({
    name,
    read: (site) => ({ size: readInteger(site, "blocksize", 1), inside: readString(site, "mode", "DCR") === "CRD" }),
    infer: ({ size }, site) =>
      inferShape(site, ([n = 0, c = 0, h = 0, w = 0]) => [n, shrink(c, size * size), grow(h, size), grow(w, size)]),
    unchanged: ({ size }) => (size === 1 ? 0 : undefined),
    homogeneous: [[0]],
    axes: (s, _, [, channels = 0]) =>
      blockLinks(s, deep, deep === "in0" ? divide(channels, s.size * s.size) : channels),
    gradient: (s, { emit, inputs: [x], up }) => [write(emit, up, s, sizesOf(x))],
    quantize: () => ({ kind: "transparent" }),
  });
}

export const blockOperators: readonly Op[] = [
  blockOperator("DepthToSpace", "in0"),
  blockOperator("SpaceToDepth", "out0"),
];

/** Reverses the first `length` elements of each sequence. It is its own inverse. */
export const ReverseSequence = defineOp({
  name: "ReverseSequence",
  read: (site) => ({ time: readInteger(site, "time_axis", 0), batch: readInteger(site, "batch_axis", 1) }),
  infer: (_, site) => sameAsInput(site),
  wants: ({ time }, site, output) => [...requireLengths(1, site.inputs[0]?.dims?.[time]), ...forwardWanted(output, 0)],
  homogeneous: [[0]],
  axes: ({ time, batch }, _site, dims) => [
    { from: ["in1", 0], to: ["out0", batch] },
    ...dims.map((_, axis): AxisLink => {
      if (axis !== time) return { from: ["in0", axis], to: ["out0", axis] };
      return { refuses: ["in0", axis], reason: "ReverseSequence selects by position along this axis" };
    }),
  ],
  gradient: ({ time, batch }, { emit, inputs: [, lengths], up }) => [
    emit.ReverseSequence([up, lengths], { time_axis: time, batch_axis: batch }),
  ],
});

export const Trilu = defineOp({
  name: "Trilu",
  read: (site) => ({ upper: readFlag(site, "upper", true) }),
  infer: (_, site) => sameAsInput(site),
  homogeneous: [[0]],
  axes: (_, __, dims) =>
    sameAxes(dims, { refused: (axis) => axis >= dims.length - 2, reason: "Trilu keeps a triangle of this axis" }),
  gradient: (s, { emit, inputs: [, diagonal], up }) => [emit.Trilu([up, diagonal], { upper: s.upper ? 1 : 0 })],
});

interface Frame {
  /** The new sizes of `axes` (default: of all axes); undefined if computed at run time. */
  readonly sizes: readonly Dim[] | undefined;
  readonly axes: readonly number[] | undefined;
}

function frameDims({ sizes, axes }: Frame, dims: readonly Dim[], site: Site): readonly Dim[] {
  const framedAxes = axes?.map((axis) => wrapAxis(axis, dims.length)) ?? range(dims.length);
  return dims.map((dim, axis) => {
    const index = framedAxes.indexOf(axis);
    return index < 0 ? dim : (sizes?.[index] ?? site.open(0, axis));
  });
}

/** Crops or pads with zeros evenly at both ends; an odd total has one more at the end. */
export const CenterCropPad = defineOp<Frame>({
  name: "CenterCropPad",
  read: (site) => ({ sizes: site.inputs[1]?.elements, axes: readIntegers(site, "axes") }),
  infer: (s, site) => inferShape(site, (dims) => frameDims(s, dims, site)),
  unchanged: (s, site) => inputIfSameDims(site, frameDims(s, site.inputs[0]?.dims ?? [], site)),
  axes: (s, site, dims) => {
    const out = frameDims(s, dims, site);
    const framedAxes = new Set(s.axes?.map((axis) => wrapAxis(axis, dims.length)) ?? dims.keys());
    return sameAxes(out, { refused: (axis) => framedAxes.has(axis), reason: "CenterCropPad centers this axis" });
  },
  gradient: inferenceOnly,
});
