/** Operators that move or repeat elements: Tile, DepthToSpace, SpaceToDepth, ReverseSequence, Trilu. */
import { type Dim, type Emit, floorDims, Miss, multiplyDims, type Value } from "#graph";
import { type AxisLink, defineOp, type Op } from "./define.ts";
import { readFlag, readInteger, readString } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import { maxElements, withElements } from "./shared/elements.ts";
import {
  forwardWanted,
  inferShape,
  inputIfSameDims,
  range,
  requireInput,
  requireLengths,
  reshapeTo,
  sameAsInput,
  sizesOf,
} from "./shared/shapes.ts";

function tileDims(repeats: readonly Dim[] | undefined, dims: readonly Dim[]): readonly Dim[] | undefined {
  return repeats && dims.map((dim, axis) => multiplyDims(dim, repeats[axis] ?? 1));
}

const repeatsAtRunTime = new Miss("its repeats are computed at run time");

/** Repeats a tensor: y[i] = x[i mod size] along each axis. */
export const Tile = defineOp({
  name: "Tile",
  read: (site) => ({ repeats: site.inputs[1]?.elements }),
  infer: ({ repeats }, site) => {
    const { type, dims, elements } = requireInput(site, 0);
    if (dims === undefined) return [{ type, dims }];
    const outDims = tileDims(repeats, dims) ?? dims.map((_, axis) => site.open(0, axis));
    const [times] = repeats ?? [];
    if (elements === undefined || dims.length !== 1 || typeof times !== "number" || times > maxElements)
      return [{ type, dims: outDims }];
    return [
      withElements(
        { type, dims: outDims },
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
  // Each axis becomes repeats × size, and the repeats are summed over.
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

/** Blocks of b × b pixels of C channels are b² · C channels. Pixel k of channel c is channel k · C + c ("DCR") or c · b² + k ("CRD"). */
interface BlockSettings {
  readonly size: number;
  /** Whether the pixel is the inner index of a channel ("CRD"). */
  readonly isPixelInner: boolean;
}

function blockLinks(
  { size, isPixelInner: isInner }: BlockSettings,
  deepPort: "in0" | "out0",
  channels: Dim | undefined,
): readonly AxisLink[] {
  const widePort = deepPort === "in0" ? "out0" : "in0";
  const pixelCount = size * size;
  const pixels = (index: number): readonly number[] => range(size, index * size);
  const channelLink: AxisLink =
    typeof channels === "number"
      ? {
          from: [widePort, 1],
          to: [deepPort, 1],
          map: (c) => range(pixelCount).map((k) => (isInner ? c * pixelCount + k : k * channels + c)),
        }
      : { refuses: [widePort, 1], reason: "the number of channels is not known" };
  return [
    { from: ["in0", 0], to: ["out0", 0] },
    channelLink,
    { from: [deepPort, 2], to: [widePort, 2], map: pixels },
    { from: [deepPort, 3], to: [widePort, 3], map: pixels },
  ];
}

/** Writes [N, C·b², H, W] → [N, C, H·b, W·b]. */
function moveToSpace(emit: Emit, x: Value, block: BlockSettings, outDims: readonly number[]): Value {
  const { size, isPixelInner: isInner } = block;
  const [n = 0, c = 0, h = 0, w = 0] = outDims;
  const blocks = isInner ? [n, c, size, size, h / size, w / size] : [n, size, size, c, h / size, w / size];
  const perm = isInner ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
  return reshapeTo(emit, emit.Transpose([reshapeTo(emit, x, blocks)], { perm }), outDims);
}

/** Writes [N, C, H·b, W·b] → [N, C·b², H, W]. */
function moveToDepth(emit: Emit, x: Value, block: BlockSettings, outDims: readonly number[]): Value {
  const { size, isPixelInner: isInner } = block;
  const [n = 0, deepChannels = 0, h = 0, w = 0] = outDims;
  const c = deepChannels / (size * size);
  const perm = isInner ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4];
  return reshapeTo(emit, emit.Transpose([reshapeTo(emit, x, [n, c, h, size, w, size])], { perm }), outDims);
}

/** @param deepPort The port with more channels. */
function defineBlockOperator(name: string, deepPort: "in0" | "out0"): Op {
  const [scaleSize, scaleChannels] = deepPort === "in0" ? [multiplyDims, floorDims] : [floorDims, multiplyDims];
  const write = deepPort === "in0" ? moveToDepth : moveToSpace;
  return defineOp<BlockSettings>({
    name,
    read: (site) => ({
      size: readInteger(site, "blocksize", 1),
      isPixelInner: readString(site, "mode", "DCR") === "CRD",
    }),
    infer: ({ size }, site) =>
      inferShape(site, ([n = 0, c = 0, h = 0, w = 0]) => [
        n,
        scaleChannels(c, size * size),
        scaleSize(h, size),
        scaleSize(w, size),
      ]),
    unchanged: ({ size }) => (size === 1 ? 0 : undefined),
    homogeneous: [[0]],
    axes: (s, _, [, channels = 0]) =>
      blockLinks(s, deepPort, deepPort === "in0" ? floorDims(channels, s.size * s.size) : channels),
    gradient: (s, { emit, inputs: [x], up }) => [write(emit, up, s, sizesOf(x))],
    quantize: () => ({ kind: "transparent" }),
  });
}

export const blockOperators: readonly Op[] = [
  defineBlockOperator("DepthToSpace", "in0"),
  defineBlockOperator("SpaceToDepth", "out0"),
];

/** Reverses the first elements of each sequence; input 1 states how many. */
export const ReverseSequence = defineOp({
  name: "ReverseSequence",
  read: (site) => ({ timeAxis: readInteger(site, "time_axis", 0), batchAxis: readInteger(site, "batch_axis", 1) }),
  infer: (_, site) => sameAsInput(site),
  wants: ({ timeAxis }, site, output) => [
    ...requireLengths(1, site.inputs[0]?.dims?.[timeAxis]),
    ...forwardWanted(output, 0),
  ],
  homogeneous: [[0]],
  axes: ({ timeAxis, batchAxis }, _site, dims) => [
    { from: ["in1", 0], to: ["out0", batchAxis] },
    ...dims.map((_, axis): AxisLink => {
      if (axis !== timeAxis) return { from: ["in0", axis], to: ["out0", axis] };
      return { refuses: ["in0", axis], reason: "ReverseSequence selects by position along this axis" };
    }),
  ],
  gradient: ({ timeAxis, batchAxis }, { emit, inputs: [, lengths], up }) => [
    emit.ReverseSequence([up, lengths], { time_axis: timeAxis, batch_axis: batchAxis }),
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
