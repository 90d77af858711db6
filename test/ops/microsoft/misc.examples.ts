import { type Example, table } from "../define.examples.ts";

const data = "how much is found depends on the data";
const routed = { except: { cost: "which experts compute depends on the data" } };
const experts =
  "w: float32[3, 16, 8] = random(seed 1); b: float32[3, 16] = zeros; v: float32[3, 8, 16] = random(seed 2); c: float32[3, 8] = zeros;";
const bytes = (name: string, dims: string, seed: number): string =>
  `${name}: uint8[${dims}] = random(seed ${seed}, from 0 to 255);`;

export const microsoftToolExamples: readonly Example[] = [
  ...table()`
    ExpandDims at the end | (x: float32[batch, 3]) a: int32[] = -1; y = com.microsoft.ExpandDims(x, a)
    ExpandDims at the front | (x: float32[batch, 3]) a: int32[] = 0; y = com.microsoft.ExpandDims(x, a)
    ExpandDims by a vector of one | (x: float32[batch, 3]) a: int32[1] = [1]; y = com.microsoft.ExpandDims(x, a)
    Trilu of Microsoft, above | (x: float32[batch, 3, 4]) y = com.microsoft.Trilu(x)
    Trilu of Microsoft, below | (x: float32[batch, 3, 3]) y = com.microsoft.Trilu(x) {upper=0}
    Trilu of Microsoft, above the first diagonal | (x: float32[batch, 3, 3]) k: int64[] = 1; y = com.microsoft.Trilu(x, k)
    Pad of Microsoft with zeros | (x: float32[batch, 3]) p: int64[4] = [0, 1, 0, 2]; y = com.microsoft.Pad(x, p)
    Pad of Microsoft with a number |
      (x: float32[batch, 3]) p: int64[4] = [1, 0, 0, 2]; v: float32[1] = [0.5]; y = com.microsoft.Pad(x, p, v)
    Pad of Microsoft by reflection |
      (x: float32[batch, 4]) p: int64[4] = [0, 2, 0, 1]; y = com.microsoft.Pad(x, p) {mode="reflect"}
    Range of Microsoft with a step | () a: float32[] = 1; b: float32[] = 6; c: float32[] = 2; y = com.microsoft.Range(a, b, c)
      | except gradient: its length is a step function of its bounds
    Range of Microsoft without one | () a: int32[] = 2; b: int32[] = 5; y = com.microsoft.Range(a, b)
    Range of Microsoft to a fed limit |
      (b: int64[1]) a: int64[1] = [0]; y = com.microsoft.Range(a, b) | feeds b: 4 | except types: ${data}
    GatherND of Microsoft of rows | (x: float32[2, 3]) i: int64[3, 1] = [0, 1, 0]; y = com.microsoft.GatherND(x, i)
    GatherND of Microsoft of elements |
      (x: float32[2, 3], i: int32[4, 2]) y = com.microsoft.GatherND(x, i) | feeds i: from 0 to 2
    GatherND of Microsoft of stacks | (x: float32[2, 3, 4]) i: int64[2, 2, 1] = [0, 1, 1, 0]; y = com.microsoft.GatherND(x, i)
  `,
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
