/**
 * Pooling over spatial axes of N × C × spatial.
 * Opset history: ceil_mode since 10, dilations of MaxPool since 10. The optional second output of MaxPool (flat indices) serves its gradient.
 * Where several elements share the maximum of a window, the first takes the whole gradient, as in ONNX Runtime's indices; where they share
 * the maximum of everything (GlobalMaxPool), they share the gradient evenly.
 */
import { Miss } from "../errors.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { elementCount } from "../tensor/dims.ts";
import { defineOp, type Inferred, type Op, type Site } from "./define.ts";
import { integer, integers } from "./shared/attributes.ts";
import { runsInFloat } from "./shared/misses.ts";
import { dimsAt, filled, fixed, integersConstant, need, reshapeTo, sameAxes, scalar, typeOf } from "./shared/rules.ts";
import { explicitPads, readWindow, spreadSettings, type Window, windowCounts, windowDims } from "./shared/window.ts";

function read(site: Site): Window | Miss {
  const kernel = integers(site, "kernel_shape");
  return kernel === undefined ? new Miss("has no kernel_shape") : readWindow(site, kernel);
}

/** Whether each window sees one place, and each place has one. */
function single(s: Window): boolean {
  return [...s.kernel, ...s.strides].every((size) => size === 1) && s.pads.every((pad) => pad === 0);
}

function pooled(s: Window, site: Site): readonly Inferred[] {
  const { type } = need(site, 0);
  const x = dimsAt(site, 0);
  if (x instanceof Miss) return [{ type, dims: undefined }];
  return [{ type, dims: [...x.slice(0, 2), ...windowDims(s, x.slice(2))] }];
}

/** Batch and channels pass through; positions do not. */
const channelAxes = (_: unknown, site: Site) => {
  const rule = sameAxes(site);
  return rule instanceof Miss ? rule : { links: rule.links.slice(0, 2) };
};

function mostPadding(site: Site): readonly number[] | undefined {
  const s = read(site);
  if (s instanceof Miss) return undefined;
  return s.pads.map((pad, place) => (s.kernel[place % s.kernel.length] ?? 1) - 1 - pad);
}

const MaxPool = defineOp<Window>({
  name: "MaxPool",
  mostPadding,
  read,
  infer: (s, site) => {
    const values = pooled(s, site);
    return site.outputs > 1 ? [...values, ...values.map((value) => ({ ...value, type: "int64" as const }))] : values;
  },
  unchanged: (s, site) => (site.outputs === 1 && single(s) ? 0 : undefined),
  axes: (s, site) => (site.outputs > 1 ? new Miss("its indices count every element") : channelAxes(s, site)),
  gradient: (s, { emit, inputs: [x], upstream: [up] }) => {
    if (x === undefined || up === undefined) return [];
    const dims = fixed(x);
    const { kernel, strides, dilations } = s;
    const pads = explicitPads(s, dims.slice(2));
    const settings = { kernel_shape: kernel, strides, dilations, pads, ceil_mode: s.ceil ? 1 : 0 };
    const [, indices] = emit.many("MaxPool", [x], settings, 2);
    const flat = (value: typeof up) => reshapeTo(emit, value, [elementCount(fixed(up))]);
    const zeros = filled(emit, typeOf(x), [elementCount(dims)], 0);
    const scattered = emit.ScatterElements([zeros, flat(indices), flat(up)], { axis: 0, reduction: "add" });
    return [reshapeTo(emit, scattered, dims)];
  },
  quantize: () => ({ kind: "transparent" }),
});

interface AverageSettings extends Window {
  readonly countPads: boolean;
}

const AveragePool = defineOp<AverageSettings>({
  name: "AveragePool",
  mostPadding,
  read: (site) => {
    const window = read(site);
    return window instanceof Miss ? window : { ...window, countPads: integer(site, "count_include_pad", 0) !== 0 };
  },
  infer: pooled,
  unchanged: (s) => (single(s) ? 0 : undefined),
  axes: channelAxes,
  // Each mean shares its gradient evenly among the places that it saw: a transposed convolution of each channel with ones.
  gradient: (s, { emit, inputs: [x], upstream: [up] }) => {
    if (x === undefined || up === undefined) return [];
    const [, channels = 1, ...spatial] = fixed(x);
    const out = fixed(up).slice(2);
    const pads = explicitPads(s, spatial);
    const counts = spatial.reduce<readonly number[]>(
      (product, input, axis) => {
        const padding = { before: pads[axis] ?? 0, after: pads[spatial.length + axis] ?? 0, counts: s.countPads };
        const along = windowCounts(s, axis, { input, output: out[axis] ?? 1 }, padding);
        return product.flatMap((count) => along.map((more) => count * more));
      },
      [1],
    );
    const type = typeOf(x);
    if (type !== "float32" && type !== "float64" && type !== "float16") return new Miss(`pools ${type}`);
    const share = emit.Div([up, emit.constant(fromNumbers(type, [1, 1, ...out], counts), "counts")]);
    const ones = filled(emit, type, [channels, 1, ...s.kernel], 1);
    const { kernel, strides, dilations } = s;
    const settings = { kernel_shape: kernel, strides, dilations, group: channels, ...spreadSettings(s, spatial, out) };
    return [emit.ConvTranspose([share, ones], settings)];
  },
  quantize: () => ({ kind: "activation", inputs: [0] }),
});

function globalPool(name: "GlobalAveragePool" | "GlobalMaxPool"): Op {
  return defineOp<null>({
    name,
    read: () => null,
    infer: (_, site) => {
      const { type } = need(site, 0);
      const x = dimsAt(site, 0);
      return [{ type, dims: x instanceof Miss ? undefined : [...x.slice(0, 2), ...x.slice(2).map(() => 1)] }];
    },
    unchanged: (_, site) => {
      const places = site.inputs[0]?.dims?.slice(2);
      return places?.every((size) => size === 1) ? 0 : undefined;
    },
    axes: channelAxes,
    gradient: (_, { emit, inputs: [x], outputs: [y], upstream: [up] }) => {
      if (x === undefined || y === undefined || up === undefined) return [];
      const dims = fixed(x);
      if (name === "GlobalAveragePool") {
        const places = elementCount(dims.slice(2));
        return [emit.Expand([emit.Div([up, scalar(emit, typeOf(x), places)]), integersConstant(emit, dims)])];
      }
      const reached = emit.CastLike([emit.Equal([x, y]), x]);
      const spatial = dims.map((_, axis) => axis).slice(2);
      const count = emit.ReduceSum([reached, integersConstant(emit, spatial)], { keepdims: 1 });
      return [emit.Mul([emit.Div([up, count]), reached])];
    },
    quantize: name === "GlobalAveragePool" ? () => ({ kind: "activation", inputs: [0], finest: 2 ** -8 }) : runsInFloat,
  });
}

export const poolOperators: readonly Op[] = [
  MaxPool,
  AveragePool,
  globalPool("GlobalAveragePool"),
  globalPool("GlobalMaxPool"),
];
