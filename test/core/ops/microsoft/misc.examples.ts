import { type Example, table } from "../define.examples.ts";

const routed = { except: { cost: "which experts compute depends on the data" } };
const experts =
  "w: float32[3, 16, 8] = random(seed 1); b: float32[3, 16] = zeros; v: float32[3, 8, 16] = random(seed 2); c: float32[3, 8] = zeros;";
const bytes = (name: string, dims: string, seed: number): string =>
  `${name}: uint8[${dims}] = random(seed ${seed}, from 0 to 255);`;

export const microsoftToolExamples: readonly Example[] = [
  ...table(routed)`
    MoE with relu |
      (x: float32[batch, 8], p: float32[batch, 3]) ${experts} y = com.microsoft.MoE(x, p, w, b, v, c) {k=2, activation_type="relu"}
    MoE with silu |
      (x: float32[batch, 8], p: float32[batch, 3]) ${experts} y = com.microsoft.MoE(x, p, w, b, v, c) {k=2, activation_type="silu"}
    MoE of sequences |
      (x: float32[2, 4, 8], p: float32[8, 3]) w: float32[3, 16, 8] = random(seed 1); v: float32[3, 8, 16] = random(seed 2);
      y = com.microsoft.MoE(x, p, w, _, v) {k=1, activation_type="gelu"}
    QMoE of 4 bits, 1 at a time |
      (x: float32[batch, 32], p: float32[batch, 3])
      ${bytes("w", "3, 32, 16", 1)} ${bytes("v", "3, 32, 16", 2)} s: float32[3, 32] = random(seed 3, from 0.001 to 0.01);
      y = com.microsoft.QMoE(x, p, w, s, _, v, s) {k=1, activation_type="relu", expert_weight_bits=4}
    QMoE of 4 bits, 2 at a time |
      (x: float32[batch, 32], p: float32[batch, 3])
      ${bytes("w", "3, 32, 16", 1)} ${bytes("v", "3, 32, 16", 2)} s: float32[3, 32] = random(seed 3, from 0.001 to 0.01);
      y = com.microsoft.QMoE(x, p, w, s, _, v, s) {k=2, activation_type="relu", expert_weight_bits=4}
    QMoE of 8 bits |
      (x: float32[batch, 32], p: float32[batch, 3])
      ${bytes("w", "3, 32, 32", 1)} ${bytes("v", "3, 32, 32", 2)} s: float32[3, 32] = random(seed 3, from 0.001 to 0.01);
      y = com.microsoft.QMoE(x, p, w, s, _, v, s) {k=2, activation_type="silu", expert_weight_bits=8}
  `,
];
