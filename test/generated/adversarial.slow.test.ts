/**
 * `simplify` keeps the outputs of networks that try to break it (`adversarial.ts`): 2,000 networks, or `PITH_NETWORKS`. With 20,000 networks, which take
 * ten minutes on one processor, each rule and clean-up must apply at least 50 times.
 *
 *     PITH_NETWORKS=20000 npx vitest run --config vitest.all.config.ts test/generated/adversarial.slow.test.ts --silent=false
 */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const networks = Number(process.env.PITH_NETWORKS ?? 2000);
const seed = Number(process.env.PITH_SEED ?? 1);
/** Networks per process. If the runtime crashes, the counts of this process are lost. */
const perProcess = 250;
const tsx = createRequire(import.meta.url).resolve("tsx/cli");
const script = fileURLToPath(new URL("survey.ts", import.meta.url));

interface Part {
  readonly ran: number;
  readonly counts: readonly (readonly [string, number])[];
  readonly faults: readonly string[];
}

/** Returns the result of a process, or the index of the network on which the runtime crashed. */
async function surveyPart(start: number, count: number): Promise<Part | number> {
  const words = ["--conditions=pith-source", script, ...[start, count, seed].map(String)];
  const child = spawn(process.execPath, [tsx, ...words], { stdio: ["ignore", "pipe", "inherit"] });
  let last = "";
  for await (const line of createInterface({ input: child.stdout })) last = line;
  return last.startsWith("{") ? (JSON.parse(last) as Part) : Number(last);
}

test("simplify keeps the outputs of adversarial networks, and all rules apply", { timeout: 7_200_000 }, async () => {
  const counts = new Map<string, number>();
  const [faults, crashes]: [string[], number[]] = [[], []];
  let ran = 0;
  for (let start = 0; start < networks; ) {
    const count = Math.min(perProcess, networks - start);
    const part = await surveyPart(start, count);
    if (typeof part === "number") {
      crashes.push(part);
      // The networks before the crash are tried again, those after it for the first time.
      const before = part > start ? await surveyPart(start, part - start) : undefined;
      if (typeof before === "object") addPart(before);
      start = part + 1;
      continue;
    }
    addPart(part);
    start += count;
  }
  function addPart(part: Part): void {
    ran += part.ran;
    faults.push(...part.faults);
    for (const [id, times] of part.counts) counts.set(id, (counts.get(id) ?? 0) + times);
  }
  const rows = [...counts].sort((a, b) => a[1] - b[1]).map(([id, times]) => `${id} ${times}`);
  if (process.env.PITH_NETWORKS !== undefined)
    console.log(
      `${ran} of ${networks} networks ran, ${faults.length} faults, crashes of the runtime: ${crashes.join(", ") || "none"}\n${rows.join("\n")}`,
    );
  expect(faults).toEqual([]);
  // Crashes of ONNX Runtime are not faults of a rule, but must stay rare.
  expect(crashes.length).toBeLessThanOrEqual(Math.ceil(networks / 5000));
  const rare = [...counts].filter(([, times]) => times < Math.floor(networks / 400));
  expect(rare).toEqual([]);
});
