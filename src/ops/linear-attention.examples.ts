/** Operators of opset 27 and 28, which ONNX Runtime does not run yet: their types are stated. */
import { type Example, example } from "./define.examples.ts";

const unrun = { opset: 28, except: { run: "ONNX Runtime runs opset 26 at most" } };
const attention = (title: string, heads: number, more: string, operands: string, settings: string): Example =>
  example(
    title,
    `(q: float32[batch, 3, ${heads * 2}], k: float32[batch, 3, 4], v: float32[batch, 3, 6]${more})
     y: float32[batch, 3, ${heads * 3}], state: float32[batch, 2, 2, 3] = LinearAttention(${operands}) {q_num_heads=${heads}, kv_num_heads=2${settings}}`,
    unrun,
  );
const conv = (title: string, more: string, operands: string, settings = ""): Example =>
  example(
    title,
    `(x: float32[batch, 3, 5]${more}) w: float32[3, 1, 4] = random(seed 1); b: float32[3] = random(seed 2);
     y: float32[batch, 3, 5], state: float32[batch, 3, 3] = CausalConvWithState(${operands}) {${settings}}`,
    unrun,
  );
const gated = (title: string, dims: string, settings = ""): Example =>
  example(title, `(a: float32[${dims}], b: float32[${dims}]) y: float32[${dims}] = SwiGLU(a, b) {${settings}}`, unrun);

export const linearAttentionExamples: readonly Example[] = [
  attention("LinearAttention that only adds", 2, "", "q, k, v", ', update_rule="linear"'),
  attention(
    "LinearAttention with decay, beta and a state",
    2,
    ", past: float32[batch, 2, 2, 3], decay: float32[batch, 3, 2], beta: float32[batch, 3, 2]",
    "q, k, v, past, decay, beta",
    "",
  ),
  attention("LinearAttention with fewer key heads", 4, "", "q, k, v", ', update_rule="linear", scale=0.5'),
  conv("CausalConvWithState from nothing", "", "x, w"),
  conv("CausalConvWithState with a bias and its state", ", past: float32[batch, 3, 3]", "x, w, b, past"),
  conv("CausalConvWithState with an activation", "", "x, w, b", 'activation="silu"'),
  gated("SwiGLU", "batch, 3"),
  gated("SwiGLU, steeper", "2, 3", "alpha=1.7"),
  gated("SwiGLU of scalars", ""),
];
