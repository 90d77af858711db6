/**
 * Pooling over the spatial axes of N × C × spatial: maximum and mean. In MaxPool, the first maximum of a window receives the gradient. In
 * GlobalMaxPool, equal maxima share it evenly.
 */
import { divideDims, elementCount, fromNumbers, Miss } from "#graph";
import { type QuirkId, quirks } from "../quirks.ts";
import { defineOp, type Inferred, type Op, type OpDef, type Site } from "./define.ts";
import { constantIntegersOf, readFlag } from "./shared/attributes.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { fillWith, inferShape, range, reshapeTo, sizesOf, typeOf } from "./shared/shapes.ts";
import {
  channelAxes,
  explicitPads,
  globalPoolDims,
  poolAttributes,
  poolDims,
  readPool,
  readWindow,
  spreadSettings,
  type Window,
  windowCounts,
} from "./shared/window.ts";

function isIdentityWindow(s: Window): boolean {
  return [...s.kernel, ...s.strides].every((size) => size === 1) && s.pads.every((pad) => pad === 0);
}

const inferPool = (s: Window, site: Site): readonly Inferred[] | Miss => inferShape(site, (x) => poolDims(s, x));

function maxPadding(site: Site): readonly number[] | undefined {
  const s = readPool(site);
  if (s instanceof Miss) return undefined;
  return s.pads.map((pad, index) => (s.kernel[index % s.kernel.length] ?? 1) - 1 - pad);
}

export const MaxPool = defineOp<Window>({
  name: "MaxPool",
  maxPadding,
  read: readPool,
  infer: (s, site) => {
    const values = inferPool(s, site);
    if (values instanceof Miss || site.outputs < 2) return values;
    return [...values, ...values.map((value) => ({ ...value, type: "int64" as const }))];
  },
  unchanged: (s, site) => (site.outputs === 1 && isIdentityWindow(s) ? 0 : undefined),
  homogeneous: [[0]],
  axes: (_s, site) => (site.outputs > 1 ? new Miss("its indices are positions in the whole tensor") : channelAxes()),
  gradient: (s, { emit, inputs: [x], up }) => {
    const dims = sizesOf(x);
    const settings = poolAttributes({ ...s, autoPad: "NOTSET", pads: explicitPads(s, dims.slice(2)) });
    const [, indices] = emit.many("MaxPool", [x], settings, 2);
    const flatten = (value: typeof up) => reshapeTo(emit, value, [elementCount(sizesOf(up))]);
    const zeros = fillWith(emit, typeOf(x), [elementCount(dims)], 0);
    const scattered = emit.ScatterElements([zeros, flatten(indices), flatten(up)], { axis: 0, reduction: "add" });
    return [reshapeTo(emit, scattered, dims)];
  },
  quantize: () => ({ kind: "transparent" }),
});

export const AveragePool = defineOp({
  name: "AveragePool",
  maxPadding,
  read: (site) => {
    const window = readPool(site);
    return window instanceof Miss ? window : { ...window, countPads: readFlag(site, "count_include_pad") };
  },
  infer: (s, site) => inferPool(s, site),
  unchanged: (s) => (isIdentityWindow(s) ? 0 : undefined),
  homogeneous: [[0]],
  axes: () => channelAxes(),
  // The gradient of a mean is distributed evenly over its window, by a depthwise ConvTranspose.
  gradient: (s, { emit, inputs: [x], up }) => {
    const [, channels = 1, ...spatial] = sizesOf(x);
    const out = sizesOf(up).slice(2);
    const pads = explicitPads(s, spatial);
    const counts = spatial.reduce<readonly number[]>(
      (product, input, axis) => {
        const padding = { before: pads[axis] ?? 0, after: pads[spatial.length + axis] ?? 0, isCounted: s.countPads };
        const axisCounts = windowCounts(s, axis, { input, output: out[axis] ?? 1 }, padding);
        return product.flatMap((count) => axisCounts.map((axisCount) => count * axisCount));
      },
      [1],
    );
    const type = typeOf(x);
    if (type !== "float32" && type !== "float64" && type !== "float16") return new Miss(`pools ${type}`);
    const gradientShare = emit.Div([up, emit.constant(fromNumbers(type, [1, 1, ...out], counts), "counts")]);
    const ones = fillWith(emit, type, [channels, 1, ...s.kernel], 1);
    const { kernel, strides, dilations } = s;
    const settings = { kernel_shape: kernel, strides, dilations, group: channels, ...spreadSettings(s, spatial, out) };
    return [emit.ConvTranspose([gradientShare, ones], settings)];
  },
  quantize: (s) => {
    const quirk: QuirkId = "dilated-average";
    if (s.dilations.some((step) => step !== 1)) return new Miss(`ONNX Runtime ${quirks[quirk]}`, undefined, quirk);
    return { kind: "activation", inputs: [0] };
  },
});

type GlobalPoolFacets = Pick<OpDef<null>, "quantize"> & { readonly gradient: NonNullable<OpDef<null>["gradient"]> };

const defineGlobalPool = (name: string, facets: GlobalPoolFacets): Op =>
  defineOp({
    name,
    infer: (_, site) => inferShape(site, globalPoolDims),
    unchanged: (_, site) => (site.inputs[0]?.dims?.slice(2).every((size) => size === 1) === true ? 0 : undefined),
    homogeneous: [[0]],
    axes: () => channelAxes(),
    ...facets,
  });

/** Adds up overlapping windows of an image: N × (C · kernel positions) × windows → N × C × image. */
export const Col2Im = defineOp({
  name: "Col2Im",
  sameType: 0,
  read: (site) => {
    const block = constantIntegersOf(site.inputs[2]);
    return block === undefined
      ? new Miss("the size of its blocks is not known")
      : { ...readWindow(site, block), image: site.inputs[1]?.elements };
  },
  infer: (s, site) =>
    inferShape(site, ([batch = 1, blocks = 1]) => {
      const channels = divideDims(blocks, elementCount(s.kernel));
      return channels === undefined || s.image === undefined ? undefined : [batch, channels, ...s.image];
    }),
  axes: (s) => {
    const count = elementCount(s.kernel);
    const pixelsOfChannel = (channel: number): number[] => range(count, channel * count);
    const pixelsOfSameChannel = (index: number): number[] => pixelsOfChannel(Math.floor(index / count));
    return [
      { from: ["in0", 0], to: ["out0", 0] },
      { from: ["in0", 1], to: ["in0", 1], map: pixelsOfSameChannel },
      { from: ["out0", 1], to: ["in0", 1], map: pixelsOfChannel },
    ];
  },
  gradient: inferenceOnly,
});

export const poolOperators: readonly Op[] = [
  defineGlobalPool("GlobalAveragePool", {
    gradient: (_, { emit, inputs: [x], up }) => [
      emit.Expand([emit.Div([up, elementCount(sizesOf(x).slice(2))]), sizesOf(x)]),
    ],
    quantize: () => ({ kind: "activation", inputs: [0], finest: 2 ** -8 }),
  }),
  defineGlobalPool("GlobalMaxPool", {
    gradient: (_, { emit, inputs: [x], y, up }) => {
      const isMaximum = emit.CastLike([emit.Equal([x, y]), x]);
      const axes = range(sizesOf(x).length - 2, 2);
      return [emit.Mul([emit.Div([up, emit.ReduceSum([isMaximum, axes], { keepdims: 1 })]), isMaximum])];
    },
  }),
];
