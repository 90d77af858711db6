/**
 * Times decompositions of a 3072 × 768 matrix against ml-matrix, SciPy and NumPy (LAPACK) with the same number of threads, and compares ranks with NumPy.
 *
 *     npm run bench -- math [--rounds 3] [--ml] [--python path]
 *     npm run bench -- math --ranks test/core/math/ranks.json
 *
 * Rounds alternate, so that both run under the same load; a ratio is the median over the rounds. --ml also runs ml-matrix once, which takes half a
 * minute per SVD. --ranks writes NumPy's ranks of the thousand matrices of test/core/math/matrices.ts, and prints where Pith's ranks differ.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CholeskyDecomposition, Matrix as Oracle, QrDecomposition, SVD } from "ml-matrix";
import { createEngine } from "pith/engine";
import { type Matrix, matrixRank, random, svd } from "pith/extend";
import { engineMultiply } from "../src/core/engine/multiply.ts";
import { cholesky } from "../src/core/math/cholesky.ts";
import { frobenius, identity, matrix, scaleColumns, subtract, transpose } from "../src/core/math/matrix.ts";
import { reflectByAll, triangularize } from "../src/core/math/reflections.ts";
import { runSteps, type Steps } from "../src/core/math/steps.ts";
import { singularValues } from "../src/core/math/svd.ts";
import { truncatedSvd } from "../src/techniques/factorize/truncate.ts";
import { rankCases } from "../test/core/math/matrices.ts";
import { heading, line, median, table, target } from "./lib/print.ts";
import { pythonWith } from "./lib/python.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    ml: { type: "boolean", default: false },
    python: { type: "string" },
    ranks: { type: "string" },
  },
});
const here = fileURLToPath(new URL(".", import.meta.url));
const peer = join(here, "peers/linear_algebra.py");
const python = pythonWith(["numpy", "scipy"], options.python);
const folder = mkdtempSync(join(tmpdir(), "pith-math-"));
const threads = 2;

function bytesOf({ data }: Matrix): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function compareRanks(path: string): void {
  if (python === undefined) throw new Error("No Python with numpy and scipy: --python says where.");
  const cases = [...rankCases()];
  const header = cases.map(({ type, source: { rows, columns } }) => ({ type, rows, columns }));
  const file = join(folder, "matrices");
  writeFileSync(
    file,
    Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...cases.map((one) => bytesOf(one.source))]),
  );
  const { stdout, stderr } = spawnSync(python, [peer, "ranks", file], { encoding: "utf8" });
  if (stdout === "") throw new Error(stderr);
  writeFileSync(path, stdout);
  const { numpy, ranks, near: close }: { numpy: string; ranks: number[]; near: number[] } = JSON.parse(stdout);
  const nearly = new Set(close);
  const reports = cases.map(({ kind, type, source }, index) => {
    return {
      kind,
      near: nearly.has(index),
      same: matrixRank(source, { type }) === ranks[index],
      size: `${source.rows} × ${source.columns}`,
      index,
    };
  });
  const kinds = [...new Set(reports.map(({ kind }) => kind))];
  line(
    `Ranks of ${cases.length} matrices, NumPy ${numpy}; "near": a singular value lies within 4 times of the tolerance`,
  );
  table(
    ["kind", ">equal", ">near, equal", ">near, other", ">OTHER"],
    kinds.map((kind) => {
      const count = (near: boolean, same: boolean): string =>
        `${reports.filter((one) => one.kind === kind && one.near === near && one.same === same).length}`;
      return [kind, count(false, true), count(true, true), count(true, false), count(false, false)];
    }),
  );
  for (const { near, same, kind, size, index } of reports)
    if (!same) line(`  ${near ? "near the tolerance" : "OTHER"}: ${index}, ${kind}, ${size}`);
}

interface Answer {
  readonly seconds: number;
  readonly found: readonly number[];
}

interface Peer {
  readonly versions: string;
  run(task: string, file: number): Promise<Answer>;
  stop(): void;
}

async function startPeer(matrices: readonly Matrix[]): Promise<Peer | undefined> {
  if (python === undefined) return undefined;
  const files = matrices.flatMap((one, index) => {
    const file = join(folder, `${index}`);
    writeFileSync(file, bytesOf(one));
    return [`${one.rows}`, `${one.columns}`, file];
  });
  const env = {
    ...process.env,
    OMP_NUM_THREADS: `${threads}`,
    OPENBLAS_NUM_THREADS: `${threads}`,
    MKL_NUM_THREADS: `${threads}`,
  };
  const child = spawn(python, [peer, "times", ...files], { env, stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async <T>(): Promise<T> => JSON.parse((await lines.next()).value ?? "null");
  const { numpy, scipy } = await next<{ numpy: string; scipy: string }>();
  return {
    versions: `NumPy ${numpy}, SciPy ${scipy}`,
    run(task, file) {
      child.stdin.write(`${task} ${file}\n`);
      return next<Answer>();
    },
    stop: () => child.kill(),
  };
}

interface Row {
  readonly name: string;
  readonly file: number;
  readonly task: string;
  readonly ours: () => Promise<unknown>;
  readonly ml?: (source: Oracle) => unknown;
}

function* householder(source: Matrix): Steps<Matrix> {
  const columns = transpose(source);
  const blocks = yield* triangularize(columns);
  const basis = matrix(source.columns, source.rows);
  for (let column = 0; column < source.columns; column++) basis.data[column * (source.rows + 1)] = 1;
  yield* reflectByAll(basis, blocks);
  return transpose(basis);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

async function compareTimes(): Promise<void> {
  const { multiply, release } = engineMultiply(createEngine());
  const draw = random(1, "bench");
  const flat = matrix(
    3072,
    768,
    Float64Array.from({ length: 3072 * 768 }, () => draw.normal()),
  );
  const { u, v } = await svd(flat, multiply);
  const falling = await multiply(
    scaleColumns(
      u,
      Float64Array.from({ length: 768 }, (_, index) => (1 + index) ** -0.5),
    ),
    transpose(v),
  );
  const gram = await multiply(transpose(flat), flat);
  const matrices = [flat, falling, gram];
  const other = await startPeer(matrices);
  const rows: readonly Row[] = [
    { name: "SVD", file: 0, task: "svd", ours: () => svd(flat, multiply), ml: (a) => new SVD(a) },
    { name: "rank 256 of a flat spectrum", file: 0, task: "svd", ours: () => truncatedSvd(flat, 256, { multiply }) },
    { name: "rank 256 of a falling one", file: 1, task: "svd", ours: () => truncatedSvd(falling, 256, { multiply }) },
    { name: "rank 64 of a flat spectrum", file: 0, task: "svd", ours: () => truncatedSvd(flat, 64, { multiply }) },
    {
      name: "singular values",
      file: 0,
      task: "values",
      ours: () => singularValues(flat, multiply),
      ml: (a) => new SVD(a, { computeLeftSingularVectors: false, computeRightSingularVectors: false }),
    },
    {
      name: "QR",
      file: 0,
      task: "qr",
      ours: () => runSteps(householder(flat), multiply),
      ml: (a) => new QrDecomposition(a).orthogonalMatrix,
    },
    {
      name: "Cholesky, 768 × 768",
      file: 2,
      task: "cholesky",
      ours: async () => cholesky(gram, multiply),
      ml: (a) => new CholeskyDecomposition(a),
    },
  ];
  heading(
    `Decompositions of 3072 × 768 in float64, ${threads} threads, ${other?.versions ?? "no Python with numpy and scipy"}`,
    1,
  );
  const widths = [30, 9, 9, 9, 11, 14, 18];
  const tell = (cells: readonly string[]): void =>
    line(cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(""));
  tell(["", "seconds", "SciPy", "NumPy", "ml-matrix", "ours / SciPy", "ml-matrix / ours"]);
  const targets: string[] = [];
  for (const { name, file, task, ours, ml } of rows) {
    const times: { own: number; scipy: number; numpy: number }[] = [];
    await ours();
    for (let round = 0; round < Number(options.rounds); round++) {
      times.push({
        own: await timed(ours),
        scipy: (await other?.run(task, file))?.seconds ?? Number.NaN,
        numpy: task === "svd" ? ((await other?.run("numpy", file))?.seconds ?? Number.NaN) : Number.NaN,
      });
    }
    const pithSeconds = median(times.map((one) => one.own));
    const ratio = median(times.map((one) => one.own / one.scipy));
    const source = matrices[file];
    let theirs = Number.NaN;
    if (options.ml && ml !== undefined && source !== undefined) {
      const copy = Oracle.from1DArray(source.rows, source.columns, [...source.data]);
      theirs = await timed(async () => ml(copy));
    }
    const shown = (seconds: number): string => (Number.isNaN(seconds) ? "–" : seconds.toFixed(2));
    tell([
      name,
      shown(pithSeconds),
      shown(median(times.map((one) => one.scipy))),
      shown(median(times.map((one) => one.numpy))),
      shown(theirs),
      shown(ratio),
      shown(theirs / pithSeconds),
    ]);
    if (name === "SVD" && !Number.isNaN(theirs))
      targets.push(
        target(
          `full SVD at least 10 × faster than ml-matrix (${(theirs / pithSeconds).toFixed(1)})`,
          theirs >= 10 * pithSeconds,
          true,
        ),
      );
    if (name.startsWith("rank 256") && !Number.isNaN(ratio))
      targets.push(target(`${name} no slower than SciPy's full SVD (${ratio.toFixed(2)})`, ratio <= 1, true));
  }
  line("Truncations stand beside the full decomposition.");
  for (const text of targets) line(text);
  const decomposition = await svd(flat, multiply);
  const rebuilt = await multiply(scaleColumns(decomposition.u, decomposition.s), transpose(decomposition.v));
  const distance = async (basis: Matrix): Promise<number> =>
    frobenius(subtract(await multiply(transpose(basis), basis), identity(basis.columns)));
  const digits = (value: number): string => value.toExponential(1);
  const values = (await other?.run("svd", 0))?.found ?? [];
  const furthest = values.reduce((most, value, at) => Math.max(most, Math.abs(value - (decomposition.s[at] ?? 0))), 0);
  line(
    `SVD: residual ${digits(frobenius(subtract(rebuilt, flat)) / frobenius(flat))}, from orthonormal ${digits(await distance(decomposition.u))} and ` +
      `${digits(await distance(decomposition.v))}, values from SciPy's ${digits(furthest / (decomposition.s[0] ?? 1))} of the largest`,
  );
  for (const [name, source] of [
    ["flat", flat],
    ["falling", falling],
  ] as const) {
    const best = (await truncatedSvd(source, 256, { multiply, method: "exact" })).error;
    const { error, method } = await truncatedSvd(source, 256, { multiply });
    line(
      `rank 256 of the ${name} spectrum: ${method}, error ${((100 * error) / best - 100).toFixed(3)} % above the least`,
    );
  }
  other?.stop();
  await release();
}

try {
  if (options.ranks === undefined) await compareTimes();
  else compareRanks(options.ranks);
} finally {
  rmSync(folder, { recursive: true });
}
