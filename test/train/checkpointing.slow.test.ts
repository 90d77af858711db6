/** Memory of training steps, measured as the peak of processes of their own. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

interface Measured {
  readonly before: number;
  readonly peak: number;
  readonly gradients: string;
}

function measure(checkpointing: boolean): Measured {
  const script = fileURLToPath(new URL("checkpointing.script.ts", import.meta.url));
  const words = ["--conditions=pith-source", "--import", "tsx", script, String(checkpointing)];
  return JSON.parse(execFileSync(process.execPath, words, { encoding: "utf8" })) as Measured;
}

test("48 layers need less than half of the memory for activations, and their gradients are the same to the bit", () => {
  const [plain, again] = [measure(false), measure(true)];
  expect(again.gradients).toBe(plain.gradients);
  const [kept, recomputed] = [plain, again].map(({ peak, before }) => peak - before);
  expect(recomputed).toBeLessThan(0.5 * (kept ?? 0));
});
