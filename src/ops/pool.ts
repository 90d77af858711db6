/**
 * Pooling over spatial axes of N × C × spatial.
 * Opset history: ceil_mode since 10, dilations of MaxPool since 10. The optional second output of MaxPool (flat indices) serves its gradient.
 * Where several elements share the maximum, the first takes the whole gradient, as in ONNX Runtime's indices.
 */
import { Miss } from "../errors.ts";
import { integer, integers } from "./attributes.ts";
import { defineOp, type Inferred, noParameters, type Op, type Site } from "./define.ts";
import { dimsAt, fixed, integersConstant, need, noMacs, sameAxes, scalar, typeOf } from "./rules.ts";
import { explicitPads, readWindow, type Window, windowDims } from "./window.ts";

function read(site: Site): Window | Miss {
  const kernel = integers(site, "kernel_shape");
  return kernel === undefined ? new Miss("has no kernel_shape") : readWindow(site, kernel);
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

const MaxPool = defineOp<Window>({
  name: "MaxPool",
  read,
  infer: (s, site) => {
    const values = pooled(s, site);
    return site.outputs > 1 ? [...values, ...values.map((value) => ({ ...value, type: "int64" as const }))] : values;
  },
  parameters: noParameters,
  weight: new Miss("has no weight"),
  axes: channelAxes,
  lower: new Miss("is primitive"),
  gradient: (s, { emit, inputs: [x], upstream: [up] }) => {
    if (x === undefined || up === undefined) return [];
    const dims = fixed(x);
    const { kernel, strides, dilations } = s;
    const pads = explicitPads(s, dims.slice(2));
    const settings = { kernel_shape: kernel, strides, dilations, pads, ceil_mode: s.ceil ? 1 : 0 };
    const [, indices] = emit.many("MaxPool", [x], settings, 2);
    if (indices === undefined) return [];
    const flat = (value: typeof up) => emit.Reshape([value, integersConstant(emit, [-1])]);
    const size = dims.reduce((count, dim) => count * dim, 1);
    const zeros = emit.Expand([scalar(emit, typeOf(x), 0), integersConstant(emit, [size])]);
    const scattered = emit.ScatterElements([zeros, flat(indices), flat(up)], { axis: 0, reduction: "add" });
    return [emit.Reshape([scattered, integersConstant(emit, dims)])];
  },
  cost: noMacs,
  quantize: () => ({ kind: "transparent" }),
});

interface AverageSettings extends Window {
  readonly countPads: boolean;
}

const AveragePool = defineOp<AverageSettings>({
  name: "AveragePool",
  read: (site) => {
    const window = read(site);
    return window instanceof Miss ? window : { ...window, countPads: integer(site, "count_include_pad", 0) !== 0 };
  },
  infer: pooled,
  parameters: noParameters,
  weight: new Miss("has no weight"),
  axes: channelAxes,
  lower: new Miss("is primitive"),
  gradient: new Miss("not yet: gradient of average pooling"),
  cost: noMacs,
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
    parameters: noParameters,
    weight: new Miss("has no weight"),
    axes: channelAxes,
    lower: new Miss("is primitive"),
    gradient:
      name === "GlobalMaxPool"
        ? new Miss("not yet: gradient of global maximum pooling")
        : (_, { emit, inputs: [x], upstream: [up] }) => {
            if (x === undefined || up === undefined) return [];
            const dims = fixed(x);
            const places = dims.slice(2).reduce((count, dim) => count * dim, 1);
            return [emit.Expand([emit.Div([up, scalar(emit, typeOf(x), places)]), integersConstant(emit, dims)])];
          },
    cost: noMacs,
    quantize: name === "GlobalAveragePool" ? () => ({ kind: "activation", inputs: [0] }) : new Miss("runs in float"),
  });
}

export const poolOperators: readonly Op[] = [
  MaxPool,
  AveragePool,
  globalPool("GlobalAveragePool"),
  globalPool("GlobalMaxPool"),
];
