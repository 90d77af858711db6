/** Operators of opset 27 and 28, which ONNX Runtime does not run yet: their types are stated. */
import { type Example, table } from "./define.examples.ts";

const unrun = { opset: 28, except: { run: "ONNX Runtime runs opset 26 at most" } };
const attention = table(
  unrun,
  (
    heads,
    more,
    operands,
    settings,
  ) => `(q: float32[batch, 3, ${Number(heads) * 2}], k: float32[batch, 3, 4], v: float32[batch, 3, 6]${more})
     y: float32[batch, 3, ${Number(heads) * 3}], state: float32[batch, 2, 2, 3] = LinearAttention(${operands}) {q_num_heads=${heads}, kv_num_heads=2${settings}}`,
);
const conv = table(
  unrun,
  (
    more,
    operands,
    settings = "",
  ) => `(x: float32[batch, 3, 5]${more}) w: float32[3, 1, 4] = random(seed 1); b: float32[3] = random(seed 2);
     y: float32[batch, 3, 5], state: float32[batch, 3, 3] = CausalConvWithState(${operands}) {${settings}}`,
);
const gated = table(
  unrun,
  (dims, settings = "") =>
    `(a: float32[${dims}], b: float32[${dims}]) y: float32[${dims}] = SwiGLU(a, b) {${settings}}`,
);

export const linearAttentionExamples: readonly Example[] = [
  ...attention`
    LinearAttention that only adds | 2 |  | q, k, v | , update_rule="linear"
    LinearAttention with decay, beta and a state |
      2 | , past: float32[batch, 2, 2, 3], decay: float32[batch, 3, 2], beta: float32[batch, 3, 2] | q, k, v, past, decay, beta
      |
    LinearAttention with fewer key heads | 4 |  | q, k, v | , update_rule="linear", scale=0.5
  `,
  ...conv`
    CausalConvWithState from nothing |  | x, w
    CausalConvWithState with a bias and its state | , past: float32[batch, 3, 3] | x, w, b, past
    CausalConvWithState with an activation |  | x, w, b | activation="silu"
  `,
  ...gated`
    SwiGLU | batch, 3
    SwiGLU, steeper | 2, 3 | alpha=1.7
    SwiGLU of scalars | 
  `,
];
