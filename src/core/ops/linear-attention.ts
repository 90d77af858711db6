/**
 * Operators of opset 27 and 28.
 * - LinearAttention updates a state S (D × value width) per head in each step: S ← decay · S + k·vᵀ, y = scale · Sᵀ·q. The delta rules replace v by
 *   β·(v - Sᵀ·k).
 * - CausalConvWithState is a depthwise convolution over steps. Its state contains the last kernel size - 1 steps.
 * - SwiGLU computes a · sigmoid(alpha · a) · b.
 */

import { addDims, type Dim, divideDims, elementCount, Miss, multiplyDims } from "#graph";
import { defineOp } from "./define.ts";
import { readFloat, readInteger, readString } from "./shared/attributes.ts";
import { requireInput, sameAsInput, withDims } from "./shared/rules.ts";

const noRuntime = new Miss("no tested version of ONNX Runtime runs it");
const untestedCut = new Miss("ONNX Runtime does not run it, so removing channels could not be tested");

export const LinearAttention = defineOp({
  name: "LinearAttention",
  read: (site) => ({
    heads: readInteger(site, "q_num_heads", 1),
    keyHeads: readInteger(site, "kv_num_heads", 1),
    rule: readString(site, "update_rule", "gated_delta"),
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
  gradient: noRuntime,
  // Each step updates the state once per key head and reads it once per query head. The delta rules read the state once more per key head.
  cost: (s, site) =>
    withDims(site, [0, 2], ([batch = 1, steps = 1, width = 1] = [], [, , values = 1] = []) => {
      const size = divideDims(width, s.heads);
      const productsPerValue = (s.rule.includes("delta") ? 2 : 1) + s.heads / s.keyHeads;
      return size === undefined
        ? new Miss("the size of its heads is not known")
        : elementCount([batch, steps, size, values, productsPerValue]);
    }),
});

export const CausalConvWithState = defineOp({
  name: "CausalConvWithState",
  read: (site) => {
    const kernelSize = site.inputs[1]?.dims?.[2];
    return kernelSize === undefined
      ? new Miss("the kernel's size is not known")
      : { activation: readString(site, "activation", "none"), kernelSize };
  },
  infer: (s, site) => {
    const { type, dims } = requireInput(site, 0);
    const state = dims === undefined ? undefined : [...dims.slice(0, 2), addDims(s.kernelSize, -1)];
    return [
      { type, dims },
      { type, dims: state },
    ];
  },
  parameters: [1, 2],
  axes: untestedCut,
  gradient: noRuntime,
  cost: (s, site) => withDims(site, [0], (x = []) => multiplyDims(elementCount(x), s.kernelSize)),
});

export const SwiGLU = defineOp({
  name: "SwiGLU",
  read: (site) => ({ alpha: readFloat(site, "alpha", 1) }),
  infer: (_, site) => sameAsInput(site),
  axes: untestedCut,
  lower: (s, emit, [a, b]) => {
    const scaledA = s.alpha === 1 ? a : emit.Mul([a, s.alpha]);
    return [emit.Mul([emit.Mul([a, emit.Sigmoid([scaledA])]), b])];
  },
});
