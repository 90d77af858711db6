/**
 * Compares the speed of two forms of the same function, to decide which rewrites `simplify` makes: projections of one input, separate or merged;
 * operators, decomposed or as one node.
 *
 *     npm run bench -- forms [--rounds 15]
 *
 * The two forms run in turn on one thread. A time is the processor time of the fastest round. The outputs must agree.
 */
import { parseArgs } from "node:util";
import { float32, toNumbers } from "pith";
import { createEngine } from "pith/engine";
import { random } from "pith/extend";
import { parseModel } from "../src/core/graph/text.ts";
import { heading, line, table } from "./lib/print.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "15" } } });
const rounds = Number(values.rounds);
const seed = 1;

interface Pair {
  readonly title: string;
  readonly dims: readonly number[];
  readonly before: string;
  readonly after: string;
}

const graph = (opset: number, dims: readonly number[], lines: string): string =>
  `opset ${opset}\ngraph (x: float32[${dims.join(", ")}]) -> (y) {\n${lines}\n}`;

/** Query, key and value: three products, or one product and a Split. */
function projections(width: number, keys: number, tokens: number): Pair {
  const dims = [1, tokens, width];
  const readers = "  a = Relu(q)\n  b = Relu(k)\n  c = Relu(v)\n  y = Concat(a, b, c) {axis=2}";
  const separate = ["  q = MatMul(x, wq)", "  k = MatMul(x, wk)", "  v = MatMul(x, wv)"];
  const weights = ["q", "k", "v"].map(
    (name, index) => `  w${name}: float32[${width}, ${index === 0 ? width : keys}] = random(seed ${index})`,
  );
  const merged = [
    `  sizes: int64[3] = [${width}, ${keys}, ${keys}]`,
    "  w = Concat(wq, wk, wv) {axis=1}",
    "  p = MatMul(x, w)",
    "  q, k, v = Split(p, sizes) {axis=2}",
  ];
  return {
    title: `projections ${width}, ${keys}, ${keys}; ${tokens} tokens`,
    dims,
    before: graph(21, dims, [...weights, ...separate, readers].join("\n")),
    after: graph(21, dims, [...weights, ...merged, readers].join("\n")),
  };
}

/** Attention of one input: decomposed, or the operator of opset 23. */
function attention(heads: number, width: number, tokens: number): Pair {
  const size = heads * width;
  const dims = [1, tokens, size];
  const weights = ["q", "k", "v"].map(
    (name, index) => `  w${name}: float32[${size}, ${size}] = random(seed ${index})\n  ${name} = MatMul(x, w${name})`,
  );
  const split = ["q", "k", "v"].map(
    (name) => `  ${name}r = Reshape(${name}, shape)\n  ${name}t = Transpose(${name}r) {perm=[0, 2, 1, 3]}`,
  );
  const decomposed = [
    ...weights,
    `  shape: int64[4] = [0, 0, ${heads}, ${width}]\n  root: float32[] = [${Math.sqrt(width)}]\n  flat: int64[3] = [0, 0, ${size}]`,
    ...split,
    "  kk = Transpose(kt) {perm=[0, 1, 3, 2]}\n  s = MatMul(qt, kk)\n  d = Div(s, root)\n  p = Softmax(d) {axis=-1}",
    "  o = MatMul(p, vt)\n  ot = Transpose(o) {perm=[0, 2, 1, 3]}\n  y = Reshape(ot, flat)",
  ];
  const node = `  y = Attention(q, k, v) {q_num_heads=${heads}, kv_num_heads=${heads}}`;
  return {
    title: `attention, ${heads} heads of ${width}; ${tokens} tokens`,
    dims,
    before: graph(23, dims, decomposed.join("\n")),
    after: graph(23, dims, [...weights, node].join("\n")),
  };
}

/** RMS normalization before opset 23: arithmetic, or the runtime's operator. */
function rms(width: number, tokens: number): Pair {
  const dims = [1, tokens, width];
  const scale = `  g: float32[${width}] = random(seed 1)`;
  const lines = [
    scale,
    "  two: float32[] = [2]\n  tiny: float32[] = [0.00001]\n  last: int64[1] = [-1]",
    "  s = Pow(x, two)\n  m = ReduceMean(s, last) {keepdims=1}\n  e = Add(m, tiny)\n  r = Sqrt(e)",
    "  n = Div(x, r)\n  y = Mul(n, g)",
  ];
  return {
    title: `RMS normalization of ${width}; ${tokens} tokens`,
    dims,
    before: graph(21, dims, lines.join("\n")),
    after: graph(21, dims, `${scale}\n  y = SimplifiedLayerNormalization(x, g) {axis=-1, epsilon=0.00001}`),
  };
}

const pairs: readonly Pair[] = [
  ...[
    [64, 32],
    [256, 256],
    [768, 768],
    [2048, 512],
  ].flatMap(([width = 0, keys = 0]) => [1, 16, 128].map((tokens) => projections(width, keys, tokens))),
  ...[
    [4, 16],
    [12, 64],
  ].flatMap(([heads = 0, width = 0]) => [16, 128].map((tokens) => attention(heads, width, tokens))),
  ...[64, 768, 2048].flatMap((width) => [1, 128].map((tokens) => rms(width, tokens))),
];

async function timesOf({ dims, before, after }: Pair, runtime: "native" | "wasm") {
  const engine = createEngine({ runtime });
  const numbers = random(seed, "forms");
  const x = float32(
    dims,
    Float32Array.from({ length: dims.reduce((a, b) => a * b) }, () => numbers.normal()),
  );
  const sessions = await Promise.all([before, after].map((text) => engine.load(parseModel(text), { threads: 1 })));
  const [expected, got] = await Promise.all(sessions.map((session) => session.run({ x })));
  const [first, second] = [expected, got].map((outputs) => (outputs?.y === undefined ? [] : toNumbers(outputs.y)));
  let [scale, difference] = [0, 0];
  for (const [index, value] of (first ?? []).entries()) {
    scale = Math.max(scale, Math.abs(value));
    difference = Math.max(difference, Math.abs(value - (second?.[index] ?? Number.NaN)));
  }
  if (!(difference <= 1e-4 * scale)) throw new Error(`The outputs differ by ${difference} of ${scale}.`);
  const best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const start = performance.now();
  await sessions[0]?.run({ x });
  const runs = Math.min(200, Math.max(2, Math.ceil(20 / (performance.now() - start))));
  for (let round = 0; round < rounds; round++)
    for (const [index, session] of sessions.entries()) {
      const used = process.cpuUsage();
      for (let run = 0; run < runs; run++) await session.run({ x });
      const { user, system } = process.cpuUsage(used);
      best[index] = Math.min(best[index] ?? 0, (user + system) / runs / 1000);
    }
  for (const session of sessions) await session.release();
  return best;
}

heading("Two forms of one function, processor time on one thread", seed);
const rows: string[][] = [];
for (const pair of pairs) {
  const cells: string[] = [];
  for (const runtime of ["native", "wasm"] as const) {
    const times = await timesOf(pair, runtime).catch((error: Error) => error.message);
    if (typeof times === "string") cells.push("", "", times.slice(0, 60));
    else {
      const [before = 0, after = 0] = times;
      cells.push(before.toFixed(3), after.toFixed(3), (before / after).toFixed(2));
    }
  }
  rows.push([pair.title, ...cells]);
}
table(["form", ">node, ms", ">other form", ">times as fast", ">wasm, ms", ">other form", ">times as fast"], rows);
line();
