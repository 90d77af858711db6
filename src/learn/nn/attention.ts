/**
 * Multi-head attention (Vaswani et al. 2017): softmax(Q · Kᵀ / √depth + mask) · V per head, in primitives that every runtime has.
 *
 *     x ─ query ─ Reshape ─ Transpose [b, h, t, d] ─┐
 *     x ─ key ─── Reshape ─ Transpose [b, h, d, t] ─┴ MatMul ─ Mul ─ Softmax ─┐
 *     x ─ value ─ Reshape ─ Transpose [b, h, t, d] ──────────────────────────┴ MatMul ─ Transpose ─ Reshape ─ output
 */
import { dimsText, float32, int64, optionError, PithError, type Value } from "#ir";
import { linear } from "./linear.ts";
import { applyInside, type Module, type ModuleScope, mismatch, requireCount, requireDims } from "./module.ts";

export interface AttentionOptions {
  /** Name of the network input [batch, tokens] that is 0 for tokens to ignore (padding). */
  readonly mask?: string;
}

/** Added to masked scores, so that their exponential is 0. */
const maskedScore = -1e9;

/**
 * Self-attention over [batch, tokens, width], with the layers "query", "key", "value" and "output", each a `linear(width, width)`.
 * @throws PithError E_SHAPE_MISMATCH if x is not of that width, E_OPTION if it is not divisible by the heads, E_NAME if there is no such mask.
 * @example
 * const block = residual({ norm: layerNorm(64), attention: attention(64, 4, { mask: "attention_mask" }) });
 */
export function attention(width: number, heads: number, options: AttentionOptions = {}): Module {
  requireCount("attention: heads", heads);
  if (requireCount("attention: width", width) % heads !== 0)
    throw optionError(`attention: a width of ${width} is not divisible by ${heads} heads.`);
  const depth = width / heads;
  const layer = linear(width, width);
  return (scope, x) => {
    const { emit, name } = scope;
    requireDims("attention", scope, x, ["batch", "tokens", width]);
    const mask = options.mask === undefined ? undefined : paddingMask(scope, x, options.mask);
    const headShape = emit.constant(int64([4], [0, 0, heads, depth]), `${name}.heads`);
    const splitHeads = (part: string, perm: readonly number[]): Value =>
      emit
        .named(`${name}.${part}.heads`)
        .Transpose([emit.named(`${name}.${part}.split`).Reshape([applyInside(scope, part, layer, x), headShape])], {
          perm,
        });
    const [query, key, value] = [
      splitHeads("query", [0, 2, 1, 3]),
      splitHeads("key", [0, 2, 3, 1]),
      splitHeads("value", [0, 2, 1, 3]),
    ];
    const product = emit.named(`${name}.product`).MatMul([query, key]);
    const scores = emit.named(`${name}.scores`).Mul([product, emit.constant(float32([], [1 / Math.sqrt(depth)]))]);
    const maskedScores = mask === undefined ? scores : emit.named(`${name}.masked`).Add([scores, mask]);
    const weights = emit.named(`${name}.weights`).Softmax([maskedScores], { axis: -1 });
    const mixedValues = emit.named(`${name}.mixed`).MatMul([weights, value]);
    const transposedValues = emit.named(`${name}.together`).Transpose([mixedValues], { perm: [0, 2, 1, 3] });
    const joinedHeads = emit
      .named(`${name}.joined`)
      .Reshape([transposedValues, emit.constant(int64([3], [0, 0, width]), `${name}.width`)]);
    return applyInside(scope, "output", layer, joinedHeads);
  };
}

/** Returns (mask - 1) · 1e9 as [batch, 1, 1, tokens]. */
function paddingMask({ emit, name, inputs }: ModuleScope, x: Value, mask: string): Value {
  const maskInput = inputs.get(mask);
  if (maskInput === undefined) {
    const names = [...inputs.keys()].map((inputName) => `"${inputName}"`).join(", ");
    throw new PithError("E_NAME", `attention "${name}": the network has no input "${mask}", only ${names}.`);
  }
  const [batch, tokens] = x.type?.dims ?? [];
  const dims = maskInput.type?.dims;
  if (dims?.length !== 2 || dims[0] !== batch || dims[1] !== tokens)
    throw mismatch(
      "attention",
      name,
      `a mask ${dimsText([batch ?? 0, tokens ?? 0])}`,
      dimsText(dims),
      `See "${mask}".`,
    );
  // 1 is TensorProto.FLOAT.
  const numbers =
    maskInput.type?.type === "float32" ? maskInput : emit.named(`${name}.mask`).Cast([maskInput], { to: 1 });
  const across = emit.named(`${name}.mask.across`).Unsqueeze([numbers, emit.constant(int64([2], [1, 2]))]);
  const less = emit.named(`${name}.mask.less`).Sub([across, emit.constant(float32([], [1]))]);
  return emit.named(`${name}.mask.unseen`).Mul([less, emit.constant(float32([], [-maskedScore]))]);
}
