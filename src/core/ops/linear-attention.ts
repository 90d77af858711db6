/**
 * Stateful operators of opset 27 and 28. LinearAttention keeps a matrix S (D × values) per head: S ← decay · S + k·vᵀ (`delta` replaces v by
 * β·(v - Sᵀ·k)), y = scale · Sᵀ·q. CausalConvWithState is a depthwise convolution over steps; it takes and returns the last k - 1 steps.
 * SwiGLU: a · sigmoid(alpha · a) · b.
 */

import { Miss } from "../errors.ts";
import { addDims, type Dim, divideDims, elementCount, multiplyDims } from "../tensor/dims.ts";
import { defineOp } from "./define.ts";
import { readFloat, readInteger, readString } from "./shared/attributes.ts";
import { requireInput, sameAsInput, withDims } from "./shared/rules.ts";

const unrun = new Miss("no tested version of ONNX Runtime runs it");
const untried = new Miss("ONNX Runtime does not run it, so removing channels could not be tested");

export const LinearAttention = defineOp({
  name: "LinearAttention",
  read: (site) => ({
    heads: readInteger(site, "q_num_heads", 1),
    keyHeads: readInteger(site, "kv_num_heads", 1),
    rule: readString(site, "update_rule", "gated_delta"),
    scale: readFloat(site, "scale", 0),
  }),
  infer: (s, site) => {
    const { type, dims } = requireInput(site, 0);
    const values = site.inputs[2]?.dims?.[2];
    const [size, valueSize] = [
      dims?.[2] === undefined ? undefined : divideDims(dims[2], s.heads),
      values === undefined ? undefined : divideDims(values, s.keyHeads),
    ];
    const stateType = site.inputs[3]?.type ?? type;
    if (dims === undefined || size === undefined || valueSize === undefined)
      return [
        { type, dims: undefined },
        { type: stateType, dims: undefined },
      ];
    const [batch, steps] = dims as readonly [Dim, Dim];
    return [
      { type, dims: [batch, steps, multiplyDims(valueSize, s.heads)] },
      { type: stateType, dims: [batch, s.keyHeads, size, valueSize] },
    ];
  },
  axes: new Miss("heads and the channels of each head share an axis"),
  gradient: unrun,
  // Each step writes and reads each head's state once; the delta rule reads it again.
  cost: (s, site) =>
    withDims(site, [0, 2], ([batch = 1, steps = 1, width = 1] = [], [, , values = 1] = []) => {
      const size = divideDims(width, s.heads);
      const times = (s.rule.includes("delta") ? 2 : 1) + s.heads / s.keyHeads;
      return size === undefined
        ? new Miss("the size of its heads is not known")
        : elementCount([batch, steps, size, values, times]);
    }),
});

export const CausalConvWithState = defineOp({
  name: "CausalConvWithState",
  read: (site) => {
    const reach = site.inputs[1]?.dims?.[2];
    return reach === undefined
      ? new Miss("the kernel's size is not known")
      : { activation: readString(site, "activation", "none"), reach };
  },
  infer: (s, site) => {
    const { type, dims } = requireInput(site, 0);
    const state = dims === undefined ? undefined : [...dims.slice(0, 2), addDims(s.reach, -1)];
    return [
      { type, dims },
      { type, dims: state },
    ];
  },
  parameters: [1, 2],
  axes: untried,
  gradient: unrun,
  cost: (s, site) => withDims(site, [0], (x = []) => multiplyDims(elementCount(x), s.reach)),
});

export const SwiGLU = defineOp({
  name: "SwiGLU",
  read: (site) => ({ alpha: readFloat(site, "alpha", 1) }),
  infer: (_, site) => sameAsInput(site),
  axes: untried,
  lower: (s, emit, [a, b]) => {
    const steep = s.alpha === 1 ? a : emit.Mul([a, s.alpha]);
    return [emit.Mul([emit.Mul([a, emit.Sigmoid([steep])]), b])];
  },
});
