/**
 * Pooling over spatial axes of N × C × spatial.
 * Opset history: ceil_mode since 10, dilations of MaxPool since 10. The optional second output of MaxPool (flat indices) serves its gradient.
 * Where several elements share the maximum of a window, the first takes the whole gradient, as in ONNX Runtime's indices; where they share
 * the maximum of everything (GlobalMaxPool), they share the gradient evenly.
 */
import { Miss } from "../errors.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { elementCount } from "../tensor/dims.ts";
import { defineOp, type Inferred, type Op, type OpDef, type Site } from "./define.ts";
import { integer } from "./shared/attributes.ts";
import { filled, fixed, integersConstant, range, reshapeTo, scalar, shaped, typeOf } from "./shared/rules.ts";
import {
  channelAxes,
  explicitPads,
  globallyPooled,
  pooledDims,
  readPool,
  spreadSettings,
  type Window,
  windowCounts,
} from "./shared/window.ts";

/** Whether each window sees one place, and each place has one. */
function single(s: Window): boolean {
  return [...s.kernel, ...s.strides].every((size) => size === 1) && s.pads.every((pad) => pad === 0);
}

const pooled = (s: Window, site: Site): readonly Inferred[] | Miss => shaped(site, (x) => pooledDims(s, x));

function mostPadding(site: Site): readonly number[] | undefined {
  const s = readPool(site);
  if (s instanceof Miss) return undefined;
  return s.pads.map((pad, place) => (s.kernel[place % s.kernel.length] ?? 1) - 1 - pad);
}

const MaxPool = defineOp<Window>({
  name: "MaxPool",
  mostPadding,
  read: readPool,
  infer: (s, site) => {
    const values = pooled(s, site);
    if (values instanceof Miss || site.outputs < 2) return values;
    return [...values, ...values.map((value) => ({ ...value, type: "int64" as const }))];
  },
  unchanged: (s, site) => (site.outputs === 1 && single(s) ? 0 : undefined),
  axes: (_s, site) => (site.outputs > 1 ? new Miss("its indices count every element") : channelAxes()),
  gradient: (s, { emit, inputs: [x], up }) => {
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
    const window = readPool(site);
    return window instanceof Miss ? window : { ...window, countPads: integer(site, "count_include_pad", 0) !== 0 };
  },
  infer: pooled,
  unchanged: (s) => (single(s) ? 0 : undefined),
  axes: channelAxes,
  // Each mean shares its gradient evenly among the places that it saw: a transposed convolution of each channel with ones.
  gradient: (s, { emit, inputs: [x], up }) => {
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

function globalPool(name: string, more: Pick<OpDef<null>, "quantize"> & Required<Pick<OpDef<null>, "gradient">>): Op {
  return defineOp({
    name,
    infer: (_, site) => shaped(site, globallyPooled),
    unchanged: (_, site) => (site.inputs[0]?.dims?.slice(2).every((size) => size === 1) === true ? 0 : undefined),
    axes: channelAxes,
    ...more,
  });
}

export const poolOperators: readonly Op[] = [
  MaxPool,
  AveragePool,
  globalPool("GlobalAveragePool", {
    gradient: (_, { emit, inputs: [x], up }) => {
      const places = scalar(emit, typeOf(x), elementCount(fixed(x).slice(2)));
      return [emit.Expand([emit.Div([up, places]), integersConstant(emit, fixed(x))])];
    },
    quantize: () => ({ kind: "activation", inputs: [0], finest: 2 ** -8 }),
  }),
  globalPool("GlobalMaxPool", {
    gradient: (_, { emit, inputs: [x], y, up }) => {
      const reached = emit.CastLike([emit.Equal([x, y]), x]);
      const places = integersConstant(emit, range(fixed(x).length - 2, 2));
      return [emit.Mul([emit.Div([up, emit.ReduceSum([reached, places], { keepdims: 1 })]), reached])];
    },
  }),
];
